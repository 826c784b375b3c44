/*
 * One parked thread: see waiter.h.
 *
 * Memory order: a claim is an acquire (what the waiter wrote before it was listed came with the
 * list's lock), a finish is a release, and the thread reads DONE with acquire before it reads the
 * result or the element. The futex itself orders nothing.
 */
#define _GNU_SOURCE 1 // sched_getaffinity

#include "waiter.h"

#include <sched.h>

#include "futex.h"

enum {
    WAITING,        // may be claimed; its thread is awake
    PARKED,         // may be claimed; its thread sleeps or is about to
    CLAIMED,        // somebody is about to finish it; its thread is awake
    CLAIMED_PARKED, // somebody is about to finish it; its thread sleeps or is about to
    DONE,
};

// Before it sleeps, a thread looks for a while whether it is woken. From one processor to another
// that takes 0.1 us, a sleep and its wake-up 20 us and more. First it only pauses between the
// looks; then it yields, because who is to wake it may be waiting for this processor. How often it
// looks follows from whether that paid lately, so that a thread that mostly waits long spends
// nearly nothing on it. Now and then it looks for as long as a wake-up takes: two threads that send
// each other to sleep would else do so for ever, though both could run.
enum {
    PAUSES = 128,
    YIELDS_MIN = 1,
    YIELDS_MAX = 4,
    YIELDS_LONG = 40,
    LONG_EVERY = 16,
};
static _Thread_local unsigned yields = YIELDS_MAX;
static _Thread_local unsigned waits;

static bool has_many_processors(void)
{
    static _Atomic int known; // 0 not yet, 1 one, 2 more
    int many = atomic_load_explicit(&known, memory_order_relaxed);

    if (many == 0) {
        cpu_set_t allowed;
        // A set too small for the machine is refused: such a machine has many.
        bool one = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) == 1;
        many = one ? 1 : 2;
        atomic_store_explicit(&known, many, memory_order_relaxed);
    }
    return many == 2;
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

struct rni_spin rni_spin_start(void)
{
    struct rni_spin spin = {0, 0};

    spin.pauses = has_many_processors() ? PAUSES : 0;
    spin.yields = ++waits % LONG_EVERY == 0 ? YIELDS_LONG : yields;
    return spin;
}

bool rni_spin_next(struct rni_spin *spin)
{
    if (spin->pauses > 0) {
        spin->pauses--;
        pause_briefly();
        return true;
    }
    if (spin->yields == 0)
        return false;
    spin->yields--;
    (void)sched_yield();
    return true;
}

void rni_spin_end(bool came)
{
    if (came)
        yields = yields * 2 < YIELDS_MAX ? yields * 2 : YIELDS_MAX;
    else
        yields = yields / 2 > YIELDS_MIN ? yields / 2 : YIELDS_MIN;
}

void rni_pause(unsigned n)
{
    enum { YIELDS = 1024 };
    static _Atomic uint32_t nobody_wakes_it;

    // The other may have lost its processor, or, where priorities are strict, be kept from it.
    if (n <= PAUSES && has_many_processors())
        pause_briefly();
    else if (n <= YIELDS)
        (void)sched_yield();
    else
        (void)rni_futex_wait(&nobody_wakes_it, 0, rn_after(50 * RN_MICROSECOND));
}

void rni_waiter_init(struct rni_waiter *waiter)
{
    atomic_init(&waiter->state, WAITING);
    waiter->result = 0;
    waiter->chosen = NULL;
    waiter->spun = false;
    rni_node_init(&waiter->context_node, waiter);
}

void rni_node_init(struct rn_waiter_node *node, struct rni_waiter *waiter)
{
    *node = (struct rn_waiter_node){.waiter = waiter};
}

void rni_waitlist_push(struct rn_waitlist *list, struct rn_waiter_node *node)
{
    RN_ASSERT(node->list == NULL);
    node->list = list;
    node->next = NULL;
    node->previous = list->last_;
    if (list->last_ != NULL)
        list->last_->next = node;
    else
        list->first_ = node;
    list->last_ = node;
}

