/** \file
 * A disk that forgets: records what a program does to the files of one folder, and then makes the
 * folder as a power cut would have left it at any moment.
 *
 * The program's own open, pwrite, ftruncate, fsync, rename, … stand in front of the C library's,
 * for the store and for the SQLite that it is linked with. What they do is done, and written down
 * in order. A write is on the disk for certain once its file was synced; a name that was made,
 * moved or removed, once the folder was. Of what was not synced any part may be there: sectors each
 * by itself, the length without the content, names in their order. Shared memory (…-shm) is no file
 * that a start reads, and what is written through a mapping is not seen: it is as if it never
 * reached the disk.
 *
 * A program that is linked with this syncs nothing in earnest. One recording at a time; the calls
 * below are for one thread, the recorded ones for any.
 */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H

#include <stddef.h>
#include <stdint.h>

/** What becomes of that which was not synced. */
enum disk_loss {
    DISK_NONE,      // nothing of it is there
    DISK_ALL,       // all of it
    DISK_SECTORS,   // any sectors of 512 bytes
    DISK_BLOCKS,    // any of 4 KiB
    DISK_TORN,      // all up to some moment, of the last write its first sectors alone
    DISK_LENGTHS,   // the files have their lengths, where they grew they are empty
    DISK_REORDERED, // any sectors, in any order
    DISK_LEFTOVERS, // any sectors; where the files grew otherwise, what lay on the disk before
    DISK_LOSS_COUNT,
};
/** "none", "all", … Static. */
const char *disk_loss_name(enum disk_loss loss);

/** A small generator, so that a seed makes the same everywhere. *random is never 0. */
uint32_t disk_random(uint32_t *random, uint32_t below);

/** Begins a recording: what the folder has now is on the disk. */
void disk_begin(const char *folder);
/** Ends it: nothing more is written down. */
void disk_end(void);
/** How many things were written down: a moment. Threads: any. */
size_t disk_now(void);
/** How often the file of this name was synced, in earnest or not. Threads: any. */
unsigned disk_syncs(const char *name);
/** From now on syncs of the file of this name do nothing; NULL: of none. For a disk that lies. */
void disk_lie_about(const char *name);

/** The first moment from `from` on at which a sync is about to happen; SIZE_MAX: none. */
size_t disk_next_sync(size_t from);
/** Empties the folder, and fills it as a power cut at that moment might have left the recorded
 * one. */
void disk_make_image(const char *folder, size_t moment, enum disk_loss loss, uint32_t *random);
/** Removes the files of a folder. */
void disk_empty(const char *folder);
/** Gives back what disk_begin and what followed it took. */
void disk_forget(void);

#endif
