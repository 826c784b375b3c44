/** \file Kinds with a command: what the child gets, what becomes of its output, and how it ends. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "history.h"

/* One kind `run` with these settings beside the command. */
static struct daemon *daemon_with(const char *command, const char *settings)
{
    return daemon_started(
        plain_text("kill_grace = '1s';\nqueue: { default: { workers = 2 }; };\n"
                   "kind: { run: { command = [%s]; %s }; noop: { builtin = 'noop' }; };\n",
                   command, settings));
}

static json_t *run(struct daemon *daemon, const char *args)
{
    return await_end(daemon, submit(daemon, "{'kind':'run','args':%s}", args));
}

static void expect_failed(const json_t *json, const char *code)
{
    expect_text(json, "state", "failed");
    expect_text(json, "error.code", code);
}

/* ---- what it is given ---- */

static void a_checksum_by_curl(void)
{
    struct daemon *daemon =
        daemon_with("'/usr/bin/sha256sum', '--', '{path}'", "timeout = '1m'; max_attempts = 3");
    const char *path = plain_text("%s/file", scenario_folder());
    file_write(path, "hello\n");

    struct run curl = run_program(
        (const char *[]){"curl", "-sS", "-f", "--json",
                         text("{'kind':'run','args':{'path':'%s'}}", path),
                         plain_text("http://127.0.0.1:%u/v1/tasks?wait=30s", daemon->port), NULL},
        NULL, 60000);
    struct run result = run_program(
        (const char *[]){"curl", "-sS", "-f",
                         plain_text("http://127.0.0.1:%u/v1/tasks/1/result", daemon->port), NULL},
        NULL, 60000);

    assert_int_equal(curl.status, 0);
    assert_non_null(strstr(curl.out, "\"state\":\"succeeded\""));
    assert_string_equal(
        result.out,
        plain_text("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  %s\n", path));
    struct run refused = run_program(
        (const char *[]){"curl", "-sS", "-f",
                         plain_text("http://127.0.0.1:%u/v1/tasks/99/result", daemon->port), NULL},
        NULL, 60000);
    assert_int_equal(refused.status, 22);
}

static void values_reach_argv_untouched_by_any_shell(void)
{
    static const char *const values[] = {
        "plain",
        "two words",
        "$(id)",
        "`id`",
        "; rm -rf /",
        "| cat",
        "&& id",
        "> /tmp/x",
        "$HOME",
        "*",
        "?",
        "~",
        "\\\\",
        "\\\"quoted\\\"",
        "it's",
        "%s%n",
        "a\\nb",
        "\\t",
        "-oProxyCommand=id",
        "--help",
        "-",
        "--",
        "{path}",
        "",
        "\xc3\xa9",
        "LD_PRELOAD=/x",
        "\\u202e",
        "..",
        "/etc/passwd",
    };
    struct daemon *daemon = daemon_with(
        "'/usr/bin/printf', '--', '[%s]', '{value}', '--out={value}', '{not a name}', 'x{value}'",
        "");

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const char *body = plain_text("{\"kind\":\"run\",\"args\":{\"value\":\"%s\"}}", values[i]);
        json_t *json = expect_status(call(daemon, "POST", "/v1/tasks?wait=30s", body), 200)->json;
        const char *value = text_at(json, "args.value");

        expect_text(json, "result",
                    plain_text("[%s][--out=%s][{not a name}][x{value}]", value, value));
    }
    expect_text(run(daemon, "{\"value\":1.50}"), "result",
                "[1.50][--out=1.50][{not a name}][x{value}]");
    expect_text(run(daemon, "{\"value\":true}"), "result",
                "[true][--out=true][{not a name}][x{value}]");
}

