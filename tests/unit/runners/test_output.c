/* What is kept of output, and how it becomes text. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "runners/output.h"

static void write_all(int fd, const void *bytes, size_t count)
{
    assert_int_equal(write(fd, bytes, count), count);
}

static void head_keeps_up_to_its_limit_and_notices_the_byte_too_many(void **state)
{
    struct output_head head;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(output_head_init(&head, 4), 0);

    write_all(ends[1], "abc", 3);
    assert_int_equal(output_head_read(&head, ends[0]), 3);
    assert_int_equal(output_head_read(&head, ends[0]), -EAGAIN);
    write_all(ends[1], "d", 1);
    assert_int_equal(output_head_read(&head, ends[0]), 1);
    assert_false(head.over);
    write_all(ends[1], "e", 1);
    assert_int_equal(output_head_read(&head, ends[0]), 1);
    assert_true(head.over);
    assert_int_equal(output_head_read(&head, ends[0]), 0);
    assert_int_equal(head.length, 4);
    assert_memory_equal(head.bytes, "abcd", 4);

    output_head_fini(&head);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void tail_keeps_the_last_16_kib(void **state)
{
    struct output_tail tail;
    char chunk[1000];
    size_t length = 0;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(output_tail_init(&tail), 0);
    (void)output_tail_text(&tail, &length);
    assert_int_equal(length, 0);

    for (int i = 0; i < 100; i++) {
        memset(chunk, 'a' + i % 26, sizeof(chunk));
        write_all(ends[1], chunk, sizeof(chunk));
        while (output_tail_read(&tail, ends[0]) > 0)
            continue;
    }
    const char *text = output_tail_text(&tail, &length);

    assert_true(tail.cut);
    assert_int_equal(length, OUTPUT_TAIL_BYTES);
    for (size_t i = 0; i < length; i++) {
        size_t at = 100 * sizeof(chunk) - length + i; // in the whole of what was written
        assert_int_equal(text[i], 'a' + (int)(at / sizeof(chunk)) % 26);
    }
    output_tail_fini(&tail);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void a_tail_does_not_begin_within_a_character(void **state)
{
    struct output_tail tail;
    size_t length = 0;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(output_tail_init(&tail), 0);
    for (int i = 0; i < OUTPUT_TAIL_BYTES / 3 + 10; i++)
        write_all(ends[1], "\xE2\x82\xAC", 3);
    while (output_tail_read(&tail, ends[0]) > 0)
        continue;

    const char *text = output_tail_text(&tail, &length);

    assert_int_equal(length % 3, 0);
    assert_true(length > OUTPUT_TAIL_BYTES - 3);
    assert_true(output_is_utf8(text, length));
    output_tail_fini(&tail);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void utf8_is_told_from_other_bytes(void **state)
{
    // clang-format off
    static const struct { const char *bytes; size_t length; const char *text; } rows[] = {
        {"", 0, ""},
        {"plain", 5, "plain"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"a\0b", 3, "a\xEF\xBF\xBD" "b"},
        {"\x80", 1, "\xEF\xBF\xBD"},
        {"\xFF\xFE", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC0\xAF", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},                 // overlong
        {"\xC1\x81", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE0\x80\xAF", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // overlong
        {"\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // a surrogate
        {"\xF4\x90\x80\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82", 2, "\xEF\xBF\xBD"},                             // cut: one mark
        {"\xE2\x82z", 3, "\xEF\xBF\xBDz"},
        {"\xF0\x9F\x98", 3, "\xEF\xBF\xBD"},
        {"\xF0\x8F\x98\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", 10, "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"},
    };
    // clang-format on

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = NULL;
        size_t length = 0;
        assert_int_equal(output_utf8(rows[i].bytes, rows[i].length, &text, &length), 0);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(length, strlen(rows[i].text));
        bool unchanged =
            length == rows[i].length && memcmp(text, rows[i].bytes, rows[i].length) == 0;
        assert_int_equal(output_is_utf8(rows[i].bytes, rows[i].length), unchanged);
        assert_true(output_is_utf8(text, length));
        free(text);
    }
}

static void json_loses_its_white_space_but_strings_and_numbers_do_not(void **state)
{
    char json[] = " {\n\t\"a b\" : [ 1.10 , \"x \\\" , \\\\\" , \" y\" ]\r\n} \n";
    const char *expected = "{\"a b\":[1.10,\"x \\\" , \\\\\",\" y\"]}";

    (void)state;
    size_t length = output_json_compact(json, strlen(json));

    assert_int_equal(length, strlen(expected));
    assert_memory_equal(json, expected, length);
}

static void every_allocation_may_fail(void **state)
{
    struct output_head head;
    struct output_tail tail;
    char *text = NULL;
    size_t length = 0;

    (void)state;
    fault_fail_malloc(1);
    assert_int_equal(output_head_init(&head, 10), -ENOMEM);
    fault_fail_malloc(1);
    assert_int_equal(output_tail_init(&tail), -ENOMEM);
    fault_fail_malloc(1);
    assert_int_equal(output_utf8("x", 1, &text, &length), -ENOMEM);
    assert_null(text);
    fault_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_keeps_up_to_its_limit_and_notices_the_byte_too_many),
        cmocka_unit_test(tail_keeps_the_last_16_kib),
        cmocka_unit_test(a_tail_does_not_begin_within_a_character),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(json_loses_its_white_space_but_strings_and_numbers_do_not),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
