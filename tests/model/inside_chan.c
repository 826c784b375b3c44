/* The library's chan.c, and a check of its second invariant in each state. */
#include "chan.c"

#include "model.h"

static const struct rni_waiter *first_open(const struct rn_waitlist *list)
{
    for (const struct rn_waiter_node *node = list->first_; node != NULL; node = node->next) {
        if (is_left(node) || node->list != list) {
            wrong("on a list is what a thread had on its stack, and has left");
            return NULL;
        }
        if (waiter_is_open(node->waiter))
            return node->waiter;
    }
    return NULL;
}

void check_chan(const rn_chan *chan)
{
    if (!mutex_is_free(&chan->mu.native_))
        return;
    const struct rni_waiter *receiver = first_open(&chan->waiters[RECEIVERS]);
    const struct rni_waiter *sender = first_open(&chan->waiters[SENDERS]);
    if (receiver == NULL && sender == NULL)
        return;
    if (chan->closing)
        wrong("somebody waits on a closed channel");
    if (!is_buffered(chan)) {
        if (receiver != NULL && sender != NULL && receiver != sender)
            wrong("a sender and a receiver wait for each other");
        return;
    }
    uint64_t tail = atomic_load_explicit(rni_ring_tail(&chan->ring), memory_order_relaxed);
    uint64_t head = atomic_load_explicit(rni_ring_head(&chan->ring), memory_order_relaxed);
    uint64_t position = tail >> RNI_FLAG_BITS;
    uint64_t oldest = head >> RNI_FLAG_BITS;
    if ((tail & head & RNI_SLOW) == 0)
        wrong("somebody waits, and the ring is not SLOW");
    if (receiver != NULL && position != oldest)
        wrong("a receiver waits on a channel with an element");
    if (sender != NULL && position != oldest + ((uint64_t)1 << chan->ring.lap_bits))
        wrong("a sender waits on a channel with room");
}
