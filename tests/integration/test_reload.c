/** \file
 * A changed configuration is put in force by SIGHUP: all of it or nothing, while tasks run and are
 * submitted.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

static const char plain[] =
    "queue: { default: { workers = 2 }; };\n"
    "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n";

static unsigned loads(struct daemon *daemon)
{
    return daemon_log_count(daemon, "event=reloaded") +
           daemon_log_count(daemon, "event=reload_refused");
}

/* SIGHUP, until the daemon says what came of it. */
static void hang_up(struct daemon *daemon)
{
    unsigned before = loads(daemon);

    daemon_signal(daemon, SIGHUP);
    eventually(loads(daemon) > before, 20000);
}

static void reload(struct daemon *daemon, const char *config)
{
    unsigned before = daemon_log_count(daemon, "event=reloaded");

    daemon_configure(daemon, config);
    hang_up(daemon);
    assert_int_equal(daemon_log_count(daemon, "event=reloaded"), before + 1);
}

static json_t *configuration(struct daemon *daemon)
{
    return at(expect_status(get(daemon, "/v1/info"), 200)->json, "configuration");
}

/* A sample of /metrics without labels. */
static bool metric_is(struct daemon *daemon, const char *name, const char *value)
{
    const char *body = expect_status(get(daemon, "/metrics"), 200)->body;

    return strstr(body, plain_text("\n%s %s\n", name, value)) != NULL;
}

static void a_new_kind_and_a_new_queue_take_tasks(void)
{
    struct daemon *daemon = daemon_started(plain);

    expect_problem(call(daemon, "POST", "/v1/tasks", text("{'kind':'late','queue':'side'}")), 422,
                   "invalid-task");
    reload(daemon, "queue: { default: { workers = 2 }; side: { workers = 1 }; };\n"
                   "kind: { echo: { builtin = 'echo' }; late: { builtin = 'noop' }; };\n");

    expect_end(daemon, submit(daemon, "{'kind':'late','queue':'side'}"), "succeeded", NULL);
    assert_true(daemon_logs(daemon, "kinds_added=\"1: late\"", 0));
    assert_true(daemon_logs(daemon, "kinds_removed=\"1: sleep\"", 0));
    assert_true(daemon_logs(daemon, "queues_added=\"1: side\"", 0));
    expect_problem(call(daemon, "POST", "/v1/tasks", text("{'kind':'sleep'}")), 422,
                   "invalid-task");
    daemon_stop(daemon);
}

static void a_changed_queue_changes_and_an_override_stays_above_it(void)
{
    struct daemon *daemon = daemon_started(
        "queue: { default: { workers = 2 }; side: { workers = 1; rate = '1/s' }; };\n"
        "kind: { sleep: { builtin = 'sleep' }; };\n");

    expect_status(call(daemon, "PATCH", "/v1/queues/side", text("{'workers':3}")), 200);
    uint64_t first = submit_many(daemon, 4, text("{'kind':'sleep','args':{'duration':'30s'}}"));
    await_state(daemon, first, "running");
    eventually(number_at(queue(daemon, "default"), "running") == 2, 10000);
    reload(daemon, "queue: { side: { workers = 7; rate = '9/s'; burst = 4 };\n"
                   "  default: { workers = 4 }; };\n"
                   "kind: { sleep: { builtin = 'sleep' }; };\n");

    eventually(number_at(queue(daemon, "default"), "running") == 4, 10000);
    json_t *side = queue(daemon, "side");
    expect_number(side, "workers", 3);
    expect_text(side, "rate", "9/s");
    expect_number(side, "burst", 4);
    const json_t *all = expect_status(get(daemon, "/v1/queues"), 200)->json;
    expect_text(all, "queues.0.name", "side"); // as the file has them now
    expect_text(all, "queues.1.name", "default");
    expect_status(call(daemon, "PATCH", "/v1/queues/side", text("{'workers':null}")), 200);
    expect_number(queue(daemon, "side"), "workers", 7);
    for (uint64_t id = first; id < first + 4; id++)
        (void)call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id),
                   NULL);
    daemon_stop(daemon);
}

