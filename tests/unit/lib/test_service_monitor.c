/* Services: the monitor, results of tasks from next_fn, the limiter, and everything at once. */
#include <runnel/service.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/group.h>

#include "fault.h"
#include "service_tasks.h"
#include "unit.h"

// ---- The monitor

static void the_monitor_sees_each_result_once(void **state)
{
    (void)state;
    rn_service *service = start_service(&with_monitor);
    assert_null(rn_service_results(service));
    for (int i = 0; i < 500; i++) {
        tasks[i].fn = i % 5 == 0 ? break_down : NULL;
        submit_task(service, i);
    }

    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    assert_int_equal(atomic_load(&seen.told), 500);
    assert_string_equal(seen.monitor_name, "mail-monitor");
    for (int i = 0; i < 500; i++)
        assert_result(i, i % 5 == 0 ? RN_TASK_FAILED : RN_TASK_DONE, i % 5 == 0 ? -EIO : 0);
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_service_free(service);
}

static void a_shutdown_returns_after_the_monitor_has_seen_the_last(void **state)
{
    (void)state;
    rn_service *service = start_service(&with_monitor);
    atomic_store(&seen.monitor_waits, true);
    for (int i = 0; i < 8; i++)
        submit_task(service, i);
    wait_until(&seen.in_monitor, 1);
    while (count_ran() < 8)
        (void)sched_yield();
    rn_service_close(service);

    assert_int_equal(rn_service_wait(NULL, service, rn_after(2 * RN_MILLISECOND)), -ETIMEDOUT);
    atomic_store(&seen.monitor_waits, false);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    assert_int_equal(atomic_load(&seen.told), 8);
    assert_int_equal(rn_service_state(service), RN_SERVICE_ENDED);
    rn_service_free(service);
}

static void cancelling_tells_the_monitor_too(void **state)
{
    (void)state;
    rn_service *service = start_service(&with_monitor);
    for (int i = 0; i < 7; i++) {
        tasks[i].fn = stay_until_the_end;
        submit_task(service, i);
    }
    wait_until(&seen.inside, 3);

    assert_int_equal(rn_service_shutdown(service, 0), 0);

    assert_int_equal(atomic_load(&seen.told), 7);
    for (int i = 0; i < 7; i++) {
        bool ran = atomic_load(&tasks[i].ran) != 0;
        assert_result(i, ran ? RN_TASK_CANCELLED : RN_TASK_NEVER_STARTED, -ECANCELED);
    }
    rn_service_free(service);
}

static void the_monitor_sees_what_is_dropped_without_a_start(void **state)
{
    (void)state;
    rn_service *service = NULL;
    assert_int_equal(rn_service_new(NULL, &with_monitor, &service), 0);
    submit_task(service, 0);
    submit_task(service, 1);

    rn_service_free(service); // nobody has waited

    assert_int_equal(atomic_load(&seen.told), 2);
    assert_result(0, RN_TASK_NEVER_STARTED, -EPIPE);
    assert_result(1, RN_TASK_NEVER_STARTED, -EPIPE);
}

static rn_service *the_service;

static void submit_next(void *arg, const struct rn_service_result *result)
{
    struct task *next = (struct task *)result->task + 1;

    see_result(arg, result);
    if (next < &tasks[100] && rn_service_try_submit(the_service, next) < 0)
        atomic_fetch_add(&seen.faults, 1);
    if (next == &tasks[100])
        rn_service_close(the_service);
}

static void the_monitor_finds_the_place_of_its_result_free(void **state)
{
    (void)state;
    struct rn_service_options options = with_monitor;
    options.results = 1;
    options.result_fn = submit_next;
    the_service = start_service(&options);
    submit_task(the_service, 0);

    wait_until(&seen.told, 100);
    assert_int_equal(rn_service_wait(NULL, the_service, RN_NEVER), 0);

    for (int i = 0; i < 100; i++)
        assert_result(i, RN_TASK_DONE, 0);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_service_free(the_service);
}

