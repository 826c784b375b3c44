/** \file
 * Pipelines: elements come out of a source, go through stages that map, filter or multiply them,
 * and end in a sink.
 *
 * Every stage runs in threads of its own, as many as its width says, with a bounded number of
 * elements between it and the one before. The first error ends all stages, and comes out together
 * with the name of the stage in which it occurred. What went wrong while a pipeline was put
 * together is kept and comes out there too, so that it is written without a check in every line:
 *
 *     rn_pipeline *pipeline;
 *     int r = rn_pipeline_new(&pipeline);
 *     if (r < 0)
 *         return r;
 *     rn_pipeline_source(pipeline, "generate", sizeof(int), generate, &limit);
 *     rn_pipeline_filter(pipeline, "primes", keep_prime, NULL, NULL);
 *     rn_pipeline_map(pipeline, "square", sizeof(int), square, NULL, NULL);
 *     rn_pipeline_sink(pipeline, "print", print, NULL, NULL);
 *     r = rn_pipeline_run(ctx, pipeline);
 *     rn_pipeline_free(pipeline);
 *
 * Which to pick: a pipeline, where elements go through steps and one error spoils the whole;
 * fan.h, where many inputs go through one step and each has a result or an error of its own.
 *
 * The functions of a stage get the pipeline's context, which ends at the first error and when that
 * of rn_pipeline_run() does; one that waits should give up then. They return 0, or an error, a
 * negative errno. An error that is returned after the context has ended is put down to that end.
 * An element belongs to the function that is called with it.
 */
#ifndef RUNNEL_PIPELINE_H
#define RUNNEL_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/chan.h>
#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A pipeline. */
typedef struct rn_pipeline rn_pipeline;

/** Where a source, or a stage that makes any number of elements out of one, puts them. */
typedef struct rn_emitter rn_emitter;

/** How a stage runs. Zero is valid, and so is NULL in its place. */
struct rn_stage_options {
    /** Threads, that is, elements in work at once; 0: 1. */
    unsigned width;
    /**
     * With a width above 1: gives each result on as soon as it is there. Else they go on in the
     * order of the stage's inputs.
     */
    bool unordered;
    /**
     * Elements that wait before the stage at most; 0: 64. With a width above 1 and in order it is
     * also how far the stage goes ahead of its slowest element, width being the least.
     */
    size_t buffer;
    /**
     * Takes back an element that was on the way to the stage when the pipeline ended early, on the
     * thread of rn_pipeline_run(); NULL: forgets it. For elements that own something.
     */
    void (*drop_fn)(void *arg, void *elem);
};

/**
 * Makes a pipeline without stages.
 *
 * @param ret_pipeline  the new pipeline
 *
 * **Ownership:** *ret_pipeline is new: rn_pipeline_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_pipeline is untouched then.
 */
RN_API RN_MUST_CHECK int rn_pipeline_new(rn_pipeline **ret_pipeline);

/**
 * Frees a pipeline that does not run. NULL is allowed.
 *
 * **Ownership:** takes it. **Blocking:** never. **Threads:** the last that uses it.
 * **Errors:** none.
 */
RN_API void rn_pipeline_free(rn_pipeline *pipeline);

/**
 * Begins the pipeline with a function that makes its elements. It or rn_pipeline_source_chan()
 * comes first, once.
 *
 * @param pipeline  one that has not run, as for all that add a stage
 * @param name      of the stage and its threads; copied
 * @param out_size  bytes of an element that it emits
 * @param fn        called once; calls rn_emit() for each element and returns when there are no more
 * @param arg       passed to fn
 *
 * **Ownership:** arg is borrowed until the pipeline has run. **Blocking:** never.
 * **Threads:** one, as for all that add a stage.
 * **Errors:** none; -ENOMEM is kept for rn_pipeline_run().
 */
RN_API void rn_pipeline_source(rn_pipeline *pipeline, const char *name, size_t out_size,
                               int (*fn)(rn_context *ctx, void *arg, rn_emitter *emitter),
                               void *arg);

