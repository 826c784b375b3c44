/*
 * Pipelines: how they are put together, and what is told of them. pipeline_run.c runs them.
 *
 * Everything that a run needs but its threads is allocated when a stage is added: its workers, each
 * with room for an element that comes in and one that goes out, the channel before it, and for
 * several workers that keep order the window in which they do (order.h). So nothing is allocated
 * while elements pass, and rn_pipeline_progress() reads what stays where it is.
 *
 * The first error is kept in `error`, and nothing is added after it.
 */
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_DEFAULT = 64,
};

static void free_stage(struct rni_stage *stage)
{
    if (stage == NULL)
        return;
    while (stage->workers != NULL) {
        struct rni_worker *worker = stage->workers;
        stage->workers = worker->next;
        free(worker);
    }
    rni_order_free(stage->order);
    rn_chan_free(stage->inputs);
    free(stage);
}

static void cleanup_stage(struct rni_stage **stage)
{
    free_stage(*stage);
}

static int add_worker(struct rni_stage *stage, unsigned id)
{
    const size_t alignment = _Alignof(max_align_t);
    // In range: a worker of the stage before had room for an element of this size.
    size_t out_at = stage->in_size + alignment - 1;
    size_t bytes;

    out_at -= out_at % alignment;
    if (__builtin_add_overflow(out_at, stage->out_size, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct rni_worker), &bytes))
        return -ENOMEM;
    struct rni_worker *worker = calloc(1, bytes);
    if (worker == NULL)
        return -ENOMEM;
    worker->emitter.emit_fn = rni_worker_emit;
    worker->stage = stage;
    worker->id = id;
    worker->out_elem = worker->elems + out_at;
    worker->next = stage->workers;
    stage->workers = worker;
    return 0;
}

/* The parts of a stage, as its sizes and options say. */
static int fill_stage(struct rni_stage *stage)
{
    const struct rn_stage_options *options = &stage->options;
    int r = 0;

    if (!rni_stage_is_source(stage))
        r = rn_chan_new(stage->in_size, options->buffer, &stage->inputs);
    if (r == 0 && options->width > 1 && !options->unordered && !rni_stage_is_sink(stage)) {
        size_t window = options->buffer > options->width ? options->buffer : options->width;
        r = rni_order_new(window, stage->out_size, &stage->order);
    }
    for (unsigned id = options->width; r == 0 && id > 0; id--)
        r = add_worker(stage, id);
    return r;
}

/* Appends a stage; an error is kept. */
static void add_stage(rn_pipeline *pipeline, const char *name, const struct rni_action *action,
                      const struct rn_stage_options *options)
{
    RN_ASSERT(name != NULL);
    RN_ASSERT(!pipeline->has_run);
    if (pipeline->error != 0)
        return;
    struct rni_stage *last = pipeline->last;
    RN_ASSERT(last == NULL || !rni_stage_is_sink(last));

    size_t name_bytes = strlen(name) + 1;
    RN_AUTO(cleanup_stage) struct rni_stage *stage = calloc(1, sizeof(*stage) + name_bytes);
    pipeline->error = -ENOMEM;
    if (stage == NULL)
        return;
    memcpy(stage->name, name, name_bytes);
    stage->action = *action;
    RN_ASSERT((last == NULL) == rni_stage_is_source(stage)); // the source comes first, once
    if (options != NULL)
        stage->options = *options;
    if (stage->options.width == 0 || action->kind == RNI_SINK_CHAN)
        stage->options.width = 1;
    if (stage->options.buffer == 0)
        stage->options.buffer = BUFFER_DEFAULT;
    atomic_init(&stage->working, stage->options.width);
    stage->pipeline = pipeline;
    stage->previous = last;
    stage->in_size = last != NULL ? last->out_size : 0;
    stage->out_size = action->kind == RNI_FILTER ? stage->in_size : action->out_size;
    if (action->kind == RNI_SINK_CHAN)
        RN_ASSERT(rn_chan_elem_size(action->of.chan) == stage->in_size);
    if (fill_stage(stage) < 0)
        return;

    pipeline->error = 0;
    if (last != NULL)
        last->next = stage;
    else
        pipeline->first = stage;
    pipeline->last = RN_TAKE(stage);
}

int rn_pipeline_new(rn_pipeline **ret_pipeline)
{
    rn_pipeline *pipeline = calloc(1, sizeof(*pipeline));

    if (pipeline == NULL)
        return -ENOMEM;
    *ret_pipeline = pipeline;
    return 0;
}

