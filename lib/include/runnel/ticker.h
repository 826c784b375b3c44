/** \file
 * Timers, which call a function at an instant, and tickers, which send on a channel again and again
 * (Go: time.AfterFunc, time.Ticker).
 *
 * All run on one thread of the process, "rn-timer", which is started when first needed. So a
 * timer's function must not block; what takes time belongs elsewhere. A child by fork has no such
 * thread: it may only go on to exec.
 */
#ifndef RUNNEL_TICKER_H
#define RUNNEL_TICKER_H

#include <stdbool.h>

#include <runnel/chan.h>
#include <runnel/clock.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A timer. */
typedef struct rn_timer rn_timer;

/**
 * Makes a timer that is not running.
 *
 * @param fn         called on the timer thread each time that the timer runs out; must not block;
 *                   may start, stop and free its own timer
 * @param arg        passed to fn
 * @param ret_timer  the new timer
 *
 * **Ownership:** *ret_timer is new: rn_timer_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; -EAGAIN the timer thread could not be started. *ret_timer is untouched then.
 */
RN_API RN_MUST_CHECK int rn_timer_new(void (*fn)(void *arg), void *arg, rn_timer **ret_timer);

/**
 * Has the timer run out, once, at an instant; one that is running is set anew (Go: Reset).
 *
 * @param at  an instant that has passed: at once; RN_NEVER: as stopped
 * @return true: it was running and its function will not be called for that start
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any, its own function included.
 * **Errors:** none: room for it was made by rn_timer_new().
 */
RN_API bool rn_timer_start(rn_timer *timer, rn_time at);

/**
 * Stops a timer: when this returns, its function is not running and will not run before the timer
 * is started again.
 *
 * @return true: it was running and its function has not been called for that start
 *
 * **Ownership:** none. **Blocking:** while its function runs, unless called from within it: so no
 * lock may be held that the function takes. **Threads:** any. **Errors:** none.
 */
RN_API bool rn_timer_stop(rn_timer *timer);

/**
 * Stops and frees a timer. NULL is allowed.
 *
 * **Ownership:** takes the timer. **Blocking:** as rn_timer_stop(). **Threads:** the last that uses
 * it, its own function included. **Errors:** none.
 */
RN_API void rn_timer_free(rn_timer *timer);

/** A ticker. */
typedef struct rn_ticker rn_ticker;

/**
 * Makes a ticker, which runs at once: the first tick comes after one period.
 *
 * @param period      above 0
 * @param ret_ticker  the new ticker
 *
 * **Ownership:** *ret_ticker is new: rn_ticker_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EINVAL period; -ENOMEM; -EAGAIN the timer thread could not be started. *ret_ticker
 * is untouched then.
 */
RN_API RN_MUST_CHECK int rn_ticker_new(rn_duration period, rn_ticker **ret_ticker);

/**
 * Gives the channel of the ticks: elements rn_time, the instant of each tick. It keeps one; while
 * nobody takes it, further ticks are left out. It is never closed.
 *
 * **Ownership:** borrowed from the ticker. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_chan *rn_ticker_chan(rn_ticker *ticker);

/**
 * Starts anew with another period, also after a stop: the next tick comes one period from now. A
 * tick that is in the channel stays.
 *
 * @param period  above 0
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_ticker_reset(rn_ticker *ticker, rn_duration period);

/**
 * Stops: when this returns no further tick is sent. A tick that is in the channel stays.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_ticker_stop(rn_ticker *ticker);

/**
 * Stops and frees a ticker and its channel. NULL is allowed.
 *
 * **Ownership:** takes the ticker. **Blocking:** never. **Threads:** the last that uses it or its
 * channel. **Errors:** none.
 */
RN_API void rn_ticker_free(rn_ticker *ticker);

#ifdef __cplusplus
}
#endif
#endif
