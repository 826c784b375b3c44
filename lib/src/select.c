/*
 * Select, after Go's runtime/select.go.
 *
 * First the cases are tried one after the other, in a random order, each for itself: what can be
 * done is done with at most one lock. If none could be, all channels are locked, in the order of
 * their addresses, and the cases tried once more: that is the one moment at which none can be done.
 * Then, still under all locks, the thread's node goes on the list of each, so nobody finds it on
 * some and not on others. It is claimed through one of them, or by the end of the context; and it
 * takes itself off the others.
 *
 * Each order is a permutation of the cases, kept in the cases: nothing is allocated.
 */
#include <limits.h>

#include "chan.h"

/* A random number below n, of at most 32 bits (G. Marsaglia's xorshift, 2003; D. Lemire's
 * multiplication in place of the division, 2019, whose bias of n / 2^32 is let be). */
static unsigned random_below(unsigned n)
{
    static _Thread_local uint32_t state;

    if (state == 0) {
        uint64_t seed = (uint64_t)rn_now() ^ (uint64_t)(uintptr_t)&state;
        state = (uint32_t)(seed ^ seed >> 32) | 1;
    }
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (unsigned)((uint64_t)state * n >> 32);
}

/* Swaps the case that comes nth with one of those behind it, and returns it. */
static unsigned draw(struct rn_case *cases, unsigned count, unsigned n)
{
    unsigned other = n + 1 < count ? n + random_below(count - n) : n;
    unsigned drawn = cases[other].look_order_;

    cases[other].look_order_ = cases[n].look_order_;
    cases[n].look_order_ = drawn;
    return drawn;
}

/* Tries the cases in a random order, which is left in look_order_. The index of the one that was
 * done, or -EAGAIN. */
static int try_each(struct rn_case *cases, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cases[i].look_order_ = i;
    for (unsigned i = 0; i < count; i++) {
        unsigned drawn = draw(cases, count, i);
        if (cases[drawn].chan == NULL)
            continue;
        int r = rni_chan_try(cases[drawn].chan, &cases[drawn]);
        if (r == -EAGAIN)
            continue;
        cases[drawn].result = r;
        return (int)drawn;
    }
    return -EAGAIN;
}

// ---- All locks

static uintptr_t address(const struct rn_case *cases, unsigned place)
{
    return (uintptr_t)cases[cases[place].lock_order_].chan;
}

static void swap_places(struct rn_case *cases, unsigned a, unsigned b)
{
    unsigned other = cases[a].lock_order_;

    cases[a].lock_order_ = cases[b].lock_order_;
    cases[b].lock_order_ = other;
}

/* Lets the case at a place sink in the heap of the first `count`. */
static void sink(struct rn_case *cases, unsigned count, unsigned place)
{
    for (;;) {
        unsigned child = 2 * place + 1;
        if (child >= count)
            return;
        if (child + 1 < count && address(cases, child) < address(cases, child + 1))
            child++;
        if (address(cases, place) >= address(cases, child))
            return;
        swap_places(cases, place, child);
        place = child;
    }
}

/* Sorts the cases by the addresses of their channels into lock_order_: a heap sort. */
static void sort(struct rn_case *cases, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cases[i].lock_order_ = i;
    for (unsigned i = count / 2; i > 0; i--)
        sink(cases, count, i - 1);
    for (unsigned i = count; i > 1; i--) {
        swap_places(cases, 0, i - 1);
        sink(cases, i - 1, 0);
    }
}

/* The channel that is to be locked in this place; NULL: none, or the same as before it. */
static rn_chan *channel_at(const struct rn_case *cases, unsigned place)
{
    rn_chan *chan = cases[cases[place].lock_order_].chan;

    return place > 0 && address(cases, place - 1) == (uintptr_t)chan ? NULL : chan;
}

RN_UNCHECKED_LOCKING static void lock_all(struct rn_case *cases, unsigned count)
{
    sort(cases, count);
    for (unsigned i = 0; i < count; i++) {
        rn_chan *chan = channel_at(cases, i);
        if (chan != NULL)
            rni_chan_lock(chan);
    }
}

RN_UNCHECKED_LOCKING static void unlock_all(struct rn_case *cases, unsigned count)
{
    for (unsigned i = count; i > 0; i--) {
        rn_chan *chan = channel_at(cases, i - 1);
        if (chan != NULL)
            rni_chan_unlock(chan);
    }
}

/* Tries the cases under all locks. The index of the one that was done, or -EAGAIN. */
static int try_each_locked(struct rn_case *cases, unsigned count, struct rni_served *served)
{
    for (unsigned i = 0; i < count; i++) {
        struct rn_case *one = &cases[cases[i].look_order_];
        int r = one->chan == NULL ? -EAGAIN : rni_chan_try_locked(one->chan, one, served);
        if (r == -EAGAIN)
            continue;
        one->result = r;
        return (int)cases[i].look_order_;
    }
    return -EAGAIN;
}

static void push_all_locked(struct rn_case *cases, unsigned count, struct rni_waiter *waiter)
{
    for (unsigned i = 0; i < count; i++) {
        struct rn_case *one = &cases[i];
        rni_node_init(&one->node_, waiter);
        if (one->chan != NULL)
            rni_chan_push_locked(one->chan, one, &one->node_);
    }
}

/* Tries under all locks; with a waiter, has it wait if none can be done. */
static int select_locked(struct rn_case *cases, unsigned count, struct rni_waiter *waiter)
{
    struct rni_served served = {NULL, NULL, 0};

    lock_all(cases, count);
    int chosen = try_each_locked(cases, count, &served);
    if (chosen == -EAGAIN && waiter != NULL)
        push_all_locked(cases, count, waiter);
    unlock_all(cases, count);
    if (chosen < 0)
        return chosen;
    rni_chan_finish(cases[chosen].chan, &served);
    if (cases[chosen].result == -EPIPE)
        rni_chan_wait_closed(cases[chosen].chan);
    return chosen;
}

/* Waits, and takes the nodes off that nobody took off. */
static int wait_for_one(rn_context *ctx, struct rn_case *cases, unsigned count,
                        struct rni_waiter *waiter)
{
    int r = rni_waiter_wait(waiter, ctx, RN_NEVER);
    int chosen = r;

    for (unsigned i = 0; i < count; i++) {
        struct rn_case *one = &cases[i];
        if (one->chan == NULL)
            continue;
        // A peer serves with 0, closing ends with -EPIPE, a context with something else.
        if (&one->node_ == waiter->chosen && (r == 0 || r == -EPIPE)) {
            one->result = r;
            chosen = (int)i;
            continue;
        }
        rni_chan_lock(one->chan);
        rni_waitlist_remove(&one->node_);
        rni_chan_unlock(one->chan);
    }
    return chosen;
}

int rn_select(rn_context *ctx, struct rn_case *cases, size_t count)
{
    struct rni_waiter waiter;

    RN_ASSERT(count <= INT_MAX);
    int r = rn_context_err(ctx);
    if (r < 0)
        return r;
    r = try_each(cases, (unsigned)count);
    if (r != -EAGAIN)
        return r;
    rni_waiter_init(&waiter);
    r = select_locked(cases, (unsigned)count, &waiter);
    return r != -EAGAIN ? r : wait_for_one(ctx, cases, (unsigned)count, &waiter);
}

int rn_try_select(struct rn_case *cases, size_t count)
{
    RN_ASSERT(count <= INT_MAX);
    int r = try_each(cases, (unsigned)count);

    // With one case that moment was now.
    return r == -EAGAIN && count > 1 ? select_locked(cases, (unsigned)count, NULL) : r;
}
