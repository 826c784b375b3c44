/** \file The open transaction: what it will tell after the commit, and what goes back when it is
 * rolled back. */
#ifndef STORE_GROUP_H
#define STORE_GROUP_H

#include "store/writer.h"

/** Room for that many more changes and withdrawals: before an operation's first write, so that
 * noting them can't fail. -ENOMEM. */
int group_reserve(struct writer *writer, size_t changes, size_t withdrawals) RN_MUST_CHECK;
/** Notes what an event tells after the commit. Takes the record (NULL: the operation's own). */
void group_note(struct writer *writer, enum store_event_type type, struct store_op *op,
                struct record *record);
/** Asks the engine to take a queued task out of its window. 0, or -EBUSY: it is in flight. */
int group_withdraw(struct writer *writer, struct record *record);
/** Whether an operation of this group has made the task queued, and the engine doesn't know yet. */
bool group_made_queued(const struct writer *writer, uint64_t id);
/** Whether that is so of any task that was there before the group. */
bool group_made_any_queued(const struct writer *writer);

int group_begin(struct writer *writer) RN_MUST_CHECK;
/** Writes the counts and commits. On an error nothing is rolled back yet. */
int group_commit(struct writer *writer) RN_MUST_CHECK;
/** Undoes all, in memory too, and tells the engine what it gets back. */
void group_rollback(struct writer *writer);
/** After the commit: counters, then the events, in order. */
void group_publish(struct writer *writer);

#endif
