/* Records and texts. */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "store/record.h"
#include "unit.h"

static void a_text_is_copied_with_a_nul_behind_it(void **state)
{
    struct text text = {0};
    char source[] = {'a', 'b', 'c'};
    (void)state;

    assert_int_equal(text_set(&text, source, sizeof(source)), 0);
    source[0] = 'x';

    assert_int_equal(text.length, 3);
    assert_string_equal(text.bytes, "abc");
    text_fini(&text);
    assert_null(text.bytes);
}

static void an_empty_text_is_a_value_and_null_is_none(void **state)
{
    struct text text = {0};
    (void)state;
    assert_int_equal(text_set(&text, "", 0), 0);
    assert_non_null(text.bytes);
    assert_int_equal(text_set(&text, NULL, 0), 0);
    assert_null(text.bytes);
}

static void without_memory_a_text_stays_as_it_was(void **state)
{
    struct text text = {0};
    (void)state;
    assert_int_equal(text_set(&text, "old", 3), 0);

    fault_fail_malloc(1);
    int r = text_set(&text, "new", 3);

    assert_true(fault_reached());
    assert_int_equal(r, -ENOMEM);
    assert_string_equal(text.bytes, "old");
    text_fini(&text);
}

static void a_record_is_empty_after_fini_and_null_is_allowed(void **state)
{
    struct record record;
    struct record empty;
    (void)state;
    memset(&empty, 0, sizeof(empty));
    record_init(&record);
    record.id = 7;
    struct text *texts[] = {&record.args,          &record.tags, &record.result,
                            &record.error_message, &record.exec, &record.history};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(text_set(texts[i], "1234567", 7), 0);

    assert_int_equal(record_bytes(&record), sizeof(record) + 6 * 8);
    record_fini(&record);

    assert_memory_equal(&record, &empty, sizeof(record));
    record_fini(NULL);
    record_free(NULL);
}

static void keys_are_ordered_by_priority_down_and_id_up(void **state)
{
    // In the order in which they run.
    static const struct queue_key keys[] = {{100, 9}, {5, 1}, {5, 2}, {0, 1}, {-100, 1}};
    const int count = (int)(sizeof(keys) / sizeof(keys[0]));
    (void)state;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            int sign = queue_key_compare(keys[i], keys[j]);
            assert_int_equal(sign < 0 ? -1 : sign > 0, i < j ? -1 : i > j);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_copied_with_a_nul_behind_it),
        cmocka_unit_test(an_empty_text_is_a_value_and_null_is_none),
        cmocka_unit_test(without_memory_a_text_stays_as_it_was),
        cmocka_unit_test(a_record_is_empty_after_fini_and_null_is_allowed),
        cmocka_unit_test(keys_are_ordered_by_priority_down_and_id_up),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
