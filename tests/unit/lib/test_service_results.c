/* Services: how the ends of tasks are told by the results channel, places for them, and failures.
 */
#include <runnel/service.h>

#include <poll.h>
#include <sched.h>

#include <runnel/group.h>

#include "fault.h"
#include "service_new.h"
#include "service_tasks.h"
#include "unit.h"

// ---- The channel

static int submit_many(rn_context *ctx, void *arg)
{
    int r = 0;

    for (int i = 0; r == 0 && i < 1000; i++)
        r = rn_service_submit(ctx, arg, &tasks[i]);
    rn_service_close(arg);
    return r;
}

static void every_task_ends_in_one_result(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 3, .backlog = 4, .results = 8, .run_fn = run_task, .drop_fn = drop_task});
    for (int i = 1; i < 1000; i += 2)
        tasks[i].fn = break_down;
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "submit", submit_many, service), 0);

    assert_int_equal(receive_all(service), 1000);

    assert_int_equal(rn_group_wait(group), 0);
    for (int i = 0; i < 1000; i++) {
        assert_result(i, i % 2 == 0 ? RN_TASK_DONE : RN_TASK_FAILED, i % 2 == 0 ? 0 : -EIO);
        assert_in_range(tasks[i].result.worker, 1, 3);
    }
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    rn_group_free(group);
    rn_service_free(service);
}

static void without_results_there_is_no_channel(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 1, .backlog = 1, .run_fn = run_task});
    submit_task(service, 0);
    assert_null(rn_service_results(service));
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(atomic_load(&tasks[0].ran), 1);
    rn_service_free(service);
}

static void a_result_says_how_its_task_ended(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 4, .backlog = 8, .results = 16, .run_fn = run_task, .drop_fn = drop_task});
    tasks[0].fn = claim_to_be_cancelled;
    tasks[1].fn = break_down;
    for (int i = 0; i < 3; i++)
        submit_task(service, i);
    while (count_ran() < 3)
        (void)sched_yield();
    tasks[3].fn = stay_until_the_end;
    tasks[4].fn = stay_and_be_done;
    tasks[5].fn = stay_and_break_down;
    tasks[6].fn = stay_until_the_end;
    for (int i = 3; i < 9; i++)
        submit_task(service, i);
    wait_until(&seen.inside, 4);

    rn_service_cancel(service, 42);
    assert_int_equal(receive_all(service), 9);

    assert_result(0, RN_TASK_FAILED, -ECANCELED); // nothing had ended
    assert_result(1, RN_TASK_FAILED, -EIO);
    assert_result(2, RN_TASK_DONE, 0);
    assert_result(3, RN_TASK_CANCELLED, -ECANCELED);
    assert_result(4, RN_TASK_DONE, 0);
    assert_result(5, RN_TASK_FAILED, -EIO);
    assert_result(6, RN_TASK_CANCELLED, -ECANCELED);
    assert_result(7, RN_TASK_NEVER_STARTED, -ECANCELED);
    assert_result(8, RN_TASK_NEVER_STARTED, -ECANCELED);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
}

static void a_task_is_accepted_only_while_its_result_has_a_place(void **state)
{
    (void)state;
    struct rn_service_result result;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 1, .backlog = 8, .results = 2, .run_fn = run_task});

    assert_int_equal(rn_service_try_submit(service, &tasks[0]), 0);
    assert_int_equal(rn_service_try_submit(service, &tasks[1]), 0);
    assert_int_equal(rn_service_try_submit(service, &tasks[2]), -EAGAIN);
    while (rn_chan_len(rn_service_results(service)) < 2)
        (void)sched_yield();
    // That they have run is not enough.
    assert_int_equal(rn_service_try_submit(service, &tasks[2]), -EAGAIN);
    assert_int_equal(rn_chan_try_recv(rn_service_results(service), &result), 0);
    assert_ptr_equal(result.task, &tasks[0]);
    assert_int_equal(rn_service_try_submit(service, &tasks[2]), 0);
    assert_int_equal(rn_service_try_submit(service, &tasks[3]), -EAGAIN);

    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(receive_all(service), 2);
    rn_service_free(service);
}

static void who_has_received_a_result_finds_its_place_free(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 1, .backlog = 1, .results = 1, .run_fn = run_task});

    // Also when the reader waits, and the worker hands the result over to it.
    for (int i = 0; i < TASKS_MAX; i++) {
        struct rn_service_result result;
        assert_int_equal(rn_service_try_submit(service, &tasks[i]), 0);
        assert_int_equal(rn_chan_recv(NULL, rn_service_results(service), &result), 0);
        assert_ptr_equal(result.task, &tasks[i]);
        assert_int_equal(rn_service_running(service), 0);
    }
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    rn_service_free(service);
}

static int submit_second(rn_context *ctx, void *arg)
{
    int r = rn_service_submit(ctx, arg, &tasks[1]);

    return r == 0 ? 1 : r;
}

