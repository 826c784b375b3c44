/*
 * Services: worker threads that take tasks and run them. Here: the whole, from new to free; the
 * life of a worker is in service_workers.c, their number in service_resize.c, and how the ends of
 * tasks are told in service_results.c.
 *
 * Contexts: the service's own, `ctx`, is a child of the caller's and ends on cancel. Below it each
 * worker has one for run_fn. For next_fn each worker has one below `feed`, which closing ends. With
 * the service's own channel, `feed` is `ctx`: closing closes the channel, so what is queued is
 * still run.
 *
 * 1. Whoever takes a task out of the own channel runs it or drops it, and reports its end once, if
 *    there are results.
 * 2. `closed` is set when nothing can be put in any more. After it the own channel is emptied by
 *    the workers that run what is inside; if the service has been cancelled, also by who cancelled
 *    it; and at last by whoever finds that no worker is left, or is the last one. What a worker
 *    has taken, or a thread that is `dropping`, is reported by it.
 * 3. So the service is `over`, and `results` is closed, once it is closed and emptied, no worker is
 *    live and nobody is dropping: looked at whenever one of them changes.
 *
 * Locks: `resizing` (29) keeps start and resize apart and is held while threads are started; mu
 * (30) guards the rest and is held for moments. No function of the caller's is called under them,
 * but what he has attached to the context of next_fn, under `resizing`.
 */
#include <runnel/service.h>

#include <stdio.h>
#include <stdlib.h>

#include "service.h"

// ---- What makes it a service and not a pool

static int run_task(rn_service *service, rn_context *ctx, unsigned worker,
                    const struct rni_task *task)
{
    return service->options.run_fn(ctx, service->options.arg, worker, task->arg);
}

static void drop_task(rn_service *service, const struct rni_task *task)
{
    if (service->options.drop_fn != NULL)
        service->options.drop_fn(service->options.arg, task->arg);
}

static int send_result(rn_chan *results, const struct rni_task *task,
                       const struct rn_service_result *result)
{
    (void)task; // is in the result
    return rn_chan_try_send(results, result);
}

static const struct rni_service_kind plain_service = {
    .task_size = sizeof(void *), // the arg of a struct rni_task
    .result_size = sizeof(struct rn_service_result),
    .run_fn = run_task,
    .drop_fn = drop_task,
    .send_fn = send_result,
};

// ---- Ending

bool rni_service_is_cancelled(rn_service *service)
{
    return rn_context_err(service->ctx) != 0;
}

void rni_service_settle_locked(rn_service *service)
{
    if (service->over || !service->emptied || service->live != NULL || service->dropping > 0)
        return;
    service->over = true;
    if (service->results != NULL)
        rn_chan_close(service->results);
    rn_cond_broadcast(&service->changed);
}

void rni_service_drop_queued_locked(rn_service *service)
{
    struct rni_task task = {NULL, NULL};
    int r = -EPIPE;

    RN_ASSERT(service->closed);
    if (service->emptied)
        return;
    service->dropping++;
    rn_mutex_unlock(&service->mu);
    if (service->chan != NULL) {
        int why = rn_context_err(service->ctx);
        while ((r = rn_chan_try_recv(service->chan, &task)) == 0)
            rni_service_drop(service, &task, why != 0 ? why : -EPIPE);
    }
    RN_ASSERT(r == -EPIPE);
    rn_mutex_lock(&service->mu);
    service->emptied = true;
    service->dropping--;
    rn_cond_broadcast(&service->changed);
    rni_service_settle_locked(service);
}

/* Has submitting answer -EPIPE, and the contexts of next_fn end. */
static void end_intake(rn_service *service)
{
    if (service->chan != NULL)
        rn_chan_close(service->chan);
    else
        rn_context_cancel(service->feed, 0);
    if (service->places != NULL)
        rn_chan_close(service->places);
}

void rn_service_close(rn_service *service)
{
    end_intake(service);
    rn_mutex_lock(&service->mu);
    service->closed = true;
    if (service->live == NULL)
        rni_service_drop_queued_locked(service);
    rn_mutex_unlock(&service->mu);
}

/* The after-function of ctx: it was cancelled, or the parent has ended. */
static void context_ended(void *arg)
{
    rn_service *service = arg;

    rn_service_close(service);
    rn_mutex_lock(&service->mu);
    rni_service_drop_queued_locked(service);
    rn_mutex_unlock(&service->mu);
}

