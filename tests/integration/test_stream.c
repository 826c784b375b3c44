/** \file Streams of tasks (application/x-ndjson): counted, resumable by key, ended by the first bad
 * line and by a drain. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "drain_timeout = '5s';\n"
    "queue: { default: { workers = 2 }; stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop'; queue = 'stopped' }; sleep: { builtin = 'sleep' }; };\n";

static struct daemon *started(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    return daemon;
}

/* count tasks, a line each; the args are the line's number from `from` on. */
static char *lines_of(unsigned from, unsigned count)
{
    char *all = repeated('\0', (size_t)count * 48 + 1);
    char *end = all;

    for (unsigned i = 0; i < count; i++)
        end += snprintf(end, 48, "{\"kind\":\"noop\",\"args\":%u}\n", from + i);
    return all;
}

static struct reply *send_stream(struct daemon *daemon, const char *path, const char *key,
                                 const char *body)
{
    const char *headers[] = {key != NULL ? plain_text("Idempotency-Key: %s", key) : NULL, NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = path,
                                                  .body = body,
                                                  .content_type = "application/x-ndjson",
                                                  .headers = headers});
}

/* The beginning of a stream by hand, chunked. */
static struct wire *open_stream(struct daemon *daemon, const char *key)
{
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(
        wire,
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\n%s%s%s\r\n",
        daemon->port, key != NULL ? "Idempotency-Key: " : "", key != NULL ? key : "",
        key != NULL ? "\r\n" : "");
    return wire;
}

static void send_chunk(struct wire *wire, const char *bytes)
{
    wire_sendf(wire, "%zx\r\n", strlen(bytes));
    wire_send(wire, bytes, strlen(bytes));
    wire_send(wire, "\r\n", 2);
}

/* Every args from 0 to count - 1 is there once. */
static void expect_each_line_once(struct daemon *daemon, unsigned count)
{
    bool *seen = keep(calloc(count, sizeof(*seen)));
    const char *path = "/v1/tasks?view=full&kind=noop&limit=1000";
    const char *next = NULL;
    unsigned found = 0;

    do {
        json_t *page = expect_status(get(daemon, path), 200)->json, *one = NULL;
        size_t i = 0;

        json_array_foreach (at(page, "tasks"), i, one) {
            int64_t line = number_at(one, "args");

            assert_in_range(line, 0, count - 1);
            assert_false(seen[line]);
            seen[line] = true;
            found++;
        }
        next = text_at(page, "next");
        path = plain_text("/v1/tasks?view=full&kind=noop&limit=1000&cursor=%s",
                          next != NULL ? next : "");
    } while (next != NULL);
    assert_int_equal(found, count);
}

static void a_stream_is_stored_and_counted(void)
{
    struct daemon *daemon = started();

    struct reply *reply =
        expect_status(send_stream(daemon, "/v1/tasks", NULL, lines_of(0, 5000)), 201);

    expect_number(reply->json, "count", 5000);
    assert_true(number_at(reply->json, "last_id") - number_at(reply->json, "first_id") >= 4999);
    expect_each_line_once(daemon, 5000);
    expect_number(task(daemon, (uint64_t)number_at(reply->json, "first_id")), "args", 0);
    expect_number(task(daemon, (uint64_t)number_at(reply->json, "last_id")), "args", 4999);
    daemon_kill(daemon);
    daemon_start(daemon);
    expect_each_line_once(daemon, 5000);
}

static void the_last_line_needs_no_newline_and_crlf_is_fine(void)
{
    struct daemon *daemon = started();

    struct reply *reply = send_stream(daemon, "/v1/tasks", NULL,
                                      text("{'kind':'noop','args':0}\r\n{'kind':'noop','args':1}"));

    expect_number(expect_status(reply, 201)->json, "count", 2);
    expect_each_line_once(daemon, 2);
}

