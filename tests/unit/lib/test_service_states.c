/* Services: their states, and the end of the parent context. */
#include <runnel/service.h>

#include <runnel/group.h>

#include "fault.h"
#include "service_tasks.h"
#include "unit.h"

// ---- States

static void the_state_goes_from_new_to_ended(void **state)
{
    (void)state;
    rn_service *service = NULL;
    const struct rn_service_options options = {.workers = 1, .backlog = 1, .run_fn = run_task};
    tasks[0].fn = wait_for_gate;

    assert_int_equal(rn_service_new(NULL, &options, &service), 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_NEW);
    fault_fail_pthread_create(1);
    assert_int_equal(rn_service_start(service), -EAGAIN);
    assert_true(fault_reached());
    assert_int_equal(rn_service_state(service), RN_SERVICE_NEW);
    assert_int_equal(rn_service_start(service), 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_RUNNING);
    submit_task(service, 0);
    wait_until(&seen.inside, 1);
    rn_service_close(service);
    assert_int_equal(rn_service_state(service), RN_SERVICE_DRAINING);
    rn_service_cancel(service, 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_CANCELLED);
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_ENDED);
    rn_service_free(service);

    assert_int_equal(rn_service_new(NULL, &options, &service), 0);
    rn_service_close(service); // nothing is left to do
    assert_int_equal(rn_service_state(service), RN_SERVICE_ENDED);
    rn_service_free(service);
}

static void the_end_of_the_parent_shows_in_the_state(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    const struct rn_service_options options = {.workers = 1, .backlog = 1, .run_fn = run_task};
    tasks[0].fn = wait_for_gate;
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    submit_task(service, 0);
    wait_until(&seen.inside, 1);

    rn_context_cancel(parent, 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_CANCELLED);
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_ENDED);
    rn_service_free(service);

    // It may have ended before.
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_state(service), RN_SERVICE_ENDED);
    assert_int_equal(rn_service_try_submit(service, &tasks[1]), -EPIPE);
    assert_int_equal(rn_service_start(service), -EPIPE);
    rn_service_free(service);
    rn_context_unref(parent);
}

static void states_and_outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(rn_service_state_text(RN_SERVICE_NEW), "new");
    assert_string_equal(rn_service_state_text(RN_SERVICE_RUNNING), "running");
    assert_string_equal(rn_service_state_text(RN_SERVICE_DRAINING), "draining");
    assert_string_equal(rn_service_state_text(RN_SERVICE_CANCELLED), "cancelled");
    assert_string_equal(rn_service_state_text(RN_SERVICE_ENDED), "ended");
    assert_string_equal(rn_task_outcome_text(RN_TASK_DONE), "done");
    assert_string_equal(rn_task_outcome_text(RN_TASK_FAILED), "failed");
    assert_string_equal(rn_task_outcome_text(RN_TASK_CANCELLED), "cancelled");
    assert_string_equal(rn_task_outcome_text(RN_TASK_NEVER_STARTED), "never started");
}

// ---- The end of the parent

/* false: the time was over before a task could run. */
static bool run_until_deadline(rn_duration timeout)
{
    rn_context *parent = NULL;
    rn_service *service = NULL;
    const struct rn_service_options options = {
        .workers = 1, .backlog = 4, .results = 4, .run_fn = run_task, .drop_fn = drop_task};

    tasks_set_up(NULL);
    tasks[0].fn = stay_until_the_end;
    assert_int_equal(rn_context_with_timeout(NULL, timeout, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    bool ran = rn_service_start(service) == 0 && rn_service_try_submit(service, &tasks[0]) == 0 &&
               rn_service_try_submit(service, &tasks[1]) == 0;
    (void)receive_all(service);
    ran = ran && atomic_load(&tasks[0].ran) == 1;
    if (ran) {
        assert_result(0, RN_TASK_CANCELLED, -ETIMEDOUT);
        assert_result(1, RN_TASK_NEVER_STARTED, -ETIMEDOUT);
    }
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
    rn_context_unref(parent);
    return ran;
}

static void the_deadline_of_the_parent_is_told_as_such(void **state)
{
    rn_duration timeout = 4 * RN_MILLISECOND;

    (void)state;
    while (!run_until_deadline(timeout))
        timeout *= 2;
}

static void wait_in_passing(void *arg)
{
    if (rn_service_wait(NULL, arg, RN_NEVER) != 0 || atomic_load(&tasks[0].dropped) != 1)
        atomic_fetch_add(&seen.faults, 1);
}

static void who_waits_sees_the_end_of_the_parent_himself(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    rn_after_func *after_func = NULL;
    const struct rn_service_options options = {
        .backlog = 1, .results = 1, .run_fn = run_task, .drop_fn = drop_task};
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    submit_task(service, 0);
    // Runs before that of the service, which stands further below.
    assert_int_equal(rn_context_after_func(parent, wait_in_passing, service, &after_func), 0);

    rn_context_cancel(parent, 0);

    assert_false(rn_after_func_stop(after_func));
    assert_int_equal(atomic_load(&seen.faults), 0);
    assert_int_equal(receive_all(service), 1);
    assert_result(0, RN_TASK_NEVER_STARTED, -ECANCELED);
    rn_service_free(service);
    rn_context_unref(parent);
}

static _Atomic int waits; // 1: is about to, 2: is over

static int wait_for_all(rn_context *ctx, void *arg)
{
    (void)ctx;
    atomic_store(&waits, 1);
    int r = rn_service_wait(NULL, arg, RN_NEVER);
    atomic_store(&waits, 2);
    return r;
}

static void look_when_the_wait_is_over(void *arg)
{
    (void)arg;
    wait_until(&waits, 2);
    if (atomic_load(&tasks[1].dropped) != 1)
        atomic_fetch_add(&seen.faults, 1);
}

static void workers_that_leave_drop_what_is_queued_themselves(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    rn_group *group = NULL;
    rn_after_func *after_func = NULL;
    const struct rn_service_options options = {
        .workers = 1, .backlog = 1, .results = 2, .run_fn = run_task, .drop_fn = drop_task};
    atomic_store(&waits, 0);
    tasks[0].fn = stay_until_the_end;
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    submit_task(service, 0);
    submit_task(service, 1);
    wait_until(&seen.inside, 1);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "wait", wait_for_all, service), 0);
    wait_until(&waits, 1);
    assert_int_equal(rn_context_after_func(parent, look_when_the_wait_is_over, NULL, &after_func),
                     0);

    rn_context_cancel(parent, 0);

    assert_int_equal(rn_group_wait(group), 0);
    assert_false(rn_after_func_stop(after_func));
    assert_int_equal(atomic_load(&seen.faults), 0);
    assert_int_equal(receive_all(service), 2);
    rn_group_free(group);
    rn_service_free(service);
    rn_context_unref(parent);
}

#define TEST(fn) cmocka_unit_test_setup(fn, tasks_set_up)

int main(void)
{
    const struct CMUnitTest all[] = {
        TEST(the_state_goes_from_new_to_ended),
        TEST(the_end_of_the_parent_shows_in_the_state),
        TEST(states_and_outcomes_have_names),
        TEST(the_deadline_of_the_parent_is_told_as_such),
        TEST(who_waits_sees_the_end_of_the_parent_himself),
        TEST(workers_that_leave_drop_what_is_queued_themselves),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
