#include "service_tasks.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "unit.h"

struct task tasks[TASKS_MAX];
struct seen seen;

int tasks_set_up(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    memset(tasks, 0, sizeof(tasks));
    return 0;
}

int run_task(rn_context *ctx, void *arg, unsigned worker, void *task_arg)
{
    struct task *task = task_arg;
    int r = 0;

    (void)arg;
    (void)worker;
    atomic_fetch_add(&seen.inside, 1);
    if (task->fn != NULL)
        r = task->fn(ctx);
    atomic_fetch_add(&task->ran, 1);
    atomic_fetch_sub(&seen.inside, 1);
    return r;
}

void drop_task(void *arg, void *task_arg)
{
    struct task *task = task_arg;

    (void)arg;
    if (atomic_load(&task->results) != 0) // comes first
        atomic_fetch_add(&seen.faults, 1);
    atomic_fetch_add(&task->dropped, 1);
}

// ---- What a task may do

int break_down(rn_context *ctx)
{
    (void)ctx;
    return -EIO;
}

int claim_to_be_cancelled(rn_context *ctx)
{
    (void)ctx;
    return -ECANCELED;
}

int stay_until_the_end(rn_context *ctx)
{
    while (rn_context_err(ctx) == 0)
        (void)sched_yield();
    return rn_context_err(ctx);
}

int stay_and_be_done(rn_context *ctx)
{
    (void)stay_until_the_end(ctx);
    return 0;
}

int stay_and_break_down(rn_context *ctx)
{
    (void)stay_until_the_end(ctx);
    return -EIO;
}

int wait_for_gate(rn_context *ctx)
{
    (void)ctx;
    while (!atomic_load(&seen.gate))
        (void)sched_yield();
    return 0;
}

rn_service *start_service(const struct rn_service_options *options)
{
    rn_service *service = NULL;

    assert_int_equal(rn_service_new(NULL, options, &service), 0);
    assert_int_equal(rn_service_start(service), 0);
    return service;
}

void submit_task(rn_service *service, int number)
{
    assert_int_equal(rn_service_submit(NULL, service, &tasks[number]), 0);
}

void keep_result(const struct rn_service_result *result)
{
    struct task *task = result->task;

    task->result = *result;
    atomic_fetch_add(&task->results, 1);
}

int receive_all(rn_service *service)
{
    struct rn_service_result result;
    int count = 0;

    while (rn_chan_recv(NULL, rn_service_results(service), &result) == 0) {
        keep_result(&result);
        count++;
    }
    return count;
}

void assert_result(int number, enum rn_task_outcome outcome, int error)
{
    const struct rn_service_result *result = &tasks[number].result;
    bool started = outcome != RN_TASK_NEVER_STARTED;

    assert_int_equal(atomic_load(&tasks[number].results), 1);
    assert_ptr_equal(result->task, &tasks[number]);
    assert_int_equal(result->outcome, outcome);
    assert_int_equal(result->error, error);
    assert_int_equal(result->worker != 0, started);
    assert_true(result->started_at > 0 && result->started_at <= rn_now());
    if (started)
        assert_true(result->started_at <= result->ended_at && result->ended_at <= rn_now());
    else
        assert_true(result->started_at == result->ended_at);
    assert_int_equal(atomic_load(&tasks[number].ran), started ? 1 : 0);
    assert_int_equal(atomic_load(&tasks[number].dropped), started ? 0 : 1);
}

int count_ran(void)
{
    int count = 0;

    for (int i = 0; i < TASKS_MAX; i++)
        count += atomic_load(&tasks[i].ran);
    return count;
}

void wait_until(_Atomic int *value, int wanted)
{
    while (atomic_load(value) != wanted)
        (void)sched_yield();
}

void see_result(void *arg, const struct rn_service_result *result)
{
    if (atomic_fetch_add(&seen.in_monitor, 1) != 0 || arg != &seen)
        atomic_fetch_add(&seen.faults, 1); // one at a time
    (void)pthread_getname_np(pthread_self(), seen.monitor_name, sizeof(seen.monitor_name));
    keep_result(result);
    atomic_fetch_add(&seen.told, 1);
    while (atomic_load(&seen.monitor_waits))
        (void)sched_yield();
    atomic_fetch_sub(&seen.in_monitor, 1);
}

const struct rn_service_options with_monitor = {
    .name = "mail",
    .workers = 3,
    .backlog = 4,
    .results = 8,
    .run_fn = run_task,
    .drop_fn = drop_task,
    .result_fn = see_result,
    .arg = &seen,
};

/* Gives the tasks one after the other, then waits. */
int next_in_turn(rn_context *ctx, void *arg, unsigned worker, void **ret_task)
{
    (void)arg;
    (void)worker;
    int number = atomic_fetch_add(&seen.next, 1);
    if (number < atomic_load(&seen.last)) {
        *ret_task = &tasks[number];
        return 0;
    }
    atomic_fetch_sub(&seen.next, 1);
    atomic_fetch_add(&seen.asked, 1);
    return rn_sleep(ctx, RN_HOUR);
}
