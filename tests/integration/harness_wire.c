/** \file HTTP by hand, for what libcurl would never send, and for what must be known of the
 * connection itself. */
#include "harness_own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "description.h"

struct wire {
    int fd;
    bool ended;
    char *buffer; // received, not yet taken
    size_t bytes, capacity;
};

static void wire_end(void *arg)
{
    struct wire *wire = arg;

    if (wire->fd >= 0)
        (void)close(wire->fd);
    free(wire->buffer);
    free(wire);
}

struct wire *wire_open(uint16_t port)
{
    struct wire *wire = calloc(1, sizeof(*wire));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;

    assert_non_null(wire);
    keep_with(wire_end, wire);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        harness_fail(__FILE__, __LINE__, "cannot connect: %s", strerror(errno));
    return wire;
}

struct wire *wire_open_unix(const char *path)
{
    struct wire *wire = calloc(1, sizeof(*wire));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_non_null(wire);
    keep_with(wire_end, wire);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        harness_fail(__FILE__, __LINE__, "cannot connect to %s: %s", path, strerror(errno));
    return wire;
}

int wire_fd(struct wire *wire)
{
    return wire->fd;
}

void wire_close(struct wire *wire)
{
    (void)close(wire->fd);
    wire->fd = -1;
    wire->ended = true;
}

void wire_reset(struct wire *wire)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    wire_close(wire);
}

/* The other side may close while we still send: that is for the reader to judge. */
void wire_send(struct wire *wire, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(wire->fd, bytes, count, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return;
        bytes += sent;
        count -= (size_t)sent;
    }
}

void wire_sendf(struct wire *wire, const char *format, ...)
{
    va_list list;
    char *all = NULL;

    va_start(list, format);
    int length = vasprintf(&all, format, list);
    va_end(list);
    assert_true(length >= 0);
    wire_send(wire, all, (size_t)length);
    free(all);
}

