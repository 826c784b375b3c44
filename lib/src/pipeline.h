/** \file What the library itself knows of a pipeline beyond <runnel/pipeline.h>: its stages, as
 * pipeline.c makes them and pipeline_run.c runs them. */
#ifndef RUNNEL_SRC_PIPELINE_H
#define RUNNEL_SRC_PIPELINE_H

#include <runnel/pipeline.h>

#include <stdatomic.h>
#include <stddef.h>

#include "order.h"

/** Begins whatever can be emitted to. */
struct rn_emitter {
    int (*emit_fn)(rn_emitter *emitter, const void *elem);
};

/** In this order: sources, stages between, sinks. */
enum rni_stage_kind {
    RNI_SOURCE,
    RNI_SOURCE_CHAN,
    RNI_MAP,
    RNI_NUMBERED,
    RNI_FILTER,
    RNI_FLAT_MAP,
    RNI_SINK,
    RNI_SINK_CHAN,
};

/** What a stage does. */
struct rni_action {
    enum rni_stage_kind kind;
    size_t out_size; // bytes of an element that goes out; of a filter and a sink: none of its own
    union {
        int (*source)(rn_context *ctx, void *arg, rn_emitter *emitter);
        int (*map)(rn_context *ctx, void *arg, const void *in, void *out);
        int (*numbered)(rn_context *ctx, void *arg, unsigned worker, const void *in, void *out);
        int (*filter)(rn_context *ctx, void *arg, const void *in, bool *ret_keep);
        int (*flat_map)(rn_context *ctx, void *arg, const void *in, rn_emitter *emitter);
        int (*sink)(rn_context *ctx, void *arg, const void *in);
        rn_chan *chan; // of the caller's
    } of;
    void *arg;
};

/** A stage. */
struct rni_stage {
    struct rni_action action;
    struct rn_stage_options options; // with a width and a buffer
    size_t in_size;                  // bytes of an element that comes in
    size_t out_size;                 // bytes of an element that goes out; of a sink: 0
    rn_chan *inputs;                 // what waits before it; NULL: it is the source
    struct rni_order *order;         // NULL: results go on as they come
    struct rni_worker *workers;
    _Atomic unsigned working; // workers that have not ended in order
    rn_pipeline *pipeline;
    struct rni_stage *previous;
    struct rni_stage *next;
    char name[];
};

/** One thread of a stage, and its room for the element that it works on. */
struct rni_worker {
    rn_emitter emitter; // first: it comes back as its address
    struct rni_stage *stage;
    struct rni_worker *next; // of the same stage
    unsigned id;             // from 1
    rn_context *ctx;         // borrowed from the group; set when it runs, as are the next four
    uint64_t number;         // in the window, of the element in work
    bool has_turn;           // and its results may be sent
    const void *unsent;      // an element that could not go on; NULL: none
    struct rni_stage *unsent_to;
    _Atomic bool runs; // is inside the function
    _Atomic uint64_t in;
    _Atomic uint64_t out;
    unsigned char *out_elem; // in elems, behind the element that came in
    _Alignas(max_align_t) unsigned char elems[];
};

struct rn_pipeline {
    struct rni_stage *first;
    struct rni_stage *last;
    int error; // kept from when stages were added
    bool has_run;
    _Atomic(struct rni_stage *) failed; // NULL: none; set once
    int failure;                        // of failed; written by who set it, read when all have left
};

static inline bool rni_stage_is_source(const struct rni_stage *stage)
{
    return stage->action.kind <= RNI_SOURCE_CHAN;
}

static inline bool rni_stage_is_sink(const struct rni_stage *stage)
{
    return stage->action.kind >= RNI_SINK;
}

/** The emit_fn of a worker. */
int rni_worker_emit(rn_emitter *emitter, const void *elem);

/** As rn_pipeline_map(); fn is told which of the stage's workers calls it, from 1. */
void rni_pipeline_map_numbered(rn_pipeline *pipeline, const char *name, size_t out_size,
                               int (*fn)(rn_context *ctx, void *arg, unsigned worker,
                                         const void *in, void *out),
                               void *arg, const struct rn_stage_options *options);

#endif