void rn_service_cancel(rn_service *service, int cause)
{
    end_intake(service);
    rn_context_cancel(service->ctx, cause);
    context_ended(service); // has been called, but perhaps by another thread, which is still at it
}

// ---- New and free

/* Makes what can be given back by free_parts(). */
static int make_parts(rn_context *parent, rn_service *service)
{
    int r = rn_context_with_cancel(parent, &service->ctx);

    if (r == 0 && service->options.next_fn == NULL) {
        service->feed = rn_context_ref(service->ctx);
        r = rn_chan_new(service->kind->task_size, service->options.backlog, &service->chan);
    } else if (r == 0) {
        r = rn_context_with_cancel(service->ctx, &service->feed);
    }
    if (r == 0 && service->options.results > 0)
        r = rni_service_results_new(service);
    if (r == 0)
        r = rn_context_after_func(service->ctx, context_ended, service, &service->after_func);
    return r;
}

RN_UNCHECKED_LOCKING static void free_parts(rn_service *service)
{
    rn_chan_free(service->places);
    rn_chan_free(service->results);
    rn_chan_free(service->chan);
    rn_context_unref(service->feed);
    rn_context_unref(service->ctx);
    rn_cond_fini(&service->changed);
    rn_mutex_fini(&service->mu);
    rn_mutex_fini(&service->resizing);
    free(service);
}

RN_UNCHECKED_LOCKING int rni_service_new(rn_context *parent,
                                         const struct rn_service_options *options,
                                         const struct rni_service_kind *kind,
                                         rn_service **ret_service)
{
    RN_ASSERT(options->result_fn == NULL || options->results > 0);
    rn_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return -ENOMEM;
    rn_mutex_init(&service->resizing, 29);
    rn_mutex_init(&service->mu, 30);
    service->options = *options;
    service->options.name = NULL; // borrowed: copied here
    service->kind = kind;
    service->target = options->workers;
    (void)snprintf(service->name, sizeof(service->name), "%s",
                   options->name != NULL ? options->name : "worker");

    int r = make_parts(parent, service);
    if (r < 0) {
        free_parts(service);
        return r;
    }
    if (options->result_fn != NULL)
        r = rni_service_start_monitor(service);
    if (r < 0) {
        rn_service_free(service);
        return r;
    }
    *ret_service = service;
    return 0;
}

int rn_service_new(rn_context *parent, const struct rn_service_options *options,
                   rn_service **ret_service)
{
    RN_ASSERT(options->run_fn != NULL);
    return rni_service_new(parent, options, &plain_service, ret_service);
}

// ---- Waiting

void rni_service_reap_locked(rn_service *service)
{
    struct rni_worker *worker;

    while ((worker = service->ended) != NULL) {
        service->ended = worker->next;
        rn_mutex_unlock(&service->mu);
        rni_thread_join(&worker->thread);
        rni_worker_free(worker);
        rn_mutex_lock(&service->mu);
        service->unjoined--;
        rn_cond_broadcast(&service->changed);
    }
    if (service->monitor == RNI_MONITOR_OVER) {
        service->monitor = RNI_MONITOR_JOINING;
        rn_mutex_unlock(&service->mu);
        rni_thread_join(&service->monitor_thread);
        rn_mutex_lock(&service->mu);
        service->monitor = RNI_MONITOR_NONE;
        rn_cond_broadcast(&service->changed);
    }
}

/* Whether what rn_service_wait() waits for has come. */
static bool is_done_locked(const rn_service *service) RN_REQUIRES(&service->mu);
static bool is_done_locked(const rn_service *service)
{
    if (service->unjoined > 0 || service->dropping > 0)
        return false;
    return !service->closed || (service->over && service->monitor == RNI_MONITOR_NONE);
}

static int wait_until_done(rn_context *ctx, rn_service *service, rn_time deadline)
{
    int r = 0;

    rn_mutex_lock(&service->mu);
    for (;;) {
        rni_service_reap_locked(service);
        bool is_done = is_done_locked(service);
        if (is_done)
            r = 0;
        if (is_done || r < 0)
            break;
        r = rn_cond_wait(ctx, &service->changed, &service->mu, deadline);
    }
    rn_mutex_unlock(&service->mu);
    return r;
}

