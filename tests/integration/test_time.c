/** \file Tasks and time: delay, run_at, expires_at, attempts with backoff, timeouts. */
#include <string.h>

#include "harness.h"

static const char config[] =
    "kill_grace = '1s';\n"
    "queue: { default: { workers = 4 }; stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep'; max_attempts = 1 };\n"
    "        fail: { builtin = 'fail'; backoff = { base = '20ms'; max = '100ms' } };\n"
    "        short: { builtin = 'sleep'; timeout = '150ms'; max_attempts = 1 };\n"
    "        command: { command = ['/bin/sleep', '{s}']; timeout = '150ms'; max_attempts = 2;\n"
    "                   backoff = { base = '10ms'; max = '10ms' } }; };\n";

static void a_delayed_task_waits_its_time_and_no_longer(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'noop','delay':'400ms'}");
    uint64_t in_seconds = submit(daemon, "{'kind':'noop','delay':0.4}");

    json_t *json = task(daemon, id);
    expect_text(json, "state", "scheduled");
    expect_text(json, "waiting_for.code", "time");
    assert_int_equal(instant_at(json, "run_at") - instant_at(json, "created_at"), 400);
    assert_int_equal(instant_at(json, "waiting_for.next_start_at"), instant_at(json, "run_at"));
    json = expect_end(daemon, id, "succeeded", NULL);
    assert_in_range(instant_at(json, "started_at") - instant_at(json, "created_at"), 400,
                    1500 * slow());
    expect_end(daemon, in_seconds, "succeeded", NULL);
}

static void run_at_is_an_instant_in_any_offset(void)
{
    struct daemon *daemon = daemon_started(config);
    int64_t when = wall_ms() + 600;
    char *local = instant(when + 2 * 3600 * 1000);

    (void)stpcpy(strchr(local, 'Z'), ""); // the offset in its place
    uint64_t id = submit(daemon, "{'kind':'noop','run_at':'%s+02:00'}", local);

    json_t *json = task(daemon, id);
    assert_int_equal(instant_at(json, "run_at"), when);
    json = expect_end(daemon, id, "succeeded", NULL);
    assert_in_range(instant_at(json, "started_at"), when, when + 1500 * slow());
}

static void run_at_in_the_past_runs_at_once(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'noop','run_at':'2001-01-01T00:00:00Z'}");

    json_t *json = expect_end(daemon, id, "succeeded", NULL);
    assert_in_range(instant_at(json, "started_at") - instant_at(json, "created_at"), 0,
                    1000 * slow());
}

static void what_is_scheduled_survives_kill_9_and_what_was_missed_runs_at_once(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t soon = submit(daemon, "{'kind':'noop','delay':'300ms'}");
    uint64_t later = submit(daemon, "{'kind':'noop','delay':'1h'}");

    daemon_kill(daemon);
    pass_ms(300);
    daemon_start(daemon);

    expect_end(daemon, soon, "succeeded", NULL);
    expect_text(task(daemon, later), "state", "scheduled");
}

static void many_scheduled_at_once_all_run(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 5000 };

    (void)submit_many(daemon, TASKS, "{'kind':'noop','delay':'300ms'}");

    eventually(number_at(queue(daemon, "default"), "states.succeeded") == TASKS, 30000);
    expect_number(queue(daemon, "default"), "states.scheduled", 0);
}

static void an_expired_task_ends_unstarted_also_in_a_paused_queue(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    const char *when = instant(wall_ms() + 500);

    uint64_t queued = submit(daemon, "{'kind':'noop','queue':'stopped','expires_at':'%s'}", when);
    uint64_t started =
        submit(daemon, "{'kind':'sleep','args':{'duration':'1s'},'expires_at':'%s'}", when);

    json_t *json = expect_end(daemon, queued, "cancelled", "expired");
    assert_true(json_is_null(at(json, "started_at")));
    assert_in_range(instant_at(json, "finished_at") - instant_at(json, "created_at"), 400,
                    3000 * slow());
    expect_end(daemon, started, "succeeded", NULL);
}

static void a_failed_attempt_is_repeated_until_it_succeeds(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id =
        submit(daemon, "{'kind':'fail','max_attempts':5,'args':{'times':3,'message':'not yet'}}");

    json_t *json = expect_end(daemon, id, "succeeded", NULL);
    expect_number(json, "attempt", 4);
    assert_int_equal(json_array_size(at(json, "attempts")), 4);
    for (unsigned i = 0; i < 3; i++) {
        json_t *attempt = at(json, plain_text("attempts.%u", i));

        expect_text(attempt, "error.message", "not yet");
        assert_true(instant_at(attempt, "finished_at") >= instant_at(attempt, "started_at"));
        assert_true(number_at(attempt, "worker") >= 1);
    }
}

