/* JSON read with each of its allocations failing: never the text's fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "store/jsontext.h"
#include "unit.h"

static const char sound[] = "{\"a\":[1,2.5,\"text\",null],\"b\":{\"c\":\"\\u00e4\"},\"d\":true}";

static void a_failed_allocation_is_told_from_a_fault_of_the_text(void **state)
{
    (void)state;
    int nth = 1;
    for (;; nth++) {
        json_error_t error = {.position = 0};
        fault_fail_malloc(nth);
        json_t *json = jsontext_read(sound, strlen(sound), JSON_REJECT_DUPLICATES, &error);
        if (!fault_reached()) {
            assert_non_null(json);
            json_decref(json);
            break;
        }
        assert_null(json);
        assert_int_equal(json_error_code(&error), json_error_out_of_memory);
    }
    assert_in_range(nth, 10, 1000);
}

static void a_fault_of_the_text_stays_one_after_a_failed_allocation(void **state)
{
    (void)state;
    json_error_t error = {.position = 0};
    fault_fail_malloc(1);
    assert_null(jsontext_read(sound, strlen(sound), 0, &error));
    assert_true(fault_reached());

    assert_null(jsontext_read("{\"a\":}", 6, 0, &error));

    assert_int_equal(json_error_code(&error), json_error_invalid_syntax);
}

static void what_is_written_is_whole_or_nothing(void **state)
{
    (void)state;
    json_error_t error;
    json_t *json = json_object();
    for (int i = 0; i < 40; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "member-%d", i);
        assert_int_equal(json_object_set_new(json, name, json_true()), 0);
    }

    int nth = 1;
    for (;; nth++) {
        fault_fail_malloc(nth);
        char *text = jsontext_write(json, JSON_COMPACT);
        if (!fault_reached()) {
            json_t *again = jsontext_read(text, strlen(text), 0, &error);
            assert_true(json_equal(json, again));
            json_decref(again);
            free(text);
            break;
        }
        assert_null(text);
    }
    assert_in_range(nth, 4, 1000);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_is_told_from_a_fault_of_the_text),
        cmocka_unit_test(a_fault_of_the_text_stays_one_after_a_failed_allocation),
        cmocka_unit_test(what_is_written_is_whole_or_nothing),
    };
    return cmocka_run_group_tests_name("jsontext", tests, NULL, NULL);
}