// ---- next_fn

static void next_fn_is_asked_only_while_there_is_a_place(void **state)
{
    (void)state;
    struct rn_service_result result;
    atomic_store(&seen.last, 100);
    rn_service *service = start_service(&(struct rn_service_options){.workers = 2,
                                                                     .results = 3,
                                                                     .next_fn = next_in_turn,
                                                                     .run_fn = run_task,
                                                                     .drop_fn = drop_task});
    while (count_ran() < 3)
        (void)sched_yield();

    // Workers that wait for a place are idle: they leave at once.
    assert_int_equal(rn_service_resize(service, 0), 0);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(atomic_load(&seen.next), 3);

    assert_int_equal(rn_service_resize(service, 2), 0);
    assert_int_equal(rn_chan_recv(NULL, rn_service_results(service), &result), 0);
    keep_result(&result);
    while (count_ran() < 4)
        (void)sched_yield();
    rn_service_close(service); // ends their wait too
    assert_int_equal(receive_all(service), 3);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(atomic_load(&seen.next), 4);
    for (int i = 0; i < 4; i++)
        assert_result(i, RN_TASK_DONE, 0);
    rn_service_free(service);
}

static void a_next_fn_that_gives_no_task_keeps_no_place(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){.workers = 2,
                                                                     .results = 2,
                                                                     .next_fn = next_in_turn,
                                                                     .run_fn = run_task,
                                                                     .drop_fn = drop_task});

    // Their waits end in vain, again and again.
    for (int i = 1; i <= 5; i++) {
        wait_until(&seen.asked, 2 * i);
        assert_int_equal(rn_service_resize(service, 0), 0);
        assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
        atomic_store(&seen.last, i == 5 ? 2 : 0);
        assert_int_equal(rn_service_resize(service, 2), 0);
    }

    while (count_ran() < 2)
        (void)sched_yield();
    rn_service_cancel(service, 0);
    assert_int_equal(receive_all(service), 2);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
}

static void tasks_of_next_fn_are_told_as_others(void **state)
{
    (void)state;
    struct rn_service_options options = with_monitor;
    options.next_fn = next_in_turn;
    atomic_store(&seen.last, 300);
    for (int i = 0; i < 300; i++)
        tasks[i].fn = i == 299 ? stay_until_the_end : i % 3 == 0 ? break_down : NULL;
    rn_service *service = start_service(&options);
    wait_until(&seen.told, 299);
    wait_until(&seen.inside, 1);

    assert_int_equal(rn_service_shutdown(service, 0), 0);

    for (int i = 0; i < 299; i++)
        assert_result(i, i % 3 == 0 ? RN_TASK_FAILED : RN_TASK_DONE, i % 3 == 0 ? -EIO : 0);
    assert_result(299, RN_TASK_CANCELLED, -ECANCELED);
    rn_service_free(service);
}

// ---- The limiter

static void each_task_takes_a_token(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(0, 3, &limiter), 0); // three, and no more
    rn_service *service = start_service(&(struct rn_service_options){.workers = 4,
                                                                     .backlog = 8,
                                                                     .results = 8,
                                                                     .limiter = limiter,
                                                                     .run_fn = run_task,
                                                                     .drop_fn = drop_task});
    for (int i = 0; i < 6; i++)
        submit_task(service, i);
    while (count_ran() < 3)
        (void)sched_yield();
    assert_int_equal(rn_service_running(service), 0); // the others wait
    rn_limiter_set_limit(limiter, RN_RATE_INFINITE);
    while (count_ran() < 6)
        (void)sched_yield();
    rn_limiter_set_limit(limiter, 0);
    rn_limiter_set_tokens_at(limiter, rn_now(), 1);
    submit_task(service, 6);
    submit_task(service, 7);

    // A drain is as slow as the limiter; what gets no token in time is never started.
    assert_int_equal(rn_service_shutdown(service, 5 * RN_MILLISECOND), 0);

    assert_int_equal(receive_all(service), 8);
    assert_int_equal(count_ran(), 7);
    for (int i = 0; i < 6; i++)
        assert_result(i, RN_TASK_DONE, 0);
    int started = atomic_load(&tasks[6].ran) == 1 ? 6 : 7;
    assert_result(started, RN_TASK_DONE, 0);
    assert_result(13 - started, RN_TASK_NEVER_STARTED, -ECANCELED);
    rn_service_free(service);
    rn_limiter_free(limiter);
}