static void the_environment_is_made_from_scratch(void)
{
    const char *env_file = plain_text("%s/env", scenario_folder());
    file_write(env_file, "FROM_FILE=in file\n");
    assert_int_equal(chmod(env_file, 0600), 0);
    struct daemon *daemon = daemon_new(plain_text(
        "queue: { default: { workers = 1 }; };\n"
        "kind: { run: { command = ['/usr/bin/env']; pass_env = ['PASSED']; env = { OWN = 'a b' };\n"
        "               env_file = '%s' }; };\n",
        env_file));
    daemon->environment = (const char *[]){"PASSED=yes", "SECRET=no", NULL};
    daemon_start(daemon);

    const char *result = plain_text("\n%s\n", text_at(run(daemon, "null"), "result"));

    assert_non_null(strstr(result, "\nPASSED=yes\n"));
    assert_non_null(strstr(result, "\nOWN=a b\n"));
    assert_non_null(strstr(result, "\nFROM_FILE=in file\n"));
    assert_non_null(strstr(result, "\nLANG=C.UTF-8\n"));
    assert_non_null(strstr(result, "\nPATH="));
    assert_non_null(strstr(result, "\nHOME="));
    assert_non_null(strstr(result, "\nRUNNEL_TASK_ID=1\n"));
    assert_non_null(strstr(result, "\nRUNNEL_KIND=run\n"));
    assert_non_null(strstr(result, "\nRUNNEL_QUEUE=default\n"));
    assert_non_null(strstr(result, "\nRUNNEL_ATTEMPT=1\n"));
    assert_non_null(strstr(result, "\nRUNNEL_DEADLINE="));
    assert_null(strstr(result, "SECRET"));
    assert_null(strstr(result, "TMPDIR"));
}

static void it_gets_no_descriptor_of_the_daemon_and_default_signals(void)
{
    struct daemon *daemon = daemon_with("'/bin/sh', '-c', 'ls /proc/self/fd; exec grep -e PPid -e "
                                        "SigBlk -e SigIgn /proc/self/status'",
                                        "");

    const char *result = text_at(run(daemon, "null"), "result");

    assert_non_null(result);
    // 3 is the folder that ls reads.
    assert_int_equal(strncmp(result, "0\n1\n2\n3\nPPid", 12), 0);
    assert_non_null(strstr(result, "SigBlk:\t0000000000000000"));
    // 32 and 33 are the C library's own: it lets nobody set them, so what the daemon inherits
    // stays.
    const char *ignored = strstr(result, "SigIgn:\t");
    assert_non_null(ignored);
    assert_int_equal(strtoull(ignored + strlen("SigIgn:\t"), NULL, 16) & ~(3ULL << 31), 0);
    assert_non_null(strstr(result, plain_text("PPid:\t%d\n", (int)daemon->pid)));
}

static void it_runs_in_an_empty_folder_of_its_own_that_is_removed(void)
{
    struct daemon *daemon =
        daemon_with("'/bin/sh', '-c', 'touch left-over; mkdir d; pwd; ls -A; echo $HOME'", "");

    const char *result = text_at(run(daemon, "null"), "result");

    char *folder = plain_text("%.*s", (int)strcspn(result, "\n"), result);
    assert_string_equal(result, plain_text("%s\nd\nleft-over\n%s", folder, folder));
    assert_int_equal(strncmp(folder, daemon->folder, strlen(daemon->folder)), 0);
    eventually(!file_exists(folder), 10000);
}

static void a_directory_can_be_named(void)
{
    struct daemon *daemon = daemon_with("'/bin/pwd'", "directory = '/usr/share'");

    expect_text(run(daemon, "null"), "result", "/usr/share");
}

static void stdin_is_args_none_or_one_of_them(void)
{
    struct daemon *args = daemon_with("'/bin/cat'", "");
    struct daemon *none = daemon_with("'/bin/cat'", "stdin = 'none'");
    struct daemon *one = daemon_with("'/usr/bin/wc', '-c'", "stdin = '{text}'");
    const char *large = repeated('t', 300000); // more than a pipe holds

    expect_text(run(args, "{\"a\": [1, 2.50]}"), "result", "{\"a\":[1,2.50]}");
    expect_text(run(none, "{\"a\":1}"), "result", "");
    expect_text(run(one, plain_text("{\"text\":\"%s\"}", large)), "result", "300000");
    expect_problem(call(one, "POST", "/v1/tasks", text("{'kind':'run','args':{}}")), 422,
                   "invalid-task");
}

