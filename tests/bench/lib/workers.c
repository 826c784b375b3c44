/*
 * Rows on tasks that are handed to workers, as many as there are processors.
 */
#include <runnel/chan.h>
#include <runnel/pool.h>
#include <runnel/service.h>
#include <runnel/waitgroup.h>

#include "rows.h"

static int answer(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    rn_chan *answers = arg;

    (void)worker;
    return rn_chan_send(ctx, answers, &task);
}

static rn_service *new_service(int (*run_fn)(rn_context *, void *, unsigned, void *), void *arg,
                               size_t backlog)
{
    rn_service *service;
    struct rn_service_options options = {
        .workers = processors, .backlog = backlog, .run_fn = run_fn, .arg = arg};

    must(rn_service_new(NULL, &options, &service));
    must(rn_service_start(service));
    return service;
}

static void end_service(rn_service *service)
{
    must(rn_service_shutdown(service, RN_SECOND));
    rn_service_free(service);
}

/* A task that is handed to a worker, and its answer, before the next. */
static uint64_t service_round_trip(const struct row *row, uint64_t ops)
{
    rn_chan *answers;

    (void)row;
    must(rn_chan_new(sizeof(void *), 1, &answers));
    rn_service *service = new_service(answer, answers, 1);
    uint64_t started_at = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        void *task;
        must(rn_service_submit(NULL, service, &answers));
        must(rn_chan_recv(NULL, answers, &task));
    }
    uint64_t ns = now_ns() - started_at;
    end_service(service);
    rn_chan_free(answers);
    return ns;
}

static int count_task(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)ctx;
    (void)worker;
    (void)task;
    rn_waitgroup_done(arg);
    return 0;
}

/* Tasks that do nothing, as fast as they can be handed over, until all have run. */
static uint64_t service_tasks(const struct row *row, uint64_t ops)
{
    rn_waitgroup left;

    rn_waitgroup_init(&left);
    rn_service *service = new_service(count_task, &left, row->capacity);
    uint64_t started_at = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        rn_waitgroup_add(&left, 1);
        must(rn_service_submit(NULL, service, &left));
    }
    must(rn_waitgroup_wait(NULL, &left));
    uint64_t ns = now_ns() - started_at;
    end_service(service);
    rn_waitgroup_fini(&left);
    return ns;
}

static int do_nothing(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 0;
}

static int finish(rn_context *ctx, void *arg)
{
    (void)ctx;
    rn_waitgroup_done(arg);
    return 0;
}

static rn_pool *new_pool(size_t backlog, size_t results)
{
    rn_pool *pool;
    struct rn_pool_options options = {
        .workers = processors, .backlog = backlog, .results = results};

    must(rn_pool_new(NULL, &options, &pool));
    return pool;
}

static void end_pool(rn_pool *pool)
{
    must(rn_pool_shutdown(pool, RN_SECOND));
    rn_pool_free(pool);
}

/* A task that is handed to a worker, and its result, before the next. */
static uint64_t pool_round_trip(const struct row *row, uint64_t ops)
{
    rn_pool *pool = new_pool(1, 1);
    struct rn_pool_result result;

    (void)row;
    uint64_t started_at = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        must(rn_pool_submit(NULL, pool, do_nothing, NULL));
        must(rn_chan_recv(NULL, rn_pool_results(pool), &result));
    }
    uint64_t ns = now_ns() - started_at;
    end_pool(pool);
    return ns;
}

static uint64_t pool_tasks(const struct row *row, uint64_t ops)
{
    rn_waitgroup left;

    rn_waitgroup_init(&left);
    rn_pool *pool = new_pool(row->capacity, 0);
    uint64_t started_at = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        rn_waitgroup_add(&left, 1);
        must(rn_pool_submit(NULL, pool, finish, &left));
    }
    must(rn_waitgroup_wait(NULL, &left));
    uint64_t ns = now_ns() - started_at;
    end_pool(pool);
    rn_waitgroup_fini(&left);
    return ns;
}

const struct row worker_rows[] = {
    {.name = "service/round-trip", .run = service_round_trip},
    {.name = "service/tasks", .run = service_tasks, .capacity = 128},
    {.name = "pool/round-trip", .run = pool_round_trip},
    {.name = "pool/tasks", .run = pool_tasks, .capacity = 128},
    {.name = NULL},
};
