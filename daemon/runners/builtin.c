/*
 * The product's built-ins, for trying things out and for measuring: their table, echo, noop, sleep
 * and fail; primes and double stand in files of their own. Each runs on its worker's thread, some
 * with threads of the library beside it, which have left when it returns, and keeps no state
 * between calls.
 */
#include <stdlib.h>
#include <string.h>

#include "config/units.h"
#include "runners/builtin.h"

enum { FAIL_MESSAGE_MAX = 1024 };

/* The longest length of time that units_duration takes. */
static const double sleep_max_s = 100.0 * 365 * 24 * 3600;

static const char *const sleep_fields[] = {"duration", NULL};
static const char *const fail_fields[] = {"message", "times", NULL};

json_int_t builtin_integer_get(const struct builtin_integer *integer, const json_t *args,
                               struct args_faults *list)
{
    const json_t *value = json_object_get(args, integer->name);

    if (value == NULL || json_is_null(value))
        return integer->otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= integer->min &&
        json_integer_value(value) <= integer->max)
        return json_integer_value(value);
    args_faults_add(list, integer->name,
                    "must be an integer from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT,
                    integer->min, integer->max);
    return integer->otherwise;
}

static void echo_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                     struct outcome *outcome)
{
    (void)ctx;
    (void)args;
    outcome->succeeded = true;
    if (strcmp(attempt->args, "null") == 0)
        return;
    outcome->result = malloc(attempt->args_bytes + 1);
    if (outcome->result == NULL) {
        outcome_fail(outcome, "failed", true, "not enough memory for the result");
        return;
    }
    memcpy(outcome->result, attempt->args, attempt->args_bytes);
    outcome->result[attempt->args_bytes] = '\0';
    outcome->result_bytes = attempt->args_bytes;
    outcome->result_is_json = true;
}

static void noop_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                     struct outcome *outcome)
{
    (void)ctx;
    (void)attempt;
    (void)args;
    outcome->succeeded = true;
}

/* false, and a fault in list: it is no length of time. */
static bool sleep_duration(const json_t *args, struct args_faults *list, rn_duration *ret_duration)
{
    const json_t *duration = json_object_get(args, "duration");

    if (duration == NULL || json_is_null(duration)) {
        args_faults_add(list, "duration", "is required: \"2s\", or a number of seconds");
        return false;
    }
    if (json_is_string(duration)) {
        // A NUL within would hide what stands behind it.
        const char *text = json_string_value(duration);
        if (strlen(text) == json_string_length(duration) && units_duration(text, ret_duration) == 0)
            return true;
    } else if (json_is_number(duration)) {
        double seconds = json_number_value(duration);
        if (seconds >= 0 && seconds <= sleep_max_s) {
            *ret_duration = (rn_duration)(seconds * (double)RN_SECOND);
            return true;
        }
    }
    args_faults_add(list, "duration",
                    "must be a length of time like \"2s\" or \"1m30s\", or a number of seconds, "
                    "at most 100 years");
    return false;
}

static size_t sleep_check(const json_t *args, struct args_fault *ret_faults, size_t max)
{
    struct args_faults list = {.faults = ret_faults, .max = max};
    rn_duration duration = 0;

    if (args_are_object(args, &list)) {
        (void)sleep_duration(args, &list, &duration);
        args_refuse_unknown(args, sleep_fields, &list);
    }
    return list.count;
}

static void sleep_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                      struct outcome *outcome)
{
    struct args_faults list = {.faults = NULL};
    rn_duration duration = 0;

    (void)attempt;
    bool valid = sleep_duration(args, &list, &duration);
    RN_ASSERT(valid); // sleep_check has said so
    int r = rn_sleep(ctx, duration);
    if (r == 0)
        outcome->succeeded = true;
    else
        outcome_stopped(outcome, r);
}

static size_t fail_check(const json_t *args, struct args_fault *ret_faults, size_t max)
{
    struct args_faults list = {.faults = ret_faults, .max = max};

    if (!args_are_object(args, &list))
        return list.count;
    const json_t *message = json_object_get(args, "message");
    if (message != NULL && !json_is_null(message) &&
        (!json_is_string(message) || json_string_length(message) > FAIL_MESSAGE_MAX))
        args_faults_add(&list, "message", "must be a string of at most %d bytes", FAIL_MESSAGE_MAX);
    const json_t *times = json_object_get(args, "times");
    if (times != NULL && !json_is_null(times) &&
        (!json_is_integer(times) || json_integer_value(times) < 0))
        args_faults_add(&list, "times", "must be an integer, 0 or above");
    args_refuse_unknown(args, fail_fields, &list);
    return list.count;
}

static void fail_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                     struct outcome *outcome)
{
    const json_t *message = json_object_get(args, "message");
    const json_t *times = json_object_get(args, "times");

    (void)ctx;
    if (json_is_integer(times) && attempt->number > json_integer_value(times)) {
        outcome->succeeded = true;
        return;
    }
    outcome_fail(outcome, "failed", true, "%s",
                 json_is_string(message) ? json_string_value(message) : "failed on purpose");
}

const struct builtin builtin_table[] = {
    {.name = "echo", .run_fn = echo_run, .takes_text = true},
    {.name = "noop", .run_fn = noop_run, .takes_text = true},
    {.name = "sleep", .run_fn = sleep_run, .check_fn = sleep_check},
    {.name = "fail", .run_fn = fail_run, .check_fn = fail_check},
    {.name = "primes", .run_fn = primes_run, .check_fn = primes_check},
    {.name = "double", .run_fn = double_run, .check_fn = double_check},
    {.name = NULL},
};
