/*
 * The run of a pipeline: stages that are joined by channels, each worker in a thread of its own.
 *
 * 1. A stage ends in order when the channel before it is closed and empty; the last of its workers
 *    to see that closes the next channel. So all elements come through the sink before it ends.
 * 2. Whatever else ends a worker ends the run: its result is not 0, with which the group ends the
 *    context of all. The first function that fails while the context goes on is that of
 * `failed`; what is returned afterwards follows from the end.
 * 3. An element is in one place: a channel, the window, a worker's room (`unsent` when it could not
 *    go on), or with a function, whose it is. When all threads are gone, those that are left in the
 *    first three are dropped, from the sink to the source.
 *
 * The threads start from the sink on, so that the source runs only when all are there.
 *
 * Workers share the channels, the window, and `working` and `failed`, which are atomic. A worker's
 * counters are written by itself alone and read by rn_pipeline_progress(). All else is set before
 * the threads start.
 */
#include "pipeline.h"

#include <string.h>

#include <runnel/group.h>

/* The caller is the only one that writes. */
static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static int send_on(struct rni_worker *worker, const void *elem)
{
    int r = rn_chan_send(worker->ctx, worker->stage->next->inputs, elem);

    if (r == 0)
        count(&worker->out);
    return r;
}

int rni_worker_emit(rn_emitter *emitter, const void *elem)
{
    struct rni_worker *worker = (struct rni_worker *)emitter;
    struct rni_order *order = worker->stage->order;

    if (order != NULL && !worker->has_turn) {
        int r = rni_order_wait_turn(worker->ctx, order, worker->number);
        if (r < 0)
            return r;
        worker->has_turn = true;
    }
    return send_on(worker, elem);
}

int rn_emit(rn_emitter *emitter, const void *elem)
{
    return emitter->emit_fn(emitter, elem);
}

/* Gives a stage's result on, or, without one, only the turn; elem is in the worker's own room or in
 * its place of the window. */
static int pass_on(struct rni_worker *worker, const void *elem)
{
    struct rni_stage *stage = worker->stage;

    if (stage->order != NULL)
        return rni_order_finish(worker->ctx, stage->order, worker->number, elem != NULL,
                                stage->next->inputs, &worker->out);
    if (elem == NULL)
        return 0;
    int r = send_on(worker, elem);
    if (r < 0) {
        worker->unsent = elem;
        worker->unsent_to = stage->next;
    }
    return r;
}

static int send_to_caller(struct rni_worker *worker)
{
    int r = rn_chan_send(worker->ctx, worker->stage->action.of.chan, worker->elems);

    if (r < 0) {
        worker->unsent = worker->elems;
        worker->unsent_to = worker->stage;
    }
    return r;
}

/* Calls the stage's function with the element that came in. *ret_result: what goes on, or NULL. */
static int call(struct rni_worker *worker, const void **ret_result)
{
    struct rni_stage *stage = worker->stage;
    const struct rni_action *action = &stage->action;
    void *place =
        stage->order != NULL ? rni_order_place(stage->order, worker->number) : worker->out_elem;
    bool keep = false;
    int r = 0;

    *ret_result = NULL;
    switch (action->kind) {
    case RNI_MAP:
        r = action->of.map(worker->ctx, action->arg, worker->elems, place);
        *ret_result = place;
        break;
    case RNI_NUMBERED:
        r = action->of.numbered(worker->ctx, action->arg, worker->id, worker->elems, place);
        *ret_result = place;
        break;
    case RNI_FILTER:
        r = action->of.filter(worker->ctx, action->arg, worker->elems, &keep);
        if (keep) {
            *ret_result = worker->elems;
            if (stage->order != NULL) {
                memcpy(place, worker->elems, stage->in_size);
                *ret_result = place;
            }
        }
        break;
    case RNI_FLAT_MAP:
        worker->has_turn = false;
        r = action->of.flat_map(worker->ctx, action->arg, worker->elems, &worker->emitter);
        break;
    case RNI_SINK:
        r = action->of.sink(worker->ctx, action->arg, worker->elems);
        break;
    default:
        r = send_to_caller(worker);
        break;
    }
    return r;
}

static int take(struct rni_worker *worker)
{
    struct rni_stage *stage = worker->stage;

    if (stage->order != NULL)
        return rni_order_take(worker->ctx, stage->order, stage->inputs, worker->elems,
                              &worker->number);
    return rn_chan_recv(worker->ctx, stage->inputs, worker->elems);
}

