/** \file SIGTERM: what runs goes on until drain_timeout, nothing starts, all of it is recorded, and
 * the daemon is gone in time. */
#include <signal.h>
#include <string.h>

#include "harness.h"
#include "history.h"

static const char *ledger_path(void)
{
    return plain_text("%s/ledger", scenario_folder());
}

/* Commands of the ledger: `work` plain, and one a mode. */
static char *config_with(const char *drain_timeout)
{
    static const char *const modes[] = {"stubborn", "group", "session", "polite"};
    const char *ledger = ledger_program();
    char *kinds =
        plain_text("  work: { command = ['%s', '%s', '{key}', '{ms}']; max_attempts = 3 };\n"
                   "  once: { command = ['%s', '%s', '{key}', '{ms}']; max_attempts = 1 };\n",
                   ledger, ledger_path(), ledger, ledger_path());

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        kinds = plain_text(
            "%s  %s: { command = ['%s', '%s', '{key}', '{ms}', '%s']; max_attempts = 3 };\n", kinds,
            modes[i], ledger, ledger_path(), modes[i]);
    return plain_text("drain_timeout = '%s'; kill_grace = '1s';\n"
                      "queue: { default: { workers = 4 }; };\n"
                      "kind: { sleep: { builtin = 'sleep' }; noop: { builtin = 'noop' };\n%s};\n",
                      drain_timeout, kinds);
}

static unsigned rounds(void)
{
    return is_long() ? 50 : 5;
}

/* Each time with an empty ledger. */
static void repeat(void (*once)(void))
{
    for (unsigned i = 0; i < rounds(); i++) {
        file_write(ledger_path(), "");
        once();
    }
}

static void await_starts(unsigned count)
{
    const char *path = ledger_path();

    eventually(ledger_count(path, "start", NULL) >= count, 20000);
}

/* 4 running ones of 2 s and 16 that wait; a connection is open. */
static void drain_once(void)
{
    struct daemon *daemon = daemon_new(config_with("10s"));
    const char *path = ledger_path();
    uint64_t ids[20];

    daemon_start(daemon);
    for (unsigned i = 0; i < 20; i++)
        ids[i] = submit(daemon, "{'kind':'work','args':{'key':'%u','ms':%u}}", i, i < 4 ? 2000 : 1);
    await_starts(4);
    int64_t began = now_ms();
    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));

    struct reply *refused = call(daemon, "POST", "/v1/tasks", text("{'kind':'noop'}"));
    expect_problem(refused, 503, "draining");
    assert_non_null(reply_header(refused, "Retry-After"));
    assert_false(refused->is_new_connection);
    expect_status(get(daemon, "/readyz"), 503);
    expect_status(get(daemon, "/healthz"), 200);
    expect_text(task(daemon, ids[0]), "state", "running");
    expect_text(task(daemon, ids[4]), "waiting_for.code", "draining");

    assert_int_equal(daemon_await_end(daemon, 10000), 0);
    assert_in_range(now_ms() - began, 0, 3000 * slow());
    assert_int_equal(ledger_count(path, "start", NULL), 4);
    assert_int_equal(ledger_count(path, "end", NULL), 4);
    daemon_start(daemon);
    for (unsigned i = 0; i < 20; i++) {
        json_t *json = expect_end(daemon, ids[i], "succeeded", NULL);

        expect_number(json, "attempt", 1);
        expect_number(json, "interruptions", 0);
        assert_int_equal(ledger_count(path, "start", plain_text("%u", i)), 1);
    }
    assert_int_equal(count_tasks(daemon, ""), 20);
    daemon_stop(daemon);
}

static void what_runs_ends_and_what_waits_is_there_at_the_next_start(void)
{
    repeat(drain_once);
}

