/** \file Queues while they run: workers, rate, burst, pause, and that changes outlive the daemon.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 4 }; blog: { workers = 3; rate = '20/s'; burst = 1 };\n"
    "         slow: { workers = 1; rate = '1/h'; burst = 2 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; };\n";

static struct reply *patch(struct daemon *daemon, const char *name, const char *body)
{
    return call(daemon, "PATCH", plain_text("/v1/queues/%s", name), body);
}

static struct reply *act(struct daemon *daemon, const char *name, const char *action,
                         const char *body)
{
    return call(daemon, "POST", plain_text("/v1/queues/%s/%s", name, action), body);
}

static void queues_are_listed_with_what_is_in_force(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'sleep','queue':'blog','args':{'duration':'1m'}}");
    (void)submit(daemon, "{'kind':'noop','queue':'blog','delay':'1h'}");
    await_state(daemon, id, "running");

    json_t *json = expect_status(get(daemon, "/v1/queues"), 200)->json;

    assert_int_equal(json_array_size(at(json, "queues")), 3);
    expect_text(json, "queues.0.name", "default");
    expect_text(json, "queues.1.name", "blog");
    json = queue(daemon, "blog");
    expect_text(json, "name", "blog");
    expect_number(json, "workers", 3);
    expect_text(json, "rate", "20/s");
    expect_number(json, "burst", 1);
    assert_true(json_is_false(at(json, "paused")));
    expect_number(json, "running", 1);
    expect_number(json, "states.running", 1);
    expect_number(json, "states.scheduled", 1);
    expect_number(json, "states.queued", 0);
    assert_true(json_is_null(at(queue(daemon, "default"), "rate")));
}

static unsigned running(struct daemon *daemon, const char *name)
{
    return (unsigned)number_at(queue(daemon, name), "running");
}

static void workers_change_while_they_run(void)
{
    struct daemon *daemon = daemon_started(config);

    (void)submit_many(daemon, 40, "{'kind':'sleep','args':{'duration':'1h'}}");
    eventually(running(daemon, "default") == 4, 20000);
    struct reply *reply = expect_status(patch(daemon, "default", text("{'workers':7}")), 200);
    expect_number(reply->json, "workers", 7);
    expect_number(reply->json, "overrides.workers", 7);
    eventually(running(daemon, "default") == 7, 20000);
    expect_text(task(daemon, 40), "waiting_for.code", "workers");

    // Fewer: what runs goes on, and nothing new starts until there is room again.
    expect_status(patch(daemon, "default", text("{'workers':2}")), 200);
    json_t *json = expect_status(get(daemon, "/v1/tasks?state=running"), 200)->json;
    for (unsigned i = 0; i < 6; i++) {
        int64_t id = number_at(json, plain_text("tasks.%u.id", i));

        expect_status(
            call(daemon, "POST", plain_text("/v1/tasks/%lld/cancel", (long long)id), NULL), 202);
        expect_end(daemon, (uint64_t)id, "cancelled", "cancelled");
    }
    eventually(running(daemon, "default") == 2, 20000);
    expect_number(queue(daemon, "default"), "states.cancelled", 6);

    // null goes back to the file's value.
    reply = expect_status(patch(daemon, "default", text("{'workers':null}")), 200);
    expect_number(reply->json, "workers", 4);
    assert_true(json_is_null(at(reply->json, "overrides.workers")));
    eventually(running(daemon, "default") == 4, 20000);
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The starts of count tasks from id on, in order. */
static int64_t *starts_of(struct daemon *daemon, uint64_t id, size_t count)
{
    int64_t *starts = keep(calloc(count, sizeof(*starts)));

    for (size_t i = 0; i < count; i++)
        starts[i] = instant_at(expect_end(daemon, id + i, "succeeded", NULL), "started_at");
    qsort(starts, count, sizeof(*starts), compare);
    return starts;
}

/* No more starts in any stretch than the bucket allows. A start is noted a little after its leave
 * was given, by how much varies. */
static void expect_rate(const int64_t *starts, size_t count, double per_s, unsigned burst)
{
    for (size_t from = 0; from < count; from++) {
        for (size_t to = from; to < count; to++) {
            double seconds = (double)(starts[to] - starts[from] + 25 * slow()) / 1000;

            if ((double)(to - from + 1) > burst + floor(seconds * per_s))
                fail_msg("%zu starts within %lld ms", to - from + 1,
                         (long long)(starts[to] - starts[from]));
        }
    }
}

