/* Who waits for the end of a task: answered once, by whoever comes first. */
#include "unit.h"

#include <string.h>

#include <runnel/group.h>

#include "engine/core.h"
#include "fault.h"

struct waiter {
    struct engine_wait wait;
    rn_chan *answers;
};

static void answered(struct engine_wait *wait, void *arg)
{
    struct waiter *waiter = arg;
    assert_ptr_equal(wait, &waiter->wait);
    int one = 1;
    assert_int_equal(rn_chan_try_send(waiter->answers, &one), 0);
}

static void waiter_init(struct waiter *waiter, uint64_t id, rn_time until)
{
    memset(waiter, 0, sizeof(*waiter));
    assert_int_equal(rn_chan_new(sizeof(int), 2, &waiter->answers), 0);
    waiter->wait =
        (struct engine_wait){.id = id, .until = until, .done_fn = answered, .arg = waiter};
}

static void answers_those_who_wait_for_the_task_and_nobody_else(void **state)
{
    (void)state;
    struct waiters waiters = {0};
    struct waiter a, b, other;
    assert_int_equal(waiters_init(&waiters, 10), 0);
    waiter_init(&a, 7, RN_NEVER);
    waiter_init(&b, 7, RN_NEVER);
    waiter_init(&other, 8, RN_NEVER);
    assert_int_equal(waiters_start(&waiters, &a.wait), 0);
    assert_int_equal(waiters_start(&waiters, &b.wait), 0);
    assert_int_equal(waiters_start(&waiters, &other.wait), 0);

    waiters_end(&waiters, 7);
    waiters_end(&waiters, 7);

    assert_int_equal(rn_chan_len(a.answers), 1);
    assert_int_equal(rn_chan_len(b.answers), 1);
    assert_int_equal(rn_chan_len(other.answers), 0);
    assert_false(waiters_stop(&waiters, &a.wait));
    assert_true(waiters_stop(&waiters, &other.wait));
    assert_false(waiters_stop(&waiters, &other.wait));
    rn_chan_free(a.answers);
    rn_chan_free(b.answers);
    rn_chan_free(other.answers);
    waiters_fini(&waiters);
}

static void answers_at_the_given_time(void **state)
{
    (void)state;
    struct waiters waiters = {0};
    struct waiter early, late;
    int one = 0;
    assert_int_equal(waiters_init(&waiters, 10), 0);
    waiter_init(&late, 1, rn_after(RN_HOUR));
    waiter_init(&early, 2, rn_after(5 * RN_MILLISECOND));
    assert_int_equal(waiters_start(&waiters, &late.wait), 0);
    assert_int_equal(waiters_start(&waiters, &early.wait), 0);

    assert_int_equal(rn_chan_recv_until(NULL, early.answers, rn_after(RN_MINUTE), &one), 0);

    assert_true(rn_now() >= early.wait.until);
    assert_int_equal(rn_chan_len(late.answers), 0);
    assert_true(waiters_stop(&waiters, &late.wait));
    assert_false(waiters_stop(&waiters, &early.wait)); // returns after the call has
    rn_chan_free(early.answers);
    rn_chan_free(late.answers);
    waiters_fini(&waiters);
}

static void takes_no_more_than_the_limit_and_none_once_closed(void **state)
{
    (void)state;
    struct waiters waiters = {0};
    struct waiter a, b;
    assert_int_equal(waiters_init(&waiters, 1), 0);
    waiter_init(&a, 1, RN_NEVER);
    waiter_init(&b, 2, RN_NEVER);

    assert_int_equal(waiters_start(&waiters, &a.wait), 0);
    assert_int_equal(waiters_start(&waiters, &b.wait), -EAGAIN);
    waiters_refuse(&waiters);
    assert_int_equal(waiters_start(&waiters, &b.wait), -EPIPE);
    assert_int_equal(rn_chan_len(a.answers), 0); // it goes on
    waiters_close(&waiters);

    assert_int_equal(rn_chan_len(a.answers), 1);
    assert_int_equal(waiters_start(&waiters, &b.wait), -EPIPE);
    rn_chan_free(a.answers);
    rn_chan_free(b.answers);
    waiters_fini(&waiters);
}

static void without_memory_nothing_is_subscribed(void **state)
{
    (void)state;
    struct waiters waiters = {0};
    struct waiter a;
    assert_int_equal(waiters_init(&waiters, 1), 0);
    waiter_init(&a, 1, RN_NEVER);

    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = waiters_start(&waiters, &a.wait);
        bool reached = fault_reached();
        fault_reset();
        if (!reached) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(atomic_load(&waiters.present), 0);
    }

    assert_true(waiters_stop(&waiters, &a.wait));
    rn_chan_free(a.answers);
    waiters_fini(&waiters);
}

enum { ROUNDS = 2000 };

/* One thread ends tasks, this one takes waits back: each wait must be answered or taken back, never
 * both. */
static int end_tasks(rn_context *ctx, void *arg)
{
    struct waiters *waiters = arg;
    while (rn_context_err(ctx) == 0) {
        for (uint64_t id = 0; id < 4; id++)
            waiters_end(waiters, id);
    }
    return 0;
}

static void is_answered_or_taken_back_but_never_both(void **state)
{
    (void)state;
    struct waiters waiters = {0};
    rn_group *group = NULL;
    assert_int_equal(waiters_init(&waiters, 10), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "ends", end_tasks, &waiters), 0);

    for (int i = 0; i < ROUNDS; i++) {
        struct waiter waiter;
        waiter_init(&waiter, (uint64_t)i % 4, RN_NEVER);
        assert_int_equal(waiters_start(&waiters, &waiter.wait), 0);
        bool taken_back = waiters_stop(&waiters, &waiter.wait);
        assert_int_equal(rn_chan_len(waiter.answers), taken_back ? 0 : 1);
        rn_chan_free(waiter.answers);
    }

    rn_context_cancel(rn_group_context(group), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    waiters_fini(&waiters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_those_who_wait_for_the_task_and_nobody_else),
        cmocka_unit_test(answers_at_the_given_time),
        cmocka_unit_test(takes_no_more_than_the_limit_and_none_once_closed),
        cmocka_unit_test(without_memory_nothing_is_subscribed),
        cmocka_unit_test(is_answered_or_taken_back_but_never_both),
    };
    return cmocka_run_group_tests_name("waiters", tests, NULL, NULL);
}
