/* What a command is given: environment, folder, standard input, and the elements of its command
 * line, whatever is in the args. What comes out: test_exec.c. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void the_environment_is_made_from_nothing(void **state)
{
    struct rig rig;
    char *pass_env[] = {"RIG_PASSED", "RIG_NOT_SET", NULL};
    char *env[] = {"LANG=de_DE.UTF-8", "X=a=b c", "EMPTY=", NULL};

    (void)state;
    assert_int_equal(setenv("RIG_PASSED", "passed on", 1), 0);
    assert_int_equal(setenv("LD_PRELOAD_NOT", "/x", 1), 0);
    rig_init_command(&rig, (const char *const[]){"/usr/bin/env", NULL});
    rig.kind.directory = strdup("/");
    rig.kind.pass_env = pass_env;
    rig.kind.env = env;
    rig.attempt.number = 2;
    rig_run(&rig, "null");

    rig_assert_succeeded(&rig, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                               "HOME=/\n"
                               "LANG=de_DE.UTF-8\n"
                               "RUNNEL_TASK_ID=42\n"
                               "RUNNEL_KIND=tested\n"
                               "RUNNEL_QUEUE=default\n"
                               "RUNNEL_ATTEMPT=2\n"
                               "RUNNEL_DEADLINE=2025-11-24T22:25:46.123Z\n"
                               "RIG_PASSED=passed on\n"
                               "X=a=b c\n"
                               "EMPTY=");
    free(rig.kind.directory);
    rig_fini(&rig);
}

static void the_trace_is_in_the_environment_unless_the_kind_sets_its_own(void **state)
{
    static const char traceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct rig rig;
    char *env[] = {"TRACEPARENT=own", NULL};

    (void)state;
    rig_init_shell(&rig, "echo \"${TRACEPARENT-none}\"");
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "none");
    rig.attempt.traceparent = "";
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "none");
    rig.attempt.traceparent = traceparent;
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, traceparent);
    rig.kind.env = env;
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "own");
    rig_fini(&rig);
}

static void a_work_directory_is_private_empty_and_gone_afterwards(void **state)
{
    struct rig rig;
    char expected[PATH_MAX];

    (void)state;
    rig_init_shell(&rig,
                   "test \"$(pwd -P)\" = \"$(cd \"$HOME\" && pwd -P)\" && ls -A && stat -c %a . && "
                   "pwd && mkdir -p a/b && echo x > a/b/c");
    (void)snprintf(expected, sizeof(expected), "700\n%s/work-", rig.work_root);
    rig_run(&rig, "null");

    assert_true(rig.outcome.succeeded);
    assert_memory_equal(rig.outcome.result, expected, strlen(expected));
    rig_fini(&rig); // asserts that it is gone
}

static void a_failed_command_leaves_no_work_directory_either(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "mkdir -p a/b/c; chmod 0 a/b; exit 1");
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "exit");
    rig_fini(&rig);
}

static void a_configured_directory_is_left_alone(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "pwd; echo \"$HOME\"; : > made");
    rig.kind.directory = strdup(rig.folder);
    rig_run(&rig, "null");

    char expected[PATH_MAX];
    (void)snprintf(expected, sizeof(expected), "%s\n%s", rig.folder, rig.folder);
    rig_assert_succeeded(&rig, expected);
    (void)snprintf(expected, sizeof(expected), "%s/made", rig.folder);
    assert_int_equal(unlink(expected), 0);
    free(rig.kind.directory);
    rig_fini(&rig);
}

static void stdin_is_the_args_nothing_or_one_of_them(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/cat", NULL});
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    rig_run(&rig, "{\"a\":1.10}");
    rig_assert_succeeded(&rig, "{\"a\":1.10}");
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "null");

    rig.kind.stdin_from = CONFIG_STDIN_NONE;
    rig_run(&rig, "{\"a\":1}");
    rig_assert_succeeded(&rig, "");

    rig.kind.stdin_from = CONFIG_STDIN_PLACEHOLDER;
    (void)snprintf(rig.kind.stdin_name, sizeof(rig.kind.stdin_name), "text");
    rig_run(&rig, "{\"text\":\"-one\\ntwo\\n\"}");
    rig_assert_succeeded(&rig, "-one\ntwo");
    rig_run(&rig, "{\"text\":1.50}");
    rig_assert_succeeded(&rig, "1.50");
    rig_run(&rig, "{\"text\":\"\"}");
    rig_assert_succeeded(&rig, "");
    rig_run(&rig, "{}");
    rig_assert_failed(&rig, "invalid-args");
    assert_false(rig.outcome.retryable);
    assert_contains(rig.outcome.message, "args/text is required");
    rig_fini(&rig);
}

static void args_that_no_longer_fit_start_nothing(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/echo", "{a}", NULL});
    rig_run(&rig, "{\"a\":\"-n\"}");
    rig_assert_failed(&rig, "invalid-args");
    assert_false(rig.outcome.retryable);
    assert_null(rig.outcome.exec);
    rig_run(&rig, "{\"a\":\"n\"}");
    rig_assert_succeeded(&rig, "n");
    rig_fini(&rig);
}

static const char *const payloads[] = {
    "-oProxyCommand=touch /tmp/pwned",
    "--",
    "-",
    "-rf",
    "--help",
    "--output=/etc/passwd",
    "-e",
    "-c",
    "$(touch /tmp/pwned)",
    "`touch /tmp/pwned`",
    "${IFS}",
    "$PATH",
    "$0",
    "$$",
    "$'\\n'",
    "$((1+1))",
    "; touch /tmp/pwned",
    "| cat /etc/passwd",
    "|| true",
    "&& true",
    "& true",
    "> /tmp/pwned",
    ">> /tmp/pwned",
    "< /etc/passwd",
    "<(true)",
    "2>&1",
    "a\nb",
    "\n",
    "a\r\nb",
    "\t",
    " ",
    "  leading and trailing  ",
    "",
    "'",
    "\"",
    "''",
    "\"\"",
    "'; true; '",
    "\"; true; \"",
    "\\",
    "\\\\",
    "\\n",
    "\\0",
    "\\'",
    "*",
    "?",
    "[a-z]*",
    "~",
    "~root",
    "{a,b}",
    "{a}",
    "{x}",
    "{}",
    "--x={a}",
    "%s%n%x",
    "%00",
    "!!",
    "!1",
    "#",
    "# comment",
    "a#b",
    "(true)",
    "{ true; }",
    "()",
    "() { :; }; true",
    "[ -e / ]",
    "if true; then true; fi",
    "LD_PRELOAD=/tmp/x.so",
    "PATH=/tmp",
    "IFS=x",
    "=",
    "=x",
    "a=b",
    "../../../etc/passwd",
    "/etc/passwd",
    "//",
    ".",
    "..",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "@/etc/passwd",
    "@-",
    ":",
    "::",
    ",",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "{\"json\":true}",
    "null",
    "true",
    "0",
    "-1",
    "1e309",
    "NaN",
    "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
    "\xE2\x80\xAE"
    "reversed",
    "\xEF\xBB\xBF"
    "with a byte order mark",
    "\x01\x02\x1B[31m\x7F",
    "\xC2\x9B"
    "31m",
    "\b\b\b",
    "\v\f",
    "^C",
    "\x04",
    "exit",
    "sudo reboot",
};

static void every_payload_arrives_as_one_literal_element(void **state)
{
    struct rig rig;
    char expected[1024];

    (void)state;
    assert_true(sizeof(payloads) / sizeof(payloads[0]) >= 100);
    // printf reuses its format for every argument, so that one argument too many or too few shows.
    rig_init_command(
        &rig, (const char *const[]){"/usr/bin/printf", "<%s>", "--", "{p}", "--x={p}", NULL});
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        json_t *json = json_pack("{s:s}", "p", payloads[i]);
        char *args = json_dumps(json, JSON_COMPACT);
        assert_non_null(args);
        rig_run(&rig, args);
        // "--" stands before the placeholder for us; for printf, behind its format, it is a word.
        (void)snprintf(expected, sizeof(expected), "<--><%s><--x=%s>", payloads[i], payloads[i]);
        rig_assert_succeeded(&rig, expected);
        free(args);
        json_decref(json);
    }
    assert_int_not_equal(access("/tmp/pwned", F_OK), 0);
    rig_fini(&rig);
}

static void the_longest_value_allowed_arrives_whole(void **state)
{
    struct rig rig;
    char value[4097];
    char args[5000];

    (void)state;
    memset(value, 'v', 4096);
    value[4096] = '\0';
    (void)snprintf(args, sizeof(args), "{\"a\":\"%s\"}", value);
    rig_init_command(&rig, (const char *const[]){"/bin/echo", "{a}", NULL});
    rig_run(&rig, args);
    rig_assert_succeeded(&rig, value);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_is_made_from_nothing),
        cmocka_unit_test(the_trace_is_in_the_environment_unless_the_kind_sets_its_own),
        cmocka_unit_test(a_work_directory_is_private_empty_and_gone_afterwards),
        cmocka_unit_test(a_failed_command_leaves_no_work_directory_either),
        cmocka_unit_test(a_configured_directory_is_left_alone),
        cmocka_unit_test(stdin_is_the_args_nothing_or_one_of_them),
        cmocka_unit_test(args_that_no_longer_fit_start_nothing),
        cmocka_unit_test(every_payload_arrives_as_one_literal_element),
        cmocka_unit_test(the_longest_value_allowed_arrives_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