static void a_rate_is_never_exceeded_and_is_reached(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 21 };
    uint64_t first = submit_many(daemon, TASKS, "{'kind':'noop','queue':'blog'}");

    int64_t *starts = starts_of(daemon, first, TASKS);

    expect_rate(starts, TASKS, 20, 1);
    assert_in_range(starts[TASKS - 1] - starts[0], 1000 - 25 * slow(), 2500 * slow());
}

static void a_burst_comes_at_once_and_then_the_rate_holds(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 15 };
    expect_status(patch(daemon, "blog", text("{'rate':'20/s','burst':5}")), 200);
    uint64_t first = submit_many(daemon, TASKS, "{'kind':'noop','queue':'blog'}");

    expect_rate(starts_of(daemon, first, TASKS), TASKS, 20, 5);
}

static void a_rate_changes_while_tasks_wait_for_it(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t first = submit_many(daemon, 5, "{'kind':'noop','queue':'slow'}");
    await_end(daemon, first + 1);
    json_t *json = task(daemon, first + 2);
    expect_text(json, "state", "queued");
    expect_text(json, "waiting_for.code", "rate");
    assert_true(instant_at(json, "waiting_for.next_start_at") > wall_ms() + 60000);

    expect_status(patch(daemon, "slow", text("{'rate':'1000/s'}")), 200);

    await_end(daemon, first + 4);
}

static void a_restart_does_not_burst(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t first = submit_many(daemon, 6, "{'kind':'noop','queue':'slow'}");
    await_end(daemon, first + 1);

    daemon_kill(daemon);
    daemon_start(daemon);
    daemon_stop(daemon);
    daemon_start(daemon);

    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    assert_int_equal(number_at(queue(daemon, "slow"), "states.queued"), 4);
    assert_true(json_number_value(at(queue(daemon, "slow"), "tokens")) < 1);
}

static void a_paused_queue_starts_nothing_until_it_is_resumed(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t before = submit(daemon, "{'kind':'sleep','args':{'duration':'200ms'}}");
    await_state(daemon, before, "running");

    struct reply *reply = expect_status(act(daemon, "default", "pause", NULL), 200);
    uint64_t id = submit(daemon, "{'kind':'noop'}");

    assert_true(json_is_true(at(reply->json, "paused")));
    assert_true(json_is_null(at(reply->json, "paused_until")));
    expect_end(daemon, before, "succeeded", NULL); // what runs goes on
    expect_text(task(daemon, id), "state", "queued");
    expect_text(task(daemon, id), "waiting_for.code", "paused");
    assert_true(daemon_log_count(daemon, "event=queue_paused") == 1);
    reply = expect_status(act(daemon, "default", "resume", NULL), 200);
    assert_true(json_is_false(at(reply->json, "paused")));
    expect_end(daemon, id, "succeeded", NULL);
    assert_true(daemon_log_count(daemon, "event=queue_resumed") == 1);
}

static void a_pause_ends_by_itself_at_its_time(void)
{
    struct daemon *daemon = daemon_started(config);

    struct reply *reply =
        expect_status(act(daemon, "default", "pause", text("{'for':'400ms'}")), 200);
    int64_t until = instant_at(reply->json, "paused_until");
    uint64_t id = submit(daemon, "{'kind':'noop'}");

    assert_in_range(until, (uint64_t)wall_ms() - 5000 * (unsigned)slow(),
                    (uint64_t)wall_ms() + 400);
    json_t *json = expect_end(daemon, id, "succeeded", NULL);
    assert_in_range(instant_at(json, "started_at"), until - 2, until + 1500 * slow());
    assert_true(json_is_false(at(queue(daemon, "default"), "paused")));
    until = wall_ms() + 400;
    reply =
        expect_status(act(daemon, "default", "pause", text("{'until':'%s'}", instant(until))), 200);
    assert_int_equal(instant_at(reply->json, "paused_until"), until);
    json = expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    assert_in_range(instant_at(json, "started_at"), until - 2, until + 1500 * slow());
}

