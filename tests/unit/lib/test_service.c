/* Services: workers, their tasks, and every way to stop. Growing and shrinking:
 * test_service_resize.c. */
#include <runnel/service.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/chan.h>
#include <runnel/group.h>

#include "fault.h"
#include "service_new.h"
#include "service_workers.h"

// ---- Own channel

static void every_task_is_run_once(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 4, .backlog = 8, .run_fn = run, .drop_fn = drop});
    assert_int_equal(rn_service_workers(service), 4);
    for (int i = 0; i < 2000; i++)
        submit(service, i);

    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    assert_int_equal(count_of(seen.ran, 2000), 2000);
    assert_each_once(2000);
    assert_int_equal(rn_service_running(service), 0);
    rn_service_free(service);
    rn_service_free(NULL);
}

static void tasks_may_come_before_the_start(void **state)
{
    (void)state;
    rn_service *service =
        new_service(&(struct rn_service_options){.workers = 1, .backlog = 2, .run_fn = run});
    submit(service, 0);
    submit(service, 1);
    assert_int_equal(rn_service_try_submit(service, task_of(2)), -EAGAIN);
    assert_int_equal(rn_service_start(service), 0);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(count_of(seen.ran, 3), 2);
    rn_service_free(service);
}

static void submitting_obeys_its_context(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_service *service = new_service(
        &(struct rn_service_options){.workers = 1, .backlog = 1, .run_fn = run, .drop_fn = drop});
    submit(service, 0);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_service_submit(ctx, service, task_of(1)), -ETIMEDOUT);
    rn_context_unref(ctx);
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    assert_int_equal(atomic_load(&seen.dropped[0]), 1);
    assert_int_equal(atomic_load(&seen.dropped[1]), 0);
    rn_service_free(service);
}

static int submit_one(rn_context *ctx, void *arg)
{
    (void)ctx;
    int r = rn_service_submit(NULL, arg, task_of(2));
    return r == -EPIPE ? 0 : -EINVAL;
}

static void closing_ends_who_waits_to_submit(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 1, .backlog = 1, .run_fn = stay, .drop_fn = drop});
    submit(service, 0);
    wait_until_running(service, 1);
    submit(service, 1);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "submit", submit_one, service), 0);

    rn_service_close(service);
    rn_service_close(service);

    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(rn_service_try_submit(service, task_of(3)), -EPIPE);
    atomic_store(&seen.gate, true);
    // What was queued still runs.
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(count_of(seen.ran, 4), 2);
    assert_int_equal(rn_service_submit(NULL, service, task_of(3)), -EPIPE);
    rn_group_free(group);
    rn_service_free(service);
}

static void cancelling_ends_what_runs_and_drops_what_waits(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 2, .backlog = 10, .run_fn = stay, .drop_fn = drop});
    for (int i = 0; i < 12; i++)
        submit(service, i);
    wait_until_running(service, 2);

    rn_service_cancel(service, 42);
    rn_service_cancel(service, 43);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    assert_int_equal(count_of(seen.ran, 12), 2);
    assert_int_equal(count_of(seen.dropped, 12), 10);
    assert_int_equal(count_of(seen.cause, 12), 2 * 42);
    assert_each_once(12);
    assert_int_equal(rn_service_try_submit(service, task_of(12)), -EPIPE);
    rn_service_free(service);
}

static void the_end_of_the_parent_cancels(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    const struct rn_service_options options = {
        .workers = 2, .backlog = 10, .run_fn = stay, .drop_fn = drop};
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    for (int i = 0; i < 12; i++)
        submit(service, i);
    wait_until_running(service, 2);

    rn_context_cancel(parent, 7);

    assert_int_equal(rn_service_submit(NULL, service, task_of(12)), -EPIPE);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(count_of(seen.cause, 12), 2 * 7);
    assert_each_once(12);
    assert_int_equal(rn_service_resize(service, 3), -EPIPE);
    rn_service_free(service);
    rn_context_unref(parent);
}