static void a_task_for_which_no_token_can_come_is_never_started(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(1, 0, &limiter), 0);
    rn_service *service = start_service(&(struct rn_service_options){.workers = 1,
                                                                     .backlog = 1,
                                                                     .results = 1,
                                                                     .limiter = limiter,
                                                                     .run_fn = run_task,
                                                                     .drop_fn = drop_task});
    submit_task(service, 0);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(receive_all(service), 1);
    assert_result(0, RN_TASK_NEVER_STARTED, -EMSGSIZE);
    rn_service_free(service);
    rn_limiter_free(limiter);
}

static void a_task_of_next_fn_that_waits_for_its_token_is_dropped(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    struct rn_service_options options = with_monitor;
    assert_int_equal(rn_limiter_new(0, 1, &limiter), 0);
    options.limiter = limiter;
    options.next_fn = next_in_turn;
    atomic_store(&seen.last, 3);
    rn_service *service = start_service(&options);
    wait_until(&seen.told, 1);
    wait_until(&seen.next, 3);

    assert_int_equal(rn_service_shutdown(service, 0), 0);

    assert_int_equal(count_ran(), 1);
    for (int i = 0; i < 3; i++) {
        if (atomic_load(&tasks[i].ran) == 1)
            assert_result(i, RN_TASK_DONE, 0);
        else
            assert_result(i, RN_TASK_NEVER_STARTED, -ECANCELED);
    }
    rn_service_free(service);
    rn_limiter_free(limiter);
}

static void workers_that_wait_for_a_token_are_kept_for_their_tasks(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(0, 1, &limiter), 0);
    assert_true(rn_limiter_allow(limiter));
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 3, .limiter = limiter, .run_fn = run_task});
    submit_task(service, 0); // has no backlog: two workers have them now
    submit_task(service, 1);

    assert_int_equal(rn_service_resize(service, 1), 0);
    rn_limiter_set_limit(limiter, RN_RATE_INFINITE);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    assert_int_equal(count_ran(), 2);
    rn_service_free(service);
    rn_limiter_free(limiter);
}

// ---- Everything at once

static struct {
    _Atomic int next;
    _Atomic bool accepted[TASKS_MAX];
    _Atomic bool over; // of what the round does
    int count;         // of tasks
} storm;

static int storm_submit(rn_context *ctx, void *arg)
{
    for (;;) {
        int number = atomic_fetch_add(&storm.next, 1);
        if (number >= storm.count)
            return 0;
        int r = number % 3 == 0 ? rn_service_try_submit(arg, &tasks[number])
                                : rn_service_submit(ctx, arg, &tasks[number]);
        if (r == 0)
            atomic_store(&storm.accepted[number], true);
        else if (r != -EAGAIN)
            return r == -EPIPE ? 0 : r;
    }
}

static int storm_read(rn_context *ctx, void *arg)
{
    struct rn_service_result result;
    int r;

    (void)ctx;
    while ((r = rn_chan_recv(NULL, rn_service_results(arg), &result)) == 0)
        keep_result(&result);
    return r == -EPIPE ? 0 : r;
}

