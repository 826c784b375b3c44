/** \file
 * The tables of the file, their version, and the way from an older version to this one: one step
 * from each version to the next, all in one transaction. Before the first step of a file that has
 * tables it is copied beside itself (aside.h).
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "store/sqlite.h"

enum {
    SCHEMA_APPLICATION_ID = 0x524e4e4c, // "RNNL", in the file's header
    SCHEMA_VERSION = 2,
};

/** SQL that brings version `to` - 1 to `to`. */
struct schema_step {
    int to;
    const char *sql;
};

/** An upgrade of a file. */
struct schema_upgrade {
    const char *path;                // of the file
    int from, to;                    // versions; from 0: there are no tables, and nothing to copy
    const struct schema_step *steps; // in rising order, up to `to`; those up to `from` are left out
    size_t count;
    store_progress_fn *progress_fn; // NULL: nobody is told
    void *arg;
    rn_time told_at; // when it was called last
};

/**
 * Makes the tables in an empty file, or checks those that are there and brings them to this
 * version, and switches to the write-ahead log. Logs an upgrade.
 *
 * @param options  path is not looked at: the file's real one is `path`
 *
 * **Errors:** -EBADMSG not Runnel's, damaged, or of a newer version; -ENOSPC no room for the copy
 * before an upgrade; else as sqlite_error. The file is as it was.
 */
int schema_open(struct sqlite *sqlite, const char *path, const struct store_options *options,
                struct error *reterr) RN_MUST_CHECK;

/** Makes the tables of this version in an empty file, without the write-ahead log. As sqlite_error.
 */
int schema_make(struct sqlite *sqlite, struct error *reterr) RN_MUST_CHECK;

/** Checks that the file is one of Runnel's, of a version that is known: 0 is a new, empty one. The
 * errors of schema_open. */
int schema_version(struct sqlite *sqlite, const char *path, int *ret_version, struct error *reterr)
    RN_MUST_CHECK;

/** Opens an empty store of a version in memory, to compare another one's tables with. Closed with
 * sqlite_close. */
int schema_model(int version, struct sqlite *ret_sqlite, struct error *reterr) RN_MUST_CHECK;

/** The steps of an upgrade, in one transaction, after the file was copied (with what its log
 * holds). */
int schema_upgrade(struct sqlite *sqlite, struct schema_upgrade *upgrade, struct error *reterr)
    RN_MUST_CHECK;
/** Calls progress_fn, at most twice a second. */
void schema_tell(struct schema_upgrade *upgrade, const char *what, uint64_t done, uint64_t total);

/** The store's random id: 16 hex digits and a NUL. */
int schema_store_id(struct sqlite *sqlite, char *ret_id, struct error *reterr) RN_MUST_CHECK;

#endif
