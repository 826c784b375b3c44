/** \file A channel from the inside: what select and the service need of it. */
#ifndef RUNNEL_SRC_CHAN_H
#define RUNNEL_SRC_CHAN_H

#include <stdbool.h>

#include <runnel/chan.h>
#include <runnel/sync.h>

#include "waiter.h"

/** What is to be done after the lock has been given back. */
struct rni_served {
    struct rn_waiter_node *first; // claimed; their waiters are to be finished with 0
    struct rn_waiter_node *last;
    unsigned received; // elements for which received_fn is to be called
};

/**
 * Has a function called after each element that is received from the channel, on the thread that
 * receives it or hands it over, with no lock of the channel held. Once, before another thread has
 * the channel.
 */
void rni_chan_on_receive(rn_chan *chan, void (*received_fn)(void *arg), void *arg);

/** Does a case if that needs no waiting: 0, -EPIPE, or -EAGAIN. */
RN_MUST_CHECK int rni_chan_try(rn_chan *chan, const struct rn_case *one);

/** Takes the lock, without which nobody sends or receives until it is given back. */
void rni_chan_lock(rn_chan *chan);

/** Gives the lock back. */
void rni_chan_unlock(rn_chan *chan);

/** As rni_chan_try(). The lock is held. */
RN_MUST_CHECK int rni_chan_try_locked(rn_chan *chan, const struct rn_case *one,
                                      struct rni_served *served);

/** Has a case wait that could not be done. The lock is held. */
void rni_chan_push_locked(rn_chan *chan, const struct rn_case *one, struct rn_waiter_node *node);

/** Does what was left for after the lock. The channel is not touched if nothing was received. */
void rni_chan_finish(rn_chan *chan, const struct rni_served *served);

/** After -EPIPE from one of the above: waits until who closes the channel has let go of it. */
void rni_chan_wait_closed(const rn_chan *chan);

#endif
