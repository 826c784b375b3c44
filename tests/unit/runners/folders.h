/** \file A folder for all tests of a program, and what they make in it. */
#ifndef TESTS_RUNNERS_FOLDERS_H
#define TESTS_RUNNERS_FOLDERS_H

#include <limits.h>
#include <stdbool.h>

extern char root[PATH_MAX / 2];

/** Setup and teardown of a group: the root, and a failure when anything has stayed in it. */
int make_root(void **state);
int remove_root(void **state);

/** A path below folder. Static: one at a time. */
const char *below(const char *folder, const char *name);
/** Empty. */
void make_file(const char *path);
/** A link is not followed. */
bool exists(const char *path);

#endif
