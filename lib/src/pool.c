/*
 * Pools: a service whose tasks each have a function of their own, and whose results say which.
 */
#include <runnel/pool.h>

#include <stdlib.h>

#include "service.h"

struct rn_pool {
    rn_service *service;
    void (*drop_fn)(int (*fn)(rn_context *ctx, void *arg), void *arg);
};

static int run_task(rn_service *service, rn_context *ctx, unsigned worker,
                    const struct rni_task *task)
{
    (void)service;
    (void)worker;
    return task->fn(ctx, task->arg);
}

static void drop_task(rn_service *service, const struct rni_task *task)
{
    const rn_pool *pool = service->options.arg;

    if (pool->drop_fn != NULL)
        pool->drop_fn(task->fn, task->arg);
}

static int send_result(rn_chan *results, const struct rni_task *task,
                       const struct rn_service_result *result)
{
    struct rn_pool_result end = {
        .fn = task->fn,
        .arg = task->arg,
        .outcome = result->outcome,
        .error = result->error,
        .worker = result->worker,
        .started_at = result->started_at,
        .ended_at = result->ended_at,
    };

    return rn_chan_try_send(results, &end);
}

static const struct rni_service_kind pool_service = {
    .task_size = sizeof(struct rni_task),
    .result_size = sizeof(struct rn_pool_result),
    .run_fn = run_task,
    .drop_fn = drop_task,
    .send_fn = send_result,
};

int rn_pool_new(rn_context *parent, const struct rn_pool_options *options, rn_pool **ret_pool)
{
    rn_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return -ENOMEM;
    struct rn_service_options of_service = {
        .name = options->name != NULL ? options->name : "pool",
        .workers = options->workers,
        .backlog = options->backlog,
        .results = options->results,
        .limiter = options->limiter,
        .arg = pool,
    };

    pool->drop_fn = options->drop_fn;
    int r = rni_service_new(parent, &of_service, &pool_service, &pool->service);
    if (r == 0)
        r = rn_service_start(pool->service);
    if (r == 0) {
        *ret_pool = pool;
        return 0;
    }
    rn_pool_free(pool);
    return r == -EPIPE ? rn_context_err(parent) : r; // nobody else can have closed it
}

void rn_pool_free(rn_pool *pool)
{
    if (pool == NULL)
        return;
    rn_service_free(pool->service);
    free(pool);
}

int rn_pool_submit(rn_context *ctx, rn_pool *pool, int (*fn)(rn_context *ctx, void *arg), void *arg)
{
    RN_ASSERT(fn != NULL);
    return rni_service_submit(ctx, pool->service, &(struct rni_task){.arg = arg, .fn = fn});
}

int rn_pool_try_submit(rn_pool *pool, int (*fn)(rn_context *ctx, void *arg), void *arg)
{
    RN_ASSERT(fn != NULL);
    return rni_service_try_submit(pool->service, &(struct rni_task){.arg = arg, .fn = fn});
}

rn_chan *rn_pool_results(rn_pool *pool)
{
    return rn_service_results(pool->service);
}

int rn_pool_resize(rn_pool *pool, unsigned workers)
{
    return rn_service_resize(pool->service, workers);
}

unsigned rn_pool_workers(rn_pool *pool)
{
    return rn_service_workers(pool->service);
}

unsigned rn_pool_running(rn_pool *pool)
{
    return rn_service_running(pool->service);
}

void rn_pool_close(rn_pool *pool)
{
    rn_service_close(pool->service);
}

int rn_pool_wait(rn_context *ctx, rn_pool *pool, rn_time deadline)
{
    return rn_service_wait(ctx, pool->service, deadline);
}

int rn_pool_shutdown(rn_pool *pool, rn_duration drain_timeout)
{
    return rn_service_shutdown(pool->service, drain_timeout);
}
