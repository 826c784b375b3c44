/* See stages.h. */
#include "stages.h"

#include <sched.h>

#include "unit.h"

rn_pipeline *new_pipeline(void)
{
    rn_pipeline *pipeline = NULL;
    assert_int_equal(rn_pipeline_new(&pipeline), 0);
    return pipeline;
}

int count_up(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    (void)ctx;
    for (int i = 0; i < *(const int *)arg; i++) {
        int r = rn_emit(emitter, &i);
        if (r < 0)
            return r;
    }
    return 0;
}

int count_on(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    (void)ctx;
    (void)arg;
    for (int i = 0;; i++) {
        int r = rn_emit(emitter, &i);
        if (r < 0)
            return r;
    }
}

int append(rn_context *ctx, void *arg, const void *in)
{
    struct list *list = arg;

    (void)ctx;
    if (list->count == LIST_MAX)
        return -EMSGSIZE;
    list->items[list->count++] = *(const int *)in;
    return 0;
}

int ignore(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    (void)arg;
    (void)in;
    return 0;
}

int copy(rn_context *ctx, void *arg, const void *in, void *out)
{
    (void)ctx;
    (void)arg;
    *(int *)out = *(const int *)in;
    return 0;
}

int keep_prime(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    int number = *(const int *)in;

    (void)ctx;
    (void)arg;
    *ret_keep = number > 1;
    for (int i = 2; i * i <= number; i++)
        *ret_keep = *ret_keep && number % i != 0;
    return 0;
}

void dawdle(int number)
{
    for (int i = 0; i < (number * 7919) % 13; i++)
        (void)sched_yield();
}

int copy_unevenly(rn_context *ctx, void *arg, const void *in, void *out)
{
    dawdle(*(const int *)in);
    return copy(ctx, arg, in, out);
}

int repeat_unevenly(rn_context *ctx, void *arg, const void *in, rn_emitter *emitter)
{
    int number = *(const int *)in;
    int r = 0;

    (void)ctx;
    (void)arg;
    for (int i = 0; r == 0 && i < number % 4; i++) {
        dawdle(number + i);
        r = rn_emit(emitter, in);
    }
    return r;
}
