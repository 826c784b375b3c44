/** \file
 * The configuration file as the daemon takes it: -t names file and line of every fault, -T prints
 * what is in force and can be read back, -o overrides, and the sample file works as it is.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static struct run check(const char *path)
{
    return run_program((const char *[]){daemon_program(), "-t", "-c", path, NULL}, NULL, 30000);
}

/* Every file begins with these lines: a fault's line must be right behind comments of any sort. */
static const char preface[] = "# a comment\n"
                              "// another one, with a \" and a {\n"
                              "/* one over\n"
                              "   several lines; listen = \"here\"\n"
                              "*/\n"
                              "store = \"test.db\"; /* behind */ # and more\n"; // 6 lines

// clang-format off
static const char valid[] =
    "queue: {\n"
    "  default: { workers = 4 };\n"
    "};\n"
    "kind: { echo: { builtin = \"echo\" }; };\n";

struct row {
    const char *content; // behind the preface: its first line is line 7
    unsigned line;
    const char *part; // of the message
};

#define TOP(setting) setting "\nqueue: { default: { workers = 4 }; };\nkind: { echo: { builtin = \"echo\" }; };\n"
#define KIND(settings) "queue: { default: { workers = 4 }; };\nkind: {\n  bad: {\n" settings "\n  };\n};\n"
#define QUEUE(settings) "queue: {\n  default: {\n" settings "\n  };\n};\nkind: { echo: { builtin = \"echo\" }; };\n"

static const struct row rows[] = {
    {TOP("lisen = \"127.0.0.1:7733\";"), 7, "listen"},
    {TOP("listen = 7733;"), 7, "listen"},
    {TOP("listen = \"127.0.0.1\";"), 7, "listen"},
    {TOP("listen = \"0.0.0.0:7733\";"), 7, "listen"},
    {TOP("listen = \"127.0.0.1:70000\";"), 7, "listen"},
    {TOP("drain_timeout = \"soon\";"), 7, "drain_timeout"},
    {TOP("drain_timeout = \"-5s\";"), 7, "drain_timeout"},
    {TOP("drain_timeout = 25s;"), 7, ""},
    {TOP("max_waiting = -1;"), 7, "max_waiting"},
    {TOP("max_waiting = \"many\";"), 7, "max_waiting"},
    {TOP("max_connections = 4294967297;"), 7, "4294967297"},
    {TOP("max_backlog = 99999999999L;"), 7, "max_backlog"},
    {TOP("max_request_memory = \"64MB\";"), 7, "max_request_memory"},
    {TOP("log_level = \"loud\";"), 7, "log_level"},
    {TOP("keep_succeeded = \"forever\";"), 7, "keep_succeeded"},
    {TOP("kill_grace = \"1s\"; kill_grace = \"2s\";"), 7, "duplicate"},
    {TOP("kill_grace: { a = 1 };"), 7, "kill_grace"},
    {QUEUE("    workers = 0"), 9, "workers"},
    {QUEUE("    workers = 1025"), 9, "workers"},
    {QUEUE("    workers = 4;\n    rate = \"fast\""), 10, "rate"},
    {QUEUE("    workers = 4;\n    rate = \"0/s\""), 10, "rate"},
    {QUEUE("    wrokers = 4"), 9, "workers"},
    {QUEUE("    workers = 4; /* a\n b\n */ burst = 0"), 11, "burst"},
    {"queue: {\n  default: { workers = 4 };\n  Bad: { workers = 4 };\n};\nkind: { echo: { builtin = \"echo\" }; };\n", 9, "Bad"},
    {"queue: {\n  default: { workers = 4 };\n  true: { workers = 4 };\n};\nkind: { echo: { builtin = \"echo\" }; };\n", 9, ""},
    {"queue: {\n  a: { workers = 1000 };\n  b: { workers = 1000 };\n};\nkind: { echo: { builtin = \"echo\"; queue = \"a\" }; };\n", 9, "1024"},
    {"queue: { other: { workers = 4 }; };\nkind: {\n  echo: { builtin = \"echo\" };\n};\n", 9, "queue"},
    {KIND("    builtin = \"ecko\""), 10, "ecko"},
    {KIND("    builtin = \"echo\";\n    command = [\"/bin/true\"]"), 11, "command"},
    {KIND("    timeout = \"1m\""), 9, "builtin"},
    {KIND("    command = \"/bin/true\""), 10, "command"},
    {KIND("    command = [\"true\"]"), 10, "absolute"},
    {KIND("    command = [\"/nowhere/program\"]"), 10, "/nowhere/program"},
    {KIND("    command = [\"/etc/passwd\"]"), 10, "/etc/passwd"},
    {KIND("    command = [\"/bin/echo\" \"x\"]"), 10, ""},
    {KIND("    command = [\"/bin/echo\", ]"), 10, ""},
    {KIND("    command = [ ]"), 10, "command"},
    {KIND("    builtin = \"echo\";\n    queue = \"nowhere\""), 11, "nowhere"},
    {KIND("    builtin = \"echo\";\n    max_attempts = 0"), 11, "max_attempts"},
    {KIND("    builtin = \"echo\";\n    if_interrupted = \"maybe\""), 11, "if_interrupted"},
    {KIND("    builtin = \"echo\";\n    backoff = { base = \"1h\"; max = \"x\" }"), 11, "max"},
    {KIND("    builtin = \"echo\";\n    stdin = \"none\""), 11, "stdin"},
    {KIND("    command = [\"/bin/echo\", \"{a}\"];\n    accept = { a = \"(\" }"), 11, "accept"},
    {KIND("    command = [\"/bin/echo\", \"{a}\"];\n    accept = { b = \".*\" }"), 11, "b"},
    {KIND("    command = [\"/bin/echo\"];\n    env_file = \"/nowhere/env\""), 11, "/nowhere/env"},
    {KIND("    command = [\"/bin/echo\"];\n    directory = \"/nowhere\""), 11, "/nowhere"},
    {KIND("    command = [\"/bin/echo\"];\n    retry_exit = [0]"), 11, "retry_exit"},
    {KIND("    command = [\"/bin/echo\"];\n    output = \"xml\""), 11, "output"},
    {"queue: { default: { workers = 4 }; };\nkind: {\n  echo: { builtin = \"echo\" };\n", 10, ""},
};
// clang-format on

