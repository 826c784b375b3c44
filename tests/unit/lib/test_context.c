/* Contexts: the tree, and what ends it. */
#include <runnel/context.h>

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/chan.h>
#include <runnel/group.h>

#include "contexts.h"
#include "fault.h"
#include "unit.h"

static bool becomes_readable(int fd, int within_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, within_ms) == 1 && (poll_fd.revents & POLLIN) != 0;
}

static bool is_readable(int fd)
{
    return becomes_readable(fd, 0);
}

static bool is_closed(rn_chan *chan)
{
    return rn_chan_try_recv(chan, NULL) == -EPIPE;
}

static void assert_ends(rn_context *ctx)
{
    int r = rn_sleep(ctx, RN_MINUTE);
    assert_int_not_equal(r, 0);
    assert_int_equal(rn_context_err(ctx), r);
}

// ---- Cancelling

static void null_never_ends(void **state)
{
    (void)state;
    rn_context_cancel(NULL, 0);
    assert_int_equal(rn_context_err(NULL), 0);
    assert_int_equal(rn_context_cause(NULL), 0);
    assert_true(rn_context_deadline(NULL) == RN_NEVER);
    assert_null(rn_context_ref(NULL));
    rn_context_unref(NULL);
    assert_int_equal(rn_sleep(NULL, RN_MICROSECOND), 0);
}

static void cancelling_ends_a_context_with_its_cause(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    assert_int_equal(rn_context_err(ctx), 0);
    assert_int_equal(rn_context_cause(ctx), 0);
    assert_true(rn_context_deadline(ctx) == RN_NEVER);

    rn_context_cancel(ctx, 15);

    assert_int_equal(rn_context_err(ctx), -ECANCELED);
    assert_int_equal(rn_context_cause(ctx), 15);
    rn_context_unref(ctx);
}

static void without_a_cause_it_is_cancelled(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_context_cause(ctx), -ECANCELED);
    rn_context_unref(ctx);
}

static void the_first_cancel_wins(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_context_cancel(ctx, 1);
    rn_context_cancel(ctx, 2);
    assert_int_equal(rn_context_cause(ctx), 1);
    rn_context_unref(ctx);
}

static void a_parent_ends_its_children_with_its_cause(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *child = new_child(root);
    rn_context *grandchild = new_child(child);
    rn_context *other = new_child(root);

    rn_context_cancel(child, 3);
    assert_int_equal(rn_context_cause(grandchild), 3);
    assert_int_equal(rn_context_err(root), 0);
    assert_int_equal(rn_context_err(other), 0);
    rn_context_cancel(root, 4);

    assert_int_equal(rn_context_cause(other), 4);
    assert_int_equal(rn_context_cause(grandchild), 3);
    rn_context_unref(other);
    rn_context_unref(grandchild);
    rn_context_unref(child);
    rn_context_unref(root);
}

static void a_child_of_an_ended_parent_has_ended(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context_cancel(root, 5);

    rn_context *child = new_child(root);
    rn_context *timed = NULL;
    assert_int_equal(rn_context_with_timeout(root, RN_HOUR, &timed), 0);
    rn_context *late = NULL;
    assert_int_equal(rn_context_with_deadline(root, 1, &late), 0);

    assert_int_equal(rn_context_cause(child), 5);
    assert_int_equal(rn_context_cause(timed), 5);
    assert_int_equal(rn_context_cause(late), 5);
    rn_context_unref(late);
    rn_context_unref(timed);
    rn_context_unref(child);
    rn_context_unref(root);
}

static void a_parent_without_an_owner_still_passes_the_end_down(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *middle = new_child(root);
    rn_context *leaf = new_child(middle);

    rn_context_unref(middle);
    assert_int_equal(rn_context_err(leaf), 0);
    rn_context_cancel(root, 6);

    assert_int_equal(rn_context_cause(leaf), 6);
    rn_context_unref(root);
    rn_context_unref(leaf);
}

