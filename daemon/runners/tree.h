/** \file Removal of a directory with all that is in it, whatever a command has made of it. */
#ifndef RUNNERS_TREE_H
#define RUNNERS_TREE_H

#include <runnel/clock.h>

/**
 * Removes path and everything in it. Follows no link and enters no other file system. What is not
 * there is no error.
 *
 * @param deadline  when to give up
 *
 * **Blocking:** for the removal, until deadline. **Threads:** any.
 * **Errors:** -ETIMEDOUT, or why something could not be removed; the rest of it stays.
 */
int tree_remove(const char *path, rn_time deadline) RN_MUST_CHECK;

#endif
