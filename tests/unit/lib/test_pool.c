/* Pools: functions on workers, their results, their rate, and every way to stop. */
#include <runnel/pool.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/group.h>

#include "fault.h"
#include "unit.h"

enum {
    JOBS_MAX = 4096,
};

/* The argument of a function, and what has become of it. */
static struct job {
    _Atomic int ran;
    _Atomic int dropped;
    _Atomic int results;
    struct rn_pool_result result;
} jobs[JOBS_MAX];

static _Atomic bool gate; // those that wait for it return
static _Atomic int inside;
static char thread_name[16];

static int set_up(void **state)
{
    (void)state;
    memset(jobs, 0, sizeof(jobs));
    atomic_store(&gate, false);
    atomic_store(&inside, 0);
    return 0;
}

static int run(rn_context *ctx, void *arg)
{
    struct job *job = arg;

    (void)ctx;
    atomic_fetch_add(&job->ran, 1);
    return 0;
}

static int break_down(rn_context *ctx, void *arg)
{
    (void)run(ctx, arg);
    return -EIO;
}

static int stay(rn_context *ctx, void *arg)
{
    atomic_fetch_add(&inside, 1);
    while (!atomic_load(&gate) && rn_context_err(ctx) == 0)
        (void)sched_yield();
    (void)run(ctx, arg);
    atomic_fetch_sub(&inside, 1);
    return rn_context_err(ctx);
}

static int note_name(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return pthread_getname_np(pthread_self(), thread_name, sizeof(thread_name));
}

static void drop(int (*fn)(rn_context *ctx, void *arg), void *arg)
{
    struct job *job = arg;

    assert_true(fn == run || fn == break_down || fn == stay);
    atomic_fetch_add(&job->dropped, 1);
}

static rn_pool *new_pool(const struct rn_pool_options *options)
{
    rn_pool *pool = NULL;

    assert_int_equal(rn_pool_new(NULL, options, &pool), 0);
    return pool;
}

static void submit(rn_pool *pool, int (*fn)(rn_context *ctx, void *arg), int number)
{
    assert_int_equal(rn_pool_submit(NULL, pool, fn, &jobs[number]), 0);
}

static int receive_all(rn_pool *pool)
{
    struct rn_pool_result result;
    int count = 0;

    while (rn_chan_recv(NULL, rn_pool_results(pool), &result) == 0) {
        struct job *job = result.arg;
        job->result = result;
        atomic_fetch_add(&job->results, 1);
        count++;
    }
    return count;
}

static void assert_result(int number, int (*fn)(rn_context *ctx, void *arg),
                          enum rn_task_outcome outcome, int error)
{
    const struct rn_pool_result *result = &jobs[number].result;
    bool started = outcome != RN_TASK_NEVER_STARTED;

    assert_int_equal(atomic_load(&jobs[number].results), 1);
    assert_true(result->fn == fn);
    assert_ptr_equal(result->arg, &jobs[number]);
    assert_int_equal(result->outcome, outcome);
    assert_int_equal(result->error, error);
    assert_int_equal(result->worker != 0, started);
    assert_true(result->started_at > 0 && result->started_at <= result->ended_at);
    assert_true(result->ended_at <= rn_now());
    assert_int_equal(atomic_load(&jobs[number].ran), started ? 1 : 0);
    assert_int_equal(atomic_load(&jobs[number].dropped), started ? 0 : 1);
}

static int count_ran(void)
{
    int count = 0;

    for (int i = 0; i < JOBS_MAX; i++)
        count += atomic_load(&jobs[i].ran);
    return count;
}

static void wait_until_inside(int count)
{
    while (atomic_load(&inside) != count)
        (void)sched_yield();
}

// ---- Running

