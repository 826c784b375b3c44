/* The token bucket. */
#include <runnel/limiter.h>

#include <stdlib.h>

#include <runnel/group.h>

#include "fault.h"
#include "unit.h"

// An instant like any other; the tests count from it.
#define T0 ((rn_time)1000 * RN_SECOND)
#define MS(count) (T0 + (count)*RN_MILLISECOND)

static rn_limiter *new_limiter(double tokens_per_s, unsigned burst)
{
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(tokens_per_s, burst, &limiter), 0);
    return limiter;
}

/* A step of a table: at `at`, are n tokens there? */
struct step {
    rn_time at;
    unsigned n;
    bool allowed;
};

static void run_steps(rn_limiter *limiter, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(rn_limiter_allow_at(limiter, steps[i].at, steps[i].n), steps[i].allowed);
    rn_limiter_free(limiter);
}

#define RUN_STEPS(limiter, steps) run_steps(limiter, steps, sizeof(steps) / sizeof((steps)[0]))

static void a_burst_of_one_allows_at_the_rate(void **state)
{
    (void)state;
    const struct step steps[] = {
        {MS(0), 1, true},   {MS(0), 1, false},   {MS(50), 1, false},
        {MS(100), 1, true}, {MS(100), 1, false}, {MS(199), 1, false},
        {MS(200), 1, true}, {MS(1000), 1, true}, {MS(1000), 1, false},
    };
    RUN_STEPS(new_limiter(10, 1), steps);
}

static void a_burst_is_there_at_first_and_comes_back(void **state)
{
    (void)state;
    const struct step steps[] = {
        {MS(0), 1, true},     {MS(0), 1, true},    {MS(0), 1, true},     {MS(0), 1, false},
        {MS(100), 1, true},   {MS(100), 1, false}, {MS(300), 2, true},   {MS(300), 1, false},
        {MS(9000), 4, false}, {MS(9000), 3, true}, {MS(9000), 1, false}, {MS(9000), 0, true},
    };
    RUN_STEPS(new_limiter(10, 3), steps);
}

static void a_clock_that_is_behind_gives_nothing_twice(void **state)
{
    (void)state;
    const struct step steps[] = {
        {MS(100), 3, true},  {MS(0), 1, false},   {MS(50), 1, false},
        {MS(100), 1, false}, {MS(199), 1, false}, {MS(200), 1, true},
    };
    RUN_STEPS(new_limiter(10, 3), steps);
}

static void extreme_rates_keep_their_promise(void **state)
{
    (void)state;
    const struct step infinite[] = {{MS(0), 1000, true}, {MS(0), 4000000000, true}};
    const struct step none[] = {{MS(0), 2, true}, {MS(0), 1, false}, {MS(100000000), 1, false}};
    const struct step closed[] = {{MS(0), 0, true}, {MS(0), 1, false}, {MS(100000000), 1, false}};
    RUN_STEPS(new_limiter(RN_RATE_INFINITE, 0), infinite);
    RUN_STEPS(new_limiter(0, 2), none);
    RUN_STEPS(new_limiter(5, 0), closed);
}

static void a_rate_that_is_none_is_refused(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(-1, 1, &limiter), -EINVAL);
    assert_int_equal(rn_limiter_new((double)NAN, 1, &limiter), -EINVAL);
    assert_int_equal(rn_limiter_new(-RN_RATE_INFINITE, 1, &limiter), -EINVAL);
    assert_null(limiter);
    rn_limiter_free(NULL);
}

static void tokens_are_there_when_it_was_said(void **state)
{
    (void)state;
    const double rates[] = {0.001, 1.0 / 3, 0.7, 1, 3, 7, 1000.0 / 7, 1e4 + 0.1, 3e6, 1e9};
    unsigned seed = 3;

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        unsigned burst = 1 + (unsigned)i * 17;
        rn_limiter *limiter = new_limiter(rates[i], burst);
        rn_time now = T0;
        for (int round = 0; round < 2000; round++) {
            unsigned n = 1 + (unsigned)rand_r(&seed) % burst;
            rn_time ready = rn_limiter_ready_at(limiter, now, n);
            assert_true(ready >= now);
            if (ready > now + RN_MILLISECOND)
                assert_false(rn_limiter_allow_at(limiter, ready - RN_MILLISECOND, n));
            assert_true(rn_limiter_allow_at(limiter, ready, n));
            now = ready + rand_r(&seed) % 1000;
        }
        rn_limiter_free(limiter);
    }
}

