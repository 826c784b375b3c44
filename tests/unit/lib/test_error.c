/* Errors, clocks, ownership marks, version. */
#include <runnel/error.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel.h>

#include "crash.h"
#include "unit.h"

static void every_error_of_the_table_has_words_of_its_own(void **state)
{
    (void)state;
    const int errors[] = {0,       -EAGAIN, -EPIPE,  -ECANCELED, -ETIMEDOUT, -ENOMEM,
                          -EINVAL, -ENOENT, -ESTALE, -EMSGSIZE,  -ENOSPC};
    const size_t count = sizeof(errors) / sizeof(errors[0]);

    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(rn_strerror(errors[i]), "");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rn_strerror(errors[i]), rn_strerror(errors[j]));
    }
    assert_string_equal(rn_strerror(-EPIPE), "closed");
}

static void other_errors_have_the_words_of_the_system(void **state)
{
    (void)state;
    assert_string_equal(rn_strerror(-EACCES), "Permission denied");
    assert_string_equal(rn_strerror(-EMFILE), "Too many open files");
}

static void numbers_that_are_no_errors_are_named(void **state)
{
    (void)state;
    assert_string_equal(rn_strerror(7), "unknown error 7");
    assert_string_equal(rn_strerror(-4095), "unknown error -4095");
    assert_string_equal(rn_strerror(INT_MIN), "unknown error -2147483648");
}

static void break_a_rule(void *arg)
{
    (void)arg;
    RN_ASSERT(1 + 1 == 3);
}

static void a_failed_assertion_names_itself_and_aborts(void **state)
{
    (void)state;
    assert_true(aborts_with("assertion '1 + 1 == 3' failed in thread", break_a_rule, NULL));
    assert_true(aborts_with("test_error.c:", break_a_rule, NULL));
}

static void take_leaves_null(void **state)
{
    (void)state;
    int number = 1;
    int *owner = &number;

    int *next = RN_TAKE(owner);

    assert_ptr_equal(next, &number);
    assert_null(owner);
}

static void add_one(int **counter)
{
    ++**counter;
}

static void cleanup_runs_at_the_end_of_the_scope(void **state)
{
    (void)state;
    int count = 0;
    {
        RN_AUTO(add_one) int *counter = &count;
        assert_int_equal(*counter, 0);
    }
    assert_int_equal(count, 1);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    rn_time before = rn_now();
    assert_true(before > 0);
    for (int i = 0; i < 1000; i++) {
        rn_time now = rn_now();
        assert_true(now >= before);
        before = now;
    }
}

static void after_adds_and_does_not_overflow(void **state)
{
    (void)state;
    rn_time now = rn_now();
    assert_true(rn_after(RN_HOUR) >= now + RN_HOUR);
    assert_true(rn_after(RN_HOUR) < now + 2 * RN_HOUR);
    assert_true(rn_after(INT64_MAX) == RN_NEVER);
    assert_true(rn_after(INT64_MAX - 1) == RN_NEVER);
    assert_true(rn_after(0) <= rn_now());
    assert_true(rn_after(-RN_HOUR) >= now);
}

static void the_wall_clock_is_in_milliseconds_of_this_century(void **state)
{
    (void)state;
    assert_true(rn_wall_ms() > 1577836800000); // 2020
    assert_true(rn_wall_ms() < 4102444800000); // 2100
}

static void the_library_has_the_version_of_its_headers(void **state)
{
    (void)state;
    assert_string_equal(rn_version(), RN_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_of_the_table_has_words_of_its_own),
        cmocka_unit_test(other_errors_have_the_words_of_the_system),
        cmocka_unit_test(numbers_that_are_no_errors_are_named),
        cmocka_unit_test(a_failed_assertion_names_itself_and_aborts),
        cmocka_unit_test(take_leaves_null),
        cmocka_unit_test(cleanup_runs_at_the_end_of_the_scope),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(after_adds_and_does_not_overflow),
        cmocka_unit_test(the_wall_clock_is_in_milliseconds_of_this_century),
        cmocka_unit_test(the_library_has_the_version_of_its_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
