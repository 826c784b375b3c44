/** \file A VFS for SQLite that goes through to the real one, and fails on demand: no room, a sync
 * that fails, damage. */
#ifndef TESTS_STORE_FAULT_VFS_H
#define TESTS_STORE_FAULT_VFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** What it does now. Any thread may change it at any time. */
struct fault_vfs {
    _Atomic int64_t room;           // bytes that the files may still grow by; negative: no bound
    _Atomic int fail_sync;          // of the nth xSync from now, from 1; 0: none
    _Atomic int fail_write;         // the same of xWrite
    _Atomic int fail_shared_memory; // the same of xShmMap, with ENOSPC as the system's error
    _Atomic int damage;             // nth xRead from now says that the file is damaged
    _Atomic int syncs;              // done so far
};
extern struct fault_vfs fault_vfs;

/** Makes it the default, before the first store is opened. */
void fault_vfs_install(void);
/** Nothing fails. */
void fault_vfs_reset(void);

/** Counts SQLite's allocations from here on and lets the nth (or all from the nth on) fail. Before
 * the first store is opened. */
void fault_memory_install(void);
void fault_memory_fail(int nth);
void fault_memory_fail_from(int nth);
/** How many have failed; takes the fault back. */
int fault_memory_reset(void);
int fault_memory_failed(void);

/** Whose allocations fail. A test of both runs its loop once for each. */
enum fault_heap { HEAP_OURS, HEAP_OF_SQLITE, HEAP_COUNT };
/** Makes the nth one from now fail. */
void fault_heap_fail(enum fault_heap heap, int nth);
/** Says whether it has, and takes the fault back. */
bool fault_heap_reached(enum fault_heap heap);

/** The teardown of a test in whose fixture anything was made to fail: nothing does any more. */
int fault_teardown(void **state);

#endif
