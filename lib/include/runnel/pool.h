/** \file
 * A pool: a number of worker threads that run functions, each given with its argument, at a rate if
 * that is wanted (the worker pool of the Go tutorial, without its faults).
 *
 * Which to pick: a pool, where every task is a function of its own and the number of threads is to
 * stay the same; service.h, where all tasks are of one sort, or come from a function, or a monitor
 * is to see how they end; group.h, where a handful of different things run at once, each in a
 * thread of its own, and the first error ends them.
 *
 * A pool is a service (service.h), and what is said there of places for results, of the order of a
 * shutdown and of what is never started holds here too:
 *
 *     rn_pool *pool;
 *     struct rn_pool_options options = {.workers = 3, .limiter = limiter, .results = 10};
 *     int r = rn_pool_new(ctx, &options, &pool);
 *     for (int i = 0; r == 0 && i < 10; i++)
 *         r = rn_pool_submit(ctx, pool, fetch, &pages[i]);
 *     rn_pool_close(pool);
 *     struct rn_pool_result result;
 *     while (rn_chan_recv(NULL, rn_pool_results(pool), &result) == 0)
 *         print(&result);
 *     rn_pool_shutdown(pool, 0);
 *     rn_pool_free(pool);
 */
#ifndef RUNNEL_POOL_H
#define RUNNEL_POOL_H

#include <stddef.h>

#include <runnel/chan.h>
#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/limiter.h>
#include <runnel/service.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A pool. */
typedef struct rn_pool rn_pool;

/** The end of a task: an element of the results channel. */
struct rn_pool_result {
    int (*fn)(rn_context *ctx, void *arg); // as it was submitted
    void *arg;                             // with it
    enum rn_task_outcome outcome;          // how it ended
    int error;          // 0: done; what fn returned; of a task that never started, why not
    unsigned worker;    // which ran it, from 1; 0: it never started
    rn_time started_at; // fn was called; of a task that never started, when that was clear
    rn_time ended_at;   // fn returned; of a task that never started as started_at
};

/** What a pool is made of. Zero is valid. */
struct rn_pool_options {
    /** Of the worker threads: "name-1", "name-2", …, 15 bytes at most; NULL: "pool". Copied. */
    const char *name;
    /** How many workers there are at first; 0: none until rn_pool_resize(). */
    unsigned workers;
    /** Tasks that wait for a worker at most. */
    size_t backlog;
    /**
     * Results that have a place; 0: nobody is told how tasks end. An accepted task has its place
     * from the beginning until its result is received.
     */
    size_t results;
    /** Before each task its worker takes one token; NULL: does not. Borrowed until the pool is
     * freed. */
    rn_limiter *limiter;
    /**
     * Takes back the argument of a task that was accepted and is never started, before its result
     * is told; NULL: does not. Called as drop_fn of a service, and with the same limits.
     */
    void (*drop_fn)(int (*fn)(rn_context *ctx, void *arg), void *arg);
};

/**
 * Makes a pool and starts its workers: all, or none.
 *
 * @param parent    its end cancels the pool: what runs is told, what waits is never started; NULL
 *                  never does
 * @param options   copied
 * @param ret_pool  the new pool
 *
 * **Ownership:** *ret_pool is new: rn_pool_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** as rn_context_err(parent), which has ended already; -ENOMEM; -EAGAIN the system gives
 * no thread. *ret_pool is untouched and no thread left then.
 */
RN_API RN_MUST_CHECK int rn_pool_new(rn_context *parent, const struct rn_pool_options *options,
                                     rn_pool **ret_pool);

/**
 * Has a worker call a function.
 *
 * @param ctx  ends the wait when it ends; NULL never does
 * @param fn   returns 0: done; else an error, a negative errno; its context ends when the pool is
 *             cancelled, and its rn_context_err() then says that the task was
 * @param arg  passed to fn
 *
 * **Ownership:** arg is borrowed until fn has returned, or drop_fn or the result gives it back.
 * Nothing is allocated.
 * **Blocking:** while as many tasks wait as the backlog says, and while there is no place for a
 * result; until ctx ends or the pool is closed. A ctx that has ended already wins.
 * **Threads:** any, tasks included.
 * **Errors:** -EPIPE closed; as rn_context_err(ctx). fn is not called then.
 */
RN_API RN_MUST_CHECK int rn_pool_submit(rn_context *ctx, rn_pool *pool,
                                        int (*fn)(rn_context *ctx, void *arg), void *arg);

/**
 * As rn_pool_submit(), if that needs no waiting.
 *
 * **Ownership:** as rn_pool_submit(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EAGAIN full, or no place for a result; -EPIPE closed. fn is not called then.
 */
RN_API RN_MUST_CHECK int rn_pool_try_submit(rn_pool *pool, int (*fn)(rn_context *ctx, void *arg),
                                            void *arg);

/**
 * Gives the results channel, of elements struct rn_pool_result, as rn_service_results().
 *
 * @return NULL: there is none, because `results` is 0
 *
 * **Ownership:** borrowed from the pool, to receive from and to poll (rn_chan_fd()), also after a
 * shutdown; never send, close or free. **Blocking:** never. **Threads:** any, as many readers as
 * the caller wants. **Errors:** none.
 */
RN_API rn_chan *rn_pool_results(rn_pool *pool);

/**
 * Changes the number of workers, as rn_service_resize().
 *
 * @param workers  0: none
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any.
 * **Errors:** -EPIPE closed; -ENOMEM; -EAGAIN the system gives no thread. Nothing has changed then.
 */
RN_API RN_MUST_CHECK int rn_pool_resize(rn_pool *pool, unsigned workers);

/**
 * Gives the number of workers that the pool is to have.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API unsigned rn_pool_workers(rn_pool *pool);

/**
 * Counts the functions that run.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API unsigned rn_pool_running(rn_pool *pool);

/**
 * Ends the intake: submitting answers -EPIPE, and the workers leave after what waits. Without
 * workers, that is dropped, here. Closing again does nothing.
 *
 * **Ownership:** none. **Blocking:** never, as long as drop_fn does not. **Threads:** any, tasks
 * included. **Errors:** none.
 */
RN_API void rn_pool_close(rn_pool *pool);

/**
 * Waits until every worker has left and its thread is gone: after rn_pool_close(), or when it was
 * resized to none.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param deadline  ends the wait; RN_NEVER: does not
 *
 * **Ownership:** none. **Blocking:** until then; a task that does not end is waited for, a reader
 * of the results channel is not. **Threads:** any, but no task.
 * **Errors:** -ETIMEDOUT the deadline passed, or else as rn_context_err(ctx).
 */
RN_API RN_MUST_CHECK int rn_pool_wait(rn_context *ctx, rn_pool *pool, rn_time deadline);

/**
 * Closes the pool, waits until all is done or drain_timeout is over, then ends the contexts of what
 * runs, drops what waits, and waits for the workers.
 *
 * @param drain_timeout  0: at once
 * @return 0: every worker has left
 *
 * **Ownership:** none. **Blocking:** until every worker has left. **Threads:** any, but no task;
 * again and at the same time. **Errors:** none.
 */
RN_API int rn_pool_shutdown(rn_pool *pool, rn_duration drain_timeout);

/**
 * Frees a pool, and the results that nobody has received. NULL is allowed.
 *
 * **Ownership:** takes it; a wait or shutdown has seen the workers leave.
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_pool_free(rn_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
