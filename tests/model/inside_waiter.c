/* The library's waiter.c, and what the explorer has to know of its inside. */
#include "waiter.c"

#include "model.h"

bool waiter_is_open(const struct rni_waiter *waiter)
{
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed);

    return state == WAITING || state == PARKED;
}

void waiter_set_looks(unsigned looks)
{
    yields = looks;
    waits = 0;
    (void)has_many_processors(); // it finds that out once
}