static void shutdown_drains_then_cancels(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 1, .backlog = 4, .run_fn = stay, .drop_fn = drop});
    for (int i = 0; i < 4; i++)
        submit(service, i);
    wait_until_running(service, 1);

    rn_time start = rn_now();
    assert_int_equal(rn_service_shutdown(service, 5 * RN_MILLISECOND), 0);
    assert_true(rn_now() >= start + 5 * RN_MILLISECOND);
    assert_int_equal(rn_service_shutdown(service, RN_HOUR), 0);
    assert_int_equal(rn_service_shutdown(service, 0), 0);

    assert_int_equal(count_of(seen.ran, 4), 1);
    assert_int_equal(atomic_load(&seen.cause[0]), -ECANCELED);
    assert_each_once(4);
    rn_service_free(service);
}

static int shut_down(rn_context *ctx, void *arg)
{
    (void)ctx;
    return rn_service_shutdown(arg, RN_MILLISECOND);
}

static void several_may_shut_down_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        rn_group *group = NULL;
        set_up(NULL);
        rn_service *service = start_service(&(struct rn_service_options){
            .workers = 3, .backlog = 4, .run_fn = stay, .drop_fn = drop});
        for (int i = 0; i < 4; i++)
            submit(service, i);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(rn_group_go(group, "shutdown", shut_down, service), 0);
        assert_int_equal(rn_group_wait(group), 0);
        assert_each_once(4);
        rn_group_free(group);
        rn_service_free(service);
    }
}

static void a_stuck_worker_blocks_only_who_waits_for_ever(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 2, .backlog = 4, .run_fn = be_stubborn, .drop_fn = drop});
    submit(service, 0);
    wait_until_running(service, 1);

    rn_service_close(service);
    assert_int_equal(rn_service_wait(NULL, service, rn_after(RN_MILLISECOND)), -ETIMEDOUT);
    rn_service_cancel(service, 0);
    assert_int_equal(rn_service_wait(NULL, service, rn_after(RN_MILLISECOND)), -ETIMEDOUT);
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    rn_context_cancel(ctx, 0);
    assert_int_equal(rn_service_wait(ctx, service, RN_NEVER), -ECANCELED);
    assert_int_equal(rn_service_running(service), 1);

    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_context_unref(ctx);
    rn_service_free(service);
}

static void without_workers_what_is_queued_is_dropped(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.backlog = 4, .run_fn = run, .drop_fn = drop});
    submit(service, 0);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0); // no worker: nothing to wait for
    submit(service, 1);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(count_of(seen.dropped, 2), 2);
    rn_service_free(service);

    // Never started, and never shut down.
    service = new_service(
        &(struct rn_service_options){.workers = 2, .backlog = 4, .run_fn = run, .drop_fn = drop});
    submit(service, 2);
    rn_service_free(service);
    assert_int_equal(atomic_load(&seen.dropped[2]), 1);

    service = new_service(&(struct rn_service_options){.backlog = 1, .run_fn = run});
    submit(service, 3);
    rn_service_close(service);
    assert_int_equal(rn_service_start(service), -EPIPE);
    rn_service_free(service);
}

// ---- next_fn

struct source {
    rn_chan *chan; // elements void *
    _Atomic int refusals;
};

static int take_from_source(rn_context *ctx, void *arg, unsigned worker, void **ret_task)
{
    struct source *source = arg;

    if (worker == 0 || worker >= WORKERS_MAX)
        atomic_fetch_add(&seen.faults, 1);
    int r = rn_chan_recv(ctx, source->chan, ret_task);
    if (r < 0)
        atomic_fetch_add(&source->refusals, 1);
    return r;
}

/* Always has a task, whatever its context says. */
static int take_endlessly(rn_context *ctx, void *arg, unsigned worker, void **ret_task)
{
    (void)ctx;
    (void)arg;
    (void)worker;
    *ret_task = task_of(0);
    return 0;
}

