/*
 * Services: worker threads that take tasks and run them.
 *
 * Contexts: the service's own, `ctx`, is a child of the caller's and ends on cancel. Below it each
 * worker has one for run_fn. For next_fn each worker has one below `feed`, which closing ends. With
 * the service's own channel, `feed` is `ctx`: closing closes the channel, so what is queued is
 * still run.
 *
 * A worker's life:
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
 * it.
 * 3. Growing first keeps those on the way out: their `leaves` is taken back, and each gets a fresh
 *    context for next_fn, because the old one has ended. So no more workers are there than were
 *    asked for.
 *    A worker told to leave while it is busy need not be the one that goes: another that is done
 *    first leaves in its place and hands over its context for next_fn.
 * 4. Whoever takes a task out of the own channel gives it to run_fn, or, if the service has been
 *    cancelled, to drop_fn. The channel is closed before it is emptied for the last time: by a
 * worker or the canceller when the service is cancelled, by wait when the last worker of a closed
 * service has left. wait returns only when nobody is dropping.
 *
 * Locks: `resizing` (29) keeps start and resize apart and is held while threads are started; mu
 * (30) guards the rest and is held for moments. No function of the caller's is called under them,
 * but what he has attached to the context of next_fn, under `resizing`.
 */
#include <runnel/service.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/chan.h>
#include <runnel/sync.h>

#include "thread.h"

struct worker {
    struct rni_thread thread;
    rn_service *service;
    unsigned number;     // from 1; set once, before the thread starts
    rn_context *run_ctx; // a reference; set once
    // Guarded by service->mu; next_ctx is changed by the worker alone, which reads it without.
    rn_context *next_ctx;   // a reference
    rn_context *fresh_next; // NULL, or a reference: is to take the place of next_ctx
    struct worker *next;    // on service->live, by rising number, or on service->ended
    bool admitted;
    bool leaves;
    _Atomic bool attention; // look at leaves and fresh_next
    _Atomic bool runs;      // is inside run_fn
};

struct rn_service {
    struct rn_service_options options; // set once by new, as are the next five
    char name[RNI_THREAD_NAME_BYTES];
    rn_context *ctx;                   // a reference
    rn_context *feed;                  // a reference
    rn_chan *chan;                     // elements void *; NULL: next_fn
    rn_after_func *after_func;         // of ctx: context_ended()
    rn_mutex resizing;                 // rank 29
    rn_mutex mu;                       // rank 30
    rn_cond changed RN_GUARDED_BY(mu); // a worker was admitted, ended or joined; a drop is over
    bool started RN_GUARDED_BY(mu);
    bool closed RN_GUARDED_BY(mu);
    unsigned target RN_GUARDED_BY(mu);      // workers that there are to be
    unsigned unjoined RN_GUARDED_BY(mu);    // workers that have not been joined
    unsigned dropping RN_GUARDED_BY(mu);    // threads inside drop_queued()
    struct worker *live RN_GUARDED_BY(mu);  // by rising number
    struct worker *ended RN_GUARDED_BY(mu); // to be joined
    _Atomic bool sends_away;                // a worker may be on its way out: a look without mu
};

// ---- Ending

static bool is_cancelled(rn_service *service)
{
    return rn_context_err(service->ctx) != 0;
}

static void drop_task(rn_service *service, void *task)
{
    if (service->options.drop_fn != NULL)
        service->options.drop_fn(service->options.arg, task);
}

/* Drops what is in the own channel. */
static void drop_queued(rn_service *service)
{
    void *task;

    if (service->chan == NULL)
        return;
    rn_mutex_lock(&service->mu);
    service->dropping++;
    rn_mutex_unlock(&service->mu);
    while (rn_chan_try_recv(service->chan, &task) == 0)
        drop_task(service, task);
    rn_mutex_lock(&service->mu);
    service->dropping--;
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
}

void rn_service_close(rn_service *service)
{
    // `closed` last: whoever sees it knows that nothing can be put in any more.
    if (service->chan != NULL)
        rn_chan_close(service->chan);
    else
        rn_context_cancel(service->feed, 0);
    rn_mutex_lock(&service->mu);
    service->closed = true;
    rn_mutex_unlock(&service->mu);
}

/* The after-function of ctx: it was cancelled, or the parent has ended. */
static void context_ended(void *arg)
{
    rn_service_close(arg);
    drop_queued(arg);
}

void rn_service_cancel(rn_service *service, int cause)
{
    rn_service_close(service);
    rn_context_cancel(service->ctx, cause);
    drop_queued(service);
}

// ---- The worker's side

/* Takes a worker off the list of the live ones. */
static void remove_live_locked(rn_service *service, struct worker *worker)
    RN_REQUIRES(&service->mu);
