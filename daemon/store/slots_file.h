/** \file The running-slot file as the store opens it and reads what a dead daemon left in it.
 * Before any worker runs: one thread. */
#ifndef STORE_SLOTS_FILE_H
#define STORE_SLOTS_FILE_H

#include <stddef.h>

#include "store/slots.h"

/** A slot that named a task when its daemon died. */
struct slot_left {
    uint64_t task, run;
    int64_t pid;         // 0: no process of its own, or of another boot
    uint64_t start_time; // 0: not known
};

/**
 * Opens and maps the file, or makes it. One of another store, or none of ours, is made anew.
 *
 * **Errors:** -ENOSPC its blocks can't be reserved; others as open and mmap.
 */
int slots_open(const char *path, const char *store_id, struct slots **ret_slots,
               struct error *reterr) RN_MUST_CHECK;
/** Unmaps it; what it says stays. NULL is allowed. */
void slots_close(struct slots *slots);
/** What the file named when it was opened: the array is the slots' own. */
const struct slot_left *slots_left(const struct slots *slots, size_t *ret_count);
/** After the interruptions were counted: nothing runs. */
void slots_forget(struct slots *slots);

#endif
