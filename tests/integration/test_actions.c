/* Actions on many tasks, and the purge of a queue. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"

/* Puts so many that are cancelled into the paused queue. */
static void put_cancelled(struct daemon *daemon, unsigned count)
{
    for (unsigned left = count; left > 0;) {
        unsigned some = left < 5000 ? left : 5000;
        (void)submit_many(daemon, some, "{'kind':'noop','queue':'parked'}");
        left -= some;
    }
    expect_number(expect_status(call(daemon, "POST", "/v1/queues/parked/purge", NULL), 200)->json,
                  "changed", count);
}

/* ---- filters ---- */

static void clear(struct daemon *daemon)
{
    act(daemon, text("{'action':'cancel','all':true}"));
    eventually(count_in(daemon, "busy", "running") == 0, 10000);
    act(daemon, text("{'action':'delete','all':true}"));
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static const struct {
    const char *action, *filter;
    int matched, changed;
} choices[] = {
    {"retry", "'state':'failed'", 1, 1},
    {"retry", "'state':['failed','cancelled']", 2, 2},
    {"retry", "'queue':'parked'", 2, 1},
    {"retry", "'kind':['fail','echo']", 2, 1},
    {"retry", "'tag':'x'", 2, 1},
    {"retry", "'error_code':'failed'", 1, 1},
    {"retry", "'error_code':['timeout','exit']", 0, 0},
    {"retry", "'finished_after':'2020-01-01T00:00:00Z'", 3, 2},
    {"retry", "'finished_before':'2020-01-01T00:00:00Z'", 0, 0},
    {"cancel", "'state':'queued'", 1, 1},
    {"cancel", "'state':'running'", 1, 1},
    {"cancel", "'state':['queued','scheduled','running']", 3, 3},
    {"cancel", "'queue':['parked','busy']", 3, 2},
    {"cancel", "'kind':'noop','state':'scheduled'", 1, 1},
    {"cancel", "'created_after':'2020-01-01T00:00:00Z'", 6, 3},
    {"cancel", "'created_before':'2020-01-01T00:00:00Z'", 0, 0},
    {"cancel", "'tag':['y','z']", 2, 1},
    {"delete", "'state':'succeeded'", 1, 1},
    {"delete", "'state':['running','queued']", 2, 0},
    {"delete", "'queue':'nowhere'", 0, 0},
    {"delete", "'error_code':'failed','state':'failed'", 1, 1},
    {"delete", "'finished_after':'2020-01-01T00:00:00Z','tag':null", 3, 3},
};

static void each_action_does_to_each_filter_what_its_dry_run_said(void)
{
    struct daemon *daemon = started();

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        const char *action = choices[i].action, *filter = quoted(choices[i].filter);
        uint64_t first = one_of_each(daemon);
        const char *before = call(daemon, "GET", "/v1/tasks", NULL)->body;

        json_t *dry =
            act(daemon, text("{'action':'%s','dry_run':true,'filter':{%s}}", action, filter));
        assert_string_equal(call(daemon, "GET", "/v1/tasks", NULL)->body, before);
        json_t *real = act(daemon, text("{'action':'%s','filter':{%s}}", action, filter));

        if (number_at(real, "matched") != choices[i].matched ||
            number_at(real, "changed") != choices[i].changed)
            harness_fail(__FILE__, __LINE__, "%s %s: matched %lld, changed %lld", action, filter,
                         (long long)number_at(real, "matched"),
                         (long long)number_at(real, "changed"));
        expect_number(real, "skipped", choices[i].matched - choices[i].changed);
        expect_text(real, "action", action);
        assert_true(json_is_true(at(dry, "dry_run")) && json_is_false(at(real, "dry_run")));
        expect_number(dry, "matched", number_at(real, "matched"));
        expect_number(dry, "changed", number_at(real, "changed"));
        expect_number(dry, "skipped", number_at(real, "skipped"));
        // What it was done to is in another state, or has gone.
        if (strcmp(action, "delete") == 0)
            assert_int_equal(count_tasks(daemon, ""), COUNT - choices[i].changed);
        if (strcmp(action, "cancel") == 0)
            eventually((int)count_tasks(daemon, "state=cancelled&") == 1 + choices[i].changed,
                       10000);
        if (i == 0)
            expect_number(expect_end(daemon, first + FAILED, "failed", "failed"),
                          "attempts.1.attempt", 1);
        clear(daemon);
    }
}

