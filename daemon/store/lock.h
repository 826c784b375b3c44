/** \file
 * The lock that lets one daemon only have a store: a POSIX lock on a file of its own, opened once
 * and never removed. It goes when the process does, however that ends.
 */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include "observe/error.h"

/**
 * Takes the lock and writes into the file who has it.
 *
 * @param ret_fd  keep it open: closing any descriptor of the file gives the lock up
 *
 * **Errors:** -EBUSY: reterr names the process and since when it runs; others as open.
 */
int lock_take(const char *path, int *ret_fd, struct error *reterr) RN_MUST_CHECK;

#endif
