/** \file
 * The tables of the file, their version, and the way from an older version to this one: one step
 * from each version to the next, all in one transaction. Before the first step of a file that has
 * tables it is copied beside itself.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "store/sqlite.h"

enum {
    SCHEMA_APPLICATION_ID = 0x524e4e4c, // "RNNL", in the file's header
    SCHEMA_VERSION = 1,
};

/** SQL that brings version `to` - 1 to `to`. */
struct schema_step {
    int to;
    const char *sql;
};

/**
 * Makes the tables in an empty file, or checks those that are there and brings them to this
 * version, and switches to the write-ahead log.
 *
 * **Errors:** -EBADMSG not Runnel's, damaged, or of a newer version; else as sqlite_error. The file
 * is as it was.
 */
int schema_open(struct sqlite *sqlite, const char *path, struct error *reterr) RN_MUST_CHECK;

/**
 * The steps above version `from`, in one transaction, after the file was copied to `path`-v<from>
 * (with what its log holds; version 0 has nothing to copy).
 *
 * @param steps  in rising order; the last one's `to` is the version that the file then has
 */
int schema_upgrade(struct sqlite *sqlite, const char *path, int from,
                   const struct schema_step *steps, size_t count, struct error *reterr)
    RN_MUST_CHECK;

/** The store's random id: 16 hex digits and a NUL. */
int schema_store_id(struct sqlite *sqlite, char *ret_id, struct error *reterr) RN_MUST_CHECK;

#endif