static void waiting_for_a_place_obeys_its_context(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_group *group = NULL;
    struct rn_service_result result;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 1, .backlog = 8, .results = 1, .run_fn = run_task});
    submit_task(service, 0);

    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_service_submit(ctx, service, &tasks[1]), -ETIMEDOUT);
    rn_context_unref(ctx);
    // One that has ended already wins.
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_chan_recv(NULL, rn_service_results(service), &result), 0);
    assert_int_equal(rn_service_submit(ctx, service, &tasks[1]), -ECANCELED);
    rn_context_unref(ctx);
    submit_task(service, 0);

    // A receive lets the next one go on.
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "submit", submit_second, service), 0);
    assert_int_equal(rn_chan_recv(NULL, rn_service_results(service), &result), 0);
    assert_int_equal(rn_group_wait(group), 1);
    rn_group_free(group);

    // And closing ends who waits.
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "submit", submit_second, service), 0);
    rn_service_close(service);
    assert_int_equal(rn_group_wait(group), -EPIPE);
    assert_int_equal(rn_service_try_submit(service, &tasks[2]), -EPIPE);
    assert_int_equal(rn_service_submit(NULL, service, &tasks[2]), -EPIPE);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(receive_all(service), 1);
    rn_group_free(group);
    rn_service_free(service);
}

static void a_task_that_is_refused_keeps_no_place(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_service *service = start_service(&(struct rn_service_options){
        .backlog = 1, .results = 3, .run_fn = run_task, .drop_fn = drop_task});
    submit_task(service, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rn_service_try_submit(service, &tasks[1]), -EAGAIN);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rn_context_with_timeout(NULL, 100 * RN_MICROSECOND, &ctx), 0);
        assert_int_equal(rn_service_submit(ctx, service, &tasks[1]), -ETIMEDOUT);
        rn_context_unref(ctx);
    }

    // So there are two more.
    assert_int_equal(rn_service_resize(service, 1), 0);
    submit_task(service, 1);
    submit_task(service, 2);
    while (rn_chan_len(rn_service_results(service)) < 3)
        (void)sched_yield();
    assert_int_equal(rn_service_try_submit(service, &tasks[3]), -EAGAIN);

    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(receive_all(service), 3);
    rn_service_free(service);
}

static void results_that_nobody_reads_hold_nothing_up(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 2, .backlog = 64, .results = 64, .run_fn = run_task, .drop_fn = drop_task});
    for (int i = 0; i < 64; i++)
        submit_task(service, i);

    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    // They can still be read.
    assert_int_equal(receive_all(service), 64);
    for (int i = 0; i < 64; i++)
        assert_result(i, RN_TASK_DONE, 0);
    rn_service_free(service);

    tasks_set_up(NULL);
    service = start_service(&(struct rn_service_options){
        .workers = 2, .backlog = 64, .results = 64, .run_fn = run_task, .drop_fn = drop_task});
    tasks[0].fn = tasks[1].fn = stay_until_the_end;
    for (int i = 0; i < 64; i++)
        submit_task(service, i);
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    rn_service_free(service); // or never
}

static void without_workers_the_results_say_never_started(void **state)
{
    (void)state;
    rn_service *service = NULL;
    const struct rn_service_options options = {
        .workers = 1, .backlog = 4, .results = 4, .run_fn = run_task, .drop_fn = drop_task};

    // Never started, and closed.
    assert_int_equal(rn_service_new(NULL, &options, &service), 0);
    submit_task(service, 0);
    submit_task(service, 1);
    rn_service_close(service);
    assert_int_equal(receive_all(service), 2);
    assert_result(0, RN_TASK_NEVER_STARTED, -EPIPE);
    assert_result(1, RN_TASK_NEVER_STARTED, -EPIPE);
    assert_int_equal(rn_service_start(service), -EPIPE);
    rn_service_free(service);

    // Cancelled.
    assert_int_equal(rn_service_new(NULL, &options, &service), 0);
    submit_task(service, 2);
    rn_service_cancel(service, 0);
    assert_int_equal(receive_all(service), 1);
    assert_result(2, RN_TASK_NEVER_STARTED, -ECANCELED);
    rn_service_free(service);

    // All sent away.
    service = start_service(&options);
    assert_int_equal(rn_service_resize(service, 0), 0);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    submit_task(service, 3);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(receive_all(service), 1);
    assert_result(3, RN_TASK_NEVER_STARTED, -EPIPE);
    rn_service_free(service);
}

static void the_last_worker_drops_what_nobody_is_left_to_run(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 2, .backlog = 4, .results = 8, .run_fn = run_task, .drop_fn = drop_task});
    tasks[0].fn = tasks[1].fn = wait_for_gate;
    for (int i = 0; i < 4; i++)
        submit_task(service, i);
    wait_until(&seen.inside, 2);

    assert_int_equal(rn_service_resize(service, 0), 0); // both leave after their task
    rn_service_close(service);
    assert_int_equal(atomic_load(&tasks[2].dropped), 0);
    atomic_store(&seen.gate, true);
    assert_int_equal(receive_all(service), 4);

    assert_result(0, RN_TASK_DONE, 0);
    assert_result(1, RN_TASK_DONE, 0);
    assert_result(2, RN_TASK_NEVER_STARTED, -EPIPE);
    assert_result(3, RN_TASK_NEVER_STARTED, -EPIPE);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
}

