/* Tables fitted to a width, and the text in them made harmless. */
#include "unit.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/text.h"
#include "fault.h"

static const struct table_column columns[] = {
    {"ID", true, 0, 0}, {"KIND", false, 5, 0}, {"NOTE", false, 6, 2}};

static void expect_table(const char *const *cells, size_t count, size_t width, const char *wanted)
{
    struct table *table = NULL;
    char *text = NULL;
    size_t length = 0;

    assert_int_equal(table_new(columns, 3, &table), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(table_add(table, cells[i], TABLE_RED), 0);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    table_print(table, out, width, false);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, wanted);
    free(text);
    table_free(table);
}

static void columns_are_as_wide_as_their_cells(void **state)
{
    (void)state;
    expect_table((const char *[]){"1", "echo", "", "1000", "checksum", "exit status 1"}, 6, 0,
                 "  ID  KIND      NOTE\n"
                 "   1  echo\n"
                 "1000  checksum  exit status 1\n");
    expect_table(NULL, 0, 80, "ID  KIND  NOTE\n");
}

static void what_is_too_wide_is_cut_then_left_out(void **state)
{
    (void)state;
    const char *const cells[] = {"1", "checksum", "exit status 1"};

    expect_table(cells, 3, 27,
                 "ID  KIND      NOTE\n"
                 " 1  checksum  exit status 1\n");
    expect_table(cells, 3, 26,
                 "ID  KIND      NOTE\n"
                 " 1  checksum  exit status…\n");
    expect_table(cells, 3, 17,
                 "ID  KIND   NOTE\n"
                 " 1  chec…  exit …\n");
    expect_table(cells, 3, 16,
                 "ID  KIND\n"
                 " 1  checksum\n");
    expect_table(cells, 3, 9,
                 "ID  KIND\n"
                 " 1  chec…\n");
    expect_table(cells, 3, 1,
                 "ID  KIND\n"
                 " 1  chec…\n");
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    expect_table((const char *[]){"1", "日本語", "é"}, 3, 0,
                 "ID  KIND    NOTE\n"
                 " 1  日本語  é\n");
    // The third one would begin in the last column: a space stands there.
    expect_table((const char *[]){"1", "日本語", ""}, 3, 9,
                 "ID  KIND\n"
                 " 1  日本…\n");
}

static void expect_safe(const char *text, size_t length, const char *keep, const char *wanted)
{
    char *safe = NULL;

    assert_int_equal(text_safe(text, length, keep, &safe), 0);
    assert_string_equal(safe, wanted);
    free(safe);
}

static void no_text_is_a_command_to_the_terminal(void **state)
{
    (void)state;
    expect_safe("\033[31mred\a\n", 10, "\n", "\\u001b[31mred\\u0007\n");
    expect_safe("a\nb", 3, "", "a\\u000ab");
    expect_safe("a\0b", 3, "\n\t", "a\\u0000b");
    expect_safe("\x7f", 1, "", "\\u007f");
    expect_safe("\xc2\x9b"
                "31m",
                5, "", "\\u009b31m"); // CSI in one character
    expect_safe("\xe2\x80\xae"
                "cod",
                6, "", "\\u202ecod"); // from right to left
    expect_safe("\xff\xc3(\xe2\x82", 5, "", "\\u00ff\\u00c3(\\u00e2\\u0082");
    expect_safe("\xc0\x80\xed\xa0\x80", 5, "", "\\u00c0\\u0080\\u00ed\\u00a0\\u0080");
    expect_safe("grün 日 🙂", 14, "", "grün 日 🙂");
}

static void colours_do_not_count_as_width(void **state)
{
    (void)state;
    struct table *table = NULL;
    char *text = NULL;
    size_t length = 0;

    assert_int_equal(table_new(columns, 3, &table), 0);
    assert_int_equal(table_add(table, "1", TABLE_PLAIN), 0);
    assert_int_equal(table_add(table, "echo", TABLE_GREEN), 0);
    assert_int_equal(table_add(table, "\033[1mx", TABLE_DIM), 0);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    table_print(table, out, 80, true);
    assert_int_equal(fclose(out), 0);

    assert_string_equal(text, "\033[1mID\033[0m  \033[1mKIND\033[0m  \033[1mNOTE\033[0m\n"
                              " 1  \033[32mecho\033[0m  \033[2m\\u001b[1mx\033[0m\n");
    free(text);
    table_free(table);
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct table *table = NULL;
        fault_fail_malloc(nth);
        int r = table_new(columns, 3, &table);
        for (int i = 0; r == 0 && i < 99; i++) // more than its first room
            r = table_add(table, "text", TABLE_PLAIN);
        bool reached = fault_reached();
        table_free(table);
        assert_int_equal(r, reached ? -ENOMEM : 0);
        if (!reached)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_cells),
        cmocka_unit_test(what_is_too_wide_is_cut_then_left_out),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(no_text_is_a_command_to_the_terminal),
        cmocka_unit_test(colours_do_not_count_as_width),
        cmocka_unit_test(a_lack_of_memory_is_told),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