static void the_query_fills_every_line(void)
{
    struct daemon *daemon = started();

    expect_status(send_stream(daemon, "/v1/tasks?kind=noop&priority=7", NULL,
                              text("{'args':0}\n{'args':1,'priority':-1}\n")),
                  201);

    expect_number(task(daemon, 1), "priority", 7);
    expect_number(task(daemon, 2), "priority", -1);
}

static void the_first_bad_line_ends_it_and_what_came_before_stays(void)
{
    static const struct {
        const char *line, *code, *pointer;
        int status;
    } rows[] = {
        {"{'kind':'noop'", "invalid-json", NULL, 400},
        {"{'kind':'nope'}", "invalid-task", "#/kind", 422},
        {"{'kind':'noop','priority':500}", "invalid-task", "#/priority", 422},
        {"[{'kind':'noop'}]", "invalid-task", NULL, 422},
        {"17", "invalid-task", NULL, 422},
        {"{'kind':'noop'} {'kind':'noop'}", "invalid-json", NULL, 400},
        {"{'kind':'noop','args':'\xff'}", "invalid-json", NULL, 400},
        {"{'kind':'noop',\n'args':1}", "invalid-json", NULL, 400},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct daemon *daemon = started();
        const char *bad =
            plain_text("%s%s\n%s", lines_of(0, 1500), quoted(rows[i].line), lines_of(1500, 10));

        struct reply *reply = send_stream(daemon, "/v1/tasks", NULL, bad);

        expect_problem(reply, rows[i].status, rows[i].code);
        expect_number(reply->json, "count", 1500);
        expect_number(reply->json, "line", 1501);
        assert_true(rows[i].pointer == NULL || has_pointer(reply->json, rows[i].pointer));
        expect_each_line_once(daemon, 1500);
        daemon_kill(daemon);
    }
}

static void a_line_over_its_limit_is_refused(void)
{
    struct daemon *daemon = started();
    char *long_line = plain_text("%s{\"kind\":\"noop\",\"args\":\"%s\"}\n", lines_of(0, 3),
                                 repeated('l', 3 << 20));

    struct reply *reply = send_stream(daemon, "/v1/tasks", NULL, long_line);

    if (reply->status != 0) { // else the connection ended while we still sent
        expect_problem(reply, 413, "too-large");
        expect_number(reply->json, "count", 3);
        expect_number(reply->json, "line", 4);
    }
    expect_each_line_once(daemon, 3);
}

static void an_empty_stream_and_a_waiting_one_are_refused(void)
{
    struct daemon *daemon = started();

    struct reply *empty = send_stream(daemon, "/v1/tasks", NULL, "");
    struct reply *waiting = send_stream(daemon, "/v1/tasks?wait=1s", NULL, lines_of(0, 2));

    assert_true(empty->status == 201 || empty->status == 400 || empty->status == 422);
    expect_problem(waiting, 400, "invalid-query");
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static void a_stream_that_broke_off_is_resumed_by_its_key(void)
{
    enum { LINES = 4000 };
    struct daemon *daemon = started();
    const char *all = lines_of(0, LINES);

    for (unsigned cut = 1; cut <= 3; cut++) {
        struct wire *wire = open_stream(daemon, "load-1");
        unsigned sent = cut * 1100;

        send_chunk(wire, lines_of(0, sent));
        if (cut == 2) {
            eventually(count_tasks(daemon, "") >= 1000, 20000);
            daemon_kill(daemon);
            daemon_start(daemon);
        }
        wire_reset(wire);
    }
    struct reply *reply = send_stream(daemon, "/v1/tasks", "load-1", all);

    expect_number(expect_status(reply, 201)->json, "count", LINES);
    expect_each_line_once(daemon, LINES);
    reply = expect_status(send_stream(daemon, "/v1/tasks", "load-1", all), 201);
    expect_number(reply->json, "count", LINES);
    assert_string_equal(reply_header(reply, "Idempotent-Replayed"), "true");
    expect_each_line_once(daemon, LINES);
}

static void other_lines_under_the_same_key_are_refused(void)
{
    struct daemon *daemon = started();
    expect_status(send_stream(daemon, "/v1/tasks", "k", lines_of(0, 1200)), 201);

    expect_problem(send_stream(daemon, "/v1/tasks", "k", lines_of(1, 1200)), 422,
                   "idempotency-key-reused");
    expect_problem(send_stream(daemon, "/v1/tasks?priority=3", "k", lines_of(0, 1200)), 422,
                   "idempotency-key-reused");

    expect_each_line_once(daemon, 1200);
}

struct sender {
    pthread_t thread;
    uint16_t port;
    const char *body;
    int status;
};

static void *send_until_stored(void *arg)
{
    static const char *const headers[] = {"Idempotency-Key: together", NULL};
    struct sender *sender = arg;
    struct client *client = client_new(sender->port);

    for (unsigned i = 0; i < 20 && sender->status != 201; i++) {
        struct reply *reply =
            client_call(client, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .body = sender->body,
                                                  .content_type = "application/x-ndjson",
                                                  .headers = headers,
                                                  .is_fresh = true});

        sender->status = reply->status;
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void two_at_once_with_one_key_store_each_line_once(void)
{
    enum { LINES = 6000, SENDERS = 4 };
    struct daemon *daemon = started();
    struct sender senders[SENDERS];
    const char *all = lines_of(0, LINES);

    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.port = daemon->port, .body = all};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_until_stored, &senders[i]),
                         0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);

    for (unsigned i = 0; i < SENDERS; i++)
        assert_int_equal(senders[i].status, 201);
    expect_each_line_once(daemon, LINES);
}

