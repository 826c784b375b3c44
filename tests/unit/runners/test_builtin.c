/* The built-ins, through the runner's own door. */
#include "rig.h"

#include <string.h>

#include "fault.h"

static size_t check(const char *builtin, const char *args, struct args_fault *ret_faults)
{
    struct config_kind kind = {.runs = CONFIG_RUNS_BUILTIN};
    json_error_t error;

    (void)snprintf(kind.builtin, sizeof(kind.builtin), "%s", builtin);
    json_t *json = json_loads(args, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    assert_non_null(json);
    size_t count = runner_check_args(&kind, json, NULL, 0, ret_faults, 4);
    json_decref(json);
    return count;
}

static void the_table_has_six_names(void **state)
{
    (void)state;
    const char *const *names = runner_builtins();
    static const char *const wanted[] = {"echo", "noop", "sleep", "fail", "primes", "double"};

    for (size_t i = 0; i < 6; i++)
        assert_string_equal(names[i], wanted[i]);
    assert_null(names[6]);
}

static void echo_answers_its_args_byte_for_byte(void **state)
{
    static const char *const values[] = {"{\"a\":1.10,\"b\":[\"\\u00e9\",null]}", "[]", "\"x\"",
                                         "1e3", "false"};
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "echo");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        rig_run(&rig, values[i]);
        rig_assert_succeeded(&rig, values[i]);
        assert_true(rig.outcome.result_is_json);
        assert_null(rig.outcome.exec);
    }
    rig_run(&rig, "null");
    rig_assert_succeeded(&rig, NULL);
    rig_fini(&rig);
}

static void echo_without_memory_fails_and_may_be_retried(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "echo");
    fault_fail_malloc(1);
    rig_run(&rig, "[1]");
    assert_true(fault_reached());
    rig_assert_failed(&rig, "failed");
    assert_true(rig.outcome.retryable);
    rig_fini(&rig);
}

static void noop_answers_null_to_anything(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "noop");
    rig_run(&rig, "{\"a\":[1,2]}");
    rig_assert_succeeded(&rig, NULL);
    rig_fini(&rig);
}

static void sleep_takes_texts_and_numbers(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "sleep");
    rn_time began = rn_now();
    rig_run(&rig, "{\"duration\":\"20ms\"}");
    rig_assert_succeeded(&rig, NULL);
    assert_true(rn_now() - began >= 20 * RN_MILLISECOND);
    began = rn_now();
    rig_run(&rig, "{\"duration\":0.02}");
    rig_assert_succeeded(&rig, NULL);
    assert_true(rn_now() - began >= 20 * RN_MILLISECOND);
    rig_run(&rig, "{\"duration\":0}");
    rig_assert_succeeded(&rig, NULL);
    rig_fini(&rig);
}

static void *cancel_soon(void *arg)
{
    rn_context_cancel(arg, 0);
    return NULL;
}

static void sleep_ends_with_its_context(void **state)
{
    struct rig rig;
    pthread_t thread;
    rn_context *timeout = NULL;

    (void)state;
    rig_init_builtin(&rig, "sleep");
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, rig.ctx), 0);
    rig_run(&rig, "{\"duration\":\"1h\"}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_assert_failed(&rig, "cancelled");

    assert_int_equal(rn_context_with_timeout(NULL, 10 * RN_MILLISECOND, &timeout), 0);
    rn_context_unref(rig.ctx);
    rig.ctx = timeout;
    rig_run(&rig, "{\"duration\":\"1h\"}");
    rig_assert_failed(&rig, "timeout");
    assert_true(rig.outcome.retryable);
    rig_fini(&rig);
}

static void nothing_starts_under_a_context_that_has_ended(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "noop");
    rn_context_cancel(rig.ctx, 0);
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "cancelled");
    rig_fini(&rig);
}

static void fail_fails_as_often_as_it_is_told(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "fail");
    for (unsigned attempt = 1; attempt <= 4; attempt++) {
        rig.attempt.number = attempt;
        rig_run(&rig, "{\"message\":\"no luck\",\"times\":2}");
        if (attempt > 2) {
            rig_assert_succeeded(&rig, NULL);
            continue;
        }
        rig_assert_failed(&rig, "failed");
        assert_string_equal(rig.outcome.message, "no luck");
        assert_true(rig.outcome.retryable);
    }
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "failed");
    rig_run(&rig, "{\"times\":0}");
    rig_assert_succeeded(&rig, NULL);
    rig_fini(&rig);
}

