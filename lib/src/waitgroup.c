/*
 * Wait groups.
 *
 * `state_` holds what is not done yet in its upper half and how many threads wait in its lower
 * half, so that add and done are one atomic operation each, and the last done knows whether it has
 * to release anybody.
 *
 * A thread that has waited may free the group at once, so a done that releases nobody touches the
 * group no more after its atomic operation, and one that does, not after its unlock. For that, a
 * waiting thread leaves only when it has been released (rounds_ has moved), or, with an error,
 * while something is still not done: between the last done's atomic operation and its lock, both
 * would be wrong, so there an ended context counts for nothing: the release is on its way.
 */
#include <runnel/waitgroup.h>

#define ONE_TO_DO ((uint64_t)1 << 32)
#define WAITING(state) ((state) & (ONE_TO_DO - 1))
#define TO_DO(state) ((state) >> 32)
#define TO_DO_MAX ((uint64_t)1 << 31)

void rn_waitgroup_init(rn_waitgroup *wg)
{
    *wg = (rn_waitgroup){.state_ = 0};
    rn_mutex_init(&wg->mu_, 50);
    rn_cond_init(&wg->zero_);
}

void rn_waitgroup_fini(rn_waitgroup *wg)
{
    RN_ASSERT(WAITING(__atomic_load_n(&wg->state_, __ATOMIC_RELAXED)) == 0);
    rn_cond_fini(&wg->zero_);
    rn_mutex_fini(&wg->mu_);
}

void rn_waitgroup_add(rn_waitgroup *wg, unsigned n)
{
    RN_ASSERT(n < TO_DO_MAX);
    uint64_t before = __atomic_fetch_add(&wg->state_, n * ONE_TO_DO, __ATOMIC_RELAXED);
    RN_ASSERT(TO_DO(before) + n < TO_DO_MAX);
}

static void release(rn_waitgroup *wg)
{
    rn_mutex_lock(&wg->mu_);
    uint64_t state = __atomic_load_n(&wg->state_, __ATOMIC_RELAXED);
    // Only threads with the lock change the lower half.
    (void)__atomic_fetch_sub(&wg->state_, WAITING(state), __ATOMIC_RELAXED);
    wg->rounds_++;
    rn_cond_broadcast(&wg->zero_);
    rn_mutex_unlock(&wg->mu_);
}

void rn_waitgroup_done(rn_waitgroup *wg)
{
    // Release and acquire: what was done before each done is seen by who has waited.
    uint64_t before = __atomic_fetch_sub(&wg->state_, ONE_TO_DO, __ATOMIC_ACQ_REL);

    RN_ASSERT(TO_DO(before) > 0);
    if (TO_DO(before) == 1 && WAITING(before) > 0)
        release(wg);
}

int rn_waitgroup_wait(rn_context *ctx, rn_waitgroup *wg)
{
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    rn_mutex_lock(&wg->mu_);
    uint64_t state = __atomic_load_n(&wg->state_, __ATOMIC_ACQUIRE);
    while (TO_DO(state) > 0 && !__atomic_compare_exchange_n(&wg->state_, &state, state + 1, true,
                                                            __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
        continue;
    uint64_t round = wg->rounds_;
    bool waits = TO_DO(state) > 0;
    while (waits && wg->rounds_ == round) {
        r = rn_cond_wait(ctx, &wg->zero_, &wg->mu_, RN_NEVER);
        if (r == 0 || wg->rounds_ != round)
            continue;
        // It may leave if something is still to do: in one step, so that the last done sees it
        // gone.
        state = __atomic_load_n(&wg->state_, __ATOMIC_RELAXED);
        while (TO_DO(state) > 0 && waits)
            waits = !__atomic_compare_exchange_n(&wg->state_, &state, state - 1, true,
                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        if (waits)
            ctx = NULL; // the last done is on its way
    }
    rn_mutex_unlock(&wg->mu_);
    return waits ? 0 : r;
}
