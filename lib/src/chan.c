/*
 * Channels.
 *
 * 1. Receivers wait only while the buffer is empty, senders only while it is full; with capacity 0
 *    only one of the two waits. Nobody waits on a closed channel.
 * 2. Who finds a peer waiting serves it: an element goes past the buffer straight into the
 *    receiver's variable (the buffer is empty then, so order holds), and a place that comes free in
 *    the buffer is filled with the element of the sender that has waited longest.
 * 3. Who waits has its node on the list until it is served, or until its context or deadline ends
 * the wait; then it takes the node off itself. A peer that finds it ended goes on to the next (see
 *    waiter.h), so an element is never given to somebody who has left.
 *
 * The lock, mu, guards everything that changes. No other lock is taken under it. A peer is claimed
 * and its element copied under the lock, and it is woken after it.
 */
#include <runnel/chan.h>

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/sync.h>

#include "waiter.h"

struct rn_chan {
    size_t elem_size; // bytes; set once by new
    size_t capacity;  // elements; set once by new; 0: unbuffered
    rn_mutex mu;      // rank 50
    bool closed RN_GUARDED_BY(mu);
    size_t head RN_GUARDED_BY(mu);                  // index of the oldest element
    _Atomic size_t count;                           // elements inside; stored under mu
    struct rn_waitlist receivers RN_GUARDED_BY(mu); // empty whenever count > 0
    struct rn_waitlist senders RN_GUARDED_BY(mu);   // empty whenever count < capacity
    unsigned char buffer[];                         // capacity elements
};

