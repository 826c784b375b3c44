/* What the words behind a kind become. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/raw.h"
#include "cli/values.h"
#include "config/units.h"
#include "fault.h"

static void expect_object(char *const *words, size_t count, const char *wanted)
{
    struct error error;
    char *json = NULL;

    assert_int_equal(values_object(words, count, &json, &error), 0);
    assert_string_equal(json, wanted);
    free(json);
}

static void expect_fault(char *const *words, size_t count, const char *wanted)
{
    struct error error;
    char *json = NULL;

    assert_int_equal(values_object(words, count, &json, &error), -EINVAL);
    assert_null(json);
    assert_string_equal(error.text, wanted);
}

static void words_become_an_object(void **state)
{
    (void)state;
    expect_object(NULL, 0, "{}");
    expect_object((char *[]){"path=/etc/hostname"}, 1, "{\"path\":\"/etc/hostname\"}");
    expect_object((char *[]){"a=", "b=x=y", "c==", "d:=[1, {\"e\":null}]"}, 4,
                  "{\"a\":\"\",\"b\":\"x=y\",\"c\":\"=\",\"d\":[1, {\"e\":null}]}");
    expect_object((char *[]){"q=say \"hi\"\n", "a:b=c"}, 2,
                  "{\"q\":\"say \\\"hi\\\"\\n\",\"a:b\":\"c\"}");
}

static void a_number_keeps_its_digits(void **state)
{
    (void)state;
    expect_object((char *[]){"n:=123456789012345678901234567890", "m:=0.10"}, 2,
                  "{\"n\":123456789012345678901234567890,\"m\":0.10}");
}

static void what_is_no_value_is_named(void **state)
{
    (void)state;
    expect_fault((char *[]){"path"}, 1,
                 "'path' is no name=value (a text) and no name:=value (JSON)");
    expect_fault((char *[]){"=x"}, 1, "'=x' is no name=value (a text) and no name:=value (JSON)");
    expect_fault((char *[]){":=1"}, 1, "':=1' is no name=value (a text) and no name:=value (JSON)");
    expect_fault((char *[]){"a=1", "b=2", "a:=3"}, 3, "a is there twice");
    expect_fault((char *[]){"n:=123456789012345678901,\"m\":1"}, 1,
                 "'n:=123456789012345678901,\"m\":1': what stands after := is no JSON; use = for a "
                 "text");
    expect_fault((char *[]){"a:=1e400"}, 1,
                 "'a:=1e400': what stands after := is no JSON; use = for a text");
    expect_fault((char *[]){"a:=x"}, 1,
                 "'a:=x': what stands after := is no JSON; use = for a text");
    // Nothing gets out of its value.
    expect_fault((char *[]){"a:=1},\"kind\":\"b\""}, 1,
                 "'a:=1},\"kind\":\"b\"': what stands after := is no JSON; use = for a text");
    expect_fault((char *[]){"a=\xff"}, 1, "a value is not UTF-8");
}

static void a_lack_of_memory_is_told(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct error error;
        char *json = NULL;
        fault_fail_malloc(nth);
        int r = values_object((char *[]){"a=1", "b:=2"}, 2, &json, &error);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            free(json);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(json);
    }
    fault_reset();
}

static void a_time_is_rfc_3339_or_local(void **state)
{
    (void)state;
    const int64_t noon_ms = 1798545600000; // 2026-12-29T12:00:00Z
    char text[UNITS_INSTANT_BYTES];

    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    assert_int_equal(values_instant("2026-12-24T18:30:00+01:00", noon_ms, text), 0);
    assert_string_equal(text, "2026-12-24T17:30:00.000Z");
    assert_int_equal(values_instant("2026-12-24 18:30", noon_ms, text), 0);
    assert_string_equal(text, "2026-12-24T18:30:00.000Z");
    assert_int_equal(values_instant("2026-12-24 18:30:05", noon_ms, text), 0);
    assert_string_equal(text, "2026-12-24T18:30:05.000Z");
    assert_int_equal(values_instant("18:30", noon_ms, text), 0);
    assert_string_equal(text, "2026-12-29T18:30:00.000Z");
    assert_int_equal(values_instant("11:59", noon_ms, text), 0);
    assert_string_equal(text, "2026-12-30T11:59:00.000Z");
    assert_int_equal(values_instant("soon", noon_ms, text), -EINVAL);
    assert_int_equal(values_instant("", noon_ms, text), -EINVAL);
    assert_int_equal(values_instant("18:30x", noon_ms, text), -EINVAL);
}

static void expect_raw(const char *text, const char *name, const char *wanted)
{
    size_t length = 0;
    const char *raw = raw_member(text, strlen(text), name, &length);

    if (wanted == NULL) {
        assert_null(raw);
        return;
    }
    assert_non_null(raw);
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(raw, wanted, length);
}

static void a_member_is_found_as_it_was_sent(void **state)
{
    (void)state;
    const char *text =
        "{\"a\": {\"args\":1}, \"b\\\"\":\"x,}\\\\\", \"args\" : [1.50, {\"c\":\"]\"}] , "
        "\"n\":12345678901234567890123, \"s\":\"\",\"z\":null}\n";

    expect_raw(text, "args", "[1.50, {\"c\":\"]\"}]");
    expect_raw(text, "a", "{\"args\":1}");
    expect_raw(text, "n", "12345678901234567890123");
    expect_raw(text, "s", "\"\"");
    expect_raw(text, "z", "null");
    expect_raw(text, "c", NULL);
    expect_raw("{}", "a", NULL);
    expect_raw("[1]", "a", NULL);
    expect_raw("", "a", NULL);
    // Cut anywhere, it reads nothing behind the end.
    for (size_t length = 0; length < strlen(text); length++) {
        char *cut = malloc(length == 0 ? 1 : length);
        size_t found = 0;
        assert_non_null(cut);
        memcpy(cut, text, length);
        const char *raw = raw_member(cut, length, "z", &found);
        assert_true(raw == NULL || found <= length);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_an_object),
        cmocka_unit_test(a_number_keeps_its_digits),
        cmocka_unit_test(what_is_no_value_is_named),
        cmocka_unit_test(a_lack_of_memory_is_told),
        cmocka_unit_test(a_time_is_rfc_3339_or_local),
        cmocka_unit_test(a_member_is_found_as_it_was_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