static void ready_at_says_when_or_never(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    assert_true(rn_limiter_ready_at(limiter, MS(0), 2) == MS(0));
    assert_true(rn_limiter_ready_at(limiter, MS(0), 3) == RN_NEVER);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 2));
    assert_true(rn_limiter_ready_at(limiter, MS(0), 1) == MS(100));
    assert_true(rn_limiter_ready_at(limiter, MS(50), 2) == MS(200));
    assert_true(rn_limiter_ready_at(limiter, MS(500), 2) == MS(500));

    rn_limiter_set_limit_at(limiter, MS(100), 0);
    assert_true(rn_limiter_ready_at(limiter, MS(200), 1) == MS(200)); // came before
    assert_true(rn_limiter_ready_at(limiter, MS(200), 2) == RN_NEVER);
    rn_limiter_set_limit_at(limiter, MS(200), RN_RATE_INFINITE);
    assert_true(rn_limiter_ready_at(limiter, MS(200), 100) == MS(200));
    rn_limiter_free(limiter);
}

static void a_rate_can_be_given_as_an_interval(void **state)
{
    (void)state;
    assert_true(rn_rate_every(RN_SECOND) == 1);
    assert_true(rn_rate_every(100 * RN_MILLISECOND) == 10);
    assert_true(rn_rate_every(RN_MINUTE) == 1.0 / 60);
    assert_true(rn_rate_every(0) == RN_RATE_INFINITE);
    assert_true(rn_rate_every(-1) == RN_RATE_INFINITE);
    const struct step steps[] = {{MS(0), 1, true}, {MS(19), 1, false}, {MS(20), 1, true}};
    RUN_STEPS(new_limiter(rn_rate_every(20 * RN_MILLISECOND), 1), steps);
}

static void the_shorthands_read_the_clock(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(0.001, 5); // a token in 1,000 s: none comes meanwhile
    assert_true(rn_limiter_allow(limiter));
    assert_true(rn_limiter_allow_n(limiter, 2));
    assert_false(rn_limiter_allow_n(limiter, 3));
    double tokens = rn_limiter_tokens(limiter);
    assert_true(tokens >= 2 && tokens < 3);

    rn_reservation now = rn_limiter_reserve_n(limiter, 2);
    rn_reservation later = rn_limiter_reserve(limiter);
    rn_reservation never = rn_limiter_reserve_n(limiter, 6);

    assert_true(now.ok && rn_reservation_delay(&now) == 0);
    assert_true(later.ok && rn_reservation_delay(&later) > RN_MINUTE);
    assert_false(never.ok);
    assert_true(rn_reservation_delay(&never) == RN_NEVER);
    assert_true(rn_limiter_tokens(limiter) < 0);
    rn_reservation_cancel(&later);
    rn_reservation_cancel(&now); // may act already: nothing comes back
    rn_reservation_cancel(&never);
    tokens = rn_limiter_tokens(limiter);
    assert_true(tokens >= 0 && tokens < 1);
    rn_limiter_free(limiter);
}

// ---- Reservations

static void an_infinite_rate_reserves_anything_at_once(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(RN_RATE_INFINITE, 0);
    rn_reservation reservation = rn_limiter_reserve_at(limiter, MS(0), 1000);
    assert_true(reservation.ok && reservation.at == MS(0));
    assert_true(rn_reservation_delay_at(&reservation, MS(0)) == 0);
    rn_limiter_free(limiter);
}

static void reservations_queue_up(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    const rn_time expected[] = {MS(0), MS(0), MS(100), MS(200), MS(300)};

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        rn_reservation reservation = rn_limiter_reserve_at(limiter, MS(0), 1);
        assert_true(reservation.ok);
        assert_true(reservation.at == expected[i]);
        assert_true(rn_reservation_delay_at(&reservation, MS(0)) == expected[i] - MS(0));
        assert_true(rn_reservation_delay_at(&reservation, MS(5000)) == 0);
    }
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == -3);
    assert_false(rn_limiter_allow_at(limiter, MS(300), 1));
    assert_true(rn_limiter_allow_at(limiter, MS(400), 1));
    rn_limiter_free(limiter);
}