/**
 * Begins the pipeline with the elements of a channel, until that is closed.
 *
 * **Ownership:** chan is borrowed until the pipeline has run; what is not taken stays inside.
 * **Blocking:** never. **Threads:** one. **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_source_chan(rn_pipeline *pipeline, const char *name, rn_chan *chan);

/**
 * Adds a stage that makes one element out of each.
 *
 * @param out_size  bytes of an element that it makes
 * @param fn        reads in and writes the out_size bytes of out; both are aligned for any type
 * @param options   copied; NULL: as it is by default
 *
 * **Ownership:** as rn_pipeline_source(). **Blocking:** never. **Threads:** one.
 * **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_map(rn_pipeline *pipeline, const char *name, size_t out_size,
                            int (*fn)(rn_context *ctx, void *arg, const void *in, void *out),
                            void *arg, const struct rn_stage_options *options);

/**
 * Adds a stage that lets some elements through.
 *
 * @param fn  sets *ret_keep; an element that is not kept stays fn's
 *
 * **Ownership:** as rn_pipeline_source(). **Blocking:** never. **Threads:** one.
 * **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_filter(rn_pipeline *pipeline, const char *name,
                               int (*fn)(rn_context *ctx, void *arg, const void *in,
                                         bool *ret_keep),
                               void *arg, const struct rn_stage_options *options);

/**
 * Adds a stage that makes any number of elements out of each.
 *
 * @param out_size  bytes of an element that it emits
 * @param fn        calls rn_emit() for each element that it makes out of in
 *
 * **Ownership:** as rn_pipeline_source(). **Blocking:** never. **Threads:** one.
 * **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_flat_map(rn_pipeline *pipeline, const char *name, size_t out_size,
                                 int (*fn)(rn_context *ctx, void *arg, const void *in,
                                           rn_emitter *emitter),
                                 void *arg, const struct rn_stage_options *options);

/**
 * Ends the pipeline with a function that takes its elements. It or rn_pipeline_sink_chan() comes
 * last, once.
 *
 * @param fn  called in the order of the elements, with a width of 1 on the thread that calls
 *            rn_pipeline_run(); with a larger one several calls run at once
 *
 * **Ownership:** as rn_pipeline_source(). **Blocking:** never. **Threads:** one.
 * **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_sink(rn_pipeline *pipeline, const char *name,
                             int (*fn)(rn_context *ctx, void *arg, const void *in), void *arg,
                             const struct rn_stage_options *options);

/**
 * Ends the pipeline with a channel, on which its elements are sent. The caller closes it when the
 * pipeline has run. A channel that somebody else has closed is an error of this stage, -EPIPE.
 *
 * @param chan     of elements of the size of those that come in
 * @param options  width and order have no effect; drop_fn gets NULL as its arg
 *
 * **Ownership:** chan is borrowed until the pipeline has run. **Blocking:** never.
 * **Threads:** one. **Errors:** as rn_pipeline_source().
 */
RN_API void rn_pipeline_sink_chan(rn_pipeline *pipeline, const char *name, rn_chan *chan,
                                  const struct rn_stage_options *options);

/**
 * Gives an element on to the next stage.
 *
 * @param emitter  that of the function that calls; valid until it returns
 * @param elem     out_size bytes; copied before the call returns
 *
 * **Ownership:** elem is borrowed. What it owns is the next stage's; on an error it stays the
 * caller's.
 * **Blocking:** while the next stage's buffer is full, and, in a stage that keeps order, until all
 * elements before this one are through; until the pipeline's context ends.
 * **Threads:** that of the function.
 * **Errors:** -ECANCELED or -ETIMEDOUT as rn_context_err() of the pipeline's context: return it.
 */
RN_API RN_MUST_CHECK int rn_emit(rn_emitter *emitter, const void *elem);

/**
 * Runs a pipeline, once, until all elements are through, or the first error, or the end of ctx. All
 * its threads are gone then, and what was on the way has been dropped.
 *
 * @param ctx       ends it when it ends; NULL never does
 * @param pipeline  with a source and a sink
 * @return 0: every element is through, also when ctx ended meanwhile
 *
 * **Ownership:** the pipeline stays the caller's. Nothing is allocated for an element.
 * **Blocking:** until then; it waits for functions that do not return when their context ends.
 * **Threads:** one, once. It runs a sink of width 1 itself.
 * **Errors:** what the first function that failed returned, see rn_pipeline_failed_stage(); as
 * rn_context_err(ctx); -ENOMEM, here or when a stage was added, or -EAGAIN the system gives no
 * thread: the source has not run then.
 */
RN_API RN_MUST_CHECK int rn_pipeline_run(rn_context *ctx, rn_pipeline *pipeline);

/**
 * Names the stage whose function failed first.
 *
 * @return NULL: none has; if rn_pipeline_run() returned an error, it was not that of a function
 *
 * **Ownership:** the text is the pipeline's. **Blocking:** never. **Threads:** any, after
 * rn_pipeline_run(). **Errors:** none.
 */
RN_API const char *rn_pipeline_failed_stage(const rn_pipeline *pipeline);

/** How far a stage is. */
struct rn_stage_progress {
    const char *name; // the pipeline's
    uint64_t in;      // elements that it has taken; of a source 0
    uint64_t out;     // elements that it has given on; of a sink: that are through
    unsigned running; // threads that are inside its function
    size_t waiting;   // elements that wait before it; of a source 0
};

/**
 * Tells how far a stage is, while the pipeline runs and afterwards. The numbers are of about the
 * same moment; those of a pipeline that has ended are exact.
 *
 * @param stage         from 0, the source, in the order in which they were added
 * @param ret_progress  filled
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any, once all stages are there.
 * **Errors:** -ENOENT there are not so many stages; *ret_progress is untouched then.
 */
RN_API RN_MUST_CHECK int rn_pipeline_progress(const rn_pipeline *pipeline, size_t stage,
                                              struct rn_stage_progress *ret_progress);

#ifdef __cplusplus
}
#endif
#endif