static void a_freed_child_is_off_its_parent(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *first = new_child(root);
    rn_context *second = new_child(root);
    rn_context *third = new_child(root);

    rn_context_unref(second);
    rn_context_unref(rn_context_ref(first));
    rn_context_cancel(root, 0);

    assert_int_equal(rn_context_err(first), -ECANCELED);
    assert_int_equal(rn_context_err(third), -ECANCELED);
    rn_context_unref(first);
    rn_context_unref(third);
    rn_context_unref(root);
}

enum {
    MANY = 10000,
};

static void a_tree_of_ten_thousand_in_width_ends(void **state)
{
    (void)state;
    static rn_context *children[MANY];
    rn_context *root = new_child(NULL);
    for (int i = 0; i < MANY; i++)
        children[i] = new_child(root);

    rn_context_cancel(root, 8);

    for (int i = 0; i < MANY; i++) {
        assert_int_equal(rn_context_cause(children[i]), 8);
        rn_context_unref(children[i]);
    }
    rn_context_unref(root);
}

static void a_chain_of_ten_thousand_ends_and_is_freed(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *last = rn_context_ref(root);
    for (int i = 0; i < MANY; i++) {
        rn_context *next = new_child(last);
        rn_context_unref(last); // its child keeps it
        last = next;
    }

    rn_context_cancel(root, 9);

    assert_int_equal(rn_context_cause(last), 9);
    rn_context_unref(root);
    rn_context_unref(last);
}

// ---- Deadlines

static void a_deadline_ends_a_context(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_time deadline = rn_after(3 * RN_MILLISECOND);
    assert_int_equal(rn_context_with_deadline(NULL, deadline, &ctx), 0);
    assert_true(rn_context_deadline(ctx) == deadline);

    assert_ends(ctx);

    assert_true(rn_now() >= deadline);
    assert_int_equal(rn_context_err(ctx), -ETIMEDOUT);
    assert_int_equal(rn_context_cause(ctx), -ETIMEDOUT);
    rn_context_unref(ctx);
}

static void a_deadline_that_has_passed_ends_it_at_once(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, 0, &ctx), 0);
    assert_int_equal(rn_context_err(ctx), -ETIMEDOUT);
    rn_context_unref(ctx);
    assert_int_equal(rn_context_with_deadline(NULL, 1, &ctx), 0);
    assert_int_equal(rn_context_err(ctx), -ETIMEDOUT);
    rn_context_unref(ctx);
}

static void deadlines_nest_to_the_earliest(void **state)
{
    (void)state;
    rn_context *outer = NULL;
    rn_context *longer = NULL;
    rn_context *shorter = NULL;
    rn_time deadline = rn_after(RN_HOUR);
    assert_int_equal(rn_context_with_deadline(NULL, deadline, &outer), 0);
    rn_context *plain = new_child(outer);

    assert_int_equal(rn_context_with_deadline(outer, deadline + RN_HOUR, &longer), 0);
    assert_int_equal(rn_context_with_deadline(plain, deadline - RN_MINUTE, &shorter), 0);

    assert_true(rn_context_deadline(plain) == deadline);
    assert_true(rn_context_deadline(longer) == deadline);
    assert_true(rn_context_deadline(shorter) == deadline - RN_MINUTE);
    rn_context_unref(shorter);
    rn_context_unref(longer);
    rn_context_unref(plain);
    rn_context_unref(outer);
}

static void the_parents_deadline_ends_the_child(void **state)
{
    (void)state;
    rn_context *outer = NULL;
    rn_context *inner = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, 2 * RN_MILLISECOND, &outer), 0);
    assert_int_equal(rn_context_with_timeout(outer, RN_HOUR, &inner), 0);

    assert_ends(inner);

    assert_int_equal(rn_context_cause(inner), -ETIMEDOUT);
    rn_context_unref(outer);
    rn_context_unref(inner);
}

static void the_earlier_of_many_deadlines_comes_first(void **state)
{
    (void)state;
    rn_context *late[100];
    rn_context *early = NULL;
    for (int i = 0; i < 100; i++)
        assert_int_equal(
            rn_context_with_timeout(NULL, RN_HOUR + (i * 37 % 100) * RN_SECOND, &late[i]), 0);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &early), 0);

    assert_ends(early);

    for (int i = 0; i < 100; i++) {
        assert_int_equal(rn_context_err(late[i]), 0);
        rn_context_unref(late[i]);
    }
    rn_context_unref(early);
}

