/*
 * The life of a service's worker:
 *
 *     started --admitted--> live --(told to leave, or nothing can come any more)--> ended -->
 * joined
 *         \--leaves (another could not be started)--------------------------------/
 *
 * 1. `live` holds every worker from before its thread is started until it has ended; so long its
 *    number is its own.
 * 2. `leaves` and `fresh_next` change under mu, with `attention` set after them. The worker looks
 *    under mu when it sees `attention`, before every next_fn, so between two tasks it takes no lock
 *    of the service. A worker that is told to leave ends in the same hold of mu in which it learns
 *    it, unless it is the last one of a closed service, which drops what is queued.
 * 3. A worker told to leave while it is busy need not be the one that goes: another that is done
 *    first leaves in its place and hands over its context for next_fn.
 *
 * With results and next_fn, a worker takes a place for the result before it asks for a task: so
 * while results are not received it waits without a task, and is as free to leave as any idle one.
 */
#include "service.h"

#include <stdlib.h>

static void set_phase(struct rni_worker *worker, enum rni_phase phase)
{
    atomic_store_explicit(&worker->phase, (int)phase, memory_order_relaxed);
}

// ---- Ending

void rni_worker_remove_live_locked(rn_service *service, struct rni_worker *worker)
{
    struct rni_worker **place = &service->live;

    while (*place != worker)
        place = &(*place)->next;
    *place = worker->next;
}

void rni_worker_free(struct rni_worker *worker)
{
    rn_context_unref(worker->fresh_next);
    rn_context_unref(worker->next_ctx);
    rn_context_unref(worker->run_ctx);
    free(worker);
}

/* The end of a worker, which touches nothing but the mutex after it. The last one of a closed
 * service drops what nobody is left to run; gives mu up meanwhile. */
static void end_locked(rn_service *service, struct rni_worker *worker) RN_REQUIRES(&service->mu);
static void end_locked(rn_service *service, struct rni_worker *worker)
{
    if (service->closed && service->live == worker && worker->next == NULL)
        rni_service_drop_queued_locked(service);
    rni_worker_remove_live_locked(service, worker);
    worker->next = service->ended;
    service->ended = worker;
    rn_cond_broadcast(&service->changed);
    rni_service_settle_locked(service);
}

/* The end of a worker to which nothing can come any more. */
static void leave(struct rni_worker *worker)
{
    rn_service *service = worker->service;
    bool is_cancelled = rni_service_is_cancelled(service);

    // Who ends the parent comes to the service only when all contexts below have ended.
    if (is_cancelled)
        rn_service_close(service);
    rn_mutex_lock(&service->mu);
    if (is_cancelled)
        rni_service_drop_queued_locked(service);
    end_locked(service, worker);
    rn_mutex_unlock(&service->mu);
}

// ---- Between two tasks

/* Waits until all that start together have been started. false: the worker has ended. */
static bool wait_for_admission(struct rni_worker *worker)
{
    rn_service *service = worker->service;

    rn_mutex_lock(&service->mu);
    while (!worker->admitted && !worker->leaves) {
        int r = rn_cond_wait(NULL, &service->changed, &service->mu, RN_NEVER);
        RN_ASSERT(r == 0);
    }
    bool admitted = worker->admitted;
    if (!admitted)
        end_locked(service, worker);
    rn_mutex_unlock(&service->mu);
    return admitted;
}

/* Does what it was given attention for. false: the worker has ended. */
static bool attend(struct rni_worker *worker)
{
    rn_service *service = worker->service;
    rn_context *old = NULL;

    atomic_store(&worker->attention, false); // before the look: what comes after it sets it again
    rn_mutex_lock(&service->mu);
    bool stays = !worker->leaves;
    if (!stays) {
        end_locked(service, worker);
    } else if (worker->fresh_next != NULL) {
        old = worker->next_ctx;
        worker->next_ctx = RN_TAKE(worker->fresh_next);
    }
    rn_mutex_unlock(&service->mu);
    rn_context_unref(old);
    return stays;
}

