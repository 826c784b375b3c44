/* Groups of threads. */
#include <runnel/group.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "fault.h"
#include "unit.h"

static rn_group *new_group(rn_context *parent)
{
    rn_group *group = NULL;
    assert_int_equal(rn_group_new(parent, &group), 0);
    return group;
}

static _Atomic int calls;
static _Atomic int running;
static _Atomic int most_running;
static _Atomic bool may_return;

static int count_call(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    atomic_fetch_add(&calls, 1);
    return 0;
}

static int fail_with(rn_context *ctx, void *arg)
{
    (void)ctx;
    return *(const int *)arg;
}

static int wait_for_the_end(rn_context *ctx, void *arg)
{
    (void)arg;
    return rn_sleep(ctx, RN_MINUTE);
}

static int stay(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    int now = atomic_fetch_add(&running, 1) + 1;
    int most = atomic_load(&most_running);
    while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
        continue;
    while (!atomic_load(&may_return))
        (void)sched_yield();
    atomic_fetch_sub(&running, 1);
    return 0;
}

static void wait_waits_for_all(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    atomic_store(&calls, 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);

    group = new_group(NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rn_group_go(group, "count", count_call, NULL), 0);
    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(atomic_load(&calls), 20);
    assert_int_equal(rn_context_err(rn_group_context(group)), -ECANCELED);
    rn_group_free(group);
    rn_group_free(NULL);
}

static void the_first_error_ends_the_others(void **state)
{
    (void)state;
    int error = -EMSGSIZE;
    rn_group *group = new_group(NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_group_go(group, "wait", wait_for_the_end, NULL), 0);
    assert_int_equal(rn_group_go(group, "fail", fail_with, &error), 0);

    assert_int_equal(rn_group_wait(group), -EMSGSIZE);

    assert_int_equal(rn_context_cause(rn_group_context(group)), -EMSGSIZE);
    rn_group_free(group);
}

static _Atomic bool first_has_failed;

static int fail_after_the_first(rn_context *ctx, void *arg)
{
    (void)arg;
    // Its context ends with the first error, which is therefore noted.
    int r = rn_sleep(ctx, RN_MINUTE);
    atomic_store(&first_has_failed, r == -ECANCELED);
    return -EPIPE;
}

static void later_errors_change_nothing(void **state)
{
    (void)state;
    int error = 77; // any number but 0 is an error
    rn_group *group = new_group(NULL);
    atomic_store(&first_has_failed, false);
    assert_int_equal(rn_group_go(group, "later", fail_after_the_first, NULL), 0);
    assert_int_equal(rn_group_go(group, "first", fail_with, &error), 0);

    assert_int_equal(rn_group_wait(group), 77);

    assert_true(atomic_load(&first_has_failed));
    assert_int_equal(rn_group_wait(group), 77); // the second time too
    assert_int_equal(rn_context_err(rn_group_context(group)), -ECANCELED);
    assert_int_equal(rn_context_cause(rn_group_context(group)), 77);
    rn_group_free(group);
}

static void without_an_error_the_context_ends_with_the_wait(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    assert_int_equal(rn_group_go(group, "count", count_call, NULL), 0);
    assert_int_equal(rn_context_err(rn_group_context(group)), 0);
    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(rn_context_cause(rn_group_context(group)), -ECANCELED);
    rn_group_free(group);
}

static void the_end_of_the_parent_ends_the_functions(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    rn_group *group = new_group(parent);
    assert_int_equal(rn_group_go(group, "wait", wait_for_the_end, NULL), 0);

    rn_context_cancel(parent, 0);

    assert_int_equal(rn_group_wait(group), -ECANCELED);
    rn_group_free(group);
    rn_context_unref(parent);
}

static void try_go_respects_the_limit(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    atomic_store(&may_return, false);
    rn_group_set_limit(group, 2);

    assert_int_equal(rn_group_try_go(group, "stay", stay, NULL), 0);
    assert_int_equal(rn_group_try_go(group, "stay", stay, NULL), 0);
    assert_int_equal(rn_group_try_go(group, "stay", stay, NULL), -EAGAIN);
    rn_group_set_limit(group, 3);
    assert_int_equal(rn_group_try_go(group, "stay", stay, NULL), 0);
    assert_int_equal(rn_group_try_go(group, "stay", stay, NULL), -EAGAIN);

    atomic_store(&may_return, true);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
}