static void tasks_come_from_next_fn(void **state)
{
    (void)state;
    struct source source = {.refusals = 0};
    assert_int_equal(rn_chan_new(sizeof(void *), 4, &source.chan), 0);
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 3, .next_fn = take_from_source, .run_fn = run, .arg = &source});
    for (int i = 0; i < 500; i++) {
        void *task = task_of(i);
        assert_int_equal(rn_chan_send(NULL, source.chan, &task), 0);
    }
    while (count_of(seen.ran, 500) < 500)
        (void)sched_yield();

    rn_service_close(service);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    assert_in_range(atomic_load(&source.refusals), 0, 3); // each left by one, or without asking
    assert_each_once(500);
    rn_service_free(service);
    rn_chan_free(source.chan);
}

static void closing_leaves_what_next_fn_still_has(void **state)
{
    (void)state;
    struct source source = {.refusals = 0};
    assert_int_equal(rn_chan_new(sizeof(void *), 8, &source.chan), 0);
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 2, .next_fn = take_from_source, .run_fn = stay, .arg = &source});
    for (int i = 0; i < 8; i++) {
        void *task = task_of(i);
        assert_int_equal(rn_chan_send(NULL, source.chan, &task), 0);
    }
    wait_until_running(service, 2);

    rn_service_close(service);
    assert_int_equal(atomic_load(&seen.inside), 2); // what runs goes on
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    assert_int_equal(count_of(seen.ran, 8), 2);
    assert_int_equal(rn_chan_len(source.chan), 6);
    rn_service_free(service);
    rn_chan_free(source.chan);
}

static void a_next_fn_that_never_waits_keeps_no_worker(void **state)
{
    (void)state;
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 2, .next_fn = take_endlessly, .run_fn = run});
    while (atomic_load(&seen.ran[0]) < 10)
        (void)sched_yield();
    assert_int_equal(rn_service_resize(service, 1), 0);
    rn_service_close(service);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
}

static void workers_that_wait_for_a_task_grow_and_shrink(void **state)
{
    (void)state;
    struct source source = {.refusals = 0};
    assert_int_equal(rn_chan_new(sizeof(void *), 0, &source.chan), 0);
    rn_service *service = start_service(&(struct rn_service_options){
        .workers = 2, .next_fn = take_from_source, .run_fn = stay, .arg = &source});

    assert_int_equal(rn_service_resize(service, 1), 0);
    assert_int_equal(rn_service_resize(service, 3), 0);
    for (int i = 0; i < 3; i++) {
        void *task = task_of(i);
        assert_int_equal(rn_chan_send(NULL, source.chan, &task), 0);
    }
    wait_until_running(service, 3);
    rn_service_cancel(service, 5);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    assert_int_equal(count_of(seen.cause, 3), 3 * 5);
    rn_service_free(service);
    rn_chan_free(source.chan);
}

// ---- Failures

static void new_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct source source = {.refusals = 0};
    for (int with_next = 0; with_next < 2; with_next++) {
        struct rn_service_options options = {.workers = 2, .backlog = 4, .run_fn = run};
        if (with_next != 0)
            options.next_fn = take_from_source;
        options.arg = &source;
        assert_new_is_all_or_nothing(&options, 3);
    }
}

static void start_is_all_or_none(void **state)
{
    (void)state;
    int failures = 0;
    rn_service *service = new_service(
        &(struct rn_service_options){.workers = 3, .backlog = 4, .run_fn = run, .drop_fn = drop});
    submit(service, 0);

    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = rn_service_start(service);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            break;
        }
        failures++;
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(atomic_load(&seen.ran[0]), 0);
        if (nth > 9)
            continue;
        fault_fail_pthread_create((nth - 1) % 3 + 1);
        assert_int_equal(rn_service_start(service), -EAGAIN);
        assert_true(fault_reached());
        // Nothing has run, also in those threads that had been started.
        assert_int_equal(atomic_load(&seen.ran[0]), 0);
        assert_int_equal(rn_service_workers(service), 3);
    }

    assert_true(failures >= 9);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(atomic_load(&seen.ran[0]), 1);
    rn_service_free(service);
}

