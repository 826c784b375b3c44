#include <errno.h>
#include <string.h>

#include "observe/error.h"
#include "unit.h"

static void code_is_returned_and_the_text_filled(void **state)
{
    (void)state;
    struct error error = {.line = 7};

    assert_int_equal(error_set(&error, -ENOENT, "no %s in %d", "x", 5), -ENOENT);
    assert_int_equal(error.code, -ENOENT);
    assert_int_equal(error.line, 0);
    assert_string_equal(error.text, "no x in 5");
}

static void nobody_has_to_ask_for_the_text(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, -EINVAL, "no %s", "x"), -EINVAL);
}

static void text_is_one_line(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(error_set(&error, -EINVAL, "a\nb\x1b[0m\x7f%s", "c\r"), -EINVAL);
    assert_string_equal(error.text, "a?b?[0m?c?");
}

/* Cut at each place within characters of two, three and four bytes. */
static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t i = 0; i < 4; i++) {
        size_t bytes = strlen(characters[i]);
        for (size_t shift = 0; shift < bytes; shift++) {
            char text[2000] = "";
            memset(text, 'a', shift);
            for (size_t at = shift; at < 1000; at += bytes)
                memcpy(text + at, characters[i], bytes + 1);
            struct error error;
            assert_int_equal(error_set(&error, -EINVAL, "%s", text), -EINVAL);

            size_t length = strlen(error.text);
            assert_int_equal((length - shift) % bytes, 0);
            assert_true(length > sizeof(error.text) - 1 - bytes && length < sizeof(error.text));
            assert_memory_equal(error.text, text, length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_is_returned_and_the_text_filled),
        cmocka_unit_test(nobody_has_to_ask_for_the_text),
        cmocka_unit_test(text_is_one_line),
        cmocka_unit_test(long_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
