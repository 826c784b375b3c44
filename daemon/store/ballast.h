/** \file
 * The ballast: a file of real bytes beside the store, given up when the disk is full so that ends
 * of tasks can still be written, and filled again when there is room. One thread at a time.
 */
#ifndef STORE_BALLAST_H
#define STORE_BALLAST_H

#include <stdbool.h>

#include "observe/error.h"

enum { BALLAST_BYTES = 4 << 20 };

struct ballast {
    int fd; // -1: not open
    bool is_filled;
};

/** Opens or makes the file; it is not filled yet. */
int ballast_open(struct ballast *ballast, const char *path, struct error *reterr) RN_MUST_CHECK;
/** Fills it: 0, and also where it is full already. -ENOSPC: no room, and nothing is held. Another
 * errno: the disk fails. */
int ballast_fill(struct ballast *ballast) RN_MUST_CHECK;
/** Gives its room back to the file system. */
void ballast_release(struct ballast *ballast);
void ballast_close(struct ballast *ballast);

#endif
