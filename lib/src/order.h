/** \file The window in which several workers of a stage put their results back into the order of
 * its inputs. */
#ifndef RUNNEL_SRC_ORDER_H
#define RUNNEL_SRC_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/chan.h>
#include <runnel/context.h>

/** A window. */
struct rni_order;

/** A window of that many results of elem_size bytes. -ENOMEM. */
RN_MUST_CHECK int rni_order_new(size_t window, size_t elem_size, struct rni_order **ret_order);

/** Frees a window that nobody uses. NULL is allowed. */
void rni_order_free(struct rni_order *order);

/**
 * Takes the next element out of a channel, with its number: from 0, in the order in which they come
 * out. Waits while the window is full too. Errors as rn_chan_recv().
 */
RN_MUST_CHECK int rni_order_take(rn_context *ctx, struct rni_order *order, rn_chan *chan,
                                 void *ret_elem, uint64_t *ret_number);

/** The place of the result of a number, aligned for any type: its taker's until it finishes. */
void *rni_order_place(struct rni_order *order, uint64_t number);

/** Waits until all lower numbers are through: then their taker may send results by itself. */
RN_MUST_CHECK int rni_order_wait_turn(rn_context *ctx, struct rni_order *order, uint64_t number);

/**
 * Says that a number is done. If all lower ones are through, sends its result, and those behind it
 * that wait for that, to out, and counts them in *sent, which the caller alone writes. Errors as
 * rn_chan_send(): what was not sent is left then.
 */
RN_MUST_CHECK int rni_order_finish(rn_context *ctx, struct rni_order *order, uint64_t number,
                                   bool has_result, rn_chan *out, _Atomic uint64_t *sent);

/** Takes out the first of the results that were not sent, when the workers have left; NULL: there
 * is none. Valid until the window is freed. */
void *rni_order_take_left(struct rni_order *order);

#endif
