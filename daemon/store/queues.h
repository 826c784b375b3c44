/** \file
 * The queues that the store knows: number and name, settings, and how many tasks of each state they
 * have, in memory and, in the same transaction, in the table `queues`.
 *
 * The writer's thread (before store_start: the opener's) alone changes anything. What other threads
 * may look at is changed under mu, after the commit; the writer itself reads without it. Changes of
 * an open transaction stand beside: deltas, fresh.
 */
#ifndef STORE_QUEUES_H
#define STORE_QUEUES_H

#include <stdatomic.h>

#include <runnel/sync.h>

#include "store/store.h"

struct sqlite;

/** One queue. Never freed before the store. */
struct queue_row {
    unsigned number; // from 1, in the order of first use, without a gap; 0: it was never stored
    char name[CONFIG_NAME_MAX + 1];
    // changed by the writer under queues->mu
    struct store_queue_settings settings;
    uint64_t counts[TASK_STATE_COUNT]; // as committed
    bool is_stored;                    // committed
    // the writer's alone: the open transaction
    bool is_fresh; // its row was made in it
    bool is_dirty; // on the list of those that it changed
    int64_t deltas[TASK_STATE_COUNT];
    struct queue_row *next_dirty;
};

struct queues {
    rn_mutex mu;                  // rank 35: nothing is called under it
    struct queue_row **by_number; // by_number[n - 1]
    struct queue_row **by_name;   // in the order of the names
    size_t count, numbered, capacity;
    struct queue_row *last;   // the writer's: the one that was found last
    struct queue_row *dirty;  // the writer's
    int64_t backlog_delta;    // the writer's: what the open transaction adds to backlog
    _Atomic uint64_t backlog; // tasks that are not final, as committed
};

void queues_init(struct queues *queues);
void queues_fini(struct queues *queues);
/** Reads the table. -ENOMEM, -EBADMSG, or as sqlite_error. */
int queues_load(struct queues *queues, struct sqlite *sqlite) RN_MUST_CHECK;

/** Writer: the queue of this name, NULL: never used. */
struct queue_row *queues_find(struct queues *queues, const char *name);
/** Writer: the same, made in the open transaction where it is not there. -ENOMEM, or as
 * sqlite_error. */
int queues_ensure(struct queues *queues, struct sqlite *sqlite, const char *name,
                  struct queue_row **ret_row) RN_MUST_CHECK;
/** Copies the name of a number, at most CONFIG_NAME_MAX + 1 bytes. -EBADMSG: no such queue.
 * Threads: any. */
int queues_name(struct queues *queues, int64_t number, char *ret_name) RN_MUST_CHECK;

/** The number of a stored queue. -ENOENT. Threads: any. */
int queues_number(struct queues *queues, const char *name, int64_t *ret_number) RN_MUST_CHECK;

/** Writer: a task moves from a state to another; TASK_STATE_COUNT: from or to nowhere. The one
 * place where tasks are counted. */
void queues_move(struct queues *queues, struct queue_row *row, enum task_state from,
                 enum task_state to, int64_t tasks);
/** Writer: a state's count with what the open transaction changes. */
uint64_t queues_count(const struct queue_row *row, enum task_state state);
/** Writer: backlog with what the open transaction changes. */
uint64_t queues_backlog(struct queues *queues);
/** Writer: writes the counts that changed, before the commit. */
int queues_write(struct queues *queues, struct sqlite *sqlite) RN_MUST_CHECK;
/** Writer: makes the changes seen, after the commit. */
void queues_commit(struct queues *queues);
/** Writer: forgets them, after a rollback. */
void queues_rollback(struct queues *queues);
/** Writer: after the commit of a QUEUE_SET. */
void queues_set(struct queues *queues, struct queue_row *row,
                const struct store_queue_settings *settings);

/** As store_counts. Threads: any. */
int queues_counts(struct queues *queues, struct store_queue_counts **ret_counts, size_t *ret_count)
    RN_MUST_CHECK;

#endif