static void a_command_that_does_not_read_its_stdin_ends_all_the_same(void)
{
    struct daemon *daemon = daemon_with("'/bin/true'", "");

    json_t *json = run(daemon, plain_text("{\"large\":\"%s\"}", repeated('x', 500000)));

    expect_text(json, "state", "succeeded");
}

/* ---- what becomes of its output ---- */

static void stdout_is_the_result_and_stderr_is_kept(void)
{
    struct daemon *daemon = daemon_with("'/bin/sh', '-c', 'echo out; echo err >&2; echo more'", "");

    json_t *json = run(daemon, "null");

    expect_text(json, "state", "succeeded");
    expect_text(json, "result", "out\nmore");
    expect_text(json, "exec.stderr", "err\n");
    expect_number(json, "exec.exit_code", 0);
    assert_true(json_is_null(at(json, "exec.signal")));
    assert_true(number_at(json, "exec.wall_ms") >= 0);
    assert_int_not_equal(number_at(json, "exec.max_rss_kib"), 0); // null where it can't be told
    struct reply *reply = expect_status(get(daemon, "/v1/tasks/1/result"), 200);
    assert_string_equal(reply->body, "out\nmore\n");
    assert_non_null(strstr(reply_header(reply, "Content-Type"), "text/plain"));
}

static void json_output_is_a_json_result(void)
{
    struct daemon *good = daemon_with("'/bin/echo', '{\\\"a\\\": [1, 2.50]}'", "output = 'json'");
    struct daemon *bad = daemon_with("'/bin/echo', '{\\\"a\\\": '", "output = 'json'");

    expect_number(run(good, "null"), "result.a.0", 1);
    assert_string_equal(expect_status(get(good, "/v1/tasks/1/result"), 200)->body,
                        "{\"a\":[1,2.50]}\n");
    expect_failed(run(bad, "null"), "bad-output");
}

static void output_beyond_its_limit_is_a_failure(void)
{
    const char *path = plain_text("%s/output", scenario_folder());
    const char *flooding =
        plain_text("'%s', '%s/ledger', 'f', '0', 'flood'", ledger_program(), scenario_folder());
    struct daemon *at_limit = daemon_with(plain_text("'/bin/cat', '%s'", path), "");
    struct daemon *above = daemon_with("'/usr/bin/seq', '1000'", "max_output = 1000");
    struct daemon *flood = daemon_with(flooding, "");

    file_write(path, repeated('x', 65536));
    json_t *json = run(at_limit, "null");
    expect_text(json, "state", "succeeded");
    assert_int_equal(json_string_length(at(json, "result")), 65536);
    file_write(path, repeated('x', 65537));
    expect_failed(run(at_limit, "null"), "output-too-large");
    expect_failed(run(above, "null"), "output-too-large");
    expect_failed(run(flood, "null"), "output-too-large");
    assert_in_range(daemon_memory_kib(flood, "VmHWM:"), 1, is_sanitized() ? 4000000 : 60000);
}

static void the_end_of_a_long_stderr_is_kept(void)
{
    struct daemon *daemon = daemon_with("'/bin/sh', '-c', 'seq 100000 >&2; exit 3'", "");

    json_t *json = run(daemon, "null");

    expect_failed(json, "exit");
    const char *tail = text_at(json, "exec.stderr");
    assert_in_range(strlen(tail), 16000, 16384);
    assert_string_equal(tail + strlen(tail) - 14, "\n99999\n100000\n");
    assert_true(json_is_true(at(json, "exec.truncated")));
}

