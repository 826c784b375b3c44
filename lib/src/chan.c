/*
 * Channels.
 *
 * With a capacity the elements are in a ring (ring.h), and as long as nobody has to wait, sending
 * and receiving take no lock. With capacity 0 there is no ring: the two meet under the lock.
 *
 * 1. Who may have to wait takes the lock and sets SLOW in both words of the ring: from then on
 *    everybody comes here for the lock. Only then he looks a last time, puts his node on the list
 *    and parks; what others had begun without the lock shows in the positions, and is waited for.
 *    When the lock is given back and nobody waits any more, SLOW goes.
 * 2. Whenever the lock is given back, receivers wait only on an empty channel and senders only on a
 *    full one. They are served in the order in which they came: a receiver gets the oldest
 *    element, the element of a sender goes into the room that came free.
 * 3. A peer that finds a waiter ended (its context, its deadline) goes on to the next: an element
 *    is never given to somebody who has left (see waiter.h).
 * 4. What a thread does last with the channel is to change the turn of a cell, or to give the lock
 *    back: only then can its peer know. So who receives the last element may free the channel. For
 *    the same reason -EPIPE is answered only once `closed` is true, which is the last thing that
 *    closing does.
 * 5. A channel with a descriptor stays SLOW: before the lock is given back the descriptor is
 *    brought up to date.
 */
#include "chan.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring.h"

enum {
    RECEIVERS = 0, // index of waiters; as `sends`: false
    SENDERS = 1,
};

// In `waiting`, beside a bit for each list that is not empty.
#define CLOSING 4U

struct rn_chan {
    struct rni_ring ring; // set once by new; with capacity 0 only its elem_size counts
    void (*received_fn)(void *arg);
    void *received_arg;
    _Atomic unsigned waiting; // with capacity 0, who waits; stored under mu, a hint without
    _Atomic bool closed;      // closing is over
    _Atomic int fd;           // the eventfd, or -1; stored under mu, once
    rn_mutex mu;              // rank 50
    struct rn_waitlist waiters[2] RN_GUARDED_BY(mu);
    bool closing RN_GUARDED_BY(mu);
    bool is_readable RN_GUARDED_BY(mu); // what the descriptor says
    _Alignas(8) unsigned char memory[]; // the ring's
};

