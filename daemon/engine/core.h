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
    unsigned limit RN_GUARDED_BY(mu);
    _Atomic unsigned present; // count, for a look without the lock
    bool closed RN_GUARDED_BY(mu);
    struct waiters_call *calls RN_GUARDED_BY(mu); // done_fns that are running now
    rn_cond called RN_GUARDED_BY(mu);             // one of them has returned
    rn_timer *timer;                              // set once; fires at the earliest `until`
};
int waiters_init(struct waiters *waiters, unsigned limit) RN_MUST_CHECK;
void waiters_fini(struct waiters *waiters);
void waiters_set_limit(struct waiters *waiters, unsigned limit);
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
    struct store_retention retention RN_GUARDED_BY(mu);
    struct store_op promote, sweep;     // the store's while promoting, sweeping
    struct store_retention sweeping_by; // the store's while sweeping: retention at its submit
};
void schedule_init(struct schedule *schedule, struct engine *engine);
/** How long finished tasks are kept, from the next slice of retention on. */
void schedule_retention(struct schedule *schedule, const struct config *config);
void schedule_fini(struct schedule *schedule);
/** An instant at which something becomes due. */
void schedule_at(struct schedule *schedule, int64_t due_ms);
/** The thread; ends with its context. */
int schedule_run(rn_context *ctx, void *arg);

/** What became of a kind's attempts, by its name: also after the configuration has lost it, so that
 * they go on when it is back. */
struct kind {
    char name[CONFIG_NAME_MAX + 1]; // set once
    struct engine_kind_counts counts;
    UT_hash_handle hh; // guarded by the engine's lock
};
enum {
    ENGINE_KINDS_MAX = 20000
}; // names of kinds since the start; 10,000 of them in force at once

/** The tasks that have failed lately, by the minute. */
enum { FAILURES_MINUTES = 60 };
struct failures {
    rn_mutex mu;                                        // rank 60
    int64_t minute[FAILURES_MINUTES] RN_GUARDED_BY(mu); // which one a place counts
    unsigned count[FAILURES_MINUTES] RN_GUARDED_BY(mu);
};
void failures_init(struct failures *failures);
void failures_fini(struct failures *failures);
void failures_add(struct failures *failures, rn_time now);
/** Within the last hour. */
unsigned failures_count(struct failures *failures, rn_time now);

/** Makes held tasks queued whose kind is configured again. */
struct releasing {
    bool under_way;              // guarded by the engine's lock; so are:
    bool again;                  // something has changed since the submit
    struct store_op op;          // the store's while under way
    const struct config *config; // the same
};
/** After the configuration has changed, or a task was held under one that is not in force any more.
 * Threads: any. */
void release_held(struct engine *engine);

struct engine {
    const struct config *start;    // set once: listeners, store, limits that no reload changes
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
    struct kind *kinds RN_GUARDED_BY(mu);   // uthash by name; kinds are added, never removed
    const struct config *config RN_GUARDED_BY(mu);               // in force
    struct engine_configuration configuration RN_GUARDED_BY(mu); // what is told of it
    struct releasing releasing;

    _Atomic uint64_t max_backlog;
    _Atomic unsigned taken; // tasks that workers have taken and not left: at most one a slot
    struct failures failures;
    _Atomic uint64_t beats;  // see engine_beat
    _Atomic bool is_beating; // one is under way
    struct store_op beat;    // the store's meanwhile

    struct queue *touched;    // owned by the store's thread
    struct task *withdrawn;   // owned by the store's thread: out of their windows by the group that
                              // is being written
    _Atomic unsigned actions; // under way
};

/** The bounds of wait and run: from what runs at once to what takes hours. */
extern const struct metrics_bounds engine_bounds;

/** The queue of this name; makes an unconfigured one where `make` is set. NULL: none, or no memory.
 */
struct queue *engine_find_queue(struct engine *engine, const char *name, bool make);
/** Logs how many tasks wait in queues that are not configured. */
void engine_warn_missing(struct engine *engine);
/** false: no memory. */
bool engine_add_queue_locked(struct engine *engine, struct queue *queue) RN_REQUIRES(&engine->mu);
/** A kind of the configuration in force, with a reference of that; NULL (and no reference): there
 * is none of this name. ret_counts: lives as long as the engine. */
const struct config_kind *engine_find_kind(struct engine *engine, const char *name,
                                           const struct config **ret_config,
                                           struct engine_kind_counts **ret_counts);
/** Makes a kind for each name of config that the engine does not know: a new array of new ones.
 * -EMSGSIZE: with them there would be more than ENGINE_KINDS_MAX; -ENOMEM. */
int kinds_new(struct engine *engine, const struct config *config, struct kind ***ret_kinds,
              size_t *ret_count) RN_MUST_CHECK;
/** Adds them to the table: all, or (-ENOMEM) none. */
int kinds_add_locked(struct engine *engine, struct kind **kinds, size_t count)
    RN_REQUIRES(&engine->mu) RN_MUST_CHECK;
/** Of the last count that were not added. */
void kinds_free(struct kind **kinds, size_t count);
/** Adds up what became of all kinds' attempts. */
void kinds_sum(struct engine *engine, struct engine_stats *stats);
/** Every queue in turn, without the engine's lock held during fn. */
void engine_each_queue(struct engine *engine, void (*fn)(struct queue *queue, void *arg),
                       void *arg);
/** Whether a task follows one that ends so. */
bool follow_wanted(const struct config *config, const struct record *record, enum task_state to);
/** store_options.follow */
int follow_make(void *arg, const struct record *ended, struct record **ret_follow);
/** engine_read of one of the engine's own: refused only by -EPIPE and -ENOMEM. */
int view_read(struct engine *engine, struct store_read *read) RN_MUST_CHECK;
/** store_options.events */
int engine_event(void *arg, struct store_event *event);

/** rn_service's run_fn: one attempt of one task, from the look at its kind to the submit of its
 * end, which tells how it went: so always 0. */
int attempt_run(rn_context *ctx, void *arg, unsigned worker, void *task);
/** Records for a worker that was given up what a drain records. */
void attempt_give_up(struct task *task);

#endif
