/** \file
 * A queued task in memory: in its queue's window, or in flight (taken by a worker, its end not yet
 * committed).
 *
 * Who may touch it: in the window, whoever holds the queue's lock. In flight, its worker; `running`
 * is written by the worker under the queue's lock and read under it, so that answers can show what
 * runs. From the submit of `op` to the event of its commit the store owns record and op; the
 * event's handler, on the store's thread, frees the task.
 */
#ifndef ENGINE_TASK_H
#define ENGINE_TASK_H

// A hash that can't grow leaves the element out (hh.tbl NULL) in place of ending the process.
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include <runnel/chan.h>
#include <runnel/context.h>

#include "store/store.h"

struct queue;
struct engine_kind_counts;

enum task_place {
    TASK_IN_WINDOW,
    TASK_IN_FLIGHT,
};

/** What an answer shows of a running task. */
struct running {
    bool shown; // between the start and the commit of the end
    int64_t started_at_ms;
    unsigned worker;
    unsigned attempt;
    uint64_t run;
};

struct task {
    struct record record;
    struct queue *queue;
    enum task_place place;
    struct task *prev,
        *next; // in the window: of the same priority; running: the queue's list of running tasks
    UT_hash_handle hh; // in the window's by_id

    // in flight
    const struct config_kind *kind;    // set by the worker when it takes the task
    const struct config *config;       // a reference of the one that kind is of
    struct engine_kind_counts *counts; // of the kind; the engine's
    struct running running;            // guarded by the queue's lock
    rn_time began_at;                  // the attempt; the worker's
    rn_context *context; // of the attempt; guarded by the queue's lock; NULL: not started, or over
    bool cancel_requested; // guarded by the queue's lock
    bool given_up; // guarded by the queue's lock: a drain has recorded its end without its worker
    struct store_op op; // hold, start, finish: one at a time
    rn_chan *started;   // start record: the worker waits here
};

/** A task that takes over record, whose owner's pointer becomes NULL; args above RECORD_ARGS_INLINE
 * are left to the store. -ENOMEM: record stays the caller's. */
int task_new(struct queue *queue, struct record **record, struct task **ret_task) RN_MUST_CHECK;
void task_free(struct task *task);

#endif
