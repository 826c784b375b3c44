/** \file Cancelling by hand, retrying by hand, and deleting. */
#include <string.h>

#include <sqlite3.h>

#include "harness.h"

static const char config[] =
    "kill_grace = '1s';\n"
    "queue: { default: { workers = 4 }; one: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' };\n"
    "        fail: { builtin = 'fail'; backoff = { base = '1h'; max = '1h' } };\n"
    "        once: { builtin = 'sleep'; max_attempts = 1 }; };\n";

static struct reply *act(struct daemon *daemon, uint64_t id, const char *action)
{
    return call(daemon, "POST", plain_text("/v1/tasks/%llu/%s", (unsigned long long)id, action),
                NULL);
}

static struct reply *remove_task(struct daemon *daemon, uint64_t id)
{
    return call(daemon, "DELETE", plain_text("/v1/tasks/%llu", (unsigned long long)id), NULL);
}

static void a_waiting_task_is_cancelled_at_once_and_never_runs(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t running = submit(daemon, "{'kind':'sleep','queue':'one','args':{'duration':'500ms'}}");
    uint64_t queued = submit(daemon, "{'kind':'sleep','queue':'one','args':{'duration':0}}");
    uint64_t scheduled = submit(daemon, "{'kind':'noop','delay':'1h'}");
    uint64_t retrying = submit(daemon, "{'kind':'fail'}");
    await_state(daemon, retrying, "retrying");

    struct reply *reply = expect_status(act(daemon, queued, "cancel"), 200);

    expect_text(reply->json, "state", "cancelled");
    expect_status(act(daemon, scheduled, "cancel"), 200);
    expect_status(act(daemon, retrying, "cancel"), 200);
    expect_end(daemon, scheduled, "cancelled", "cancelled");
    expect_end(daemon, retrying, "cancelled", "cancelled");
    expect_end(daemon, running, "succeeded", NULL);
    json_t *json = expect_end(daemon, queued, "cancelled", "cancelled");
    expect_number(json, "attempt", 0);
    expect_text(json, "error.message", "cancelled while it waited");
    assert_true(json_is_null(at(json, "started_at")));
}

static void the_attempt_before_a_cancel_keeps_its_own_error(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'fail','args':{'message':'not yet'}}");
    await_state(daemon, id, "retrying");
    char *ended = strdup(text_at(task(daemon, id), "attempts.0.finished_at"));

    json_t *json = expect_status(act(daemon, id, "cancel"), 200)->json;

    expect_text(json, "error.code", "cancelled");
    assert_int_equal(json_array_size(at(json, "attempts")), 1);
    expect_text(json, "attempts.0.error.code", "failed");
    expect_text(json, "attempts.0.error.message", "not yet");
    expect_text(json, "attempts.0.finished_at", ended);
    json = expect_status(act(daemon, id, "retry"), 200)->json;
    expect_text(json, "attempts.0.error.message", "not yet");
    free(ended);
}

static void a_running_task_ends_as_cancelled_whatever_its_attempts(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'sleep','max_attempts':5,'args':{'duration':'1h'}}");
    await_state(daemon, id, "running");
    int64_t began = now_ms();

    struct reply *reply = expect_status(act(daemon, id, "cancel"), 202);

    expect_number(reply->json, "id", (int64_t)id);
    json_t *json = expect_end(daemon, id, "cancelled", "cancelled");
    expect_number(json, "attempt", 1);
    assert_in_range(now_ms() - began, 0, 5000 * slow());
}

static void a_second_cancel_is_answered_like_the_first(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");

    expect_status(act(daemon, id, "cancel"), 200);

    expect_text(expect_status(act(daemon, id, "cancel"), 200)->json, "state", "cancelled");
}

static void a_waiting_client_hears_of_the_cancel(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire, "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
               (unsigned long long)id, daemon->port);
    assert_false(wire_readable(wire, 100));
    expect_status(act(daemon, id, "cancel"), 200);

    expect_text(expect_status(wire_reply(wire, 10000), 200)->json, "state", "cancelled");
}

static void a_cancel_of_what_runs_holds_over_kill_9(void)
{
    struct daemon *daemon =
        daemon_new("queue: { default: { workers = 2 }; };\n"
                   "kind: { stubborn: { builtin = 'stubborn'; max_attempts = 3 }; };\n");
    daemon->program = test_daemon_program();
    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'stubborn'}");
    await_state(daemon, id, "running");

    expect_status(act(daemon, id, "cancel"), 202);
    daemon_kill(daemon);
    daemon_start(daemon);

    json_t *json = expect_end(daemon, id, "cancelled", "cancelled");
    assert_true(number_at(json, "attempt") <= 1);
}

static void run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* While somebody else has the file a cancel comes, and then the task's end. false: not so, since
 * the daemon does not wait for the file for ever. */
