/** \file The folder in which a store lies, and its file system. Any thread. */
#ifndef STORE_PLACE_H
#define STORE_PLACE_H

#include <stdint.h>

#include <runnel/error.h>

/** The bytes that this user can still write beside the file. Negative errno as statfs(2). */
int place_free_bytes(const char *path, uint64_t *ret_bytes) RN_MUST_CHECK;
/** Syncs the folder of the file, so that names in it are on the disk. As open(2) and fsync(2); a
 * file system that has no such thing is no error. */
int place_sync(const char *path) RN_MUST_CHECK;
/** What the file system of the file's folder is called, where SQLite's log can't be trusted to it;
 * NULL: it can, or nobody knows. Static. */
const char *place_unfit(const char *path);

#endif
