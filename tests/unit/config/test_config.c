/* Configurations that are right: defaults, values of every type, what follows from other values,
 * and what is printed. Kinds: test_kind.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/limiter.h>

#include "fault.h"
#include "files.h"
#include "unit.h"

static void empty_file_has_all_defaults(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right("");
    const struct config *config = loaded.config;

    assert_string_equal(config->listeners[0].text, "127.0.0.1:7733");
    assert_string_equal(config->listeners[0].host, "127.0.0.1");
    assert_int_equal(config->listeners[0].port, 7733);
    assert_int_equal(config->drain_timeout, 25 * RN_SECOND);
    assert_int_equal(config->kill_grace, 10 * RN_SECOND);
    assert_int_equal(config->max_connections, 256);
    assert_int_equal(config->max_waiting, 200);
    assert_int_equal(config->max_backlog, 10000000);
    assert_int_equal(config->max_request_memory, 64 << 20);
    assert_int_equal(config->keep_succeeded, 24 * RN_HOUR);
    assert_int_equal(config->keep_failed, RN_HOUR * 24 * 7);
    assert_int_equal(config->keep_cancelled, 24 * RN_HOUR);
    assert_int_equal(config->keep_count, 1000000);
    assert_int_equal(config->log_level, LOG_LEVEL_NOTICE);
    assert_int_equal(config->log_format, LOG_FORMAT_TEXT);
    assert_false(config->access_log);
    assert_int_equal(config->queue_count, 0);
    assert_int_equal(config->kind_count, 0);
    assert_true(config->loaded_at_ms > 0);
    loaded_fini(&loaded);
}

static void every_setting_of_the_top_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right("listen = \"[::1]:0\";\n"
                                            "store = \"/srv/tasks.db\";\n"
                                            "drain_timeout = 20;\n"
                                            "kill_grace = 1.5;\n"
                                            "max_connections = 1000;\n"
                                            "max_waiting = 0;\n"
                                            "max_backlog = 1000000000L;\n"
                                            "max_request_memory = \"1GiB\";\n"
                                            "keep_succeeded = \"90m\";\n"
                                            "keep_failed = \"1d12h\";\n"
                                            "keep_cancelled = \"0s\";\n"
                                            "keep_count = 0x10;\n"
                                            "log_level = \"debug\";\n"
                                            "log_format = \"json\";\n"
                                            "access_log = true;\n");
    const struct config *config = loaded.config;

    assert_string_equal(config->listeners[0].text, "[::1]:0");
    assert_string_equal(config->listeners[0].host, "::1");
    assert_int_equal(config->listeners[0].port, 0);
    assert_string_equal(config->store, "/srv/tasks.db");
    assert_int_equal(config->drain_timeout, 20 * RN_SECOND);
    assert_int_equal(config->kill_grace, 1500 * RN_MILLISECOND);
    assert_int_equal(config->max_connections, 1000);
    assert_int_equal(config->max_waiting, 0);
    assert_int_equal(config->max_backlog, 1000000000);
    assert_int_equal(config->max_request_memory, 1 << 30);
    assert_int_equal(config->keep_succeeded, 90 * RN_MINUTE);
    assert_int_equal(config->keep_failed, 36 * RN_HOUR);
    assert_int_equal(config->keep_cancelled, 0);
    assert_int_equal(config->keep_count, 16);
    assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->log_format, LOG_FORMAT_JSON);
    assert_true(config->access_log);
    loaded_fini(&loaded);
}

static void localhost_is_listened_on_by_number(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right("listen = \"localhost:65535\";\n");

    assert_string_equal(loaded.config->listeners[0].text, "localhost:65535");
    assert_string_equal(loaded.config->listeners[0].host, "127.0.0.1");
    assert_int_equal(loaded.config->listeners[0].port, 65535);
    loaded_fini(&loaded);
}

static void overrides_win_over_the_file(void **state)
{
    (void)state;
    const char *const overrides[] = {"listen=127.0.0.1:0",      "drain_timeout=5",
                                     "kill_grace=1m30s",        "max_waiting=7",
                                     "max_request_memory=8MiB", "log_level=err",
                                     "store=/x/a=b.db",         "log_format=json",
                                     "access_log=true",         NULL};
    struct loaded loaded =
        files_load(files_write("test.conf", "max_waiting = 5; drain_timeout = \"1m\";", 0644),
                   overrides, false);

    // 5 + 90 + 1 s: the warning counts what is in force.
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 1);
    assert_non_null(strstr(loaded.faults[0].text, "come to 1m36s"));
    const struct config *config = loaded.config;
    assert_int_equal(config->listeners[0].port, 0);
    assert_int_equal(config->drain_timeout, 5 * RN_SECOND);
    assert_int_equal(config->kill_grace, 90 * RN_SECOND);
    assert_int_equal(config->max_waiting, 7);
    assert_int_equal(config->max_request_memory, 8 << 20);
    assert_int_equal(config->log_level, LOG_LEVEL_ERR);
    assert_int_equal(config->log_format, LOG_FORMAT_JSON);
    assert_true(config->access_log);
    assert_string_equal(config->store, "/x/a=b.db");
    loaded_fini(&loaded);
}

static void relative_store_lies_below_the_state_directory(void **state)
{
    (void)state;
    assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/runnel:/var/lib/other", 1), 0);
    struct loaded loaded = files_load_right("store = \"tasks.db\";\n");
    assert_int_equal(unsetenv("STATE_DIRECTORY"), 0);

    assert_string_equal(loaded.config->store, "/var/lib/runnel/tasks.db");
    loaded_fini(&loaded);
}

static void relative_store_lies_beside_the_file(void **state)
{
    (void)state;
    char resolved[4096];
    char expected[sizeof(resolved) + 16];
    assert_non_null(realpath(files_folder(), resolved));
    snprintf(expected, sizeof(expected), "%s/runnel.db", resolved);

    struct loaded loaded = files_load_right("");
    assert_string_equal(loaded.config->store, expected);
    loaded_fini(&loaded);

    // The same when the file is named without its folder.
    char *before = realpath(".", NULL);
    assert_non_null(before);
    assert_int_equal(chdir(files_folder()), 0);
    loaded = files_load("test.conf", NULL, false);
    assert_int_equal(chdir(before), 0);
    free(before);
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->store, expected);
    assert_string_equal(loaded.config->path, "test.conf");
    loaded_fini(&loaded);
}

static void queues_have_defaults_and_keep_the_files_order(void **state)
{
    (void)state;
    struct loaded loaded =
        files_load_right("queue: {\n"
                         "  zebra: { };\n"
                         "  blog: { workers = 3; rate = \"90/m\"; burst = 5; };\n"
                         "};\n");
    const struct config_queue *queues = loaded.config->queues;

    assert_int_equal(loaded.config->queue_count, 2);
    assert_string_equal(queues[0].name, "zebra");
    assert_int_equal(queues[0].line, 2);
    assert_int_equal(queues[0].workers, 4);
    assert_true(queues[0].rate.per_s == RN_RATE_INFINITE);
    assert_string_equal(queues[0].rate.text, "");
    assert_int_equal(queues[0].burst, 1);
    assert_string_equal(queues[1].name, "blog");
    assert_int_equal(queues[1].line, 3);
    assert_int_equal(queues[1].workers, 3);
    assert_true(queues[1].rate.per_s == 1.5);
    assert_string_equal(queues[1].rate.text, "90/m");
    assert_int_equal(queues[1].burst, 5);
    assert_ptr_equal(config_queue_find(loaded.config, "blog"), &queues[1]);
    assert_null(config_queue_find(loaded.config, "blo"));
    loaded_fini(&loaded);
}

static void all_workers_there_may_be_are_allowed(void **state)
{
    (void)state;
    struct loaded loaded =
        files_load_right("queue: { a: { workers = 1000; }; b: { workers = 24; }; };\n");
    assert_int_equal(loaded.config->queues[1].workers, 24);
    loaded_fini(&loaded);
}

static void included_files_are_read_once_each(void **state)
{
    (void)state;
    files_write("queues.conf", "queue: { default: { workers = 2; }; };\n", 0644);
    files_write("kinds.conf", "kind: {\n@include \"one.conf\"\n};\n", 0644);
    files_write("one.conf", "  one: { builtin = \"echo\"; };\n", 0644);
    struct loaded loaded =
        files_load_right("@include \"queues.conf\"\n  @include \"kinds.conf\"\nmax_waiting = 1;\n");

    assert_int_equal(loaded.config->queues[0].workers, 2);
    assert_non_null(config_kind_find(loaded.config, "one"));
    assert_int_equal(loaded.config->max_waiting, 1);
    loaded_fini(&loaded);
}

/* What config_print writes, in new memory. */
static char *printed(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(config_print(config, file), 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void what_is_printed_can_be_loaded_and_is_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", files_full_kind,
        "store = \"/tmp/ \\x01\\n\\\"\\\\ \xC3\xA4.db\"; queue: { default: { rate = \"2.5/h\"; }; "
        "};\n"
        "kind: { a: { builtin = \"fail\"; }; b: { command = [\"/bin/true\"]; stdin = \"none\"; "
        "retry_exit = []; }; };"};
    for (size_t i = 0; i < 3; i++) {
        struct loaded first = files_load_right(texts[i]);
        char *once = printed(first.config);
        struct loaded second = files_load_right(once);
        char *twice = printed(second.config);
        assert_string_equal(once, twice);
        assert_string_equal(first.config->store, second.config->store);
        free(once);
        free(twice);
        loaded_fini(&first);
        loaded_fini(&second);
    }
}

