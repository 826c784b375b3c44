/* Deadlines of connections, and what happens when memory, threads or descriptors run out. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/core.h"
#include "fault.h"

#define JSON "Content-Type: application/json\r\n"

static json_int_t open_connections(struct rig *rig)
{
    struct reply reply = request(rig, "GET", "/v1/stats", NULL, NULL);
    json_int_t open =
        json_integer_value(json_object_get(json_object_get(reply.json, "http"), "connections"));
    reply_fini(&reply);
    return open;
}

/* ---- deadlines ---- */

/* The server starts with these. */
static struct config_limits *limits_of(struct rig *rig)
{
    return &fake_config(rig->engine)->limits;
}

static void a_slow_header_is_ended_however_lively_it_is(void **state)
{
    struct rig *rig = *state;
    char text[200];

    limits_of(rig)->header_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);
    int fd = client_connect(rig);
    client_text(fd, "GET /healthz HTTP/1.1\r\n");
    // A byte every 20 ms: each comes long before any timeout of idleness.
    const struct timeval pace = {.tv_usec = 20000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pace, sizeof(pace)), 0);
    rn_time begin = rn_now();
    ssize_t n = -1;
    while (n < 0 && rn_now() - begin < 30 * RN_SECOND) {
        client_text(fd, "X");
        n = recv(fd, text, sizeof(text), 0);
        if (n < 0 && errno == ECONNRESET)
            n = 0;
    }
    assert_int_equal(n, 0);
    (void)close(fd);

    fd = client_connect(rig);
    assert_true(client_is_closed(fd)); // that says nothing at all
    (void)close(fd);
}

static void a_slow_body_is_answered_408(void **state)
{
    struct rig *rig = *state;
    static const char *const types[] = {"application/json", "application/x-ndjson"};

    limits_of(rig)->body_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);
    for (size_t i = 0; i < 2; i++) {
        int fd = client_connect(rig);
        client_textf(fd,
                     "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                     "%s\r\nContent-Length: 100\r\n\r\n{",
                     rig->port, types[i]);
        struct reply reply = client_read(fd, false);
        assert_true(reply.closed);
        expect_problem(reply, 408, "request-timeout", NULL);
        assert_true(client_is_closed(fd));
        (void)close(fd);
    }
    assert_int_equal(fake_task_count(rig->engine), 0);
    struct reply metrics = request(rig, "GET", "/metrics", NULL, NULL);
    assert_non_null(strstr(
        metrics.body,
        "\nrunnel_http_requests_total{method=\"POST\",route=\"/v1/tasks\",code=\"4xx\"} 2\n"));
    reply_fini(&metrics);
}

static void a_stream_may_go_on_as_long_as_lines_come(void **state)
{
    struct rig *rig = *state;

    limits_of(rig)->body_timeout = 2 * RN_SECOND;
    rig_start(rig);
    int fd = client_connect(rig);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                 "application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
                 rig->port);
    rn_time begin = rn_now();
    int count = 0;
    while (rn_now() - begin < 4 * RN_SECOND) {
        client_text(fd, "f\r\n{\"kind\":\"echo\"}\r\n1\r\n\n\r\n");
        count++;
        // Health is answered meanwhile; it also spaces the lines.
        struct reply reply = request(rig, "GET", "/healthz", NULL, NULL);
        assert_int_equal(reply.status, 200);
        reply_fini(&reply);
    }
    // What trickles is stored while it trickles.
    assert_true(fake_task_count(rig->engine) > 0);
    client_text(fd, "0\r\n\r\n");
    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), count);
    reply_fini(&reply);
    (void)close(fd);
}

static void an_idle_connection_is_closed(void **state)
{
    struct rig *rig = *state;

    limits_of(rig)->idle_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);
    int fd = client_connect(rig);
    struct reply reply = request_on(fd, rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_false(reply.closed);
    reply_fini(&reply);
    assert_true(client_is_closed(fd));
    (void)close(fd);
}

