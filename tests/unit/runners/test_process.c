/*
 * How commands are ended, and how they are fed. How they are started: test_start.c. Nothing here
 * waits for a length of time: a command says through a fifo that it is there, and that all who held
 * the fifo are gone is its end of file.
 */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Ends. ---- */

static void a_cancelled_command_gets_sigterm(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(
        &rig,
        "trap 'echo bye; exit 5' TERM; echo x >\"$FIFO\"; while :; do sleep 1000 & wait; done");
    rig_run_until_ready(&rig, "null", rig_cancel);

    rig_assert_failed(&rig, "cancelled");
    assert_contains(rig.outcome.message, "ended on SIGTERM");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "exit_code")), 5);
    assert_string_equal(json_string_value(json_object_get(rig.exec, "stdout")), "bye\n");
    rig_fini(&rig);
}

static void sigterm_goes_to_the_whole_group(void **state)
{
    struct rig rig;

    (void)state;
    // The inner one alone writes to the fifo, and the outer one ends because the inner one has.
    rig_init_shell(&rig,
                   "trap '' TERM; (trap 'exit 0' TERM; echo x >\"$FIFO\"; while :; do sleep 1000 & "
                   "wait; done) & wait; echo over");
    rig_run_until_ready(&rig, "null", rig_cancel);

    rig_assert_failed(&rig, "cancelled");
    assert_contains(rig.outcome.message, "ended on SIGTERM");
    assert_string_equal(json_string_value(json_object_get(rig.exec, "stdout")), "over\n");
    rig_fini(&rig);
}

static void a_command_that_ignores_sigterm_is_killed_after_the_grace(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "trap '' TERM; echo x >\"$FIFO\"; exec sleep 1000");
    atomic_store(&rig.kill_grace, 50 * RN_MILLISECOND);
    rig_run_until_ready(&rig, "null", rig_cancel);

    rig_assert_failed(&rig, "cancelled");
    assert_contains(rig.outcome.message, "SIGTERM did not end it, SIGKILL did");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), SIGKILL);
    assert_true(json_integer_value(json_object_get(rig.exec, "wall_ms")) >= 50);
    rig_fini(&rig);
}

static void cancel_and_then_shorten(struct rig *rig, const char *line)
{
    (void)line;
    rn_context_cancel(rig->ctx, 0);
    atomic_store(&rig->kill_grace, RN_MILLISECOND); // it was an hour
}

static void a_grace_that_is_shortened_meanwhile_counts(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "trap '' TERM; echo x >\"$FIFO\"; exec sleep 1000");
    rig_run_until_ready(&rig, "null", cancel_and_then_shorten);

    rig_assert_failed(&rig, "cancelled");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), SIGKILL);
    rig_fini(&rig);
}

static void a_stopped_command_ends_on_sigterm_too(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "(echo x >\"$FIFO\") & kill -STOP $$; exit 1");
    rig_run_until_ready(&rig, "null", rig_cancel);

    rig_assert_failed(&rig, "cancelled");
    assert_contains(rig.outcome.message, "ended on SIGTERM");
    rig_fini(&rig);
}

static void a_timeout_is_told_from_a_cancel(void **state)
{
    struct rig rig;
    rn_context *ctx = NULL;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/sleep", "1000", NULL});
    assert_int_equal(rn_context_with_timeout(NULL, 100 * RN_MILLISECOND, &ctx), 0);
    rn_context_unref(rig.ctx);
    rig.ctx = ctx;
    rig_run(&rig, "null");

    rig_assert_failed(&rig, "timeout");
    assert_true(rig.outcome.retryable);
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), SIGTERM);
    rig_fini(&rig);
}

static void nothing_starts_once_the_context_has_ended(void **state)
{
    struct rig rig;
    char made[PATH_MAX];

    (void)state;
    rig_init_shell(&rig, "echo > \"$1\"");
    (void)snprintf(made, sizeof(made), "%s/made", rig.folder);
    rig.words[4] = strdup(made);
    rig.kind.command_count = 5;
    rn_context_cancel(rig.ctx, 0);
    rig_run(&rig, "null");

    rig_assert_failed(&rig, "cancelled");
    assert_int_equal(access(made, F_OK), -1);
    rig_fini(&rig);
}

static void a_grandchild_that_holds_stdout_does_not_hold_up_the_end(void **state)
{
    struct rig rig;
    char variable[PATH_MAX];
    char *env[] = {variable, NULL};

    (void)state;
    rig_init_shell(&rig, "exec 3>\"$FIFO\"; (sleep 1000 &) ; echo done");
    (void)snprintf(variable, sizeof(variable), "FIFO=%s", rig.fifo);
    rig.kind.env = env;
    int fifo = rig_open_fifo(&rig);
    rig_run(&rig, "null");

    rig_assert_succeeded(&rig, "done");
    rig_read_to_the_end(fifo); // the group is killed
    rig_fini(&rig);
}

static void a_grandchild_in_a_session_of_its_own_is_left_alone(void **state)
{
    struct rig rig;
    char variable[PATH_MAX];
    char *env[] = {variable, NULL};

    (void)state;
    // It holds stdout and stderr; the parent ends when the child has its own session.
    rig_init_shell(&rig, "setsid sh -c 'echo $$ >\"$FIFO\"; exec sleep 1000 3>\"$FIFO\"' & "
                         "read -r pid <\"$FIFO\"; echo \"$pid\"");
    (void)snprintf(variable, sizeof(variable), "FIFO=%s", rig.fifo);
    rig.kind.env = env;
    rig_run(&rig, "null");

    assert_true(rig.outcome.succeeded);
    uint64_t pid = 0;
    assert_int_equal(sscanf(rig.outcome.result, "%lu", &pid), 1);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    rig_fini(&rig);
}

