/** \file What an operation does in the open transaction. */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/group.h"

/** The last id that a put or an import may give. The others are kept for the tasks that follow
 * others, which are never refused. */
#define APPLY_PUT_ID_MAX (RECORD_ID_MAX - (INT64_C(1) << 32))

/** Of apply: an earlier operation of the group has changed its task in a way that the engine must
 * see first. */
enum { APPLY_LATER = 1 };

/**
 * Applies one operation; op->result is set. Refusals that are expected are results, found before
 * the first write.
 *
 * Returns 0, APPLY_LATER (nothing was written: it belongs into the next group), or an error after
 * which the transaction has to be rolled back.
 */
int apply(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
/** A claim: after the commit, outside any transaction. op->result is set; an error of the disk is
 * returned too. */
int apply_claim(struct writer *writer, struct store_op *op) RN_MUST_CHECK;

int apply_put(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_start(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_finish(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_hold(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_cancel(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_retry(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_delete(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_promote(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_queue_set(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_sweep(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_release(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_edit(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
int apply_many(struct writer *writer, struct store_op *op) RN_MUST_CHECK;

// Shared by them.

/** Stores a new task, QUEUED or SCHEDULED, and sets its id and times. */
int apply_put_record(struct writer *writer, struct record *record, int64_t now_ms) RN_MUST_CHECK;
/** Room in the group for what apply_follow notes. */
enum { APPLY_FOLLOW_CHANGES = 2 };
/**
 * Stores what follows a task that has just ended as its record says.
 *
 * @param op  the operation that ended it, for the events; NULL: a recovery, nobody is told
 */
int apply_follow(struct writer *writer, struct store_op *op, const struct record *ended,
                 int64_t now_ms) RN_MUST_CHECK;

/** The row of a task as a new record: 1; 0: there is none. */
int apply_row(struct writer *writer, uint64_t id, struct record **ret_record, unsigned *ret_flags)
    RN_MUST_CHECK;
/** The row of a task that was given out: 1. 0: there is none, *ret_result says why: -ENOENT,
 * -ENODATA. */
int apply_find(struct writer *writer, uint64_t id, struct record **ret_record, unsigned *ret_flags,
               int *ret_result) RN_MUST_CHECK;
/** A task of a queue moves: the states' table is asked, the counts follow. */
void apply_move(struct writer *writer, const char *queue, enum task_state from, enum task_state to);
/** Why a waiting task is cancelled. */
enum apply_cause { APPLY_BY_HAND, APPLY_EXPIRED };
/** Ends a waiting task as cancelled. Sets the record's fields too. */
int apply_cancelled(struct writer *writer, struct record *record, int64_t now_ms,
                    enum apply_cause cause) RN_MUST_CHECK;
/** Writes a queue's settings; its row is in the table. */
int apply_settings(struct writer *writer, const struct queue_row *row,
                   const struct store_queue_settings *settings) RN_MUST_CHECK;
/** Deletes a finished task with all that is its own. */
int apply_removed(struct writer *writer, uint64_t id, unsigned flags) RN_MUST_CHECK;
/** The next kind in the order of names that a task is held of: 1, *kind is it; 0: there is none
 * behind *kind. */
int apply_held_kind(struct sqlite *sqlite, struct text *kind) RN_MUST_CHECK;
/** The earliest due time or expiry after now_ms, 0: none. */
int apply_next_due(struct sqlite *sqlite, int64_t now_ms, int64_t *ret_next_ms) RN_MUST_CHECK;

#endif
