/** \file A service from the inside: what its files share, and what the pool is built on. */
#ifndef RUNNEL_SRC_SERVICE_H
#define RUNNEL_SRC_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <runnel/service.h>
#include <runnel/sync.h>

#include "thread.h"

/** A task. */
struct rni_task {
    void *arg;                             // what was submitted
    int (*fn)(rn_context *ctx, void *arg); // of a pool alone
};

/** What differs between a service and a pool. */
struct rni_service_kind {
    size_t task_size;   // bytes of an element of the own channel: a struct rni_task, or its arg
    size_t result_size; // bytes of an element of the results channel
    int (*run_fn)(rn_service *service, rn_context *ctx, unsigned worker,
                  const struct rni_task *task);
    void (*drop_fn)(rn_service *service, const struct rni_task *task);
    /** rn_chan_try_send() of a result, in the kind's own form. */
    int (*send_fn)(rn_chan *results, const struct rni_task *task,
                   const struct rn_service_result *result);
};

/** What a worker does. */
enum rni_phase {
    RNI_IDLE,  // has no task
    RNI_WAITS, // has a task, waits for the limiter
    RNI_RUNS,  // is inside run_fn
};

/** The thread that calls result_fn. */
enum rni_monitor {
    RNI_MONITOR_NONE,    // not started, or joined
    RNI_MONITOR_RUNS,    // started
    RNI_MONITOR_OVER,    // is about to return
    RNI_MONITOR_JOINING, // in the hands of who joins it
};

/** A worker; see service_workers.c. */
struct rni_worker {
    struct rni_thread thread;
    rn_service *service;
    unsigned number;     // from 1; set once, before the thread starts
    rn_context *run_ctx; // a reference; set once
    // Guarded by service->mu; next_ctx is changed by the worker alone, which reads it without.
    rn_context *next_ctx;    // a reference
    rn_context *fresh_next;  // NULL, or a reference: is to take the place of next_ctx
    struct rni_worker *next; // on service->live, by rising number, or on service->ended
    bool admitted;
    bool leaves;
    _Atomic bool attention; // look at leaves and fresh_next
    _Atomic int phase;      // enum rni_phase; a hint but for the worker
};

struct rn_service {
    // Set once by new.
    struct rn_service_options options;
    const struct rni_service_kind *kind;
    char name[RNI_THREAD_NAME_BYTES];
    rn_context *ctx;           // a reference
    rn_context *feed;          // a reference
    rn_chan *chan;             // elements kind->task_size bytes; NULL: next_fn
    rn_chan *results;          // elements kind->result_size bytes; NULL: none
    rn_chan *places;           // one element of 0 bytes for each place in `results` that is taken
    rn_after_func *after_func; // of ctx

    struct rni_thread monitor_thread;
    rn_mutex resizing;                 // rank 29
    rn_mutex mu;                       // rank 30
    rn_cond changed RN_GUARDED_BY(mu); // admitted, ended, joined, dropped, or over
    bool started RN_GUARDED_BY(mu);
    bool closed RN_GUARDED_BY(mu);
    bool emptied RN_GUARDED_BY(mu);             // closed, and nothing is in the own channel
    bool over RN_GUARDED_BY(mu);                // every task has its result, `results` is closed
    enum rni_monitor monitor RN_GUARDED_BY(mu); // its thread
    unsigned target RN_GUARDED_BY(mu);          // workers that there are to be
    unsigned unjoined RN_GUARDED_BY(mu);        // workers that have not been joined
    unsigned dropping RN_GUARDED_BY(mu);        // threads inside rni_service_drop_queued_locked()
    struct rni_worker *live RN_GUARDED_BY(mu);  // by rising number
    struct rni_worker *ended RN_GUARDED_BY(mu); // to be joined
    _Atomic bool sends_away;                    // a worker may be on its way out: a hint without mu
};

// ---- service.c

/** rn_service_new() of a kind. */
RN_MUST_CHECK int rni_service_new(rn_context *parent, const struct rn_service_options *options,
                                  const struct rni_service_kind *kind, rn_service **ret_service);

/** rn_service_submit() of a kind. */
RN_MUST_CHECK int rni_service_submit(rn_context *ctx, rn_service *service,
                                     const struct rni_task *task);

/** rn_service_try_submit() of a kind. */
RN_MUST_CHECK int rni_service_try_submit(rn_service *service, const struct rni_task *task);

/** Whether its context has ended. */
bool rni_service_is_cancelled(rn_service *service);

/** Drops what is in the own channel of a closed service; gives mu up meanwhile. */
void rni_service_drop_queued_locked(rn_service *service) RN_REQUIRES(&service->mu);

/** Closes the results of a closed service when there can be no more. */
void rni_service_settle_locked(rn_service *service) RN_REQUIRES(&service->mu);

/** Joins what has ended; gives mu up meanwhile. */
void rni_service_reap_locked(rn_service *service) RN_REQUIRES(&service->mu);

// ---- service_workers.c

/** A worker's thread; arg is the worker. */
void rni_worker_run(void *arg);

/** Takes a worker off the list of the live ones. */
void rni_worker_remove_live_locked(rn_service *service, struct rni_worker *worker)
    RN_REQUIRES(&service->mu);

/** Frees a worker whose thread is gone. */
void rni_worker_free(struct rni_worker *worker);

// ---- service_results.c

/** Makes the results channel and its places. */
RN_MUST_CHECK int rni_service_results_new(rn_service *service);

/** Takes a place for a result, waiting for it. 0, -EPIPE closed, or as rn_context_err(ctx). */
RN_MUST_CHECK int rni_service_take_place(rn_context *ctx, rn_service *service);

/** As rni_service_take_place(), without waiting: also -EAGAIN. */
RN_MUST_CHECK int rni_service_try_take_place(rn_service *service);

/** Gives back the place of a task that was not accepted. */
void rni_service_give_place(rn_service *service);

/** Tells how a task has ended: fills in what it is, and sends it. Its place was taken. */
void rni_service_report(rn_service *service, const struct rni_task *task,
                        struct rn_service_result *result);

/** Ends a task that is not started, and says why not. */
void rni_service_drop(rn_service *service, const struct rni_task *task, int error);

/** Starts the thread that calls result_fn. */
RN_MUST_CHECK int rni_service_start_monitor(rn_service *service);

/** Makes the name of a thread: that of the service, cut where it must, and the suffix. */
void rni_service_thread_name(const rn_service *service, const char *suffix,
                             char name[static RNI_THREAD_NAME_BYTES]);

#endif