static void bad_args_are_told_by_their_place(void **state)
{
    // clang-format off
    static const struct { const char *builtin, *args, *pointer, *detail; } rows[] = {
        {"sleep", "null", "#/args/duration", "is required"},
        {"sleep", "{}", "#/args/duration", "is required"},
        {"sleep", "{\"duration\":null}", "#/args/duration", "is required"},
        {"sleep", "[]", "#/args", "must be an object"},
        {"sleep", "\"2s\"", "#/args", "must be an object"},
        {"sleep", "{\"duration\":\"\"}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":\"2 s\"}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":\"2s\\u0000\"}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":true}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":[1]}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":-1}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":-0.001}", "#/args/duration", "length of time"},
        {"sleep", "{\"duration\":1e300}", "#/args/duration", "at most 100 years"},
        {"sleep", "{\"duration\":1,\"x\":2}", "#/args/x", "no field"},
        {"fail", "{\"message\":1}", "#/args/message", "string"},
        {"fail", "{\"times\":-1}", "#/args/times", "integer"},
        {"fail", "{\"times\":1.5}", "#/args/times", "integer"},
        {"fail", "{\"times\":\"1\"}", "#/args/times", "integer"},
        {"fail", "{\"time\":1}", "#/args/time", "did you mean 'times'?"},
        {"fail", "1", "#/args", "must be an object"},
        {"primes", "[20]", "#/args", "must be an object"},
        {"primes", "{\"limit\":1}", "#/args/limit", "must be an integer from 2 to 50000"},
        {"primes", "{\"limit\":50001}", "#/args/limit", "must be an integer from 2 to 50000"},
        {"primes", "{\"limit\":20.0}", "#/args/limit", "must be an integer"},
        {"primes", "{\"limit\":\"20\"}", "#/args/limit", "must be an integer"},
        {"primes", "{\"limits\":20}", "#/args/limits", "did you mean 'limit'?"},
        {"double", "100", "#/args", "must be an object"},
        {"double", "{\"count\":0}", "#/args/count", "must be an integer from 1 to 1000"},
        {"double", "{\"count\":1001}", "#/args/count", "must be an integer from 1 to 1000"},
        {"double", "{\"error_rate\":-0.1}", "#/args/error_rate", "must be a number from 0 to 1"},
        {"double", "{\"error_rate\":1.1}", "#/args/error_rate", "must be a number from 0 to 1"},
        {"double", "{\"error_rate\":\"0.1\"}", "#/args/error_rate", "must be a number"},
        {"double", "{\"processors\":0}", "#/args/processors", "must be an integer from 1 to 16"},
        {"double", "{\"processors\":17}", "#/args/processors", "must be an integer from 1 to 16"},
        {"double", "{\"counts\":1}", "#/args/counts", "did you mean 'count'?"},
    };
    // clang-format on
    struct args_fault faults[4];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(check(rows[i].builtin, rows[i].args, faults), 1);
        assert_string_equal(faults[0].pointer, rows[i].pointer);
        assert_contains(faults[0].detail, rows[i].detail);
    }
    assert_int_equal(check("fail", "{\"times\":-1,\"message\":2,\"x\":3}", faults), 3);
    assert_int_equal(
        check("double", "{\"count\":-1,\"error_rate\":2,\"processors\":0,\"x\":1}", faults), 4);
}

static void good_args_have_no_fault(void **state)
{
    struct args_fault faults[4];

    (void)state;
    assert_int_equal(check("echo", "[1,{}]", faults), 0);
    assert_int_equal(check("noop", "null", faults), 0);
    assert_int_equal(check("sleep", "{\"duration\":\"1m30s\"}", faults), 0);
    assert_int_equal(check("sleep", "{\"duration\":1.5}", faults), 0);
    assert_int_equal(check("fail", "null", faults), 0);
    assert_int_equal(check("fail", "{}", faults), 0);
    assert_int_equal(check("fail", "{\"message\":null,\"times\":null}", faults), 0);
    assert_int_equal(check("fail", "{\"message\":\"\",\"times\":3}", faults), 0);
    assert_int_equal(check("primes", "null", faults), 0);
    assert_int_equal(check("primes", "{\"limit\":null}", faults), 0);
    assert_int_equal(check("primes", "{\"limit\":2}", faults), 0);
    assert_int_equal(check("primes", "{\"limit\":50000}", faults), 0);
    assert_int_equal(check("double", "null", faults), 0);
    assert_int_equal(check("double", "{\"count\":1,\"error_rate\":0,\"processors\":1}", faults), 0);
    assert_int_equal(
        check("double", "{\"count\":1000,\"error_rate\":1.0,\"processors\":16}", faults), 0);
}

static void args_that_no_longer_fit_are_refused_at_the_start(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_builtin(&rig, "sleep");
    rig_run(&rig, "{\"duration\":\"soon\"}");
    rig_assert_failed(&rig, "invalid-args");
    assert_false(rig.outcome.retryable);
    assert_contains(rig.outcome.message, "args/duration must be a length of time");
    rig_run(&rig, "{\"duration\":");
    rig_assert_failed(&rig, "invalid-args");
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_six_names),
        cmocka_unit_test(echo_answers_its_args_byte_for_byte),
        cmocka_unit_test(echo_without_memory_fails_and_may_be_retried),
        cmocka_unit_test(noop_answers_null_to_anything),
        cmocka_unit_test(sleep_takes_texts_and_numbers),
        cmocka_unit_test(sleep_ends_with_its_context),
        cmocka_unit_test(nothing_starts_under_a_context_that_has_ended),
        cmocka_unit_test(fail_fails_as_often_as_it_is_told),
        cmocka_unit_test(bad_args_are_told_by_their_place),
        cmocka_unit_test(good_args_have_no_fault),
        cmocka_unit_test(args_that_no_longer_fit_are_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