static void printing_tells_of_a_full_disk(void **state)
{
    (void)state;
    struct loaded loaded = files_load_right("");
    FILE *file = fopen("/dev/full", "we");
    assert_non_null(file);
    assert_int_equal(config_print(loaded.config, file), -EIO);
    (void)fclose(file);
    loaded_fini(&loaded);
}

/* Fails each allocation in turn; libconfig's own are not counted. */
static void load_survives_every_failed_allocation(void **state)
{
    (void)state;
    char text[8192];
    snprintf(text, sizeof(text),
             "@include \"part.conf\"\nlisten = \"localhost:1\"; unknown = 1;\n%s", files_full_kind);
    char right[8192];
    const char *secrets = files_write("secrets.env", "TOKEN=x\n", 0600);
    snprintf(right, sizeof(right),
             "@include \"part.conf\"\nlisten = \"localhost:1\"; drain_timeout = \"1h\"; hosts = "
             "[\"a.example\"]; token_file = \"tokens\";\nqueue: { "
             "default: {}; }; "
             "kind: { a: { command = [\"/bin/true\"]; directory = \"/\"; env = { A = \"1\"; }; "
             "env_file = \"%s\"; }; };",
             secrets);
    files_write("part.conf", "max_waiting = 3;\n", 0644);
    files_write("tokens",
                "a sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef "
                "scope=read queue=default kind=a\n",
                0600);

    const char *const texts[] = {text, right};
    static const int results[] = {-EINVAL, 0};
    for (int i = 0; i < 2; i++) {
        files_write("test.conf", texts[i], 0644);
        char path[4096];
        snprintf(path, sizeof(path), "%s/test.conf", files_folder());
        for (int nth = 1;; nth++) {
            fault_fail_malloc(nth);
            struct loaded loaded = files_load(path, NULL, false);
            if (!fault_reached()) {
                assert_int_equal(loaded.result, results[i]);
                assert_int_equal(loaded.fault_count, 1);
                assert_true(nth > 10);
                loaded_fini(&loaded);
                break;
            }
            assert_int_equal(loaded.result, -ENOMEM);
            assert_null(loaded.config);
            assert_null(loaded.faults);
        }
    }
}

