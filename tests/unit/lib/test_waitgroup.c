/* Wait groups. */
#include <runnel/waitgroup.h>

#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/group.h>

#include "crash.h"
#include "unit.h"

static void waiting_for_nothing_returns_at_once(void **state)
{
    (void)state;
    rn_waitgroup wg;
    rn_waitgroup_init(&wg);
    assert_int_equal(rn_waitgroup_wait(NULL, &wg), 0);
    rn_waitgroup_add(&wg, 0);
    assert_int_equal(rn_waitgroup_wait(NULL, &wg), 0);
    rn_waitgroup_add(&wg, 2);
    rn_waitgroup_done(&wg);
    rn_waitgroup_done(&wg);
    assert_int_equal(rn_waitgroup_wait(NULL, &wg), 0);
    rn_waitgroup_fini(&wg);
}

static void a_group_can_be_used_again_after_its_wait(void **state)
{
    (void)state;
    rn_waitgroup wg;
    rn_waitgroup_init(&wg);
    for (unsigned round = 1; round <= 3; round++) {
        rn_waitgroup_add(&wg, round);
        for (unsigned i = 0; i < round; i++)
            rn_waitgroup_done(&wg);
        assert_int_equal(rn_waitgroup_wait(NULL, &wg), 0);
    }
    rn_waitgroup_fini(&wg);
}

static void done_too_often(void *arg)
{
    (void)arg;
    rn_waitgroup wg;
    rn_waitgroup_init(&wg);
    rn_waitgroup_done(&wg);
}

static void done_below_zero_aborts(void **state)
{
    (void)state;
    assert_true(aborts_with("rn_waitgroup_done", done_too_often, NULL));
}

static void the_context_ends_the_wait(void **state)
{
    (void)state;
    rn_waitgroup wg;
    rn_context *ctx = NULL;
    rn_waitgroup_init(&wg);
    rn_waitgroup_add(&wg, 1);

    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_waitgroup_wait(ctx, &wg), -ETIMEDOUT);
    rn_waitgroup_done(&wg);
    assert_int_equal(rn_waitgroup_wait(ctx, &wg), -ETIMEDOUT); // an ended context wins
    assert_int_equal(rn_waitgroup_wait(NULL, &wg), 0);

    rn_context_unref(ctx);
    rn_waitgroup_fini(&wg);
}

static rn_waitgroup shared;
static _Atomic int work;

static int work_and_be_done(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    atomic_fetch_add_explicit(&work, 1, memory_order_relaxed);
    rn_waitgroup_done(&shared);
    return 0;
}

static int wait_for_work(rn_context *ctx, void *arg)
{
    int r = rn_waitgroup_wait(ctx, &shared);

    if (r == 0 && atomic_load_explicit(&work, memory_order_relaxed) != *(int *)arg)
        return -EINVAL;
    return r;
}

static void all_who_wait_are_released_when_all_is_done(void **state)
{
    (void)state;
    int expected = 4;
    rn_group *group = NULL;
    rn_waitgroup_init(&shared);
    for (int round = 0; round < 50; round++) {
        assert_int_equal(rn_group_new(NULL, &group), 0);
        atomic_store(&work, 0);
        rn_waitgroup_add(&shared, 4);
        for (int i = 0; i < 2; i++)
            assert_int_equal(rn_group_go(group, "wait", wait_for_work, &expected), 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(rn_group_go(group, "work", work_and_be_done, NULL), 0);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
    }
    rn_waitgroup_fini(&shared);
}

static int be_done_with(rn_context *ctx, void *arg)
{
    (void)ctx;
    rn_waitgroup_done(arg);
    return 0;
}

/* The sanitizers see a done that touches the group after its wait has returned. */
static void a_group_may_go_as_soon_as_its_wait_returns(void **state)
{
    (void)state;
    unsigned seed = 1;
    rn_group *group = NULL;
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int round = 0; round < 300; round++) {
        rn_waitgroup *wg = malloc(sizeof(*wg));
        rn_context *ctx = NULL;
        assert_non_null(wg);
        rn_waitgroup_init(wg);
        rn_waitgroup_add(wg, 1);
        assert_int_equal(rn_group_go(group, "done", be_done_with, wg), 0);
        assert_int_equal(rn_context_with_timeout(NULL, rand_r(&seed) % 100 * RN_MICROSECOND, &ctx),
                         0);
        if (rn_waitgroup_wait(ctx, wg) < 0)
            assert_int_equal(rn_waitgroup_wait(NULL, wg), 0);
        rn_waitgroup_fini(wg);
        free(wg);
        rn_context_unref(ctx);
    }
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_for_nothing_returns_at_once),
        cmocka_unit_test(a_group_can_be_used_again_after_its_wait),
        cmocka_unit_test(done_below_zero_aborts),
        cmocka_unit_test(the_context_ends_the_wait),
        cmocka_unit_test(all_who_wait_are_released_when_all_is_done),
        cmocka_unit_test(a_group_may_go_as_soon_as_its_wait_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
