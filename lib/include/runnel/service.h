/** \file
 * A service: worker threads that take tasks and run them all with one function, until it is shut
 * down (the Service of the Go tutorial, without its faults).
 *
 * Which to pick: a service, where all tasks are of one sort and it lives as long as the program;
 * pool.h, where every task is a function of its own; group.h, where a handful of different things
 * run at once, each in a thread of its own, and the first error ends them.
 *
 * Tasks come from the service's own channel (rn_service_submit()) or from a function of the caller
 * (next_fn). Every task that was accepted ends in exactly one way: run_fn has run, or it was never
 * started. With `results` each end is told: by a channel that the caller reads, or by a monitor, a
 * thread of the service that calls result_fn. Shutting down is idempotent and can be done by any
 * thread:
 *
 *     new -> start -> running -> close: takes no more, what is queued still runs (draining)
 *                             -> cancel: the contexts of what runs end, what is queued is dropped
 *                             -> wait: every worker has left, then the results channel is closed,
 *                                      then the monitor has seen the last result (ended) -> free
 *
 * The end of the parent context has the effect of a cancel. No reader of results, however slow,
 * ever holds up a worker or a shutdown: a task is accepted only while there is a place for its
 * result.
 */
#ifndef RUNNEL_SERVICE_H
#define RUNNEL_SERVICE_H

#include <stddef.h>

#include <runnel/chan.h>
#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/limiter.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A service. */
typedef struct rn_service rn_service;

/** How a task ended. */
enum rn_task_outcome {
    RN_TASK_DONE,          // its function returned 0
    RN_TASK_FAILED,        // its function returned an error
    RN_TASK_CANCELLED,     // its function returned the rn_context_err() of its context
    RN_TASK_NEVER_STARTED, // its function was not called
};

/** The end of a task: an element of the results channel. */
struct rn_service_result {
    void *task;                   // as it was accepted
    enum rn_task_outcome outcome; // how it ended
    int error;          // 0: done; what run_fn returned; of a task that never started, why not
    unsigned worker;    // which ran it, from 1; 0: it never started
    rn_time started_at; // run_fn was called; of a task that never started, when that was clear
    rn_time ended_at;   // run_fn returned; of a task that never started as started_at
};

/** What a service is made of. Zero, but for run_fn, is valid. */
struct rn_service_options {
    /** Of the worker threads: "name-1", "name-2", …, 15 bytes at most; NULL: "worker". Copied. */
    const char *name;
    /** How many workers rn_service_start() starts; 0: none until rn_service_resize(). */
    unsigned workers;
    /** Tasks that the service's own channel keeps, when next_fn is NULL. */
    size_t backlog;
    /**
     * Results that have a place; 0: nobody is told how tasks end. An accepted task has its place
     * from the beginning until its result is received, so this bounds the tasks that are queued, in
     * work or waiting to be read together: as many as workers and backlog, or more, lets both come
     * into play.
     */
    size_t results;
    /**
     * Before each task its worker takes one token; NULL: does not. Borrowed until the service is
     * freed. A task to which no token can come, because the service is cancelled first or the
     * limiter has a burst of 0, is never started.
     */
    rn_limiter *limiter;
    /**
     * Gives the next task; NULL: tasks come from the service's own channel.
     *
     * Waits until there is a task, and returns 0 with *ret_task, or until ctx ends, and returns a
     * negative errno: then the worker leaves if it is to leave, else calls again. A task that is
     * returned is accepted, and run also when ctx ended meanwhile. Called by all workers at once;
     * with `results`, only while there is a place.
     */
    int (*next_fn)(rn_context *ctx, void *arg, unsigned worker, void **ret_task);
    /**
     * Runs one task. ctx ends when the service is cancelled. Returns 0: done; else an error, a
     * negative errno; rn_context_err(ctx), when ctx has ended, says that the task was cancelled.
     * Called by all workers at once, each with its own number: from 1, the lowest that no other
     * worker has.
     */
    int (*run_fn)(rn_context *ctx, void *arg, unsigned worker, void *task);
    /**
     * Takes back a task that was accepted and is never started, before its result is told; NULL:
     * does not. Called with no lock held, by a worker or by who closes, cancels or frees the
     * service, waits for it or ends its parent; must neither start, resize, wait for nor free the
     * service.
     */
    void (*drop_fn)(void *arg, void *task);
    /**
     * Gets the results, which needs `results` above 0; NULL: the caller reads them himself from
     * rn_service_results(). Called for each, one after the other, on one thread of the service,
     * "name-monitor"; must neither wait for nor free the service, and not wait to submit: it is
     * what makes room.
     */
    void (*result_fn)(void *arg, const struct rn_service_result *result);
    /** Passed to the functions. */
    void *arg;
};

