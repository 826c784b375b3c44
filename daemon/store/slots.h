/** \file
 * The running-slot file (…-running beside the store): what runs now, so that the next daemon knows
 * it after kill -9. A mapped file of 1,024 slots, its blocks reserved before ready; a slot costs no
 * system call. A worker sets its slot (task, run) before the start, the child of a command writes
 * its own pid there, or why it could not start, and it is cleared when the runner returns. Also
 * holds the rate limiters' levels.
 */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "observe/error.h"

enum { SLOTS_COUNT = 1024, SLOTS_LEVELS = 256 };

/** One running task. Written by its worker and, between vfork and exec, by the child: plain atomic
 * stores only. */
struct slot {
    _Atomic uint64_t task; // 0: free. Set last (release), cleared first.
    _Atomic uint64_t run;
    _Atomic int64_t pid;         // of the command's group leader; 0: none
    _Atomic uint64_t start_time; // of that process, /proc/PID/stat field 22; 0: not known yet
    // Why the child could not start the command: for its worker alone, nothing to a later daemon.
    _Atomic int32_t failure; // errno; 0: it could. Set last (release).
    _Atomic int32_t failed_step;
};

struct slots;

/** A free slot, taken until slots_give; -EAGAIN: all 1,024 are taken. Threads: any. */
int slots_take(struct slots *slots, struct slot **ret_slot) RN_MUST_CHECK;
void slots_give(struct slots *slots, struct slot *slot);
/** Before the start. */
void slot_set(struct slot *slot, uint64_t task, uint64_t run);
/** After the runner has returned: the slot stays taken, by its worker, but names nothing. */
void slot_clear(struct slot *slot);

/** A rate limiter's level over a restart: tokens at a wall-clock instant. -ENOENT: none kept for
 * this queue. */
void slots_level_set(struct slots *slots, const char *queue, double tokens, int64_t now_ms);
int slots_level_get(struct slots *slots, const char *queue, double *ret_tokens, int64_t *ret_at_ms);

#endif