static void a_sleep_without_end_lasts_its_time(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_time before = rn_now();

    assert_int_equal(rn_sleep(ctx, 2 * RN_MILLISECOND), 0);
    assert_true(rn_now() >= before + 2 * RN_MILLISECOND);
    assert_int_equal(rn_sleep(ctx, 0), 0);
    assert_int_equal(rn_sleep(ctx, -1), 0);
    rn_context_cancel(ctx, 0);

    assert_int_equal(rn_sleep(ctx, 0), -ECANCELED);
    assert_int_equal(rn_sleep(ctx, RN_HOUR), -ECANCELED);
    rn_context_unref(ctx);
}

// ---- Descriptor and channel

static void the_descriptor_becomes_readable_for_ever(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *ctx = new_child(root);
    int fd = rn_context_fd(ctx);
    assert_true(fd >= 0);
    assert_int_equal(rn_context_fd(ctx), fd);
    assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_false(is_readable(fd));

    rn_context_cancel(root, 0);

    assert_true(is_readable(fd));
    assert_true(is_readable(fd));
    rn_context_unref(ctx);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    rn_context_unref(root);
}

static void the_descriptor_of_an_ended_context_is_readable(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_context_cancel(ctx, 0);
    assert_true(is_readable(rn_context_fd(ctx)));
    rn_context_unref(ctx);
}

static void no_descriptor_is_an_error_that_passes(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    fault_fail(FAULT_EVENTFD, 1, EMFILE);
    assert_int_equal(rn_context_fd(ctx), -EMFILE);
    assert_true(fault_reached());
    assert_true(rn_context_fd(ctx) >= 0);
    rn_context_unref(ctx);
}

static void the_channel_closes(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_chan *chan = NULL;
    rn_chan *again = NULL;
    assert_int_equal(rn_context_done(ctx, &chan), 0);
    assert_int_equal(rn_context_done(ctx, &again), 0);
    assert_ptr_equal(chan, again);
    assert_int_equal(rn_chan_try_recv(chan, NULL), -EAGAIN);

    rn_context_cancel(ctx, 0);

    assert_true(is_closed(chan));
    rn_context_unref(ctx);
}

static void the_channel_of_an_ended_context_is_closed(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_chan *chan = NULL;
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_context_done(ctx, &chan), 0);
    assert_true(is_closed(chan));
    rn_context_unref(ctx);
}

// ---- Failures

static void note_call(void *arg)
{
    (*(int *)arg)++;
}

static int make_all(rn_context *parent)
{
    rn_context *ctx = NULL;
    rn_chan *chan;
    rn_after_func *after_func;
    int calls = 0;

    int r = rn_context_with_timeout(parent, RN_HOUR, &ctx);
    if (r == 0)
        r = rn_context_done(ctx, &chan);
    if (r == 0)
        r = rn_context_after_func(ctx, note_call, &calls, &after_func);
    if (r == 0)
        assert_true(rn_after_func_stop(after_func));
    assert_int_equal(calls, 0);
    rn_context_unref(ctx);
    return r;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    rn_context *parent = new_child(NULL);
    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = make_all(parent);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_true(nth > 3);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
    rn_context_unref(parent);
}

static void more_deadlines_than_the_heap_has_room_for_may_fail(void **state)
{
    (void)state;
    static rn_context *contexts[200];
    int made = 0;

    // One in three has no memory, another only if the heap has to grow; the rest must be whole.
    for (int i = 0; i < 200; i++) {
        rn_context *ctx = NULL;
        fault_fail_malloc(i % 3 + 1);
        int r = rn_context_with_timeout(NULL, RN_HOUR, &ctx);
        (void)fault_reached();
        if (r == 0)
            contexts[made++] = ctx;
        else
            assert_int_equal(r, -ENOMEM);
    }
    assert_in_range(made, 100, 134);
    rn_context *soon = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &soon), 0);
    assert_ends(soon);
    rn_context_unref(soon);
    while (made > 0)
        rn_context_unref(contexts[--made]);
}

