/** \file Many clients, waiting clients, clients that leave, and slow ones. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

static const char kinds[] =
    "queue: { default: { workers = 4 }; stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; };\n";

/* So many descriptors for us, and as many for the daemon, which inherits the limit. */
static void need_descriptors(rlim_t count)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= count)
        return;
    if (limit.rlim_max < count)
        harness_skip("not enough file descriptors are allowed");
    limit.rlim_cur = count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void ask(struct daemon *daemon, struct wire *wire, const char *path)
{
    wire_sendf(wire, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", path, daemon->port);
}

static void a_full_house_of_busy_connections_is_served(void)
{
    enum { CONNECTIONS = 256, ROUNDS = 20 };
    struct wire *wires[CONNECTIONS];
    need_descriptors(1024);
    struct daemon *daemon = daemon_started(kinds);
    const char *body = "{\"kind\":\"noop\",\"queue\":\"stopped\"}";
    int64_t began = now_ms();

    for (unsigned i = 0; i < CONNECTIONS; i++)
        wires[i] = wire_open(daemon->port);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (i % 2 == 0)
                ask(daemon, wires[i], "/healthz");
            else
                wire_sendf(wires[i],
                           "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
                           "application/json\r\n"
                           "Content-Length: %zu\r\n\r\n%s",
                           daemon->port, strlen(body), body);
        }
        for (unsigned i = 0; i < CONNECTIONS; i++)
            expect_status(wire_reply(wires[i], 20000), i % 2 == 0 ? 200 : 201);
    }

    print_message("%u requests on %u connections: %lld ms\n", ROUNDS * CONNECTIONS, CONNECTIONS,
                  (long long)(now_ms() - began));
    // One more waits until another leaves.
    struct wire *further = wire_open(daemon->port);
    ask(daemon, further, "/healthz");
    assert_false(wire_readable(further, 200));
    wire_close(wires[0]);
    expect_status(wire_reply(further, 10000), 200);
    daemon_stop(daemon);
}

/* The median of so many GET /healthz on one connection, in ns. */
static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int64_t median_ns(struct daemon *daemon)
{
    enum { CALLS = 101 };
    int64_t took[CALLS];

    for (unsigned i = 0; i < CALLS; i++)
        took[i] = expect_status(get(daemon, "/healthz"), 200)->took_ns;
    qsort(took, CALLS, sizeof(took[0]), compare);
    return took[CALLS / 2];
}

static unsigned waiting(struct daemon *daemon)
{
    return (unsigned)number_at(expect_status(get(daemon, "/v1/stats"), 200)->json, "http.waiting");
}

static void a_thousand_wait_while_others_are_served(void)
{
    enum { WAITING = 1000 };
    struct wire *wires[WAITING];
    need_descriptors(4096);
    struct daemon *daemon =
        daemon_started(plain_text("max_connections = 1100; max_waiting = %d;\n%s", WAITING, kinds));
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");
    const char *path = plain_text("/v1/tasks/%llu?wait=60s", (unsigned long long)id);
    int64_t alone_ns = median_ns(daemon);

    for (unsigned i = 0; i < WAITING; i++) {
        wires[i] = wire_open(daemon->port);
        ask(daemon, wires[i], path);
    }
    eventually(waiting(daemon) == WAITING, 30000);
    struct reply *reply = expect_problem(get(daemon, path), 503, "busy");
    assert_non_null(reply_header(reply, "Retry-After"));

    int64_t beside_ns = median_ns(daemon);
    print_message("a request takes %lld us alone, %lld us beside %d that wait\n",
                  (long long)alone_ns / 1000, (long long)beside_ns / 1000, WAITING);
    assert_in_range(beside_ns, 0, alone_ns + 10000000 * (int64_t)slow());
    (void)await_state(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded");
    assert_false(wire_readable(wires[0], 0));

    // Half of them leave: their places are free again without anybody's doing.
    for (unsigned i = 0; i < WAITING / 2; i++) {
        if (i % 2 == 0)
            wire_reset(wires[i]);
        else
            wire_close(wires[i]);
    }
    eventually(waiting(daemon) == WAITING / 2, 20000);
    for (unsigned i = 0; i < WAITING / 2; i++) {
        wires[i] = wire_open(daemon->port);
        ask(daemon, wires[i], path);
    }
    eventually(waiting(daemon) == WAITING, 20000);

    expect_status(
        call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id), NULL),
        200);
    for (unsigned i = 0; i < WAITING; i++)
        expect_text(expect_status(wire_reply(wires[i], 30000), 200)->json, "state", "cancelled");
    daemon_stop(daemon);
}

