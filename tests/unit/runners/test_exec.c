/* Commands, by their rules: what goes in, what comes out. How they are ended: test_process.c. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"

static const char *exec_text(const struct rig *rig, const char *field)
{
    const char *text = json_string_value(json_object_get(rig->exec, field));

    assert_non_null(text);
    return text;
}

static void assert_exec_null(const struct rig *rig, const char *field)
{
    json_t *value = json_object_get(rig->exec, field);

    assert_non_null(value);
    assert_true(json_is_null(value));
}

static void a_command_that_succeeds_has_its_output_as_result(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "echo one; echo two; echo warning >&2");
    rig_run(&rig, "null");

    rig_assert_succeeded(&rig, "one\ntwo");
    assert_false(rig.outcome.result_is_json);
    assert_int_equal(json_object_size(rig.exec), 8);
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "exit_code")), 0);
    assert_exec_null(&rig, "signal");
    assert_exec_null(&rig, "stdout");
    assert_string_equal(exec_text(&rig, "stderr"), "warning\n");
    assert_true(json_is_false(json_object_get(rig.exec, "truncated")));
    assert_true(json_is_integer(json_object_get(rig.exec, "wall_ms")));
    assert_true(json_is_integer(json_object_get(rig.exec, "cpu_ms")));
    assert_non_null(json_object_get(rig.exec, "max_rss_kib"));
    rig_fini(&rig);
}

static void only_the_last_newline_is_taken_off(void **state)
{
    // clang-format off
    static const struct { const char *script, *result; } rows[] = {
        {"true", ""},
        {"echo", ""},
        {"echo; echo", "\n"},
        {"printf x", "x"},
        {"printf 'x\\r\\n'", "x\r"},
        {"printf ' x \\n\\n'", " x \n"},
    };
    // clang-format on
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_init_shell(&rig, rows[i].script);
        rig_run(&rig, "null");
        rig_assert_succeeded(&rig, rows[i].result);
        rig_fini(&rig);
    }
}

static void output_that_is_no_text_is_made_text(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "printf 'a\\377b\\000c\\303\\251\\n'; printf '\\033[31m\\376' >&2");
    rig_run(&rig, "null");

    rig_assert_succeeded(&rig, "a\xEF\xBF\xBD"
                               "b\xEF\xBF\xBD"
                               "c\xC3\xA9");
    assert_string_equal(exec_text(&rig, "stderr"), "\033[31m\xEF\xBF\xBD");
    assert_null(strchr(rig.outcome.exec, '\033')); // escaped
    rig_fini(&rig);
}

static void json_output_is_kept_as_it_was_written(void **state)
{
    // clang-format off
    static const struct { const char *script, *result; } rows[] = {
        {"echo '{\"a\": 1.10, \"b\": [1e3, \" x \"]}'", "{\"a\":1.10,\"b\":[1e3,\" x \"]}"},
        {"printf '[\\n1\\n]\\n\\n'", "[1]"},
        {"echo 7", "7"},
        {"echo '\"text\"'", "\"text\""},
        {"echo null", NULL},
        {"echo true", "true"},
    };
    // clang-format on
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_init_shell(&rig, rows[i].script);
        rig.kind.output = CONFIG_OUTPUT_JSON;
        rig_run(&rig, "null");
        rig_assert_succeeded(&rig, rows[i].result);
        assert_int_equal(rig.outcome.result_is_json, rows[i].result != NULL);
        rig_fini(&rig);
    }
}

static void json_output_that_does_not_parse_is_bad_output(void **state)
{
    static const char *const scripts[] = {
        "true",
        "echo hello",
        "echo '{\"a\":1'",
        "echo '{\"a\":1,\"a\":2}'",
        "echo '[1] [2]'",
        "printf '7\\000'",
        "printf '\"\\377\"'",
        "echo '{\"a\":1e999}'",
        "echo '\"\\u0000\"'",
    };
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        rig_init_shell(&rig, scripts[i]);
        rig.kind.output = CONFIG_OUTPUT_JSON;
        rig_run(&rig, "null");
        rig_assert_failed(&rig, "bad-output");
        assert_contains(rig.outcome.message, "stdout is not JSON");
        assert_true(json_is_string(json_object_get(rig.exec, "stdout")));
        assert_int_equal(json_integer_value(json_object_get(rig.exec, "exit_code")), 0);
        rig_fini(&rig);
    }
}

static void output_may_have_max_output_bytes_and_no_more(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "head -c 1000 /dev/zero | tr '\\000' x; echo end >&2");
    rig.kind.max_output = 1000;
    rig_run(&rig, "null");
    assert_true(rig.outcome.succeeded);
    assert_int_equal(rig.outcome.result_bytes, 1000);
    rig_fini(&rig);

    rig_init_shell(&rig, "head -c 1001 /dev/zero | tr '\\000' x; sleep 1000");
    rig.kind.max_output = 1000;
    rig_run(&rig, "null"); // does not wait for the sleep
    rig_assert_failed(&rig, "output-too-large");
    assert_contains(rig.outcome.message, "1000");
    assert_int_equal(strlen(exec_text(&rig, "stdout")), 1000);
    assert_true(json_is_true(json_object_get(rig.exec, "truncated")));
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), 9);
    rig_fini(&rig);

    rig_init_command(&rig, (const char *const[]){"/bin/cat", "/dev/zero", NULL});
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "output-too-large");
    rig_fini(&rig);
}

static void of_stderr_the_last_16_kib_are_kept(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "head -c 1000000 /dev/zero | tr '\\000' e >&2; printf end >&2; exit 3");
    rig_run(&rig, "null");

    rig_assert_failed(&rig, "exit");
    const char *text = exec_text(&rig, "stderr");
    assert_int_equal(strlen(text), 16 * 1024);
    assert_string_equal(text + strlen(text) - 4, "eend");
    assert_true(json_is_true(json_object_get(rig.exec, "truncated")));
    rig_fini(&rig);
}

static void a_failed_command_tells_exit_code_and_output(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "echo partial; echo reason >&2; exit 3");
    rig_run(&rig, "null");

    rig_assert_failed(&rig, "exit");
    assert_string_equal(rig.outcome.message, "exit status 3");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "exit_code")), 3);
    assert_string_equal(exec_text(&rig, "stdout"), "partial\n");
    assert_string_equal(exec_text(&rig, "stderr"), "reason\n");
    rig_fini(&rig);
}

static void a_signal_is_told_by_number_and_name(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "kill -SEGV $$");
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "signal");
    assert_string_equal(rig.outcome.message, "ended by signal 11 SIGSEGV");
    assert_exec_null(&rig, "exit_code");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), 11);
    rig_fini(&rig);
}

static void what_a_sandbox_may_have_caused_says_so(void **state)
{
    static const char *const scripts[] = {"exit 126", "exit 127", "kill -SYS $$", "kill -TRAP $$"};
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        rig_init_shell(&rig, scripts[i]);
        rig_in_sandbox(&rig, true);
        rig_run(&rig, "null");
        assert_false(rig.outcome.succeeded);
        assert_contains(rig.outcome.message, "; the service's sandbox may be the cause");
        rig_in_sandbox(&rig, false);
        rig_run(&rig, "null");
        assert_false(rig.outcome.succeeded);
        assert_null(strstr(rig.outcome.message, "sandbox"));
        assert_null(strstr(rig.outcome.message, ";"));
        rig_fini(&rig);
    }
}

static void what_is_retryable_follows_from_retry_exit(void **state)
{
    static int codes[] = {4, 5};
    // clang-format off
    static const struct { const char *script; bool set, retryable; } rows[] = {
        {"exit 1", false, true},
        {"exit 75", false, true},
        {"kill -KILL $$", false, true},
        {"exit 1", true, false},
        {"exit 4", true, true},
        {"exit 5", true, true},
        {"exit 75", true, true},
        {"kill -KILL $$", true, false},
    };
    // clang-format on
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_init_shell(&rig, rows[i].script);
        rig.kind.retry_exit = codes;
        rig.kind.retry_exit_count = rows[i].set ? 2 : 0;
        rig.kind.retry_exit_set = rows[i].set;
        rig_run(&rig, "null");
        assert_false(rig.outcome.succeeded);
        assert_int_equal(rig.outcome.retryable, rows[i].retryable);
        rig_fini(&rig);
    }
}

static void what_keeps_a_program_from_starting_is_told_in_words(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/nonexistent/program", NULL});
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_string_equal(rig.outcome.message,
                        "cannot start '/nonexistent/program': No such file or directory");
    assert_true(rig.outcome.retryable);
    assert_int_equal(json_object_size(rig.exec), 8);
    assert_exec_null(&rig, "exit_code");
    assert_exec_null(&rig, "stderr");
    rig.kind.retry_exit_set = true;
    rig_run(&rig, "null");
    assert_false(rig.outcome.retryable);
    rig_fini(&rig);

    rig_init_command(&rig, (const char *const[]){"/etc/passwd", NULL});
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_string_equal(rig.outcome.message, "cannot start '/etc/passwd': Permission denied");
    rig_in_sandbox(&rig, true);
    rig_run(&rig, "null");
    assert_string_equal(rig.outcome.message, "cannot start '/etc/passwd': Permission denied (the "
                                             "service's sandbox may be the cause)");
    rig_in_sandbox(&rig, false);
    rig_fini(&rig);

    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    rig.kind.directory = strdup("/nonexistent");
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_string_equal(rig.outcome.message,
                        "cannot enter the directory '/nonexistent': No such file or directory");
    free(rig.kind.directory);
    rig_fini(&rig);

    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    rig.attempt.work_root = "/nonexistent/work";
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_contains(rig.outcome.message, "cannot make a work directory in '/nonexistent/work'");
    rig_fini(&rig);
}

static void a_script_that_cannot_be_started_says_what_it_lacks(void **state)
{
    struct rig rig;
    char path[PATH_MAX];

    (void)state;
    if (getenv("RUNNEL_VALGRIND") != NULL)
        skip(); // its execve ends the child when the interpreter is missing
    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    (void)snprintf(path, sizeof(path), "%s/script", rig.folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("#!/nonexistent/interpreter\n", file);
    (void)fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    free(rig.words[0]);
    rig.words[0] = strdup(path);
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_contains(rig.outcome.message, "the interpreter that it names is not");
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("echo without a first line\n", file);
    (void)fclose(file);
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "not-started");
    assert_contains(rig.outcome.message, "Exec format error (a script needs a first line");
    assert_int_equal(unlink(path), 0);
    rig_fini(&rig);
}

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

static void memory_is_told_only_where_it_is_the_commands_own(void **state)
{
    struct rig rig;
    struct rusage own;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    rig_run(&rig, "null");
    assert_exec_null(&rig, "max_rss_kib");
    rig_fini(&rig);

    rig_init_command(&rig, (const char *const[]){"/bin/dd", "if=/dev/zero", "of=/dev/null",
                                                 "bs=160M", "count=1", NULL});
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "");
    json_t *memory = json_object_get(rig.exec, "max_rss_kib");
    assert_int_equal(getrusage(RUSAGE_SELF, &own), 0);
    if (own.ru_maxrss < 130 * 1024) // valgrind and the sanitizers take more
        assert_true(json_integer_value(memory) >= 160 * 1024);
    else
        assert_true(json_is_null(memory) || json_integer_value(memory) > own.ru_maxrss);
    rig_fini(&rig);
}

static void every_failed_allocation_is_told_or_harmless(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/echo", "{a}", NULL});
    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        rig_run(&rig, "{\"a\":\"x\"}");
        if (!fault_reached()) {
            rig_assert_succeeded(&rig, "x");
            assert_non_null(rig.exec);
            assert_true(nth > 5);
            break;
        }
        if (rig.outcome.succeeded) {
            rig_assert_succeeded(&rig, "x");
            continue;
        }
        rig_assert_failed(&rig, "not-started");
        assert_contains(rig.outcome.message, "Cannot allocate memory");
        assert_true(rig.outcome.retryable);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_that_succeeds_has_its_output_as_result),
        cmocka_unit_test(only_the_last_newline_is_taken_off),
        cmocka_unit_test(output_that_is_no_text_is_made_text),
        cmocka_unit_test(json_output_is_kept_as_it_was_written),
        cmocka_unit_test(json_output_that_does_not_parse_is_bad_output),
        cmocka_unit_test(output_may_have_max_output_bytes_and_no_more),
        cmocka_unit_test(of_stderr_the_last_16_kib_are_kept),
        cmocka_unit_test(a_failed_command_tells_exit_code_and_output),
        cmocka_unit_test(a_signal_is_told_by_number_and_name),
        cmocka_unit_test(what_a_sandbox_may_have_caused_says_so),
        cmocka_unit_test(what_is_retryable_follows_from_retry_exit),
        cmocka_unit_test(what_keeps_a_program_from_starting_is_told_in_words),
        cmocka_unit_test(a_script_that_cannot_be_started_says_what_it_lacks),
        cmocka_unit_test(the_environment_is_made_from_nothing),
        cmocka_unit_test(the_trace_is_in_the_environment_unless_the_kind_sets_its_own),
        cmocka_unit_test(a_work_directory_is_private_empty_and_gone_afterwards),
        cmocka_unit_test(a_failed_command_leaves_no_work_directory_either),
        cmocka_unit_test(a_configured_directory_is_left_alone),
        cmocka_unit_test(stdin_is_the_args_nothing_or_one_of_them),
        cmocka_unit_test(args_that_no_longer_fit_start_nothing),
        cmocka_unit_test(every_payload_arrives_as_one_literal_element),
        cmocka_unit_test(the_longest_value_allowed_arrives_whole),
        cmocka_unit_test(memory_is_told_only_where_it_is_the_commands_own),
        cmocka_unit_test(every_failed_allocation_is_told_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