int rn_service_wait(rn_context *ctx, rn_service *service, rn_time deadline)
{
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    // The parent may have ended, and the after-function not have been called yet.
    if (rni_service_is_cancelled(service))
        rn_service_close(service);
    return wait_until_done(ctx, service, deadline);
}

int rn_service_shutdown(rn_service *service, rn_duration drain_timeout)
{
    if (drain_timeout > 0) {
        rn_service_close(service);
        int r = rn_service_wait(NULL, service, rn_after(drain_timeout));
        if (r == 0)
            return 0;
        RN_ASSERT(r == -ETIMEDOUT);
    }
    rn_service_cancel(service, 0);
    return rn_service_wait(NULL, service, RN_NEVER);
}

RN_UNCHECKED_LOCKING void rn_service_free(rn_service *service)
{
    if (service == NULL)
        return;
    // First what the end of the parent may be running at this moment.
    (void)rn_after_func_stop(service->after_func);
    RN_ASSERT(service->unjoined == 0);
    rn_service_close(service);
    int r = wait_until_done(NULL, service, RN_NEVER);
    RN_ASSERT(r == 0);
    free_parts(service);
}

// ---- Tasks

int rni_service_submit(rn_context *ctx, rn_service *service, const struct rni_task *task)
{
    RN_ASSERT(service->chan != NULL);
    int r = rni_service_take_place(ctx, service);
    if (r < 0)
        return r;
    r = rn_chan_send(ctx, service->chan, task);
    if (r < 0)
        rni_service_give_place(service);
    return r;
}

int rni_service_try_submit(rn_service *service, const struct rni_task *task)
{
    RN_ASSERT(service->chan != NULL);
    int r = rni_service_try_take_place(service);
    if (r < 0)
        return r;
    r = rn_chan_try_send(service->chan, task);
    if (r < 0)
        rni_service_give_place(service);
    return r;
}

int rn_service_submit(rn_context *ctx, rn_service *service, void *task)
{
    return rni_service_submit(ctx, service, &(struct rni_task){.arg = task});
}

int rn_service_try_submit(rn_service *service, void *task)
{
    return rni_service_try_submit(service, &(struct rni_task){.arg = task});
}

// ---- How far it is

enum rn_service_state rn_service_state(rn_service *service)
{
    bool is_cancelled = rni_service_is_cancelled(service);
    enum rn_service_state state = RN_SERVICE_NEW;

    rn_mutex_lock(&service->mu);
    if (service->over)
        state = RN_SERVICE_ENDED;
    else if (is_cancelled)
        state = RN_SERVICE_CANCELLED;
    else if (service->closed)
        state = RN_SERVICE_DRAINING;
    else if (service->started)
        state = RN_SERVICE_RUNNING;
    rn_mutex_unlock(&service->mu);
    return state;
}

const char *rn_service_state_text(enum rn_service_state state)
{
    static const char *const texts[] = {
        [RN_SERVICE_NEW] = "new",           [RN_SERVICE_RUNNING] = "running",
        [RN_SERVICE_DRAINING] = "draining", [RN_SERVICE_CANCELLED] = "cancelled",
        [RN_SERVICE_ENDED] = "ended",
    };

    RN_ASSERT((size_t)state < sizeof(texts) / sizeof(texts[0]));
    return texts[state];
}

const char *rn_task_outcome_text(enum rn_task_outcome outcome)
{
    static const char *const texts[] = {
        [RN_TASK_DONE] = "done",
        [RN_TASK_FAILED] = "failed",
        [RN_TASK_CANCELLED] = "cancelled",
        [RN_TASK_NEVER_STARTED] = "never started",
    };

    RN_ASSERT((size_t)outcome < sizeof(texts) / sizeof(texts[0]));
    return texts[outcome];
}

unsigned rn_service_workers(rn_service *service)
{
    rn_mutex_lock(&service->mu);
    unsigned workers = service->target;
    rn_mutex_unlock(&service->mu);
    return workers;
}

unsigned rn_service_running(rn_service *service)
{
    unsigned running = 0;

    rn_mutex_lock(&service->mu);
    for (const struct rni_worker *worker = service->live; worker != NULL; worker = worker->next)
        running += atomic_load_explicit(&worker->phase, memory_order_relaxed) == RNI_RUNS ? 1 : 0;
    rn_mutex_unlock(&service->mu);
    return running;
}