static void go_waits_while_the_limit_is_reached(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    atomic_store(&most_running, 0);
    atomic_store(&may_return, true);
    rn_group_set_limit(group, 3);

    for (int i = 0; i < 60; i++)
        assert_int_equal(rn_group_go(group, "stay", stay, NULL), 0);
    assert_int_equal(rn_group_wait(group), 0);

    assert_in_range(atomic_load(&most_running), 1, 3);
    rn_group_free(group);
}

static int let_one_return(rn_context *ctx, void *arg)
{
    (void)arg;
    // Long enough that a go that does not wait would be seen.
    int r = rn_sleep(ctx, 2 * RN_MILLISECOND);
    atomic_store(&may_return, true);
    return r;
}

static void go_goes_on_when_one_has_returned(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    rn_group *other = new_group(NULL);
    atomic_store(&most_running, 0);
    atomic_store(&may_return, false);
    rn_group_set_limit(group, 1);
    assert_int_equal(rn_group_go(group, "stay", stay, NULL), 0);
    assert_int_equal(rn_group_go(other, "release", let_one_return, NULL), 0);

    assert_int_equal(rn_group_go(group, "stay", stay, NULL), 0);

    assert_true(atomic_load(&may_return));
    assert_int_equal(rn_group_wait(other), 0);
    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(atomic_load(&most_running), 1);
    rn_group_free(other);
    rn_group_free(group);
}

struct look {
    char name[32];
    bool signals_blocked;
};

static int look_at_itself(rn_context *ctx, void *arg)
{
    struct look *look = arg;
    sigset_t blocked;

    (void)ctx;
    if (pthread_getname_np(pthread_self(), look->name, sizeof(look->name)) != 0 ||
        pthread_sigmask(SIG_SETMASK, NULL, &blocked) != 0)
        return -EINVAL;
    look->signals_blocked = sigismember(&blocked, SIGTERM) == 1 &&
                            sigismember(&blocked, SIGINT) == 1 &&
                            sigismember(&blocked, SIGCHLD) == 1;
    return 0;
}

static void threads_are_named_and_get_no_signals(void **state)
{
    (void)state;
    struct look look = {.signals_blocked = false};
    sigset_t before;
    sigset_t after;
    rn_group *group = new_group(NULL);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(rn_group_go(group, "a-name-of-many-bytes", look_at_itself, &look), 0);
    assert_int_equal(rn_group_wait(group), 0);

    assert_string_equal(look.name, "a-name-of-many-");
    assert_true(look.signals_blocked);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
    rn_group_free(group);
}

static int go_on(rn_context *ctx, void *arg)
{
    (void)ctx;
    return rn_group_go(arg, "next", count_call, NULL);
}

static void a_function_may_start_another(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    atomic_store(&calls, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rn_group_go(group, "first", go_on, group), 0);
    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(atomic_load(&calls), 20);
    rn_group_free(group);
}

static void new_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        rn_group *group = NULL;
        fault_fail_malloc(nth);
        int r = rn_group_new(NULL, &group);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            rn_group_free(group);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(group);
    }
}

static void a_thread_that_cannot_start_leaves_nothing(void **state)
{
    (void)state;
    rn_group *group = new_group(NULL);
    atomic_store(&calls, 0);
    rn_group_set_limit(group, 1);

    fault_fail_pthread_create(1);
    assert_int_equal(rn_group_go(group, "none", count_call, NULL), -EAGAIN);
    assert_true(fault_reached());
    fault_fail_malloc(1);
    assert_int_equal(rn_group_try_go(group, "none", count_call, NULL), -ENOMEM);
    assert_true(fault_reached());
    // Its place within the limit is free again.
    assert_int_equal(rn_group_try_go(group, "one", count_call, NULL), 0);

    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(atomic_load(&calls), 1);
    rn_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_waits_for_all),
        cmocka_unit_test(the_first_error_ends_the_others),
        cmocka_unit_test(later_errors_change_nothing),
        cmocka_unit_test(without_an_error_the_context_ends_with_the_wait),
        cmocka_unit_test(the_end_of_the_parent_ends_the_functions),
        cmocka_unit_test(try_go_respects_the_limit),
        cmocka_unit_test(go_waits_while_the_limit_is_reached),
        cmocka_unit_test(go_goes_on_when_one_has_returned),
        cmocka_unit_test(threads_are_named_and_get_no_signals),
        cmocka_unit_test(a_function_may_start_another),
        cmocka_unit_test(new_survives_every_failed_allocation),
        cmocka_unit_test(a_thread_that_cannot_start_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
