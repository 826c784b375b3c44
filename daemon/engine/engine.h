/** \file
 * The engine: queues with their windows, gates and workers between the store and the runners; what
 * is running; who waits for what. The whole as the API and main see it. The API speaks the store's
 * operations and reads (store/store.h) through it.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <runnel/context.h>

#include "config/config.h"
#include "runners/runner.h"
#include "store/store.h"

struct engine;

enum engine_phase { ENGINE_STARTING, ENGINE_READY, ENGINE_DRAINING };

/** Takes a reference of config, whose listeners, store and connection limits stay in force until
 * the end, whatever is loaded later; opens the store itself (see store_open for the errors) and
 * recovers what a dead daemon left. */
int engine_new(const struct config *config, struct engine **ret_engine, struct error *reterr)
    RN_MUST_CHECK;
/** Starts the store's threads, the schedule and the queues' workers: READY. */
int engine_start(struct engine *engine, struct error *reterr) RN_MUST_CHECK;

/**
 * Drains (guarantee 4): nothing starts any more; running tasks go on until drain_timeout, then
 * their contexts end, kill_grace later a worker still inside a built-in is given up. All ends are
 * recorded. Waiters are answered. The store still takes and answers operations afterwards.
 *
 * Blocking: at most drain_timeout + kill_grace + 0.5 s. engine_hurry, from any other thread, goes
 * straight to the cancelling with a grace of 1 s.
 * @return 0: every worker has left; -ETIMEDOUT: some were given up, the process must end by _exit
 * without engine_free
 */
int engine_drain(struct engine *engine) RN_MUST_CHECK;
void engine_hurry(struct engine *engine);
/** Commits what was submitted and closes the store. After engine_drain and after the API has
 * stopped. */
void engine_stop(struct engine *engine);
void engine_free(struct engine *engine);

enum engine_phase engine_phase(struct engine *engine);
/** The configuration in force. **Ownership:** a new reference: config_unref. **Blocking:** never.
 * **Threads:** any. */
const struct config *engine_config_ref(struct engine *engine);

/* ---- reload ---- */

/**
 * Puts another configuration in force: all of it, or (on an error) nothing.
 *
 * Kinds: what runs ends under the definition that it was started with; a task whose kind is gone
 * becomes held when a worker meets it, and held ones whose kind is back become queued. Queues: a
 * new one starts, a changed one changes (stored overrides stay above the file), one that is gone
 * starts nothing more and keeps its tasks. The settings that are marked so in settings.def change;
 * others stay as they were at the start, and ret_changes names those that differ.
 *
 * **Ownership:** takes a reference of config. **Blocking:** never. **Threads:** one at a time,
 * after engine_start and before engine_drain.
 * **Errors:** -ENOMEM, -EAGAIN (no thread is to be had), -EMSGSIZE (too many kinds since the
 * start): reterr says it, what was in force is, and engine_configuration tells of it.
 */
int engine_reload(struct engine *engine, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr) RN_MUST_CHECK;
/** A configuration could not be loaded: remembers why, for engine_configuration. */
void engine_reload_refused(struct engine *engine, const char *why);

/** What is told of the configuration. */
struct engine_configuration {
    int64_t loaded_at_ms;                           // of the one in force
    char last_error[512];                           // why the last load was refused; "": it was not
    int64_t last_error_at_ms;                       // 0: it was not
    const char *restart_needed[CONFIG_RESTART_MAX]; // settings of the file that wait for a restart
    size_t restart_count;
};
void engine_configuration(struct engine *engine, struct engine_configuration *ret_configuration);

/**
 * Asks the store's writer for a sign of life, if the last one has been given.
 *
 * **Blocking:** never. **Threads:** one. @return how many have been given so far
 */
uint64_t engine_beat(struct engine *engine);

/* ---- operations ---- */

