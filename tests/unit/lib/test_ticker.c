/* Timers and tickers. */
#include <runnel/ticker.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/group.h>

#include "fault.h"
#include "unit.h"

/* What a timer's function has done; `fired` gets an element for each call. */
struct timer_case {
    rn_timer *timer;
    rn_chan *fired;
    _Atomic int calls;
    int rearms;
    bool stopped_within;
    char thread_name[16];
};

static void on_timer(void *arg)
{
    struct timer_case *own = arg;
    rn_time now = rn_now();

    atomic_fetch_add(&own->calls, 1);
    (void)pthread_getname_np(pthread_self(), own->thread_name, sizeof(own->thread_name));
    if (own->rearms-- > 0)
        rn_timer_start(own->timer, 0);
    (void)!rn_chan_try_send(own->fired, &now);
}

static void stop_within(void *arg)
{
    struct timer_case *own = arg;
    rn_time now = rn_now();

    rn_timer_start(own->timer, rn_after(RN_HOUR));
    own->stopped_within = rn_timer_stop(own->timer);
    (void)!rn_chan_try_send(own->fired, &now);
}

static void free_within(void *arg)
{
    struct timer_case *own = arg;
    rn_time now = rn_now();

    rn_timer_free(RN_TAKE(own->timer));
    (void)!rn_chan_try_send(own->fired, &now);
}

static void begin(struct timer_case *own, void (*fn)(void *arg))
{
    *own = (struct timer_case){.calls = 0};
    assert_int_equal(rn_chan_new(sizeof(rn_time), 8, &own->fired), 0);
    assert_int_equal(rn_timer_new(fn, own, &own->timer), 0);
}

static void end(struct timer_case *own)
{
    rn_timer_free(own->timer);
    rn_chan_free(own->fired);
}

static rn_time wait_for_call(struct timer_case *own)
{
    rn_time at = 0;
    assert_int_equal(rn_chan_recv_until(NULL, own->fired, rn_after(RN_MINUTE), &at), 0);
    return at;
}

static void a_timer_fires_once_and_not_before_its_instant(void **state)
{
    (void)state;
    struct timer_case own;
    begin(&own, on_timer);
    rn_time at = rn_after(2 * RN_MILLISECOND);

    rn_timer_start(own.timer, at);

    assert_true(wait_for_call(&own) >= at);
    assert_false(rn_timer_stop(own.timer));
    assert_int_equal(atomic_load(&own.calls), 1);
    assert_string_equal(own.thread_name, "rn-timer");
    end(&own);
}

static void a_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    struct timer_case own;
    struct timer_case other;
    begin(&own, on_timer);
    begin(&other, on_timer);

    assert_false(rn_timer_stop(own.timer));
    rn_timer_start(own.timer, rn_after(RN_MINUTE));
    assert_true(rn_timer_stop(own.timer));
    assert_false(rn_timer_stop(own.timer));
    rn_timer_start(own.timer, rn_after(RN_HOUR));
    rn_timer_start(own.timer, RN_NEVER);
    assert_false(rn_timer_stop(own.timer));
    rn_timer_start(other.timer, 0);
    (void)wait_for_call(&other);

    assert_int_equal(atomic_load(&own.calls), 0);
    end(&own);
    end(&other);
}

static void starting_again_moves_the_instant(void **state)
{
    (void)state;
    struct timer_case own;
    begin(&own, on_timer);
    assert_false(rn_timer_start(own.timer, rn_after(RN_HOUR)));
    assert_true(rn_timer_start(own.timer, rn_after(RN_MILLISECOND)));
    (void)wait_for_call(&own);
    assert_false(rn_timer_stop(own.timer));
    assert_false(rn_timer_start(own.timer, rn_after(RN_HOUR)));
    assert_true(rn_timer_start(own.timer, RN_NEVER));
    assert_false(rn_timer_start(own.timer, RN_NEVER));
    assert_int_equal(atomic_load(&own.calls), 1);
    end(&own);
}

static void a_timer_may_start_itself_again(void **state)
{
    (void)state;
    struct timer_case own;
    begin(&own, on_timer);
    own.rearms = 3;
    rn_timer_start(own.timer, 0);
    for (int i = 0; i < 4; i++)
        (void)wait_for_call(&own);
    assert_false(rn_timer_stop(own.timer));
    assert_int_equal(atomic_load(&own.calls), 4);
    end(&own);
}