/* Works until there is nothing more to come. */
static int run_stage(struct rni_worker *worker)
{
    const void *result;
    int r;

    while ((r = take(worker)) == 0) {
        count(&worker->in);
        atomic_store_explicit(&worker->runs, true, memory_order_relaxed);
        r = call(worker, &result);
        atomic_store_explicit(&worker->runs, false, memory_order_relaxed);
        if (r == 0 && worker->stage->next != NULL)
            r = pass_on(worker, result);
        else if (r == 0)
            count(&worker->out); // it is through
        if (r != 0)
            return r;
    }
    return r == -EPIPE ? 0 : r;
}

static int run_source(struct rni_worker *worker)
{
    const struct rni_action *action = &worker->stage->action;
    int r;

    if (action->kind == RNI_SOURCE) {
        atomic_store_explicit(&worker->runs, true, memory_order_relaxed);
        r = action->of.source(worker->ctx, action->arg, &worker->emitter);
        atomic_store_explicit(&worker->runs, false, memory_order_relaxed);
        return r;
    }
    while ((r = rn_chan_recv(worker->ctx, action->of.chan, worker->out_elem)) == 0) {
        r = pass_on(worker, worker->out_elem);
        if (r < 0)
            return r;
    }
    return r == -EPIPE ? 0 : r;
}

static int work(rn_context *ctx, void *arg)
{
    struct rni_worker *worker = arg;
    struct rni_stage *stage = worker->stage;
    rn_pipeline *pipeline = stage->pipeline;

    worker->ctx = ctx;
    int r = rni_stage_is_source(stage) ? run_source(worker) : run_stage(worker);
    if (r != 0) {
        struct rni_stage *none = NULL;
        if (rn_context_err(ctx) == 0 &&
            atomic_compare_exchange_strong(&pipeline->failed, &none, stage))
            pipeline->failure = r;
        return r;
    }
    if (atomic_fetch_sub(&stage->working, 1) == 1 && stage->next != NULL)
        rn_chan_close(stage->next->inputs);
    return 0;
}

// ---- The run

/* A sink of width 1 runs on the caller's thread. */
static bool is_callers(const struct rni_stage *stage)
{
    return stage->next == NULL && stage->options.width == 1;
}

static int start(rn_pipeline *pipeline, rn_group *group)
{
    for (struct rni_stage *stage = pipeline->last; stage != NULL; stage = stage->previous) {
        if (is_callers(stage))
            continue;
        for (struct rni_worker *worker = stage->workers; worker != NULL; worker = worker->next) {
            int r = rn_group_go(group, stage->name, work, worker);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static void drop_unsent(const struct rni_stage *from, const struct rni_stage *to)
{
    for (struct rni_worker *worker = from->workers; worker != NULL; worker = worker->next) {
        if (worker->unsent_to == to)
            to->options.drop_fn(to->action.arg, (void *)(uintptr_t)worker->unsent);
    }
}

/* Drops what was on the way to a stage, the eldest first. */
static void drop_before(struct rni_stage *stage)
{
    struct rni_stage *previous = stage->previous;
    void *elem = stage->workers->elems;

    if (stage->options.drop_fn == NULL)
        return;
    drop_unsent(stage, stage);
    while (rn_chan_try_recv(stage->inputs, elem) == 0)
        stage->options.drop_fn(stage->action.arg, elem);
    while (previous->order != NULL && (elem = rni_order_take_left(previous->order)) != NULL)
        stage->options.drop_fn(stage->action.arg, elem);
    drop_unsent(previous, stage);
}

/* Runs all threads to their end: 0, or an error of start(); *ret_complete: all elements are
 * through. */
static int run_threads(rn_pipeline *pipeline, rn_group *group, bool *ret_complete)
{
    int sunk = 0;
    int r = start(pipeline, group);

    if (r < 0)
        rn_context_cancel(rn_group_context(group), r);
    else if (is_callers(pipeline->last))
        sunk = work(rn_group_context(group), pipeline->last->workers);
    if (sunk != 0)
        rn_context_cancel(rn_group_context(group), sunk);
    *ret_complete = rn_group_wait(group) == 0 && sunk == 0;
    return r;
}

int rn_pipeline_run(rn_context *ctx, rn_pipeline *pipeline)
{
    rn_group *group = NULL;
    bool complete = false;

    RN_ASSERT(!pipeline->has_run);
    pipeline->has_run = true;
    if (pipeline->error != 0)
        return pipeline->error;
    RN_ASSERT(pipeline->last != NULL && rni_stage_is_sink(pipeline->last));
    int r = rn_context_err(ctx);
    if (r == 0)
        r = rn_group_new(ctx, &group);
    if (r < 0)
        return r;

    r = run_threads(pipeline, group, &complete);
    rn_group_free(group);
    for (struct rni_stage *stage = pipeline->last; stage->previous != NULL; stage = stage->previous)
        drop_before(stage);
    if (r < 0)
        return r;
    if (atomic_load(&pipeline->failed) != NULL)
        return pipeline->failure;
    return complete ? 0 : rn_context_err(ctx);
}