static bool end_behind_a_cancel(struct daemon *daemon, sqlite3 *db, uint64_t *ret_id)
{
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'300ms'}}");
    struct wire *wire = wire_open(daemon->port);

    await_state(daemon, id, "running");
    run_sql(db, "BEGIN IMMEDIATE");
    wire_sendf(wire,
               "POST /v1/tasks/%llu/cancel HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: "
               "0\r\n\r\n",
               (unsigned long long)id, daemon->port);
    bool has_ended = daemon_logs(
        daemon, plain_text("event=task_succeeded task=%llu ", (unsigned long long)id), 800);
    run_sql(db, "ROLLBACK");
    *ret_id = id;
    return wire_reply(wire, 20000)->status == 202 && has_ended;
}

static void an_end_that_comes_behind_a_cancel_is_one(void)
{
    struct daemon *daemon = daemon_started(plain_text("log_level = 'info';\n%s", config));
    sqlite3 *db = NULL;
    uint64_t id = 0;
    assert_int_equal(sqlite3_open_v2(daemon->store_path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);

    eventually(end_behind_a_cancel(daemon, db, &id), 60000);

    (void)sqlite3_close(db);
    json_t *ended = expect_end(daemon, id, "cancelled", "cancelled");
    expect_text(ended, "error.message", "cancelled while it ran");
    assert_true(daemon_logs(
        daemon, plain_text("event=task_cancelled task=%llu ", (unsigned long long)id), 5000));
    daemon_stop(daemon);
}

static void failed_and_cancelled_tasks_are_retried_from_the_start(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t failed = submit(daemon, "{'kind':'fail','max_attempts':1,'args':{'message':'m'}}");
    uint64_t cancelled = submit(daemon, "{'kind':'noop','delay':'1h'}");
    expect_end(daemon, failed, "failed", "failed");
    expect_status(act(daemon, cancelled, "cancel"), 200);
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);

    json_t *json = expect_status(act(daemon, failed, "retry"), 200)->json;

    expect_text(json, "state", "queued");
    expect_number(json, "attempt", 0);
    expect_number(json, "interruptions", 0);
    assert_int_equal(json_array_size(at(json, "attempts")), 1);
    expect_text(expect_status(act(daemon, cancelled, "retry"), 200)->json, "state", "queued");
    expect_status(call(daemon, "POST", "/v1/queues/default/resume", NULL), 200);
    expect_number(expect_end(daemon, failed, "failed", "failed"), "attempt", 1);
    expect_end(daemon, cancelled, "succeeded", NULL);
}

static void finished_tasks_are_deleted_and_answer_410(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t succeeded = submit(daemon, "{'kind':'noop'}");
    uint64_t failed = submit(daemon, "{'kind':'fail','max_attempts':1}");
    uint64_t waiting = submit(daemon, "{'kind':'noop','delay':'1h'}");
    await_end(daemon, succeeded);
    await_end(daemon, failed);

    struct reply *reply = expect_status(remove_task(daemon, succeeded), 204);

    assert_int_equal(reply->body_bytes, 0);
    expect_status(remove_task(daemon, failed), 204);
    expect_problem(remove_task(daemon, waiting), 409, "wrong-state");
    expect_problem(get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)succeeded)), 410,
                   "task-removed");
    daemon_kill(daemon);
    daemon_start(daemon);
    expect_problem(get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)failed)), 410,
                   "task-removed");
    assert_int_equal(count_tasks(daemon, ""), 1);
}

static void cancels_race_with_starts_and_every_task_ends_once(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 200 };
    uint64_t first = submit_many(daemon, TASKS, "{'kind':'sleep','args':{'duration':'2ms'}}");
    unsigned succeeded = 0, cancelled = 0;

    // From the end, towards the workers.
    for (uint64_t id = first + TASKS; id-- > first;) {
        struct reply *reply = act(daemon, id, "cancel");

        assert_true(reply->status == 200 || reply->status == 202 || reply->status == 409);
    }
    for (uint64_t id = first; id < first + TASKS; id++) {
        const char *state = text_at(await_end(daemon, id), "state");

        succeeded += strcmp(state, "succeeded") == 0;
        cancelled += strcmp(state, "cancelled") == 0;
    }

    assert_int_equal(succeeded + cancelled, TASKS);
    assert_in_range(cancelled, 1, TASKS);
    json_t *states = queue(daemon, "default");
    expect_number(states, "states.succeeded", succeeded);
    expect_number(states, "states.cancelled", cancelled);
    expect_number(states, "states.queued", 0);
    expect_number(states, "states.running", 0);
}

HARNESS_MAIN(SCENARIO(a_waiting_task_is_cancelled_at_once_and_never_runs),
             SCENARIO(the_attempt_before_a_cancel_keeps_its_own_error),
             SCENARIO(a_running_task_ends_as_cancelled_whatever_its_attempts),
             SCENARIO(a_second_cancel_is_answered_like_the_first),
             SCENARIO(a_waiting_client_hears_of_the_cancel),
             SCENARIO(a_cancel_of_what_runs_holds_over_kill_9),
             SCENARIO(an_end_that_comes_behind_a_cancel_is_one),
             SCENARIO(failed_and_cancelled_tasks_are_retried_from_the_start),
             SCENARIO(finished_tasks_are_deleted_and_answer_410),
             SCENARIO(cancels_race_with_starts_and_every_task_ends_once))