static void a_timer_may_stop_itself(void **state)
{
    (void)state;
    struct timer_case own;
    begin(&own, stop_within);
    rn_timer_start(own.timer, 0);
    (void)wait_for_call(&own);
    assert_false(rn_timer_stop(own.timer));
    assert_true(own.stopped_within);
    end(&own);
}

static void a_timer_may_free_itself(void **state)
{
    (void)state;
    struct timer_case own;
    begin(&own, free_within);
    rn_timer_start(own.timer, 0);
    (void)wait_for_call(&own);
    end(&own);
}

enum {
    MANY = 300,
};

static struct {
    rn_chan *order;
    rn_time at[MANY];
} many;

static void note_order(void *arg)
{
    rn_time *at = arg;
    (void)!rn_chan_try_send(many.order, at);
}

static void many_timers_fire_in_the_order_of_their_instants(void **state)
{
    (void)state;
    rn_timer *timers[MANY];
    unsigned seed = 7;
    rn_time last = 0;
    int stopped = 0;
    assert_int_equal(rn_chan_new(sizeof(rn_time), MANY, &many.order), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(rn_timer_new(note_order, &many.at[i], &timers[i]), 0);
    // In the future: all are armed before the first is due.
    rn_time base = rn_after(50 * RN_MILLISECOND);

    for (int i = 0; i < MANY; i++) {
        rn_timer_start(timers[i], base + rand_r(&seed) % 1000);
        many.at[i] = base + rand_r(&seed) % 1000 * RN_MICROSECOND;
        rn_timer_start(timers[i], many.at[i]);
        if (i % 3 == 0 && rn_timer_stop(timers[i / 2]))
            stopped++;
    }
    for (int i = 0; i < MANY - stopped; i++) {
        rn_time at = 0;
        assert_int_equal(rn_chan_recv_until(NULL, many.order, rn_after(RN_MINUTE), &at), 0);
        assert_true(at >= last);
        last = at;
    }

    assert_true(stopped > 0);
    assert_int_equal(rn_chan_try_recv(many.order, NULL), -EAGAIN);
    for (int i = 0; i < MANY; i++)
        rn_timer_free(timers[i]);
    rn_chan_free(many.order);
}

/* The sanitizers see it if this runs at the same time as its timer's owner, or after him. */
static void use_memory(void *arg)
{
    int *memory = arg;
    (*memory)++;
}

static int start_stop_free(rn_context *ctx, void *arg)
{
    unsigned seed = *(const unsigned *)arg;

    (void)ctx;
    for (int i = 0; i < 300; i++) {
        rn_timer *timer = NULL;
        int *memory = calloc(1, sizeof(*memory));
        if (memory == NULL || rn_timer_new(use_memory, memory, &timer) < 0)
            return -ENOMEM;
        for (int j = 0; j < 4; j++) {
            rn_timer_start(timer, rn_after(rand_r(&seed) % 60 * RN_MICROSECOND));
            if (rand_r(&seed) % 2 == 0)
                (void)sched_yield();
            if (rand_r(&seed) % 2 == 0) {
                (void)rn_timer_stop(timer);
                (*memory)++;
            }
        }
        rn_timer_free(timer);
        free(memory);
    }
    return 0;
}

static void stopped_and_freed_timers_are_not_touched(void **state)
{
    (void)state;
    rn_group *group = NULL;
    unsigned seeds[] = {1, 2, 3};
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_group_go(group, "timers", start_stop_free, &seeds[i]), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
}

static void a_timer_needs_memory(void **state)
{
    (void)state;
    struct timer_case own = {.calls = 0};
    fault_fail_malloc(1);
    assert_int_equal(rn_timer_new(on_timer, &own, &own.timer), -ENOMEM);
    assert_true(fault_reached());
    assert_null(own.timer);
    rn_timer_free(NULL);
}

/* Runs first: afterwards the thread is there. */
static void without_the_timer_thread_nothing_is_made(void **state)
{
    (void)state;
    struct timer_case own = {.calls = 0};
    rn_ticker *ticker = NULL;
    rn_context *ctx = NULL;

    fault_fail_from(FAULT_PTHREAD_CREATE, 1, EAGAIN);
    assert_int_equal(rn_timer_new(on_timer, &own, &own.timer), -EAGAIN);
    assert_int_equal(rn_ticker_new(RN_SECOND, &ticker), -EAGAIN);
    assert_int_equal(rn_context_with_timeout(NULL, RN_SECOND, &ctx), -EAGAIN);
    assert_true(fault_reached());

    assert_null(own.timer);
    assert_null(ticker);
    assert_null(ctx);
}

// ---- Tickers

static rn_time wait_for_tick(rn_ticker *ticker)
{
    rn_time at = 0;
    rn_chan *chan = rn_ticker_chan(ticker);
    assert_int_equal(rn_chan_recv_until(NULL, chan, rn_after(RN_MINUTE), &at), 0);
    return at;
}

static void a_ticker_keeps_to_its_beat(void **state)
{
    (void)state;
    rn_ticker *ticker = NULL;
    rn_time start = rn_now();
    assert_int_equal(rn_ticker_new(RN_MILLISECOND, &ticker), 0);
    for (int i = 1; i <= 5; i++)
        assert_true(wait_for_tick(ticker) >= start + i * RN_MILLISECOND);
    rn_ticker_free(ticker);
    rn_ticker_free(NULL);
}

static void ticks_that_nobody_takes_are_left_out(void **state)
{
    (void)state;
    rn_ticker *ticker = NULL;
    struct timer_case later;
    begin(&later, on_timer);
    assert_int_equal(rn_ticker_new(100 * RN_MICROSECOND, &ticker), 0);
    // One thread serves both in the order of their instants: ticks came before this.
    rn_timer_start(later.timer, rn_after(RN_MILLISECOND));
    (void)wait_for_call(&later);
    rn_ticker_stop(ticker);

    assert_int_equal(rn_chan_len(rn_ticker_chan(ticker)), 1);
    (void)wait_for_tick(ticker);
    assert_int_equal(rn_chan_try_recv(rn_ticker_chan(ticker), NULL), -EAGAIN);
    rn_ticker_free(ticker);
    end(&later);
}

static void reset_starts_anew_also_after_a_stop(void **state)
{
    (void)state;
    rn_ticker *ticker = NULL;
    assert_int_equal(rn_ticker_new(RN_HOUR, &ticker), 0);
    rn_ticker_stop(ticker);
    rn_ticker_stop(ticker);

    rn_time start = rn_now();
    rn_ticker_reset(ticker, RN_MILLISECOND);
    assert_true(wait_for_tick(ticker) >= start + RN_MILLISECOND);
    rn_ticker_reset(ticker, INT64_MAX);

    rn_ticker_free(ticker);
}

static void a_period_that_is_none_is_refused(void **state)
{
    (void)state;
    rn_ticker *ticker = NULL;
    assert_int_equal(rn_ticker_new(0, &ticker), -EINVAL);
    assert_int_equal(rn_ticker_new(-1, &ticker), -EINVAL);
    assert_null(ticker);
}

static void a_ticker_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        rn_ticker *ticker = NULL;
        fault_fail_malloc(nth);
        int r = rn_ticker_new(RN_HOUR, &ticker);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            rn_ticker_free(ticker);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(ticker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_timer_thread_nothing_is_made),
        cmocka_unit_test(a_timer_fires_once_and_not_before_its_instant),
        cmocka_unit_test(a_stopped_timer_does_not_fire),
        cmocka_unit_test(starting_again_moves_the_instant),
        cmocka_unit_test(a_timer_may_start_itself_again),
        cmocka_unit_test(a_timer_may_stop_itself),
        cmocka_unit_test(a_timer_may_free_itself),
        cmocka_unit_test(many_timers_fire_in_the_order_of_their_instants),
        cmocka_unit_test(stopped_and_freed_timers_are_not_touched),
        cmocka_unit_test(a_timer_needs_memory),
        cmocka_unit_test(a_ticker_keeps_to_its_beat),
        cmocka_unit_test(ticks_that_nobody_takes_are_left_out),
        cmocka_unit_test(reset_starts_anew_also_after_a_stop),
        cmocka_unit_test(a_period_that_is_none_is_refused),
        cmocka_unit_test(a_ticker_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