/*
 * A worker between two tasks leaves in place of one that is to leave but is still busy, and gives
 * it its context for next_fn: whoever is done first goes. true: the worker has ended.
 */
static bool leave_instead(struct rni_worker *worker)
{
    rn_service *service = worker->service;
    struct rni_worker *busy = NULL;
    bool any_leaves = false;

    rn_mutex_lock(&service->mu);
    for (struct rni_worker *other = service->live; other != NULL; other = other->next) {
        any_leaves = any_leaves || other->leaves;
        if (other->leaves && atomic_load_explicit(&other->phase, memory_order_relaxed) != RNI_IDLE)
            busy = other;
    }
    if (!any_leaves)
        atomic_store(&service->sends_away, false);
    bool leaves = !worker->leaves && worker->fresh_next == NULL && busy != NULL;
    if (leaves) {
        rn_context *unused = busy->fresh_next; // from a growth that it has not seen
        busy->fresh_next = worker->next_ctx;
        worker->next_ctx = unused; // freed with the worker
        busy->leaves = false;
        atomic_store(&busy->attention, true);
        end_locked(service, worker);
    }
    rn_mutex_unlock(&service->mu);
    return leaves;
}

// ---- Tasks

static int next_task(struct rni_worker *worker, struct rni_task *task)
{
    rn_service *service = worker->service;

    if (service->chan != NULL)
        return rn_chan_recv(worker->next_ctx, service->chan, task);
    int r = rni_service_take_place(worker->next_ctx, service);
    if (r < 0)
        return r;
    r = service->options.next_fn(worker->next_ctx, service->options.arg, worker->number,
                                 &task->arg);
    if (r < 0)
        rni_service_give_place(service);
    return r;
}

static enum rn_task_outcome outcome_of(rn_context *ctx, int error)
{
    if (error == 0)
        return RN_TASK_DONE;
    return error == rn_context_err(ctx) ? RN_TASK_CANCELLED : RN_TASK_FAILED;
}

static void run_task(struct rni_worker *worker, const struct rni_task *task)
{
    rn_service *service = worker->service;
    struct rn_service_result result = {.worker = worker->number};
    bool tells = service->results != NULL;

    if (tells)
        result.started_at = rn_now();
    set_phase(worker, RNI_RUNS);
    int r = service->kind->run_fn(service, worker->run_ctx, worker->number, task);
    set_phase(worker, RNI_IDLE);
    if (!tells)
        return;
    result.ended_at = rn_now();
    result.error = r;
    result.outcome = outcome_of(worker->run_ctx, r);
    rni_service_report(service, task, &result);
}

/* Runs a task, or drops it if it may not start any more. */
static void do_task(struct rni_worker *worker, const struct rni_task *task)
{
    rn_service *service = worker->service;
    rn_limiter *limiter = service->options.limiter;
    int r = service->chan != NULL ? rn_context_err(service->ctx) : 0;

    if (r == 0 && limiter != NULL) {
        set_phase(worker, RNI_WAITS);
        r = rn_limiter_wait(worker->run_ctx, limiter);
        set_phase(worker, RNI_IDLE);
    }
    if (r < 0)
        rni_service_drop(service, task, r);
    else
        run_task(worker, task);
}

void rni_worker_run(void *arg)
{
    struct rni_worker *worker = arg;
    rn_service *service = worker->service;

    if (!wait_for_admission(worker))
        return;
    // The feed is asked before each task: a next_fn that always has one must not keep the worker.
    while (rn_context_err(service->feed) == 0) {
        struct rni_task task = {NULL, NULL};
        if (atomic_load(&worker->attention) && !attend(worker))
            return;
        if (atomic_load(&service->sends_away) && leave_instead(worker))
            return;
        int r = next_task(worker, &task);
        if (r == 0)
            do_task(worker, &task);
        else if (service->chan != NULL && r == -EPIPE)
            break;
    }
    leave(worker);
}