static int storm_resize(rn_context *ctx, void *arg)
{
    unsigned seed = 7;

    while (rn_sleep(ctx, 50 * RN_MICROSECOND) == 0) {
        int r = rn_service_resize(arg, (unsigned)rand_r(&seed) % 6);
        if (r < 0 && r != -EAGAIN)
            return r == -EPIPE ? 0 : r;
    }
    return 0;
}

static int sometimes_fail(rn_context *ctx)
{
    int r = rn_context_err(ctx);

    return r != 0 ? r : -EIO;
}

static struct rn_service_options storm_options(int round)
{
    struct rn_service_options options = with_monitor;

    options.backlog = (size_t)(round % 4);
    options.results = 1 + (size_t)(round % 5) * 2;
    if (round % 2 == 0)
        options.result_fn = NULL;
    return options;
}

static void end_storm(rn_service *service, rn_context *parent, int round)
{
    switch (round % 4) {
    case 0:
        assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
        return;
    case 1:
        assert_int_equal(rn_service_shutdown(service, 0), 0);
        return;
    case 2:
        rn_context_cancel(parent, 0);
        break;
    default:
        rn_service_close(service);
        fault_fail_pthread_create(1 + round % 3); // growing, too, may break_down meanwhile
        break;
    }
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
}

static void run_storm(int round)
{
    rn_group *group = NULL;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    struct rn_service_options options = storm_options(round);

    tasks_set_up(NULL);
    memset(&storm, 0, sizeof(storm));
    storm.count = getenv("RUNNEL_VALGRIND") != NULL ? 400 : TASKS_MAX;
    for (int i = 0; i < TASKS_MAX; i += 3)
        tasks[i].fn = sometimes_fail;
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "resize", storm_resize, service), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rn_group_go(group, "submit", storm_submit, service), 0);
        if (options.result_fn == NULL)
            assert_int_equal(rn_group_go(group, "read", storm_read, service), 0);
    }
    while (atomic_load(&storm.next) < 100 + 100 * (round % 3))
        (void)sched_yield();

    end_storm(service, parent, round);
    assert_int_equal(rn_group_wait(group), 0);
    // Growing may have been under way when the service was closed.
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    (void)fault_reached();

    int wrong = 0;
    for (int i = 0; i < TASKS_MAX; i++) {
        int accepted = atomic_load(&storm.accepted[i]) ? 1 : 0;
        int ends = atomic_load(&tasks[i].ran) + atomic_load(&tasks[i].dropped);
        wrong += ends == accepted && atomic_load(&tasks[i].results) == accepted ? 0 : 1;
        if (accepted == 1 &&
            (tasks[i].result.outcome == RN_TASK_NEVER_STARTED) != atomic_load(&tasks[i].dropped))
            wrong++;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_group_free(group);
    rn_service_free(service);
    rn_context_unref(parent);
}

static void each_accepted_task_has_one_result_in_a_storm(void **state)
{
    (void)state;
    for (int round = 0; round < 24; round++)
        run_storm(round);
}

#define TEST(fn) cmocka_unit_test_setup(fn, tasks_set_up)

int main(void)
{
    const struct CMUnitTest all[] = {
        TEST(the_monitor_sees_each_result_once),
        TEST(a_shutdown_returns_after_the_monitor_has_seen_the_last),
        TEST(cancelling_tells_the_monitor_too),
        TEST(the_monitor_sees_what_is_dropped_without_a_start),
        TEST(the_monitor_finds_the_place_of_its_result_free),
        TEST(next_fn_is_asked_only_while_there_is_a_place),
        TEST(a_next_fn_that_gives_no_task_keeps_no_place),
        TEST(tasks_of_next_fn_are_told_as_others),
        TEST(each_task_takes_a_token),
        TEST(a_task_for_which_no_token_can_come_is_never_started),
        TEST(a_task_of_next_fn_that_waits_for_its_token_is_dropped),
        TEST(workers_that_wait_for_a_token_are_kept_for_their_tasks),
        TEST(each_accepted_task_has_one_result_in_a_storm),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