static void what_never_comes_cannot_be_reserved(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    rn_reservation reservation = rn_limiter_reserve_at(limiter, MS(0), 3);
    assert_false(reservation.ok);
    assert_true(rn_reservation_delay_at(&reservation, MS(0)) == RN_NEVER);
    rn_reservation_cancel_at(&reservation, MS(0));
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 2);

    rn_limiter_set_limit_at(limiter, MS(0), 0);
    assert_true(rn_limiter_reserve_at(limiter, MS(0), 2).ok);
    assert_false(rn_limiter_reserve_at(limiter, MS(0), 1).ok);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 0);
    rn_limiter_free(limiter);
}

static void cancelling_gives_back(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 2));
    rn_reservation reservation = rn_limiter_reserve_at(limiter, MS(0), 2);
    assert_true(reservation.at == MS(200));

    rn_reservation_cancel_at(&reservation, MS(100));

    assert_true(rn_limiter_tokens_at(limiter, MS(100)) == 1);
    assert_true(rn_limiter_reserve_at(limiter, MS(100), 1).at == MS(100));
    rn_limiter_free(limiter);
}

static void cancelling_keeps_what_later_ones_rest_on(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 2));
    rn_reservation first = rn_limiter_reserve_at(limiter, MS(0), 2);
    rn_reservation second = rn_limiter_reserve_at(limiter, MS(0), 1);
    assert_true(second.at == MS(300));

    rn_reservation_cancel_at(&first, MS(0));

    // One of the two tokens of the first is the time for which the second waits.
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == -2);
    rn_reservation_cancel_at(&second, MS(0));
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == -1);
    rn_limiter_free(limiter);
}

static void cancelling_gives_nothing_when_all_rests_on_it(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 3);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 3));
    rn_reservation first = rn_limiter_reserve_at(limiter, MS(0), 1);
    assert_true(rn_limiter_reserve_at(limiter, MS(0), 3).at == MS(400));
    rn_reservation_cancel_at(&first, MS(0));
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == -4);
    rn_limiter_free(limiter);
}

static void cancelling_gives_back_no_more_than_the_burst(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 2);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 2));
    rn_reservation reservation = rn_limiter_reserve_at(limiter, MS(0), 1);
    rn_limiter_set_limit_at(limiter, MS(0), 1000);
    assert_true(rn_limiter_tokens_at(limiter, MS(50)) == 2);
    rn_reservation_cancel_at(&reservation, MS(50)); // it may act from 100 on
    assert_true(rn_limiter_tokens_at(limiter, MS(50)) == 2);
    rn_limiter_free(limiter);
}

static void cancelling_too_late_gives_nothing(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 1);
    rn_reservation now = rn_limiter_reserve_at(limiter, MS(0), 1);
    rn_reservation later = rn_limiter_reserve_at(limiter, MS(0), 1);
    rn_reservation_cancel_at(&now, MS(0));
    rn_reservation_cancel_at(&later, MS(100));
    assert_true(rn_limiter_tokens_at(limiter, MS(100)) == 0);
    rn_limiter_free(limiter);
}

// ---- Changes

static void a_new_rate_holds_from_its_instant(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 10);
    assert_true(rn_limiter_allow_at(limiter, MS(0), 10));
    rn_limiter_set_limit_at(limiter, MS(500), 100);
    assert_true(rn_limiter_limit(limiter) == 100);
    assert_true(rn_limiter_tokens_at(limiter, MS(500)) == 5);
    assert_true(rn_limiter_tokens_at(limiter, MS(520)) == 7);
    rn_limiter_set_limit_at(limiter, MS(520), RN_RATE_INFINITE);
    assert_true(rn_limiter_allow_at(limiter, MS(520), 1000));
    rn_limiter_set_limit_at(limiter, MS(520), 10);
    assert_true(rn_limiter_tokens_at(limiter, MS(520)) <= 10);
    rn_limiter_free(limiter);
}

static void a_new_burst_cuts_or_grows(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 10);
    rn_limiter_set_burst_at(limiter, MS(0), 4);
    assert_int_equal(rn_limiter_burst(limiter), 4);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 4);
    rn_limiter_set_burst_at(limiter, MS(0), 6);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 4);
    assert_true(rn_limiter_tokens_at(limiter, MS(1000)) == 6);
    rn_limiter_free(limiter);
}