bool wire_readable(struct wire *wire, int64_t within_ms)
{
    struct pollfd watched = {.fd = wire->fd, .events = POLLIN};
    int64_t until = now_ms() + within_ms;
    int ready = 0;

    if (wire->bytes > 0 || wire->ended)
        return true;
    do {
        int64_t left = until - now_ms();

        ready = poll(&watched, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* Reads once. false: the end, or nothing until then. */
static bool receive(struct wire *wire, int64_t until)
{
    struct pollfd watched = {.fd = wire->fd, .events = POLLIN};

    if (wire->ended)
        return false;
    if (wire->bytes + 65536 > wire->capacity) {
        wire->capacity = (wire->bytes + 65536) * 2;
        wire->buffer = realloc(wire->buffer, wire->capacity);
        assert_non_null(wire->buffer);
    }
    for (;;) {
        int64_t left = until - now_ms();
        int ready = poll(&watched, 1, left > 0 ? (int)left : 0);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        ssize_t count =
            recv(wire->fd, wire->buffer + wire->bytes, wire->capacity - wire->bytes - 1, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            wire->ended = true;
            return false;
        }
        wire->bytes += (size_t)count;
        wire->buffer[wire->bytes] = '\0';
        return true;
    }
}

/* Until so many bytes are there. */
static bool receive_bytes(struct wire *wire, size_t count, int64_t until)
{
    while (wire->bytes < count) {
        if (!receive(wire, until))
            return false;
    }
    return true;
}

/* Where the header ends; 0: it has not come whole. */
static size_t receive_head(struct wire *wire, int64_t until)
{
    for (;;) {
        char *end = wire->bytes > 0 ? memmem(wire->buffer, wire->bytes, "\r\n\r\n", 4) : NULL;

        if (end != NULL)
            return (size_t)(end - wire->buffer) + 4;
        if (!receive(wire, until))
            return 0;
    }
}

static size_t hexadecimal(const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t number = 0;
    const char *digit = NULL;

    while (*text != '\0' && (digit = strchr(digits, *text | 0x20)) != NULL) {
        number = number * 16 + (size_t)(digit - digits);
        text++;
    }
    return number;
}

/* A chunked body that begins at `from`: appended to body, and the offset behind it; 0: it broke
 * off. */
static size_t receive_chunks(struct wire *wire, size_t from, FILE *body, int64_t until)
{
    for (;;) {
        char *line_end = NULL;

        while (wire->bytes <= from ||
               (line_end = memmem(wire->buffer + from, wire->bytes - from, "\r\n", 2)) == NULL) {
            if (!receive(wire, until))
                return 0;
        }
        size_t size = hexadecimal(wire->buffer + from);
        from = (size_t)(line_end - wire->buffer) + 2;
        if (!receive_bytes(wire, from + size + 2, until))
            return 0;
        (void)fwrite(wire->buffer + from, 1, size, body);
        from += size + 2;
        if (size == 0)
            return from;
    }
}

static void reply_end(void *reply)
{
    reply_free(reply);
}

static struct reply *read_reply(struct wire *wire, int64_t within_ms, bool has_body)
{
    int64_t until = now_ms() + within_ms * slow();
    struct reply *reply = calloc(1, sizeof(*reply));
    size_t taken = 0;

    assert_non_null(reply);
    keep_with(reply_end, reply);
    FILE *body = open_memstream(&reply->body, &reply->body_bytes);
    assert_non_null(body);
    for (;;) {
        taken = receive_head(wire, until);
        if (taken == 0 || strncmp(wire->buffer, "HTTP/1.1 100", 12) != 0)
            break;
        wire->bytes -= taken;
        memmove(wire->buffer, wire->buffer + taken, wire->bytes + 1);
    }
    bool complete = taken != 0;
    if (complete) {
        reply->head = strndup(wire->buffer, taken);
        reply->status =
            strncmp(wire->buffer, "HTTP/1.", 7) == 0 ? (int)number_in(wire->buffer + 9, NULL) : -1;
        const char *length = reply_header(reply, "Content-Length");
        const char *encoding = reply_header(reply, "Transfer-Encoding");
        size_t size = length != NULL ? number_in(length, NULL) : 0;

        if (!has_body || reply->status == 204 || reply->status == 304) {
            size = 0;
        } else if (encoding != NULL && strcasecmp(encoding, "chunked") == 0) {
            taken = receive_chunks(wire, taken, body, until);
            complete = taken != 0;
        } else if (length == NULL) {
            while (receive(wire, until)) {
            }
            complete = wire->ended;
            size = wire->bytes - taken;
        } else {
            complete = receive_bytes(wire, taken + size, until);
        }
        if (complete) {
            (void)fwrite(wire->buffer + taken, 1, size, body);
            taken += size;
            wire->bytes -= taken;
            memmove(wire->buffer, wire->buffer + taken, wire->bytes + 1);
        }
    }
    (void)fclose(body);
    if (!complete) {
        if (!wire->ended)
            harness_fail(__FILE__, __LINE__, "no answer within %lld ms, only '%.*s'",
                         (long long)within_ms * slow(), (int)wire->bytes,
                         wire->buffer != NULL ? wire->buffer : "");
        reply->status = 0;
    }
    reply->json =
        json_loadb(reply->body, reply->body_bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    description_look_bare(reply);
    return reply;
}

struct reply *wire_reply(struct wire *wire, int64_t within_ms)
{
    return read_reply(wire, within_ms, true);
}

struct reply *wire_reply_head(struct wire *wire, int64_t within_ms)
{
    return read_reply(wire, within_ms, false);
}

char *wire_rest(struct wire *wire, int64_t within_ms)
{
    int64_t until = now_ms() + within_ms * slow();

    while (receive(wire, until)) {
    }
    if (!wire->ended)
        harness_fail(__FILE__, __LINE__, "the connection is not closed");
    char *rest = plain_text("%.*s", (int)wire->bytes, wire->bytes > 0 ? wire->buffer : "");
    wire->bytes = 0;
    return rest;
}

bool wire_closes(struct wire *wire, int64_t within_ms)
{
    int64_t until = now_ms() + within_ms * slow();

    if (wire->bytes > 0 || receive(wire, until))
        harness_fail(__FILE__, __LINE__, "an answer that nobody asked for: %.*s", (int)wire->bytes,
                     wire->buffer);
    return wire->ended;
}
