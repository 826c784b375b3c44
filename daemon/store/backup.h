/** \file
 * The copy of the store that STORE_BACKUP makes: page by page into a file beside it that has no
 * name any more, in short slices between groups, by the writer's own connection, so that what is
 * committed meanwhile goes into the copy too and nothing is copied twice. All on the writer's
 * thread.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/writer.h"

/** Begins the copy for the operation. false: it has its result, and nothing has begun. */
bool backup_begin(struct writer *writer, struct store_op *op) RN_MUST_CHECK;
bool backup_is_under_way(const struct writer *writer);
/** One slice of a few milliseconds, where one is under way. With the last one the operation is
 * answered, as it is where the copy has failed or nobody wants it any more. */
void backup_go_on(struct writer *writer);
/** Ends it where it is under way: its operation is answered with r, a negative errno. */
void backup_end(struct writer *writer, int r);

#endif
