/** \file
 * A token bucket (Go: golang.org/x/time/rate).
 *
 * A limiter has tokens, at most `burst` of them, full at first, which come back at a rate. What
 * wants to happen takes tokens. Most callers use rn_limiter_wait(); rn_limiter_allow() where what
 * comes too fast is left out; rn_limiter_reserve() or rn_limiter_ready_at() where the caller waits
 * in his own way. Functions that end in `_at` are given the instant and never read a clock.
 *
 * A limiter is safe for use by many threads at once.
 */
#ifndef RUNNEL_LIMITER_H
#define RUNNEL_LIMITER_H

#include <math.h>
#include <stdbool.h>

#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A limiter. */
typedef struct rn_limiter rn_limiter;

/** The rate of a limiter that allows everything, whatever its burst. */
#define RN_RATE_INFINITE ((double)HUGE_VAL)

/**
 * The rate at which one token comes in an interval (Go: rate.Every).
 *
 * @param interval  0 or less: RN_RATE_INFINITE
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
static inline double rn_rate_every(rn_duration interval)
{
    return interval > 0 ? (double)RN_SECOND / (double)interval : RN_RATE_INFINITE;
}

/** What rn_limiter_reserve() has set aside. */
typedef struct rn_reservation {
    bool ok;             // false: there will never be that many tokens
    rn_limiter *limiter; // borrowed
    unsigned tokens;     // how many
    rn_time at;          // the instant from which the holder may act
    double tokens_per_s; // the rate by which `at` was found
} rn_reservation;

/**
 * Makes a limiter, with a full bucket.
 *
 * @param tokens_per_s  the rate, 0 or more: with 0 no token ever comes back; RN_RATE_INFINITE
 * @param burst         the size of the bucket, in tokens: with 0 nothing is allowed but at an
 *                      infinite rate
 * @param ret_limiter   the new limiter
 *
 * **Ownership:** *ret_limiter is new: rn_limiter_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EINVAL tokens_per_s; -ENOMEM. *ret_limiter is untouched then.
 */
RN_API RN_MUST_CHECK int rn_limiter_new(double tokens_per_s, unsigned burst,
                                        rn_limiter **ret_limiter);

/**
 * Frees a limiter. NULL is allowed.
 *
 * **Ownership:** takes it. **Blocking:** never. **Threads:** the last that uses it. **Errors:**
 * none.
 */
RN_API void rn_limiter_free(rn_limiter *limiter);

/**
 * Shorthand for rn_limiter_allow_n(limiter, 1).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API bool rn_limiter_allow(rn_limiter *limiter);

/**
 * Shorthand for rn_limiter_allow_at(limiter, rn_now(), n).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API bool rn_limiter_allow_n(rn_limiter *limiter, unsigned n);

/**
 * Takes n tokens if they are there.
 *
 * @return whether they were
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API bool rn_limiter_allow_at(rn_limiter *limiter, rn_time now, unsigned n);

/**
 * Says from when on n tokens are there if nobody takes any: then rn_limiter_allow_at() with that
 * instant takes them.
 *
 * @return now: at once; RN_NEVER: never, because n is above the burst or the rate is 0
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_time rn_limiter_ready_at(rn_limiter *limiter, rn_time now, unsigned n);

/**
 * Shorthand for rn_limiter_reserve_n(limiter, 1).
 *
 * **Ownership:** as rn_limiter_reserve_at(). **Blocking:** never. **Threads:** any.
 * **Errors:** none; see `ok`.
 */
RN_API rn_reservation rn_limiter_reserve(rn_limiter *limiter);

/**
 * Shorthand for rn_limiter_reserve_at(limiter, rn_now(), n).
 *
 * **Ownership:** as rn_limiter_reserve_at(). **Blocking:** never. **Threads:** any.
 * **Errors:** none; see `ok`.
 */
RN_API rn_reservation rn_limiter_reserve_n(rn_limiter *limiter, unsigned n);