static void each_function_runs_once(void **state)
{
    (void)state;
    rn_pool *pool = new_pool(&(struct rn_pool_options){.workers = 3, .backlog = 4});
    assert_int_equal(rn_pool_workers(pool), 3);
    assert_null(rn_pool_results(pool));
    for (int i = 0; i < 2000; i++)
        submit(pool, i % 2 == 0 ? run : break_down, i);
    rn_pool_close(pool);
    assert_int_equal(rn_pool_submit(NULL, pool, run, &jobs[2000]), -EPIPE);
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[2000]), -EPIPE);

    assert_int_equal(rn_pool_wait(NULL, pool, RN_NEVER), 0);

    for (int i = 0; i < 2000; i++)
        assert_int_equal(atomic_load(&jobs[i].ran), 1);
    assert_int_equal(rn_pool_running(pool), 0);
    assert_int_equal(rn_pool_shutdown(pool, 0), 0);
    rn_pool_free(pool);
    rn_pool_free(NULL);
}

static void results_say_which_function_ended_how(void **state)
{
    (void)state;
    rn_pool *pool = new_pool(
        &(struct rn_pool_options){.workers = 2, .backlog = 8, .results = 8, .drop_fn = drop});
    submit(pool, run, 0);
    submit(pool, break_down, 1);
    while (rn_chan_len(rn_pool_results(pool)) < 2)
        (void)sched_yield();
    for (int i = 2; i < 6; i++)
        submit(pool, stay, i);
    wait_until_inside(2);
    assert_int_equal(rn_pool_running(pool), 2);

    assert_int_equal(rn_pool_shutdown(pool, 0), 0);
    assert_int_equal(receive_all(pool), 6);

    assert_result(0, run, RN_TASK_DONE, 0);
    assert_result(1, break_down, RN_TASK_FAILED, -EIO);
    assert_result(2, stay, RN_TASK_CANCELLED, -ECANCELED);
    assert_result(3, stay, RN_TASK_CANCELLED, -ECANCELED);
    assert_result(4, stay, RN_TASK_NEVER_STARTED, -ECANCELED);
    assert_result(5, stay, RN_TASK_NEVER_STARTED, -ECANCELED);
    rn_pool_free(pool);
}

static void a_task_is_accepted_only_while_its_result_has_a_place(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    struct rn_pool_result result;
    rn_pool *pool = new_pool(&(struct rn_pool_options){.workers = 1, .backlog = 8, .results = 2});
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[0]), 0);
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[1]), 0);
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[2]), -EAGAIN);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_pool_submit(ctx, pool, run, &jobs[2]), -ETIMEDOUT);
    rn_context_unref(ctx);

    assert_int_equal(rn_chan_recv(NULL, rn_pool_results(pool), &result), 0);
    assert_ptr_equal(result.arg, &jobs[0]);
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[2]), 0);

    assert_int_equal(rn_pool_shutdown(pool, RN_MINUTE), 0);
    assert_int_equal(receive_all(pool), 2);
    rn_pool_free(pool);
}

static void submitting_waits_while_the_backlog_is_full(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    rn_pool *pool = new_pool(&(struct rn_pool_options){.workers = 1, .backlog = 1});
    submit(pool, stay, 0);
    wait_until_inside(1);
    submit(pool, stay, 1);
    assert_int_equal(rn_pool_try_submit(pool, run, &jobs[2]), -EAGAIN);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_pool_submit(ctx, pool, run, &jobs[2]), -ETIMEDOUT);
    rn_context_unref(ctx);
    assert_int_equal(rn_pool_resize(pool, 2), 0);
    assert_int_equal(rn_pool_workers(pool), 2);
    wait_until_inside(2);

    atomic_store(&gate, true);
    submit(pool, run, 2);
    assert_int_equal(rn_pool_shutdown(pool, RN_MINUTE), 0);
    assert_int_equal(count_ran(), 3);
    rn_pool_free(pool);
}

/* One that is not done yet submits the next itself. */
static rn_pool *the_pool;

static int run_and_submit_next(rn_context *ctx, void *arg)
{
    struct job *next = (struct job *)arg + 1;

    (void)run(ctx, arg);
    if (next == &jobs[500]) {
        rn_pool_close(the_pool);
        return 0;
    }
    return rn_pool_submit(ctx, the_pool, run_and_submit_next, next);
}

