/** \file
 * Files beside the store that live for one request: a copy, an export's lines, an import's body and
 * what is made of it. A killed daemon may leave those that have a name; the next start removes
 * them. They never take the last of the disk: that is for the tasks that come.
 */
#ifndef STORE_SCRATCH_H
#define STORE_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <runnel/error.h>

enum scratch {
    SCRATCH_COPY,   // a backup's, an export's
    SCRATCH_LINES,  // what an export sends, what an import gets
    SCRATCH_IMPORT, // the store that is made of that
    SCRATCH_COUNT,
};

/** The name beside the store at path; new. NULL: no memory. */
char *scratch_name(const char *path, enum scratch which);
/** Makes the file of this name anew, for its owner alone. As open(2). */
int scratch_make(const char *name, int *ret_fd) RN_MUST_CHECK;
/** One that has lost its name already: its bytes go when it is closed. -ENOMEM; as open(2),
 * unlink(2). */
int scratch_open(const char *path, enum scratch which, int *ret_fd) RN_MUST_CHECK;
/**
 * Whether the file's disk has so many bytes, and something for tasks. Where it can't be told, the
 * write itself will.
 *
 * @param ret_needed  with what is for tasks; both stay as they are where it can't be told
 */
bool scratch_has_room(int fd, uint64_t bytes, uint64_t *ret_needed, uint64_t *ret_free);
/** Removes what a killed daemon has left. */
void scratch_drop_left(const char *path);

#endif