static void every_fault_is_named_with_file_and_line(void)
{
    const char *path = plain_text("%s/broken.conf", scenario_folder());
    unsigned faults = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        file_write(path, plain_text("%s%s", preface, rows[i].content));
        struct run run = check(path);
        const char *place = plain_text("%s:%u: ", path, rows[i].line);
        const char *found = strstr(run.err, place);

        if (run.status == 78 && found != NULL && strstr(found, rows[i].part) != NULL)
            continue;
        faults++;
        print_error("row %zu: status %d, wanted '%s…%s' of\n%s\ngot %s\n", i, run.status, place,
                    rows[i].part, rows[i].content, run.err);
    }
    print_message("%zu rows\n", sizeof(rows) / sizeof(rows[0]));
    assert_int_equal(faults, 0);
}

static void all_faults_are_told_at_once(void)
{
    const char *path = plain_text("%s/broken.conf", scenario_folder());

    file_write(
        path,
        "max_waiting = -1;\nlog_level = \"loud\";\nqueue: {\n  default: { workers = 0 };\n};\n"
        "kind: {\n  a: { builtin = \"nope\" };\n  b: { command = [\"/nowhere\"] };\n};\n");
    struct run run = check(path);

    assert_int_equal(run.status, 78);
    assert_non_null(strstr(run.err, ":1: "));
    assert_non_null(strstr(run.err, ":2: "));
    assert_non_null(strstr(run.err, ":4: "));
    assert_non_null(strstr(run.err, ":7: "));
    assert_non_null(strstr(run.err, ":8: "));
}

static void a_valid_file_passes_and_an_included_one_is_named(void)
{
    const char *path = plain_text("%s/valid.conf", scenario_folder());
    const char *part = plain_text("%s/part.conf", scenario_folder());

    file_write(path, plain_text("%s%s", preface, valid));
    assert_int_equal(check(path).status, 0);

    file_write(part, "# of the part\nmax_waiting = -1;\n");
    file_write(path, plain_text("@include \"part.conf\"\n%s", valid));
    struct run run = check(path);
    assert_int_equal(run.status, 78);
    assert_non_null(strstr(run.err, plain_text("%s:2: ", part)));
}

