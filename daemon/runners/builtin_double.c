/*
 * The built-in double: the numbers from 1 to args.count go to args.processors processors, by a fan
 * of librunnel. Each is doubled after a random short sleep, or fails, with the probability
 * args.error_rate. The result counts both and lists the failures:
 *
 *     {"processed": 1, "failed": 1, "not_processed": 0,
 *      "errors": [{"value": 2, "processor": 1, "detail": "failed by chance"}]}
 *
 * Only a task that succeeds has a result. Of an attempt that ran into its timeout the error's
 * message tells the numbers: they add up to count then too, and the attempt's history keeps it.
 *
 * A number's chance follows from a seed of the attempt and from the number, so the processors share
 * no state.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <runnel/fan.h>

#include "runners/builtin.h"
#include "store/jsontext.h"

enum {
    COUNT_MAX = 1000, // so that the result stays below 64 KiB when all of them fail
    PROCESSORS_MAX = 16,
    LISTED_BYTES = 512, // of failures in the message of an attempt that was stopped
};

static const double error_rate_default = 0.1;
static const rn_duration longest_sleep = 100 * RN_MILLISECOND;

static const struct builtin_integer count_field = {"count", 1, COUNT_MAX, 100};
static const struct builtin_integer processors_field = {"processors", 1, PROCESSORS_MAX, 3};
static const char *const double_fields[] = {"count", "error_rate", "processors", NULL};

struct doubling {
    int count;
    double error_rate;
    uint64_t seed;
    json_t *errors; // as in the result; the worker's thread
};

/* A random number for a value: SplitMix64 (Steele, Lea, Flood 2014), its step taken with the value
 * and one of the numbers that a value needs. */
