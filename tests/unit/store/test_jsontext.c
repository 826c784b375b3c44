/* JSON read with each of its allocations failing: never the text's fault. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_is_told_from_a_fault_of_the_text),
        cmocka_unit_test(a_fault_of_the_text_stays_one_after_a_failed_allocation),
    };
    return cmocka_run_group_tests_name("jsontext", tests, NULL, NULL);
}
