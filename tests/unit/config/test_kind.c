/* Kinds that are right: defaults, values of every setting, and what is warned of. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "unit.h"

static void built_in_has_three_attempts_and_is_retried_when_interrupted(void **state)
{
    (void)state;
    struct loaded loaded =
        files_load_right("kind: { a: { builtin = \"echo\"; }; };\nqueue: { default: { }; };\n");
    const struct config_kind *kind = config_kind_find(loaded.config, "a");

    assert_non_null(kind);
    assert_int_equal(kind->runs, CONFIG_RUNS_BUILTIN);
    assert_string_equal(kind->builtin, "echo");
    assert_int_equal(kind->line, 1);
    assert_null(kind->queue);
    assert_int_equal(kind->timeout, RN_HOUR);
    assert_int_equal(kind->max_attempts, 3);
    assert_int_equal(kind->backoff_base, 5 * RN_SECOND);
    assert_int_equal(kind->backoff_max, RN_HOUR);
    assert_true(kind->retry_if_interrupted);
    assert_int_equal(kind->max_interruptions, 3);
    assert_int_equal(kind->kill_grace, 10 * RN_SECOND);
    loaded_fini(&loaded);
}

static void command_has_one_attempt_and_fails_when_interrupted(void **state)
{
    (void)state;
    struct loaded loaded =
        files_load_right("kill_grace = \"3s\"; queue: { default: { }; }; kind: { a: { "
                         "command = [\"/bin/true\"]; }; };\n");
    const struct config_kind *kind = config_kind_find(loaded.config, "a");

    assert_int_equal(kind->runs, CONFIG_RUNS_COMMAND);
    assert_int_equal(kind->command_count, 1);
    assert_string_equal(kind->command[0], "/bin/true");
    assert_null(kind->command[1]);
    assert_int_equal(kind->max_attempts, 1);
    assert_false(kind->retry_if_interrupted);
    assert_int_equal(kind->kill_grace, 3 * RN_SECOND);
    assert_int_equal(kind->stdin_from, CONFIG_STDIN_ARGS);
    assert_int_equal(kind->output, CONFIG_OUTPUT_TEXT);
    assert_int_equal(kind->max_output, 64 << 10);
    assert_null(kind->directory);
    assert_null(kind->pass_env);
    assert_null(kind->env);
    assert_false(kind->retry_exit_set);
    assert_int_equal(kind->accept_count, 0);
    loaded_fini(&loaded);
}

static void interruption_follows_attempts_alone(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        bool is_retried;
    } rows[] = {
        {"command = [\"/bin/true\"];", false},
        {"command = [\"/bin/true\"]; max_attempts = 2;", true},
        {"builtin = \"echo\"; max_attempts = 1;", false},
        {"builtin = \"echo\"; if_interrupted = \"fail\";", false},
        {"command = [\"/bin/true\"]; if_interrupted = \"retry\";", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "queue: { default: {}; }; kind: { a: { %s }; };",
                 rows[i].settings);
        struct loaded loaded = files_load_right(text);
        assert_int_equal(loaded.config->kinds[0].retry_if_interrupted, rows[i].is_retried);
        loaded_fini(&loaded);
    }
}

static void every_setting_of_a_kind_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right(files_full_kind);
    const struct config_kind *kind = config_kind_find(loaded.config, "full");

    assert_int_equal(kind->command_count, 6);
    assert_string_equal(kind->command[1], "--in={path}");
    assert_string_equal(kind->command[4], "");
    assert_string_equal(kind->command[5], "a \"b\" \\c");
    assert_string_equal(kind->queue, "mail");
    assert_int_equal(kind->timeout, 90 * RN_SECOND);
    assert_int_equal(kind->max_attempts, 5);
    assert_int_equal(kind->backoff_base, RN_SECOND);
    assert_int_equal(kind->backoff_max, 2 * RN_SECOND);
    assert_false(kind->retry_if_interrupted);
    assert_int_equal(kind->max_interruptions, 0);
    assert_int_equal(kind->kill_grace, 2 * RN_SECOND);
    assert_int_equal(kind->stdin_from, CONFIG_STDIN_PLACEHOLDER);
    assert_string_equal(kind->stdin_name, "body");
    assert_int_equal(kind->output, CONFIG_OUTPUT_JSON);
    assert_int_equal(kind->max_output, 1024);
    assert_string_equal(kind->directory, "/");
    assert_string_equal(kind->pass_env[0], "TZ");
    assert_string_equal(kind->pass_env[1], "HOME");
    assert_null(kind->pass_env[2]);
    assert_int_equal(kind->env_count, 2);
    assert_string_equal(kind->env[0], "A=1");
    assert_string_equal(kind->env[1], "B=x=y z");
    assert_null(kind->env[2]);
    assert_true(kind->retry_exit_set);
    assert_int_equal(kind->retry_exit_count, 2);
    assert_int_equal(kind->retry_exit[1], 3);
    assert_int_equal(kind->accept_count, 2);
    assert_string_equal(kind->accept[1].name, "body");
    loaded_fini(&loaded);
}

static void empty_retry_exit_leaves_75_alone(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right(
        "queue: { default: {}; }; kind: { a: { command = [\"/bin/true\"]; retry_exit = []; }; };");
    assert_true(loaded.config->kinds[0].retry_exit_set);
    assert_int_equal(loaded.config->kinds[0].retry_exit_count, 0);
    loaded_fini(&loaded);
}

static void accepted_values_match_as_a_whole(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right(files_full_kind);
    const regex_t *regex = &loaded.config->kinds[0].accept[0].regex;

    assert_int_equal(regexec(regex, "/srv/x", 0, NULL, 0), 0);
    assert_int_equal(regexec(regex, "/tmp/abc", 0, NULL, 0), 0);
    assert_int_equal(regexec(regex, "/tmp/abc1", 0, NULL, 0), REG_NOMATCH);
    assert_int_equal(regexec(regex, "x/srv/x", 0, NULL, 0), REG_NOMATCH);
    assert_int_equal(regexec(regex, "/tmp/abc\n", 0, NULL, 0), REG_NOMATCH);
    assert_int_equal(regexec(regex, "\n/tmp/abc", 0, NULL, 0), REG_NOMATCH);
    loaded_fini(&loaded);
}

static void env_file_comes_after_the_block(void **state)
{
    (void)state;
    char text[8192];
    const char *path =
        files_write("secrets.env", "# comment\n\nTOKEN=a=b # c\nEMPTY=\nLAST=x", 0640);
    snprintf(text, sizeof(text),
             "queue: { default: {}; }; kind: { a: { command = [\"/bin/true\"]; env = { A = \"1\"; "
             "}; env_file = \"%s\"; }; };",
             path);
    struct loaded loaded = files_load_right(text);
    const struct config_kind *kind = &loaded.config->kinds[0];

    assert_int_equal(kind->env_count, 4);
    assert_int_equal(kind->env_own, 1);
    assert_string_equal(kind->env[0], "A=1");
    assert_string_equal(kind->env[1], "TOKEN=a=b # c");
    assert_string_equal(kind->env[2], "EMPTY=");
    assert_string_equal(kind->env[3], "LAST=x");
    assert_null(kind->env[4]);
    loaded_fini(&loaded);
}

static void env_file_that_is_no_secret_or_no_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        unsigned mode;
        const char *fragment;
    } rows[] = {
        {"A=1\n", 0644, "everybody can read or write it"},
        {"A=1\n", 0602, "everybody can read or write it"},
        {"A=1\nsecret\n", 0600, "line 2 is not NAME=value"},
        {"A-B=1\n", 0600, "line 1 is not NAME=value"},
        {"=1\n", 0600, "line 1 is not NAME=value"},
        {"RUNNEL_TASK_ID=1\n", 0600, "line 1 is not NAME=value"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[8192];
        const char *path = files_write("secrets.env", rows[i].content, rows[i].mode);
        snprintf(text, sizeof(text),
                 "queue: { default: {}; };\nkind: { a: { command = [\"/bin/true\"];\nenv_file = "
                 "\"%s\"; }; };",
                 path);
        struct loaded loaded = files_load_text(text);
        assert_int_equal(loaded.result, -EINVAL);
        assert_int_equal(loaded.fault_count, 1);
        assert_int_equal(loaded.faults[0].line, 3);
        if (strstr(loaded.faults[0].text, rows[i].fragment) == NULL ||
            strstr(loaded.faults[0].text, "secret\n") != NULL)
            fail_msg("%s", loaded.faults[0].text);
        loaded_fini(&loaded);
    }
}

static void an_env_file_without_a_slash_is_a_credential_or_lies_beside_the_file(void **state)
{
    (void)state;
    static const char text[] = "queue: { default: {}; };\nkind: { a: { command = "
                               "[\"/bin/true\"]; env_file = \"secrets.env\"; }; };";
    char folder[] = "/tmp/runnel-credentials-XXXXXX";
    char path[64];

    (void)files_write("secrets.env", "FROM=beside\n", 0600);
    struct loaded loaded = files_load_text(text);
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->kinds[0].env[0], "FROM=beside");
    loaded_fini(&loaded);

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/secrets.env", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("FROM=systemd\n", file);
    (void)fclose(file);
    assert_int_equal(chmod(path, 0444), 0); // nobody else can enter the folder
    (void)setenv("CREDENTIALS_DIRECTORY", folder, 1);
    loaded = files_load_text(text);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->kinds[0].env[0], "FROM=systemd");
    loaded_fini(&loaded);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void programs_and_folders_are_looked_for_when_asked(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        const char *fragment; // NULL: right
    } rows[] = {
        {"command = [\"/bin/sh\"];", NULL},
        {"command = [\"/nonexistent/program\"];", "/nonexistent/program: No such file"},
        {"command = [\"/etc\"];", "/etc is no program"},
        {"command = [\"/etc/passwd\"];", "/etc/passwd may not be run: Permission denied"},
        {"command = [\"/bin/sh\"]; directory = \"/nonexistent\";",
         "directory is no folder: \"/nonexistent\""},
        {"command = [\"/bin/sh\"]; directory = \"/etc/passwd\";", "directory is no folder"},
        {"command = [\"/bin/sh\"]; directory = \"/\";", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), "queue: { default: {}; };\nkind: { a: { %s }; };\n",
                 rows[i].settings);
        struct loaded unasked = files_load_right(text);
        loaded_fini(&unasked);
        struct loaded loaded = files_load(files_write("test.conf", text, 0644), NULL, true);
        assert_int_equal(loaded.result, rows[i].fragment == NULL ? 0 : -EINVAL);
        assert_int_equal(loaded.fault_count, rows[i].fragment == NULL ? 0 : 1);
        if (rows[i].fragment != NULL && strstr(loaded.faults[0].text, rows[i].fragment) == NULL)
            fail_msg("%s", loaded.faults[0].text);
        loaded_fini(&loaded);
    }
}

static void braces_that_are_no_placeholder_are_warned_of(void **state)
{
    (void)state;
    struct loaded loaded = files_load_text(
        "queue: { default: {}; };\nkind: { a: { command = [\"/bin/echo\",\n\"x{path}\",\n\"${a}\", "
        "\"{}\", \"{print $1}\"]; }; };");

    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 1);
    assert_int_equal(loaded.faults[0].line, 3);
    assert_non_null(strstr(loaded.faults[0].text, "the braces are taken as they are"));
    loaded_fini(&loaded);
}

static void stop_time_beyond_the_units_is_warned_of(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right("drain_timeout = \"34s\"; kill_grace = \"10s\";");
    loaded_fini(&loaded);

    loaded =
        files_load_text("kill_grace = \"1s\";\ndrain_timeout = \"34s\";\nqueue: { default: {}; };\n"
                        "kind: { a: { builtin = \"echo\"; kill_grace = \"11s\"; }; };");
    assert_int_equal(loaded.result, 0);
    assert_non_null(loaded.config);
    assert_int_equal(loaded.fault_count, 1);
    assert_int_equal(loaded.faults[0].line, 2);
    assert_non_null(strstr(loaded.faults[0].text, "come to 46s"));
    loaded_fini(&loaded);
}

static void kinds_are_found_by_name(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right(
        "queue: { default: {}; }; kind: {\n"
        "m: { builtin = \"echo\"; }; a: { builtin = \"echo\"; }; z-9: { builtin = \"echo\"; };\n"
        "c_d: { builtin = \"echo\"; }; truest: { builtin = \"echo\"; }; };");

    static const char *const names[] = {"m", "a", "z-9", "c_d", "truest"};
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(config_kind_find(loaded.config, names[i]), &loaded.config->kinds[i]);
        assert_string_equal(loaded.config->kinds[i].name, names[i]);
    }
    assert_null(config_kind_find(loaded.config, ""));
    assert_null(config_kind_find(loaded.config, "b"));
    assert_null(config_kind_find(loaded.config, "zz"));
    loaded_fini(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_has_three_attempts_and_is_retried_when_interrupted),
        cmocka_unit_test(command_has_one_attempt_and_fails_when_interrupted),
        cmocka_unit_test(interruption_follows_attempts_alone),
        cmocka_unit_test(every_setting_of_a_kind_is_taken),
        cmocka_unit_test(empty_retry_exit_leaves_75_alone),
        cmocka_unit_test(accepted_values_match_as_a_whole),
        cmocka_unit_test(env_file_comes_after_the_block),
        cmocka_unit_test(env_file_that_is_no_secret_or_no_list_is_refused),
        cmocka_unit_test(an_env_file_without_a_slash_is_a_credential_or_lies_beside_the_file),
        cmocka_unit_test(programs_and_folders_are_looked_for_when_asked),
        cmocka_unit_test(braces_that_are_no_placeholder_are_warned_of),
        cmocka_unit_test(stop_time_beyond_the_units_is_warned_of),
        cmocka_unit_test(kinds_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