static void fewer_workers_leave_what_runs_alone(void)
{
    struct daemon *daemon = daemon_started(plain);
    uint64_t first = submit_many(daemon, 3, text("{'kind':'sleep','args':{'duration':'1s'}}"));

    eventually(number_at(queue(daemon, "default"), "running") == 2, 10000);
    reload(daemon, "queue: { default: { workers = 1 }; };\n"
                   "kind: { sleep: { builtin = 'sleep' }; };\n");

    for (uint64_t id = first; id < first + 3; id++)
        expect_end(daemon, id, "succeeded", NULL);
    expect_number(queue(daemon, "default"), "workers", 1);
    daemon_stop(daemon);
}

static void a_changed_kind_holds_for_what_starts_afterwards(void)
{
    struct daemon *daemon = daemon_started(plain);
    uint64_t before = submit(daemon, "{'kind':'sleep','args':{'duration':'2s'}}");

    await_state(daemon, before, "running");
    reload(daemon,
           "queue: { default: { workers = 2 }; };\n"
           "kind: { sleep: { builtin = 'sleep'; timeout = '50ms'; max_attempts = 1 }; };\n");
    uint64_t after = submit(daemon, "{'kind':'sleep','args':{'duration':'2s'}}");

    expect_end(daemon, after, "failed", "timeout");
    expect_end(daemon, before, "succeeded", NULL);
    assert_true(daemon_logs(daemon, "kinds_changed=\"1: sleep\"", 0));
    daemon_stop(daemon);
}

static void a_running_task_of_a_removed_kind_ends_under_its_definition(void)
{
    struct daemon *daemon =
        daemon_started("queue: { default: { workers = 2 }; };\n"
                       "kind: { wait: { command = [ '/bin/sh', '-c', 'sleep 1; echo $WORD' ];\n"
                       "  env = { WORD = 'kept' }; output = 'text' }; };\n");
    uint64_t id = submit(daemon, "{'kind':'wait'}");

    await_state(daemon, id, "running");
    reload(daemon, plain);

    json_t *ended = expect_end(daemon, id, "succeeded", NULL);
    expect_text(ended, "result", "kept");
    assert_false(metric_is(daemon, "runnel_attempts_started_total{kind=\"wait\"}", "1"));
    daemon_stop(daemon);
}

static void waiting_tasks_of_a_removed_kind_are_held_and_queued_again(void)
{
    static const char both[] =
        "queue: { default: { workers = 1 }; };\n"
        "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n";
    enum { COUNT = 1500 }; // more than a slice of what is released
    struct daemon *daemon = daemon_started(both);
    uint64_t blocks = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, blocks, "running");
    uint64_t first = submit_many(daemon, COUNT, text("{'kind':'echo','args':1}"));
    uint64_t other = submit(daemon, "{'kind':'sleep','args':{'duration':'1ms'}}");

    reload(daemon, "queue: { default: { workers = 1 }; };\n"
                   "kind: { sleep: { builtin = 'sleep' }; };\n");
    expect_status(
        call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)blocks), NULL),
        202);
    expect_end(daemon, blocks, "cancelled", "cancelled");
    expect_end(daemon, other, "succeeded", NULL); // they block nobody
    eventually(number_at(queue(daemon, "default"), "states.held") == COUNT, 20000);
    expect_text(task(daemon, first), "state", "held");
    expect_text(task(daemon, first), "waiting_for.code", "kind-missing");

    reload(daemon, both);
    for (uint64_t id = first; id < first + COUNT; id += 250)
        expect_end(daemon, id, "succeeded", NULL);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") == COUNT + 1, 20000);
    expect_number(queue(daemon, "default"), "states.held", 0);
    assert_true(
        metric_is(daemon, "runnel_attempts_started_total{kind=\"echo\"}", plain_text("%d", COUNT)));
    daemon_stop(daemon);
}

