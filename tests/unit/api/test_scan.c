/* The look at JSON text before it is parsed. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "api/scan.h"

static void the_raw_args_are_found(void **state)
{
    static const struct {
        const char *text, *args; // NULL: none
    } cases[] = {
        {"{\"kind\":\"a\",\"args\":{\"n\":1.10}}", "{\"n\":1.10}"},
        {"{\"args\":1}", "1"},
        {" { \"args\" : [ 1 , 2 ] , \"kind\" : \"a\" } ", "[ 1 , 2 ]"},
        {"{\"args\":\"a,}]\\\"\",\"x\":1}", "\"a,}]\\\"\""},
        {"{\"x\":{\"args\":5},\"args\":6}", "6"},
        {"{\"x\":\"args\",\"y\":7}", NULL},
        {"{\"x\":[\"args\",8]}", NULL},
        {"{\"\\u0061rgs\":9}", NULL},
        {"{\"args\\u0000\":9}", NULL},
        {"{\"argsx\":9}", NULL},
        {"[\"args\",10]", NULL},
        {"{\"args\":}", NULL},
        {"{\"args\":null}", "null"},
        {"{\"args\":11", NULL},
        {"\"args\"", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scan scan;
        const char *text = cases[i].text;
        assert_int_equal(scan_value(text, strlen(text), 0, 32, &scan), 0);
        if (scan.has_args != (cases[i].args != NULL))
            fail_msg("%s", text);
        if (!scan.has_args)
            continue;
        assert_int_equal(scan.args_to - scan.args_from, strlen(cases[i].args));
        assert_memory_equal(text + scan.args_from, cases[i].args, strlen(cases[i].args));
    }
}

static void a_value_ends_where_the_array_goes_on(void **state)
{
    static const struct {
        const char *text;
        size_t from, begin, end;
    } cases[] = {
        {"[1,2]", 1, 1, 2},      {"[ 12 ,2]", 1, 2, 4},
        {"[\"a]\",2]", 1, 1, 5}, {"[{\"a\":[]},2]", 1, 1, 9},
        {"[,]", 1, 1, 1},        {"[]", 1, 1, 1},
        {"[tru", 1, 1, 4},       {"[\"a\\", 1, 1, 4},
        {"[{", 1, 1, 2},         {"[ ", 1, 2, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scan scan;
        assert_int_equal(scan_value(cases[i].text, strlen(cases[i].text), cases[i].from, 32, &scan),
                         0);
        assert_int_equal(scan.begin, cases[i].begin);
        assert_int_equal(scan.end, cases[i].end);
    }
}

static void depth_is_bounded(void **state)
{
    char text[64];
    struct scan scan;

    (void)state;
    memset(text, '[', sizeof(text));
    assert_int_equal(scan_value(text, 32, 0, 32, &scan), 0);
    assert_int_equal(scan_value(text, 33, 0, 32, &scan), -EMSGSIZE);
    assert_int_equal(scan.end, 32);
    memset(text, '"', sizeof(text)); // brackets in strings do not count
    assert_int_equal(scan_value("\"[[[[\"", 6, 0, 1, &scan), 0);
}

static void white_space_goes_only_outside_strings(void **state)
{
    static const char text[] = " { \"a b\" : [ 1 ,\t\"\\\" \" ] \r\n}";
    char to[sizeof(text)];

    (void)state;
    size_t length = scan_compact(text, strlen(text), to);
    to[length] = '\0';
    assert_string_equal(to, "{\"a b\":[1,\"\\\" \"]}");
    length = scan_compact("\"open ", 6, to);
    assert_int_equal(length, 6);
}

static void a_place_counts_characters(void **state)
{
    unsigned line = 0;
    unsigned column = 0;

    (void)state;
    scan_place("ab\n\xc3\xa4x", 5, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 2);
    scan_place("", 0, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);
}

/* Any bytes are survived, and what is found lies within them. */
static void any_bytes_are_survived(void **state)
{
    static const char alphabet[] = "{}[]\":,\\ args01\n";
    unsigned seed = 12345;
    char text[40];
    char to[40];

    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct scan scan;
        size_t length = (size_t)(round % 40);
        for (size_t i = 0; i < length; i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }
        if (scan_value(text, length, 0, 4, &scan) == 0) {
            assert_true(scan.begin <= scan.end && scan.end <= length);
            if (scan.has_args)
                assert_true(scan.args_from < scan.args_to && scan.args_to <= length);
        }
        assert_true(scan_compact(text, length, to) <= length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_raw_args_are_found),
        cmocka_unit_test(a_value_ends_where_the_array_goes_on),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(white_space_goes_only_outside_strings),
        cmocka_unit_test(a_place_counts_characters),
        cmocka_unit_test(any_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
