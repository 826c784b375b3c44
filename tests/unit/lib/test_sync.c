/* Mutex, condition, once. */
#include <runnel/sync.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/context.h>
#include <runnel/group.h>

#include "crash.h"
#include "unit.h"

static struct {
    rn_mutex mu;
    rn_cond cond;
    rn_context *ctx;
    rn_group *group;
    long counter;
} shared;

static int set_up(void **state)
{
    (void)state;
    rn_mutex_init(&shared.mu, 30);
    rn_cond_init(&shared.cond);
    shared.counter = 0;
    if (rn_context_with_cancel(NULL, &shared.ctx) < 0)
        return -1;
    return rn_group_new(NULL, &shared.group);
}

static int tear_down(void **state)
{
    (void)state;
    rn_group_free(shared.group);
    rn_context_unref(shared.ctx);
    rn_cond_fini(&shared.cond);
    rn_mutex_fini(&shared.mu);
    return 0;
}

static void go(int (*fn)(rn_context *ctx, void *arg), void *arg)
{
    assert_int_equal(rn_group_go(shared.group, "test", fn, arg), 0);
}

static bool signal_one(void)
{
    rn_mutex_lock(&shared.mu);
    bool woke = rn_cond_signal(&shared.cond);
    rn_mutex_unlock(&shared.mu);
    return woke;
}

/* Signals until somebody was waiting. */
static void signal_somebody(void)
{
    while (!signal_one())
        (void)sched_yield();
}

static int wait_once(rn_context *ctx, rn_time deadline)
{
    rn_mutex_lock(&shared.mu);
    int r = rn_cond_wait(ctx, &shared.cond, &shared.mu, deadline);
    rn_mutex_unlock(&shared.mu);
    return r;
}

static int add_many(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        rn_mutex_lock(&shared.mu);
        shared.counter++;
        rn_mutex_unlock(&shared.mu);
    }
    return 0;
}

static void a_mutex_lets_one_thread_in(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        go(add_many, NULL);
    assert_int_equal(rn_group_wait(shared.group), 0);
    assert_int_equal(shared.counter, 40000);
}

RN_UNCHECKED_LOCKING static void lock_twice(void *arg)
{
    rn_mutex_lock_checked(arg);
    rn_mutex_lock_checked(arg);
}

RN_UNCHECKED_LOCKING static void unlock_free_one(void *arg)
{
    rn_mutex_unlock_checked(arg);
}

RN_UNCHECKED_LOCKING static void lock_outwards(void *arg)
{
    rn_mutex inner;
    rn_mutex_init(&inner, 40);
    rn_mutex_lock_checked(&inner);
    rn_mutex_lock_checked(arg);
}

static void checked_locks_abort_on_misuse(void **state)
{
    (void)state;
    assert_true(aborts_with("own_thread()", lock_twice, &shared.mu));
    assert_true(aborts_with("own_thread()", unlock_free_one, &shared.mu));
    assert_true(aborts_with("rank_", lock_outwards, &shared.mu));
}

RN_UNCHECKED_LOCKING static void checked_locks_allow_inwards_and_by_address(void **state)
{
    (void)state;
    rn_mutex two[2];
    rn_mutex unranked = RN_MUTEX_INIT(0);
    rn_mutex_init(&two[0], 40);
    rn_mutex_init(&two[1], 40);

    rn_mutex_lock_checked(&shared.mu);
    rn_mutex_lock_checked(&two[0]);
    rn_mutex_lock_checked(&two[1]);
    rn_mutex_lock_checked(&unranked);
    rn_mutex_unlock_checked(&two[0]);
    rn_mutex_unlock_checked(&shared.mu);
    rn_mutex_unlock_checked(&unranked);
    rn_mutex_unlock_checked(&two[1]);

    rn_mutex_fini(&two[0]);
    rn_mutex_fini(&two[1]);
}

static void fini_of_a_condition_with_a_waiter(void *arg)
{
    rn_cond cond = {.waiters_ = {.first_ = arg, .last_ = arg}};
    rn_cond_fini(&cond);
}

static void ending_a_condition_that_is_waited_on_aborts(void **state)
{
    (void)state;
    char waiter;
    assert_true(aborts_with("rn_cond_fini", fini_of_a_condition_with_a_waiter, &waiter));
}

static int wait_for_signal(rn_context *ctx, void *arg)
{
    (void)arg;
    return wait_once(ctx, RN_NEVER);
}

static void a_signal_wakes_one(void **state)
{
    (void)state;
    go(wait_for_signal, NULL);
    signal_somebody();
    assert_int_equal(rn_group_wait(shared.group), 0);
    assert_false(signal_one());
}

static int wait_and_take_a_number(rn_context *ctx, void *arg)
{
    int r;

    (void)ctx;
    rn_mutex_lock(&shared.mu);
    shared.counter++; // in the queue now: the lock is held until it waits
    r = rn_cond_wait(NULL, &shared.cond, &shared.mu, RN_NEVER);
    *(long *)arg = --shared.counter;
    rn_mutex_unlock(&shared.mu);
    return r;
}

static void wait_until_waiting(long count)
{
    for (bool enough = false; !enough;) {
        rn_mutex_lock(&shared.mu);
        enough = shared.counter == count;
        rn_mutex_unlock(&shared.mu);
        (void)sched_yield();
    }
}