static void a_drain_ends_a_stream_with_its_count(void)
{
    struct daemon *daemon = started();
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'2s'}}");
    await_state(daemon, running, "running");
    struct wire *wire = open_stream(daemon, "k");
    send_chunk(wire, lines_of(0, 2500));
    eventually(count_tasks(daemon, "kind=noop&") >= 1000, 20000);

    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));
    send_chunk(wire, lines_of(2500, 2000));

    struct reply *reply = wire_reply(wire, 10000);
    expect_problem(reply, 503, "draining");
    int64_t count = number_at(reply->json, "count");
    assert_in_range(count, 1000, 4500);
    assert_int_equal(daemon_await_end(daemon, 20000), 0);
    daemon_start(daemon);
    expect_each_line_once(daemon, (unsigned)count);
    reply = expect_status(send_stream(daemon, "/v1/tasks", "k", lines_of(0, 4500)), 201);
    expect_number(reply->json, "count", 4500);
    expect_each_line_once(daemon, 4500);
}

static void others_are_served_while_a_stream_comes(void)
{
    struct daemon *daemon = started();
    struct wire *wire = open_stream(daemon, NULL);

    for (unsigned i = 0; i < 10; i++) {
        send_chunk(wire, lines_of(i * 1000, 1000));
        (void)submit(daemon, "{'kind':'sleep','delay':'1h','args':{'duration':0}}");
    }
    wire_send(wire, "0\r\n\r\n", 5);

    expect_number(expect_status(wire_reply(wire, 20000), 201)->json, "count", 10000);
    expect_each_line_once(daemon, 10000);
    assert_int_equal(count_tasks(daemon, "kind=sleep&"), 10);
}

HARNESS_MAIN(SCENARIO(a_stream_is_stored_and_counted),
             SCENARIO(the_last_line_needs_no_newline_and_crlf_is_fine),
             SCENARIO(the_query_fills_every_line),
             SCENARIO(the_first_bad_line_ends_it_and_what_came_before_stays),
             SCENARIO(a_line_over_its_limit_is_refused),
             SCENARIO(an_empty_stream_and_a_waiting_one_are_refused),
             SCENARIO(a_stream_that_broke_off_is_resumed_by_its_key),
             SCENARIO(other_lines_under_the_same_key_are_refused),
             SCENARIO(two_at_once_with_one_key_store_each_line_once),
             SCENARIO(a_drain_ends_a_stream_with_its_count),
             SCENARIO(others_are_served_while_a_stream_comes))