static void escaped_bytes_of_a_whole_character_are_it(void **state)
{
    (void)state;
    struct loaded loaded = files_load_text("store = \"/tmp/\\xc3\\XA4\\x41.db\";\n"
                                           "queue: { default: {}; };\n"
                                           "kind: { a: { builtin = \"echo\"; }; };\n");
    if (loaded.result != 0)
        loaded_print(&loaded);
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->store, "/tmp/\xC3\xA4\x41.db");
    loaded_fini(&loaded);
}

int main(void)
{
    (void)unsetenv("STATE_DIRECTORY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_has_all_defaults),
        cmocka_unit_test(every_setting_of_the_top_is_taken),
        cmocka_unit_test(localhost_is_listened_on_by_number),
        cmocka_unit_test(overrides_win_over_the_file),
        cmocka_unit_test(relative_store_lies_below_the_state_directory),
        cmocka_unit_test(relative_store_lies_beside_the_file),
        cmocka_unit_test(queues_have_defaults_and_keep_the_files_order),
        cmocka_unit_test(all_workers_there_may_be_are_allowed),
        cmocka_unit_test(included_files_are_read_once_each),
        cmocka_unit_test(what_is_printed_can_be_loaded_and_is_the_same),
        cmocka_unit_test(printing_tells_of_a_full_disk),
        cmocka_unit_test(load_survives_every_failed_allocation),
        cmocka_unit_test(escaped_bytes_of_a_whole_character_are_it),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