static void changes_hold_over_restart_and_kill_9_above_the_file(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(patch(daemon, "blog", text("{'workers':9,'rate':'90/m','burst':4}")), 200);
    expect_status(act(daemon, "default", "pause", NULL), 200);

    daemon_kill(daemon);
    daemon_start(daemon);

    json_t *json = queue(daemon, "blog");
    expect_number(json, "workers", 9);
    expect_text(json, "rate", "90/m");
    expect_number(json, "burst", 4);
    expect_text(json, "overrides.rate", "90/m");
    assert_true(json_is_true(at(queue(daemon, "default"), "paused")));
    expect_status(patch(daemon, "blog", text("{'workers':null,'rate':null,'burst':null}")), 200);
    daemon_stop(daemon);
    daemon_start(daemon);
    expect_number(queue(daemon, "blog"), "workers", 3);
    expect_text(queue(daemon, "blog"), "rate", "20/s");
}

static void a_slow_queue_starves_no_other(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 6000, "{'kind':'sleep','queue':'slow','args':{'duration':'1h'}}");

    uint64_t first = submit_many(daemon, 100, "{'kind':'noop'}");

    await_end(daemon, first + 99);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") == 100, 20000);
}

static void a_backlog_beyond_the_window_runs_whole(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 10000 }; // a window holds 4,096
    expect_status(act(daemon, "default", "pause", NULL), 200);
    (void)submit_many(daemon, TASKS, "{'kind':'noop'}");
    uint64_t urgent = submit(daemon, "{'kind':'noop','priority':50}");

    expect_status(act(daemon, "default", "resume", NULL), 200);

    expect_end(daemon, urgent, "succeeded", NULL);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") == TASKS + 1, 60000);
    expect_number(queue(daemon, "default"), "states.queued", 0);
}

static void a_queue_or_kind_that_is_gone_keeps_its_tasks(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(act(daemon, "blog", "pause", NULL), 200);
    uint64_t in_gone_queue = submit(daemon, "{'kind':'noop','queue':'blog'}");
    uint64_t of_gone_kind =
        submit(daemon, "{'kind':'sleep','delay':'300ms','args':{'duration':0}}");
    daemon_stop(daemon);

    daemon_configure(
        daemon, "queue: { default: { workers = 1 }; }; kind: { noop: { builtin = 'noop' }; };\n");
    daemon_start(daemon);
    expect_text(await_state(daemon, of_gone_kind, "held"), "waiting_for.code", "kind-missing");
    expect_text(task(daemon, in_gone_queue), "waiting_for.code", "queue-missing");
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL); // it blocks nobody
    daemon_stop(daemon);
    daemon_configure(daemon, config);
    daemon_start(daemon);

    expect_end(daemon, of_gone_kind, "succeeded", NULL);
    expect_text(task(daemon, in_gone_queue), "waiting_for.code", "paused"); // overrides hold
    expect_status(act(daemon, "blog", "resume", NULL), 200);
    expect_end(daemon, in_gone_queue, "succeeded", NULL);
}

static void stats_and_info_tell_what_there_is(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);

    json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    json_t *stats = expect_status(get(daemon, "/v1/stats"), 200)->json;
    struct reply *root = expect_status(get(daemon, "/"), 200);

    assert_non_null(text_at(info, "version"));
    assert_int_equal(strlen(text_at(info, "store_id")), 16);
    assert_non_null(at(info, "kinds"));
    assert_non_null(at(info, "queues"));
    assert_non_null(at(stats, "store"));
    assert_non_null(strstr(root->body, "/v1/tasks"));
    expect_status(get(daemon, "/healthz"), 200);
    expect_status(get(daemon, "/readyz"), 200);
}

HARNESS_MAIN(SCENARIO(queues_are_listed_with_what_is_in_force),
             SCENARIO(workers_change_while_they_run),
             SCENARIO(a_rate_is_never_exceeded_and_is_reached),
             SCENARIO(a_burst_comes_at_once_and_then_the_rate_holds),
             SCENARIO(a_rate_changes_while_tasks_wait_for_it), SCENARIO(a_restart_does_not_burst),
             SCENARIO(a_paused_queue_starts_nothing_until_it_is_resumed),
             SCENARIO(a_pause_ends_by_itself_at_its_time),
             SCENARIO(changes_hold_over_restart_and_kill_9_above_the_file),
             SCENARIO(a_slow_queue_starves_no_other),
             SCENARIO(a_backlog_beyond_the_window_runs_whole),
             SCENARIO(a_queue_or_kind_that_is_gone_keeps_its_tasks),
             SCENARIO(stats_and_info_tell_what_there_is))
