/* Weighted semaphores. */
#include <runnel/semaphore.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/group.h>

#include "crash.h"
#include "fault.h"
#include "unit.h"

static rn_semaphore *new_semaphore(uint64_t limit)
{
    rn_semaphore *semaphore = NULL;
    assert_int_equal(rn_semaphore_new(limit, &semaphore), 0);
    return semaphore;
}

/* All that was taken has come back, and nobody waits. */
static void free_whole(rn_semaphore *semaphore, uint64_t limit)
{
    assert_int_equal(rn_semaphore_try_acquire(semaphore, limit), 0);
    rn_semaphore_release(semaphore, limit);
    rn_semaphore_free(semaphore);
}

/* A thread that takes n units, says so, and keeps them until the test gives them back. */
struct taker {
    rn_semaphore *semaphore;
    rn_context *ctx;
    uint64_t n;
    rn_group *group;
    int result;
    int place; // among those that got theirs
};

static _Atomic int taken_count;

static int take(rn_context *ctx, void *arg)
{
    struct taker *taker = arg;

    (void)ctx;
    taker->result = rn_semaphore_acquire(taker->ctx, taker->semaphore, taker->n);
    taker->place = atomic_fetch_add(&taken_count, 1) + 1;
    return 0;
}

static void begin_taking(struct taker *taker, rn_semaphore *semaphore, uint64_t n)
{
    *taker = (struct taker){.semaphore = semaphore, .n = n, .result = 1};
    atomic_store(&taken_count, 0);
    assert_int_equal(rn_context_with_cancel(NULL, &taker->ctx), 0);
    assert_int_equal(rn_group_new(NULL, &taker->group), 0);
    assert_int_equal(rn_group_go(taker->group, "take", take, taker), 0);
}

/* Waits until somebody waits: then not even what is free can be taken. */
static void until_somebody_waits(rn_semaphore *semaphore)
{
    while (rn_semaphore_try_acquire(semaphore, 0) == 0)
        (void)sched_yield();
}

static int end_taking(struct taker *taker)
{
    assert_int_equal(rn_group_wait(taker->group), 0);
    rn_group_free(taker->group);
    rn_context_unref(taker->ctx);
    return taker->result;
}

// ---- Without a wait

static void units_are_taken_and_given_back(void **state)
{
    (void)state;
    rn_semaphore *semaphore = new_semaphore(10);

    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 4), 0);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 5), 0);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 2), -EAGAIN);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), 0);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EAGAIN);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 0), 0);
    rn_semaphore_release(semaphore, 7); // in other portions than they were taken
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 8), -EAGAIN);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 7), 0);
    rn_semaphore_release(semaphore, 10);
    rn_semaphore_release(semaphore, 0);

    free_whole(semaphore, 10);
    rn_semaphore_free(NULL);
}

static void what_is_above_the_limit_is_refused_at_once(void **state)
{
    (void)state;
    rn_semaphore *semaphore = NULL;
    assert_int_equal(rn_semaphore_new((uint64_t)1 << 63, &semaphore), -EINVAL);
    assert_null(semaphore);
    semaphore = new_semaphore(3);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 4), -EINVAL);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 4), -EINVAL);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, UINT64_MAX), -EINVAL);
    free_whole(semaphore, 3);

    semaphore = new_semaphore(0);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 0), 0);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EINVAL);
    rn_semaphore_free(semaphore);

    uint64_t most = ((uint64_t)1 << 63) - 1;
    semaphore = new_semaphore(most);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, most), 0);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EAGAIN);
    rn_semaphore_release(semaphore, most);
    free_whole(semaphore, most);
}

static void an_ended_context_wins_over_free_units(void **state)
{
    (void)state;
    rn_semaphore *semaphore = new_semaphore(2);
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, 0, &ctx), 0);
    assert_int_equal(rn_semaphore_acquire(ctx, semaphore, 1), -ETIMEDOUT);
    rn_context_unref(ctx);
    free_whole(semaphore, 2);
}

static void release_too_much(void *arg)
{
    rn_semaphore_release(arg, 2);
}

static void giving_back_more_than_was_taken_aborts(void **state)
{
    (void)state;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 1), 0);
    assert_true(aborts_with("give_back", release_too_much, semaphore));
    rn_semaphore_release(semaphore, 1);
    free_whole(semaphore, 10);
}

