#include <string.h>

#include "config/config.h"
#include "unit.h"

static void names_are_lower_case_and_begin_with_a_letter(void **state)
{
    (void)state;
    static const char *const right[] = {
        "a",     "mail",   "a-b_c9",
        "truth", "false1", "a234567890123456789012345678901234567890123456789012345678901234"};
    static const char *const wrong[] = {
        "",
        "A",
        "9a",
        "-a",
        "_a",
        "a.b",
        "a b",
        "\xC3\xA4",
        "true",
        "false",
        "a2345678901234567890123456789012345678901234567890123456789012345"};

    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        if (!config_name_valid(right[i]))
            fail_msg("%s", right[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (config_name_valid(wrong[i]))
            fail_msg("%s", wrong[i]);
}

static void nearest_name_differs_in_a_third_of_its_letters_at_most(void **state)
{
    (void)state;
    static const char *const names[] = {"workers", "rate", "burst", "base", "is", "top", NULL};
    static const struct {
        const char *word;
        const char *nearest;
    } rows[] = {
        {"workers", "workers"},   // none
        {"worker", "workers"},    // one left out
        {"wokrers", "workers"},   // two swapped
        {"wwworkers", "workers"}, // two too many
        {"wrkr", NULL},           // three
        {"rat", "rate"},          //
        {"bate", "rate"},         // as near as base: the first
        {"bas", "base"},          //
        {"xy", NULL},             // two changes of two letters say nothing
        {"it", NULL},             // half of the letters
        {"foo", NULL},            // two of three: no top
        {"tpo", "top"},           // a third
        {"", NULL},               //
        {"x2345678901234567890123456789012345678901234567890123456789012345678901234567890", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *nearest = nearest_name(rows[i].word, names);
        if ((nearest == NULL) != (rows[i].nearest == NULL) ||
            (nearest != NULL && strcmp(nearest, rows[i].nearest) != 0))
            fail_msg("%s gave %s", rows[i].word, nearest != NULL ? nearest : "nothing");
    }
}

static void nothing_is_near_when_there_are_no_names(void **state)
{
    (void)state;
    static const char *const names[] = {NULL};
    assert_null(nearest_name("a", names));
}

static void placeholders_are_whole_elements_or_end_after_an_equals_sign(void **state)
{
    (void)state;
    static const struct {
        const char *element;
        const char *name; // NULL: no placeholder
        size_t prefix_bytes;
    } rows[] = {
        {"{path}", "path", 0},
        {"{_p-9}", "_p-9", 0},
        {"{P}", "P", 0},
        {"--out={path}", "path", 6},
        {"a={b}={c}", "c", 6},
        {"={path}", "path", 1},
        {"x{path}", NULL, 0},
        {"{path}x", NULL, 0},
        {"{path} ", NULL, 0},
        {"{}", NULL, 0},
        {"{9a}", NULL, 0},
        {"{-a}", NULL, 0},
        {"{a b}", NULL, 0},
        {"{a", NULL, 0},
        {"a}", NULL, 0},
        {"{{a}", NULL, 0},
        {"{a}}", NULL, 0},
        {"", NULL, 0},
        {"{a234567890123456789012345678901234567890123456789012345678901234}",
         "a234567890123456789012345678901234567890123456789012345678901234", 0},
        {"{a2345678901234567890123456789012345678901234567890123456789012345}", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t prefix_bytes = 99;
        char name[CONFIG_NAME_MAX + 1] = "untouched";
        bool found = config_placeholder(rows[i].element, &prefix_bytes, name);
        if (found != (rows[i].name != NULL))
            fail_msg("%s", rows[i].element);
        assert_string_equal(name, found ? rows[i].name : "untouched");
        assert_int_equal(prefix_bytes, found ? rows[i].prefix_bytes : 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_lower_case_and_begin_with_a_letter),
        cmocka_unit_test(nearest_name_differs_in_a_third_of_its_letters_at_most),
        cmocka_unit_test(nothing_is_near_when_there_are_no_names),
        cmocka_unit_test(placeholders_are_whole_elements_or_end_after_an_equals_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