static void a_level_can_be_restored(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(10, 5);
    rn_limiter_set_tokens_at(limiter, MS(0), 1.5);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 1.5);
    assert_true(rn_limiter_ready_at(limiter, MS(0), 2) == MS(50));
    rn_limiter_set_tokens_at(limiter, MS(0), 100);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 5);
    const double wrong[] = {-1, (double)NAN, -RN_RATE_INFINITE};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        rn_limiter_set_tokens_at(limiter, MS(0), wrong[i]);
        assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 0);
    }
    rn_limiter_set_tokens_at(limiter, MS(0), RN_RATE_INFINITE);
    assert_true(rn_limiter_tokens_at(limiter, MS(0)) == 5);
    rn_limiter_free(limiter);
}

// ---- Waiting

static void waiting_takes_its_time(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(500, 1);
    rn_time start = rn_now();
    for (int i = 0; i < 4; i++)
        assert_int_equal(rn_limiter_wait(NULL, limiter), 0);
    assert_true(rn_now() >= start + 6 * RN_MILLISECOND);
    assert_false(rn_limiter_reserve(limiter).at <= start + 6 * RN_MILLISECOND);
    assert_int_equal(rn_limiter_wait_n(NULL, limiter, 0), 0);
    rn_limiter_free(limiter);
}

static void an_infinite_rate_waits_for_nothing(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_limiter *limiter = new_limiter(RN_RATE_INFINITE, 0);
    assert_int_equal(rn_context_with_timeout(NULL, RN_HOUR, &ctx), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rn_limiter_wait_n(ctx, limiter, 1000), 0); // the burst does not count
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_limiter_wait(ctx, limiter), -ECANCELED);
    rn_context_unref(ctx);
    rn_limiter_free(limiter);
}

static void a_deadline_that_can_be_met_does_not_fail(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_limiter *limiter = new_limiter(1000, 1);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MINUTE, &ctx), 0);
    rn_time start = rn_now();
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_limiter_wait(ctx, limiter), 0);
    assert_true(rn_now() >= start + 2 * RN_MILLISECOND);
    rn_context_unref(ctx);
    rn_limiter_free(limiter);
}

static void waiting_fails_at_once_when_it_cannot_succeed(void **state)
{
    (void)state;
    rn_limiter *limiter = new_limiter(0.001, 2);
    rn_context *ctx = NULL;
    assert_int_equal(rn_limiter_wait_n(NULL, limiter, 3), -EMSGSIZE);
    assert_int_equal(rn_limiter_wait_n(NULL, limiter, 2), 0);

    rn_time start = rn_now();
    assert_int_equal(rn_context_with_timeout(NULL, RN_MINUTE, &ctx), 0);
    assert_int_equal(rn_limiter_wait(ctx, limiter), -ETIMEDOUT);
    assert_true(rn_now() < start + RN_MINUTE);
    assert_int_equal(rn_context_err(ctx), 0);
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_limiter_wait_n(ctx, limiter, 3), -ECANCELED);
    assert_true(rn_limiter_tokens_at(limiter, rn_now()) >= 0);

    rn_context_unref(ctx);
    rn_limiter_free(limiter);
}

struct waiting {
    rn_limiter *limiter;
    rn_context *ctx;
    int result;
};

static int wait_for_token(rn_context *ctx, void *arg)
{
    struct waiting *waiting = arg;
    (void)ctx;
    waiting->result = rn_limiter_wait(waiting->ctx, waiting->limiter);
    return 0;
}

static void begin_waiting(struct waiting *waiting, rn_limiter *limiter, rn_group **ret_group)
{
    waiting->limiter = limiter;
    waiting->result = 1;
    assert_int_equal(rn_context_with_cancel(NULL, &waiting->ctx), 0);
    assert_int_equal(rn_group_new(NULL, ret_group), 0);
    assert_int_equal(rn_group_go(*ret_group, "wait", wait_for_token, waiting), 0);
}

static void end_waiting(struct waiting *waiting, rn_group *group)
{
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    rn_context_unref(waiting->ctx);
}