static void tasks_may_submit_tasks_and_close(void **state)
{
    (void)state;
    the_pool = new_pool(&(struct rn_pool_options){.workers = 2, .backlog = 1});
    submit(the_pool, run_and_submit_next, 0);
    assert_int_equal(rn_pool_wait(NULL, the_pool, RN_NEVER), 0);
    assert_int_equal(count_ran(), 500);
    rn_pool_free(the_pool);
}

static void threads_have_the_name_of_the_pool(void **state)
{
    (void)state;
    rn_pool *pool = new_pool(&(struct rn_pool_options){.workers = 1});
    submit(pool, note_name, 0);
    assert_int_equal(rn_pool_shutdown(pool, RN_MINUTE), 0);
    assert_string_equal(thread_name, "pool-1");
    rn_pool_free(pool);

    pool = new_pool(&(struct rn_pool_options){.name = "fetch", .workers = 1});
    submit(pool, note_name, 0);
    assert_int_equal(rn_pool_shutdown(pool, RN_MINUTE), 0);
    assert_string_equal(thread_name, "fetch-1");
    rn_pool_free(pool);
}

static void each_task_takes_a_token(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    assert_int_equal(rn_limiter_new(0, 2, &limiter), 0);
    rn_pool *pool = new_pool(&(struct rn_pool_options){
        .workers = 3, .backlog = 8, .results = 8, .limiter = limiter, .drop_fn = drop});
    for (int i = 0; i < 6; i++)
        submit(pool, run, i);
    while (count_ran() < 2)
        (void)sched_yield();

    assert_int_equal(rn_pool_shutdown(pool, RN_MILLISECOND), 0);
    assert_int_equal(receive_all(pool), 6);

    assert_int_equal(count_ran(), 2);
    for (int i = 0; i < 6; i++) {
        if (atomic_load(&jobs[i].ran) == 1)
            assert_result(i, run, RN_TASK_DONE, 0);
        else
            assert_result(i, run, RN_TASK_NEVER_STARTED, -ECANCELED);
    }
    rn_pool_free(pool);
    rn_limiter_free(limiter);
}

static void starts_keep_to_the_rate(void **state)
{
    (void)state;
    rn_limiter *limiter = NULL;
    struct rn_pool_result result;
    rn_time starts[20];
    int count = 0;
    assert_int_equal(rn_limiter_new(rn_rate_every(2 * RN_MILLISECOND), 2, &limiter), 0);
    rn_pool *pool = new_pool(
        &(struct rn_pool_options){.workers = 1, .backlog = 20, .results = 20, .limiter = limiter});
    for (int i = 0; i < 20; i++)
        submit(pool, run, i);
    rn_pool_close(pool);
    while (rn_chan_recv(NULL, rn_pool_results(pool), &result) == 0)
        starts[count++] = result.started_at;

    // Of 20, all but the burst have waited: the last came 18 intervals after the limiter was full.
    assert_int_equal(count, 20);
    assert_true(starts[19] - starts[0] >= 17 * 2 * RN_MILLISECOND);
    assert_int_equal(rn_pool_wait(NULL, pool, RN_NEVER), 0);
    rn_pool_free(pool);
    rn_limiter_free(limiter);
}

// ---- Stopping

