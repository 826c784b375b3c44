/** \file What the files of the engine share: the engine itself, and the pieces of it that are not a
 * queue's. */
#ifndef ENGINE_CORE_H
#define ENGINE_CORE_H

#include <runnel/group.h>
#include <runnel/ticker.h>

#include "engine/engine.h"
#include "engine/queue.h"

/** Why the context of an attempt ended (rn_context_cause). */
enum { CAUSE_CANCELLED = 1, CAUSE_DRAINED = 2 };

/** Who waits for the end of which task. */
struct waiters {
    rn_mutex mu;                               // rank 30
    struct engine_wait *all RN_GUARDED_BY(mu); // utlist
    struct waiters_of_task *by_id RN_GUARDED_BY(mu);
    unsigned count RN_GUARDED_BY(mu);
    unsigned limit;           // set once
    _Atomic unsigned present; // count, for a look without the lock
    bool closed RN_GUARDED_BY(mu);
    struct waiters_call *calls RN_GUARDED_BY(mu); // done_fns that are running now
    rn_cond called RN_GUARDED_BY(mu);             // one of them has returned
    rn_timer *timer;                              // set once; fires at the earliest `until`
};
int waiters_init(struct waiters *waiters, unsigned limit) RN_MUST_CHECK;
void waiters_fini(struct waiters *waiters);
int waiters_start(struct waiters *waiters, struct engine_wait *wait) RN_MUST_CHECK;
bool waiters_stop(struct waiters *waiters, struct engine_wait *wait);
/** The task has ended. */
void waiters_end(struct waiters *waiters, uint64_t id);
/** Takes no more; those that are there go on. */
void waiters_refuse(struct waiters *waiters);
/** Answers all and takes no more. */
void waiters_close(struct waiters *waiters);

/** What is due: the thread that promotes, sweeps and ticks. */
struct schedule {
    struct engine *engine;
    rn_mutex mu; // rank 30
    rn_cond changed RN_GUARDED_BY(mu);
    int64_t next_due_ms RN_GUARDED_BY(mu); // the earliest due or expiry; INT64_MAX: none
    int64_t seen_due_ms RN_GUARDED_BY(
        mu); // the earliest that came since the promote under way was submitted
    bool promoting RN_GUARDED_BY(mu);
    bool sweeping RN_GUARDED_BY(mu);
    rn_time next_sweep RN_GUARDED_BY(mu);
    struct store_op promote, sweep;   // the store's while promoting, sweeping
    struct store_retention retention; // set once
};
void schedule_init(struct schedule *schedule, struct engine *engine);
void schedule_fini(struct schedule *schedule);
/** An instant at which something becomes due. */
void schedule_at(struct schedule *schedule, int64_t due_ms);
/** The thread; ends with its context. */
int schedule_run(rn_context *ctx, void *arg);

struct engine {
    const struct config *config;   // set once
    struct store *store;           // set once
    char *work_root;               // set once; below it commands get their own directories
    int64_t started_at_ms;         // set once
    rn_group *group;               // the schedule's thread
    _Atomic int phase;             // enum engine_phase
    _Atomic int64_t kill_grace_ns; // INT64_MAX: the kind's own; a second signal shortens it
    rn_context *hurry;             // ends at the second signal
    struct waiters waiters;
    struct schedule schedule;

    rn_mutex mu;                            // rank 10
    struct queue *queues RN_GUARDED_BY(mu); // uthash by name; queues are added, never removed

    struct queue *touched;  // owned by the store's thread
    struct task *withdrawn; // owned by the store's thread: out of their windows by the group that
                            // is being written

    struct engine_kind_counts *kinds; // set once: of each kind of config, in its order
};

/** The bounds of wait and run: from what runs at once to what takes hours. */
extern const struct metrics_bounds engine_bounds;

/** The queue of this name; makes an unconfigured one where `make` is set. NULL: none, or no memory.
 */
struct queue *engine_find_queue(struct engine *engine, const char *name, bool make);
/** Every queue in turn, without the engine's lock held during fn. */
void engine_each_queue(struct engine *engine, void (*fn)(struct queue *queue, void *arg),
                       void *arg);
/** Whether a task follows one that ends so. */
bool follow_wanted(const struct engine *engine, const struct record *record, enum task_state to);
/** store_options.follow */
int follow_make(void *arg, const struct record *ended, struct record **ret_follow);
/** store_options.events */
int engine_event(void *arg, struct store_event *event);

/** rn_service's run_fn: one attempt of one task, from the look at its kind to the submit of its
 * end, which tells how it went: so always 0. */
int attempt_run(rn_context *ctx, void *arg, unsigned worker, void *task);
/** Records for a worker that was given up what a drain records. */
void attempt_give_up(struct task *task);

#endif