static void who_does_not_read_the_answer_is_closed(void **state)
{
    struct rig *rig = *state;
    const int small = 4096;

    limits_of(rig)->answer_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);
    // A large answer, into a small window.
    char *body = task_with_args(1 << 20);
    for (int i = 0; i < 8; i++) {
        struct reply reply = post(rig, "/v1/tasks", body);
        assert_int_equal(reply.status, 201);
        reply_fini(&reply);
    }
    free(body);
    int fd = client_connect(rig);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    client_textf(fd, "GET /v1/tasks?view=full HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", rig->port);
    // It is there beside the one that asks, and then gone.
    rn_time begin = rn_now();
    while (open_connections(rig) != 2 && rn_now() - begin < 30 * RN_SECOND)
        continue;
    while (open_connections(rig) != 1 && rn_now() - begin < 30 * RN_SECOND)
        continue;
    assert_int_equal(open_connections(rig), 1);
    (void)close(fd);
}

static void a_wait_is_under_no_deadline(void **state)
{
    struct rig *rig = *state;

    limits_of(rig)->header_timeout = RN_SECOND;
    limits_of(rig)->body_timeout = 500 * RN_MILLISECOND;
    limits_of(rig)->answer_timeout = RN_SECOND;
    rig_start(rig);
    struct reply reply = post(rig, "/v1/tasks", "{\"kind\":\"echo\"}");
    reply_fini(&reply);
    int fd = client_connect(rig);
    client_textf(fd, "GET /v1/tasks/1?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", rig->port);
    fake_wait_waiting(rig->engine, 1);
    // Another connection, opened later, is reaped meanwhile.
    int idle = client_connect(rig);
    assert_true(client_is_closed(idle));
    (void)close(idle);
    fake_set(rig->engine, 1, TASK_SUCCEEDED, NULL, false);
    reply = client_read(fd, false);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    (void)close(fd);
}

/* ---- many ---- */

static void two_hundred_and_fifty_six_busy_connections_do_not_stall(void **state)
{
    struct rig *rig = *state;
    enum { CONNECTIONS = 256, ROUNDS = 10 };
    static int fds[CONNECTIONS];
    char text[300];

    (void)snprintf(text, sizeof(text),
                   "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
                   "Content-Length: 15\r\n\r\n{\"kind\":\"echo\"}",
                   rig->port);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = client_connect(rig);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            client_text(fds[i], text);
        for (int i = 0; i < CONNECTIONS; i++) {
            struct reply reply = client_read(fds[i], false);
            assert_int_equal(reply.status, 201);
            reply_fini(&reply);
        }
    }
    for (int i = 0; i < CONNECTIONS; i++)
        (void)close(fds[i]);
    assert_int_equal(fake_task_count(rig->engine), CONNECTIONS * ROUNDS);
}

/* ---- nothing left ---- */

static const struct {
    const char *line, *fields, *body;
} requests[] = {
    {"POST /v1/tasks?tags=a", JSON, "{\"kind\":\"echo\",\"args\":{\"a\":[1,2]},\"tags\":[\"x\"]}"},
    {"POST /v1/tasks", JSON "Idempotency-Key: k\r\n", "{\"kind\":\"echo\",\"args\":1}"},
    {"POST /v1/tasks", JSON, "[{\"kind\":\"echo\"},{\"kind\":\"echo\"}]"},
    {"POST /v1/tasks", JSON, "{\"kind\":\"ecco\",\"priorty\":1}"},
    {"POST /v1/tasks", JSON, "{\"kind\":"},
    {"POST /v1/tasks", JSON, "5"},
    {"POST /v1/tasks?pretty", "Content-Type: application/x-ndjson\r\n",
     "{\"kind\":\"echo\"}\n{\"kind\":\"echo\",\"args\":2}\n"},
    {"POST /v1/tasks", "Content-Type: application/x-ndjson\r\n",
     "{\"kind\":\"echo\"}\n{\"kind\":\"ech\"}\n"},
    {"POST /v1/tasks", "Content-Type: text/plain\r\n", "x"},
    {"GET /v1/tasks/1?pretty", "", NULL},
    {"GET /v1/tasks/1/result", "", NULL},
    {"GET /v1/tasks?state=queued&queue=default&tag=a&error_code=x", "", NULL},
    {"POST /v1/tasks/actions", JSON, "{\"action\":\"retry\",\"filter\":{\"state\":[\"failed\"]}}"},
    {"POST /v1/tasks/actions", JSON, "{\"action\":\"cancle\",\"filter\":{\"stat\":1}}"},
    {"PATCH /v1/tasks/1", JSON,
     "{\"kind\":\"echo\",\"priority\":2,\"tags\":[\"t\"],\"run_at\":null}"},
    {"PATCH /v1/tasks/1", JSON, "{\"kind\":\"copy\",\"priorty\":2}"},
    {"POST /v1/queues/mail/purge", JSON, "{\"dry_run\":true}"},
    {"GET /v1/queues", "", NULL},
    {"PATCH /v1/queues/mail", JSON, "{\"workers\":3}"},
    {"POST /v1/tasks/1/cancel", "", ""},
    {"GET /v1/info", "", NULL},
    {"GET /problems/busy", "", NULL},
};