static void output_that_is_no_utf8_stays_valid_json(void)
{
    struct daemon *daemon = daemon_with("'/usr/bin/printf', 'a\\\\377b\\\\033[31m'", "");

    struct reply *reply = NULL;
    (void)run(daemon, "null");
    reply = expect_status(get(daemon, "/v1/tasks/1"), 200);

    assert_non_null(reply->json);
    expect_text(reply->json, "state", "succeeded");
    assert_null(strchr(reply->body, 033));
}

/* ---- how it ends ---- */

static void exit_codes_decide_over_another_attempt(void)
{
    struct daemon *any = daemon_with("'/bin/sh', '-c', 'exit $0', '{code}'",
                                     "max_attempts = 2; backoff = { base = '1ms'; max = '1ms' }");
    struct daemon *some =
        daemon_with("'/bin/sh', '-c', 'exit $0', '{code}'",
                    "max_attempts = 2; retry_exit = [7]; backoff = { base = '1ms'; max = '1ms' }");
    static const struct {
        int code, attempts;
    } rows[] = {{1, 1}, {7, 2}, {75, 2}, {126, 1}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *json = run(some, plain_text("{\"code\":%d}", rows[i].code));

        expect_failed(json, "exit");
        expect_number(json, "attempt", rows[i].attempts);
        expect_number(json, "exec.exit_code", rows[i].code);
        assert_int_equal(json_is_true(at(json, "error.retryable")), rows[i].attempts == 2);
    }
    expect_number(run(any, "{\"code\":1}"), "attempt", 2);
    expect_text(run(any, "{\"code\":0}"), "state", "succeeded");
}

static void a_signal_is_named(void)
{
    struct daemon *daemon = daemon_with("'/bin/sh', '-c', 'echo before; kill -SEGV $$'", "");

    json_t *json = run(daemon, "null");

    expect_failed(json, "signal");
    assert_non_null(strstr(text_at(json, "error.message"), "SEGV"));
    assert_false(json_is_null(at(json, "exec.signal")));
    expect_text(json, "exec.stdout", "before\n");
}

static void a_program_that_has_gone_is_told_with_its_path(void)
{
    const char *path = plain_text("%s/program", scenario_folder());
    file_write(path, "#!/bin/sh\n");
    assert_int_equal(chmod(path, 0755), 0);
    struct daemon *daemon = daemon_with(plain_text("'%s'", path), "");
    expect_text(run(daemon, "null"), "state", "succeeded");

    assert_int_equal(unlink(path), 0);

    json_t *json = run(daemon, "null");
    expect_failed(json, "not-started");
    assert_non_null(strstr(text_at(json, "error.message"), path));
    assert_non_null(strstr(text_at(json, "error.message"), "No such file"));
}

static void args_are_checked_again_under_the_configuration_in_force(void)
{
    struct daemon *daemon = daemon_with("'/bin/echo', '{word}'", "");
    uint64_t id = submit(daemon, "{'kind':'run','delay':'500ms','args':{'word':'hello'}}");
    daemon_stop(daemon);

    daemon_configure(
        daemon,
        "queue: { default: { workers = 1 }; };\n"
        "kind: { run: { command = ['/bin/echo', '{word}']; accept = { word = '[0-9]+' } }; };\n");
    daemon_start(daemon);

    expect_end(daemon, id, "failed", "invalid-args");
}

static void a_cancel_ends_the_whole_group(void)
{
    const char *ledger = plain_text("%s/ledger", scenario_folder());
    // Who ends on SIGTERM does so long before the hour; who does not has its second.
    static const struct {
        const char *mode, *grace, *wait_for;
        int64_t least_ms;
    } rows[] = {{"group", "1h", "grandchild", 0},
                {"stubborn", "1s", "start", 950},
                {"polite", "1h", "start", 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct daemon *daemon = daemon_with(
            plain_text("'%s', '%s', 'k', '60000', '%s'", ledger_program(), ledger, rows[i].mode),
            plain_text("kill_grace = '%s'", rows[i].grace));
        struct ledger_line *lines = NULL;
        file_write(ledger, "");
        uint64_t id = submit(daemon, "{'kind':'run'}");
        eventually(ledger_count(ledger, rows[i].wait_for, NULL) == 1, 20000);
        int64_t began = now_ms();

        expect_status(
            call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id), NULL),
            202);

        json_t *json = expect_end(daemon, id, "cancelled", "cancelled");
        assert_true(now_ms() - began >= rows[i].least_ms);
        // The daemon waits for its own child; what else was in the group is killed by then, and
        // dies when the kernel next looks at it.
        size_t count = ledger_read(ledger, &lines);
        for (size_t line = 0; line < count; line++)
            eventually(!is_running(lines[line].pid), 20000);
        assert_true(json_is_null(at(json, "result")));
        daemon_stop(daemon);
    }
}

