/** \file
 * Fan-out and fan-in: many inputs go to a number of processors, and each comes back as one result,
 * with a value or an error of its own. And the merging of channels.
 *
 * Which to pick: a fan, where inputs go through one step and some may fail without the others;
 * pipeline.h, where elements go through several steps and one error spoils the whole; group.h,
 * where a handful of different things run at once.
 *
 * Nothing is dropped silently: every input that was taken in comes out as exactly one result, also
 * when the fan ends early, and the counts add up.
 */
#ifndef RUNNEL_FAN_H
#define RUNNEL_FAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/chan.h>
#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What has become of one input. */
struct rn_fan_result {
    uint64_t index;     // of the input, from 0, in the order in which they were taken in
    const void *input;  // in_size bytes; valid during the call, as is value
    const void *value;  // out_size bytes; NULL: there is none
    int error;          // 0: there is a value; else why not
    unsigned processor; // which one, from 1; 0: the input was not processed
};

/** What a fan is made of. Zero, but for process_fn and a source, is valid. */
struct rn_fan_options {
    /** Bytes of an input. */
    size_t in_size;
    /** Bytes of a value. */
    size_t out_size;
    /**
     * The inputs come from this channel, until it is closed. When the fan ends early, what is
     * inside at that moment is taken in too, and not processed.
     */
    rn_chan *inputs;
    /** Or they come from this function, which calls rn_emit() for each; called once. */
    int (*source_fn)(rn_context *ctx, void *arg, rn_emitter *emitter);
    /**
     * How many inputs there are, if that is known: those that were never taken in are counted as
     * not processed. 0: not known.
     */
    uint64_t expected;
    /** Threads that call process_fn; 0: 1. */
    unsigned processors;
    /**
     * Makes a value out of an input: reads in, writes the out_size bytes of out, and returns 0, or
     * an error, a negative errno; after the end of its context an error says that it was cut short.
     * Called by all processors at once, each with its own number: from 1.
     */
    int (*process_fn)(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out);
    /**
     * Gets the results, one after the other, on the thread of rn_fan_run() and with its context;
     * NULL: only the counts matter. 0 lets the fan go on; another value ends it early with that
     * error: return result->error to stop at the first error, 0 to collect them all. The results
     * that are left then come too, and what it returns for them has no effect.
     */
    int (*result_fn)(rn_context *ctx, void *arg, const struct rn_fan_result *result);
    /** Passed to the functions. */
    void *arg;
    /** The results come in the order of the inputs. Else as they are there. */
    bool ordered;
};

/** What has become of the inputs of a fan: together that is all of them. */
struct rn_fan_counts {
    uint64_t processed;     // there was a value
    uint64_t failed;        // process_fn returned an error
    uint64_t not_processed; // were not begun, cut short, or, with `expected`, not taken in
};

/**
 * Runs a fan until all inputs have their results, or it ends early: by the end of ctx, by
 * result_fn, or by a source_fn that fails. All its threads are gone then.
 *
 * @param ctx      ends it when it ends; NULL never does
 * @param options  what it is made of
 * @param counts   filled in any case; NULL: not wanted
 * @return 0: all inputs were processed, or failed
 *
 * **Ownership:** all borrowed. An input belongs to process_fn; one that was not processed, to
 * result_fn. Nothing is allocated for an input.
 * **Blocking:** until then; it waits for functions that do not return when their context ends.
 * **Threads:** any number, each for itself.
 * **Errors:** what result_fn or source_fn returned; as rn_context_err(ctx); -ENOMEM, or -EAGAIN the
 * system gives no thread: no input was taken in then, but for those in the channel.
 */
RN_API RN_MUST_CHECK int rn_fan_run(rn_context *ctx, const struct rn_fan_options *options,
                                    struct rn_fan_counts *counts);

/**
 * Merges channels into one: receives from all of them, whatever comes first, and sends it on, until
 * all are closed and empty. Those of one channel stay in their order.
 *
 * @param ctx    ends it when it ends; NULL never does
 * @param chans  count channels of equal elements; NULL among them is passed over
 * @param count  how many
 * @param out    of the same elements; the caller closes it
 *
 * **Ownership:** all borrowed until it returns.
 * **Blocking:** until all are closed, out is closed, or ctx ends. A ctx that has ended already
 * wins.
 * **Threads:** any number, on the same channels too.
 * **Errors:** -EPIPE out is closed; as rn_context_err(ctx): what was received before that and finds
 * no room in out is lost, one element at most; -ENOMEM: nothing was received.
 */
RN_API RN_MUST_CHECK int rn_merge(rn_context *ctx, rn_chan *const *chans, size_t count,
                                  rn_chan *out);

#ifdef __cplusplus
}
#endif
#endif
