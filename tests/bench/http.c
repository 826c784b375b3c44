/*
 * See http.h. Answers are expected to have a Content-Length; runneld and durable_server give one
 * with each.
 */
#include "http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum {
    IO_TIMEOUT_S = 60,
    POLL_MS = 2,
    POLL_MAX_MS = 100,
    STALL_S = 30,
    KEPT_TIMEOUT_S = 300,
    REQUEST_CAPACITY = 512,
    ANSWER_CAPACITY = 64 * 1024,
};

int http_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        DIE("cannot connect to port %u: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return fd;
}

uint16_t http_port(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
        DIE("not connected: %s", strerror(errno));
    return ntohs(address.sin_port);
}

static size_t content_length(const char *headers, const char *end)
{
    static const char name[] = "content-length:";

    for (const char *line = headers; line < end;) {
        if (strncasecmp(line, name, sizeof(name) - 1) == 0)
            return strtoul(line + sizeof(name) - 1, NULL, 10);
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL)
            break;
        line = newline + 1;
    }
    return 0;
}

size_t http_parse(char *text, size_t length, struct http_answer *ret_answer)
{
    static const char start[] = "HTTP/1.1 ";
    struct http_answer answer;

    char *end = memmem(text, length, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (strncmp(text, start, sizeof(start) - 1) != 0)
        DIE("not an answer of HTTP/1.1: %.60s", text);
    answer.status = (int)strtoul(text + sizeof(start) - 1, NULL, 10);
    answer.closes = memmem(text, (size_t)(end - text), "\r\nConnection: close", 19) != NULL;
    answer.body = end + 4;
    answer.body_length = content_length(text, end + 2);
    size_t total = (size_t)(answer.body - text) + answer.body_length;
    if (total > length)
        return 0;
    *ret_answer = answer;
    return total;
}

void http_send(int fd, const char *bytes, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            // The server may have answered before it closed: that says why.
            int cause = errno;
            char answer[2048];
            ssize_t answered = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
            answer[answered > 0 ? answered : 0] = '\0';
            DIE("cannot send: %s; %s", strerror(cause), answer);
        }
        sent += (size_t)n;
    }
}

void http_reconnect(int fd)
{
    int fresh = http_connect(http_port(fd));
    if (dup2(fresh, fd) < 0)
        DIE("dup2: %s", strerror(errno));
    close(fresh);
}

