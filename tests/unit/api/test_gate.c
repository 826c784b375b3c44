/* What a request must be before any handler sees it: raw bytes against a real server. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/buffer.h"

#define TASK "{\"kind\":\"echo\"}" // 15 bytes
#define JSON "Content-Type: application/json\r\n"

/* Puts the port in place of each '#'. */
static char *with_port(const char *text, uint16_t port)
{
    struct buffer to = {.bytes = NULL};

    for (; *text != '\0'; text++) {
        if (*text == '#')
            buffer_unsigned(&to, port);
        else
            buffer_add(&to, text, 1);
    }
    buffer_add(&to, "", 1);
    return to.bytes;
}

struct probe {
    const char *name;
    const char *bytes; // '#' stands for the port
    int status;        // 0: any refusal, libmicrohttpd's own among them
    const char *code;
};

#define HOST "Host: 127.0.0.1:#\r\n"
#define SMUGGLED "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK

static const struct probe framing_probes[] = {
    {"two equal lengths",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"two lengths",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Content-Length: 0\r\nContent-Length: 144\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"length and coding",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"coding and length",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"two hosts", "GET /v1/tasks HTTP/1.1\r\n" HOST HOST "\r\n" SMUGGLED, 400, "framing"},
    {"two codings",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"two types", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON JSON "Content-Length: 15\r\n\r\n" TASK,
     400, "framing"},
    {"two authorizations",
     "GET /v1/tasks HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: a\r\n\r\n" SMUGGLED, 400,
     "framing"},
    {"space before the colon",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length : 15\r\n\r\n" TASK, 0, NULL},
    {"gzip, chunked",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"xchunked",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON
     "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"identity",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: identity\r\n\r\n" SMUGGLED, 400,
     "framing"},
    {"chunked in HTTP/1.0",
     "POST /v1/tasks HTTP/1.0\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"folded length",
     "POST /v1/queues/mail/resume HTTP/1.1\r\n" HOST "Content-Length:\r\n 135\r\n\r\n" SMUGGLED, 0,
     NULL},
    {"folded coding",
     "POST /v1/queues/mail/resume HTTP/1.1\r\n" HOST
     "Transfer-Encoding:\r\n chunked\r\n\r\n" SMUGGLED,
     0, NULL},
    {"signed length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: +15\r\n\r\n" TASK, 0,
     NULL},
    {"negative length",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: -1\r\n\r\n" SMUGGLED, 0, NULL},
    {"list of lengths",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15, 15\r\n\r\n" TASK, 0, NULL},
    {"hexadecimal length",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 0xf\r\n\r\n" TASK, 0, NULL},
    {"endless length",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 99999999999999999999999\r\n\r\n" TASK,
     0, NULL},
    {"HTTP/1.9", "GET /healthz HTTP/1.9\r\n" HOST "\r\n" SMUGGLED, 0, NULL},
    {"HTTP/2.0", "GET /healthz HTTP/2.0\r\n" HOST "\r\n" SMUGGLED, 0, NULL},
    {"no host", "GET /healthz HTTP/1.1\r\n\r\n" SMUGGLED, 0, NULL},
    {"control byte in a value", "GET /healthz HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n" SMUGGLED, 400,
     "framing"},
    {"NUL in the URL", "GET /healthz%00 HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400, "framing"},
    {"NUL in the query", "GET /v1/tasks?queue=a%00b HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400,
     "framing"},
    {"broken escape", "GET /v1/tasks?queue=%zz HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400, "framing"},
    {"raw byte in the URL", "GET /v1/tasks?queue=\xff HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400,
     "framing"},
    {"GET with a body", "GET /v1/tasks HTTP/1.1\r\n" HOST "Content-Length: 135\r\n\r\n" SMUGGLED,
     400, "framing"},
    {"DELETE with a body",
     "DELETE /v1/tasks/1 HTTP/1.1\r\n" HOST "Content-Length: 135\r\n\r\n" SMUGGLED, 400, "framing"},
    {"GET with a chunked body",
     "GET /v1/tasks HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400,
     "framing"},
    {"bad chunk size",
     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nzz\r\n" TASK, 0,
     NULL},
};

static void what_could_be_read_in_two_ways_is_refused_and_closed(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(framing_probes) / sizeof(framing_probes[0]); i++) {
        const struct probe *probe = &framing_probes[i];
        char *bytes = with_port(probe->bytes, rig->port);
        int fd = client_connect(rig);

        client_text(fd, bytes);
        struct reply reply = client_read(fd, false);

        if (reply.status != 0 && reply.status < 400)
            fail_msg("%s: answered %d", probe->name, reply.status);
        if (probe->status != 0 &&
            (reply.status != probe->status || json_text_at(&reply, "code") == NULL ||
             strcmp(json_text_at(&reply, "code"), probe->code) != 0))
            fail_msg("%s: answered %d %s", probe->name, reply.status, reply.body);
        if (!client_is_closed(fd))
            fail_msg("%s: not closed", probe->name);
        (void)close(fd);
        reply_fini(&reply);
        free(bytes);
    }
    assert_int_equal(fake_task_count(rig->engine), 0);
}

/* GET /healthz with so many fields besides Host, or with one of so many bytes. */
static struct reply health_with(struct rig *rig, int fields, size_t bytes)
{
    struct buffer text = {.bytes = NULL};

    for (int i = 0; i < fields; i++)
        buffer_printf(&text, "X-%d: y\r\n", i);
    if (bytes > 0) {
        buffer_text(&text, "X: ");
        char *value = buffer_reserve(&text, bytes);
        memset(value, 'y', bytes);
        text.length += bytes;
        buffer_text(&text, "\r\n");
    }
    buffer_add(&text, "", 1);
    struct reply reply = request(rig, "GET", "/healthz", text.bytes, NULL);
    buffer_fini(&text);
    return reply;
}

static void a_header_is_bounded(void **state)
{
    struct rig *rig = *state;
    char path[2200] = "/v1/tasks?queue=";

    struct reply reply = health_with(rig, 63, 0); // with Host 64
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    expect_problem(health_with(rig, 64, 0), 431, "headers-too-large", NULL);

    reply = health_with(rig, 0, 16200);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    expect_problem(health_with(rig, 0, 16384), 431, "headers-too-large", NULL);

    memset(path + 16, 'q', 2048 - 16);
    path[2048] = '\0';
    reply = request(rig, "GET", path, NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    path[2048] = 'q';
    path[2049] = '\0';
    expect_problem(request(rig, "GET", path, NULL, NULL), 414, "url-too-long", NULL);
}

struct origin {
    const char *fields; // '#' stands for the port
    bool is_allowed;
};

static const struct origin origins[] = {
    {"Host: 127.0.0.1:#\r\n", true},
    {"Host: localhost:#\r\n", true},
    {"Host: LOCALHOST:#\r\n", true},
    {"Host: [::1]:#\r\n", true},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site: none\r\n", true},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Mode: navigate\r\n", true},
    {"Host: 127.0.0.1\r\n", false},
    {"Host: 127.0.0.1:1\r\n", false},
    {"Host: 127.0.0.1:0#\r\n", false},
    {"Host: 127.0.0.1:#1\r\n", false},
    {"Host: 127.0.0.1:#.\r\n", false},
    {"Host: 127.0.0.1.:#\r\n", false},
    {"Host: 127.evil.example:#\r\n", false},
    {"Host: 127.0.0.1.evil.example:#\r\n", false},
    {"Host: evil.example:#\r\n", false},
    {"Host: evil.example\r\n", false},
    {"Host: localhost.evil.example:#\r\n", false},
    {"Host: localhost\r\n", false},
    {"Host: localhost.:#\r\n", false},
    {"Host: 0.0.0.0:#\r\n", false},
    {"Host: 127.1:#\r\n", false},
    {"Host: 127.0.0.2:#\r\n", false},
    {"Host: 2130706433:#\r\n", false},
    {"Host: 0x7f000001:#\r\n", false},
    {"Host: [::]:#\r\n", false},
    {"Host: ::1:#\r\n", false},
    {"Host: [::ffff:127.0.0.1]:#\r\n", false},
    {"Host: [::1%25lo]:#\r\n", false},
    {"Host: user@127.0.0.1:#\r\n", false},
    {"Host: 127.0.0.1:#,evil.example\r\n", false},
    {"Host: 127.0.0.1:# evil\r\n", false},
    {"Host:\r\n", false},
    {"Host: 127.0.0.1:#\r\nOrigin: http://evil.example\r\n", false},
    {"Host: 127.0.0.1:#\r\nOrigin: null\r\n", false},
    {"Host: 127.0.0.1:#\r\nOrigin:\r\n", false},
    {"Host: 127.0.0.1:#\r\nOrigin: http://127.0.0.1:#\r\n", false},
    {"Host: localhost:#\r\nOrigin: http://localhost:#\r\n", false},
    {"Host: 127.0.0.1:#\r\norigin: https://evil.example\r\n", false},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site: cross-site\r\n", false},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site: same-site\r\n", false},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site: same-origin\r\n", false},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site:\r\n", false},
    {"Host: 127.0.0.1:#\r\nSec-Fetch-Site: none, none\r\n", false},
};

static void only_who_names_the_address_and_is_no_web_page_is_served(void **state)
{
    struct rig *rig = *state;
    char text[1024];

    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        (void)snprintf(text, sizeof(text),
                       "POST /v1/tasks HTTP/1.1\r\n%s" JSON "Content-Length: 15\r\n\r\n" TASK,
                       origins[i].fields);
        char *bytes = with_port(text, rig->port);
        int fd = client_connect(rig);

        client_text(fd, bytes);
        struct reply reply = client_read(fd, false);

        if (reply.status != (origins[i].is_allowed ? 201 : 403))
            fail_msg("%s: answered %d %s", bytes, reply.status, reply.body);
        char *allowed = reply_field(&reply, "Access-Control-Allow-Origin");
        assert_null(allowed);
        (void)close(fd);
        reply_fini(&reply);
        free(bytes);
    }
    assert_int_equal(fake_task_count(rig->engine), 6);
}

static void wrong_types_of_body_are_told_what_to_send(void **state)
{
    struct rig *rig = *state;
    static const char *const refused[] = {
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: text/plain\r\n",
        "",
        "Content-Type: application/jsonx\r\n",
        "Content-Type: application/json; charset=latin1\r\n",
        "Content-Type: application/json, text/plain\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    };
    static const char *const taken[] = {"Content-Type: application/json; charset=utf-8\r\n",
                                        "Content-Type: APPLICATION/JSON\r\n",
                                        "Content-Type: application/json;charset=\"UTF-8\"\r\n",
                                        "Content-Type: application/json ; charset=utf-8\r\n"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect_problem(request(rig, "POST", "/v1/tasks", refused[i], TASK), 415,
                       "unsupported-media-type", NULL);
    assert_int_equal(fake_task_count(rig->engine), 0);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        struct reply reply = request(rig, "POST", "/v1/tasks", taken[i], TASK);
        assert_int_equal(reply.status, 201);
        reply_fini(&reply);
    }
    expect_problem(
        request(rig, "PATCH", "/v1/queues/mail", "Content-Type: application/x-ndjson\r\n", "{}"),
        415, "unsupported-media-type", NULL);
}

static void paths_and_methods_are_known_or_refused(void **state)
{
    struct rig *rig = *state;
    static const char *const paths[] = {"/v1",
                                        "/v1/",
                                        "/v1/task",
                                        "/v1/tasks/",
                                        "/v1/tasks/0",
                                        "/v1/tasks/-1",
                                        "/v1/tasks/01",
                                        "/v1/tasks/x",
                                        "/v1/tasks/1/",
                                        "/v1/tasks/9007199254740992",
                                        "/v1/tasks/1/x",
                                        "/v2/tasks",
                                        "//v1/tasks",
                                        "/v1/queues/",
                                        "/healthz/",
                                        "/problems/x",
                                        "/problems/",
                                        "/v1/queues/a/b",
                                        "/v1/tasks/1/result/x"};
    static const struct {
        const char *method, *path, *allow;
    } wrong[] = {
        {"PUT", "/v1/tasks", "POST, GET, HEAD, OPTIONS"},
        {"DELETE", "/v1/tasks", "POST, GET, HEAD, OPTIONS"},
        {"POST", "/v1/tasks/1", "GET, HEAD, PATCH, DELETE, OPTIONS"},
        {"GET", "/v1/tasks/1/cancel", "POST, OPTIONS"},
        {"TRACE", "/healthz", "GET, HEAD, OPTIONS"},
        {"post", "/v1/tasks", "POST, GET, HEAD, OPTIONS"},
        {"PATCH", "/v1/queues", "GET, HEAD, OPTIONS"},
        {"DELETE", "/v1/queues/mail", "GET, HEAD, PATCH, OPTIONS"},
    };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        expect_problem(request(rig, "GET", paths[i], NULL, NULL), 404, "not-found", NULL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct reply reply = request(rig, wrong[i].method, wrong[i].path, NULL, NULL);
        char *allow = reply_field(&reply, "Allow");
        assert_non_null(allow);
        assert_string_equal(allow, wrong[i].allow);
        free(allow);
        expect_problem(reply, 405, "method-not-allowed", NULL);
    }
    struct reply reply = request(rig, "OPTIONS", "/v1/tasks", NULL, NULL);
    assert_int_equal(reply.status, 204);
    char *allow = reply_field(&reply, "Allow");
    assert_string_equal(allow, "POST, GET, HEAD, OPTIONS");
    free(allow);
    reply_fini(&reply);
}

static void head_is_get_without_a_body(void **state)
{
    struct rig *rig = *state;
    static const char *const paths[] = {"/healthz",  "/readyz",        "/",
                                        "/v1/info",  "/v1/stats",      "/v1/queues",
                                        "/v1/tasks", "/problems/busy", "/metrics"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = client_connect(rig);
        struct reply head = request_on(fd, rig, "HEAD", paths[i], NULL, NULL);
        struct reply get = request_on(fd, rig, "GET", paths[i], NULL, NULL);

        assert_int_equal(head.status, 200);
        assert_int_equal(get.status, 200);
        char *control = reply_field(&head, "Cache-Control");
        assert_string_equal(control, "no-store");
        free(control);
        reply_fini(&head);
        reply_fini(&get);
        (void)close(fd);
    }
}

static void query_parameters_are_known_or_refused(void **state)
{
    struct rig *rig = *state;
    static const char *const bad[] = {
        "/v1/tasks?stat=queued",
        "/v1/tasks?limit=0",
        "/v1/tasks?limit=1001",
        "/v1/tasks?limit=x",
        "/v1/tasks?limit=5&limit=5",
        "/v1/tasks?state=done",
        "/v1/tasks?state=",
        "/v1/tasks?cursor=x",
        "/v1/tasks?view=half",
        "/v1/tasks?created_after=now",
        "/v1/tasks/1?wait=soon",
        "/v1/tasks/1?wait=-1",
        "/healthz?wait=1",
        "/v1/tasks?pretty=2",
        "/v1/tasks?=1",
        "/v1/tasks?queue=a,,b",
        "/v1/tasks?cursor=AAAAAAAAAAAAAAAAAAAAAA",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_problem(request(rig, "GET", bad[i], NULL, NULL), 400, "invalid-query", NULL);

    struct reply reply = request(rig, "GET", "/v1/tasks?stat=queued", NULL, NULL);
    assert_non_null(strstr(json_text_at(&reply, "detail"), "did you mean state?"));
    reply_fini(&reply);
}

static void a_sound_refusal_keeps_the_connection(void **state)
{
    struct rig *rig = *state;
    int fd = client_connect(rig);

    struct reply reply = request_on(fd, rig, "POST", "/v1/tasks", JSON, "{\"kind\":");
    assert_int_equal(reply.status, 400);
    assert_false(reply.closed);
    reply_fini(&reply);
    reply = request_on(fd, rig, "GET", "/v1/nothing", NULL, NULL);
    assert_int_equal(reply.status, 404);
    assert_false(reply.closed);
    reply_fini(&reply);
    reply = request_on(fd, rig, "POST", "/v1/tasks", JSON, TASK);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
    (void)close(fd);
}

static void a_connection_ends_after_a_thousand_requests(void **state)
{
    struct rig *rig = *state;
    int fd = client_connect(rig);

    for (int i = 1; i <= 1000; i++) {
        struct reply reply = request_on(fd, rig, "GET", "/healthz", NULL, NULL);
        assert_int_equal(reply.status, 200);
        assert_int_equal(reply.closed, i == 1000);
        reply_fini(&reply);
    }
    assert_true(client_is_closed(fd));
    (void)close(fd);
}

static void nothing_but_health_is_answered_while_it_starts(void **state)
{
    struct rig *rig = *state;

    fake_phase(rig->engine, ENGINE_STARTING);
    struct reply reply = request(rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    expect_problem(request(rig, "GET", "/readyz", NULL, NULL), 503, "starting", NULL);
    expect_problem(request(rig, "GET", "/v1/tasks/1", NULL, NULL), 503, "starting", NULL);
    expect_problem(post(rig, "/v1/tasks", TASK), 503, "starting", NULL);
    fake_phase(rig->engine, ENGINE_READY);
    reply = post(rig, "/v1/tasks", TASK);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
}

static void while_it_drains_no_task_is_taken_but_others_are_told(void **state)
{
    struct rig *rig = *state;
    struct reply reply = post(rig, "/v1/tasks", TASK);
    reply_fini(&reply);

    fake_phase(rig->engine, ENGINE_DRAINING);
    reply = post(rig, "/v1/tasks", TASK);
    assert_true(reply.closed);
    char *after = reply_field(&reply, "Retry-After");
    assert_non_null(after);
    free(after);
    expect_problem(reply, 503, "draining", NULL);
    expect_problem(request(rig, "GET", "/readyz", NULL, NULL), 503, "draining", NULL);
    reply = request(rig, "GET", "/v1/tasks/1?wait=30s", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    reply = request(rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
}

static void every_problem_has_a_page(void **state)
{
    struct rig *rig = *state;
    static const char *const codes[] = {"invalid-json",
                                        "invalid-query",
                                        "framing",
                                        "unauthorized",
                                        "forbidden",
                                        "not-found",
                                        "task-removed",
                                        "method-not-allowed",
                                        "wrong-state",
                                        "task-failed",
                                        "request-timeout",
                                        "too-large",
                                        "url-too-long",
                                        "unsupported-media-type",
                                        "headers-too-large",
                                        "invalid-task",
                                        "invalid-queue",
                                        "idempotency-key-reused",
                                        "rate-limited",
                                        "internal",
                                        "draining",
                                        "starting",
                                        "busy",
                                        "backlog-full",
                                        "store-full"};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char path[80];
        (void)snprintf(path, sizeof(path), "/problems/%s", codes[i]);
        struct reply reply = request(rig, "GET", path, NULL, NULL);
        assert_int_equal(reply.status, 200);
        assert_non_null(strstr(reply.body, codes[i]));
        reply_fini(&reply);
    }
}

static void a_second_server_on_the_port_is_told_who_has_it(void **state)
{
    struct rig *rig = *state;
    struct engine *engine = NULL;
    struct server *server = NULL;
    struct error error;

    assert_int_equal(fake_new(&engine), 0);
    fake_config(engine)->listeners[0].port = rig->port;
    assert_int_equal(server_start(engine, NULL, &server, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "has it"));
    fake_free(engine);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(what_could_be_read_in_two_ways_is_refused_and_closed),
        ON_RIG(a_header_is_bounded),
        ON_RIG(only_who_names_the_address_and_is_no_web_page_is_served),
        ON_RIG(wrong_types_of_body_are_told_what_to_send),
        ON_RIG(paths_and_methods_are_known_or_refused),
        ON_RIG(head_is_get_without_a_body),
        ON_RIG(query_parameters_are_known_or_refused),
        ON_RIG(a_sound_refusal_keeps_the_connection),
        ON_RIG(a_connection_ends_after_a_thousand_requests),
        ON_RIG(nothing_but_health_is_answered_while_it_starts),
        ON_RIG(while_it_drains_no_task_is_taken_but_others_are_told),
        ON_RIG(every_problem_has_a_page),
        ON_RIG(a_second_server_on_the_port_is_told_who_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
