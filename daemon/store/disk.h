/** \file
 * The writer's care for the disk: the write-ahead log is copied into the file when it is long or
 * nothing else is to be done, free pages go back to the file system, a full disk is borne. All on
 * the writer's thread, between groups.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "store/writer.h"

/** Follows the log's length from now on. */
void disk_watch(struct writer *writer);
/** When disk_tend has something to do though nothing is submitted; RN_NEVER: not. */
rn_time disk_deadline(const struct writer *writer);
/** After each group, and at the deadline. is_idle: nothing was submitted up to the deadline. */
void disk_tend(struct writer *writer, bool is_idle);
/**
 * Whether a put of so many bytes leaves room for the checkpoint of all that is in the log: what is
 * in the log and finds no room in the file would eat the ballast. A small one that has no room
 * makes the disk full.
 */
bool disk_has_room(struct writer *writer, size_t bytes);
/** The disk is full: the ballast is given up, ends alone are written. Says so once. */
void disk_full(struct writer *writer);
/** Tries to be normal again. */
void disk_retry(struct writer *writer);
/** Copies the log into the file and cuts it, where no reader is in the way: after a rollback that
 * leaves it long. */
void disk_cut_log(struct writer *writer);
/** Copies all of the log into the file and empties it; nobody reads any more. */
void disk_close(struct writer *writer);

#endif
