/** \file Tasks that were running when the daemon died: counted, run again or failed, and at last
 * given up as poison. */
#include <signal.h>
#include <string.h>

#include "harness.h"
#include "history.h"

static const char config[] =
    "queue: { default: { workers = 2 }; other: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep'; max_attempts = 3 };\n"
    "        crash: { builtin = 'crash' }; crash_fail: { builtin = 'crash'; if_interrupted = "
    "'fail' };\n"
    "        crash_often: { builtin = 'crash'; max_interruptions = 0 };\n"
    "        crash_once: { builtin = 'crash_once' }; stubborn: { builtin = 'stubborn' };\n"
    "        patricide: { command = ['/bin/sh', '-c', 'kill -9 $PPID; sleep 10']; max_attempts = 3 "
    "}; };\n";

static struct daemon *test_daemon(void)
{
    struct daemon *daemon = daemon_new(config);

    daemon->program = test_daemon_program();
    return daemon;
}

/* Starts it until it lives: how often it died before. */
static unsigned start_until_it_lives(struct daemon *daemon, unsigned most)
{
    for (unsigned deaths = 0;; deaths++) {
        daemon_launch(daemon);
        // It may die before or after it says that it is ready; it lives when it answers.
        if (daemon_await_ready(daemon)) {
            struct request request = {
                .method = "GET", .path = "/v1/tasks?state=queued,running&kind=crash,patricide"};

            while (!daemon_ends(daemon, 0)) {
                struct reply *reply = call_request(daemon, &request);

                if (reply->status == 200 && json_array_size(at(reply->json, "tasks")) == 0)
                    return deaths;
                breathe();
            }
        }
        assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
        assert_in_range(deaths, 0, most);
    }
}

static void a_task_that_kills_the_daemon_at_once_ends_as_poison(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);
    expect_status(call(daemon, "POST", "/v1/queues/other/pause", NULL), 200);
    uint64_t other = submit(daemon, "{'kind':'noop','queue':'other'}");

    struct reply *reply = call(daemon, "POST", "/v1/tasks", text("{'kind':'crash'}"));
    assert_true(reply->status == 201 || reply->status == 0);
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    unsigned deaths = 1 + start_until_it_lives(daemon, 4);

    assert_int_equal(deaths, 4); // max_interruptions + 1
    json_t *json = expect_end(daemon, other + 1, "failed", "poison");
    expect_number(json, "interruptions", 4);
    expect_text(task(daemon, other), "state", "queued");
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
}

static void a_command_that_kills_the_daemon_ends_as_poison(void)
{
    struct daemon *daemon = daemon_new(config);
    daemon->program = test_daemon_program();
    daemon_start(daemon);

    (void)call(daemon, "POST", "/v1/tasks", text("{'kind':'patricide'}"));
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    assert_int_equal(1 + start_until_it_lives(daemon, 4), 4);

    expect_number(expect_end(daemon, 1, "failed", "poison"), "interruptions", 4);
}

static void max_interruptions_0_gives_up_at_the_first(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);

    (void)call(daemon, "POST", "/v1/tasks", text("{'kind':'crash_often'}"));
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    daemon_start(daemon);

    expect_number(expect_end(daemon, 1, "failed", "poison"), "interruptions", 1);
}

static void if_interrupted_fail_never_runs_again(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);

    (void)call(daemon, "POST", "/v1/tasks", text("{'kind':'crash_fail'}"));
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    daemon_start(daemon);

    expect_end(daemon, 1, "failed", "interrupted");
}

static void an_interruption_takes_no_attempt(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);

    (void)call(daemon, "POST", "/v1/tasks",
               text("{'kind':'crash_once','max_attempts':2,'args':{'file':'%s/was-here'}}",
                    scenario_folder()));
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    daemon_start(daemon);

    json_t *json = expect_end(daemon, 1, "succeeded", NULL);
    expect_number(json, "attempt", 1);
    expect_number(json, "interruptions", 1);
}

static void what_was_running_at_kill_9_is_counted_once(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'stubborn'}");
    await_state(daemon, id, "running");

    daemon_kill(daemon);
    for (unsigned i = 0; i < 3; i++) { // killed before anything starts: not counted again
        daemon_launch(daemon);
        daemon_kill(daemon);
    }
    daemon->program = daemon_program();
    daemon_configure(daemon, "queue: { default: { workers = 1 }; };\n"
                             "kind: { stubborn: { builtin = 'sleep'; max_attempts = 3 }; };\n");
    daemon_start(daemon);

    json_t *json = await_end(daemon, id); // as a `sleep`, its args are bad
    expect_text(json, "error.code", "invalid-args");
    assert_in_range(number_at(json, "interruptions"), 1, 3);
}

static void a_retry_by_hand_counts_from_0(void)
{
    struct daemon *daemon = test_daemon();
    daemon_start(daemon);
    (void)call(daemon, "POST", "/v1/tasks", text("{'kind':'crash_often'}"));
    assert_int_equal(daemon_await_end(daemon, 30000), -SIGKILL);
    daemon_start(daemon);
    expect_end(daemon, 1, "failed", "poison");
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);

    json_t *json = expect_status(call(daemon, "POST", "/v1/tasks/1/retry", NULL), 200)->json;

    expect_number(json, "interruptions", 0);
    expect_number(json, "attempt", 0);
}

static void the_commands_of_a_dead_daemon_are_killed_before_anything_starts(void)
{
    const char *path = plain_text("%s/ledger", scenario_folder());
    struct ledger_line *lines = NULL;
    struct daemon *daemon = daemon_new(text("queue: { default: { workers = 2 }; };\n"
                                            "kind: { stubborn: { command = ['%s', '%s', '{key}', "
                                            "'60000', 'stubborn']; max_attempts = 3 };\n"
                                            "        group: { command = ['%s', '%s', '{key}', "
                                            "'60000', 'group']; max_attempts = 3 }; };\n",
                                            ledger_program(), path, ledger_program(), path));
    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'stubborn','args':{'key':'a'}}");
    (void)submit(daemon, "{'kind':'group','args':{'key':'b'}}");
    eventually(ledger_count(path, "grandchild", "b") == 1 && ledger_count(path, "start", "a") == 1,
               20000);
    daemon_kill(daemon);

    daemon_start(daemon);

    eventually(ledger_count(path, "start", "a") == 2 && ledger_count(path, "start", "b") == 2,
               20000);
    assert_int_equal(ledger_count(path, "overlap", NULL), 0);
    size_t count = ledger_read(path, &lines);
    for (size_t i = 0, seen = 0; i < count && seen < 3; i++) {
        // Those of the first daemon: two starts and the grandchild.
        if (strcmp(lines[i].what, "overlap") != 0) {
            seen++;
            assert_false(is_running(lines[i].pid));
        }
    }
    expect_number(task(daemon, id), "interruptions", 1);
    daemon_kill(daemon);
}

HARNESS_MAIN(SCENARIO(a_task_that_kills_the_daemon_at_once_ends_as_poison),
             SCENARIO(a_command_that_kills_the_daemon_ends_as_poison),
             SCENARIO(max_interruptions_0_gives_up_at_the_first),
             SCENARIO(if_interrupted_fail_never_runs_again),
             SCENARIO(an_interruption_takes_no_attempt),
             SCENARIO(what_was_running_at_kill_9_is_counted_once),
             SCENARIO(a_retry_by_hand_counts_from_0),
             SCENARIO(the_commands_of_a_dead_daemon_are_killed_before_anything_starts))