/**
 * Takes n tokens now, ahead of their coming, and says from when on the holder may act.
 *
 * @return `ok` false: n is above the burst, or they never come at this rate; nothing was taken
 *
 * **Ownership:** a value; it borrows the limiter. **Blocking:** never. **Threads:** any.
 * **Errors:** none; see `ok`.
 */
RN_API rn_reservation rn_limiter_reserve_at(rn_limiter *limiter, rn_time now, unsigned n);

/**
 * Shorthand for rn_reservation_delay_at(reservation, rn_now()).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_duration rn_reservation_delay(const rn_reservation *reservation);

/**
 * Says how long from now the holder has to wait.
 *
 * @return 0: may act; RN_NEVER (as a length): never
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_duration rn_reservation_delay_at(const rn_reservation *reservation, rn_time now);

/**
 * Shorthand for rn_reservation_cancel_at(reservation, rn_now()).
 *
 * **Ownership:** as rn_reservation_cancel_at(). **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
RN_API void rn_reservation_cancel(const rn_reservation *reservation);

/**
 * Gives back what was reserved, as far as later reservations do not rest on it; nothing once the
 * holder may act.
 *
 * **Ownership:** the reservation must not be used again. **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
RN_API void rn_reservation_cancel_at(const rn_reservation *reservation, rn_time now);

/**
 * Shorthand for rn_limiter_wait_n(ctx, limiter, 1).
 *
 * **Ownership:** none. **Blocking:** as rn_limiter_wait_n(). **Threads:** any.
 * **Errors:** as rn_limiter_wait_n().
 */
RN_API RN_MUST_CHECK int rn_limiter_wait(rn_context *ctx, rn_limiter *limiter);

/**
 * Takes n tokens, waiting for them. Waiting callers are served in the order in which they came. A
 * rate that is changed meanwhile holds for those who come later, and for those to whom the old one
 * (0) would never have given their tokens.
 *
 * **Ownership:** none.
 * **Blocking:** until the tokens have come or ctx ends; a ctx that has ended already wins.
 * **Threads:** any.
 * **Errors:** -EMSGSIZE n is above the burst; -ETIMEDOUT at once when the deadline of ctx comes
 * before the tokens; as rn_context_err(ctx). No token was taken then, as far as others that wait do
 * not rest on them.
 */
RN_API RN_MUST_CHECK int rn_limiter_wait_n(rn_context *ctx, rn_limiter *limiter, unsigned n);

/**
 * Shorthand for rn_limiter_set_limit_at(limiter, rn_now(), tokens_per_s).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_limiter_set_limit(rn_limiter *limiter, double tokens_per_s);

/**
 * Changes the rate; the tokens that have come until now stay.
 *
 * @param tokens_per_s  0 or more, or RN_RATE_INFINITE
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_limiter_set_limit_at(rn_limiter *limiter, rn_time now, double tokens_per_s);

/**
 * Shorthand for rn_limiter_set_burst_at(limiter, rn_now(), burst).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_limiter_set_burst(rn_limiter *limiter, unsigned burst);

/**
 * Changes the size of the bucket; tokens above it are gone, a larger one fills at the rate.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_limiter_set_burst_at(rn_limiter *limiter, rn_time now, unsigned burst);

/**
 * Gives the rate, in tokens per second.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API double rn_limiter_limit(rn_limiter *limiter);

/**
 * Gives the size of the bucket, in tokens.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API unsigned rn_limiter_burst(rn_limiter *limiter);

/**
 * Shorthand for rn_limiter_tokens_at(limiter, rn_now()).
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API double rn_limiter_tokens(rn_limiter *limiter);

/**
 * Counts the tokens that are there; below 0 when more are reserved than there are.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API double rn_limiter_tokens_at(rn_limiter *limiter, rn_time now);

/**
 * Sets how many tokens are there, as after a restart; what was reserved is forgotten.
 *
 * @param tokens  below 0 (or no number) counts as 0, above the burst as the burst
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_limiter_set_tokens_at(rn_limiter *limiter, rn_time now, double tokens);

#ifdef __cplusplus
}
#endif
#endif
