/** \file The work directory that an attempt of a command has to itself. */
#ifndef RUNNERS_WORKDIR_H
#define RUNNERS_WORKDIR_H

#include <stdbool.h>
#include <sys/stat.h>

#include <runnel/clock.h>

/** A directory, empty and of mode 0700 when an attempt gets it. */
struct workdir {
    struct stat fresh; // as it was when it was made, empty
    bool recognisable; // a change since then would show
    size_t root_bytes; // of path: the folder that it is in
    char path[];
};

/**
 * A work directory in root, which no other attempt has.
 *
 * **Ownership:** new; give it to workdir_free. **Blocking:** never for long. **Threads:** any.
 * **Errors:** as mkdir(2), -ENOMEM.
 */
int workdir_new(const char *root, struct workdir **ret_workdir) RN_MUST_CHECK;

/**
 * Removes what the attempt has made, and the directory; one in which nothing was made is kept for
 * another attempt.
 *
 * **Ownership:** takes it. NULL is allowed. **Blocking:** until the removal is done, at most until
 * deadline. **Threads:** any.
 * **Errors:** as tree_remove().
 */
int workdir_free(struct workdir *workdir, rn_time deadline) RN_MUST_CHECK;

/** See runner_open_work_root and runner_close_work_root. */
int workdir_open_root(const char *root) RN_MUST_CHECK;
void workdir_close_root(const char *root);

#endif