static void a_failed_start_may_be_freed(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 3; nth++) {
        rn_service *service =
            new_service(&(struct rn_service_options){.workers = 3, .run_fn = run});
        fault_fail_pthread_create(nth);
        assert_int_equal(rn_service_start(service), -EAGAIN);
        assert_true(fault_reached());
        rn_service_free(service);
    }
}

// ---- Everything at once

static struct {
    _Atomic int next;
    _Atomic bool accepted_task[TASKS_MAX];
} storm;

static int storm_submit(rn_context *ctx, void *arg)
{
    for (;;) {
        int number = atomic_fetch_add(&storm.next, 1);
        if (number >= TASKS_MAX)
            return 0;
        int r = number % 3 == 0 ? rn_service_try_submit(arg, task_of(number))
                                : rn_service_submit(ctx, arg, task_of(number));
        if (r == 0)
            atomic_store(&storm.accepted_task[number], true);
        else if (r != -EAGAIN)
            return r == -EPIPE ? 0 : r;
    }
}

static int storm_resize(rn_context *ctx, void *arg)
{
    unsigned seed = 11;

    while (rn_sleep(ctx, 50 * RN_MICROSECOND) == 0) {
        int r = rn_service_resize(arg, (unsigned)rand_r(&seed) % 9);
        if (r < 0)
            return r == -EPIPE ? 0 : r;
    }
    return 0;
}

static void run_storm(int round)
{
    rn_group *group = NULL;
    rn_context *parent = NULL;
    rn_service *service = NULL;
    const struct rn_service_options options = {
        .workers = 3, .backlog = (size_t)(round % 4), .run_fn = run, .drop_fn = drop};

    set_up(NULL);
    memset(&storm, 0, sizeof(storm));
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_service_new(parent, &options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "resize", storm_resize, service), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rn_group_go(group, "submit", storm_submit, service), 0);
    while (atomic_load(&storm.next) < 200)
        (void)sched_yield();
    switch (round % 3) {
    case 0:
        assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
        break;
    case 1:
        assert_int_equal(rn_service_shutdown(service, 0), 0);
        break;
    default:
        rn_context_cancel(parent, 0);
        assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    }
    assert_int_equal(rn_group_wait(group), 0);
    // Growing may have been under way when the service was closed.
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    int wrong = 0;
    for (int i = 0; i < TASKS_MAX; i++) {
        int ends = atomic_load(&seen.ran[i]) + atomic_load(&seen.dropped[i]);
        wrong += ends == (atomic_load(&storm.accepted_task[i]) ? 1 : 0) ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_group_free(group);
    rn_service_free(service);
    rn_context_unref(parent);
}

static void each_accepted_task_is_run_or_dropped_once_in_a_storm(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++)
        run_storm(round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_task_is_run_once),
        TEST(tasks_may_come_before_the_start),
        TEST(submitting_obeys_its_context),
        TEST(closing_ends_who_waits_to_submit),
        TEST(cancelling_ends_what_runs_and_drops_what_waits),
        TEST(the_end_of_the_parent_cancels),
        TEST(shutdown_drains_then_cancels),
        TEST(several_may_shut_down_at_once),
        TEST(a_stuck_worker_blocks_only_who_waits_for_ever),
        TEST(without_workers_what_is_queued_is_dropped),
        TEST(tasks_come_from_next_fn),
        TEST(closing_leaves_what_next_fn_still_has),
        TEST(a_next_fn_that_never_waits_keeps_no_worker),
        TEST(workers_that_wait_for_a_task_grow_and_shrink),
        TEST(new_survives_every_failed_allocation),
        TEST(start_is_all_or_none),
        TEST(a_failed_start_may_be_freed),
        TEST(each_accepted_task_is_run_or_dropped_once_in_a_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
