/** \file Tasks for the tests of a service's workers: what has become of each, and who is at work.
 */
#ifndef TESTS_SERVICE_WORKERS_H
#define TESTS_SERVICE_WORKERS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <runnel/service.h>

#include "unit.h"

enum {
    TASKS_MAX = 20000,
    WORKERS_MAX = 64,
};

/* What has become of each task, and who is at work. */
static struct {
    _Atomic int ran[TASKS_MAX];
    _Atomic int dropped[TASKS_MAX];
    _Atomic int cause[TASKS_MAX]; // of its context, when it ended
    _Atomic int inside;           // run_fn
    _Atomic int most_inside;
    _Atomic bool busy[WORKERS_MAX];
    _Atomic int faults; // two workers with one number, a number out of range
    _Atomic bool gate;  // tasks of `stay` return
    char thread_names[WORKERS_MAX][16];
} seen;

static inline int set_up(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    return 0;
}

static char tasks[TASKS_MAX]; // a task is the address of its place

static inline void *task_of(int number)
{
    return &tasks[number];
}

static inline int number_of(void *task)
{
    return (int)((char *)task - tasks);
}

static inline void enter(unsigned worker)
{
    if (worker == 0 || worker >= WORKERS_MAX || atomic_exchange(&seen.busy[worker], true))
        atomic_fetch_add(&seen.faults, 1);

    // Last: who waits until so many are inside then sees the rest.
    int now = atomic_fetch_add(&seen.inside, 1) + 1;
    int most = atomic_load(&seen.most_inside);
    while (now > most && !atomic_compare_exchange_weak(&seen.most_inside, &most, now))
        continue;
}

static inline void leave(unsigned worker, void *task)
{
    atomic_store(&seen.busy[worker % WORKERS_MAX], false);
    atomic_fetch_sub(&seen.inside, 1);
    atomic_fetch_add(&seen.ran[number_of(task)], 1);
}

static inline int run(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)ctx;
    (void)arg;
    enter(worker);
    leave(worker, task);
    return 0;
}

/* Runs until the gate opens or its context ends. */
static inline int stay(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)arg;
    enter(worker);
    while (!atomic_load(&seen.gate) && rn_context_err(ctx) == 0)
        (void)sched_yield();
    atomic_store(&seen.cause[number_of(task)], rn_context_cause(ctx));
    leave(worker, task);
    return 0;
}

/* Runs until the gate opens, whatever its context says. */
static inline int be_stubborn(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)ctx;
    (void)arg;
    enter(worker);
    while (!atomic_load(&seen.gate))
        (void)sched_yield();
    leave(worker, task);
    return 0;
}

static inline int note_name(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)ctx;
    (void)arg;
    enter(worker);
    (void)pthread_getname_np(pthread_self(), seen.thread_names[worker], 16);
    leave(worker, task);
    return 0;
}

static inline void drop(void *arg, void *task)
{
    (void)arg;
    atomic_fetch_add(&seen.dropped[number_of(task)], 1);
}

static inline rn_service *new_service(const struct rn_service_options *options)
{
    rn_service *service = NULL;
    assert_int_equal(rn_service_new(NULL, options, &service), 0);
    return service;
}

static inline rn_service *start_service(const struct rn_service_options *options)
{
    rn_service *service = new_service(options);
    assert_int_equal(rn_service_start(service), 0);
    return service;
}

static inline void submit(rn_service *service, int number)
{
    assert_int_equal(rn_service_submit(NULL, service, task_of(number)), 0);
}

static inline void wait_until_running(rn_service *service, unsigned count)
{
    while (rn_service_running(service) != count || atomic_load(&seen.inside) != (int)count)
        (void)sched_yield();
}

static inline int count_of(_Atomic int *of_tasks, int count_of_tasks)
{
    int count = 0;
    for (int i = 0; i < count_of_tasks; i++)
        count += atomic_load(&of_tasks[i]);
    return count;
}

static inline void assert_each_once(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(atomic_load(&seen.ran[i]) + atomic_load(&seen.dropped[i]), 1);
    assert_int_equal(atomic_load(&seen.faults), 0);
}

#define TEST(fn) cmocka_unit_test_setup(fn, set_up)

#endif
