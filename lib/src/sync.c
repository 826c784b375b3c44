/*
 * Mutex, condition, once.
 *
 * In RN_DEBUG builds each thread keeps the mutexes that it holds, so that one taken out of the
 * order of ranks, or twice, aborts at once and not only when two threads happen to meet.
 */
#define _GNU_SOURCE 1 // adaptive mutexes, gettid

#include <runnel/sync.h>

#include <unistd.h>

#include "waiter.h"

enum {
    HELD_MAX = 16,
};
static _Thread_local rn_mutex *held[HELD_MAX];
static _Thread_local unsigned held_count;
static _Thread_local unsigned held_beyond; // for which there was no room

void rn_mutex_init(rn_mutex *mu, int rank)
{
    // What a mutex in static storage begins with: nothing is allocated, and nothing can fail.
    mu->native_ = (pthread_mutex_t)RN_NATIVE_MUTEX_INIT_;
    RN_ASSERT(rank >= 0);
    mu->rank_ = rank;
    mu->owner_ = 0;
}

void rn_mutex_fini(rn_mutex *mu)
{
    int r = pthread_mutex_destroy(&mu->native_);
    RN_ASSERT(r == 0); // else somebody holds it
}

static int own_thread(void)
{
    static _Thread_local int id;

    if (id == 0)
        id = (int)gettid();
    return id;
}

RN_UNCHECKED_LOCKING void rn_mutex_lock_checked(rn_mutex *mu)
{
    RN_ASSERT(__atomic_load_n(&mu->owner_, __ATOMIC_RELAXED) != own_thread());
    for (unsigned i = 0; i < held_count && mu->rank_ != 0; i++) {
        RN_ASSERT(held[i]->rank_ <= mu->rank_);
        RN_ASSERT(held[i]->rank_ < mu->rank_ || (uintptr_t)held[i] < (uintptr_t)mu);
    }

    int r = pthread_mutex_lock(&mu->native_);
    RN_ASSERT(r == 0);
    __atomic_store_n(&mu->owner_, own_thread(), __ATOMIC_RELAXED);
    // A select holds as many as it has channels: those beyond the room are not compared.
    if (held_count < HELD_MAX)
        held[held_count++] = mu;
    else
        held_beyond++;
}

RN_UNCHECKED_LOCKING void rn_mutex_unlock_checked(rn_mutex *mu)
{
    unsigned i = 0;

    RN_ASSERT(__atomic_load_n(&mu->owner_, __ATOMIC_RELAXED) == own_thread());
    while (i < held_count && held[i] != mu)
        i++;
    if (i < held_count)
        held[i] = held[--held_count];
    else
        held_beyond--;
    __atomic_store_n(&mu->owner_, 0, __ATOMIC_RELAXED);
    int r = pthread_mutex_unlock(&mu->native_);
    RN_ASSERT(r == 0);
}

void rn_cond_init(rn_cond *cond)
{
    *cond = (rn_cond)RN_COND_INIT;
}

void rn_cond_fini(rn_cond *cond)
{
    RN_ASSERT(cond->waiters_.first_ == NULL);
}

int rn_cond_wait(rn_context *ctx, rn_cond *cond, rn_mutex *mu, rn_time deadline)
{
    struct rni_waiter waiter;
    struct rn_waiter_node node;

    int r = rn_context_err(ctx);
    if (r < 0)
        return r;
    rni_waiter_init(&waiter);
    rni_node_init(&node, &waiter);
    rni_waitlist_push(&cond->waiters_, &node);

    rn_mutex_unlock(mu);
    r = rni_waiter_wait(&waiter, ctx, deadline);
    rn_mutex_lock(mu);

    rni_waitlist_remove(&node); // still there unless it was signalled
    return r;
}

bool rn_cond_signal(rn_cond *cond)
{
    struct rn_waiter_node *node = rni_waitlist_claim(&cond->waiters_);

    if (node == NULL)
        return false;
    rni_waiter_finish(node->waiter, 0);
    return true;
}

void rn_cond_broadcast(rn_cond *cond)
{
    rni_waiter_finish_all(rni_waitlist_claim_all(&cond->waiters_), 0);
}

void rn_once(struct rn_once *once, void (*fn)(void))
{
    int r = pthread_once(&once->native_, fn);
    RN_ASSERT(r == 0);
}
