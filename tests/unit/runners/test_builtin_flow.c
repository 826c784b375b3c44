/* The built-ins that run threads of the library: primes and double. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

static void primes_answers_the_squares_of_the_primes(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "primes");
    rig_run(&rig, "{\"limit\":20}");
    rig_assert_succeeded(&rig, "[4,9,25,49,121,169,289,361]");
    assert_true(rig.outcome.result_is_json);
    assert_null(rig.outcome.exec);
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, "[4,9,25,49,121,169,289,361]");
    rig_run(&rig, "{\"limit\":2}");
    rig_assert_succeeded(&rig, "[4]");
    rig_run(&rig, "{\"limit\":3}");
    rig_assert_succeeded(&rig, "[4,9]");
    rig_fini(&rig);
}

static void the_largest_result_of_primes_is_within_64_kib(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "primes");
    rig_run(&rig, "{\"limit\":50000}");
    assert_true(rig.outcome.succeeded);
    assert_in_range(rig.outcome.result_bytes, 50000, 65536);
    assert_int_equal(rig.outcome.result_bytes, strlen(rig.outcome.result));

    json_t *result = json_loads(rig.outcome.result, 0, NULL);
    assert_int_equal(json_array_size(result), 5133); // there are so many primes below 50,000
    assert_int_equal(json_integer_value(json_array_get(result, 5132)),
                     INT64_C(49999) * INT64_C(49999));
    json_decref(result);
    rig_fini(&rig);
}

/* A context that ends soon, by itself or by hand. */
static void end_soon(struct rig *rig)
{
    rn_context_unref(rig->ctx);
    rig->ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, 30 * RN_MILLISECOND, &rig->ctx), 0);
}

static void *cancel_now(void *arg)
{
    rn_context_cancel(arg, 0);
    return NULL;
}

static void primes_ends_with_its_context(void **state)
{
    struct rig rig;
    pthread_t thread;

    (void)state;
    rig_init_builtin(&rig, "primes");
    for (int round = 0; round < 20; round++) {
        rn_context_unref(rig.ctx);
        rig.ctx = NULL;
        assert_int_equal(rn_context_with_cancel(NULL, &rig.ctx), 0);
        assert_int_equal(pthread_create(&thread, NULL, cancel_now, rig.ctx), 0);
        rig_run(&rig, "{\"limit\":50000}");
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (rig.outcome.succeeded)
            continue; // it was faster
        rig_assert_failed(&rig, "cancelled");
    }
    rig_fini(&rig);
}

/* Runs with the nth allocation, then the nth thread failing. */
static void fail_each_in_turn(const char *builtin, const char *args)
{
    void (*const faults[])(int nth) = {fault_fail_malloc, fault_fail_pthread_create};
    struct rig rig;

    rig_init_builtin(&rig, builtin);
    for (size_t kind = 0; kind < 2; kind++) {
        for (int nth = 1;; nth++) {
            faults[kind](nth);
            rig_run(&rig, args);
            if (!fault_reached()) {
                assert_true(rig.outcome.succeeded);
                assert_true(nth > 3);
                break;
            }
            assert_false(rig.outcome.succeeded);
            // The args are read before it runs.
            assert_true(strcmp(rig.outcome.code, "failed") == 0 ||
                        strcmp(rig.outcome.code, "not-started") == 0);
            assert_true(rig.outcome.retryable);
        }
    }
    rig_fini(&rig);
}

static void every_fault_is_a_failure_that_may_be_retried(void **state)
{
    (void)state;
    fail_each_in_turn("primes", "{\"limit\":30}");
    fail_each_in_turn("double", "{\"count\":2}");
}

// ---- double

static json_int_t number_of(const json_t *result, const char *name)
{
    const json_t *number = json_object_get(result, name);

    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

/* The result of a run: all of count, and an error for each that failed; returns how many failed. */
static json_int_t assert_result(const struct rig *rig, json_int_t count, json_int_t processors)
{
    bool seen[1001] = {false};
    size_t index;
    const json_t *error;

    if (!rig->outcome.succeeded)
        fail_msg("failed: %s: %s", rig->outcome.code, rig->outcome.message);
    assert_true(rig->outcome.result_is_json);
    assert_int_equal(rig->outcome.result_bytes, strlen(rig->outcome.result));
    json_t *result = json_loads(rig->outcome.result, 0, NULL);
    assert_int_equal(json_object_size(result), 4);
    json_int_t failed = number_of(result, "failed");
    assert_int_equal(number_of(result, "not_processed"), 0);
    assert_int_equal(number_of(result, "processed") + failed, count);

    const json_t *errors = json_object_get(result, "errors");
    assert_int_equal(json_array_size(errors), failed);
    json_array_foreach (errors, index, error) {
        json_int_t value = number_of(error, "value");
        assert_in_range(value, 1, count);
        assert_false(seen[value]);
        seen[value] = true;
        assert_in_range(number_of(error, "processor"), 1, processors);
        assert_string_equal(json_string_value(json_object_get(error, "detail")),
                            "failed by chance");
    }
    json_decref(result);
    return failed;
}

static void double_counts_all_and_lists_what_failed(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "double");
    rig_run(&rig, "{\"count\":60,\"error_rate\":0.5,\"processors\":16}");
    json_int_t failed = assert_result(&rig, 60, 16);
    assert_in_range(failed, 1, 59); // else one in 2^59
    rig_run(&rig, "{\"count\":20,\"error_rate\":0,\"processors\":16}");
    assert_int_equal(assert_result(&rig, 20, 16), 0);
    rig_run(&rig, "{\"count\":20,\"error_rate\":1,\"processors\":16}");
    assert_int_equal(assert_result(&rig, 20, 16), 20);
    rig_fini(&rig);
}