/**
 * Submits an operation of the API: STORE_PUT, STORE_CANCEL, STORE_RETRY, STORE_DELETE, STORE_EDIT,
 * STORE_BACKUP, STORE_IMPORT (whose policy is set here). Suspend the request first, then submit; on
 * an error done_fn is not called.
 *
 * Blocking: never. Threads: any.
 * Errors: -EPIPE: a put, a backup or an import while draining, or stopped (503 draining); -EAGAIN:
 * the channel is full (503 busy); -ENOSPC: a put while the disk is full (507); -ENOBUFS: a put over
 * max_backlog (503 backlog-full).
 */
int engine_submit(struct engine *engine, struct store_op *op) RN_MUST_CHECK;

/** store_scratch. */
int engine_scratch(struct engine *engine, int *ret_fd) RN_MUST_CHECK;
/** store_part_new. */
int engine_part_new(struct engine *engine, int fd, const struct store_watch *watch,
                    struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
    RN_MUST_CHECK;

/**
 * STORE_GET and STORE_LIST with what is running laid over the rows (state, worker, started_at,
 * attempt, run) and the kind's settings filled in where the task has none of its own (timeout_ms,
 * max_attempts, backoff); a list by state follows the overlaid state. STORE_KEY as it is. done_fn
 * may be called before this returns. Errors as store_read.
 */
int engine_read(struct engine *engine, struct store_read *read) RN_MUST_CHECK;

/** Lays what runs over one record and fills in the kind's settings; for a record that came out of
 * an operation. */
void engine_overlay(struct engine *engine, struct record *record);

/** Why a waiting task has not started. */
struct engine_waiting_for {
    const char *code; // time, retry, paused, rate, workers, queue-missing, kind-missing, starting,
                      // draining; NULL: it does not wait
    char detail[160];
    int64_t next_start_at_ms; // the earliest instant known; 0: not known
};
void engine_waiting_for(struct engine *engine, const struct record *record,
                        struct engine_waiting_for *ret_waiting);

/* ---- one action on many tasks ---- */

enum { ENGINE_ACTIONS_MAX = 4 }; // at once

struct engine_action;
typedef void engine_action_fn(struct engine_action *action, void *arg);

/**
 * Cancel, retry or delete of every task that fits a filter and has an id up to the last one given
 * when it began: each is looked at once, newest first. It goes on by itself, slice by slice, each a
 * read and an operation of at most STORE_MANY_MAX tasks, between which others have their turn.
 *
 * **Ownership:** it is the caller's, and the engine's from the start until done_fn.
 */
struct engine_action {
    enum store_op_type type;         // STORE_CANCEL, STORE_RETRY, STORE_DELETE
    struct store_list_filter filter; // as of a list; what it points to stays until done_fn
    bool is_dry;                     // counts alone
    engine_action_fn *done_fn; // once, on a thread of the store or in engine_action_start; must not
                               // block
    void *arg;
    // Once it is done, after an error too: how many fitted the filter; of them, those that were
    // changed (a cancel of a running one is recorded), and those whose state does not allow it.
    uint64_t matched, changed, skipped;
    int result; // 0; -EPIPE: ended by a drain; -ENOSPC, -EAGAIN, -ENOMEM …
    // the engine's own
    struct engine *engine;
    uint64_t before; // ids from here on were looked at
    struct store_read read;
    struct store_op op;
    uint64_t ids[STORE_MANY_MAX];
};
/** Begins one. -EAGAIN: ENGINE_ACTIONS_MAX are under way; done_fn is not called then. Blocking:
 * never. Threads: any. */
int engine_action_start(struct engine *engine, struct engine_action *action) RN_MUST_CHECK;

/* ---- waiting for the end of a task ---- */

struct engine_wait;
typedef void engine_wait_fn(struct engine_wait *wait, void *arg);
struct engine_wait {
    uint64_t id;
    rn_time until;           // answered then at the latest
    engine_wait_fn *done_fn; // once, on the store's or the timer's thread or in engine_wait_start;
                             // must not block
    void *arg;
    // the engine's own
    struct engine_wait *prev, *next, *id_next;
    bool waiting;
};
/**
 * Subscribes; then read the task once, then wait: no end can slip between. done_fn is called when
 * the task has ended (its end is on disk), at `until`, or when the drain ends. -EAGAIN: max_waiting
 * are there already; -EPIPE: draining, answer with the task as it is.
 */
int engine_wait_start(struct engine *engine, struct engine_wait *wait) RN_MUST_CHECK;
/** Takes it back (the client has left, the answer is known). true: done_fn was not called and will
 * not be. false: it was, or is on its way: when this returns it has returned. */
bool engine_wait_stop(struct engine *engine, struct engine_wait *wait);

/* ---- queues ---- */

struct engine_queue {
    char name[CONFIG_NAME_MAX + 1];
    bool is_configured; // false: it only has tasks or overrides left
    unsigned workers;   // in force
    char rate[32];      // in force, "" : none
    unsigned burst;
    bool paused;
    int64_t paused_until_ms;
    struct store_queue_settings overrides; // what a PATCH has set above the file
    unsigned running;
    double tokens;                     // of the rate limiter; infinite without a rate
    uint64_t states[TASK_STATE_COUNT]; // running ones are counted as running, not as queued
    size_t window;                     // tasks in memory
    int64_t oldest_queued_at_ms; // of the first task of each priority in memory the one that was
                                 // queued first; 0: none waits
    unsigned place;              // among the queues of the file; UINT_MAX: it is not configured
    const struct metrics_histogram *wait; // from when a task became queued to its start; lives as
                                          // long as the engine
};
/** All queues: the configured ones in the file's order, then others. New array (free). */
int engine_queues(struct engine *engine, struct engine_queue **ret_queues, size_t *ret_count)
    RN_MUST_CHECK;
/** -ENOENT */
int engine_queue_get(struct engine *engine, const char *name, struct engine_queue *ret_queue)
    RN_MUST_CHECK;

/** A change of a queue: each field says whether it is touched, and whether it goes back to the
 * file's value. */
struct engine_queue_change {
    char name[CONFIG_NAME_MAX + 1];
    enum { ENGINE_KEEP, ENGINE_SET, ENGINE_RESET } workers_do, rate_do, burst_do, pause_do;
    unsigned workers;
    char rate[32];
    unsigned burst;
    int64_t paused_until_ms; // pause_do ENGINE_SET; 0: until resume. ENGINE_RESET: resume
};
/** Stored, then in force, then done_fn(op, arg) on the store's thread; op is the caller's, filled
 * in here. -ENOENT, -EINVAL (all workers together above 1,024), -EAGAIN, -EPIPE. */
int engine_queue_change(struct engine *engine, const struct engine_queue_change *change,
                        struct store_op *op) RN_MUST_CHECK;

/* ---- figures ---- */

struct engine_stats {
    struct store_stats store;
    uint64_t states[TASK_STATE_COUNT];
    uint64_t backlog;
    unsigned running, waiting; // workers in a runner; requests that wait
    uint64_t started, succeeded, failed, cancelled, retried,
        interrupted;           // since the start of the daemon
    unsigned failed_last_hour; // tasks, at most those since the start
    bool disk_full;
    int64_t started_at_ms;
};
int engine_stats(struct engine *engine, struct engine_stats *ret_stats) RN_MUST_CHECK;

/** How an attempt ended. */
enum engine_outcome {
    ENGINE_SUCCEEDED,
    ENGINE_FAILED,      // and is not tried again
    ENGINE_RETRIED,     // failed, and is tried again
    ENGINE_CANCELLED,   // while it ran
    ENGINE_INTERRUPTED, // by a drain, and was put back
    ENGINE_OUTCOME_COUNT,
};
/** What became of a kind's attempts since the start of the daemon. */
struct engine_kind_counts {
    _Atomic uint64_t started;
    _Atomic uint64_t ended[ENGINE_OUTCOME_COUNT];
    struct metrics_histogram run; // from an attempt's start to its end
};
/** Of the kind of this name, which a configuration has or had since the start; else NULL. Lives as
 * long as the engine. */
const struct engine_kind_counts *engine_kind_counts(struct engine *engine, const char *name);
/** How long the store's commits took. Lives as long as the engine. */
const struct metrics_histogram *engine_commit_times(struct engine *engine);
const char *engine_store_id(struct engine *engine);
uint64_t engine_last_id(struct engine *engine);

#endif