static void a_task_without_attempts_left_has_failed(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'fail','max_attempts':3,'args':{'message':'never'}}");

    json_t *json = expect_end(daemon, id, "failed", "failed");
    expect_number(json, "attempt", 3);
    expect_text(json, "error.message", "never");
}

static void the_wait_between_attempts_is_bounded_by_the_backoff(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id =
        submit(daemon, "{'kind':'fail','max_attempts':13,'backoff':{'base':'40ms','max':'80ms'}}");

    json_t *json = expect_end(daemon, id, "failed", "failed");
    json_t *attempts = at(json, "attempts");
    assert_int_equal(json_array_size(attempts), 10); // the last ones
    int64_t waited = 0;
    for (size_t i = 1; i < json_array_size(attempts); i++) {
        int64_t wait = instant_at(json_array_get(attempts, i), "started_at") -
                       instant_at(json_array_get(attempts, i - 1), "finished_at");

        assert_in_range(wait, 0, 80 + 1000 * slow());
        waited += wait;
    }
    assert_true(waited > 0);
}

static void a_retrying_task_says_when_and_goes_on_after_a_restart(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(
        daemon, "{'kind':'fail','args':{'times':1},'backoff':{'base':'700ms','max':'700ms'}}");

    json_t *json = await_state(daemon, id, "retrying");
    expect_text(json, "waiting_for.code", "retry");
    expect_text(json, "error.code", "failed");
    assert_true(json_is_true(at(json, "error.retryable")));
    assert_true(instant_at(json, "waiting_for.next_start_at") >= instant_at(json, "created_at"));
    daemon_kill(daemon);
    daemon_start(daemon);

    expect_number(expect_end(daemon, id, "succeeded", NULL), "attempt", 2);
}

static void a_timeout_ends_the_attempt(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t by_kind = submit(daemon, "{'kind':'short','args':{'duration':'30s'}}");
    uint64_t by_task =
        submit(daemon, "{'kind':'sleep','timeout':'100ms','args':{'duration':'30s'}}");
    uint64_t command = submit(daemon, "{'kind':'command','args':{'s':30}}");
    uint64_t in_time =
        submit(daemon, "{'kind':'short','timeout':'30s','args':{'duration':'300ms'}}");

    json_t *json = expect_end(daemon, by_kind, "failed", "timeout");
    assert_in_range(number_at(json, "duration_ms"), 130, 1500 * slow());
    json = expect_end(daemon, by_task, "failed", "timeout");
    assert_in_range(number_at(json, "duration_ms"), 80, 1500 * slow());
    expect_number(expect_end(daemon, command, "failed", "timeout"), "attempt", 2);
    expect_end(daemon, in_time, "succeeded", NULL);
}

static void order_is_by_priority_then_by_id(void)
{
    struct daemon *daemon = daemon_started("queue: { default: { workers = 1 }; };\n"
                                           "kind: { noop: { builtin = 'noop' }; };\n");
    static const int priorities[] = {0, 5, -5, 5, 100, 0, -100};
    static const uint64_t expected[] = {5, 2, 4, 1, 6, 3, 7};
    int64_t before = 0;

    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    for (size_t i = 0; i < 7; i++)
        (void)submit(daemon, "{'kind':'noop','priority':%d}", priorities[i]);
    expect_status(call(daemon, "PATCH", "/v1/queues/default", text("{'rate':'50/s'}")), 200);
    expect_status(call(daemon, "POST", "/v1/queues/default/resume", NULL), 200);

    for (size_t i = 0; i < 7; i++) {
        int64_t started =
            instant_at(expect_end(daemon, expected[i], "succeeded", NULL), "started_at");

        assert_true(started > before); // 20 ms lie between
        before = started;
    }
}

HARNESS_MAIN(SCENARIO(a_delayed_task_waits_its_time_and_no_longer),
             SCENARIO(run_at_is_an_instant_in_any_offset),
             SCENARIO(run_at_in_the_past_runs_at_once),
             SCENARIO(what_is_scheduled_survives_kill_9_and_what_was_missed_runs_at_once),
             SCENARIO(many_scheduled_at_once_all_run),
             SCENARIO(an_expired_task_ends_unstarted_also_in_a_paused_queue),
             SCENARIO(a_failed_attempt_is_repeated_until_it_succeeds),
             SCENARIO(a_task_without_attempts_left_has_failed),
             SCENARIO(the_wait_between_attempts_is_bounded_by_the_backoff),
             SCENARIO(a_retrying_task_says_when_and_goes_on_after_a_restart),
             SCENARIO(a_timeout_ends_the_attempt), SCENARIO(order_is_by_priority_then_by_id))