static void double_sleeps_a_random_time_at_most_100_ms(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "double");
    rn_time began = rn_now();
    rig_run(&rig, "{\"count\":12,\"error_rate\":0,\"processors\":1}");
    rn_duration took = rn_now() - began;
    assert_int_equal(assert_result(&rig, 12, 1), 0);
    assert_true(took > 100 * RN_MILLISECOND); // 0.6 s on average; less than 0.1 s: one in 12!
    rig_fini(&rig);
}

/* "31 processed" in a message; the number before that word. */
static unsigned long long number_before(const char *message, const char *word)
{
    const char *at = strstr(message, word);

    assert_non_null(at);
    while (at > message && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return strtoull(at, NULL, 10);
}

static unsigned long long sum_of(const char *message)
{
    return number_before(message, " processed, ") + number_before(message, " failed") +
           number_before(message, " not processed");
}

static void at_its_timeout_the_numbers_of_double_are_in_the_message(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "double");
    for (int rate = 0; rate < 2; rate++) {
        end_soon(&rig);
        rig_run(&rig, rate == 0 ? "{\"count\":1000,\"error_rate\":0,\"processors\":16}"
                                : "{\"count\":1000,\"error_rate\":1,\"processors\":16}");
        rig_assert_failed(&rig, "timeout");
        assert_true(rig.outcome.retryable);
        assert_int_equal(sum_of(rig.outcome.message), 1000);
        assert_contains(rig.outcome.message, "ran into its timeout: ");
        unsigned long long failed = number_before(rig.outcome.message, " failed");
        if (rate == 0)
            assert_int_equal(failed, 0);
        assert_int_equal(strstr(rig.outcome.message, " (value ") != NULL, failed > 0);
        assert_true(strlen(rig.outcome.message) < 700);
    }
    rig_fini(&rig);
}

static void a_cancelled_double_tells_its_numbers_too(void **state)
{
    struct rig rig;
    pthread_t thread;

    (void)state;
    rig_init_builtin(&rig, "double");
    assert_int_equal(pthread_create(&thread, NULL, cancel_now, rig.ctx), 0);
    rig_run(&rig, "{\"count\":1000}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_assert_failed(&rig, "cancelled");
    if (strcmp(rig.outcome.message, "was cancelled") != 0) // before it began
        assert_int_equal(sum_of(rig.outcome.message), 1000);
    rig_fini(&rig);
}

/* So many failures that not all fit into the message. */
static void a_message_lists_as_many_failures_as_it_has_room_for(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "double");
    rn_context_unref(rig.ctx);
    rig.ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, 700 * RN_MILLISECOND, &rig.ctx), 0);
    rig_run(&rig, "{\"count\":1000,\"error_rate\":1,\"processors\":16}");
    rig_assert_failed(&rig, "timeout");
    assert_int_equal(sum_of(rig.outcome.message), 1000);
    if (number_before(rig.outcome.message, " failed") > 40) {
        assert_contains(rig.outcome.message, ", …), ");
        assert_in_range(strlen(rig.outcome.message), 500, 700);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primes_answers_the_squares_of_the_primes),
        cmocka_unit_test(the_largest_result_of_primes_is_within_64_kib),
        cmocka_unit_test(primes_ends_with_its_context),
        cmocka_unit_test(every_fault_is_a_failure_that_may_be_retried),
        cmocka_unit_test(double_counts_all_and_lists_what_failed),
        cmocka_unit_test(double_sleeps_a_random_time_at_most_100_ms),
        cmocka_unit_test(at_its_timeout_the_numbers_of_double_are_in_the_message),
        cmocka_unit_test(a_cancelled_double_tells_its_numbers_too),
        cmocka_unit_test(a_message_lists_as_many_failures_as_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
