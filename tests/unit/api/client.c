/* A server on a free port with the fake engine, and a client that sends bytes as a test wrote them.
 */
#include "unit.h"

#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/units.h"
#include "store/buffer.h"

void rig_start(struct rig *rig)
{
    struct error error;
    int r = server_start(rig->engine, NULL, &rig->server, &error);

    if (r < 0)
        fail_msg("server_start: %s", error.text);
    rig->port = server_port(rig->server);
}

int rig_setup_stopped(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    *state = rig;
    return fake_new(&rig->engine);
}

int rig_setup(void **state)
{
    int r = rig_setup_stopped(state);
    if (r == 0)
        rig_start(*state);
    return r;
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;

    if (rig->server != NULL)
        server_free(rig->server);
    fake_free(rig->engine);
    free(rig);
    return 0;
}

int client_connect(struct rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(rig->port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void client_send(int fd, const char *bytes, size_t length)
{
    // What the server does not want any more it refuses with a reset.
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        length -= (size_t)n;
    }
}

void client_text(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

void client_textf(int fd, const char *format, ...)
{
    char text[4096];
    va_list list;

    va_start(list, format);
    int length = vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    assert_in_range(length, 0, sizeof(text) - 1);
    client_send(fd, text, (size_t)length);
}

static size_t content_length(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length: ");
    char digits[24] = "";
    uint64_t length = 0;

    if (field == NULL)
        return 0;
    field += strlen("\r\ncontent-length: ");
    (void)snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(field, "\r"), field);
    assert_int_equal(units_unsigned(digits, SIZE_MAX, &length), 0);
    return (size_t)length;
}

struct reply client_read(int fd, bool is_head)
{
    struct reply reply = {.status = 0};
    size_t capacity = 1 << 16;
    size_t used = 0;
    char *bytes = malloc(capacity + 1);
    char *end = NULL;

    // The head byte by byte, so that nothing of the next answer is taken.
    while (end == NULL && used < capacity) {
        ssize_t n = recv(fd, bytes + used, 1, 0);
        if (n <= 0)
            break;
        used++;
        bytes[used] = '\0';
        if (used >= 4 && memcmp(bytes + used - 4, "\r\n\r\n", 4) == 0)
            end = bytes + used;
    }
    if (end == NULL) {
        free(bytes);
        return reply;
    }
    reply.status = status_of(bytes);
    reply.head = bytes;
    reply.closed = strcasestr(bytes, "\r\nconnection: close\r\n") != NULL;
    reply.body_bytes = is_head ? 0 : content_length(bytes);
    reply.body = calloc(1, reply.body_bytes + 1);
    for (size_t got = 0; got < reply.body_bytes;) {
        ssize_t n = recv(fd, reply.body + got, reply.body_bytes - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    reply.json =
        json_loadb(reply.body, reply.body_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    return reply;
}

void reply_fini(struct reply *reply)
{
    free(reply->head);
    free(reply->body);
    json_decref(reply->json);
    *reply = (struct reply){.status = 0};
}

char *reply_field(const struct reply *reply, const char *name)
{
    char wanted[64];

    (void)snprintf(wanted, sizeof(wanted), "\r\n%s: ", name);
    const char *field = strcasestr(reply->head, wanted);
    if (field == NULL)
        return NULL;
    field += strlen(wanted);
    return strndup(field, strcspn(field, "\r"));
}

void client_read_all(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n = 0;

    while (used + 1 < size && (n = recv(fd, text + used, size - 1 - used, 0)) > 0)
        used += (size_t)n;
    text[used] = '\0';
}

bool client_is_closed(int fd)
{
    char rest[4096];
    ssize_t n = 0;

    // libmicrohttpd sends the head of some answers of its own twice.
    while ((n = recv(fd, rest, sizeof(rest) - 1, 0)) > 0) {
        rest[n] = '\0';
        assert_null(strstr(rest, "HTTP/1.1 2"));
    }
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

struct reply request_on(int fd, struct rig *rig, const char *method, const char *path,
                        const char *fields, const char *body)
{
    size_t length = body != NULL ? strlen(body) : 0;
    char *head = NULL;
    char body_length[64] = "";

    if (body != NULL)
        (void)snprintf(body_length, sizeof(body_length), "Content-Length: %zu\r\n", length);
    assert_true(asprintf(&head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s\r\n", method, path,
                         rig->port, fields != NULL ? fields : "", body_length) > 0);
    client_text(fd, head);
    free(head);
    if (body != NULL)
        client_send(fd, body, length);
    return client_read(fd, strcmp(method, "HEAD") == 0);
}

struct reply request(struct rig *rig, const char *method, const char *path, const char *fields,
                     const char *body)
{
    int fd = client_connect(rig);
    struct reply reply = request_on(fd, rig, method, path, fields, body);
    (void)close(fd);
    return reply;
}

struct reply post(struct rig *rig, const char *path, const char *body)
{
    return request(rig, "POST", path, "Content-Type: application/json\r\n", body);
}

int status_of(const char *line)
{
    uint64_t status = 0;
    char digits[4] = "";

    (void)snprintf(digits, sizeof(digits), "%.3s", line + strlen("HTTP/1.1 "));
    assert_int_equal(units_unsigned(digits, 599, &status), 0);
    return (int)status;
}

char *task_with_args(size_t bytes)
{
    struct buffer body = {.bytes = NULL};

    buffer_text(&body, "{\"kind\":\"echo\",\"args\":\"");
    char *text = buffer_reserve(&body, bytes);
    assert_non_null(text);
    memset(text, 'x', bytes - 2);
    body.length += bytes - 2;
    buffer_text(&body, "\"}");
    buffer_add(&body, "", 1);
    return body.bytes;
}

const char *json_text_at(const struct reply *reply, const char *key)
{
    return json_string_value(json_object_get(reply->json, key));
}

json_int_t json_int_at(const struct reply *reply, const char *key)
{
    json_t *value = json_object_get(reply->json, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

void expect_problem(struct reply reply, int status, const char *code, const char *pointer)
{
    char *type = reply.head != NULL ? reply_field(&reply, "Content-Type") : NULL;
    bool found = pointer == NULL;
    size_t index = 0;
    json_t *fault = NULL;

    if (reply.status != status || json_text_at(&reply, "code") == NULL ||
        strcmp(json_text_at(&reply, "code"), code) != 0)
        fail_msg("expected %d %s, got %d: %s", status, code, reply.status,
                 reply.body != NULL ? reply.body : "no answer");
    assert_string_equal(type, "application/problem+json");
    assert_int_equal(json_int_at(&reply, "status"), status);
    assert_non_null(json_text_at(&reply, "type"));
    assert_non_null(json_text_at(&reply, "title"));
    assert_non_null(json_text_at(&reply, "detail"));
    json_array_foreach (json_object_get(reply.json, "errors"), index, fault) {
        const char *at = json_string_value(json_object_get(fault, "pointer"));
        assert_non_null(at);
        assert_non_null(json_string_value(json_object_get(fault, "detail")));
        found = found || strcmp(at, pointer) == 0;
    }
    if (!found)
        fail_msg("no error has the pointer %s: %s", pointer, reply.body);
    free(type);
    reply_fini(&reply);
}

json_int_t rig_memory(struct rig *rig)
{
    struct reply reply = request(rig, "GET", "/v1/stats", NULL, NULL);
    json_int_t bytes =
        json_integer_value(json_object_get(json_object_get(reply.json, "http"), "memory_bytes"));
    reply_fini(&reply);
    return bytes;
}
