/* Signals while something is saved: each in a process of its own, which they end. */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/interrupt.h"

enum { GONE_ON = 7, RUN = 'r' };

static int told; // a pipe's end

static void tell(void)
{
    const char byte = RUN;

    (void)!write(told, &byte, 1);
}

/* How a process ends that gets a signal, and whether the function was run. */
static int end_of(int number, bool is_ignored, bool is_over, bool *ret_run)
{
    int ends[2];
    int status = 0;
    char byte = 0;

    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sigaction action = {.sa_handler = is_ignored ? SIG_IGN : SIG_DFL};
        told = ends[1];
        (void)sigaction(number, &action, NULL);
        interrupt_run(tell);
        if (is_over)
            interrupt_run(NULL);
        (void)raise(number);
        _exit(GONE_ON);
    }
    (void)close(ends[1]);
    *ret_run = read(ends[0], &byte, 1) == 1 && byte == RUN;
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_signal_runs_the_function_and_ends_the_program(void **state)
{
    (void)state;
    static const struct {
        int number, code;
    } rows[] = {{SIGINT, 130}, {SIGTERM, 130}, {SIGHUP, 130}, {SIGPIPE, 141}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool has_run = false;
        assert_int_equal(end_of(rows[i].number, false, false, &has_run), rows[i].code);
        assert_true(has_run);
        assert_int_equal(end_of(rows[i].number, false, true, &has_run), -rows[i].number);
        assert_false(has_run);
    }
}

static void one_that_was_ignored_stays_so(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        bool has_run = false;
        assert_int_equal(end_of(numbers[i], true, false, &has_run), GONE_ON);
        assert_false(has_run);
        assert_int_equal(end_of(numbers[i], true, true, &has_run), GONE_ON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_runs_the_function_and_ends_the_program),
        cmocka_unit_test(one_that_was_ignored_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