void http_receive(int fd, char *buffer, size_t capacity, struct http_answer *ret_answer)
{
    size_t length = 0;

    for (;;) {
        ssize_t n = recv(fd, buffer + length, capacity - 1 - length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            DIE("no answer: %s", n == 0 ? "closed by the server" : strerror(errno));
        length += (size_t)n;
        buffer[length] = '\0';
        if (http_parse(buffer, length, ret_answer) == length) {
            if (ret_answer->closes)
                http_reconnect(fd);
            return;
        }
        if (length == capacity - 1)
            DIE("the answer is longer than %zu bytes", capacity);
    }
}

static void ask(int fd, const char *method, const char *path, char *answer, size_t capacity,
                struct http_answer *ret_answer)
{
    char request[REQUEST_CAPACITY];
    int length =
        snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", method,
                 path, http_port(fd), strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");

    if (length < 0 || (size_t)length >= sizeof(request))
        DIE("path too long: %s", path);
    http_send(fd, request, (size_t)length);
    http_receive(fd, answer, capacity, ret_answer);
    if (ret_answer->status != 200)
        DIE("%s %s: %d %.500s", method, path, ret_answer->status, ret_answer->body);
}

void queue_action(int fd, const char *queue, const char *action)
{
    static char buffer[ANSWER_CAPACITY];
    char path[REQUEST_CAPACITY / 2];
    struct http_answer answer;

    snprintf(path, sizeof(path), "/v1/queues/%s/%s", queue, action);
    ask(fd, "POST", path, buffer, sizeof(buffer), &answer);
}

static uint64_t count_of(const char *body, const char *state)
{
    char key[64];
    int length = snprintf(key, sizeof(key), "\"%s\":", state);
    const char *found = strstr(body, key);

    if (found == NULL)
        DIE("a queue without a count of '%s': %.500s", state, body);
    found += length;
    while (isspace((unsigned char)*found))
        found++;
    if (!isdigit((unsigned char)*found))
        DIE("the count of '%s' is no number: %.500s", state, body);
    return strtoull(found, NULL, 10);
}

void queue_counts(int fd, const char *queue, struct queue_counts *ret_counts)
{
    static char buffer[ANSWER_CAPACITY];
    static const char *const unfinished[] = {"scheduled", "queued", "retrying", "held", "running"};
    char path[REQUEST_CAPACITY / 2];
    struct http_answer answer;
    struct queue_counts counts = {0};

    snprintf(path, sizeof(path), "/v1/queues/%s", queue);
    ask(fd, "GET", path, buffer, sizeof(buffer), &answer);
    for (size_t i = 0; i < sizeof(unfinished) / sizeof(unfinished[0]); i++)
        counts.unfinished += count_of(answer.body, unfinished[i]);
    counts.succeeded = count_of(answer.body, "succeeded");
    counts.failed = count_of(answer.body, "failed") + count_of(answer.body, "cancelled");
    *ret_counts = counts;
}

/* How long until the next look at a queue in which `left` tasks are left of `first` after so many
 * nanoseconds: each look takes processor time of what is measured, so there are few of them while
 * much is left, and they come close together at the end. */
static unsigned next_look_ms(uint64_t first, uint64_t left, uint64_t took_ns)
{
    if (left >= first)
        return POLL_MS;
    uint64_t left_ms = took_ns / (first - left) * left / 1000000;
    if (left_ms / 4 < POLL_MS)
        return POLL_MS;
    return left_ms / 4 < POLL_MAX_MS ? (unsigned)(left_ms / 4) : POLL_MAX_MS;
}

uint64_t queue_wait_drained(int fd, const char *queue)
{
    struct queue_counts counts;
    uint64_t first = 0;
    uint64_t fewest = UINT64_MAX;
    uint64_t started_at = now_ns();
    uint64_t moved_at = started_at;

    for (;;) {
        queue_counts(fd, queue, &counts);
        uint64_t now = now_ns();
        if (counts.failed > 0)
            DIE("%llu tasks of queue %s failed", (unsigned long long)counts.failed, queue);
        if (counts.unfinished == 0)
            return now;
        if (counts.unfinished < fewest) {
            fewest = counts.unfinished;
            moved_at = now;
        }
        if (now - moved_at > (uint64_t)STALL_S * NS_PER_S)
            DIE("no task of queue %s ended for %d s, %llu are left", queue, STALL_S,
                (unsigned long long)fewest);
        if (counts.unfinished > first)
            first = counts.unfinished;
        pause_ms(next_look_ms(first, counts.unfinished, now - started_at));
    }
}

uint64_t queue_wait_kept(int fd, const char *queue, uint64_t cap)
{
    struct queue_counts counts;
    uint64_t started_at = now_ns();

    do {
        pause_ms(POLL_MS);
        queue_counts(fd, queue, &counts);
        if (now_ns() - started_at > (uint64_t)KEPT_TIMEOUT_S * NS_PER_S)
            DIE("queue %s still keeps %llu tasks after %d s, the cap is %llu", queue,
                (unsigned long long)counts.succeeded, KEPT_TIMEOUT_S, (unsigned long long)cap);
    } while (counts.succeeded > cap);
    return now_ns();
}

void queue_report_run(int fd, const char *queue, uint64_t cap, uint64_t tasks, uint64_t started_at)
{
    struct queue_counts counts;
    uint64_t drained_at = queue_wait_drained(fd, queue);

    queue_counts(fd, queue, &counts);
    uint64_t kept_at = queue_wait_kept(fd, queue, cap);
    printf("rate=%.0f kept=%llu kept_rate=%.0f ",
           (double)tasks * NS_PER_S / (double)(drained_at - started_at),
           (unsigned long long)counts.succeeded,
           (double)tasks * NS_PER_S / (double)(kept_at - started_at));
}