static void all_is_every_task_up_to_the_last_one(void)
{
    struct daemon *daemon = started();
    json_t *none = act(daemon, text("{'action':'delete','all':true,'filter':{}}"));
    expect_number(none, "matched", 0);
    (void)one_of_each(daemon);

    json_t *cancelled = act(daemon, text("{'action':'cancel','all':true}"));

    expect_number(cancelled, "matched", COUNT);
    expect_number(cancelled, "changed", 3);
    eventually(count_in(daemon, "busy", "running") == 0, 10000);
    json_t *deleted = act(daemon, text("{'action':'delete','all':true}"));
    expect_number(deleted, "changed", COUNT);
    assert_int_equal(count_tasks(daemon, ""), 0);
}

/* ---- many ---- */

static void a_purge_cancels_what_waits_in_the_queue_and_nothing_else(void)
{
    enum { WAITING = 10000, LATER = 50 };
    struct daemon *daemon = started();
    uint64_t running = submit(daemon, "{'kind':'sleep','queue':'busy','args':{'duration':'1h'}}");
    await_state(daemon, running, "running");
    (void)submit_many(daemon, 3, "{'kind':'noop','queue':'busy','delay':'1h'}");
    (void)submit_many(daemon, WAITING / 2, "{'kind':'noop','queue':'parked'}");
    (void)submit_many(daemon, WAITING / 2, "{'kind':'noop','queue':'parked','priority':5}");
    (void)submit_many(daemon, LATER, "{'kind':'noop','queue':'parked','delay':'1h'}");

    const char *path = "/v1/queues/parked/purge";
    json_t *dry = expect_status(call(daemon, "POST", path, text("{'dry_run':true}")), 200)->json;
    expect_number(dry, "changed", WAITING + LATER);
    assert_int_equal(count_in(daemon, "parked", "queued"), WAITING);
    json_t *real = expect_status(call(daemon, "POST", path, NULL), 200)->json;

    expect_number(real, "matched", WAITING + LATER);
    expect_number(real, "changed", WAITING + LATER);
    expect_number(real, "skipped", 0);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), WAITING + LATER);
    assert_int_equal(count_in(daemon, "parked", "queued"), 0);
    // One that comes afterwards is not touched, and runs.
    uint64_t after = submit(daemon, "{'kind':'noop','queue':'parked'}");
    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", NULL), 200);
    expect_end(daemon, after, "succeeded", NULL);
    real = expect_status(call(daemon, "POST", "/v1/queues/busy/purge", text("{}")), 200)->json;
    expect_number(real, "changed", 3);
    expect_text(task(daemon, running), "state", "running");
}

/* A retry of all that is parked, which has begun. */
static struct wire *retry_parked(struct daemon *daemon)
{
    const char *body = text("{'action':'retry','filter':{'queue':'parked'}}");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/tasks/actions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               daemon->port, strlen(body), body);
    eventually(count_in(daemon, "parked", "queued") > 0, 10000);
    return wire;
}

static void it_goes_on_when_the_client_leaves(void)
{
    enum { TASKS = 10000 };
    struct daemon *daemon = started();
    put_cancelled(daemon, TASKS);
    struct wire *wire = retry_parked(daemon);

    wire_reset(wire);

    eventually(count_in(daemon, "parked", "queued") == TASKS, 30000);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), 0);
}

static void a_drain_ends_it_and_tells_how_far_it_came(void)
{
    enum { TASKS = 30000 };
    struct daemon *daemon = started();
    put_cancelled(daemon, TASKS);
    struct wire *wire = retry_parked(daemon);

    daemon_signal(daemon, SIGTERM);
    struct reply *reply = wire_reply(wire, 20000);
    assert_int_equal(daemon_await_end(daemon, 20000), 0);

    expect_problem(reply, 503, "draining");
    int64_t changed = number_at(reply->json, "changed");
    assert_true(changed > 0 && changed < TASKS);
    expect_number(reply->json, "matched", changed);
    expect_number(reply->json, "skipped", 0);
    // What it tells is what is stored, and sent again it does the rest.
    daemon_start(daemon);
    assert_int_equal(count_in(daemon, "parked", "queued"), changed);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), TASKS - changed);
    json_t *rest = act(daemon, text("{'action':'retry','filter':{'queue':'parked'}}"));
    expect_number(rest, "changed", TASKS - changed);
    expect_number(rest, "matched", TASKS);
}

/* Clients that submit one task after the other, and how long each took. */
enum { SUBMITTERS = 2, TIMES_MAX = 200000 };
struct submitters {
    uint16_t port;
    _Atomic bool stop;
    _Atomic unsigned count, failed;
    int64_t took_ns[TIMES_MAX];
    pthread_t threads[SUBMITTERS];
    bool are_running;
};

