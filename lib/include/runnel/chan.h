/** \file
 * Channels: elements of one size go from senders to receivers, in order (Go: chan T).
 *
 * A channel with a capacity keeps that many elements; one with capacity 0 hands each over from a
 * sender to a receiver, and the sender waits for that. Closing says that no more comes: what is
 * inside is still received, then receivers see -EPIPE. Unlike in Go, sending on a closed channel
 * and closing twice are no faults, because a race can cause them: they answer -EPIPE and do
 * nothing.
 */
#ifndef RUNNEL_CHAN_H
#define RUNNEL_CHAN_H

#include <stddef.h>

#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A channel. */
typedef struct rn_chan rn_chan;

/**
 * Makes a channel.
 *
 * @param elem_size  bytes of an element; with 0 an element is only the fact that it came
 * @param capacity   elements that it keeps; 0: none, every sender meets its receiver
 * @param ret_chan   the new channel
 *
 * **Ownership:** *ret_chan is new: rn_chan_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM, also when elem_size times capacity is out of range; *ret_chan is untouched.
 */
RN_API RN_MUST_CHECK int rn_chan_new(size_t elem_size, size_t capacity, rn_chan **ret_chan);

/**
 * Frees a channel that nobody waits on, and forgets what is inside. NULL is allowed.
 *
 * **Ownership:** takes chan; elements that point somewhere are the caller's concern.
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_chan_free(rn_chan *chan);

/**
 * Sends a copy of one element, waiting while the channel is full, or, with capacity 0, until a
 * receiver has taken it.
 *
 * @param ctx   ends the wait when it ends; NULL never does
 * @param chan  the channel
 * @param elem  elem_size bytes; copied before the call returns
 *
 * **Ownership:** chan and elem borrowed.
 * **Blocking:** until there is room or a receiver, the channel is closed, or ctx ends. A ctx that
 * has ended already wins.
 * **Threads:** any number of senders and receivers at once.
 * **Errors:** -EPIPE closed; -ECANCELED or -ETIMEDOUT as rn_context_err(ctx). On every error
 * nothing was sent.
 */
RN_API RN_MUST_CHECK int rn_chan_send(rn_context *ctx, rn_chan *chan, const void *elem);

/**
 * Receives one element, waiting until there is one.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param chan      the channel
 * @param ret_elem  elem_size bytes; NULL throws the element away
 *
 * **Ownership:** the element is the caller's.
 * **Blocking:** until an element comes, the channel is closed, or ctx ends. A ctx that has ended
 * already wins, also over elements that are there.
 * **Threads:** any number of senders and receivers at once.
 * **Errors:** -EPIPE closed and empty; -ECANCELED or -ETIMEDOUT as rn_context_err(ctx). On every
 * error nothing was received and *ret_elem is untouched.
 */
RN_API RN_MUST_CHECK int rn_chan_recv(rn_context *ctx, rn_chan *chan, void *ret_elem);

/**
 * As rn_chan_recv(), with a deadline of its own besides that of ctx.
 *
 * **Ownership:** as rn_chan_recv(). **Blocking:** as rn_chan_recv(), and at most until deadline; an
 * element that is there is received even when the deadline has passed.
 * **Threads:** as rn_chan_recv(). **Errors:** as rn_chan_recv(), and -ETIMEDOUT the deadline
 * passed.
 */
RN_API RN_MUST_CHECK int rn_chan_recv_until(rn_context *ctx, rn_chan *chan, rn_time deadline,
                                            void *ret_elem);

/**
 * Sends one element if that needs no waiting.
 *
 * **Ownership:** as rn_chan_send(). **Blocking:** never. **Threads:** as rn_chan_send().
 * **Errors:** -EAGAIN full, or, with capacity 0, no receiver waits; -EPIPE closed.
 */
RN_API RN_MUST_CHECK int rn_chan_try_send(rn_chan *chan, const void *elem);

/**
 * Receives one element if there is one.
 *
 * **Ownership:** as rn_chan_recv(). **Blocking:** never. **Threads:** as rn_chan_recv().
 * **Errors:** -EAGAIN empty, or, with capacity 0, no sender waits; -EPIPE closed and empty.
 */
RN_API RN_MUST_CHECK int rn_chan_try_recv(rn_chan *chan, void *ret_elem);

/**
 * Closes a channel: nothing more can be sent, and who waits to send gets -EPIPE; receivers take
 * what is inside, then get -EPIPE. Closing again does nothing.
 *
 * **Ownership:** none; the channel still has to be freed. **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
RN_API void rn_chan_close(rn_chan *chan);

/**
 * Counts the elements inside, as they are at this moment.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API size_t rn_chan_len(const rn_chan *chan);

/**
 * Gives the capacity, in elements.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API size_t rn_chan_cap(const rn_chan *chan);

#ifdef __cplusplus
}
#endif
#endif
