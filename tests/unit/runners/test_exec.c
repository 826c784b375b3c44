/* Commands, by their rules: what comes out. What they are given: test_input.c; how they are ended:
 * test_process.c. */
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

/* What SQLite does not take for JSON could not be checked, or imported from an export. */
static void json_output_is_as_deep_as_args_may_be_and_no_deeper(void **state)
{
    static const char format[] = "for i in $(seq %d); do printf '{\"[\\\\\"[\":['; done;"
                                 "for i in $(seq %d); do printf ']}'; done";
    struct rig rig;
    char script[128];

    (void)state;
    for (int pairs = 256; pairs <= 257; pairs++) {
        (void)snprintf(script, sizeof(script), format, pairs, pairs);
        rig_init_shell(&rig, script);
        rig.kind.output = CONFIG_OUTPUT_JSON;
        rig_run(&rig, "null");
        assert_int_equal(rig.outcome.succeeded, pairs == 256);
        if (pairs > 256) {
            rig_assert_failed(&rig, "bad-output");
            assert_contains(rig.outcome.message, "more than 512 levels");
        }
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
        assert_non_null(strcasestr(rig.outcome.message, "memory"));
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
        cmocka_unit_test(json_output_is_as_deep_as_args_may_be_and_no_deeper),
        cmocka_unit_test(output_may_have_max_output_bytes_and_no_more),
        cmocka_unit_test(of_stderr_the_last_16_kib_are_kept),
        cmocka_unit_test(a_failed_command_tells_exit_code_and_output),
        cmocka_unit_test(a_signal_is_told_by_number_and_name),
        cmocka_unit_test(what_a_sandbox_may_have_caused_says_so),
        cmocka_unit_test(what_is_retryable_follows_from_retry_exit),
        cmocka_unit_test(what_keeps_a_program_from_starting_is_told_in_words),
        cmocka_unit_test(a_script_that_cannot_be_started_says_what_it_lacks),
        cmocka_unit_test(memory_is_told_only_where_it_is_the_commands_own),
        cmocka_unit_test(every_failed_allocation_is_told_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
