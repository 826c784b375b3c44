/** \file A file that is there whole or not at all: written without a name, or, where the file
 * system has no such files, under another one beside it; on the disk, and only then given its own.
 * One at a time. */
#ifndef CLI_SAVE_H
#define CLI_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/error.h>

struct save {
    const char *path; // where it is to be; "-": standard output, which has nothing to be kept
    int fd;
    uint64_t bytes; // written so far
    int error;      // why a write failed: a negative errno
    bool is_unnamed;
};

/**
 * Begins: the file must not be there. For the owner alone (0600). From here to save_keep() or
 * save_discard() a signal that ends the program removes it.
 *
 * @return 0; else a code, told
 */
int save_begin(struct save *save, const char *path) RN_MUST_CHECK;
/** Writes all of it. Negative errno, kept in save->error. */
int save_write(struct save *save, const char *bytes, size_t count) RN_MUST_CHECK;
/** All is written: has it on the disk. 0; else a code, told. */
int save_sync(struct save *save) RN_MUST_CHECK;
/**
 * What it is called from now on until it is kept: a file without a name gets one. After
 * save_sync().
 *
 * @return 0 with the name, which is borrowed; else a code, told
 */
int save_temporary(struct save *save, const char **ret_name) RN_MUST_CHECK;
/** Gives it its name, if nothing else has it meanwhile. 0; else a code, told, and nothing is left.
 */
int save_keep(struct save *save) RN_MUST_CHECK;
/** Removes what there is of it. */
void save_discard(struct save *save);

#endif