static void *submit_on(void *arg)
{
    struct submitters *submitters = arg;
    struct client *client = client_new(submitters->port);

    while (!atomic_load(&submitters->stop)) {
        struct reply *reply = client_call(client, &(struct request){.method = "POST",
                                                                    .path = "/v1/tasks",
                                                                    .body = "{\"kind\":\"noop\"}"});
        if (reply->status != 201)
            atomic_fetch_add(&submitters->failed, 1);
        unsigned at = atomic_fetch_add(&submitters->count, 1);
        if (at < TIMES_MAX)
            submitters->took_ns[at] = reply->took_ns;
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void submitters_stop(void *arg)
{
    struct submitters *submitters = arg;

    if (!submitters->are_running)
        return;
    submitters->are_running = false;
    atomic_store(&submitters->stop, true);
    for (size_t i = 0; i < SUBMITTERS; i++)
        (void)pthread_join(submitters->threads[i], NULL);
}

static struct submitters *submitters_start(struct daemon *daemon)
{
    struct submitters *submitters = keep(calloc(1, sizeof(*submitters)));

    submitters->port = daemon->port;
    for (size_t i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_create(&submitters->threads[i], NULL, submit_on, submitters), 0);
    submitters->are_running = true;
    keep_with(submitters_stop, submitters);
    return submitters;
}

static int by_length(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Ends them and gives their 99th percentile in milliseconds. */
static double p99_ms(struct submitters *submitters)
{
    submitters_stop(submitters);
    unsigned count = atomic_load(&submitters->count);
    count = count < TIMES_MAX ? count : TIMES_MAX;
    assert_int_equal(atomic_load(&submitters->failed), 0);
    assert_true(count > 0);
    qsort(submitters->took_ns, count, sizeof(int64_t), by_length);
    unsigned rank = count * 99 / 100;
    return (double)submitters->took_ns[rank] / 1e6;
}

static void all_failed_are_retried_while_others_submit(void)
{
    const unsigned tasks = is_long() ? 100000 : is_sanitized() ? 4000 : 20000;
    struct daemon *daemon = started();
    const char *filter = text("'filter':{'state':'failed','error_code':'failed'}");
    for (unsigned left = tasks; left > 0; left -= left < 2000 ? left : 2000)
        (void)submit_many(daemon, left < 2000 ? left : 2000, "{'kind':'fail'}");
    eventually(count_in(daemon, "failing", "failed") == tasks, 120000);
    expect_status(call(daemon, "POST", "/v1/queues/failing/pause", NULL), 200);

    struct submitters *alone = submitters_start(daemon);
    eventually(atomic_load(&alone->count) >= 300, 30000);
    double before_ms = p99_ms(alone);
    json_t *dry = act(daemon, text("{'action':'retry','dry_run':true,%s}", filter));
    struct submitters *beside = submitters_start(daemon);
    eventually(atomic_load(&beside->count) > 0, 30000);
    struct reply *reply = expect_status(
        call_request(daemon, &(struct request){.method = "POST",
                                               .path = "/v1/tasks/actions",
                                               .body = text("{'action':'retry',%s}", filter),
                                               .within_ms = 300000}),
        200);
    double beside_ms = p99_ms(beside);

    print_message("%u failed tasks retried in %lld ms; %u submits beside it, p99 %.1f ms (alone "
                  "%.1f ms)\n",
                  tasks, (long long)(reply->took_ns / 1000000), atomic_load(&beside->count),
                  beside_ms, before_ms);
    expect_number(reply->json, "changed", tasks);
    expect_number(reply->json, "skipped", 0);
    expect_number(dry, "matched", tasks);
    expect_number(dry, "changed", tasks);
    assert_int_equal(count_in(daemon, "failing", "queued"), tasks);
    // Each runs once more.
    expect_status(call(daemon, "POST", "/v1/queues/failing/resume", NULL), 200);
    eventually(count_in(daemon, "failing", "failed") == tasks, 120000);
    for (uint64_t id = 1; id <= tasks; id += tasks / 50)
        assert_int_equal(json_array_size(at(task(daemon, id), "attempts")), 2);
}

HARNESS_MAIN(SCENARIO(each_action_does_to_each_filter_what_its_dry_run_said),
             SCENARIO(all_is_every_task_up_to_the_last_one),
             SCENARIO(a_purge_cancels_what_waits_in_the_queue_and_nothing_else),
             SCENARIO(it_goes_on_when_the_client_leaves),
             SCENARIO(a_drain_ends_it_and_tells_how_far_it_came),
             SCENARIO(all_failed_are_retried_while_others_submit))