void rn_pipeline_free(rn_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    while (pipeline->first != NULL) {
        struct rni_stage *stage = pipeline->first;
        pipeline->first = stage->next;
        free_stage(stage);
    }
    free(pipeline);
}

void rn_pipeline_source(rn_pipeline *pipeline, const char *name, size_t out_size,
                        int (*fn)(rn_context *ctx, void *arg, rn_emitter *emitter), void *arg)
{
    const struct rni_action action = {RNI_SOURCE, out_size, {.source = fn}, arg};

    RN_ASSERT(fn != NULL);
    add_stage(pipeline, name, &action, NULL);
}

void rn_pipeline_source_chan(rn_pipeline *pipeline, const char *name, rn_chan *chan)
{
    RN_ASSERT(chan != NULL);
    const struct rni_action action = {
        RNI_SOURCE_CHAN, rn_chan_elem_size(chan), {.chan = chan}, NULL};
    add_stage(pipeline, name, &action, NULL);
}

void rn_pipeline_map(rn_pipeline *pipeline, const char *name, size_t out_size,
                     int (*fn)(rn_context *ctx, void *arg, const void *in, void *out), void *arg,
                     const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_MAP, out_size, {.map = fn}, arg};

    RN_ASSERT(fn != NULL);
    add_stage(pipeline, name, &action, options);
}

void rni_pipeline_map_numbered(rn_pipeline *pipeline, const char *name, size_t out_size,
                               int (*fn)(rn_context *ctx, void *arg, unsigned worker,
                                         const void *in, void *out),
                               void *arg, const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_NUMBERED, out_size, {.numbered = fn}, arg};

    add_stage(pipeline, name, &action, options);
}

void rn_pipeline_filter(rn_pipeline *pipeline, const char *name,
                        int (*fn)(rn_context *ctx, void *arg, const void *in, bool *ret_keep),
                        void *arg, const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_FILTER, 0, {.filter = fn}, arg};

    RN_ASSERT(fn != NULL);
    add_stage(pipeline, name, &action, options);
}

void rn_pipeline_flat_map(rn_pipeline *pipeline, const char *name, size_t out_size,
                          int (*fn)(rn_context *ctx, void *arg, const void *in,
                                    rn_emitter *emitter),
                          void *arg, const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_FLAT_MAP, out_size, {.flat_map = fn}, arg};

    RN_ASSERT(fn != NULL);
    add_stage(pipeline, name, &action, options);
}

void rn_pipeline_sink(rn_pipeline *pipeline, const char *name,
                      int (*fn)(rn_context *ctx, void *arg, const void *in), void *arg,
                      const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_SINK, 0, {.sink = fn}, arg};

    RN_ASSERT(fn != NULL);
    add_stage(pipeline, name, &action, options);
}

void rn_pipeline_sink_chan(rn_pipeline *pipeline, const char *name, rn_chan *chan,
                           const struct rn_stage_options *options)
{
    const struct rni_action action = {RNI_SINK_CHAN, 0, {.chan = chan}, NULL};

    RN_ASSERT(chan != NULL);
    add_stage(pipeline, name, &action, options);
}

const char *rn_pipeline_failed_stage(const rn_pipeline *pipeline)
{
    const struct rni_stage *failed = atomic_load(&pipeline->failed);

    return failed != NULL ? failed->name : NULL;
}

int rn_pipeline_progress(const rn_pipeline *pipeline, size_t stage,
                         struct rn_stage_progress *ret_progress)
{
    const struct rni_stage *at = pipeline->first;

    while (at != NULL && stage > 0) {
        at = at->next;
        stage--;
    }
    if (at == NULL)
        return -ENOENT;
    struct rn_stage_progress progress = {.name = at->name};
    for (const struct rni_worker *worker = at->workers; worker != NULL; worker = worker->next) {
        progress.in += atomic_load_explicit(&worker->in, memory_order_relaxed);
        progress.out += atomic_load_explicit(&worker->out, memory_order_relaxed);
        progress.running += atomic_load_explicit(&worker->runs, memory_order_relaxed) ? 1 : 0;
    }
    if (at->inputs != NULL)
        progress.waiting = rn_chan_len(at->inputs);
    *ret_progress = progress;
    return 0;
}
