/* The failures of the last hour, at instants that the test gives. */
#include "engine/core.h"
#include "unit.h"

static struct failures failures;

static int setup(void **state)
{
    (void)state;
    failures = (struct failures){.count = {0}};
    failures_init(&failures);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    failures_fini(&failures);
    return 0;
}

static void what_failed_within_the_hour_is_counted(void **state)
{
    (void)state;
    const rn_time begin = 1000 * RN_HOUR;

    assert_int_equal(failures_count(&failures, begin), 0);
    failures_add(&failures, begin);
    failures_add(&failures, begin + 30 * RN_MINUTE);
    failures_add(&failures, begin + 30 * RN_MINUTE + RN_SECOND);

    assert_int_equal(failures_count(&failures, begin + 59 * RN_MINUTE), 3);
    assert_int_equal(failures_count(&failures, begin + 60 * RN_MINUTE), 2);
    assert_int_equal(failures_count(&failures, begin + 89 * RN_MINUTE), 2);
    assert_int_equal(failures_count(&failures, begin + 90 * RN_MINUTE), 0);
}

static void a_place_is_used_again_after_an_hour(void **state)
{
    (void)state;
    const rn_time begin = 2000 * RN_HOUR;

    failures_add(&failures, begin);
    failures_add(&failures, begin + RN_HOUR);

    assert_int_equal(failures_count(&failures, begin + RN_HOUR), 1);
}

static void right_after_the_boot_nothing_has_failed(void **state)
{
    (void)state;
    assert_int_equal(failures_count(&failures, 0), 0);
    failures_add(&failures, RN_SECOND);
    assert_int_equal(failures_count(&failures, 59 * RN_MINUTE), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_failed_within_the_hour_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_is_used_again_after_an_hour, setup, teardown),
        cmocka_unit_test_setup_teardown(right_after_the_boot_nothing_has_failed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