static void remove_live_locked(rn_service *service, struct worker *worker)
{
    struct worker **place = &service->live;

    while (*place != worker)
        place = &(*place)->next;
    *place = worker->next;
}

static void end_locked(rn_service *service, struct worker *worker) RN_REQUIRES(&service->mu);
static void end_locked(rn_service *service, struct worker *worker)
{
    remove_live_locked(service, worker);
    worker->next = service->ended;
    service->ended = worker;
    rn_cond_broadcast(&service->changed);
}

/* Waits until all that start together have been started. false: the worker has ended. */
static bool wait_for_admission(struct worker *worker)
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
static bool attend(struct worker *worker)
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
static bool leave_instead(struct worker *worker)
{
    rn_service *service = worker->service;
    struct worker *busy = NULL;
    bool any_leaves = false;

    rn_mutex_lock(&service->mu);
    for (struct worker *other = service->live; other != NULL; other = other->next) {
        any_leaves = any_leaves || other->leaves;
        if (other->leaves && atomic_load_explicit(&other->runs, memory_order_relaxed))
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

/* The end of a worker to which nothing can come any more. */
static void leave(struct worker *worker)
{
    rn_service *service = worker->service;

    if (is_cancelled(service))
        drop_queued(service);
    rn_mutex_lock(&service->mu);
    end_locked(service, worker);
    rn_mutex_unlock(&service->mu);
}

static int next_task(struct worker *worker, void **ret_task)
{
    rn_service *service = worker->service;

    if (service->chan != NULL)
        return rn_chan_recv(worker->next_ctx, service->chan, ret_task);
    return service->options.next_fn(worker->next_ctx, service->options.arg, worker->number,
                                    ret_task);
}

static void run_task(struct worker *worker, void *task)
{
    rn_service *service = worker->service;

    if (service->chan != NULL && is_cancelled(service)) {
        drop_task(service, task);
        return;
    }
    atomic_store_explicit(&worker->runs, true, memory_order_relaxed);
    service->options.run_fn(worker->run_ctx, service->options.arg, worker->number, task);
    atomic_store_explicit(&worker->runs, false, memory_order_relaxed);
}

static void work(void *arg)
{
    struct worker *worker = arg;
    rn_service *service = worker->service;

    if (!wait_for_admission(worker))
        return;
    // The feed is asked before each task: a next_fn that always has one must not keep the worker.
    while (rn_context_err(service->feed) == 0) {
        void *task;
        if (atomic_load(&worker->attention) && !attend(worker))
            return;
        if (atomic_load(&service->sends_away) && leave_instead(worker))
            return;
        int r = next_task(worker, &task);
        if (r == 0)
            run_task(worker, task);
        else if (service->chan != NULL && r == -EPIPE)
            break;
    }
    leave(worker);
}

// ---- Making, starting and joining workers

static void worker_free(struct worker *worker)
{
    rn_context_unref(worker->fresh_next);
    rn_context_unref(worker->next_ctx);
    rn_context_unref(worker->run_ctx);
    free(worker);
}

static void workers_free(struct worker *workers)
{
    while (workers != NULL) {
        struct worker *worker = workers;
        workers = worker->next;
        worker_free(worker);
    }
}

/* Makes `count` workers that are not started, linked by next. */
static int workers_new(rn_service *service, unsigned count, struct worker **ret_workers)
{
    struct worker *workers = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = calloc(1, sizeof(*worker));
        int r = -ENOMEM;
        if (worker != NULL) {
            worker->service = service;
            worker->next = workers;
            workers = worker;
            r = rn_context_with_cancel(service->ctx, &worker->run_ctx);
            if (r == 0)
                r = rn_context_with_cancel(service->feed, &worker->next_ctx);
        }
        if (r < 0) {
            workers_free(workers);
            return r;
        }
    }
    *ret_workers = workers;
    return 0;
}

/* Puts a new worker on the list of the live ones, with the lowest number that is free. */
static void add_live_locked(rn_service *service, struct worker *worker) RN_REQUIRES(&service->mu);
static void add_live_locked(rn_service *service, struct worker *worker)
{
    struct worker **place = &service->live;

    worker->number = 1;
    while (*place != NULL && (*place)->number == worker->number) {
        worker->number++;
        place = &(*place)->next;
    }
    worker->next = *place;
    *place = worker;
    service->unjoined++;
}

static int start_worker(rn_service *service, struct worker *worker)
{
    char number[RNI_THREAD_NAME_BYTES];
    char name[RNI_THREAD_NAME_BYTES];

    rn_mutex_lock(&service->mu);
    add_live_locked(service, worker);
    rn_mutex_unlock(&service->mu);

    // The number is what tells the threads apart: the name gives way.
    (void)snprintf(number, sizeof(number), "-%u", worker->number);
    size_t length = strnlen(service->name, sizeof(name) - 1 - strlen(number));
    memcpy(name, service->name, length);
    memcpy(name + length, number, strlen(number) + 1);
    int r = rni_thread_start(&worker->thread, name, work, worker);
    if (r == 0)
        return 0;

    rn_mutex_lock(&service->mu);
    remove_live_locked(service, worker);
    service->unjoined--;
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
    worker_free(worker);
    return r;
}

/* Lets those go to work that have been started, or sends them away. */
static void admit(rn_service *service, bool admitted)
{
    rn_mutex_lock(&service->mu);
    for (struct worker *worker = service->live; worker != NULL; worker = worker->next) {
        if (worker->admitted)
            continue;
        worker->admitted = admitted;
        worker->leaves = !admitted;
    }
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
}

/* Joins what has ended; gives mu up meanwhile. */
static void reap_locked(rn_service *service) RN_REQUIRES(&service->mu);
static void reap_locked(rn_service *service)
{
    struct worker *worker;

    while ((worker = service->ended) != NULL) {
        service->ended = worker->next;
        rn_mutex_unlock(&service->mu);
        rni_thread_join(&worker->thread);
        worker_free(worker);
        rn_mutex_lock(&service->mu);
        service->unjoined--;
        rn_cond_broadcast(&service->changed);
    }
}

// ---- Changing their number; `resizing` is held

/* Counts the workers that are there to stay. */
static unsigned staying_locked(const rn_service *service) RN_REQUIRES(&service->mu);
static unsigned staying_locked(const rn_service *service)
{
    unsigned staying = 0;

    for (const struct worker *worker = service->live; worker != NULL; worker = worker->next)
        staying += worker->leaves ? 0 : 1;
    return staying;
}

/* The worker that is best sent away: idle rather than busy, then with the highest number. */
static struct worker *dispensable_locked(const rn_service *service) RN_REQUIRES(&service->mu);
static struct worker *dispensable_locked(const rn_service *service)
{
    struct worker *found = NULL;
    bool found_runs = true;

    for (struct worker *worker = service->live; worker != NULL; worker = worker->next) {
        bool runs = atomic_load_explicit(&worker->runs, memory_order_relaxed);
        if (worker->leaves || (runs && !found_runs))
            continue;
        found = worker;
        found_runs = runs;
    }
    return found;
}

static void shrink(rn_service *service, unsigned workers)
{
    for (;;) {
        rn_mutex_lock(&service->mu);
        service->target = workers;
        struct worker *worker = NULL;
        rn_context *next_ctx = NULL;
        if (staying_locked(service) > workers)
            worker = dispensable_locked(service);
        if (worker != NULL) {
            worker->leaves = true;
            atomic_store(&service->sends_away, true);
            atomic_store(&worker->attention, true);
            next_ctx = rn_context_ref(worker->next_ctx);
        }
        rn_mutex_unlock(&service->mu);
        if (worker == NULL)
            return;
        rn_context_cancel(next_ctx, 0);
        rn_context_unref(next_ctx);
    }
}

/*
 * Keeps those that are on the way out, as many as there are new workers in *workers; for each, one
 * of these gives its context for next_fn and is freed.
 */
static void keep_leaving(rn_service *service, struct worker **workers)
{
    struct worker *spent = NULL;

    rn_mutex_lock(&service->mu);
    for (struct worker *worker = service->live; worker != NULL; worker = worker->next) {
        struct worker *giver = *workers;
        if (giver == NULL)
            break;
        if (!worker->leaves)
            continue;
        rn_context *unused = worker->fresh_next;
        worker->fresh_next = giver->next_ctx;
        giver->next_ctx = unused;
        worker->leaves = false;
        atomic_store(&worker->attention, true);
        *workers = giver->next;
        giver->next = spent;
        spent = giver;
    }
    rn_mutex_unlock(&service->mu);
    workers_free(spent);
}

static int grow(rn_service *service, unsigned workers)
{
    struct worker *fresh = NULL;

    rn_mutex_lock(&service->mu);
    unsigned staying = staying_locked(service);
    unsigned target = service->target;
    rn_mutex_unlock(&service->mu);
    int r = workers_new(service, workers - staying, &fresh);
    if (r < 0)
        return r;

    keep_leaving(service, &fresh);
    while (r == 0 && fresh != NULL) {
        struct worker *worker = fresh;
        fresh = worker->next;
        r = start_worker(service, worker);
    }
    workers_free(fresh);
    admit(service, r == 0);
    shrink(service, r == 0 ? workers : staying); // sets the target; sends none away if all is well
    if (r < 0) {
        rn_mutex_lock(&service->mu);
        service->target = target;
        rn_mutex_unlock(&service->mu);
    }
    return r;
}

// ---- The interface

int rn_service_new(rn_context *parent, const struct rn_service_options *options,
                   rn_service **ret_service)
{
    RN_ASSERT(options->run_fn != NULL);
    rn_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return -ENOMEM;
    rn_mutex_init(&service->resizing, 29);
    rn_mutex_init(&service->mu, 30);
    service->options = *options;
    service->options.name = NULL; // borrowed: copied here
    (void)snprintf(service->name, sizeof(service->name), "%s",
                   options->name != NULL ? options->name : "worker");

    int r = rn_context_with_cancel(parent, &service->ctx);
    if (r == 0 && options->next_fn == NULL) {
        service->feed = rn_context_ref(service->ctx);
        r = rn_chan_new(sizeof(void *), options->backlog, &service->chan);
    } else if (r == 0) {
        r = rn_context_with_cancel(service->ctx, &service->feed);
    }
    rn_mutex_lock(&service->mu);
    service->target = options->workers;
    rn_mutex_unlock(&service->mu);
    if (r == 0)
        r = rn_context_after_func(service->ctx, context_ended, service, &service->after_func);
    if (r < 0) {
        rn_service_free(service);
        return r;
    }
    *ret_service = service;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_service_free(rn_service *service)
{
    if (service == NULL)
        return;
    // First what the end of the parent may be running at this moment.
    (void)rn_after_func_stop(service->after_func);
    drop_queued(service);
    RN_ASSERT(service->unjoined == 0);
    rn_chan_free(service->chan);
    rn_context_unref(service->feed);
    rn_context_unref(service->ctx);
    rn_cond_fini(&service->changed);
    rn_mutex_fini(&service->mu);
    rn_mutex_fini(&service->resizing);
    free(service);
}

/* Waits until every worker has left, has been joined, and nobody is dropping tasks. */
static int wait_for_all(rn_context *ctx, rn_service *service, rn_time deadline)
{
    int r = 0;

    rn_mutex_lock(&service->mu);
    for (;;) {
        reap_locked(service);
        if (r < 0 || (service->unjoined == 0 && service->dropping == 0))
            break;
        r = rn_cond_wait(ctx, &service->changed, &service->mu, deadline);
    }
    rn_mutex_unlock(&service->mu);
    return r;
}

int rn_service_start(rn_service *service)
{
    rn_mutex_lock(&service->resizing);
    rn_mutex_lock(&service->mu);
    RN_ASSERT(!service->started);
    bool closed = service->closed;
    unsigned workers = service->target;
    rn_mutex_unlock(&service->mu);

    int r = closed ? -EPIPE : grow(service, workers);
    if (r == 0) {
        rn_mutex_lock(&service->mu);
        service->started = true;
        rn_mutex_unlock(&service->mu);
    } else {
        // Those that were started after all had nothing to do and are leaving.
        int all_gone = wait_for_all(NULL, service, RN_NEVER);
        RN_ASSERT(all_gone == 0);
    }
    rn_mutex_unlock(&service->resizing);
    return r;
}

int rn_service_submit(rn_context *ctx, rn_service *service, void *task)
{
    RN_ASSERT(service->chan != NULL);
    return rn_chan_send(ctx, service->chan, &task);
}

int rn_service_try_submit(rn_service *service, void *task)
{
    RN_ASSERT(service->chan != NULL);
    return rn_chan_try_send(service->chan, &task);
}

int rn_service_resize(rn_service *service, unsigned workers)
{
    int r = 0;

    rn_mutex_lock(&service->resizing);
    rn_mutex_lock(&service->mu);
    bool closed = service->closed;
    bool started = service->started;
    bool grows = workers > staying_locked(service);
    if (!closed && !started)
        service->target = workers;
    rn_mutex_unlock(&service->mu);

    if (closed)
        r = -EPIPE;
    else if (started && grows)
        r = grow(service, workers);
    else if (started)
        shrink(service, workers);

    rn_mutex_lock(&service->mu);
    reap_locked(service);
    rn_mutex_unlock(&service->mu);
    rn_mutex_unlock(&service->resizing);
    return r;
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
    for (const struct worker *worker = service->live; worker != NULL; worker = worker->next)
        running += atomic_load_explicit(&worker->runs, memory_order_relaxed) ? 1 : 0;
    rn_mutex_unlock(&service->mu);
    return running;
}

int rn_service_wait(rn_context *ctx, rn_service *service, rn_time deadline)
{
    int r = rn_context_err(ctx);
    if (r < 0)
        return r;
    r = wait_for_all(ctx, service, deadline);
    if (r < 0)
        return r;

    rn_mutex_lock(&service->mu);
    bool closed = service->closed;
    rn_mutex_unlock(&service->mu);
    if (!closed)
        return 0;
    // Nothing can be put in any more, and no worker is left to take it out. Another thread may have
    // taken the last one, and be dropping it.
    drop_queued(service);
    return wait_for_all(ctx, service, deadline);
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