static uint64_t random_of(const struct doubling *doubling, int value, unsigned which)
{
    uint64_t z = doubling->seed + UINT64_C(0x9e3779b97f4a7c15) * (2 * (uint64_t)value + which);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From 0 up to, but without, 1. */
static double fraction_of(const struct doubling *doubling, int value, unsigned which)
{
    return (double)(random_of(doubling, value, which) >> 11) / (double)(UINT64_C(1) << 53);
}

static int generate(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    const struct doubling *doubling = arg;

    (void)ctx;
    for (int value = 1; value <= doubling->count; value++) {
        int r = rn_emit(emitter, &value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int process(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out)
{
    const struct doubling *doubling = arg;
    int value = *(const int *)in;

    (void)processor;
    int r = rn_sleep(ctx, (rn_duration)(fraction_of(doubling, value, 0) * (double)longest_sleep));
    if (r < 0)
        return r;
    if (fraction_of(doubling, value, 1) < doubling->error_rate)
        return -EIO;
    *(int *)out = 2 * value;
    return 0;
}

static int collect(rn_context *ctx, void *arg, const struct rn_fan_result *result)
{
    struct doubling *doubling = arg;

    (void)ctx;
    if (result->error == 0 || result->processor == 0)
        return 0;
    json_t *error = json_pack("{s:i, s:i, s:s}", "value", *(const int *)result->input, "processor",
                              (int)result->processor, "detail", "failed by chance");
    return json_array_append_new(doubling->errors, error) == 0 ? 0 : -ENOMEM;
}

static void succeed(const struct doubling *doubling, const struct rn_fan_counts *counts,
                    struct outcome *outcome)
{
    json_t *result = json_pack("{s:I, s:I, s:I, s:O}", "processed", (json_int_t)counts->processed,
                               "failed", (json_int_t)counts->failed, "not_processed",
                               (json_int_t)counts->not_processed, "errors", doubling->errors);
    char *text = result != NULL ? jsontext_write(result, JSON_COMPACT) : NULL;

    json_decref(result);
    if (text == NULL) {
        outcome_fail(outcome, "failed", true, "not enough memory for the result");
        return;
    }
    outcome->succeeded = true;
    outcome->result = text;
    outcome->result_bytes = strlen(text);
    outcome->result_is_json = true;
}

/* " (value 2 on processor 1, …)": as many failures as there is room for; nothing without any. */
static void list_failures(const struct doubling *doubling, char *text, size_t size)
{
    size_t length = 0;
    size_t index;
    const json_t *error;

    text[0] = '\0';
    json_array_foreach (doubling->errors, index, error) {
        char entry[64];
        int written =
            snprintf(entry, sizeof(entry),
                     "%svalue %" JSON_INTEGER_FORMAT " on processor %" JSON_INTEGER_FORMAT,
                     length == 0 ? " (" : ", ", json_integer_value(json_object_get(error, "value")),
                     json_integer_value(json_object_get(error, "processor")));
        if (length + (size_t)written + sizeof(", …)") > size) {
            memcpy(text + length, ", …)", sizeof(", …)"));
            return;
        }
        memcpy(text + length, entry, (size_t)written);
        length += (size_t)written;
    }
    if (length > 0)
        memcpy(text + length, ")", sizeof(")"));
}

static void stop(const struct doubling *doubling, const struct rn_fan_counts *counts, int error,
                 struct outcome *outcome)
{
    bool is_timeout = error == -ETIMEDOUT;
    char failures[LISTED_BYTES];

    list_failures(doubling, failures, sizeof(failures));
    outcome_fail(outcome, is_timeout ? "timeout" : "cancelled", true,
                 "%s: %" PRIu64 " processed, %" PRIu64 " failed%s, %" PRIu64 " not processed",
                 is_timeout ? "ran into its timeout" : "was cancelled", counts->processed,
                 counts->failed, failures, counts->not_processed);
}

/* false, and a fault in list: it is no probability. */
static bool read_error_rate(const json_t *args, struct args_faults *list, double *ret_rate)
{
    const json_t *rate = json_object_get(args, "error_rate");
    double value = error_rate_default;

    if (rate != NULL && !json_is_null(rate)) {
        value = json_is_number(rate) ? json_number_value(rate) : -1;
        if (!(value >= 0 && value <= 1)) {
            args_faults_add(list, "error_rate", "must be a number from 0 to 1");
            return false;
        }
    }
    *ret_rate = value;
    return true;
}

size_t double_check(const json_t *args, struct args_fault *ret_faults, size_t max)
{
    struct args_faults list = {.faults = ret_faults, .max = max};
    double rate;

    if (args_are_object(args, &list)) {
        (void)builtin_integer_get(&count_field, args, &list);
        (void)read_error_rate(args, &list, &rate);
        (void)builtin_integer_get(&processors_field, args, &list);
        args_refuse_unknown(args, double_fields, &list);
    }
    return list.count;
}

void double_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                struct outcome *outcome)
{
    struct args_faults list = {.faults = NULL};
    struct doubling doubling = {.count = (int)builtin_integer_get(&count_field, args, &list)};
    struct rn_fan_counts counts;

    bool valid = read_error_rate(args, &list, &doubling.error_rate);
    RN_ASSERT(valid); // double_check has said so
    doubling.errors = json_array();
    if (doubling.errors == NULL) {
        outcome_fail(outcome, "failed", true, "not enough memory for the result");
        return;
    }
    // No entropy yet, early in the boot: then it differs by attempt alone.
    if (getrandom(&doubling.seed, sizeof(doubling.seed), GRND_NONBLOCK) !=
        (ssize_t)sizeof(doubling.seed))
        doubling.seed = attempt->task ^ (attempt->run << 32);

    const struct rn_fan_options options = {
        .in_size = sizeof(int),
        .out_size = sizeof(int),
        .source_fn = generate,
        .expected = (uint64_t)doubling.count,
        .processors = (unsigned)builtin_integer_get(&processors_field, args, &list),
        .process_fn = process,
        .result_fn = collect,
        .arg = &doubling,
    };
    int r = rn_fan_run(ctx, &options, &counts);
    if (r == 0)
        succeed(&doubling, &counts, outcome);
    else if (rn_context_err(ctx) != 0)
        stop(&doubling, &counts, rn_context_err(ctx), outcome);
    else
        outcome_fail(outcome, "failed", true, "the fan broke off: %s", rn_strerror(r));
    json_decref(doubling.errors);
}