static void at_the_deadline_running_tasks_end_by_their_if_interrupted(void)
{
    for (unsigned i = 0; i < rounds(); i++) {
        struct daemon *daemon = daemon_new(config_with(i == 0 ? "1s" : "200ms"));
        const char *path = ledger_path();
        int64_t drain_ms = i == 0 ? 1000 : 200;

        file_write(path, "");
        daemon_start(daemon);
        uint64_t again = submit(daemon, "{'kind':'work','args':{'key':'again','ms':30000}}");
        uint64_t once = submit(daemon, "{'kind':'once','args':{'key':'once','ms':30000}}");
        uint64_t slept = submit(daemon, "{'kind':'sleep','args':{'duration':'30s'}}");
        await_starts(2);
        await_state(daemon, slept, "running");
        int64_t took = daemon_stop(daemon);

        assert_in_range(took, drain_ms - 50, (drain_ms + 2000) * slow());
        daemon_configure(daemon, config_with("10s"));
        daemon_start(daemon);
        expect_end(daemon, once, "failed", "interrupted");
        json_t *json = await_state(daemon, again, "running");
        expect_number(json, "attempt", 1);
        expect_number(json, "interruptions", 0); // one by a drain is not counted
        await_state(daemon, slept, "running");
        eventually(ledger_count(path, "start", "again") == 2, 20000);
        assert_int_equal(ledger_count(path, "start", "once"), 1);
        assert_int_equal(ledger_count(path, "overlap", NULL), 0);
        daemon_kill(daemon);
    }
}

static void drain_stubborn_command(void)
{
    struct daemon *daemon = daemon_started(config_with("200ms"));
    const char *path = ledger_path();
    uint64_t id = submit(daemon, "{'kind':'stubborn','args':{'key':'s','ms':30000}}");

    await_starts(1);
    int64_t took = daemon_stop(daemon);

    assert_in_range(took, 1150, (200 + 1000 + 1000) * slow());
    assert_int_equal(ledger_count(path, "end", NULL), 0);
    daemon_start(daemon);
    expect_number(await_state(daemon, id, "running"), "interruptions", 0);
    eventually(ledger_count(path, "start", "s") == 2, 20000);
    assert_int_equal(ledger_count(path, "overlap", NULL), 0);
    daemon_kill(daemon);
}

static void a_command_that_ignores_sigterm_is_killed_after_its_grace(void)
{
    repeat(drain_stubborn_command);
}

static void drain_polite_command(void)
{
    struct daemon *daemon = daemon_started(config_with("0s"));

    (void)submit(daemon, "{'kind':'polite','args':{'key':'p','ms':30000}}");
    await_starts(1);
    int64_t took = daemon_stop(daemon);

    assert_in_range(took, 0, 900 * slow());
}

static void a_command_that_ends_on_sigterm_needs_no_grace(void)
{
    repeat(drain_polite_command);
}

static void drain_grandchildren(void)
{
    struct daemon *daemon = daemon_started(config_with("10s"));
    const char *path = ledger_path();
    struct ledger_line *lines = NULL;

    uint64_t in_group = submit(daemon, "{'kind':'group','args':{'key':'g','ms':300}}");
    uint64_t own_session = submit(daemon, "{'kind':'session','args':{'key':'o','ms':300}}");
    eventually(ledger_count(path, "grandchild", NULL) == 2, 20000);
    int64_t took = daemon_stop(daemon);

    assert_in_range(took, 0, 3000 * slow());
    // That of the group died with it; the other is left to the unit's cgroup, here to us.
    size_t count = ledger_read(path, &lines);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(lines[i].what, "grandchild") != 0)
            continue;
        if (strcmp(lines[i].key, "g") == 0)
            assert_false(is_running(lines[i].pid));
        else
            assert_int_equal(kill(lines[i].pid, SIGKILL), 0);
    }
    daemon_start(daemon);
    expect_end(daemon, in_group, "succeeded", NULL);
    expect_end(daemon, own_session, "succeeded", NULL);
}

static void a_grandchild_that_holds_the_output_delays_nothing(void)
{
    repeat(drain_grandchildren);
}

static void drain_stubborn_builtin(void)
{
    struct daemon *daemon =
        daemon_new("drain_timeout = '200ms'; kill_grace = '1s';\n"
                   "queue: { default: { workers = 2 }; };\n"
                   "kind: { stubborn: { builtin = 'stubborn' }; noop: { builtin = 'noop' };\n"
                   "        once: { builtin = 'stubborn'; max_attempts = 1 }; };\n");
    daemon->program = test_daemon_program();
    daemon_start(daemon);
    uint64_t again = submit(daemon, "{'kind':'stubborn'}");
    uint64_t once = submit(daemon, "{'kind':'once'}");
    await_state(daemon, again, "running");
    await_state(daemon, once, "running");

    int64_t took = daemon_stop(daemon);

    assert_in_range(took, 1100, (200 + 1000 + 1000) * slow());
    assert_int_equal(daemon_log_count(daemon, "event=worker_given_up"), 2);
    assert_true(daemon_log_count(daemon, plain_text("task=%llu ", (unsigned long long)again)) >= 1);
    daemon_start(daemon);
    expect_end(daemon, once, "failed", "interrupted");
    expect_number(await_state(daemon, again, "running"), "interruptions", 0);
    daemon_kill(daemon);
}