/** How far a service is. */
enum rn_service_state {
    RN_SERVICE_NEW,       // not started yet
    RN_SERVICE_RUNNING,   // started
    RN_SERVICE_DRAINING,  // closed: what was accepted is still run
    RN_SERVICE_CANCELLED, // cancelled: what runs is to end
    RN_SERVICE_ENDED,     // shut down: no worker is left, and every task has its result
};

/**
 * Makes a service that does not run yet. Tasks can be submitted from now on.
 *
 * @param parent       its end cancels the service; NULL never does
 * @param options      copied
 * @param ret_service  the new service
 *
 * **Ownership:** *ret_service is new: rn_service_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; with result_fn also -EAGAIN: the system gives no thread. *ret_service is
 * untouched then.
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
 * **Blocking:** while the channel is full, and while there is no place for a result; until ctx ends
 * or the service is closed. A ctx that has ended already wins. **Threads:** any.
 * **Errors:** -EPIPE closed; as rn_context_err(ctx). The task stays the caller's then.
 */
RN_API RN_MUST_CHECK int rn_service_submit(rn_context *ctx, rn_service *service, void *task);

/**
 * As rn_service_submit(), if that needs no waiting.
 *
 * **Ownership:** as rn_service_submit(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EAGAIN full, or no place for a result; -EPIPE closed. The task stays the caller's
 * then.
 */
RN_API RN_MUST_CHECK int rn_service_try_submit(rn_service *service, void *task);

/**
 * Gives the results channel, of elements struct rn_service_result. Each accepted task ends in
 * exactly one of them. It is closed when the service has been shut down and the last one is
 * inside, so a loop that receives until -EPIPE gets them all:
 *
 *     struct rn_service_result result;
 *     while (rn_chan_recv(NULL, rn_service_results(service), &result) == 0)
 *         printf("%s: %s\n", name_of(result.task), rn_task_outcome_text(result.outcome));
 *
 * @return NULL: there is none, because `results` is 0, or the monitor reads them
 *
 * **Ownership:** borrowed from the service, to receive from and to poll (rn_chan_fd()), also after
 * a shutdown; never send, close or free. **Blocking:** never. **Threads:** any, as many readers as
 * the caller wants. **Errors:** none.
 */
RN_API rn_chan *rn_service_results(rn_service *service);

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
 * Says how far the service is.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API enum rn_service_state rn_service_state(rn_service *service);

/**
 * Names a state, for logs: "new", "running", "draining", "cancelled", "ended".
 *
 * **Ownership:** the text is static. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API const char *rn_service_state_text(enum rn_service_state state);

/**
 * Names an outcome, for logs: "done", "failed", "cancelled", "never started".
 *
 * **Ownership:** the text is static. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API const char *rn_task_outcome_text(enum rn_task_outcome outcome);

/**
 * Ends the intake: submitting answers -EPIPE, the contexts of next_fn end, and each worker leaves
 * after its task; with the own channel, after what is queued. Without workers, what is queued is
 * dropped, here. Closing again does nothing.
 *
 * **Ownership:** none. **Blocking:** never, as long as drop_fn does not. **Threads:** any, workers
 * included. **Errors:** none.
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
 * Waits until every worker has left and its thread is gone; on a service that is closed, also until
 * the results channel is closed, and result_fn has returned for the last time.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param deadline  ends the wait; RN_NEVER: does not
 *
 * **Ownership:** none. **Blocking:** until then; a worker that does not end its task is waited for,
 * a reader of the results channel is not. **Threads:** any, but no worker and not the monitor.
 * **Errors:** -ETIMEDOUT the deadline passed, or else as rn_context_err(ctx).
 */
RN_API RN_MUST_CHECK int rn_service_wait(rn_context *ctx, rn_service *service, rn_time deadline);

/**
 * Closes the service, waits until all is done or drain_timeout is over, then cancels and waits for
 * the workers (Go: Shutdown), and after them as rn_service_wait().
 *
 * @param drain_timeout  0: cancels at once
 * @return 0: every worker has left
 *
 * **Ownership:** none. **Blocking:** until then. **Threads:** any, but no worker and not the
 * monitor; again and at the same time. **Errors:** none.
 */
RN_API int rn_service_shutdown(rn_service *service, rn_duration drain_timeout);

/**
 * Frees a service, and the results that nobody has received. NULL is allowed.
 *
 * **Ownership:** takes it; a wait or shutdown has seen the workers leave, or none was started.
 * **Blocking:** never; with result_fn, and without a shutdown before, until the monitor has seen
 * the last result. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_service_free(rn_service *service);

#ifdef __cplusplus
}
#endif
#endif