static void signals_wake_in_the_order_of_waiting(void **state)
{
    (void)state;
    long place[3] = {-1, -1, -1};

    for (long i = 0; i < 3; i++) {
        go(wait_and_take_a_number, &place[i]);
        wait_until_waiting(i + 1);
    }
    for (long i = 0; i < 3; i++) {
        assert_true(signal_one());
        wait_until_waiting(2 - i);
    }

    assert_int_equal(rn_group_wait(shared.group), 0);
    assert_int_equal(place[0], 2);
    assert_int_equal(place[1], 1);
    assert_int_equal(place[2], 0);
}

static void a_broadcast_wakes_all(void **state)
{
    (void)state;
    long place[5];

    for (int i = 0; i < 5; i++)
        go(wait_and_take_a_number, &place[i]);
    wait_until_waiting(5);
    rn_mutex_lock(&shared.mu);
    rn_cond_broadcast(&shared.cond);
    rn_mutex_unlock(&shared.mu);
    assert_int_equal(rn_group_wait(shared.group), 0);
    assert_int_equal(shared.counter, 0);
}

static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    rn_time deadline = rn_after(3 * RN_MILLISECOND);
    assert_int_equal(wait_once(NULL, deadline), -ETIMEDOUT);
    assert_true(rn_now() >= deadline);
    assert_int_equal(wait_once(NULL, rn_now()), -ETIMEDOUT);
    assert_int_equal(wait_once(NULL, 0), -ETIMEDOUT);
    assert_int_equal(wait_once(NULL, -1), -ETIMEDOUT);
}

static void an_ended_context_wins_over_everything(void **state)
{
    (void)state;
    rn_context_cancel(shared.ctx, 0);
    assert_int_equal(wait_once(shared.ctx, RN_NEVER), -ECANCELED);
    assert_int_equal(wait_once(shared.ctx, 0), -ECANCELED);
}

static int cancel_shared(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    wait_until_waiting(1);
    rn_context_cancel(shared.ctx, 7);
    return 0;
}

static void the_end_of_the_context_ends_the_wait(void **state)
{
    (void)state;
    go(cancel_shared, NULL);
    rn_mutex_lock(&shared.mu);
    shared.counter++;
    int r = rn_cond_wait(shared.ctx, &shared.cond, &shared.mu, RN_NEVER);
    rn_mutex_unlock(&shared.mu);
    assert_int_equal(r, -ECANCELED);
    assert_int_equal(rn_group_wait(shared.group), 0);
}

// ---- Signals are not lost: every one that found a waiter ends exactly one wait with 0.

enum {
    WAITERS = 4,
    ROUNDS = 400,
};

static struct {
    _Atomic long woken;
    _Atomic long ended;
    _Atomic int active;
} stress;

static int wait_at_random(rn_context *ctx, void *arg)
{
    unsigned seed = *(const unsigned *)arg;

    for (int i = 0; i < ROUNDS; i++) {
        rn_context *own = NULL;
        if (rn_context_with_timeout(ctx, rand_r(&seed) % 200 * RN_MICROSECOND, &own) < 0)
            return -ENOMEM;
        int r = wait_once(own, rn_after(rand_r(&seed) % 200 * RN_MICROSECOND));
        atomic_fetch_add(r == 0 ? &stress.woken : &stress.ended, 1);
        rn_context_unref(own);
    }
    atomic_fetch_sub(&stress.active, 1);
    return 0;
}

static void no_signal_is_lost_to_a_wait_that_ends(void **state)
{
    (void)state;
    long signalled = 0;
    unsigned seeds[WAITERS] = {1, 2, 3, 4};

    atomic_store(&stress.active, WAITERS);
    for (int i = 0; i < WAITERS; i++)
        go(wait_at_random, &seeds[i]);
    while (atomic_load(&stress.active) > 0) {
        if (signal_one())
            signalled++;
        else
            (void)sched_yield();
    }
    assert_int_equal(rn_group_wait(shared.group), 0);

    assert_int_equal(atomic_load(&stress.woken), signalled);
    assert_int_equal(atomic_load(&stress.woken) + atomic_load(&stress.ended), WAITERS * ROUNDS);
}

static _Atomic int calls;

static void count_call(void)
{
    // Long enough that who returned before it would be seen.
    (void)!rn_sleep(NULL, RN_MILLISECOND);
    atomic_fetch_add(&calls, 1);
}

static struct rn_once once = RN_ONCE_INIT;

static int call_once(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    rn_once(&once, count_call);
    return atomic_load(&calls) == 1 ? 0 : -EINVAL;
}

static void once_calls_once(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        go(call_once, NULL);
    assert_int_equal(rn_group_wait(shared.group), 0);
    assert_int_equal(atomic_load(&calls), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mutex_lets_one_thread_in),
        TEST(checked_locks_abort_on_misuse),
        TEST(checked_locks_allow_inwards_and_by_address),
        TEST(ending_a_condition_that_is_waited_on_aborts),
        TEST(a_signal_wakes_one),
        TEST(signals_wake_in_the_order_of_waiting),
        TEST(a_broadcast_wakes_all),
        TEST(a_wait_ends_at_its_deadline_and_not_before),
        TEST(an_ended_context_wins_over_everything),
        TEST(the_end_of_the_context_ends_the_wait),
        TEST(no_signal_is_lost_to_a_wait_that_ends),
        TEST(once_calls_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
