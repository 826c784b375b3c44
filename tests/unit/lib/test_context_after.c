/* After-functions: what the end of a context sets going. */
#include <runnel/context.h>

#include <sched.h>
#include <stdatomic.h>

#include <runnel/chan.h>
#include <runnel/group.h>

#include "contexts.h"
#include "unit.h"

struct call {
    int count;
    int order;
    rn_after_func *own;
    bool stopped;
};
static int calls;

static void note_call(void *arg)
{
    struct call *call = arg;
    call->count++;
    call->order = ++calls;
}

static void stop_itself(void *arg)
{
    struct call *call = arg;
    call->count++;
    call->stopped = rn_after_func_stop(call->own);
}

static void after_functions_run_once_in_their_order(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    struct call call[3] = {{.count = 0}};
    calls = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_context_after_func(ctx, note_call, &call[i], &call[i].own), 0);
    assert_true(rn_after_func_stop(call[1].own));

    rn_context_cancel(ctx, 0);
    rn_context_cancel(ctx, 0);

    assert_int_equal(call[0].order, 1);
    assert_int_equal(call[1].count, 0);
    assert_int_equal(call[2].order, 2);
    assert_false(rn_after_func_stop(call[0].own));
    assert_false(rn_after_func_stop(call[2].own));
    assert_true(rn_after_func_stop(NULL));
    rn_context_unref(ctx);
}

static void stopped_after_functions_do_not_run(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    struct call call[3] = {{.count = 0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_context_after_func(ctx, note_call, &call[i], &call[i].own), 0);

    assert_true(rn_after_func_stop(call[2].own));
    assert_true(rn_after_func_stop(call[0].own));
    assert_true(rn_after_func_stop(call[1].own));
    rn_context_cancel(ctx, 0);

    for (int i = 0; i < 3; i++)
        assert_int_equal(call[i].count, 0);
    rn_context_unref(ctx);
}

static void an_after_function_of_an_ended_context_runs_at_once(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    struct call call = {.count = 0};
    rn_context_cancel(ctx, 0);

    assert_int_equal(rn_context_after_func(ctx, note_call, &call, &call.own), 0);

    assert_int_equal(call.count, 1);
    assert_false(rn_after_func_stop(call.own));
    rn_context_unref(ctx);
}

static void an_after_function_may_stop_itself(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    struct call call = {.stopped = true};
    struct call next = {.count = 0};
    assert_int_equal(rn_context_after_func(ctx, stop_itself, &call, &call.own), 0);
    assert_int_equal(rn_context_after_func(ctx, note_call, &next, &next.own), 0);

    rn_context_cancel(ctx, 0);

    assert_int_equal(call.count, 1);
    assert_false(call.stopped);
    assert_int_equal(next.count, 1);
    assert_false(rn_after_func_stop(next.own));
    rn_context_unref(ctx);
}

static void an_after_function_keeps_its_context(void **state)
{
    (void)state;
    rn_context *root = new_child(NULL);
    rn_context *ctx = new_child(root);
    struct call call = {.count = 0};
    assert_int_equal(rn_context_after_func(ctx, note_call, &call, &call.own), 0);

    rn_context_unref(ctx);
    rn_context_cancel(root, 0);

    assert_int_equal(call.count, 1);
    assert_false(rn_after_func_stop(call.own));
    rn_context_unref(root);
}

static void tell_time(void *arg)
{
    rn_time now = rn_now();
    (void)!rn_chan_try_send(arg, &now);
}

static void after_functions_run_at_a_deadline(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_chan *chan = NULL;
    rn_after_func *after_func = NULL;
    rn_time called_at = 0;
    assert_int_equal(rn_chan_new(sizeof(rn_time), 1, &chan), 0);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);

    assert_int_equal(rn_context_after_func(ctx, tell_time, chan, &after_func), 0);

    assert_int_equal(rn_chan_recv(NULL, chan, &called_at), 0);
    assert_true(called_at >= rn_context_deadline(ctx));
    assert_false(rn_after_func_stop(after_func));
    rn_context_unref(ctx);
    rn_chan_free(chan);
}

static struct {
    _Atomic bool entered;
    _Atomic bool may_return;
    _Atomic bool returned;
} slow;

static void be_slow(void *arg)
{
    (void)arg;
    atomic_store(&slow.entered, true);
    while (!atomic_load(&slow.may_return))
        (void)sched_yield();
    atomic_store(&slow.returned, true);
}

static int cancel_it(rn_context *ctx, void *arg)
{
    (void)ctx;
    rn_context_cancel(arg, 0);
    return 0;
}

static int let_it_return(rn_context *ctx, void *arg)
{
    (void)arg;
    // Long enough that the stop, called meanwhile, would be seen to return early if it did.
    int r = rn_sleep(ctx, 2 * RN_MILLISECOND);
    atomic_store(&slow.may_return, true);
    return r;
}

static void stopping_waits_for_a_running_function(void **state)
{
    (void)state;
    rn_context *ctx = new_child(NULL);
    rn_group *group = NULL;
    rn_after_func *after_func = NULL;
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_context_after_func(ctx, be_slow, NULL, &after_func), 0);
    assert_int_equal(rn_group_go(group, "cancel", cancel_it, ctx), 0);
    while (!atomic_load(&slow.entered))
        (void)sched_yield();
    assert_int_equal(rn_group_go(group, "release", let_it_return, NULL), 0);

    assert_false(rn_after_func_stop(after_func));

    assert_true(atomic_load(&slow.returned));
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    rn_context_unref(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_functions_run_once_in_their_order),
        cmocka_unit_test(stopped_after_functions_do_not_run),
        cmocka_unit_test(an_after_function_of_an_ended_context_runs_at_once),
        cmocka_unit_test(an_after_function_may_stop_itself),
        cmocka_unit_test(an_after_function_keeps_its_context),
        cmocka_unit_test(after_functions_run_at_a_deadline),
        cmocka_unit_test(stopping_waits_for_a_running_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
