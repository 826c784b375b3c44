/** \file
 * A task's place in a trace: from the request's traceparent to the command's environment, the
 * answers and the log, through retries and restarts.
 */
#include <string.h>

#include "harness.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00-" TRACE "-00f067aa0ba902b7-01"

static const char config[] =
    "log_level = 'info';\n"
    "queue: { default: { workers = 2 }; };\n"
    "kind: {\n"
    "  show: { command = ['/usr/bin/env']; };\n"
    "  own: { command = ['/usr/bin/env']; env = { TRACEPARENT = 'mine' } };\n"
    "  echo: { builtin = 'echo' };\n"
    "  fails: { command = ['/bin/sh', '-c', 'echo $TRACEPARENT >&2; exit 1'];\n"
    "    max_attempts = 2; backoff = { base = '1ms'; max = '1ms' } };\n"
    "};\n";

static uint64_t submit_traced(struct daemon *daemon, const char *body)
{
    struct reply *reply = call_request(
        daemon, &(struct request){.method = "POST",
                                  .path = "/v1/tasks",
                                  .body = quoted(body),
                                  .headers = (const char *[]){"traceparent: " PARENT, NULL}});

    expect_text(expect_status(reply, 201)->json, "traceparent", PARENT);
    return (uint64_t)number_at(reply->json, "id");
}

static void a_command_has_the_trace_in_its_environment(void)
{
    struct daemon *daemon = daemon_started(config);

    const json_t *traced =
        expect_end(daemon, submit_traced(daemon, "{'kind':'show'}"), "succeeded", NULL);
    const json_t *without =
        expect_end(daemon, submit(daemon, "{'kind':'show'}"), "succeeded", NULL);
    const json_t *own =
        expect_end(daemon, submit_traced(daemon, "{'kind':'own'}"), "succeeded", NULL);

    assert_non_null(strstr(text_at(traced, "result"), "\nTRACEPARENT=" PARENT));
    assert_null(strstr(text_at(without, "result"), "TRACEPARENT"));
    assert_null(text_at(without, "traceparent"));
    assert_non_null(strstr(text_at(own, "result"), "\nTRACEPARENT=mine"));
    assert_null(strstr(text_at(own, "result"), TRACE));
    daemon_stop(daemon);
}

static void the_events_of_a_task_name_its_trace(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t good = submit_traced(daemon, "{'kind':'echo'}");
    uint64_t bad = submit_traced(daemon, "{'kind':'fails'}");
    uint64_t without = submit(daemon, "{'kind':'echo'}");
    expect_end(daemon, good, "succeeded", NULL);
    const json_t *ended = expect_end(daemon, bad, "failed", "exit");
    expect_end(daemon, without, "succeeded", NULL);

    // The second attempt has it too.
    expect_number(ended, "attempt", 2);
    expect_text(ended, "exec.stderr", PARENT "\n");
    daemon_stop(daemon);
    assert_int_equal(daemon_log_count(daemon, " trace=" TRACE), 3);
    assert_true(daemon_log_count(daemon, "event=task_succeeded") == 2);
    assert_true(daemon_log_count(daemon, "event=task_retry") == 1);
    assert_int_equal(daemon_log_count(daemon, "trace="), 3);
}

static void it_is_kept_over_a_restart_and_a_retry_by_hand(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit_traced(daemon, "{'kind':'fails'}");
    expect_end(daemon, id, "failed", "exit");
    daemon_stop(daemon);

    daemon_start(daemon);
    expect_text(task(daemon, id), "traceparent", PARENT);
    expect_status(
        call(daemon, "POST", plain_text("/v1/tasks/%llu/retry", (unsigned long long)id), NULL),
        200);
    const json_t *ended = expect_end(daemon, id, "failed", "exit");

    expect_text(ended, "traceparent", PARENT);
    expect_text(ended, "exec.stderr", PARENT "\n");
    expect_text(get(daemon, "/v1/tasks")->json, "tasks.0.traceparent", PARENT);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_command_has_the_trace_in_its_environment),
             SCENARIO(the_events_of_a_task_name_its_trace),
             SCENARIO(it_is_kept_over_a_restart_and_a_retry_by_hand))
