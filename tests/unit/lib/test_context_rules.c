/* Contexts: the rules that the documentation of Go's package context states, and what follows. */
#include <runnel/context.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/chan.h>
#include <runnel/group.h>

#include "context.h"
#include "contexts.h"
#include "unit.h"

static void assert_ends_with(rn_context *ctx, int err, int cause)
{
    assert_int_equal(rn_sleep(ctx, RN_MINUTE), err);
    assert_int_equal(rn_context_err(ctx), err);
    assert_int_equal(rn_context_cause(ctx), cause);
}

static void note_call(void *arg)
{
    (*(int *)arg)++;
}

// ---- Err and Cause

static void an_end_is_the_same_for_ever(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_time deadline = rn_after(2 * RN_MILLISECOND);
    assert_int_equal(rn_context_with_deadline(NULL, deadline, &ctx), 0);
    rn_context_cancel(ctx, 7);
    int err = rn_context_err(ctx); // a slow machine may have been at the deadline first
    int cause = rn_context_cause(ctx);
    assert_true((err == -ECANCELED && cause == 7) || (err == -ETIMEDOUT && cause == -ETIMEDOUT));

    assert_int_equal(rn_sleep(NULL, 3 * RN_MILLISECOND), 0);
    rn_context_cancel(ctx, 8);

    assert_true(rn_now() > deadline);
    assert_int_equal(rn_context_err(ctx), err);
    assert_int_equal(rn_context_cause(ctx), cause);
    rn_context_unref(ctx);
}

static void the_parent_that_was_cancelled_first_gives_the_cause(void **state)
{
    (void)state;
    rn_context *parent = new_child(NULL);
    rn_context *child = new_child(parent);

    rn_context_cancel(parent, 1);
    rn_context_cancel(child, 2);

    assert_int_equal(rn_context_cause(parent), 1);
    assert_int_equal(rn_context_cause(child), 1);
    rn_context_unref(child);
    rn_context_unref(parent);
}

static void the_child_that_was_cancelled_first_keeps_its_cause(void **state)
{
    (void)state;
    rn_context *parent = new_child(NULL);
    rn_context *child = new_child(parent);

    rn_context_cancel(child, 2);
    assert_int_equal(rn_context_cause(parent), 0);
    rn_context_cancel(parent, 1);

    assert_int_equal(rn_context_cause(parent), 1);
    assert_int_equal(rn_context_cause(child), 2);
    rn_context_unref(child);
    rn_context_unref(parent);
}

// ---- Deadlines with a cause

static void a_deadline_gives_its_cause(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_context *by_length = NULL;
    assert_int_equal(rn_context_with_deadline_cause(NULL, rn_after(RN_MILLISECOND), 42, &ctx), 0);
    assert_int_equal(rn_context_with_timeout_cause(NULL, RN_MILLISECOND, -EPIPE, &by_length), 0);
    rn_context *child = new_child(ctx);

    assert_ends_with(child, -ETIMEDOUT, 42);
    assert_ends_with(ctx, -ETIMEDOUT, 42);
    assert_ends_with(by_length, -ETIMEDOUT, -EPIPE);

    rn_context_unref(child);
    rn_context_unref(ctx);
    rn_context_unref(by_length);
}

static void a_deadline_that_has_passed_gives_its_cause_too(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_context *plain = NULL;
    assert_int_equal(rn_context_with_timeout_cause(NULL, 0, 42, &ctx), 0);
    assert_int_equal(rn_context_with_timeout_cause(NULL, 0, 0, &plain), 0);
    assert_int_equal(rn_context_err(ctx), -ETIMEDOUT);
    assert_int_equal(rn_context_cause(ctx), 42);
    assert_int_equal(rn_context_cause(plain), -ETIMEDOUT);
    rn_context_unref(ctx);
    rn_context_unref(plain);
}

static void cancelling_does_not_take_the_cause_of_the_deadline(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_timeout_cause(NULL, RN_HOUR, 42, &ctx), 0);
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_context_err(ctx), -ECANCELED);
    assert_int_equal(rn_context_cause(ctx), -ECANCELED);
    rn_context_unref(ctx);
}

static void the_earlier_deadline_gives_the_cause(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_context *later = NULL;
    rn_context *as_late = NULL;
    rn_context *earlier = NULL;
    rn_time deadline = rn_after(20 * RN_MILLISECOND);
    assert_int_equal(rn_context_with_deadline_cause(NULL, deadline, 1, &parent), 0);
    assert_int_equal(rn_context_with_deadline_cause(parent, deadline + RN_HOUR, 2, &later), 0);
    assert_int_equal(rn_context_with_deadline_cause(parent, deadline, 3, &as_late), 0);
    assert_int_equal(rn_context_with_timeout_cause(parent, RN_MILLISECOND, 4, &earlier), 0);

    assert_int_equal(rn_sleep(earlier, RN_MINUTE), -ETIMEDOUT);
    int cause = rn_context_cause(earlier);

    // On a slow machine both deadlines may have passed before the child was there.
    assert_true(cause == 4 || (cause == 1 && rn_now() >= deadline));
    assert_ends_with(later, -ETIMEDOUT, 1);
    assert_ends_with(as_late, -ETIMEDOUT, 1);
    rn_context_unref(earlier);
    rn_context_unref(as_late);
    rn_context_unref(later);
    rn_context_unref(parent);
}