static void the_end_is_the_leaders_end_not_that_of_its_output(void)
{
    const char *ledger = plain_text("%s/ledger", scenario_folder());
    struct daemon *daemon =
        daemon_with(plain_text("'%s', '%s', 'k', '300', 'session'", ledger_program(), ledger), "");
    struct ledger_line *lines = NULL;
    int64_t began = now_ms();

    json_t *json = run(daemon, "null");

    expect_text(json, "state", "succeeded");
    assert_in_range(now_ms() - began, 0, 5000 * slow());
    eventually(ledger_count(ledger, "grandchild", NULL) == 1, 20000);
    size_t count = ledger_read(ledger, &lines);
    for (size_t line = 0; line < count; line++) {
        if (strcmp(lines[line].what, "grandchild") == 0)
            (void)kill(lines[line].pid, SIGKILL);
    }
}

static void a_thousand_runs_leave_no_descriptor_folder_or_zombie(void)
{
    struct daemon *daemon = daemon_with("'/bin/true'", "");
    const char *count_fds = plain_text("ls /proc/%d/fd | wc -l", (int)daemon->pid);
    const char *count_children = plain_text("ps -o pid= --ppid %d | wc -l", (int)daemon->pid);
    (void)run(daemon, "null");
    const char *argv[] = {"/bin/sh", "-c", count_fds, NULL};
    int before = (int)number_in(run_program(argv, NULL, 10000).out, NULL);
    unsigned count = is_sanitized() ? 100 : 1000;

    (void)submit_many(daemon, count, "{'kind':'run'}");
    eventually(number_at(queue(daemon, "default"), "states.succeeded") == (int64_t)count + 1,
               60000);

    int after = (int)number_in(run_program(argv, NULL, 10000).out, NULL);
    assert_in_range(after, before - 4, before + 4);
    argv[2] = count_children;
    assert_string_equal(run_program(argv, NULL, 10000).out, "0\n");
}

HARNESS_MAIN(SCENARIO(a_checksum_by_curl), SCENARIO(values_reach_argv_untouched_by_any_shell),
             SCENARIO(the_environment_is_made_from_scratch),
             SCENARIO(it_gets_no_descriptor_of_the_daemon_and_default_signals),
             SCENARIO(it_runs_in_an_empty_folder_of_its_own_that_is_removed),
             SCENARIO(a_directory_can_be_named), SCENARIO(stdin_is_args_none_or_one_of_them),
             SCENARIO(a_command_that_does_not_read_its_stdin_ends_all_the_same),
             SCENARIO(stdout_is_the_result_and_stderr_is_kept),
             SCENARIO(json_output_is_a_json_result), SCENARIO(output_beyond_its_limit_is_a_failure),
             SCENARIO(the_end_of_a_long_stderr_is_kept),
             SCENARIO(output_that_is_no_utf8_stays_valid_json),
             SCENARIO(exit_codes_decide_over_another_attempt), SCENARIO(a_signal_is_named),
             SCENARIO(a_program_that_has_gone_is_told_with_its_path),
             SCENARIO(args_are_checked_again_under_the_configuration_in_force),
             SCENARIO(a_cancel_ends_the_whole_group),
             SCENARIO(the_end_is_the_leaders_end_not_that_of_its_output),
             SCENARIO(a_thousand_runs_leave_no_descriptor_folder_or_zombie))
