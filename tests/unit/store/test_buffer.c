/* Text that grows, and the JSON that is written to it. */
#include "unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "store/buffer.h"

static void expect(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, "", 1);
    assert_false(buffer->failed);
    assert_string_equal(buffer->bytes, text);
    buffer_fini(buffer);
}

static void numbers_are_written_in_full(void **state)
{
    struct buffer buffer = {.bytes = NULL};

    (void)state;
    buffer_unsigned(&buffer, 0);
    BUFFER_LITERAL(&buffer, " ");
    buffer_unsigned(&buffer, UINT64_MAX);
    BUFFER_LITERAL(&buffer, " ");
    buffer_signed(&buffer, INT64_MIN);
    BUFFER_LITERAL(&buffer, " ");
    buffer_signed(&buffer, -1);
    expect(&buffer, "0 18446744073709551615 -9223372036854775808 -1");
}

static void strings_are_escaped_and_always_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
        {"\b\t\n\f\r\x01\x1f\x7f", 8, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\\u007f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 // overlong
        {"\xe0\x80\xaf", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // overlong
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // a surrogate
        {"\xf4\x90\x80\x80", 4,
         "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // above U+10FFFF
        {"x\xe2\x82", 3, "\"x\xef\xbf\xbd\xef\xbf\xbd\""},        // cut
        {"\xe2\x82y", 3, "\"\xef\xbf\xbd\xef\xbf\xbdy\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer buffer = {.bytes = NULL};
        buffer_json_string(&buffer, cases[i].bytes, cases[i].length);
        expect(&buffer, cases[i].json);
    }
}

static void values_without_a_value_are_null(void **state)
{
    struct buffer buffer = {.bytes = NULL};

    (void)state;
    buffer_json_text(&buffer, NULL);
    buffer_json_instant(&buffer, 0);
    buffer_json_instant(&buffer, 1764023146123);
    buffer_json_duration(&buffer, 5400000);
    buffer_json_bool(&buffer, true);
    expect(&buffer, "nullnull\"2025-11-24T22:25:46.123Z\"\"1h30m\"true");
}

static void indenting_leaves_strings_and_numbers_alone(void **state)
{
    struct buffer buffer = {.bytes = NULL};

    (void)state;
    buffer_text(&buffer, "{\"a\":[1.10,{},[],\"{\\\"[,:\"],\"b\":{\"c\":null}}");
    buffer_json_indent(&buffer);
    expect(&buffer, "{\n  \"a\": [\n    1.10,\n    {},\n    [],\n    \"{\\\"[,:\"\n  ],\n  \"b\": "
                    "{\n    \"c\": null\n  }\n}");
}

static void a_failed_allocation_is_told_once_at_the_end(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct buffer buffer = {.bytes = NULL};

        fault_fail_malloc(nth);
        for (int i = 0; i < 1000; i++)
            buffer_json_string(&buffer, "0123456789", 10);
        buffer_json_indent(&buffer);
        if (!fault_reached()) {
            assert_false(buffer.failed);
            buffer_fini(&buffer);
            return;
        }
        assert_true(buffer.failed);
        assert_null(buffer_reserve(&buffer, 1));
        buffer_fini(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_in_full),
        cmocka_unit_test(strings_are_escaped_and_always_utf8),
        cmocka_unit_test(values_without_a_value_are_null),
        cmocka_unit_test(indenting_leaves_strings_and_numbers_alone),
        cmocka_unit_test(a_failed_allocation_is_told_once_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