static void a_builtin_that_ignores_its_context_is_given_up(void)
{
    repeat(drain_stubborn_builtin);
}

static void drain_twice(void)
{
    struct daemon *daemon = daemon_new(config_with("1m"));
    const char *path = ledger_path();

    daemon_start(daemon);
    (void)submit(daemon, "{'kind':'stubborn','args':{'key':'s','ms':30000}}");
    (void)submit(daemon, "{'kind':'sleep','args':{'duration':'30s'}}");
    await_starts(1);
    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));
    assert_false(daemon_ends(daemon, 300));
    int64_t began = now_ms();
    daemon_signal(daemon, SIGINT);

    assert_int_equal(daemon_await_end(daemon, 10000), 0);
    assert_in_range(now_ms() - began, 900, 3000 * slow());
    assert_int_equal(ledger_count(path, "end", NULL), 0);
}

static void a_second_signal_goes_straight_to_the_cancelling(void)
{
    repeat(drain_twice);
}

static void drain_with_waits(void)
{
    struct daemon *daemon = daemon_started(config_with("10s"));
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'1s'}}");
    uint64_t waiting = submit(daemon, "{'kind':'noop','delay':'1h'}");
    struct wire *on_running = wire_open(daemon->port), *on_waiting = wire_open(daemon->port);

    await_state(daemon, running, "running");
    wire_sendf(on_running, "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
               (unsigned long long)running, daemon->port);
    wire_sendf(on_waiting, "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
               (unsigned long long)waiting, daemon->port);
    assert_false(wire_readable(on_waiting, 100));
    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));

    const char *path = plain_text("/v1/tasks/%llu?wait=30s", (unsigned long long)waiting);
    struct reply *fresh = expect_status(get(daemon, path), 200);
    expect_text(fresh->json, "state", "scheduled");
    assert_in_range(fresh->took_ns / 1000000, 0, 900 * slow());
    expect_text(expect_status(wire_reply(on_running, 10000), 200)->json, "state", "succeeded");
    expect_text(expect_status(wire_reply(on_waiting, 10000), 200)->json, "state", "scheduled");
    assert_int_equal(daemon_await_end(daemon, 10000), 0);
}

static void waits_are_answered_as_their_tasks_end_and_new_ones_at_once(void)
{
    repeat(drain_with_waits);
}

static void a_cancel_during_the_drain_ends_what_runs(void)
{
    struct daemon *daemon = daemon_started(config_with("1m"));
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");

    await_state(daemon, id, "running");
    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));
    expect_status(
        call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id), NULL),
        202);

    assert_int_equal(daemon_await_end(daemon, 10000), 0);
    daemon_start(daemon);
    expect_text(task(daemon, id), "state", "cancelled");
}

static void an_idle_daemon_is_gone_at_once(void)
{
    struct daemon *daemon = daemon_started(config_with("10s"));
    struct wire *idle = wire_open(daemon->port);

    assert_in_range(daemon_stop(daemon), 0, 1000 * slow());
    assert_true(wire_closes(idle, 5000));
}

HARNESS_MAIN(SCENARIO(what_runs_ends_and_what_waits_is_there_at_the_next_start),
             SCENARIO(at_the_deadline_running_tasks_end_by_their_if_interrupted),
             SCENARIO(a_command_that_ignores_sigterm_is_killed_after_its_grace),
             SCENARIO(a_command_that_ends_on_sigterm_needs_no_grace),
             SCENARIO(a_grandchild_that_holds_the_output_delays_nothing),
             SCENARIO(a_builtin_that_ignores_its_context_is_given_up),
             SCENARIO(a_second_signal_goes_straight_to_the_cancelling),
             SCENARIO(waits_are_answered_as_their_tasks_end_and_new_ones_at_once),
             SCENARIO(a_cancel_during_the_drain_ends_what_runs),
             SCENARIO(an_idle_daemon_is_gone_at_once))