static void each_failed_allocation_is_an_answer_or_an_end(void **state)
{
    struct rig *rig = *state;
    static char reply[1 << 20];
    struct reply first = post(rig, "/v1/tasks", "{\"kind\":\"echo\"}");
    reply_fini(&first);

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        for (int nth = 1;; nth++) {
            char text[1000];
            unsigned before = fake_task_count(rig->engine);
            int fd = client_connect(rig);
            int used = snprintf(text, sizeof(text),
                                "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s",
                                requests[i].line, rig->port, requests[i].fields);
            if (requests[i].body != NULL)
                used += snprintf(text + used, sizeof(text) - (size_t)used,
                                 "Content-Length: %zu\r\n", strlen(requests[i].body));
            (void)snprintf(text + used, sizeof(text) - (size_t)used, "\r\n%s",
                           requests[i].body != NULL ? requests[i].body : "");

            fault_fail_malloc(nth);
            client_text(fd, text);
            client_read_all(fd, reply, sizeof(reply));
            bool reached = fault_reached();
            (void)close(fd);

            int status = reply[0] != '\0' ? status_of(reply) : 0;
            // A refusal stores nothing; no answer at all may mean either.
            if (status >= 400)
                assert_true(fake_task_count(rig->engine) - before <=
                            (strstr(requests[i].fields, "ndjson") != NULL));
            if (!reached) {
                assert_true(status >= 200 && status != 503);
                break;
            }
        }
    }
    struct reply last = post(rig, "/v1/tasks", "{\"kind\":\"echo\"}");
    assert_int_equal(last.status, 201);
    reply_fini(&last);
    assert_int_equal(rig_memory(rig), 0);
}

static void a_server_starts_whole_or_not_at_all(void **state)
{
    struct rig *rig = *state;
    static const enum fault_call calls[] = {FAULT_MALLOC, FAULT_PTHREAD_CREATE, FAULT_EVENTFD};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (int nth = 1;; nth++) {
            struct error error = {.code = 0};
            struct server *server = NULL;

            fault_fail(calls[i], nth, calls[i] == FAULT_PTHREAD_CREATE ? EAGAIN : ENOMEM);
            int r = server_start(rig->engine, NULL, &server, &error);
            bool reached = fault_reached();
            if (r == 0) {
                server_free(server);
            } else {
                assert_null(server);
                assert_true(error.text[0] != '\0');
                assert_int_equal(error.code, r);
            }
            if (!reached) {
                assert_int_equal(r, 0);
                break;
            }
        }
    }
}

int main(void)
{
#define ON_STOPPED(test) cmocka_unit_test_setup_teardown(test, rig_setup_stopped, rig_teardown)
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_STOPPED(a_slow_header_is_ended_however_lively_it_is),
        ON_STOPPED(a_slow_body_is_answered_408),
        ON_STOPPED(a_stream_may_go_on_as_long_as_lines_come),
        ON_STOPPED(an_idle_connection_is_closed),
        ON_STOPPED(who_does_not_read_the_answer_is_closed),
        ON_STOPPED(a_wait_is_under_no_deadline),
        ON_RIG(two_hundred_and_fifty_six_busy_connections_do_not_stall),
        ON_RIG(each_failed_allocation_is_an_answer_or_an_end),
        cmocka_unit_test_setup_teardown(a_server_starts_whole_or_not_at_all, rig_setup_stopped,
                                        rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