int rn_chan_new(size_t elem_size, size_t capacity, rn_chan **ret_chan)
{
    struct rni_ring ring = {.elem_size = elem_size};
    size_t bytes = 0;

    if (capacity > 0 && !rni_ring_init(&ring, elem_size, capacity, &bytes))
        return -ENOMEM;
    if (__builtin_add_overflow(bytes, sizeof(rn_chan), &bytes))
        return -ENOMEM;
    // Zeroed by the system where it is large: a cell that is never used costs no page.
    rn_chan *chan = calloc(1, bytes);
    if (chan == NULL)
        return -ENOMEM;
    ring.memory = chan->memory;
    chan->ring = ring;
    atomic_init(&chan->fd, -1);
    rn_mutex_init(&chan->mu, 50);
    *ret_chan = chan;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_chan_free(rn_chan *chan)
{
    if (chan == NULL)
        return;
    // Who handed the last element over under the lock may still have it.
    rn_mutex_lock(&chan->mu);
    rn_mutex_unlock(&chan->mu);
    RN_ASSERT(chan->waiters[RECEIVERS].first_ == NULL);
    RN_ASSERT(chan->waiters[SENDERS].first_ == NULL);
    int fd = atomic_load_explicit(&chan->fd, memory_order_relaxed);
    if (fd >= 0)
        (void)close(fd);
    rn_mutex_fini(&chan->mu);
    free(chan);
}

void rni_chan_on_receive(rn_chan *chan, void (*received_fn)(void *arg), void *arg)
{
    RN_ASSERT(chan->received_fn == NULL);
    chan->received_fn = received_fn;
    chan->received_arg = arg;
}

static bool is_buffered(const rn_chan *chan)
{
    return chan->ring.capacity > 0;
}

// ---- The lock

RN_UNCHECKED_LOCKING void rni_chan_lock(rn_chan *chan)
{
    rn_mutex_lock(&chan->mu);
    if (!is_buffered(chan))
        return;
    (void)atomic_fetch_or_explicit(rni_ring_tail(&chan->ring), RNI_SLOW, memory_order_relaxed);
    (void)atomic_fetch_or_explicit(rni_ring_head(&chan->ring), RNI_SLOW, memory_order_relaxed);
}

/* Where nobody waits, all go without the lock again. */
static void speed_up_locked(rn_chan *chan) RN_REQUIRES(&chan->mu);
static void speed_up_locked(rn_chan *chan)
{
    uint64_t flags = ~(uint64_t)RNI_SLOW;

    if (chan->waiters[RECEIVERS].first_ != NULL || chan->waiters[SENDERS].first_ != NULL ||
        atomic_load_explicit(&chan->fd, memory_order_relaxed) >= 0)
        return;
    // Release: who goes without the lock sees what was done under it.
    (void)atomic_fetch_and_explicit(rni_ring_tail(&chan->ring), flags, memory_order_release);
    (void)atomic_fetch_and_explicit(rni_ring_head(&chan->ring), flags, memory_order_release);
}

/* Brings the descriptor up to date. */
static void tell_fd_locked(rn_chan *chan) RN_REQUIRES(&chan->mu);
static void tell_fd_locked(rn_chan *chan)
{
    int fd = atomic_load_explicit(&chan->fd, memory_order_relaxed);

    if (fd < 0)
        return;
    bool readable = chan->closing || rn_chan_len(chan) > 0 || chan->waiters[SENDERS].first_ != NULL;
    if (readable == chan->is_readable)
        return;
    // Neither can fail: it is written only when it is 0, read only when it is not.
    eventfd_t count;
    int r = readable ? eventfd_write(fd, 1) : eventfd_read(fd, &count);
    RN_ASSERT(r == 0);
    chan->is_readable = readable;
}

static void hint_locked(rn_chan *chan) RN_REQUIRES(&chan->mu);
static void hint_locked(rn_chan *chan)
{
    unsigned waiting = chan->closing ? CLOSING : 0;

    for (unsigned i = 0; i < 2; i++)
        waiting |= chan->waiters[i].first_ != NULL ? 1U << i : 0;
    if (waiting != atomic_load_explicit(&chan->waiting, memory_order_relaxed))
        atomic_store_explicit(&chan->waiting, waiting, memory_order_release);
}

RN_UNCHECKED_LOCKING void rni_chan_unlock(rn_chan *chan)
{
    if (is_buffered(chan))
        speed_up_locked(chan);
    else
        hint_locked(chan);
    tell_fd_locked(chan);
    rn_mutex_unlock(&chan->mu);
}

// ---- Under the lock

static void add_served(struct rni_served *served, struct rn_waiter_node *node)
{
    node->next = NULL;
    if (served->first == NULL)
        served->first = node;
    else
        served->last->next = node;
    served->last = node;
}

/* With capacity 0: meets the peer that has waited longest. */
static int meet_locked(rn_chan *chan, const struct rn_case *one, struct rni_served *served)
    RN_REQUIRES(&chan->mu);
static int meet_locked(rn_chan *chan, const struct rn_case *one, struct rni_served *served)
{
    if (chan->closing)
        return -EPIPE;
    struct rn_waiter_node *peer = rni_waitlist_claim(&chan->waiters[!one->sends]);
    if (peer == NULL)
        return -EAGAIN;
    if (one->sends)
        rni_ring_copy(peer->target, one->elem, chan->ring.elem_size);
    else
        rni_ring_copy(one->ret_elem, peer->source, chan->ring.elem_size);
    add_served(served, peer);
    served->received += chan->received_fn != NULL ? 1 : 0;
    return 0;
}

/* Puts an element into the ring, or takes one out. */
static int transfer_locked(rn_chan *chan, bool sends, const void *elem, void *ret_elem,
                           struct rni_served *served) RN_REQUIRES(&chan->mu);
static int transfer_locked(rn_chan *chan, bool sends, const void *elem, void *ret_elem,
                           struct rni_served *served)
{
    if (sends)
        return rni_ring_put(&chan->ring, elem, true);
    int r = rni_ring_take(&chan->ring, ret_elem, true);
    served->received += r == 0 && chan->received_fn != NULL ? 1 : 0;
    return r;
}

/* After room was made, or an element came: serves who has waited longest for it. */
static void serve_locked(rn_chan *chan, bool sends, struct rni_served *served)
    RN_REQUIRES(&chan->mu);
static void serve_locked(rn_chan *chan, bool sends, struct rni_served *served)
{
    struct rn_waiter_node *node = rni_waitlist_claim(&chan->waiters[sends]);

    if (node == NULL)
        return;
    int r = transfer_locked(chan, sends, node->source, node->target, served);
    RN_ASSERT(r == 0);
    add_served(served, node);
}

// The lock that these are called with cannot be named in chan.h, where a channel is opaque.

RN_UNCHECKED_LOCKING int rni_chan_try_locked(rn_chan *chan, const struct rn_case *one,
                                             struct rni_served *served)
{
    if (!is_buffered(chan))
        return meet_locked(chan, one, served);
    int r = transfer_locked(chan, one->sends, one->elem, one->ret_elem, served);
    if (r == 0)
        serve_locked(chan, !one->sends, served);
    return r;
}

RN_UNCHECKED_LOCKING void rni_chan_push_locked(rn_chan *chan, const struct rn_case *one,
                                               struct rn_waiter_node *node)
{
    node->source = one->elem;
    node->target = one->ret_elem;
    rni_waitlist_push(&chan->waiters[one->sends], node);
}

void rni_chan_finish(rn_chan *chan, const struct rni_served *served)
{
    // First: a receiver that goes on finds that done, and may free the channel.
    for (unsigned i = 0; i < served->received; i++)
        chan->received_fn(chan->received_arg);
    rni_waiter_finish_all(served->first, 0);
}

void rni_chan_wait_closed(const rn_chan *chan)
{
    unsigned rounds = 0;

    while (!atomic_load_explicit(&chan->closed, memory_order_acquire))
        rni_pause(++rounds);
}

// ---- Without the lock

/* With capacity 0, as far as it can be seen without the lock. */
static inline int look(const rn_chan *chan, bool sends)
{
    if (atomic_load_explicit(&chan->closed, memory_order_acquire))
        return -EPIPE;
    unsigned waiting = atomic_load_explicit(&chan->waiting, memory_order_acquire);
    return (waiting & (CLOSING | 1U << !sends)) == 0 ? -EAGAIN : RNI_BUSY;
}

/* Sends if that needs neither waiting nor the lock: 0, -EAGAIN, -EPIPE, RNI_BUSY. */
static inline int send_fast(rn_chan *chan, const void *elem)
{
    int r = is_buffered(chan) ? rni_ring_put(&chan->ring, elem, false) : look(chan, true);

    if (r == -EPIPE && !atomic_load_explicit(&chan->closed, memory_order_acquire))
        rni_chan_wait_closed(chan);
    return r;
}

/* Receives if that needs neither waiting nor the lock: 0, -EAGAIN, -EPIPE, RNI_BUSY. */
static inline int recv_fast(rn_chan *chan, void *ret_elem)
{
    int r = is_buffered(chan) ? rni_ring_take(&chan->ring, ret_elem, false) : look(chan, false);

    if (r == 0 && chan->received_fn != NULL)
        chan->received_fn(chan->received_arg);
    else if (r == -EPIPE && !atomic_load_explicit(&chan->closed, memory_order_acquire))
        rni_chan_wait_closed(chan);
    return r;
}

static int do_fast(rn_chan *chan, const struct rn_case *one)
{
    return one->sends ? send_fast(chan, one->elem) : recv_fast(chan, one->ret_elem);
}

/* Does a case under the lock if that needs no waiting; else, with a node, has it wait. */
static int do_locked(rn_chan *chan, const struct rn_case *one, struct rn_waiter_node *node)
{
    struct rni_served served = {NULL, NULL, 0};

    rni_chan_lock(chan);
    int r = rni_chan_try_locked(chan, one, &served);
    if (r == -EAGAIN && node != NULL)
        rni_chan_push_locked(chan, one, node);
    rni_chan_unlock(chan);
    rni_chan_finish(chan, &served);
    if (r == -EPIPE)
        rni_chan_wait_closed(chan);
    return r;
}

int rni_chan_try(rn_chan *chan, const struct rn_case *one)
{
    int r = do_fast(chan, one);

    return r == RNI_BUSY ? do_locked(chan, one, NULL) : r;
}

/* While the other side runs it needs no wake-up: looks again before it has to give one. A result
 * of do_fast(), or of the context that has ended. */
static int do_spinning(rn_context *ctx, rn_chan *chan, const struct rn_case *one)
{
    struct rni_spin spin = rni_spin_start();
    int r = -EAGAIN;

    while (r == -EAGAIN && rni_spin_next(&spin)) {
        if (rn_context_err(ctx) != 0)
            r = rn_context_err(ctx);
        else if (rni_ring_is_ready(&chan->ring, one->sends))
            r = do_fast(chan, one);
    }
    rni_spin_end(r != -EAGAIN);
    return r;
}

/* Does a case that could not be done at once, waiting until it is done. */
static int do_waiting(rn_context *ctx, rn_chan *chan, const struct rn_case *one, rn_time deadline)
{
    struct rni_waiter waiter;
    struct rn_waiter_node node;
    int r = RNI_BUSY;

    rni_waiter_init(&waiter);
    rni_node_init(&node, &waiter);
    if (is_buffered(chan)) {
        r = do_spinning(ctx, chan, one);
        waiter.spun = r == -EAGAIN;
    }
    if (r == RNI_BUSY || r == -EAGAIN)
        r = do_locked(chan, one, &node);
    if (r != -EAGAIN)
        return r;

    r = rni_waiter_wait(&waiter, ctx, deadline);
    // Whoever served it, or closed the channel, took the node off the list: only those write 0 and
    // -EPIPE. After that the channel is not touched again.
    if (r == 0 || r == -EPIPE)
        return r;
    rni_chan_lock(chan);
    rni_waitlist_remove(&node);
    rni_chan_unlock(chan);
    return r;
}

// Apart from the functions that mostly need no waiting, which so need no room on the stack.

__attribute__((noinline)) static int send_slow(rn_context *ctx, rn_chan *chan, const void *elem,
                                               bool waits)
{
    struct rn_case one = rn_case_send(chan, elem);

    return waits ? do_waiting(ctx, chan, &one, RN_NEVER) : do_locked(chan, &one, NULL);
}

__attribute__((noinline)) static int recv_slow(rn_context *ctx, rn_chan *chan, rn_time deadline,
                                               void *ret_elem, bool waits)
{
    struct rn_case one = rn_case_recv(chan, ret_elem);

    return waits ? do_waiting(ctx, chan, &one, deadline) : do_locked(chan, &one, NULL);
}

// ---- The interface

int rn_chan_send(rn_context *ctx, rn_chan *chan, const void *elem)
{
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    r = send_fast(chan, elem);
    return r == 0 || r == -EPIPE ? r : send_slow(ctx, chan, elem, true);
}

int rn_chan_try_send(rn_chan *chan, const void *elem)
{
    int r = send_fast(chan, elem);

    return r != RNI_BUSY ? r : send_slow(NULL, chan, elem, false);
}

int rn_chan_recv(rn_context *ctx, rn_chan *chan, void *ret_elem)
{
    return rn_chan_recv_until(ctx, chan, RN_NEVER, ret_elem);
}

int rn_chan_recv_until(rn_context *ctx, rn_chan *chan, rn_time deadline, void *ret_elem)
{
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    r = recv_fast(chan, ret_elem);
    return r == 0 || r == -EPIPE ? r : recv_slow(ctx, chan, deadline, ret_elem, true);
}

int rn_chan_try_recv(rn_chan *chan, void *ret_elem)
{
    int r = recv_fast(chan, ret_elem);

    return r != RNI_BUSY ? r : recv_slow(NULL, chan, RN_NEVER, ret_elem, false);
}

RN_UNCHECKED_LOCKING void rn_chan_close(rn_chan *chan)
{
    rni_chan_lock(chan);
    if (chan->closing) {
        rni_chan_unlock(chan);
        return;
    }
    chan->closing = true;
    if (is_buffered(chan))
        (void)atomic_fetch_or_explicit(rni_ring_tail(&chan->ring), RNI_CLOSED,
                                       memory_order_relaxed);
    struct rn_waiter_node *receivers = rni_waitlist_claim_all(&chan->waiters[RECEIVERS]);
    struct rn_waiter_node *senders = rni_waitlist_claim_all(&chan->waiters[SENDERS]);
    rni_chan_unlock(chan);
    atomic_store_explicit(&chan->closed, true, memory_order_release);
    // The channel may be gone.
    rni_waiter_finish_all(receivers, -EPIPE);
    rni_waiter_finish_all(senders, -EPIPE);
}

size_t rn_chan_len(const rn_chan *chan)
{
    return is_buffered(chan) ? rni_ring_count(&chan->ring) : 0;
}

size_t rn_chan_cap(const rn_chan *chan)
{
    return chan->ring.capacity;
}

size_t rn_chan_elem_size(const rn_chan *chan)
{
    return chan->ring.elem_size;
}

int rn_chan_fd(rn_chan *chan)
{
    int fd = atomic_load_explicit(&chan->fd, memory_order_acquire);

    if (fd >= 0)
        return fd;
    int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0)
        return -errno;
    rni_chan_lock(chan);
    fd = atomic_load_explicit(&chan->fd, memory_order_relaxed);
    if (fd < 0) {
        fd = made;
        made = -1;
        atomic_store_explicit(&chan->fd, fd, memory_order_release); // stays SLOW
    }
    rni_chan_unlock(chan);
    if (made >= 0)
        (void)close(made); // another thread was faster
    return fd;
}