// ---- What ends is forgotten

static bool has_children(rn_context *ctx)
{
    rn_mutex_lock(&ctx->mu);
    bool has = ctx->first_child != NULL;
    rn_mutex_unlock(&ctx->mu);
    return has;
}

static void a_child_that_has_ended_is_forgotten(void **state)
{
    (void)state;
    rn_context *parent = new_child(NULL);
    rn_context *cancelled = new_child(parent);
    rn_context *timed = NULL;
    assert_int_equal(rn_context_with_timeout(parent, RN_MILLISECOND, &timed), 0);
    rn_context *freed = new_child(parent);
    assert_true(has_children(parent));

    rn_context_cancel(cancelled, 0);
    rn_context_unref(freed);
    assert_ends_with(timed, -ETIMEDOUT, -ETIMEDOUT);

    // Who waited is told before the parent: it is the timer thread that forgets it.
    while (has_children(parent))
        (void)sched_yield();
    rn_context_unref(timed);
    rn_context_unref(cancelled);
    rn_context_unref(parent);
}

/* How often the timer thread has gone to sleep; -1: it is not there. */
static long sleeps_of_the_timer_thread(void)
{
    static const char field[] = "voluntary_ctxt_switches:";
    long sleeps = -1;
    char text[4096];
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task = readdir(tasks); task != NULL && sleeps < 0; task = readdir(tasks)) {
        (void)snprintf(text, sizeof(text), "/proc/self/task/%s/status", task->d_name);
        int fd = open(text, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            (void)close(fd);
        text[n < 0 ? 0 : n] = '\0';
        const char *found = strstr(text, field);
        if (strstr(text, "rn-timer") != NULL && found != NULL)
            sleeps = strtoll(found + sizeof(field) - 1, NULL, 10);
    }
    (void)closedir(tasks);
    return sleeps;
}

static void the_deadline_of_what_was_cancelled_wakes_nobody(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    rn_context *ctx[COUNT];
    rn_context *last = NULL;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(
            rn_context_with_timeout(NULL, 40 * RN_MILLISECOND + i * RN_MILLISECOND, &ctx[i]), 0);
    for (int i = 0; i < COUNT; i++)
        rn_context_cancel(ctx[i], 0);
    long before = sleeps_of_the_timer_thread();
    assert_true(before >= 0);

    assert_int_equal(rn_context_with_timeout(NULL, 80 * RN_MILLISECOND, &last), 0);
    assert_ends_with(last, -ETIMEDOUT, -ETIMEDOUT);

    assert_in_range(sleeps_of_the_timer_thread() - before, 0, COUNT / 2);
    rn_context_unref(last);
    for (int i = 0; i < COUNT; i++)
        rn_context_unref(ctx[i]);
}

static void a_context_is_freed_with_its_last_reference(void **state)
{
    (void)state;
    rn_context *parent = new_child(NULL);
    rn_context *child = new_child(parent);
    assert_int_equal(atomic_load(&parent->references), 2);
    rn_context_cancel(child, 0);
    assert_int_equal(atomic_load(&parent->references), 2); // until it is freed
    rn_context_unref(child);
    assert_int_equal(atomic_load(&parent->references), 1);
    rn_context_unref(parent);
}

/* The row "memory per context" of the benchmarks: with its place among the timers, if it has one,
 * and what malloc adds. */
static void a_context_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(rn_context) <= 160);
}

// ---- After-functions

struct family {
    rn_context *child;
    rn_context *grandchild;
    int child_err;
    int grandchild_err;
};

static void look_at_the_family(void *arg)
{
    struct family *family = arg;
    family->child_err = rn_context_err(family->child);
    family->grandchild_err = rn_context_err(family->grandchild);
}

static void an_after_function_finds_all_below_ended(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    struct family family = {.child = new_child(root)};
    family.grandchild = new_child(family.child);
    rn_after_func *after_func = NULL;
    assert_int_equal(rn_context_after_func(root, look_at_the_family, &family, &after_func), 0);

    rn_context_cancel(root, 0);

    assert_int_equal(family.child_err, -ECANCELED);
    assert_int_equal(family.grandchild_err, -ECANCELED);
    assert_false(rn_after_func_stop(after_func));
    rn_context_unref(family.grandchild);
    rn_context_unref(family.child);
    rn_context_unref(root);
}