static void a_removed_queue_keeps_its_tasks_and_goes_on_when_it_is_back(void)
{
    static const char with[] =
        "queue: { default: { workers = 1 }; side: { workers = 1 }; };\n"
        "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n";
    struct daemon *daemon = daemon_started(with);
    uint64_t runs = submit(daemon, "{'kind':'sleep','queue':'side','args':{'duration':'500ms'}}");
    await_state(daemon, runs, "running");
    uint64_t waits = submit(daemon, "{'kind':'echo','queue':'side','args':1}");

    reload(daemon, "queue: { default: { workers = 1 }; };\n"
                   "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n");
    assert_true(daemon_logs(daemon, "queues_removed=\"1: side\"", 0));
    assert_true(daemon_logs(daemon, "event=queue_not_configured queue=side waiting=", 0));
    expect_end(daemon, runs, "succeeded", NULL);
    expect_end(daemon, submit(daemon, "{'kind':'echo'}"), "succeeded", NULL);
    expect_text(task(daemon, waits), "state", "queued");
    expect_text(task(daemon, waits), "waiting_for.code", "queue-missing");
    expect_problem(call(daemon, "POST", "/v1/tasks", text("{'kind':'echo','queue':'side'}")), 422,
                   "invalid-task");

    reload(daemon, with);
    expect_end(daemon, waits, "succeeded", NULL);
    expect_end(daemon, submit(daemon, "{'kind':'echo','queue':'side'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

static void a_queue_that_was_missing_at_the_start_starts_when_it_comes(void)
{
    static const char with[] = "queue: { default: { workers = 1 }; side: { workers = 1 }; };\n"
                               "kind: { echo: { builtin = 'echo' }; };\n";
    static const char without[] = "queue: { default: { workers = 1 }; };\n"
                                  "kind: { echo: { builtin = 'echo' }; };\n";
    struct daemon *daemon = daemon_started(with);
    expect_status(call(daemon, "POST", "/v1/queues/side/pause", NULL), 200);
    uint64_t id = submit(daemon, "{'kind':'echo','queue':'side'}");
    daemon_stop(daemon);

    daemon_configure(daemon, without);
    daemon_start(daemon);
    expect_status(call(daemon, "POST", "/v1/queues/side/resume", NULL), 200);
    expect_text(task(daemon, id), "waiting_for.code", "queue-missing");
    reload(daemon, with);

    expect_end(daemon, id, "succeeded", NULL);
    daemon_stop(daemon);
}

static void limits_retention_and_log_level_change(void)
{
    struct daemon *daemon = daemon_started(plain);
    uint64_t id = submit(daemon, "{'kind':'echo','args':1}");
    expect_end(daemon, id, "succeeded", NULL);

    reload(daemon, "keep_succeeded = '0s';\nmax_waiting = 0;\nmax_backlog = 1;\n"
                   "log_level = 'info';\nqueue: { default: { workers = 1 }; };\n"
                   "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n");
    assert_true(daemon_logs(
        daemon, "settings=\"4: max_waiting, max_backlog, keep_succeeded, log_level\"", 0));
    eventually(get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)id))->status == 410,
               20000);
    expect_problem(call(daemon, "POST", "/v1/tasks?wait=1s", text("{'kind':'echo'}")), 503, "busy");
    id = submit(daemon, "{'kind':'sleep','args':{'duration':'30s'}}");
    expect_problem(call(daemon, "POST", "/v1/tasks", text("{'kind':'echo'}")), 503, "backlog-full");
    assert_true(metric_is(daemon, "runnel_backlog_max_tasks", "1"));
    await_state(daemon, id, "running");
    expect_status(
        call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id), NULL),
        202);
    assert_true(daemon_logs(daemon, "event=task_cancelled", 10000));
    daemon_stop(daemon);
}

static void the_drain_follows_the_configuration_in_force(void)
{
    struct daemon *daemon = daemon_started(plain);
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'60s'}}");

    await_state(daemon, id, "running");
    reload(daemon, "drain_timeout = '0s';\nqueue: { default: { workers = 1 }; };\n"
                   "kind: { sleep: { builtin = 'sleep' }; };\n");

    assert_true(daemon_stop(daemon) < 20000); // 25 s by default
    assert_true(daemon_logs(daemon, "drain_timeout_ms=0", 0));
}

static void what_needs_a_restart_is_said_and_the_rest_is_taken(void)
{
    struct daemon *daemon = daemon_started(plain);
    char *port = plain_text("127.0.0.1:%u", (unsigned)daemon->port);

    file_write(daemon->config_path,
               text("listen = '127.0.0.1:1';\nstore = '%s';\nmax_connections = 17;\n%s",
                    daemon->store_path,
                    "queue: { default: { workers = 5 }; };\n"
                    "kind: { echo: { builtin = \"echo\" }; };\n"));
    hang_up(daemon);
    assert_true(daemon_logs(daemon, "restart_needed=\"listen, max_connections\"", 0));
    json_t *told = configuration(daemon);
    expect_text(told, "restart_needed.0", "listen");
    expect_text(told, "restart_needed.1", "max_connections");
    assert_null(text_at(told, "last_error"));
    expect_number(queue(daemon, "default"), "workers", 5);
    assert_non_null(strstr(daemon_log(daemon), port)); // where it still listens

    reload(daemon, plain);
    assert_int_equal(json_array_size(at(configuration(daemon), "restart_needed")), 0);
    daemon_stop(daemon);
}