static void waiting_requests_are_answered_when_the_daemon_stops(void)
{
    enum { WAITING = 150 };
    struct wire *wires[WAITING];
    struct daemon *daemon = daemon_started(kinds);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");

    for (unsigned i = 0; i < WAITING; i++) {
        wires[i] = wire_open(daemon->port);
        ask(daemon, wires[i], "/v1/tasks/1?wait=60s");
    }
    eventually(waiting(daemon) == WAITING, 20000);
    int64_t took = daemon_stop(daemon);

    assert_in_range(took, 0, 3000 * slow());
    for (unsigned i = 0; i < WAITING; i++)
        expect_text(expect_status(wire_reply(wires[i], 1000), 200)->json, "state", "scheduled");
}

static void a_client_that_leaves_gives_its_place_back(void)
{
    struct daemon *daemon = daemon_started(plain_text("max_waiting = 1;\n%s", kinds));
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");

    for (unsigned i = 0; i < 10; i++) {
        struct wire *wire = wire_open(daemon->port);
        ask(daemon, wire, "/v1/tasks/1?wait=60s");
        eventually(waiting(daemon) == 1, 10000);
        expect_problem(get(daemon, "/v1/tasks/1?wait=1s"), 503, "busy");
        if (i % 2 == 0)
            wire_reset(wire);
        else
            wire_close(wire);
        eventually(waiting(daemon) == 0, 10000);
    }
}

static void a_full_backlog_refuses_new_tasks_but_no_retries(void)
{
    struct daemon *daemon = daemon_started(
        plain_text("max_backlog = 5;\n%s",
                   "queue: { default: { workers = 1 }; };\n"
                   "kind: { noop: { builtin = 'noop' }; fail: { builtin = 'fail' }; };\n"));
    uint64_t failed = submit(daemon, "{'kind':'fail','max_attempts':1}");
    expect_end(daemon, failed, "failed", "failed");
    (void)submit_many(daemon, 5, "{'kind':'noop','delay':'1h'}");

    struct reply *reply = call(daemon, "POST", "/v1/tasks", text("{'kind':'noop'}"));

    expect_problem(reply, 503, "backlog-full");
    assert_non_null(reply_header(reply, "Retry-After"));
    reply =
        call(daemon, "POST", plain_text("/v1/tasks/%llu/retry", (unsigned long long)failed), NULL);
    expect_status(reply, 200);
    expect_end(daemon, failed, "failed", "failed");
    expect_status(call(daemon, "POST", "/v1/tasks/2/cancel", NULL), 200);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");
}

static void bodies_together_are_bounded(void)
{
    enum { CONNECTIONS = 12 };
    struct wire *wires[CONNECTIONS];
    struct daemon *daemon = daemon_started(plain_text("max_request_memory = '8MiB';\n%s", kinds));
    const char *part = repeated(' ', 1 << 20);
    unsigned refused = 0;

    // Each is an array of 2 MiB that lacks its end.
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        wires[i] = wire_open(daemon->port);
        wire_sendf(
            wires[i],
            "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n\r\n[",
            daemon->port, (2 << 20) + 3);
        wire_send(wires[i], part, 1 << 20);
        wire_send(wires[i], part, (1 << 20) - 100);
    }
    bool answered[CONNECTIONS] = {false};
    int64_t until = now_ms() + 20000LL * slow();
    while (refused < CONNECTIONS - 4 && now_ms() < until) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (answered[i] || !wire_readable(wires[i], 10))
                continue;
            struct reply *reply = wire_reply(wires[i], 10000);
            if (reply->status != 0)
                expect_problem(reply, 503, "busy");
            answered[i] = true;
            refused++;
        }
    }

    assert_in_range(refused, CONNECTIONS - 4, CONNECTIONS - 1);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        wire_close(wires[i]);
    eventually(call(daemon, "POST", "/v1/tasks", text("{'kind':'noop'}"))->status == 201, 10000);
}

/* ---- slow clients: all at once, so that the waits lie beside each other ---- */