static void the_end_of_the_parent_ends_all(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_pool *pool = NULL;
    const struct rn_pool_options options = {
        .workers = 2, .backlog = 4, .results = 8, .drop_fn = drop};
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_pool_new(parent, &options, &pool), 0);
    for (int i = 0; i < 5; i++)
        submit(pool, stay, i);
    wait_until_inside(2);

    rn_context_cancel(parent, 9);

    assert_int_equal(rn_pool_submit(NULL, pool, run, &jobs[5]), -EPIPE);
    assert_int_equal(receive_all(pool), 5);
    assert_int_equal(rn_pool_wait(NULL, pool, RN_NEVER), 0);
    for (int i = 0; i < 5; i++) {
        bool ran = atomic_load(&jobs[i].ran) == 1;
        assert_result(i, stay, ran ? RN_TASK_CANCELLED : RN_TASK_NEVER_STARTED, -ECANCELED);
    }
    assert_int_equal(count_ran(), 2);
    rn_pool_free(pool);

    pool = NULL;
    assert_int_equal(rn_pool_new(parent, &options, &pool), -ECANCELED);
    assert_null(pool);
    rn_context_unref(parent);
}

static void shutdown_drains_then_cancels(void **state)
{
    (void)state;
    rn_pool *pool = new_pool(
        &(struct rn_pool_options){.workers = 1, .backlog = 4, .results = 4, .drop_fn = drop});
    submit(pool, run, 0);
    submit(pool, stay, 1);
    submit(pool, stay, 2);
    wait_until_inside(1);
    assert_int_equal(rn_pool_wait(NULL, pool, rn_after(RN_MILLISECOND)), -ETIMEDOUT);

    assert_int_equal(rn_pool_shutdown(pool, 2 * RN_MILLISECOND), 0);
    assert_int_equal(rn_pool_shutdown(pool, RN_HOUR), 0);

    assert_int_equal(receive_all(pool), 3);
    assert_result(0, run, RN_TASK_DONE, 0);
    assert_result(1, stay, RN_TASK_CANCELLED, -ECANCELED);
    assert_result(2, stay, RN_TASK_NEVER_STARTED, -ECANCELED);
    assert_int_equal(rn_pool_resize(pool, 3), -EPIPE);
    rn_pool_free(pool);
}

static void without_workers_what_waits_is_dropped(void **state)
{
    (void)state;
    rn_pool *pool = new_pool(&(struct rn_pool_options){.backlog = 2, .drop_fn = drop});
    submit(pool, run, 0);
    submit(pool, break_down, 1);
    rn_pool_close(pool);
    assert_int_equal(atomic_load(&jobs[0].dropped), 1);
    assert_int_equal(atomic_load(&jobs[1].dropped), 1);
    assert_int_equal(count_ran(), 0);
    rn_pool_free(pool);

    // Nobody wants them back.
    pool = new_pool(&(struct rn_pool_options){.backlog = 2});
    submit(pool, run, 2);
    assert_int_equal(rn_pool_shutdown(pool, RN_MINUTE), 0);
    assert_int_equal(count_ran(), 0);
    rn_pool_free(pool);
}

// ---- Failures

static void new_is_all_or_nothing(void **state)
{
    (void)state;
    const struct rn_pool_options options = {.workers = 3, .backlog = 4, .results = 4};
    rn_pool *pool = NULL;
    int nth = 1;

    for (;; nth++) {
        fault_fail_malloc(nth);
        int r = rn_pool_new(NULL, &options, &pool);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(pool);
    }
    assert_true(nth > 13); // pool, service, its parts, three workers with two contexts each
    assert_int_equal(rn_pool_shutdown(pool, 0), 0);
    rn_pool_free(pool);

    pool = NULL;
    for (nth = 1; nth <= 3; nth++) {
        fault_fail_pthread_create(nth);
        assert_int_equal(rn_pool_new(NULL, &options, &pool), -EAGAIN);
        assert_true(fault_reached());
        assert_null(pool);
    }
}

static void no_task_allocates(void **state)
{
    (void)state;
    rn_pool *pool =
        new_pool(&(struct rn_pool_options){.workers = 2, .backlog = 128, .results = 128});
    fault_reset();
    for (int i = 0; i < 100; i++)
        submit(pool, run, i);
    rn_pool_close(pool);
    assert_int_equal(receive_all(pool), 100);
    assert_int_equal(fault_calls(FAULT_MALLOC), 0);
    assert_int_equal(rn_pool_wait(NULL, pool, RN_NEVER), 0);
    rn_pool_free(pool);
}