/* The status of a request with so many fields and, in one more, so many bytes. */
static long header_status(struct daemon *daemon, unsigned fields, unsigned bytes)
{
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Long: %0*u\r\n",
               (unsigned)daemon->port, (int)bytes, 0U);
    for (unsigned i = 0; i < fields; i++)
        wire_sendf(wire, "X-%u: 1\r\n", i);
    wire_sendf(wire, "\r\n");
    long status = wire_reply(wire, 10000)->status;
    wire_close(wire);
    return status;
}

static void the_limits_of_the_header_are_those_of_the_start(void)
{
    struct daemon *daemon =
        daemon_started(text("max_headers = 32;\nmax_header = '8KiB';\n%s", plain));

    reload(daemon, text("max_headers = 8;\nmax_header = '1KiB';\n%s", plain));
    assert_true(daemon_logs(daemon, "restart_needed=\"max_header, max_headers\"", 0));
    assert_int_equal(header_status(daemon, 24, 4000), 200);

    reload(daemon, text("max_headers = 256;\nmax_header = '64KiB';\n%s", plain));
    assert_int_equal(header_status(daemon, 24, 4000), 200);
    assert_int_equal(header_status(daemon, 64, 1), 431);
    assert_int_equal(header_status(daemon, 1, 12000), 431);
    daemon_stop(daemon);
}

static void a_refused_file_changes_nothing(void)
{
    struct daemon *daemon = daemon_started(plain);
    int64_t loaded_at = instant_at(configuration(daemon), "loaded_at");

    assert_true(metric_is(daemon, "runnel_config_last_reload_success", "1"));
    daemon_configure(daemon, "queue: { default: { workers = 9 }; };\n"
                             "kind: { echo: { builtin = 'ecko' }; };\nmax_waiting = -1;\n");
    hang_up(daemon);
    assert_int_equal(daemon_log_count(daemon, "event=reload_refused"), 1);
    assert_int_equal(daemon_log_count(daemon, "event=configuration_fault"), 2);
    assert_true(daemon_logs(daemon, plain_text("file=%s line=4", daemon->config_path), 0));
    assert_true(daemon_logs(daemon, plain_text("file=%s line=5", daemon->config_path), 0));
    json_t *told = configuration(daemon);
    assert_non_null(strstr(text_at(told, "last_error"), plain_text("%s:4: ", daemon->config_path)));
    assert_non_null(strstr(text_at(told, "last_error"), "(and 1 more)"));
    assert_true(instant_at(told, "last_error_at") >= loaded_at);
    assert_int_equal(instant_at(told, "loaded_at"), loaded_at);
    assert_true(metric_is(daemon, "runnel_config_last_reload_success", "0"));
    expect_number(queue(daemon, "default"), "workers", 2);
    expect_end(daemon, submit(daemon, "{'kind':'sleep','args':{'duration':'1ms'}}"), "succeeded",
               NULL);

    reload(daemon, plain);
    told = configuration(daemon);
    assert_null(text_at(told, "last_error"));
    assert_int_equal(instant_at(told, "last_error_at"), 0);
    assert_true(instant_at(told, "loaded_at") > loaded_at);
    assert_true(metric_is(daemon, "runnel_config_last_reload_success", "1"));
    assert_true(daemon_logs(daemon, "changed=nothing", 0));
    daemon_stop(daemon);
}

