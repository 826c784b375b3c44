/*
 * Timers and tickers for users of the library: a handle around struct rni_timer.
 *
 * A ticker's function owns `next` and `period` while its timer is armed or runs; reset and stop
 * touch them only after they have stopped the timer. `mu` keeps those apart from each other; the
 * function does not take it.
 */
#include <runnel/ticker.h>

#include <stdlib.h>

#include <runnel/sync.h>

#include "timer.h"

struct rn_timer {
    struct rni_timer timer;
};

struct rn_ticker {
    struct rni_timer timer;
    rn_chan *chan; // elements rn_time, capacity 1; set once by new
    rn_mutex mu;   // rank 55; who stops and starts the timer
    rn_duration period;
    rn_time next; // the instant for which the timer is armed
};

int rn_timer_new(void (*fn)(void *arg), void *arg, rn_timer **ret_timer)
{
    RN_ASSERT(fn != NULL);
    rn_timer *timer = malloc(sizeof(*timer));
    if (timer == NULL)
        return -ENOMEM;
    int r = rni_timer_init(&timer->timer, fn, arg);
    if (r < 0) {
        free(timer);
        return r;
    }
    *ret_timer = timer;
    return 0;
}

bool rn_timer_start(rn_timer *timer, rn_time at)
{
    return rni_timer_arm(&timer->timer, at);
}

bool rn_timer_stop(rn_timer *timer)
{
    return rni_timer_stop(&timer->timer);
}

void rn_timer_free(rn_timer *timer)
{
    if (timer == NULL)
        return;
    rni_timer_fini(&timer->timer);
    free(timer);
}

static rn_time later(rn_time at, rn_duration period)
{
    return period > RN_NEVER - at ? RN_NEVER : at + period;
}

/* The function of a ticker's timer. */
static void tick(void *arg)
{
    rn_ticker *ticker = arg;
    rn_time now = rn_now();
    int r = rn_chan_try_send(ticker->chan, &now);

    RN_ASSERT(r == 0 || r == -EAGAIN); // -EAGAIN: nobody has taken the last one; this is left out
    ticker->next = later(ticker->next, ticker->period);
    if (ticker->next <= now) {
        // Late by more than a period: leaves ticks out, and keeps to the beat.
        rn_duration late = now - ticker->next;
        ticker->next = later(now, ticker->period - late % ticker->period);
    }
    (void)rni_timer_arm(&ticker->timer, ticker->next);
}

static void start(rn_ticker *ticker, rn_duration period)
{
    ticker->period = period;
    ticker->next = later(rn_now(), period);
    (void)rni_timer_arm(&ticker->timer, ticker->next);
}

int rn_ticker_new(rn_duration period, rn_ticker **ret_ticker)
{
    if (period <= 0)
        return -EINVAL;
    rn_ticker *ticker = calloc(1, sizeof(*ticker));
    if (ticker == NULL)
        return -ENOMEM;
    int r = rn_chan_new(sizeof(rn_time), 1, &ticker->chan);
    if (r == 0)
        r = rni_timer_init(&ticker->timer, tick, ticker);
    if (r < 0) {
        rn_chan_free(ticker->chan);
        free(ticker);
        return r;
    }
    rn_mutex_init(&ticker->mu, 55);
    start(ticker, period);
    *ret_ticker = ticker;
    return 0;
}

rn_chan *rn_ticker_chan(rn_ticker *ticker)
{
    return ticker->chan;
}

void rn_ticker_reset(rn_ticker *ticker, rn_duration period)
{
    RN_ASSERT(period > 0);
    rn_mutex_lock(&ticker->mu);
    (void)rni_timer_stop(&ticker->timer);
    start(ticker, period);
    rn_mutex_unlock(&ticker->mu);
}

void rn_ticker_stop(rn_ticker *ticker)
{
    rn_mutex_lock(&ticker->mu);
    (void)rni_timer_stop(&ticker->timer);
    rn_mutex_unlock(&ticker->mu);
}

void rn_ticker_free(rn_ticker *ticker)
{
    if (ticker == NULL)
        return;
    rni_timer_fini(&ticker->timer);
    rn_mutex_fini(&ticker->mu);
    rn_chan_free(ticker->chan);
    free(ticker);
}
