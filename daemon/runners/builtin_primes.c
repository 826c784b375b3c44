/*
 * The built-in primes: the squares of the prime numbers from 2 to args.limit, by a pipeline of
 * librunnel (generate, filter, square, collect), each stage in a thread of its own; the worker's
 * collects.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/pipeline.h>

#include "runners/builtin.h"

enum {
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 50000, // so that the result stays below 64 KiB
    NUMBER_BYTES = 24, // a comma, an int64_t in decimal, a NUL
};

static const struct builtin_integer limit_field = {"limit", 2, LIMIT_MAX, LIMIT_DEFAULT};
static const char *const primes_fields[] = {"limit", NULL};

/* The result as it grows: "[4,9". */
struct squares {
    char *text; // new
    size_t length;
    size_t size;
};

static int generate(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    const json_int_t *limit = arg;

    (void)ctx;
    for (int64_t number = 2; number <= *limit; number++) {
        int r = rn_emit(emitter, &number);
        if (r < 0)
            return r;
    }
    return 0;
}

static int keep_prime(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    int64_t number = *(const int64_t *)in;

    (void)ctx;
    (void)arg;
    *ret_keep = true;
    for (int64_t divisor = 2; divisor * divisor <= number && *ret_keep; divisor++)
        *ret_keep = number % divisor != 0;
    return 0;
}

static int square(rn_context *ctx, void *arg, const void *in, void *out)
{
    int64_t number = *(const int64_t *)in;

    (void)ctx;
    (void)arg;
    *(int64_t *)out = number * number;
    return 0;
}

/* Room for one number more, and the closing bracket. */
static bool make_room(struct squares *squares)
{
    if (squares->size - squares->length > NUMBER_BYTES)
        return true;
    size_t size = squares->size * 2 + 4 * (size_t)NUMBER_BYTES;
    char *text = realloc(squares->text, size);
    if (text == NULL)
        return false;
    squares->text = text;
    squares->size = size;
    return true;
}

static int collect(rn_context *ctx, void *arg, const void *in)
{
    struct squares *squares = arg;

    (void)ctx;
    if (!make_room(squares))
        return -ENOMEM;
    int written = snprintf(squares->text + squares->length, squares->size - squares->length,
                           "%c%" PRId64, squares->length == 0 ? '[' : ',', *(const int64_t *)in);
    squares->length += (size_t)written;
    return 0;
}

/* There is at least one: 2 is a prime number. */
static int run_pipeline(rn_context *ctx, json_int_t limit, struct squares *squares)
{
    rn_pipeline *pipeline;
    int r = rn_pipeline_new(&pipeline);

    if (r < 0)
        return r;
    rn_pipeline_source(pipeline, "generate", sizeof(int64_t), generate, &limit);
    rn_pipeline_filter(pipeline, "primes", keep_prime, NULL, NULL);
    rn_pipeline_map(pipeline, "square", sizeof(int64_t), square, NULL, NULL);
    rn_pipeline_sink(pipeline, "collect", collect, squares, NULL);
    r = rn_pipeline_run(ctx, pipeline);
    rn_pipeline_free(pipeline);
    return r;
}

size_t primes_check(const json_t *args, struct args_fault *ret_faults, size_t max)
{
    struct args_faults list = {.faults = ret_faults, .max = max};

    if (args_are_object(args, &list)) {
        (void)builtin_integer_get(&limit_field, args, &list);
        args_refuse_unknown(args, primes_fields, &list);
    }
    return list.count;
}

void primes_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                struct outcome *outcome)
{
    struct args_faults list = {.faults = NULL};
    struct squares squares = {.text = NULL};

    (void)attempt;
    int r = run_pipeline(ctx, builtin_integer_get(&limit_field, args, &list), &squares);
    if (r == 0) {
        memcpy(squares.text + squares.length, "]", 2); // make_room() has left it room
        outcome->succeeded = true;
        outcome->result = RN_TAKE(squares.text);
        outcome->result_bytes = squares.length + 1;
        outcome->result_is_json = true;
    } else if (rn_context_err(ctx) != 0) {
        outcome_stopped(outcome, rn_context_err(ctx));
    } else {
        outcome_fail(outcome, "failed", true, "the pipeline broke off: %s", rn_strerror(r));
    }
    free(squares.text);
}
