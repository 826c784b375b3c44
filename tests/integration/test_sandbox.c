/** \file What a sandbox forbids is told at the start, and a command's error names it. */
#include <string.h>

#include "harness.h"

static const char config[] = "queue: { default: { workers = 1 }; };\n"
                             "kind: { run: { command = ['/bin/sh', '-c', 'exit 127'] }; };\n";

/* Whether these tests run in a sandbox themselves: then the daemon does, too. */
static bool is_in_sandbox(void)
{
    const char *status = file_read("/proc/self/status");

    return strstr(status, "\nNoNewPrivs:\t0\n") == NULL ||
           strstr(status, "\nSeccomp:\t0\n") == NULL ||
           strstr(status, "\nCapBnd:\t0000000000000000\n") != NULL;
}

static const char *message_of(struct daemon *daemon)
{
    return plain_text(
        "%s", text_at(expect_end(daemon, submit(daemon, "{'kind':'run'}"), "failed", "exit"),
                      "error.message"));
}

static void in_a_sandbox_the_start_and_a_commands_error_say_so(void)
{
    struct daemon *daemon = daemon_new(config);

    daemon->prefix = (const char *[]){"setpriv", "--no-new-privs", NULL};
    daemon_start(daemon);

    assert_int_equal(daemon_log_count(daemon, "event=sandbox forbids=\""), 1);
    assert_non_null(strstr(daemon_log(daemon), "new privileges (sudo)"));
    assert_non_null(strstr(message_of(daemon), "; the service's sandbox may be the cause"));
    daemon_stop(daemon);
}

static void without_a_sandbox_neither_does(void)
{
    if (is_in_sandbox())
        harness_skip("the tests themselves run in a sandbox");
    struct daemon *daemon = daemon_started(config);

    assert_int_equal(daemon_log_count(daemon, "event=sandbox"), 0);
    assert_null(strstr(message_of(daemon), "sandbox"));
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(in_a_sandbox_the_start_and_a_commands_error_say_so),
             SCENARIO(without_a_sandbox_neither_does))
