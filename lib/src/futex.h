/** \file The system's own sleep and wake-up, on a word of this process. */
#ifndef RUNNEL_SRC_FUTEX_H
#define RUNNEL_SRC_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <runnel/clock.h>
#include <runnel/error.h>

/** Sleeps while *word is value, at most until the deadline. false: the deadline passed; true: look
 * again, it may have been for nothing. Orders nothing. */
static inline bool rni_futex_wait(_Atomic uint32_t *word, uint32_t value, rn_time deadline)
{
    struct timespec until = {.tv_sec = 0};
    struct timespec *timeout = NULL;

    if (deadline != RN_NEVER) {
        if (deadline > 0) {
            until.tv_sec = deadline / RN_SECOND;
            until.tv_nsec = deadline % RN_SECOND;
        }
        timeout = &until;
    }
    // FUTEX_WAIT_BITSET takes an instant, on the monotonic clock; FUTEX_WAIT takes a length.
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, timeout, NULL,
                     FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN || errno == EINTR)
        return true;
    RN_ASSERT(errno == ETIMEDOUT);
    return false;
}

/** Wakes one thread that sleeps on the word, which may be gone by then. Is allowed in the handler
 * of a signal, which keeps errno itself. */
static inline void rni_futex_wake(_Atomic uint32_t *word)
{
    long r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    RN_ASSERT(r >= 0 || errno == EFAULT); // EFAULT: the word's memory has been unmapped meanwhile
}

#endif