static void a_wait_that_is_cancelled_takes_nothing(void **state)
{
    (void)state;
    struct waiting waiting;
    rn_group *group = NULL;
    rn_limiter *limiter = new_limiter(0.01, 1);
    assert_true(rn_limiter_allow(limiter));
    begin_waiting(&waiting, limiter, &group);

    // It has reserved when the level is below 0.
    while (rn_limiter_tokens_at(limiter, rn_now()) >= 0)
        assert_int_equal(rn_sleep(NULL, 100 * RN_MICROSECOND), 0);
    rn_context_cancel(waiting.ctx, 0);
    end_waiting(&waiting, group);

    assert_int_equal(waiting.result, -ECANCELED);
    assert_true(rn_limiter_tokens_at(limiter, rn_now()) >= 0);
    rn_limiter_free(limiter);
}

static void who_waits_at_rate_zero_hears_of_another_rate(void **state)
{
    (void)state;
    struct waiting waiting;
    rn_group *group = NULL;
    rn_limiter *limiter = new_limiter(0, 1);
    assert_true(rn_limiter_allow(limiter));

    begin_waiting(&waiting, limiter, &group);
    rn_limiter_set_limit(limiter, 1000);
    end_waiting(&waiting, group);
    assert_int_equal(waiting.result, 0);

    rn_limiter_set_limit(limiter, 0);
    rn_limiter_set_burst(limiter, 2);
    rn_limiter_set_tokens_at(limiter, rn_now(), 0);
    begin_waiting(&waiting, limiter, &group);
    rn_context_cancel(waiting.ctx, 0);
    end_waiting(&waiting, group);
    assert_int_equal(waiting.result, -ECANCELED);
    rn_limiter_free(limiter);
}

enum {
    TAKERS = 3,
    TAKES = 100,
};

static int take_many(rn_context *ctx, void *arg)
{
    for (int i = 0; i < TAKES; i++) {
        int r = rn_limiter_wait(ctx, arg);
        if (r < 0)
            return r;
    }
    return 0;
}

static void many_threads_together_keep_the_rate(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_limiter *limiter = new_limiter(5000, 10);
    rn_time start = rn_now();
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < TAKERS; i++)
        assert_int_equal(rn_group_go(group, "take", take_many, limiter), 0);
    assert_int_equal(rn_group_wait(group), 0);

    rn_duration least = (TAKERS * TAKES - 10) * RN_SECOND / 5000;
    assert_true(rn_now() >= start + least);
    rn_group_free(group);
    rn_limiter_free(limiter);
}

static void new_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        rn_limiter *limiter = NULL;
        fault_fail_malloc(nth);
        int r = rn_limiter_new(1, 1, &limiter);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            rn_limiter_free(limiter);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(limiter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_of_one_allows_at_the_rate),
        cmocka_unit_test(a_burst_is_there_at_first_and_comes_back),
        cmocka_unit_test(a_clock_that_is_behind_gives_nothing_twice),
        cmocka_unit_test(extreme_rates_keep_their_promise),
        cmocka_unit_test(a_rate_that_is_none_is_refused),
        cmocka_unit_test(tokens_are_there_when_it_was_said),
        cmocka_unit_test(ready_at_says_when_or_never),
        cmocka_unit_test(a_rate_can_be_given_as_an_interval),
        cmocka_unit_test(the_shorthands_read_the_clock),
        cmocka_unit_test(an_infinite_rate_reserves_anything_at_once),
        cmocka_unit_test(reservations_queue_up),
        cmocka_unit_test(what_never_comes_cannot_be_reserved),
        cmocka_unit_test(cancelling_gives_back),
        cmocka_unit_test(cancelling_keeps_what_later_ones_rest_on),
        cmocka_unit_test(cancelling_gives_nothing_when_all_rests_on_it),
        cmocka_unit_test(cancelling_gives_back_no_more_than_the_burst),
        cmocka_unit_test(cancelling_too_late_gives_nothing),
        cmocka_unit_test(a_new_rate_holds_from_its_instant),
        cmocka_unit_test(a_new_burst_cuts_or_grows),
        cmocka_unit_test(a_level_can_be_restored),
        cmocka_unit_test(waiting_takes_its_time),
        cmocka_unit_test(an_infinite_rate_waits_for_nothing),
        cmocka_unit_test(a_deadline_that_can_be_met_does_not_fail),
        cmocka_unit_test(waiting_fails_at_once_when_it_cannot_succeed),
        cmocka_unit_test(a_wait_that_is_cancelled_takes_nothing),
        cmocka_unit_test(who_waits_at_rate_zero_hears_of_another_rate),
        cmocka_unit_test(many_threads_together_keep_the_rate),
        cmocka_unit_test(new_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
