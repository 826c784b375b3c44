/*
 * Weighted semaphores, after golang.org/x/sync/semaphore.
 *
 * 1. `state` holds the number of free units and, in its highest bit, whether somebody waits. While
 *    nobody waits, units are taken and given back by one atomic operation on it, without the lock.
 *    While the bit is set, only who holds the lock changes it.
 * 2. The bit is set while there are requests on the list, and in between only while the lock is
 *    held: so under the lock an empty list means that the bit is not set.
 * 3. The units of a request are taken by who grants it, in the order of the list, and only if its
 *    wait has not ended otherwise: the condition of the request decides that once.
 *
 * All changes of `state` are read-modify-write operations, so who takes units sees all that was
 * done before units were given back, whoever has changed the number in between.
 */
#include <runnel/semaphore.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <runnel/sync.h>

#define WAITED_FOR ((uint64_t)1 << 63)
#define FREE(state) ((state) & ~WAITED_FOR)

/* A thread that waits, on its own stack. */
struct request {
    uint64_t n;
    rn_cond granted;
    bool is_listed;
    struct request *next;
    struct request *previous;
};

struct rn_semaphore {
    _Atomic uint64_t state;
    uint64_t limit;                          // set once by new
    rn_mutex mu;                             // rank 55
    struct request *first RN_GUARDED_BY(mu); // waits longest
    struct request *last RN_GUARDED_BY(mu);
};

RN_UNCHECKED_LOCKING int rn_semaphore_new(uint64_t limit, rn_semaphore **ret_semaphore)
{
    if (limit >= WAITED_FOR)
        return -EINVAL;
    rn_semaphore *semaphore = calloc(1, sizeof(*semaphore));
    if (semaphore == NULL)
        return -ENOMEM;
    atomic_init(&semaphore->state, limit);
    semaphore->limit = limit;
    rn_mutex_init(&semaphore->mu, 55);
    *ret_semaphore = semaphore;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_semaphore_free(rn_semaphore *semaphore)
{
    if (semaphore == NULL)
        return;
    RN_ASSERT(semaphore->first == NULL);
    rn_mutex_fini(&semaphore->mu);
    free(semaphore);
}

/* Takes n units if nobody waits and they are free. */
static bool take(rn_semaphore *semaphore, uint64_t n)
{
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);

    while ((state & WAITED_FOR) == 0 && state >= n) {
        if (atomic_compare_exchange_weak_explicit(&semaphore->state, &state, state - n,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    }
    return false;
}

static void append_locked(rn_semaphore *semaphore, struct request *request)
    RN_REQUIRES(&semaphore->mu);
static void append_locked(rn_semaphore *semaphore, struct request *request)
{
    request->is_listed = true;
    request->previous = semaphore->last;
    if (semaphore->last != NULL)
        semaphore->last->next = request;
    else
        semaphore->first = request;
    semaphore->last = request;
}

static void remove_locked(rn_semaphore *semaphore, struct request *request)
    RN_REQUIRES(&semaphore->mu);
static void remove_locked(rn_semaphore *semaphore, struct request *request)
{
    if (!request->is_listed)
        return;
    request->is_listed = false;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        semaphore->first = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    else
        semaphore->last = request->previous;
}

/* Grants what can be granted, in order; called when units came back or the first request went. */
static void grant_locked(rn_semaphore *semaphore) RN_REQUIRES(&semaphore->mu);
static void grant_locked(rn_semaphore *semaphore)
{
    struct request *request;

    while ((request = semaphore->first) != NULL) {
        uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);
        if (request->n > FREE(state))
            return;
        remove_locked(semaphore, request);
        // Its wait may have ended otherwise; then it takes nothing.
        if (rn_cond_signal(&request->granted))
            (void)atomic_fetch_sub_explicit(&semaphore->state, request->n, memory_order_acquire);
    }
    (void)atomic_fetch_and_explicit(&semaphore->state, ~WAITED_FOR, memory_order_relaxed);
}

static int wait_for_units(rn_context *ctx, rn_semaphore *semaphore, uint64_t n)
{
    struct request request = {.n = n, .granted = RN_COND_INIT};

    rn_mutex_lock(&semaphore->mu);
    uint64_t state = atomic_fetch_or_explicit(&semaphore->state, WAITED_FOR, memory_order_acquire);
    if (semaphore->first == NULL && FREE(state) >= n) {
        // They came back since take() looked.
        (void)atomic_fetch_sub_explicit(&semaphore->state, WAITED_FOR + n, memory_order_relaxed);
        rn_mutex_unlock(&semaphore->mu);
        return 0;
    }
    append_locked(semaphore, &request);
    int r = rn_cond_wait(ctx, &request.granted, &semaphore->mu, RN_NEVER);
    if (r < 0) {
        remove_locked(semaphore, &request);
        grant_locked(semaphore); // those behind it may need less
    }
    rn_mutex_unlock(&semaphore->mu);
    return r;
}

int rn_semaphore_acquire(rn_context *ctx, rn_semaphore *semaphore, uint64_t n)
{
    if (n > semaphore->limit)
        return -EINVAL;
    int r = rn_context_err(ctx);
    if (r < 0 || take(semaphore, n))
        return r;
    return wait_for_units(ctx, semaphore, n);
}

int rn_semaphore_try_acquire(rn_semaphore *semaphore, uint64_t n)
{
    if (n > semaphore->limit)
        return -EINVAL;
    bool taken = take(semaphore, n);
    if (!taken) {
        // The bit may be set for a moment only, by one that finds its units under the lock.
        rn_mutex_lock(&semaphore->mu);
        taken = take(semaphore, n);
        rn_mutex_unlock(&semaphore->mu);
    }
    return taken ? 0 : -EAGAIN;
}

/* Gives n units back if nobody waits. */
static bool give_back(rn_semaphore *semaphore, uint64_t n)
{
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);

    while ((state & WAITED_FOR) == 0) {
        RN_ASSERT(n <= semaphore->limit - state); // else more than were taken
        if (atomic_compare_exchange_weak_explicit(&semaphore->state, &state, state + n,
                                                  memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

void rn_semaphore_release(rn_semaphore *semaphore, uint64_t n)
{
    if (give_back(semaphore, n))
        return;
    rn_mutex_lock(&semaphore->mu);
    uint64_t state = atomic_load_explicit(&semaphore->state, memory_order_relaxed);
    RN_ASSERT(n <= semaphore->limit - FREE(state));
    (void)atomic_fetch_add_explicit(&semaphore->state, n, memory_order_release);
    grant_locked(semaphore);
    rn_mutex_unlock(&semaphore->mu);
}
