/** \file
 * A queue: an rn_service whose next_fn takes from the window behind a gate (pause, rate), and
 * nothing else. The window moves on the store's thread only, by events in commit order; workers
 * take from it under the queue's lock.
 *
 * Wake-ups: a worker that finds nothing waits on `work`. Who adds work wakes one; a worker that
 * takes a task and sees that more could start wakes the next. So a burst costs the store's thread
 * one wake-up, and n long tasks still start on n workers. One idle worker at a time (the keeper)
 * waits for the rate's next token. A worker that leaves without a task passes on the wake-up that
 * it may have had.
 */
#ifndef ENGINE_QUEUE_H
#define ENGINE_QUEUE_H

#include <runnel/limiter.h>
#include <runnel/service.h>
#include <runnel/sync.h>

#include "engine/window.h"

enum { QUEUE_WINDOW = 4096 };

struct engine;

struct queue {
    char name[CONFIG_NAME_MAX + 1]; // set once
    struct engine *engine;          // set once
    rn_service *service; // set once, before has_started or the engine's lock tells of it; NULL: the
                         // queue was never configured
    UT_hash_handle hh;   // engine's table; guarded by the engine's lock
    struct queue *next_touched; // owned by the store's thread: queues that a group gave work
    bool touched;               // owned by the store's thread

    rn_mutex mu;                     // rank 20
    rn_cond work RN_GUARDED_BY(mu);  // a task may start: window, gate or settings have changed
    unsigned idle RN_GUARDED_BY(mu); // workers that wait on `work`
    bool kept RN_GUARDED_BY(mu);     // one of them waits for the rate
    struct window window RN_GUARDED_BY(mu);
    bool refilling RN_GUARDED_BY(mu);       // claim is under way
    struct task *running RN_GUARDED_BY(mu); // utlist of tasks in a runner
    unsigned running_count RN_GUARDED_BY(mu);
    struct store_queue_settings settings RN_GUARDED_BY(mu); // stored overrides
    struct store_queue_settings wanted RN_GUARDED_BY(mu);   // the same with the changes under way
    unsigned changes RN_GUARDED_BY(mu);                     // under way
    bool is_configured RN_GUARDED_BY(mu);                   // else its tasks stay unstarted
    unsigned place RN_GUARDED_BY(mu); // among the file's queues; UINT_MAX: it is not among them
    struct config_queue file RN_GUARDED_BY(mu); // what the file says, where it is configured
    unsigned taken RN_GUARDED_BY(mu);           // tasks that workers have taken and not left
    bool paused RN_GUARDED_BY(mu);
    bool has_started RN_GUARDED_BY(mu);   // its workers are there
    bool resize_failed RN_GUARDED_BY(mu); // no thread was to be had; tried again
    unsigned workers RN_GUARDED_BY(mu);   // in force
    char rate[32] RN_GUARDED_BY(mu);      // "": none
    unsigned burst RN_GUARDED_BY(mu);
    struct metrics_histogram wait; // from when a task became queued to its start
    rn_limiter *limiter;           // set once; RN_RATE_INFINITE without a rate
    struct store_op claim;         // while refilling the store's
};

/** One that is not configured, as far as it knows: it only has tasks or overrides. */
int queue_new(struct engine *engine, const char *name, struct queue **ret_queue) RN_MUST_CHECK;
/** Frees it; its workers run nothing any more. */
void queue_free(struct queue *queue);

/* By the start and by a reload, on one thread: first all that can fail, for every queue; then the
 * switch; then what follows from it. */

/** Makes the workers that the queue will need. Those above what is in force start nothing before
 * the switch. */
int queue_prepare(struct queue *queue, const struct config_queue *file) RN_MUST_CHECK;
/** The switch; file NULL: the configuration does not have it any more. */
void queue_switch(struct queue *queue, const struct config_queue *file, unsigned place);
/** Brings the workers to what is in force: after the switch, or after a queue_prepare to which none
 * came. */
void queue_settle(struct queue *queue);

/* On the store's thread, by events. */

/** A task became queued: *record is taken where it belongs into the window, else left. */
void queue_put(struct queue *queue, struct record **record);
/** Queued tasks from this key on are on the disk alone, and perhaps were not before: the window
 * must not hide them. */
void queue_cut(struct queue *queue, struct queue_key key);
/** A claim's rows, which are taken. They were selected after all events so far. */
void queue_claimed(struct queue *queue, struct store_op *claim);
/** 0: not in flight (out of the window, into *ret_task where it was there); -EBUSY: in flight. */
int queue_withdraw(struct queue *queue, struct queue_key key, struct task **ret_task);
void queue_restore(struct queue *queue, struct task *task);
/** The flight of the task is over; NULL: it is not in flight. The caller frees it. */
struct task *queue_land(struct queue *queue, uint64_t id);
/** Ends the context of a task in flight. */
void queue_cancel(struct queue *queue, uint64_t id);
/** Overrides were stored: they are in force from now on. */
void queue_apply(struct queue *queue, const struct store_queue_settings *settings);
/** Wakes a worker if there is something to do. */
void queue_wake(struct queue *queue);

/* On any thread. */

bool queue_is_configured(struct queue *queue);
/** A worker has left the task that it had taken. */
void queue_left(struct queue *queue);
/** Submits a claim where the window wants more. */
void queue_refill(struct queue *queue);
/** Every second: ends a pause whose time has come, tries again what failed, keeps the rate's level
 * in the slot file. */
void queue_tick(struct queue *queue, int64_t now_ms);

#endif