static void a_file_that_is_gone_is_refused(void)
{
    struct daemon *daemon = daemon_started(plain);

    assert_int_equal(unlink(daemon->config_path), 0);
    hang_up(daemon);

    assert_int_equal(daemon_log_count(daemon, "event=reload_refused"), 1);
    assert_non_null(strstr(text_at(configuration(daemon), "last_error"), daemon->config_path));
    expect_end(daemon, submit(daemon, "{'kind':'echo'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

static void an_override_of_the_command_line_stays_above_the_file(void)
{
    struct daemon *daemon = daemon_new(plain);
    daemon->arguments = (const char *[]){"-o", "max_backlog=7", NULL};
    daemon_start(daemon);

    reload(daemon, "max_backlog = 9;\nqueue: { default: { workers = 2 }; };\n"
                   "kind: { echo: { builtin = 'echo' }; };\n");

    assert_true(metric_is(daemon, "runnel_backlog_max_tasks", "7"));
    daemon_stop(daemon);
}

static void several_signals_in_a_row_end_in_the_last_file(void)
{
    struct daemon *daemon = daemon_started(plain);

    for (unsigned workers = 1; workers <= 20; workers++) {
        daemon_configure(daemon, text("queue: { default: { workers = %u }; };\n"
                                      "kind: { echo: { builtin = 'echo' }; };\n",
                                      workers));
        daemon_signal(daemon, SIGHUP);
    }

    eventually(number_at(queue(daemon, "default"), "workers") == 20, 20000);
    daemon_stop(daemon);
}

static void a_signal_in_a_drain_is_ignored(void)
{
    struct daemon *daemon = daemon_started(plain);
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1500ms'}}");

    await_state(daemon, id, "running");
    daemon_signal(daemon, SIGTERM);
    assert_true(daemon_logs(daemon, "event=draining", 10000));
    daemon_signal(daemon, SIGHUP);

    assert_true(daemon_logs(daemon, "event=reload_ignored", 10000));
    assert_int_equal(daemon_await_end(daemon, 30000), 0);
    assert_int_equal(loads(daemon), 0);
}

static void a_reload_under_way_when_the_stop_comes_is_told_of(void)
{
    struct daemon *daemon = daemon_started(plain);

    // Both are there when it goes on; SIGHUP has the lower number and comes out first.
    daemon_signal(daemon, SIGSTOP);
    daemon_signal(daemon, SIGHUP);
    daemon_signal(daemon, SIGTERM);
    daemon_signal(daemon, SIGCONT);

    assert_int_equal(daemon_await_end(daemon, 30000), 0);
    assert_int_equal(daemon_log_count(daemon, "event=reload_ignored"), 1);
    assert_int_equal(loads(daemon), 0);
}

/* ---- under load ---- */

static void nothing_is_lost_while_it_is_reloaded_again_and_again(void)
{
    static const char *const files[] = {
        "queue: { default: { workers = 2 }; };\n"
        "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n",
        "queue: { more: { workers = 2 }; default: { workers = 7; rate = '5000/s'; burst = 9 }; };\n"
        "kind: { other: { builtin = 'noop' }; echo: { builtin = 'echo'; timeout = '1m' }; };\n",
        "queue: { default: { workers = 1 }; };\nkind: { echo: { builtin = 'echo' }; };\n",
    };
    struct daemon *daemon = daemon_started(files[0]);

    uint64_t long_one = submit(daemon, "{'kind':'sleep','args':{'duration':'1s'}}");
    await_state(daemon, long_one, "running");
    struct load *load = load_start(daemon);
    for (unsigned i = 1; i <= 50; i++)
        reload(daemon, files[i % 3]);
    load_end(load);

    assert_int_equal(atomic_load(&load->refused), 0);
    assert_true(atomic_load(&load->stored) > 50);
    expect_end(daemon, long_one, "succeeded", NULL);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") ==
                   (int64_t)atomic_load(&load->stored) + 1,
               60000);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_new_kind_and_a_new_queue_take_tasks),
             SCENARIO(a_changed_queue_changes_and_an_override_stays_above_it),
             SCENARIO(fewer_workers_leave_what_runs_alone),
             SCENARIO(a_changed_kind_holds_for_what_starts_afterwards),
             SCENARIO(a_running_task_of_a_removed_kind_ends_under_its_definition),
             SCENARIO(waiting_tasks_of_a_removed_kind_are_held_and_queued_again),
             SCENARIO(a_removed_queue_keeps_its_tasks_and_goes_on_when_it_is_back),
             SCENARIO(a_queue_that_was_missing_at_the_start_starts_when_it_comes),
             SCENARIO(limits_retention_and_log_level_change),
             SCENARIO(the_drain_follows_the_configuration_in_force),
             SCENARIO(what_needs_a_restart_is_said_and_the_rest_is_taken),
             SCENARIO(the_limits_of_the_header_are_those_of_the_start),
             SCENARIO(a_refused_file_changes_nothing), SCENARIO(a_file_that_is_gone_is_refused),
             SCENARIO(an_override_of_the_command_line_stays_above_the_file),
             SCENARIO(several_signals_in_a_row_end_in_the_last_file),
             SCENARIO(a_signal_in_a_drain_is_ignored),
             SCENARIO(a_reload_under_way_when_the_stop_comes_is_told_of),
             SCENARIO(nothing_is_lost_while_it_is_reloaded_again_and_again))
