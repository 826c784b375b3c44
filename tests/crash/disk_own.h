/** \file What the recording of the disk and the images made of it have in common. */
#ifndef TESTS_CRASH_DISK_OWN_H
#define TESTS_CRASH_DISK_OWN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "disk.h"

enum {
    NAME_MAX_BYTES = 64,
    NAMES_MAX = 64,
    FILES_MAX = 1024,
    FDS_MAX = 4096,
    OF_NOTHING = -1, // what a descriptor is of that is not recorded
    OF_FOLDER = -2,
};

enum entry_type { WRITTEN, RESIZED, SYNCED, LIED, NAMED, UNNAMED, MOVED, FOLDER_SYNCED };

struct entry {
    enum entry_type type;
    unsigned file;
    size_t offset, bytes; // RESIZED: offset is the new size
    unsigned char *data;
    char name[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
};

struct names {
    struct {
        char name[NAME_MAX_BYTES];
        unsigned file;
    } each[NAMES_MAX];
    size_t count;
};

/** What was recorded. Under its lock, while it is on. */
struct disk {
    pthread_mutex_t mu;
    bool is_on;
    char folder[256];
    struct entry *entries;
    size_t count, capacity;
    struct names names; // as the program sees them
    unsigned file_count;
    char lied_about[NAME_MAX_BYTES];
    int files_of[FDS_MAX]; // one more than the file, so that 0 is OF_NOTHING
};
extern struct disk disk;

/** Ends the process, with what is not so, unless it is. */
void disk_expect(bool is_so, const char *what);
/** The array with room for one more. */
void *disk_grown(void *array, size_t count, size_t *capacity, size_t size);
/** The count: there is none of that name. */
size_t disk_find_name(const struct names *names, const char *name);
void disk_change_names(struct names *names, const struct entry *entry);
/** Images begin with the beginning of the recording again. */
void disk_go_back(void);

#endif
