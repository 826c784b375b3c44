/*
 * How the ends of a service's tasks are told.
 *
 * 1. A task is accepted only with a place: an element of `places`, whose capacity is that of
 *    `results`. The place is given back after its result was received, by who received it or handed
 *    it over. So sending a result never waits.
 * 2. Each accepted task is reported once, by who took it out of the own channel or had it from
 *    next_fn; `results` is closed when that has happened to all (service.c). So the loops of the
 *    readers, and of the monitor, end after the last one.
 *
 * The places are a channel of elements of 0 bytes: who waits for one is served in turn, obeys his
 * context, and is let go by the closing of the service.
 */
#include <stdio.h>
#include <string.h>

#include "chan.h"
#include "service.h"

// ---- Places

void rni_service_give_place(rn_service *service)
{
    if (service->places == NULL)
        return;
    int r = rn_chan_try_recv(service->places, NULL);
    RN_ASSERT(r == 0);
}

/* The channel's received_fn. */
static void received(void *arg)
{
    rni_service_give_place(arg);
}

int rni_service_take_place(rn_context *ctx, rn_service *service)
{
    return service->places == NULL ? 0 : rn_chan_send(ctx, service->places, NULL);
}

int rni_service_try_take_place(rn_service *service)
{
    return service->places == NULL ? 0 : rn_chan_try_send(service->places, NULL);
}

int rni_service_results_new(rn_service *service)
{
    size_t capacity = service->options.results;
    int r = rn_chan_new(service->kind->result_size, capacity, &service->results);

    if (r == 0)
        r = rn_chan_new(0, capacity, &service->places);
    if (r == 0)
        rni_chan_on_receive(service->results, received, service);
    return r;
}

// ---- Results

void rni_service_report(rn_service *service, const struct rni_task *task,
                        struct rn_service_result *result)
{
    result->task = task->arg;
    int r = service->kind->send_fn(service->results, task, result);
    RN_ASSERT(r == 0);
}

void rni_service_drop(rn_service *service, const struct rni_task *task, int error)
{
    struct rn_service_result result = {.outcome = RN_TASK_NEVER_STARTED, .error = error};

    service->kind->drop_fn(service, task);
    if (service->results == NULL)
        return;
    result.started_at = result.ended_at = rn_now();
    rni_service_report(service, task, &result);
}

rn_chan *rn_service_results(rn_service *service)
{
    return service->options.result_fn == NULL ? service->results : NULL;
}

// ---- The monitor

static void monitor(void *arg)
{
    rn_service *service = arg;
    struct rn_service_result result;

    while (rn_chan_recv(NULL, service->results, &result) == 0)
        service->options.result_fn(service->options.arg, &result);
    rn_mutex_lock(&service->mu);
    service->monitor = RNI_MONITOR_OVER;
    rn_cond_broadcast(&service->changed);
    rn_mutex_unlock(&service->mu);
}

int rni_service_start_monitor(rn_service *service)
{
    char name[RNI_THREAD_NAME_BYTES];

    rni_service_thread_name(service, "-monitor", name);
    rn_mutex_lock(&service->mu);
    service->monitor = RNI_MONITOR_RUNS;
    rn_mutex_unlock(&service->mu);
    int r = rni_thread_start(&service->monitor_thread, name, monitor, service);
    if (r < 0) {
        rn_mutex_lock(&service->mu);
        service->monitor = RNI_MONITOR_NONE;
        rn_mutex_unlock(&service->mu);
    }
    return r;
}

void rni_service_thread_name(const rn_service *service, const char *suffix,
                             char name[static RNI_THREAD_NAME_BYTES])
{
    // The suffix is what tells the threads apart: the name gives way.
    int length = (int)(RNI_THREAD_NAME_BYTES - 1 - strlen(suffix));

    (void)snprintf(name, RNI_THREAD_NAME_BYTES, "%.*s%s", length, service->name, suffix);
}
