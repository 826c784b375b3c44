/* What tests that do things at random share. */
#include "chance.h"

#include <sched.h>

unsigned random_below(unsigned *seed, unsigned bound)
{
    *seed = *seed * 1664525U + 1013904223U;
    return (*seed >> 8) % bound;
}

int cancel_at_some_time(rn_context *ctx, void *arg)
{
    const struct some_time *some_time = arg;

    (void)ctx;
    for (unsigned i = 0; i < some_time->yields; i++)
        (void)sched_yield();
    rn_context_cancel(some_time->ctx, 0);
    return 0;
}