void rni_waitlist_remove(struct rn_waiter_node *node)
{
    struct rn_waitlist *list = node->list;

    if (list == NULL)
        return;
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        list->first_ = node->next;
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        list->last_ = node->previous;
    node->list = NULL;
}

static bool claim(struct rni_waiter *waiter)
{
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed);

    while (state == WAITING || state == PARKED) {
        uint32_t claimed = state == WAITING ? CLAIMED : CLAIMED_PARKED;
        if (atomic_compare_exchange_weak_explicit(&waiter->state, &state, claimed,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    }
    return false;
}

struct rn_waiter_node *rni_waitlist_claim(struct rn_waitlist *list)
{
    struct rn_waiter_node *node;

    while ((node = list->first_) != NULL) {
        rni_waitlist_remove(node);
        if (claim(node->waiter)) {
            node->waiter->chosen = node;
            return node;
        }
    }
    return NULL;
}

struct rn_waiter_node *rni_waitlist_claim_all(struct rn_waitlist *list)
{
    struct rn_waiter_node *first = NULL;
    struct rn_waiter_node **end = &first;
    struct rn_waiter_node *node;

    while ((node = rni_waitlist_claim(list)) != NULL) {
        node->next = NULL;
        *end = node;
        end = &node->next;
    }
    return first;
}

void rni_waiter_finish(struct rni_waiter *waiter, int result)
{
    waiter->result = result;
    if (atomic_exchange_explicit(&waiter->state, DONE, memory_order_acq_rel) != CLAIMED_PARKED)
        return;
    // From here on the waiter may be gone; only its address counts.
    rni_futex_wake(&waiter->state);
}

void rni_waiter_finish_all(struct rn_waiter_node *nodes, int result)
{
    while (nodes != NULL) {
        struct rni_waiter *waiter = nodes->waiter;
        nodes = nodes->next;
        rni_waiter_finish(waiter, result);
    }
}

/* Looks for a while whether the waiter is done. */
static bool spin_until_done(struct rni_waiter *waiter, rn_context *ctx)
{
    struct rni_spin spin = rni_spin_start();
    bool done = false;

    while (!done && rn_context_err(ctx) == 0 && rni_spin_next(&spin))
        done = atomic_load_explicit(&waiter->state, memory_order_acquire) == DONE;
    rni_spin_end(done);
    return done;
}

/* The thread ends its own wait, unless it is ended already. */
static void end_own(struct rni_waiter *waiter, int result)
{
    if (!claim(waiter))
        return;
    waiter->result = result;
    atomic_store_explicit(&waiter->state, DONE, memory_order_relaxed);
}

static void park(struct rni_waiter *waiter, rn_time deadline)
{
    for (;;) {
        uint32_t state = atomic_load_explicit(&waiter->state, memory_order_acquire);
        switch (state) {
        case DONE:
            return;
        case WAITING:
        case CLAIMED: {
            uint32_t parked = state == WAITING ? PARKED : CLAIMED_PARKED;
            (void)atomic_compare_exchange_strong_explicit(
                &waiter->state, &state, parked, memory_order_acquire, memory_order_relaxed);
            break; // whatever it is now, look again
        }
        case PARKED:
            if (!rni_futex_wait(&waiter->state, PARKED, deadline))
                end_own(waiter, -ETIMEDOUT);
            break;
        default:
            // Whoever claimed it is about to finish it: no deadline.
            RN_ASSERT(state == CLAIMED_PARKED);
            (void)rni_futex_wait(&waiter->state, CLAIMED_PARKED, RN_NEVER);
        }
    }
}

int rni_waiter_wait(struct rni_waiter *waiter, rn_context *ctx, rn_time deadline)
{
    // Only who really sleeps has to stand on the context's list.
    if (!waiter->spun && spin_until_done(waiter, ctx))
        return waiter->result;

    bool watched = ctx != NULL && rni_context_watch(ctx, &waiter->context_node);
    if (ctx != NULL && !watched)
        end_own(waiter, rn_context_err(ctx));
    park(waiter, deadline);
    if (watched)
        rni_context_unwatch(ctx, &waiter->context_node);
    return waiter->result;
}
