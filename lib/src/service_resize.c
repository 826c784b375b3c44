/*
 * The number of a service's workers: starting, growing, shrinking. A worker's life is in
 * service_workers.c.
 *
 * Growing first keeps those on the way out: their `leaves` is taken back, and each gets a fresh
 * context for next_fn, because the old one has ended. So no more workers are there than were asked
 * for. The rest are started, all or none: a new worker waits until it is admitted, and if one could
 * not be started, none is.
 *
 * All of this is done with `resizing` held, which is given back before anything is dropped for a
 * service that was closed meanwhile.
 */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>

// ---- Making and starting workers

static void workers_free(struct rni_worker *workers)
{
    while (workers != NULL) {
        struct rni_worker *worker = workers;
        workers = worker->next;
        rni_worker_free(worker);
    }
}

/* Makes `count` workers that are not started, linked by next. */
static int workers_new(rn_service *service, unsigned count, struct rni_worker **ret_workers)
{
    struct rni_worker *workers = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct rni_worker *worker = calloc(1, sizeof(*worker));
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
static void add_live_locked(rn_service *service, struct rni_worker *worker)
    RN_REQUIRES(&service->mu);
static void add_live_locked(rn_service *service, struct rni_worker *worker)
{
    struct rni_worker **place = &service->live;

    worker->number = 1;
    while (*place != NULL && (*place)->number == worker->number) {
        worker->number++;
        place = &(*place)->next;
    }
    worker->next = *place;
    *place = worker;
    service->unjoined++;
}

static int start_worker(rn_service *service, struct rni_worker *worker)
{
    char number[RNI_THREAD_NAME_BYTES];
    char name[RNI_THREAD_NAME_BYTES];

    rn_mutex_lock(&service->mu);
    add_live_locked(service, worker);
    rn_mutex_unlock(&service->mu);

    (void)snprintf(number, sizeof(number), "-%u", worker->number);
    rni_service_thread_name(service, number, name);
    int r = rni_thread_start(&worker->thread, name, rni_worker_run, worker);
    if (r == 0)
        return 0;

    rn_mutex_lock(&service->mu);
    rni_worker_remove_live_locked(service, worker);
    service->unjoined--;
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
    rni_worker_free(worker);
    return r;
}

/* Lets those go to work that have been started, or sends them away. */
static void admit(rn_service *service, bool admitted)
{
    rn_mutex_lock(&service->mu);
    for (struct rni_worker *worker = service->live; worker != NULL; worker = worker->next) {
        if (worker->admitted)
            continue;
        worker->admitted = admitted;
        worker->leaves = !admitted;
    }
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
}

// ---- Changing their number

/* Counts the workers that are there to stay. */
static unsigned staying_locked(const rn_service *service) RN_REQUIRES(&service->mu);
static unsigned staying_locked(const rn_service *service)
{
    unsigned staying = 0;

    for (const struct rni_worker *worker = service->live; worker != NULL; worker = worker->next)
        staying += worker->leaves ? 0 : 1;
    return staying;
}

/* The worker that is best sent away: idle rather than busy, then with the highest number. */
static struct rni_worker *dispensable_locked(const rn_service *service) RN_REQUIRES(&service->mu);
static struct rni_worker *dispensable_locked(const rn_service *service)
{
    struct rni_worker *found = NULL;
    bool found_is_busy = true;

    for (struct rni_worker *worker = service->live; worker != NULL; worker = worker->next) {
        bool is_busy = atomic_load_explicit(&worker->phase, memory_order_relaxed) != RNI_IDLE;
        if (worker->leaves || (is_busy && !found_is_busy))
            continue;
        found = worker;
        found_is_busy = is_busy;
    }
    return found;
}

static void shrink(rn_service *service, unsigned workers)
{
    for (;;) {
        rn_mutex_lock(&service->mu);
        service->target = workers;
        struct rni_worker *worker = NULL;
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
static void keep_leaving(rn_service *service, struct rni_worker **workers)
{
    struct rni_worker *spent = NULL;

    rn_mutex_lock(&service->mu);
    for (struct rni_worker *worker = service->live; worker != NULL; worker = worker->next) {
        struct rni_worker *giver = *workers;
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
    struct rni_worker *fresh = NULL;

    rn_mutex_lock(&service->mu);
    unsigned staying = staying_locked(service);
    unsigned target = service->target;
    rn_mutex_unlock(&service->mu);
    int r = workers_new(service, workers - staying, &fresh);
    if (r < 0)
        return r;

    keep_leaving(service, &fresh);
    while (r == 0 && fresh != NULL) {
        struct rni_worker *worker = fresh;
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

/* Waits until those have gone that were started and then sent away. */
static void wait_for_none(rn_service *service)
{
    rn_mutex_lock(&service->mu);
    for (;;) {
        rni_service_reap_locked(service);
        if (service->unjoined == 0)
            break;
        int r = rn_cond_wait(NULL, &service->changed, &service->mu, RN_NEVER);
        RN_ASSERT(r == 0);
    }
    rn_mutex_unlock(&service->mu);
}

/* A service that was closed while a worker was on the list that then could not be started. */
static void drop_if_none_is_left(rn_service *service)
{
    rn_mutex_lock(&service->mu);
    if (service->closed && service->live == NULL)
        rni_service_drop_queued_locked(service);
    rni_service_settle_locked(service);
    rn_mutex_unlock(&service->mu);
}

// ---- The interface

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
        wait_for_none(service);
    }
    rn_mutex_unlock(&service->resizing);
    if (r < 0)
        drop_if_none_is_left(service);
    return r;
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
    rni_service_reap_locked(service);
    rn_mutex_unlock(&service->mu);
    rn_mutex_unlock(&service->resizing);
    if (r < 0)
        drop_if_none_is_left(service);
    return r;
}