static void after_functions_of_one_context_are_independent(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    rn_after_func *after_funcs[COUNT];

    // Every subset of them is stopped; the others run, once.
    for (unsigned stopped = 0; stopped < 1u << COUNT; stopped++) {
        int calls[COUNT] = {0};
        rn_context *ctx = new_child(NULL);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(rn_context_after_func(ctx, note_call, &calls[i], &after_funcs[i]), 0);
        for (int i = 0; i < COUNT; i++) {
            if ((stopped >> i & 1) != 0)
                assert_true(rn_after_func_stop(after_funcs[i]));
        }
        rn_context_cancel(ctx, 0);
        for (int i = 0; i < COUNT; i++) {
            bool was_stopped = (stopped >> i & 1) != 0;
            assert_int_equal(calls[i], was_stopped ? 0 : 1);
            if (!was_stopped)
                assert_false(rn_after_func_stop(after_funcs[i]));
        }
        rn_context_unref(ctx);
    }
}

struct nested {
    rn_context *ctx;
    rn_after_func *outer;
    rn_after_func *inner;
    int calls;
    bool outer_was_kept;
};

static void stop_the_outer(void *arg)
{
    struct nested *nested = arg;
    nested->calls++;
    nested->outer_was_kept = rn_after_func_stop(nested->outer);
}

static void add_another(void *arg)
{
    struct nested *nested = arg;
    nested->calls++;
    assert_int_equal(rn_context_after_func(nested->ctx, stop_the_outer, nested, &nested->inner), 0);
}

static void an_after_function_may_add_one_that_stops_it(void **state)
{
    (void)state;
    struct nested nested = {.ctx = new_child(NULL), .outer_was_kept = true};
    assert_int_equal(rn_context_after_func(nested.ctx, add_another, &nested, &nested.outer), 0);

    rn_context_cancel(nested.ctx, 0);

    assert_int_equal(nested.calls, 2);
    assert_false(nested.outer_was_kept);
    assert_false(rn_after_func_stop(nested.inner));
    rn_context_unref(nested.ctx);
}

struct contest {
    rn_context *ctx;
    _Atomic int calls;
    _Atomic bool may_start;
};

static void count_call(void *arg)
{
    struct contest *contest = arg;
    atomic_fetch_add(&contest->calls, 1);
}

static int cancel_when_it_starts(rn_context *ctx, void *arg)
{
    struct contest *contest = arg;

    (void)ctx;
    while (!atomic_load(&contest->may_start))
        (void)sched_yield();
    rn_context_cancel(contest->ctx, 0);
    return 0;
}

static void a_function_runs_or_is_stopped_and_never_both(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct contest contest = {.ctx = new_child(NULL)};
        rn_group *group = NULL;
        rn_after_func *after_func = NULL;
        assert_int_equal(rn_group_new(NULL, &group), 0);
        assert_int_equal(rn_context_after_func(contest.ctx, count_call, &contest, &after_func), 0);
        assert_int_equal(rn_group_go(group, "cancel", cancel_when_it_starts, &contest), 0);
        atomic_store(&contest.may_start, true);
        for (int i = 0; i < round % 20; i++)
            (void)sched_yield();

        bool kept = rn_after_func_stop(after_func);

        // It has run before the stop returned, or it never will.
        assert_int_equal(atomic_load(&contest.calls), kept ? 0 : 1);
        assert_int_equal(rn_group_wait(group), 0);
        assert_int_equal(atomic_load(&contest.calls), kept ? 0 : 1);
        rn_group_free(group);
        rn_context_unref(contest.ctx);
    }
}

// ---- NULL

static void null_never_ends_anywhere(void **state)
{
    (void)state;
    int calls = 0;
    rn_chan *done = NULL;
    rn_after_func *after_func = NULL;

    assert_int_equal(rn_context_fd(NULL), -ENOENT);
    assert_int_equal(rn_context_done(NULL, &done), 0);
    assert_null(done);
    assert_int_equal(rn_context_after_func(NULL, note_call, &calls, &after_func), 0);
    rn_context_cancel(NULL, 1);
    rn_context_stop_signals(NULL);
    assert_true(rn_after_func_stop(after_func));

    assert_int_equal(calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_is_the_same_for_ever),
        cmocka_unit_test(the_parent_that_was_cancelled_first_gives_the_cause),
        cmocka_unit_test(the_child_that_was_cancelled_first_keeps_its_cause),
        cmocka_unit_test(a_deadline_gives_its_cause),
        cmocka_unit_test(a_deadline_that_has_passed_gives_its_cause_too),
        cmocka_unit_test(cancelling_does_not_take_the_cause_of_the_deadline),
        cmocka_unit_test(the_earlier_deadline_gives_the_cause),
        cmocka_unit_test(a_child_that_has_ended_is_forgotten),
        cmocka_unit_test(the_deadline_of_what_was_cancelled_wakes_nobody),
        cmocka_unit_test(a_context_is_freed_with_its_last_reference),
        cmocka_unit_test(a_context_is_small),
        cmocka_unit_test(an_after_function_finds_all_below_ended),
        cmocka_unit_test(after_functions_of_one_context_are_independent),
        cmocka_unit_test(an_after_function_may_add_one_that_stops_it),
        cmocka_unit_test(a_function_runs_or_is_stopped_and_never_both),
        cmocka_unit_test(null_never_ends_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