// ---- Everything at once

static struct {
    _Atomic int next;
    _Atomic bool accepted[JOBS_MAX];
    int count;
} storm;

static int storm_submit(rn_context *ctx, void *arg)
{
    for (;;) {
        int number = atomic_fetch_add(&storm.next, 1);
        if (number >= storm.count)
            return 0;
        int (*fn)(rn_context *, void *) = number % 5 == 0 ? break_down : run;
        int r = number % 3 == 0 ? rn_pool_try_submit(arg, fn, &jobs[number])
                                : rn_pool_submit(ctx, arg, fn, &jobs[number]);
        if (r == 0)
            atomic_store(&storm.accepted[number], true);
        else if (r != -EAGAIN)
            return r == -EPIPE ? 0 : r;
    }
}

static int storm_read(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)receive_all(arg);
    return 0;
}

static int storm_resize(rn_context *ctx, void *arg)
{
    unsigned seed = 5;

    while (rn_sleep(ctx, 50 * RN_MICROSECOND) == 0) {
        int r = rn_pool_resize(arg, (unsigned)rand_r(&seed) % 6);
        if (r < 0)
            return r == -EPIPE ? 0 : r;
    }
    return 0;
}

static void run_storm(int round)
{
    rn_group *group = NULL;
    rn_context *parent = NULL;
    rn_pool *pool = NULL;
    const struct rn_pool_options options = {.workers = 2,
                                            .backlog = (size_t)(round % 3),
                                            .results = 1 + (size_t)(round % 4) * 3,
                                            .drop_fn = drop};

    set_up(NULL);
    memset(&storm, 0, sizeof(storm));
    storm.count = getenv("RUNNEL_VALGRIND") != NULL ? 400 : JOBS_MAX;
    assert_int_equal(rn_context_with_cancel(NULL, &parent), 0);
    assert_int_equal(rn_pool_new(parent, &options, &pool), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "resize", storm_resize, pool), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rn_group_go(group, "submit", storm_submit, pool), 0);
        assert_int_equal(rn_group_go(group, "read", storm_read, pool), 0);
    }
    while (atomic_load(&storm.next) < 200)
        (void)sched_yield();
    if (round % 3 == 2)
        rn_context_cancel(parent, 0);
    assert_int_equal(rn_pool_shutdown(pool, round % 3 == 0 ? 0 : RN_MINUTE), 0);
    assert_int_equal(rn_group_wait(group), 0);
    assert_int_equal(rn_pool_wait(NULL, pool, RN_NEVER), 0); // growing may have been under way

    int wrong = 0;
    for (int i = 0; i < JOBS_MAX; i++) {
        int accepted = atomic_load(&storm.accepted[i]) ? 1 : 0;
        int ends = atomic_load(&jobs[i].ran) + atomic_load(&jobs[i].dropped);
        wrong += ends == accepted && atomic_load(&jobs[i].results) == accepted ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
    rn_group_free(group);
    rn_pool_free(pool);
    rn_context_unref(parent);
}

static void each_accepted_task_has_one_result_in_a_storm(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++)
        run_storm(round);
}

#define TEST(fn) cmocka_unit_test_setup(fn, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_function_runs_once),
        TEST(results_say_which_function_ended_how),
        TEST(a_task_is_accepted_only_while_its_result_has_a_place),
        TEST(submitting_waits_while_the_backlog_is_full),
        TEST(tasks_may_submit_tasks_and_close),
        TEST(threads_have_the_name_of_the_pool),
        TEST(each_task_takes_a_token),
        TEST(starts_keep_to_the_rate),
        TEST(the_end_of_the_parent_ends_all),
        TEST(shutdown_drains_then_cancels),
        TEST(without_workers_what_waits_is_dropped),
        TEST(new_is_all_or_nothing),
        TEST(no_task_allocates),
        TEST(each_accepted_task_has_one_result_in_a_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
