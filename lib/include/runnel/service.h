/** \file
 * A service: worker threads that take tasks and run them, until it is shut down (the Service of the
 * Go tutorial, without its faults).
 *
 * Tasks come from the service's own channel (rn_service_submit()) or from a function of the caller
 * (next_fn). Every task that was accepted is given to exactly one of run_fn and drop_fn. Shutting
 * down is idempotent and can be done by any thread:
 *
 *     new -> start -> running -> close: takes no more, what is queued still runs
 *                             -> cancel: the contexts of what runs end, what is queued is dropped
 *                             -> wait: every worker has left -> free
 *
 * The end of the parent context has the effect of a cancel.
 */
#ifndef RUNNEL_SERVICE_H
#define RUNNEL_SERVICE_H

#include <stddef.h>

#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A service. */
typedef struct rn_service rn_service;

/** What a service is made of. Zero, but for run_fn, is valid. */
struct rn_service_options {
    /** Of the worker threads: "name-1", "name-2", …, 15 bytes at most; NULL: "worker". Copied. */
    const char *name;
    /** How many workers rn_service_start() starts; 0: none until rn_service_resize(). */
    unsigned workers;
    /** Tasks that the service's own channel keeps, when next_fn is NULL. */
    size_t backlog;
    /**
     * Gives the next task; NULL: tasks come from the service's own channel.
     *
     * Waits until there is a task, and returns 0 with *ret_task, or until ctx ends, and returns a
     * negative errno: then the worker leaves if it is to leave, else calls again. A task that is
     * returned is run, also when ctx ended meanwhile. Called by all workers at once.
     */
    int (*next_fn)(rn_context *ctx, void *arg, unsigned worker, void **ret_task);
    /**
     * Runs one task. ctx ends when the service is cancelled. Called by all workers at once, each
     * with its own number: from 1, the lowest that no other worker has.
     */
    void (*run_fn)(rn_context *ctx, void *arg, unsigned worker, void *task);
    /**
     * Takes back a task of the service's own channel that a shutdown kept from starting; NULL:
     * forgets it. Called with no lock held, by a worker or by who cancels the service or its
     * parent, waits or frees.
     */
    void (*drop_fn)(void *arg, void *task);
    /** Passed to the functions. */
    void *arg;
};

/**
 * Makes a service that does not run yet. Tasks can be submitted from now on.
 *
 * @param parent       its end cancels the service; NULL never does
 * @param options      copied
 * @param ret_service  the new service
 *
 * **Ownership:** *ret_service is new: rn_service_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_service is untouched then.
 */
RN_API RN_MUST_CHECK int rn_service_new(rn_context *parent,
                                        const struct rn_service_options *options,
                                        rn_service **ret_service);

/**
 * Starts the workers: all, or none. Once.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any.
 * **Errors:** -EPIPE closed; -ENOMEM; -EAGAIN the system gives no thread. Nothing runs then, and it
 * can be tried again.
 */
RN_API RN_MUST_CHECK int rn_service_start(rn_service *service);

/**
 * Hands a task to the service's own channel.
 *
 * **Ownership:** takes the task: run_fn or drop_fn gets it.
 * **Blocking:** while the channel is full; until ctx ends or the service is closed. A ctx that has
 * ended already wins. **Threads:** any.
 * **Errors:** -EPIPE closed; as rn_context_err(ctx). The task stays the caller's then.
 */
RN_API RN_MUST_CHECK int rn_service_submit(rn_context *ctx, rn_service *service, void *task);

/**
 * As rn_service_submit(), if that needs no waiting.
 *
 * **Ownership:** as rn_service_submit(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EAGAIN full; -EPIPE closed. The task stays the caller's then.
 */
RN_API RN_MUST_CHECK int rn_service_try_submit(rn_service *service, void *task);

/**
 * Changes the number of workers. More: those on the way out stay, the rest are started, all or
 * none. Fewer: the excess leave, idle ones at once, else those whose task ends
 * first.
 *
 * @param workers  0: none
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any.
 * **Errors:** -EPIPE closed; -ENOMEM; -EAGAIN the system gives no thread. Nothing has changed then.
 */
RN_API RN_MUST_CHECK int rn_service_resize(rn_service *service, unsigned workers);

/**
 * Gives the number of workers that the service is to have.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API unsigned rn_service_workers(rn_service *service);

/**
 * Counts the workers that are inside run_fn.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API unsigned rn_service_running(rn_service *service);

/**
 * Ends the intake: submitting answers -EPIPE, the contexts of next_fn end, and each worker leaves
 * after its task; with the own channel, after what is queued. Closing again does nothing.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any, workers included. **Errors:** none.
 */
RN_API void rn_service_close(rn_service *service);

/**
 * Closes, ends the contexts of what runs, and drops what is queued. Cancelling again does nothing.
 *
 * @param cause  as in rn_context_cancel()
 *
 * **Ownership:** none. **Blocking:** never, as long as drop_fn does not. **Threads:** any, workers
 * included. **Errors:** none.
 */
RN_API void rn_service_cancel(rn_service *service, int cause);

/**
 * Waits until every worker has left and its thread is gone. On a closed service, what is queued
 * then is dropped before this returns 0.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param deadline  ends the wait; RN_NEVER: does not
 *
 * **Ownership:** none. **Blocking:** until then; a worker that does not end its task is waited for.
 * **Threads:** any, but no worker.
 * **Errors:** -ETIMEDOUT the deadline passed, or else as rn_context_err(ctx).
 */
RN_API RN_MUST_CHECK int rn_service_wait(rn_context *ctx, rn_service *service, rn_time deadline);

/**
 * Closes the service, waits until all is done or drain_timeout is over, then cancels and waits for
 * the workers (Go: Shutdown).
 *
 * @param drain_timeout  0: cancels at once
 * @return 0: every worker has left
 *
 * **Ownership:** none. **Blocking:** until every worker has left. **Threads:** any, but no worker;
 * again and at the same time. **Errors:** none.
 */
RN_API int rn_service_shutdown(rn_service *service, rn_duration drain_timeout);

/**
 * Frees a service. NULL is allowed.
 *
 * **Ownership:** takes it; a wait or shutdown has seen the workers leave, or none was started.
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_service_free(rn_service *service);

#ifdef __cplusplus
}
#endif
#endif