// ---- Everything at once

enum {
    TREE_ROUNDS = 80,
    TREE_THREADS = 3,
};

static _Atomic long ended_calls;
static _Atomic unsigned next_seed = 1;

static void count_end(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ended_calls, 1);
}

/* Makes children below arg, waits on some, cancels some, and looks that each tells the truth. */
static int live_below(rn_context *ctx, void *arg)
{
    rn_context *root = arg;
    unsigned seed = atomic_fetch_add(&next_seed, 1);

    (void)ctx;
    while (rn_context_err(root) == 0) {
        rn_context *child = NULL;
        rn_context *leaf = NULL;
        rn_after_func *after_func = NULL;
        int r = rn_context_with_timeout(root, rand_r(&seed) % 100 * RN_MICROSECOND, &child);
        if (r == 0)
            r = rn_context_with_cancel(child, &leaf);
        if (r == 0)
            r = rn_context_after_func(leaf, count_end, NULL, &after_func);
        if (r < 0 || rn_context_fd(leaf) < 0)
            return -ENOMEM;
        if (rand_r(&seed) % 4 == 0)
            rn_context_cancel(child, 1);
        if (rand_r(&seed) % 2 == 0)
            rn_context_unref(RN_TAKE(child));
        if (rand_r(&seed) % 2 == 0 && rn_sleep(leaf, RN_MINUTE) == 0)
            return -EINVAL;
        (void)rn_after_func_stop(after_func);
        if (rn_context_err(leaf) != 0 && !becomes_readable(rn_context_fd(leaf), 10000))
            return -EINVAL;
        rn_context_unref(child);
        rn_context_unref(leaf);
    }
    return 0;
}

static void trees_survive_cancels_from_everywhere(void **state)
{
    (void)state;
    for (int round = 0; round < TREE_ROUNDS; round++) {
        rn_group *group = NULL;
        rn_context *root = new_child(NULL);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        for (int i = 0; i < TREE_THREADS; i++)
            assert_int_equal(rn_group_go(group, "tree", live_below, root), 0);
        assert_int_equal(rn_sleep(NULL, round % 10 * (100 * RN_MICROSECOND)), 0);
        rn_context_cancel(root, 0);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
        rn_context_unref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_never_ends),
        cmocka_unit_test(cancelling_ends_a_context_with_its_cause),
        cmocka_unit_test(without_a_cause_it_is_cancelled),
        cmocka_unit_test(the_first_cancel_wins),
        cmocka_unit_test(a_parent_ends_its_children_with_its_cause),
        cmocka_unit_test(a_child_of_an_ended_parent_has_ended),
        cmocka_unit_test(a_parent_without_an_owner_still_passes_the_end_down),
        cmocka_unit_test(a_freed_child_is_off_its_parent),
        cmocka_unit_test(a_tree_of_ten_thousand_in_width_ends),
        cmocka_unit_test(a_chain_of_ten_thousand_ends_and_is_freed),
        cmocka_unit_test(a_deadline_ends_a_context),
        cmocka_unit_test(a_deadline_that_has_passed_ends_it_at_once),
        cmocka_unit_test(deadlines_nest_to_the_earliest),
        cmocka_unit_test(the_parents_deadline_ends_the_child),
        cmocka_unit_test(the_earlier_of_many_deadlines_comes_first),
        cmocka_unit_test(a_sleep_without_end_lasts_its_time),
        cmocka_unit_test(the_descriptor_becomes_readable_for_ever),
        cmocka_unit_test(the_descriptor_of_an_ended_context_is_readable),
        cmocka_unit_test(no_descriptor_is_an_error_that_passes),
        cmocka_unit_test(the_channel_closes),
        cmocka_unit_test(the_channel_of_an_ended_context_is_closed),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(more_deadlines_than_the_heap_has_room_for_may_fail),
        cmocka_unit_test(trees_survive_cancels_from_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
