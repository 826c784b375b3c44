/** \file
 * Faults on purpose: makes the nth call of a function fail, counted from now, once or for good.
 *
 * A test of something that can fail runs the loop "fail the 1st, the 2nd, …", until a round in
 * which nothing was left to fail:
 *
 *     for (int nth = 1;; nth++) {
 *         fault_fail_malloc(nth);
 *         int r = thing_new(&thing);
 *         if (!fault_reached())
 *             break; // r is 0 here
 *         // r is -ENOMEM here
 *     }
 *
 * The tests are linked with --wrap, so the calls of the code under test are counted, those inside
 * other libraries are not. All threads count together. One fault of each kind can be set at a time.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stdbool.h>

/** What can be made to fail; the allocating functions are one kind. */
enum fault_call {
    FAULT_MALLOC, // malloc, calloc, realloc, strdup: NULL and ENOMEM
    FAULT_PTHREAD_CREATE,
    FAULT_EVENTFD,
    FAULT_WRITE,
    FAULT_FSYNC, // fsync and fdatasync
    FAULT_FTRUNCATE,
    FAULT_POSIX_FALLOCATE,
    FAULT_MMAP,
    FAULT_OPEN,
    FAULT_FORK,
    FAULT_GETRANDOM,
    FAULT_SOCKET,
    FAULT_BIND,
    FAULT_LISTEN,
    FAULT_FCHMOD,
    FAULT_CHMOD,
    FAULT_CHOWN,
    FAULT_FLOCK,
    FAULT_ACCEPT4,
    FAULT_RENAMEAT2,
    FAULT_LINKAT,
    FAULT_CALL_COUNT,
};

/** Makes the nth call from now, from 1, fail with error (an errno above 0), once. */
void fault_fail(enum fault_call call, int nth, int error);

/** Makes the nth call from now and all later ones fail with error, until fault_reset(). */
void fault_fail_from(enum fault_call call, int nth, int error);

/** fault_fail(FAULT_MALLOC, nth, ENOMEM). */
void fault_fail_malloc(int nth);

/** fault_fail(FAULT_PTHREAD_CREATE, nth, EAGAIN). */
void fault_fail_pthread_create(int nth);

/**
 * Says whether a fault has struck since the last fault_fail…() or fault_reset(), and takes back all
 * faults, so that what follows in the test does not fail.
 */
bool fault_reached(void);

/** From now on statfs tells this type of file system (0: the real one) and so much room (0: the
 * real one), until fault_reset(). */
void fault_file_system(unsigned long type, unsigned long long bytes);

/** Takes back all faults, and forgets whether one has struck. */
void fault_reset(void);

/** Counts the calls since the last fault_reset(). */
int fault_calls(enum fault_call call);

#endif