static void slow_clients_are_cut_off_by_absolute_deadlines(void)
{
    struct daemon *daemon = daemon_started(kinds);
    struct wire *slow_head = wire_open(daemon->port), *silent = wire_open(daemon->port);
    struct wire *slow_body = wire_open(daemon->port), *idle = wire_open(daemon->port);
    int64_t began = now_ms(), head_ms = 0, body_ms = 0, idle_ms = 0, silent_ms = 0;
    int64_t longest_ms = is_long() ? 40000 : 8000;

    wire_sendf(slow_head, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n", daemon->port);
    wire_sendf(slow_body,
               "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\n"
               "Content-Length: 1000\r\n\r\n{",
               daemon->port);
    ask(daemon, idle, "/healthz");
    expect_status(wire_reply(idle, 10000), 200);
    for (unsigned i = 0; now_ms() - began < longest_ms * slow(); i++) {
        // A trickle that an idle timeout would take for life.
        if (head_ms == 0 && wire_readable(slow_head, 0))
            head_ms = now_ms() - began;
        if (body_ms == 0 && wire_readable(slow_body, 0))
            body_ms = now_ms() - began;
        if (idle_ms == 0 && wire_readable(idle, 0))
            idle_ms = now_ms() - began;
        if (silent_ms == 0 && wire_readable(silent, 0))
            silent_ms = now_ms() - began;
        if (head_ms == 0)
            wire_sendf(slow_head, "X-%u: y\r\n", i % 20);
        if (body_ms == 0)
            wire_send(slow_body, " ", 1);
        bool is_over =
            head_ms != 0 && (!is_long() || (body_ms != 0 && idle_ms != 0 && silent_ms != 0));
        if (is_over)
            break;
        pass_ms(200);
        expect_status(get(daemon, "/healthz"), 200);
    }

    print_message("cut off: headers %lld ms, body %lld, idle %lld, silent %lld\n",
                  (long long)head_ms, (long long)body_ms, (long long)idle_ms, (long long)silent_ms);
    assert_in_range(head_ms, 4000, 7000 * slow());
    if (is_long()) {
        assert_in_range(body_ms, 28000, 34000 * slow());
        assert_in_range(idle_ms, 13000, 19000 * slow());
        assert_in_range(silent_ms, 1, 19000 * slow());
    }
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static void a_connection_ends_after_a_thousand_requests(void)
{
    struct daemon *daemon = daemon_started(kinds);
    struct wire *wire = wire_open(daemon->port);
    unsigned answered = 0;

    for (; answered < 1100; answered++) {
        ask(daemon, wire, "/healthz");
        struct reply *reply = wire_reply(wire, 10000);
        const char *connection = NULL;

        expect_status(reply, 200);
        connection = reply_header(reply, "Connection");
        if (connection != NULL && strcasecmp(connection, "close") == 0)
            break;
    }

    assert_int_equal(answered, 999);
    assert_true(wire_closes(wire, 10000));
}

static void a_client_that_does_not_read_delays_nobody(void)
{
    struct daemon *daemon = daemon_started(kinds);
    struct wire *wire = wire_open(daemon->port);
    uint64_t id =
        submit(daemon, "{'kind':'noop','queue':'stopped','args':'%s'}", repeated('r', 900000));

    for (unsigned i = 0; i < 50; i++)
        ask(daemon, wire, plain_text("/v1/tasks/%llu", (unsigned long long)id));

    for (unsigned i = 0; i < 20; i++)
        assert_in_range(expect_status(get(daemon, "/healthz"), 200)->took_ns / 1000000, 0,
                        1000 * slow());
    wire_reset(wire);
    daemon_stop(daemon);
}

static void few_descriptors_starve_nobody_for_good(void)
{
    enum { CONNECTIONS = 80 };
    struct wire *wires[CONNECTIONS];
    struct daemon *daemon = daemon_new(kinds);
    daemon->prefix = (const char *[]){"prlimit", "--nofile=96:96", NULL};
    daemon_start(daemon);

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        wires[i] = wire_open(daemon->port);
        ask(daemon, wires[i], "/healthz");
    }
    unsigned answered = 0;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        answered += wire_readable(wires[i], i == 0 ? 2000 : 10);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        wire_reset(wires[i]);

    assert_in_range(answered, 8, CONNECTIONS);
    eventually(get(daemon, "/healthz")->status == 200, 10000);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_full_house_of_busy_connections_is_served),
             SCENARIO(a_thousand_wait_while_others_are_served),
             SCENARIO(waiting_requests_are_answered_when_the_daemon_stops),
             SCENARIO(a_client_that_leaves_gives_its_place_back),
             SCENARIO(a_full_backlog_refuses_new_tasks_but_no_retries),
             SCENARIO(bodies_together_are_bounded),
             SCENARIO(slow_clients_are_cut_off_by_absolute_deadlines),
             SCENARIO(a_connection_ends_after_a_thousand_requests),
             SCENARIO(a_client_that_does_not_read_delays_nobody),
             SCENARIO(few_descriptors_starve_nobody_for_good))
