/* What differs between two configurations, and how they are counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "unit.h"

static struct config *load_config(const char *text)
{
    struct loaded loaded = files_load_text(text);
    if (loaded.result != 0)
        loaded_print(&loaded);
    assert_int_equal(loaded.result, 0);
    free(loaded.faults);
    return loaded.config;
}

#define HEAD "store = \"/tmp/x.db\"; "

static struct config_changes compare(const char *before_text, const char *after_text)
{
    struct config *before = load_config(before_text);
    struct config *after = load_config(after_text);
    struct config_changes changes;

    assert_int_equal(config_compare(before, before, after, &changes), 0);
    config_unref(before);
    config_unref(after);
    return changes;
}

static void expect(const struct config_changes *changes, enum config_change change, unsigned count,
                   const char *names)
{
    assert_int_equal(changes->of[change].count, count);
    assert_string_equal(changes->of[change].names, names);
}

static void the_same_text_changes_nothing(void **state)
{
    (void)state;
    const char *text = HEAD "queue: { default: { workers = 1; rate = \"2/s\" }; }; kind: { a: { "
                            "builtin = \"echo\" }; };";

    struct config_changes changes = compare(text, text);

    for (int change = 0; change < CONFIG_CHANGE_COUNT; change++)
        expect(&changes, (enum config_change)change, 0, "");
    assert_int_equal(changes.restart_count, 0);
}

static void what_came_went_and_changed_is_named(void **state)
{
    (void)state;
    struct config_changes changes = compare(
        HEAD "queue: { default: { workers = 1 }; b: { workers = 1 }; c: { workers = 1 }; };"
             "kind: { one: { builtin = \"echo\" }; two: { builtin = \"echo\" }; };",
        HEAD "keep_count = 5; queue: { d: { workers = 1 }; default: { workers = 1; burst = 3 };"
             " c: { workers = 1 }; };"
             "kind: { two: { builtin = \"echo\"; max_attempts = 7 }; three: { builtin = \"noop\" };"
             " four: { builtin = \"noop\" }; };");

    expect(&changes, CONFIG_KINDS_ADDED, 2, "three, four");
    expect(&changes, CONFIG_KINDS_REMOVED, 1, "one");
    expect(&changes, CONFIG_KINDS_CHANGED, 1, "two");
    expect(&changes, CONFIG_QUEUES_ADDED, 1, "d");
    expect(&changes, CONFIG_QUEUES_REMOVED, 1, "b");
    expect(&changes, CONFIG_QUEUES_CHANGED, 1, "default");
    expect(&changes, CONFIG_SETTINGS_CHANGED, 1, "keep_count");
}

static void the_order_and_the_lines_are_no_change(void **state)
{
    (void)state;
    struct config_changes changes =
        compare(HEAD "queue: { default: { workers = 1 }; b: { workers = 2 }; };"
                     "kind: { one: { builtin = \"echo\" }; two: { builtin = \"noop\" }; };",
                HEAD "\n\nqueue: { b: { workers = 2 }; default: { workers = 1 }; };\n"
                     "kind: { two: { builtin = \"noop\" };\n one: { builtin = \"echo\" }; };");

    for (int change = 0; change < CONFIG_CHANGE_COUNT; change++)
        expect(&changes, (enum config_change)change, 0, "");
}

static void what_a_reload_cannot_change_is_compared_with_the_start(void **state)
{
    (void)state;
    struct config *start = load_config(HEAD "queue: { default: { workers = 1 }; };");
    struct config *first = load_config(HEAD "max_connections = 9; kill_grace = \"1s\";"
                                            "queue: { default: { workers = 1 }; };");
    struct config *second =
        load_config("store = \"/tmp/y.db\"; max_connections = 9;"
                    "kill_grace = \"1s\"; queue: { default: { workers = 1 }; };");
    struct config_changes changes;

    assert_int_equal(config_compare(start, first, second, &changes), 0);
    assert_int_equal(changes.restart_count, 2);
    assert_string_equal(changes.restart_needed[0], "store");
    assert_string_equal(changes.restart_needed[1], "max_connections");
    expect(&changes, CONFIG_SETTINGS_CHANGED, 0, "");
    config_unref(start);
    config_unref(first);
    config_unref(second);
}

static void what_an_env_file_says_is_compared_too(void **state)
{
    (void)state;
    char text[512];
    const char *path = files_write("env", "SECRET=1\n", 0600);
    snprintf(text, sizeof(text),
             HEAD "queue: { default: { workers = 1 }; };"
                  "kind: { a: { command = [ \"/bin/true\" ]; env_file = \"%s\" }; };",
             path);
    struct config *before = load_config(text);
    (void)files_write("env", "SECRET=2\n", 0600);
    struct config *after = load_config(text);
    struct config_changes changes;

    assert_int_equal(config_compare(before, before, after, &changes), 0);
    expect(&changes, CONFIG_KINDS_CHANGED, 1, "a");
    assert_null(strstr(changes.of[CONFIG_KINDS_CHANGED].names, "SECRET"));
    config_unref(before);
    config_unref(after);
}

static void many_names_are_cut_and_counted(void **state)
{
    (void)state;
    static char text[64 * 500];
    size_t used = (size_t)snprintf(text, sizeof(text),
                                   HEAD "queue: { default: { workers = 1 }; };"
                                        "kind: {");
    for (unsigned i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "kind-%03u: { builtin = \"noop\" };", i);
    snprintf(text + used, sizeof(text) - used, "};");

    struct config_changes changes = compare(HEAD "queue: { default: { workers = 1 }; };", text);

    const char *names = changes.of[CONFIG_KINDS_ADDED].names;
    assert_int_equal(changes.of[CONFIG_KINDS_ADDED].count, 300);
    assert_non_null(strstr(names, "kind-000, kind-001"));
    const char *more = strstr(names, " and ");
    assert_non_null(more);
    unsigned named = 1;
    for (const char *c = names; c < more; c++)
        named += *c == ',';
    unsigned rest = 0;
    assert_int_equal(sscanf(more, " and %u more", &rest), 1);
    assert_int_equal(named + rest, 300);
}

static void a_configuration_lives_as_long_as_a_reference(void **state)
{
    (void)state;
    struct config *config = load_config(HEAD "queue: { default: { workers = 1 }; };"
                                             "kind: { one: { builtin = \"echo\" }; };");
    const struct config *other = config_ref(config);

    assert_ptr_equal(other, config);
    config_unref(config);
    assert_string_equal(config_kind_find(other, "one")->name, "one");
    assert_string_equal(other->kind_names[0], "one");
    assert_null(other->kind_names[1]);
    assert_string_equal(other->queue_names[0], "default");
    assert_null(other->queue_names[1]);
    config_unref(other); // a sanitizer finds it where this was not the last
    config_unref(NULL);
}

static int remove_files(void **state)
{
    (void)state;
    files_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text_changes_nothing),
        cmocka_unit_test(what_came_went_and_changed_is_named),
        cmocka_unit_test(the_order_and_the_lines_are_no_change),
        cmocka_unit_test(what_a_reload_cannot_change_is_compared_with_the_start),
        cmocka_unit_test(what_an_env_file_says_is_compared_too),
        cmocka_unit_test(many_names_are_cut_and_counted),
        cmocka_unit_test(a_configuration_lives_as_long_as_a_reference),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