static void free_it(void *arg)
{
    rn_semaphore_free(arg);
}

static void it_aborts_too_while_somebody_waits(void **state)
{
    (void)state;
    struct taker waiting;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 1), 0);
    begin_taking(&waiting, semaphore, 10);
    until_somebody_waits(semaphore);
    assert_true(aborts_with("rn_semaphore_release", release_too_much, semaphore));
    assert_true(aborts_with("rn_semaphore_free", free_it, semaphore));
    rn_semaphore_release(semaphore, 1);
    assert_int_equal(end_taking(&waiting), 0);
    rn_semaphore_release(semaphore, 10);
    free_whole(semaphore, 10);
}

// ---- Waiting

static void who_waits_goes_on_when_enough_is_free(void **state)
{
    (void)state;
    struct taker waiting;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 10), 0);
    begin_taking(&waiting, semaphore, 3);
    until_somebody_waits(semaphore);

    rn_semaphore_release(semaphore, 2);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EAGAIN);
    assert_int_equal(atomic_load(&taken_count), 0);
    rn_semaphore_release(semaphore, 1);

    assert_int_equal(end_taking(&waiting), 0);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EAGAIN);
    rn_semaphore_release(semaphore, 10);
    free_whole(semaphore, 10);
}

static void one_that_wants_many_is_not_overtaken(void **state)
{
    (void)state;
    struct taker many;
    struct taker few;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 5), 0);
    begin_taking(&many, semaphore, 10);
    until_somebody_waits(semaphore);

    // There are 5, but somebody waits.
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 1), -EAGAIN);
    rn_context *soon = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &soon), 0);
    assert_int_equal(rn_semaphore_acquire(soon, semaphore, 1), -ETIMEDOUT);
    begin_taking(&few, semaphore, 1);
    rn_semaphore_release(semaphore, 5);
    assert_int_equal(end_taking(&many), 0);
    rn_semaphore_release(semaphore, 10);
    assert_int_equal(end_taking(&few), 0);

    assert_int_equal(many.place, 1);
    rn_semaphore_release(semaphore, 1);
    rn_context_unref(soon);
    free_whole(semaphore, 10);
}

static void the_end_of_the_context_ends_the_wait_and_takes_nothing(void **state)
{
    (void)state;
    struct taker waiting;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 1), 0);
    begin_taking(&waiting, semaphore, 10);
    until_somebody_waits(semaphore);

    rn_context_cancel(waiting.ctx, 7);

    assert_int_equal(end_taking(&waiting), -ECANCELED);
    assert_int_equal(rn_semaphore_try_acquire(semaphore, 9), 0);
    rn_semaphore_release(semaphore, 10);
    free_whole(semaphore, 10);
}

static void one_that_gives_up_lets_those_behind_it_go(void **state)
{
    (void)state;
    struct taker many;
    struct taker few;
    struct taker none;
    rn_semaphore *semaphore = new_semaphore(10);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 5), 0);
    begin_taking(&many, semaphore, 6);
    until_somebody_waits(semaphore);
    begin_taking(&few, semaphore, 5);
    begin_taking(&none, semaphore, 0);

    rn_context_cancel(many.ctx, 0);

    assert_int_equal(end_taking(&many), -ECANCELED);
    assert_int_equal(end_taking(&few), 0);
    assert_int_equal(end_taking(&none), 0);
    rn_semaphore_release(semaphore, 10);
    free_whole(semaphore, 10);
}

static void one_that_gives_up_in_the_middle_changes_nothing_for_the_others(void **state)
{
    (void)state;
    struct taker first;
    struct taker middle;
    struct taker last;
    rn_semaphore *semaphore = new_semaphore(4);
    assert_int_equal(rn_semaphore_acquire(NULL, semaphore, 4), 0);
    begin_taking(&first, semaphore, 2);
    begin_taking(&middle, semaphore, 4);
    begin_taking(&last, semaphore, 2);
    until_somebody_waits(semaphore);

    rn_context_cancel(middle.ctx, 0);
    assert_int_equal(end_taking(&middle), -ECANCELED);
    until_somebody_waits(semaphore);
    rn_semaphore_release(semaphore, 4);

    assert_int_equal(end_taking(&first), 0);
    assert_int_equal(end_taking(&last), 0);
    rn_semaphore_release(semaphore, 4);
    free_whole(semaphore, 4);
}

// ---- Everything at once