static void an_env_file_that_others_can_read_is_refused(void)
{
    const char *path = plain_text("%s/valid.conf", scenario_folder());
    const char *env = plain_text("%s/env", scenario_folder());

    file_write(env, "SECRET=1\n");
    file_write(path, plain_text("queue: { default: { workers = 1 }; };\n"
                                "kind: { a: { command = [\"/bin/true\"]; env_file = \"%s\" }; };\n",
                                env));
    assert_int_equal(chmod(env, 0644), 0);
    struct run run = check(path);
    assert_int_equal(run.status, 78);
    assert_non_null(strstr(run.err, plain_text("%s:2: ", path)));
    assert_int_equal(chmod(env, 0600), 0);
    assert_int_equal(check(path).status, 0);
}

static struct run print_all(const char *path, const char *override)
{
    return run_program((const char *[]){daemon_program(), "-T", "-c", path,
                                        override != NULL ? "-o" : NULL, override, NULL},
                       NULL, 30000);
}

static void what_is_in_force_can_be_read_back(void)
{
    const char *path = plain_text("%s/valid.conf", scenario_folder());
    const char *again = plain_text("%s/again.conf", scenario_folder());

    file_write(path, plain_text("%s%s", preface, valid));
    struct run first = print_all(path, NULL);
    file_write(again, first.out);
    struct run second = print_all(again, NULL);

    assert_int_equal(first.status, 0);
    assert_non_null(strstr(first.out, "drain_timeout"));
    assert_non_null(strstr(first.out, "25s"));
    assert_non_null(strstr(first.out, "max_attempts"));
    assert_int_equal(check(again).status, 0);
    assert_string_equal(second.out, first.out);
}

static void an_override_wins_over_the_file(void)
{
    const char *path = plain_text("%s/valid.conf", scenario_folder());

    file_write(path, plain_text("drain_timeout = \"3s\";\n%s", valid));
    struct run run = print_all(path, "drain_timeout=90s");
    struct run bad = print_all(path, "drain_timeout=soon");

    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.out, "\"1m30s\""));
    assert_int_equal(bad.status, 78);
    assert_non_null(strstr(bad.err, "drain_timeout"));
}

static void a_relative_store_lies_beside_the_file_or_in_the_state_directory(void)
{
    const char *path = plain_text("%s/valid.conf", scenario_folder());
    const char *state = plain_text("STATE_DIRECTORY=%s/state", scenario_folder());

    file_write(path, plain_text("store = \"tasks.db\";\n%s", valid));
    struct run beside = print_all(path, NULL);
    struct run in_state = run_program((const char *[]){daemon_program(), "-T", "-c", path, NULL},
                                      (const char *[]){state, NULL}, 30000);

    assert_non_null(strstr(beside.out, plain_text("\"%s/tasks.db\"", scenario_folder())));
    assert_non_null(strstr(in_state.out, plain_text("\"%s/state/tasks.db\"", scenario_folder())));
}

/* As a whole: checked, started, and one task of each of its kinds that needs no args. */
static void the_sample_file_works_as_it_is(void)
{
    const char *sample = getenv("RUNNEL_CONFIG");
    if (sample == NULL || !file_exists(sample))
        harness_skip("RUNNEL_CONFIG does not name the sample configuration");
    struct run run = check(sample);
    if (run.status != 0)
        fail_msg("%s%s", run.out, run.err);

    struct daemon *daemon = daemon_new("");
    daemon->config_path = plain_text("%s", sample);
    daemon->arguments = (const char *[]){"-o", "listen=127.0.0.1:0", "-o",
                                         plain_text("store=%s", daemon->store_path), NULL};
    daemon_start(daemon);
    expect_text(
        expect_end(daemon, submit(daemon, "{'kind':'echo','args':'hello'}"), "succeeded", NULL),
        "result", "hello");
    assert_true(
        json_array_size(at(expect_status(get(daemon, "/v1/queues"), 200)->json, "queues")) >= 2);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(every_fault_is_named_with_file_and_line),
             SCENARIO(all_faults_are_told_at_once),
             SCENARIO(a_valid_file_passes_and_an_included_one_is_named),
             SCENARIO(an_env_file_that_others_can_read_is_refused),
             SCENARIO(what_is_in_force_can_be_read_back), SCENARIO(an_override_wins_over_the_file),
             SCENARIO(a_relative_store_lies_beside_the_file_or_in_the_state_directory),
             SCENARIO(the_sample_file_works_as_it_is))