static void what_was_written_before_the_end_is_all_there(void **state)
{
    struct rig rig;

    (void)state;
    // Fills the pipe at once and ends: most of it is read after the end.
    rig_init_shell(
        &rig, "head -c 60000 /dev/zero | tr '\\000' o; head -c 60000 /dev/zero | tr '\\000' e >&2");
    rig_run(&rig, "null");

    assert_true(rig.outcome.succeeded);
    assert_int_equal(rig.outcome.result_bytes, 60000);
    assert_int_equal(json_string_length(json_object_get(rig.exec, "stderr")), 16 * 1024);
    rig_fini(&rig);
}

static int64_t thread_us(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void waiting_costs_no_processor_time(void **state)
{
    // The second has no output any more, which must neither end it nor be looked at all the time.
    static const char *const scripts[] = {"echo x; sleep 0.4", "echo x; exec >&- 2>&-; sleep 0.4"};

    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct rig rig;
        rig_init_shell(&rig, scripts[i]);
        int64_t before_us = thread_us();
        rig_run(&rig, "null");
        assert_true(thread_us() - before_us < 200000); // a loop that spins would take 400000
        rig_assert_succeeded(&rig, "x");
        assert_true(json_integer_value(json_object_get(rig.exec, "wall_ms")) >= 400);
        rig_fini(&rig);
    }
}

static void a_writer_that_never_stops_does_not_hold_up_the_end(void **state)
{
    struct rig rig;
    char variable[PATH_MAX];
    char *env[] = {variable, NULL};

    (void)state;
    // In a session of its own it outlives the group; it ends when nobody reads the pipe any more.
    rig_init_shell(&rig, "setsid sh -c 'echo x >\"$FIFO\"; exec cat /dev/zero >&2' & "
                         "read -r x <\"$FIFO\"; echo ended");
    (void)snprintf(variable, sizeof(variable), "FIFO=%s", rig.fifo);
    rig.kind.env = env;
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "ended");
    rig_fini(&rig);
}

/* ---- stdin. ---- */

enum { BIG_BYTES = 1 << 20 };

/* A JSON string of BIG_BYTES, with its quotes. */
static char *make_big_args(void)
{
    char *args = malloc(BIG_BYTES + 1);

    assert_non_null(args);
    memset(args, 'x', BIG_BYTES);
    args[0] = '"';
    args[BIG_BYTES - 1] = '"';
    args[BIG_BYTES] = '\0';
    return args;
}

static void input_larger_than_a_pipe_arrives_whole(void **state)
{
    struct rig rig;
    char *args = make_big_args();

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/usr/bin/wc", "-c", NULL});
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig_run(&rig, args);
    rig_assert_succeeded(&rig, "1048576");
    rig_fini(&rig);

    // Written back while it is still being sent.
    rig_init_command(&rig, (const char *const[]){"/bin/cat", NULL});
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig.kind.max_output = BIG_BYTES;
    rig_run(&rig, args);
    rig_assert_succeeded(&rig, args);
    rig_fini(&rig);
    free(args);
}

static void a_command_need_not_read_its_input(void **state)
{
    struct rig rig;
    char *args = make_big_args();

    (void)state;
    rig_init_shell(&rig, "echo ended");
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig_run(&rig, args);
    rig_assert_succeeded(&rig, "ended");
    rig_fini(&rig);

    rig_init_shell(&rig, "exec <&-; echo closed; head -c 1 /dev/zero | tr '\\000' x");
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig_run(&rig, args);
    rig_assert_succeeded(&rig, "closed\nx");
    rig_fini(&rig);

    rig_init_shell(&rig, "echo x >\"$FIFO\"; exec sleep 1000");
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig_run_until_ready(&rig, args, rig_cancel);
    rig_assert_failed(&rig, "cancelled");
    rig_fini(&rig);
    free(args);
}

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_command_gets_sigterm),
        cmocka_unit_test(sigterm_goes_to_the_whole_group),
        cmocka_unit_test(a_command_that_ignores_sigterm_is_killed_after_the_grace),
        cmocka_unit_test(a_grace_that_is_shortened_meanwhile_counts),
        cmocka_unit_test(a_stopped_command_ends_on_sigterm_too),
        cmocka_unit_test(a_timeout_is_told_from_a_cancel),
        cmocka_unit_test(nothing_starts_once_the_context_has_ended),
        cmocka_unit_test(a_grandchild_that_holds_stdout_does_not_hold_up_the_end),
        cmocka_unit_test(a_grandchild_in_a_session_of_its_own_is_left_alone),
        cmocka_unit_test(what_was_written_before_the_end_is_all_there),
        cmocka_unit_test(waiting_costs_no_processor_time),
        cmocka_unit_test(a_writer_that_never_stops_does_not_hold_up_the_end),
        cmocka_unit_test(input_larger_than_a_pipe_arrives_whole),
        cmocka_unit_test(a_command_need_not_read_its_input),
    };

    // As a daemon may be started.
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)sigaction(SIGCHLD, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