enum {
    LIMIT = 16,
    THREADS = 6,
    ROUNDS = 2000,
};

static rn_semaphore *shared;
static _Atomic int in_use;
static _Atomic unsigned next_seed = 1;

static int take_at_random(rn_context *ctx, void *arg)
{
    unsigned seed = atomic_fetch_add(&next_seed, 1);

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int n = rand_r(&seed) % (LIMIT + 1);
        rn_context *own = NULL;
        int r = 0;
        if (i % 8 == 0)
            r = rn_context_with_timeout(ctx, rand_r(&seed) % 50 * RN_MICROSECOND, &own);
        if (r == 0)
            r = i % 8 == 1 ? rn_semaphore_try_acquire(shared, (uint64_t)n)
                           : rn_semaphore_acquire(own, shared, (uint64_t)n);
        rn_context_unref(own);
        if (r == -ETIMEDOUT || r == -EAGAIN)
            continue;
        if (r < 0)
            return r;
        if (atomic_fetch_add(&in_use, n) + n > LIMIT)
            return -ENOSPC;
        if (i % 16 == 0)
            (void)sched_yield();
        atomic_fetch_sub(&in_use, n);
        rn_semaphore_release(shared, (uint64_t)n);
    }
    return 0;
}

static void many_threads_never_have_more_than_the_limit(void **state)
{
    (void)state;
    rn_group *group = NULL;
    shared = new_semaphore(LIMIT);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(rn_group_go(group, "take", take_at_random, NULL), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    assert_int_equal(atomic_load(&in_use), 0);
    free_whole(shared, LIMIT);
}

static long guarded; // by two units of two

static int count_in_turn(rn_context *ctx, void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int r = rn_semaphore_acquire(ctx, shared, 2);
        if (r < 0)
            return r;
        guarded++;
        rn_semaphore_release(shared, 2);
    }
    return 0;
}

/* The sanitizer of threads sees an order that is missing between a release and an acquire. */
static void what_was_done_before_a_release_is_seen_after_the_acquire(void **state)
{
    (void)state;
    rn_group *group = NULL;
    shared = new_semaphore(2);
    guarded = 0;
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_group_go(group, "count", count_in_turn, NULL), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    assert_int_equal(guarded, 3 * ROUNDS);
    free_whole(shared, 2);
}

static _Atomic bool is_served;

static int use_a_little(rn_context *ctx, void *arg)
{
    (void)arg;
    while (!atomic_load(&is_served)) {
        int r = rn_semaphore_acquire(ctx, shared, 1);
        if (r < 0)
            return r;
        (void)sched_yield();
        rn_semaphore_release(shared, 1);
    }
    return 0;
}

static void one_that_wants_all_does_not_starve(void **state)
{
    (void)state;
    rn_group *group = NULL;
    shared = new_semaphore(3);
    atomic_store(&is_served, false);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rn_group_go(group, "little", use_a_little, NULL), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rn_semaphore_acquire(NULL, shared, 3), 0);
        rn_semaphore_release(shared, 3);
    }
    atomic_store(&is_served, true);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    free_whole(shared, 3);
}

static void new_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        rn_semaphore *semaphore = NULL;
        fault_fail_malloc(nth);
        int r = rn_semaphore_new(1, &semaphore);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            rn_semaphore_free(semaphore);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(semaphore);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_taken_and_given_back),
        cmocka_unit_test(what_is_above_the_limit_is_refused_at_once),
        cmocka_unit_test(an_ended_context_wins_over_free_units),
        cmocka_unit_test(giving_back_more_than_was_taken_aborts),
        cmocka_unit_test(it_aborts_too_while_somebody_waits),
        cmocka_unit_test(who_waits_goes_on_when_enough_is_free),
        cmocka_unit_test(one_that_wants_many_is_not_overtaken),
        cmocka_unit_test(the_end_of_the_context_ends_the_wait_and_takes_nothing),
        cmocka_unit_test(one_that_gives_up_lets_those_behind_it_go),
        cmocka_unit_test(one_that_gives_up_in_the_middle_changes_nothing_for_the_others),
        cmocka_unit_test(many_threads_never_have_more_than_the_limit),
        cmocka_unit_test(what_was_done_before_a_release_is_seen_after_the_acquire),
        cmocka_unit_test(one_that_wants_all_does_not_starve),
        cmocka_unit_test(new_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
