/*
 * The reorder window of a stage with several workers.
 *
 * An element gets its number when it is taken, and its slot with it: slots[number % window]. A slot
 * goes FREE -> WORKING (taken) -> EMPTY or FULL (finished) -> FREE (through).
 *
 * 1. given <= taken <= given + window. Numbers below `given` are through; the slots of those from
 *    `given` to `taken` are not FREE, all others are.
 * 2. One thread at a time sends: the taker of the number `given`, from its turn on, until it has
 *    sent what is finished behind it. Whoever finishes another number leaves its result there: the
 *    sender looks at the next slot and moves `given` in one hold of mu, so either it sees the
 *    result, or the finisher sees that it has become the first.
 * 3. One thread at a time waits for the channel, with `waits_for_chan` set and mu given up; so the
 *    numbers follow the order of the channel.
 *
 * Nobody waits for ever while the stage goes on: the number `given` is in work or being sent, and
 * each end of it makes room in the window.
 *
 * The lock, mu, is not held while a channel can block, nor while a result is worked on.
 */
#include "order.h"

#include <stdlib.h>
#include <string.h>

#include <runnel/sync.h>

enum slot_state { SLOT_FREE, SLOT_WORKING, SLOT_EMPTY, SLOT_FULL };

struct slot {
    enum slot_state state;
    rn_cond turn; // its number has become the first
};

struct rni_order {
    size_t window;         // set once by new, as are the next two
    size_t stride;         // bytes from one place to the next
    unsigned char *places; // window of them
    rn_mutex mu;           // rank 30
    uint64_t taken RN_GUARDED_BY(mu);
    uint64_t given RN_GUARDED_BY(mu);
    bool waits_for_chan RN_GUARDED_BY(mu);
    rn_cond may_take RN_GUARDED_BY(mu); // a place came free, or nobody waits for the channel
    struct slot slots[] RN_GUARDED_BY(mu);
};

/* Bytes up to the next place, so that each is aligned for any type. */
static bool stride_of(size_t elem_size, size_t *ret_stride)
{
    const size_t alignment = _Alignof(max_align_t);

    if (__builtin_add_overflow(elem_size, alignment - 1, ret_stride))
        return false;
    *ret_stride -= *ret_stride % alignment;
    return true;
}

int rni_order_new(size_t window, size_t elem_size, struct rni_order **ret_order)
{
    size_t stride;
    size_t slot_bytes;
    size_t place_bytes;

    RN_ASSERT(window > 0);
    if (!stride_of(elem_size, &stride) || __builtin_mul_overflow(stride, window, &place_bytes) ||
        __builtin_mul_overflow(sizeof(struct slot), window, &slot_bytes) ||
        __builtin_add_overflow(slot_bytes, sizeof(struct rni_order), &slot_bytes))
        return -ENOMEM;
    struct rni_order *order = calloc(1, slot_bytes);
    if (order == NULL)
        return -ENOMEM;
    order->places = malloc(place_bytes > 0 ? place_bytes : 1);
    if (order->places == NULL) {
        free(order);
        return -ENOMEM;
    }
    order->window = window;
    order->stride = stride;
    rn_mutex_init(&order->mu, 30);
    *ret_order = order;
    return 0;
}

void rni_order_free(struct rni_order *order)
{
    if (order == NULL)
        return;
    rn_mutex_fini(&order->mu);
    free(order->places);
    free(order);
}

void *rni_order_place(struct rni_order *order, uint64_t number)
{
    return order->places + number % order->window * order->stride;
}

static struct slot *slot_locked(struct rni_order *order, uint64_t number) RN_REQUIRES(&order->mu);
static struct slot *slot_locked(struct rni_order *order, uint64_t number)
{
    return &order->slots[number % order->window];
}

int rni_order_take(rn_context *ctx, struct rni_order *order, rn_chan *chan, void *ret_elem,
                   uint64_t *ret_number)
{
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    rn_mutex_lock(&order->mu);
    while (r == 0 && (order->waits_for_chan || order->taken - order->given == order->window))
        r = rn_cond_wait(ctx, &order->may_take, &order->mu, RN_NEVER);
    if (r == 0)
        r = rn_chan_try_recv(chan, ret_elem);
    if (r == -EAGAIN) {
        order->waits_for_chan = true;
        rn_mutex_unlock(&order->mu);
        r = rn_chan_recv(ctx, chan, ret_elem);
        rn_mutex_lock(&order->mu);
        order->waits_for_chan = false;
    }
    if (r == 0) {
        slot_locked(order, order->taken)->state = SLOT_WORKING;
        *ret_number = order->taken++;
    }
    // The next one finds an element, or waits for the channel, or sees the same end.
    (void)rn_cond_signal(&order->may_take);
    rn_mutex_unlock(&order->mu);
    return r;
}

int rni_order_wait_turn(rn_context *ctx, struct rni_order *order, uint64_t number)
{
    int r = 0;

    rn_mutex_lock(&order->mu);
    while (r == 0 && order->given != number)
        r = rn_cond_wait(ctx, &slot_locked(order, number)->turn, &order->mu, RN_NEVER);
    rn_mutex_unlock(&order->mu);
    return r;
}

/* Sends what is finished from the first number on; the caller is its taker. Gives the lock up while
 * it sends. */
static int give_locked(rn_context *ctx, struct rni_order *order, rn_chan *out,
                       _Atomic uint64_t *sent) RN_REQUIRES(&order->mu);
static int give_locked(rn_context *ctx, struct rni_order *order, rn_chan *out,
                       _Atomic uint64_t *sent)
{
    struct slot *slot;

    while ((slot = slot_locked(order, order->given))->state >= SLOT_EMPTY) {
        if (slot->state == SLOT_FULL) {
            const void *place = rni_order_place(order, order->given);
            rn_mutex_unlock(&order->mu);
            int r = rn_chan_send(ctx, out, place);
            rn_mutex_lock(&order->mu);
            if (r < 0)
                return r;
            atomic_store_explicit(sent, atomic_load_explicit(sent, memory_order_relaxed) + 1,
                                  memory_order_relaxed);
        }
        slot->state = SLOT_FREE;
        order->given++;
        (void)rn_cond_signal(&order->may_take);
    }
    (void)rn_cond_signal(&slot->turn);
    return 0;
}

int rni_order_finish(rn_context *ctx, struct rni_order *order, uint64_t number, bool has_result,
                     rn_chan *out, _Atomic uint64_t *sent)
{
    int r = 0;

    rn_mutex_lock(&order->mu);
    slot_locked(order, number)->state = has_result ? SLOT_FULL : SLOT_EMPTY;
    if (order->given == number)
        r = give_locked(ctx, order, out, sent);
    rn_mutex_unlock(&order->mu);
    return r;
}

void *rni_order_take_left(struct rni_order *order)
{
    void *left = NULL;

    rn_mutex_lock(&order->mu);
    // Behind one that was not finished there may be others that were.
    while (left == NULL && order->given < order->taken) {
        struct slot *slot = slot_locked(order, order->given);
        if (slot->state == SLOT_FULL)
            left = rni_order_place(order, order->given);
        slot->state = SLOT_FREE;
        order->given++;
    }
    rn_mutex_unlock(&order->mu);
    return left;
}