static void a_poll_loop_takes_results(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 2, .backlog = 2, .results = 4, .run_fn = run_task});
    struct pollfd results = {.fd = rn_chan_fd(rn_service_results(service)), .events = POLLIN};
    int received = 0;
    assert_true(results.fd >= 0);
    assert_int_equal(poll(&results, 1, 0), 0);

    for (int next = 0; received < 200;) {
        struct rn_service_result result;
        while (next < 200 && rn_service_try_submit(service, &tasks[next]) == 0)
            next++;
        assert_int_equal(poll(&results, 1, -1), 1);
        while (rn_chan_try_recv(rn_service_results(service), &result) == 0) {
            keep_result(&result);
            received++;
        }
    }

    for (int i = 0; i < 200; i++)
        assert_result(i, RN_TASK_DONE, 0);
    rn_service_close(service);
    assert_int_equal(poll(&results, 1, -1), 1); // its end is to be read too
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    assert_int_equal(receive_all(service), 0);
    rn_service_free(service);
}

// ---- Failures

static void new_with_results_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int with_next = 0; with_next < 2; with_next++) {
        struct rn_service_options options = with_monitor;
        if (with_next != 0)
            options.next_fn = next_in_turn;
        assert_new_is_all_or_nothing(&options, 5);
    }
}

static void new_without_a_thread_for_the_monitor_leaves_nothing(void **state)
{
    (void)state;
    rn_service *service = NULL;
    fault_fail_pthread_create(1);
    assert_int_equal(rn_service_new(NULL, &with_monitor, &service), -EAGAIN);
    assert_true(fault_reached());
    assert_null(service);
}

static void a_failed_start_keeps_tasks_and_places(void **state)
{
    (void)state;
    rn_service *service = NULL;
    assert_int_equal(rn_service_new(NULL, &with_monitor, &service), 0);
    for (int i = 0; i < 4; i++)
        submit_task(service, i);
    for (int nth = 1; nth <= 3; nth++) {
        fault_fail_pthread_create(nth);
        assert_int_equal(rn_service_start(service), -EAGAIN);
        assert_true(fault_reached());
    }
    assert_int_equal(count_ran(), 0);
    assert_int_equal(rn_service_start(service), 0);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    for (int i = 0; i < 4; i++)
        assert_result(i, RN_TASK_DONE, 0);
    rn_service_free(service);
}

static int grow_in_vain(rn_context *ctx, void *arg)
{
    int r;

    (void)ctx;
    do
        r = rn_service_resize(arg, 1);
    while (r == -EAGAIN);
    return r == -EPIPE ? 0 : -EINVAL;
}

static void closing_while_growing_fails_leaves_no_task_without_a_result(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        rn_group *group = NULL;
        tasks_set_up(NULL);
        rn_service *service = start_service(&(struct rn_service_options){
            .backlog = 1, .results = 1, .run_fn = run_task, .drop_fn = drop_task});
        submit_task(service, 0);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        fault_reset();
        fault_fail_from(FAULT_PTHREAD_CREATE, 2, EAGAIN); // after the group's
        assert_int_equal(rn_group_go(group, "grow", grow_in_vain, service), 0);
        while (fault_calls(FAULT_PTHREAD_CREATE) < 3)
            (void)sched_yield();

        rn_service_close(service);
        assert_int_equal(receive_all(service), 1);

        assert_result(0, RN_TASK_NEVER_STARTED, -EPIPE);
        assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
        assert_int_equal(rn_group_wait(group), 0);
        fault_reset();
        rn_group_free(group);
        rn_service_free(service);
    }
}

static void no_task_allocates(void **state)
{
    (void)state;
    rn_service *service = start_service(&with_monitor);
    submit_task(service, 0);
    wait_until(&seen.told, 1);
    fault_reset();
    for (int i = 1; i < 100; i++)
        submit_task(service, i);
    assert_int_equal(fault_calls(FAULT_MALLOC), 0);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    rn_service_free(service);
}

#define TEST(fn) cmocka_unit_test_setup(fn, tasks_set_up)

int main(void)
{
    const struct CMUnitTest all[] = {
        TEST(every_task_ends_in_one_result),
        TEST(without_results_there_is_no_channel),
        TEST(a_result_says_how_its_task_ended),
        TEST(a_task_is_accepted_only_while_its_result_has_a_place),
        TEST(who_has_received_a_result_finds_its_place_free),
        TEST(waiting_for_a_place_obeys_its_context),
        TEST(a_task_that_is_refused_keeps_no_place),
        TEST(results_that_nobody_reads_hold_nothing_up),
        TEST(without_workers_the_results_say_never_started),
        TEST(the_last_worker_drops_what_nobody_is_left_to_run),
        TEST(a_poll_loop_takes_results),
        TEST(new_with_results_survives_every_failed_allocation),
        TEST(new_without_a_thread_for_the_monitor_leaves_nothing),
        TEST(a_failed_start_keeps_tasks_and_places),
        TEST(closing_while_growing_fails_leaves_no_task_without_a_result),
        TEST(no_task_allocates),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
