/** \file
 * The copy of the file from before an upgrade, beside it: NAME-v1-backup, or where that is taken
 * NAME-v1-backup-2 and so on: none is ever overwritten.
 *
 * While the upgrade is under way it is called NAME-v1-backup.part. It is whole and synced before
 * the upgrade begins, and gets its name after the commit. So one beside a file of its own version
 * is what a killed daemon left, and worth nothing; one beside a file of a later version is whole.
 * However often a start dies on the way, there is one copy. One thread at a time.
 */
#ifndef STORE_ASIDE_H
#define STORE_ASIDE_H

#include "store/schema.h"

/** Copies the file as a reader sees it, in pieces, between which the upgrade's progress_fn is
 * called. **Errors:** -ENOSPC: there is not enough room, looked at before the first byte; others as
 * open, fsync and sqlite_error. Nothing is left then. */
int aside_make(struct sqlite *sqlite, struct schema_upgrade *upgrade, struct error *reterr)
    RN_MUST_CHECK;
/** The upgrade was committed: the copy gets its name, which is new, on the heap. */
int aside_keep(const char *path, int version, char **ret_name, struct error *reterr) RN_MUST_CHECK;
/** The upgrade was taken back: removes the copy. */
void aside_drop(const char *path, int version);
/** Whether a copy waits for its name. */
bool aside_is_open(const char *path, int version);
/** The newest copy of a version, on the heap; NULL: none, or no memory. */
char *aside_find(const char *path, int version);

#endif