int rn_chan_new(size_t elem_size, size_t capacity, rn_chan **ret_chan)
{
    size_t bytes;

    if (__builtin_mul_overflow(elem_size, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(rn_chan), &bytes))
        return -ENOMEM;
    rn_chan *chan = malloc(bytes);
    if (chan == NULL)
        return -ENOMEM;

    // Not the buffer: what is never used costs no page.
    memset(chan, 0, sizeof(*chan));
    chan->elem_size = elem_size;
    chan->capacity = capacity;
    rn_mutex_init(&chan->mu, 50);
    *ret_chan = chan;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_chan_free(rn_chan *chan)
{
    if (chan == NULL)
        return;
    RN_ASSERT(chan->receivers.first_ == NULL);
    RN_ASSERT(chan->senders.first_ == NULL);
    rn_mutex_fini(&chan->mu);
    free(chan);
}

static void copy_elem(const rn_chan *chan, void *target, const void *source)
{
    if (target == NULL || chan->elem_size == 0)
        return;
    if (chan->elem_size == sizeof(void *))
        memcpy(target, source, sizeof(void *)); // the usual size: one instruction
    else
        memcpy(target, source, chan->elem_size);
}

/* The place of the nth element behind the oldest; n at most capacity. */
static unsigned char *place_locked(rn_chan *chan, size_t n) RN_REQUIRES(&chan->mu);
static unsigned char *place_locked(rn_chan *chan, size_t n)
{
    size_t index = chan->head + n;

    if (index >= chan->capacity)
        index -= chan->capacity;
    return chan->buffer + index * chan->elem_size;
}

static size_t count_of(const rn_chan *chan)
{
    return atomic_load_explicit(&chan->count, memory_order_relaxed);
}

static void set_count_locked(rn_chan *chan, size_t count) RN_REQUIRES(&chan->mu);
static void set_count_locked(rn_chan *chan, size_t count)
{
    atomic_store_explicit(&chan->count, count, memory_order_relaxed);
}

/*
 * Sends if that needs no waiting: 0, -EAGAIN, -EPIPE. *ret_served is the receiver that got the
 * element and has to be finished, or NULL.
 */
static int send_locked(rn_chan *chan, const void *elem, struct rn_waiter_node **ret_served)
    RN_REQUIRES(&chan->mu);
static int send_locked(rn_chan *chan, const void *elem, struct rn_waiter_node **ret_served)
{
    size_t count = count_of(chan);

    *ret_served = NULL;
    if (chan->closed)
        return -EPIPE;

    struct rn_waiter_node *receiver = rni_waitlist_claim(&chan->receivers);
    if (receiver != NULL) {
        RN_ASSERT(count == 0);
        copy_elem(chan, receiver->target, elem);
        *ret_served = receiver;
        return 0;
    }
    if (count == chan->capacity)
        return -EAGAIN;

    copy_elem(chan, place_locked(chan, count), elem);
    set_count_locked(chan, count + 1);
    return 0;
}

/*
 * Receives if that needs no waiting: 0, -EAGAIN, -EPIPE. *ret_served is the sender whose element
 * was taken, into *ret_elem or the buffer, and that has to be finished, or NULL.
 */
static int recv_locked(rn_chan *chan, void *ret_elem, struct rn_waiter_node **ret_served)
    RN_REQUIRES(&chan->mu);
static int recv_locked(rn_chan *chan, void *ret_elem, struct rn_waiter_node **ret_served)
{
    size_t count = count_of(chan);
    struct rn_waiter_node *sender = rni_waitlist_claim(&chan->senders);

    *ret_served = sender;
    if (count == 0) {
        if (sender == NULL)
            return chan->closed ? -EPIPE : -EAGAIN;
        RN_ASSERT(chan->capacity == 0);
        copy_elem(chan, ret_elem, sender->source);
        return 0;
    }

    copy_elem(chan, ret_elem, place_locked(chan, 0));
    chan->head = chan->head + 1 == chan->capacity ? 0 : chan->head + 1;
    if (sender != NULL) {
        RN_ASSERT(count == chan->capacity);
        copy_elem(chan, place_locked(chan, count - 1), sender->source);
    } else {
        set_count_locked(chan, count - 1);
    }
    return 0;
}

static void finish_served(struct rn_waiter_node *served)
{
    if (served != NULL)
        rni_waiter_finish(served->waiter, 0);
}

/* Waits on a list; mu is held and given back. */
static int wait_locked(rn_context *ctx, rn_chan *chan, struct rn_waitlist *list, rn_time deadline,
                       const void *source, void *target) RN_RELEASE(&chan->mu);
static int wait_locked(rn_context *ctx, rn_chan *chan, struct rn_waitlist *list, rn_time deadline,
                       const void *source, void *target)
{
    struct rni_waiter waiter;
    struct rn_waiter_node node;

    rni_waiter_init(&waiter);
    rni_node_init(&node, &waiter);
    node.source = source;
    node.target = target;
    rni_waitlist_push(list, &node);
    rn_mutex_unlock(&chan->mu);

    int r = rni_waiter_wait(&waiter, ctx, deadline);
    // Whoever served it, or closed the channel, took the node off the list: only those write 0 and
    // -EPIPE. After that the channel is not touched again.
    if (r == 0 || r == -EPIPE)
        return r;
    rn_mutex_lock(&chan->mu);
    rni_waitlist_remove(&node);
    rn_mutex_unlock(&chan->mu);
    return r;
}

int rn_chan_send(rn_context *ctx, rn_chan *chan, const void *elem)
{
    struct rn_waiter_node *served;

    int r = rn_context_err(ctx);
    if (r < 0)
        return r;
    rn_mutex_lock(&chan->mu);
    r = send_locked(chan, elem, &served);
    if (r == -EAGAIN)
        return wait_locked(ctx, chan, &chan->senders, RN_NEVER, elem, NULL);
    rn_mutex_unlock(&chan->mu);
    finish_served(served);
    return r;
}

int rn_chan_try_send(rn_chan *chan, const void *elem)
{
    struct rn_waiter_node *served;

    rn_mutex_lock(&chan->mu);
    int r = send_locked(chan, elem, &served);
    rn_mutex_unlock(&chan->mu);
    finish_served(served);
    return r;
}

int rn_chan_recv(rn_context *ctx, rn_chan *chan, void *ret_elem)
{
    return rn_chan_recv_until(ctx, chan, RN_NEVER, ret_elem);
}

int rn_chan_recv_until(rn_context *ctx, rn_chan *chan, rn_time deadline, void *ret_elem)
{
    struct rn_waiter_node *served;

    int r = rn_context_err(ctx);
    if (r < 0)
        return r;
    rn_mutex_lock(&chan->mu);
    r = recv_locked(chan, ret_elem, &served);
    if (r == -EAGAIN)
        return wait_locked(ctx, chan, &chan->receivers, deadline, NULL, ret_elem);
    rn_mutex_unlock(&chan->mu);
    finish_served(served);
    return r;
}

int rn_chan_try_recv(rn_chan *chan, void *ret_elem)
{
    struct rn_waiter_node *served;

    rn_mutex_lock(&chan->mu);
    int r = recv_locked(chan, ret_elem, &served);
    rn_mutex_unlock(&chan->mu);
    finish_served(served);
    return r;
}

void rn_chan_close(rn_chan *chan)
{
    rn_mutex_lock(&chan->mu);
    chan->closed = true;
    struct rn_waiter_node *receivers = rni_waitlist_claim_all(&chan->receivers);
    struct rn_waiter_node *senders = rni_waitlist_claim_all(&chan->senders);
    rn_mutex_unlock(&chan->mu);
    rni_waiter_finish_all(receivers, -EPIPE);
    rni_waiter_finish_all(senders, -EPIPE);
}

size_t rn_chan_len(const rn_chan *chan)
{
    return count_of(chan);
}

size_t rn_chan_cap(const rn_chan *chan)
{
    return chan->capacity;
}
