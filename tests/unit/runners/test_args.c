/* Members of args as text, and the list of faults. */
#include "unit.h"

#include <string.h>

#include "runners/args.h"

static void assert_member(const char *json, const char *name, const char *expected)
{
    const char *value = NULL;
    size_t length = 0;

    bool found = args_member_text(json, strlen(json), name, &value, &length);

    if (expected == NULL) {
        assert_false(found);
        return;
    }
    assert_true(found);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(value, expected, length);
}

static void member_text_is_found_at_the_top_level_only(void **state)
{
    (void)state;
    assert_member("{\"a\":1}", "a", "1");
    assert_member(" { \"a\" : 1.10 , \"b\":2 } ", "a", "1.10");
    assert_member("{\"b\":{\"a\":2},\"a\":3}", "a", "3");
    assert_member("{\"b\":[{\"a\":2},\"a\",[]],\"a\":-0.0}", "a", "-0.0");
    assert_member("{\"b\":\"\\\"a\\\":5\",\"a\":6e2}", "a", "6e2");
    assert_member("{\"b\":\"a\",\"c\":\"}\",\"a\":7}", "a", "7");
    assert_member("{\"ab\":1,\"b\":2}", "a", NULL);
    assert_member("{\"\\u0061b\":1}", "ab", "1");
    assert_member("{\"\\u0061\\u002D\\u005f\":1}", "a-_", "1");
    assert_member("{\"\\n\":1,\"\\u1061\":2}", "a", NULL);
    assert_member("{\"a\":[1, 2]}", "a", "[1, 2]");
    assert_member("{\"a\":\"x\\\"y\"}", "a", "\"x\\\"y\"");
    assert_member("{\"a\":true}", "a", "true");
    // Of two the one that jansson has.
    assert_member("{\"a\":1,\"b\":2,\"a\":\"x\"}", "a", "\"x\"");
    assert_member("{}", "a", NULL);
    assert_member("[1]", "a", NULL);
    assert_member("null", "a", NULL);
}

static void member_text_never_reads_beyond_its_bytes(void **state)
{
    static const char json[] =
        "{\"first\":[1,{\"x\":\"\\u0061\\\\\"}],\"\\u0061\":\"v\",\"b\":-1.5e3}";
    static const char *const names[] = {"a", "b", "first", "zz"};

    (void)state;
    // A copy without room behind it, so that the sanitizers and valgrind see a read too far.
    for (size_t bytes = 0; bytes < sizeof(json); bytes++) {
        char *cut = test_malloc(bytes + 1);
        memcpy(cut + 1, json, bytes);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            const char *value = NULL;
            size_t length = 0;
            if (args_member_text(cut + 1, bytes, names[i], &value, &length))
                assert_true(value >= cut + 1 && value + length <= cut + 1 + bytes);
        }
        test_free(cut);
    }
}

static void assert_value(const char *json, bool with_text, const char *expected)
{
    json_t *parsed = json_loads(json, JSON_ALLOW_NUL, NULL);
    struct args args = {
        .json = parsed, .text = with_text ? json : NULL, .bytes = with_text ? strlen(json) : 0};
    struct args_value value;

    assert_non_null(parsed);
    args_value_get(&args, "a", &value);

    assert_int_equal(value.type, ARGS_SCALAR);
    assert_int_equal(value.length, strlen(expected));
    assert_memory_equal(value.bytes, expected, value.length);
    json_decref(parsed);
}

static void numbers_are_spelled_as_in_the_text(void **state)
{
    static const char *const numbers[] = {
        "0",   "-0",  "1.10", "1e3", "1E+3", "-0.0", "9223372036854775807", "0.1000000000000000055",
        "1.0", "1.5", "1e-7",
    };
    char json[128];

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)snprintf(json, sizeof(json), "{\"b\": 1, \"a\" : %s }", numbers[i]);
        assert_value(json, true, numbers[i]);
    }
}

static void without_the_text_numbers_have_their_shortest_spelling(void **state)
{
    (void)state;
    assert_value("{\"a\":12}", false, "12");
    assert_value("{\"a\":-9223372036854775808}", false, "-9223372036854775808");
    assert_value("{\"a\":0.1}", false, "0.1");
    assert_value("{\"a\":1.10}", false, "1.1");
    assert_value("{\"a\":0.1234567890123456}", false, "0.1234567890123456");
    assert_value("{\"a\":0.30000000000000004}", false, "0.30000000000000004");
}

static void strings_and_booleans_are_what_they_say(void **state)
{
    (void)state;
    assert_value("{\"a\":\"x y\"}", true, "x y");
    assert_value("{\"a\":\"\"}", true, "");
    assert_value("{\"a\":true}", true, "true");
    assert_value("{\"a\":false}", false, "false");
}

static void faults_that_do_not_fit_are_counted(void **state)
{
    struct args_fault faults[2];
    struct args_faults list = {.faults = faults, .max = 2};

    (void)state;
    args_faults_add(&list, "a", "is %d", 1);
    args_faults_add(&list, "b", "is %d", 2);
    args_faults_add(&list, "c", "is %d", 3);

    assert_int_equal(list.count, 3);
    assert_string_equal(faults[0].pointer, "#/args/a");
    assert_string_equal(faults[0].detail, "is 1");
    assert_string_equal(faults[1].pointer, "#/args/b");
}

static void a_detail_too_long_is_cut_between_characters(void **state)
{
    struct args_fault fault;
    struct args_faults list = {.faults = &fault, .max = 1};
    char text[300] = "";

    (void)state;
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 4); // 3 bytes each
    args_faults_add(&list, NULL, "xy%s", text);

    assert_string_equal(fault.pointer, "#/args");
    assert_int_equal(strlen(fault.detail), 2 + 84 * 3);
}

static void unknown_members_are_faults_with_an_escaped_pointer(void **state)
{
    static const char *const names[] = {"duration", NULL};
    struct args_fault faults[3];
    struct args_faults list = {.faults = faults, .max = 3};
    json_t *args = json_loads("{\"duration\":1,\"duratoin\":2,\"a/b~c\":3,"
                              "\"q\\\"\\u0001é\\\\\":4}",
                              0, NULL);

    (void)state;
    assert_non_null(args);
    args_refuse_unknown(args, names, &list);

    assert_int_equal(list.count, 3);
    assert_string_equal(faults[0].pointer, "#/args/duratoin");
    assert_non_null(strstr(faults[0].detail, "did you mean 'duration'?"));
    assert_string_equal(faults[1].pointer, "#/args/a~1b~0c");
    // It stands in JSON as it is.
    assert_string_equal(faults[2].pointer, "#/args/q%22%01%C3%A9%5C");
    json_decref(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_text_is_found_at_the_top_level_only),
        cmocka_unit_test(member_text_never_reads_beyond_its_bytes),
        cmocka_unit_test(numbers_are_spelled_as_in_the_text),
        cmocka_unit_test(without_the_text_numbers_have_their_shortest_spelling),
        cmocka_unit_test(strings_and_booleans_are_what_they_say),
        cmocka_unit_test(faults_that_do_not_fit_are_counted),
        cmocka_unit_test(a_detail_too_long_is_cut_between_characters),
        cmocka_unit_test(unknown_members_are_faults_with_an_escaped_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
