/** \file What an import is made into before it is taken into the store: a store of its own beside
 * it, closed, and what is known of it. Made on one thread, then read by the writer's. */
#ifndef STORE_PART_H
#define STORE_PART_H

#include "store/queues.h"

enum { PART_RUNNING_MAX = CONFIG_WORKERS_MAX }; // a daemon has no more workers

struct store_part {
    char *name;              // of the file
    uint64_t bytes;          // of it
    struct queues queues;    // with their settings and counts
    struct queue_key *first; // of each queue, by its number: the first queued task; id 0: none is
    bool *is_new;            // of each queue: the writer's; it was not there before
    uint64_t *running;       // ids
    size_t running_count;
    int64_t keys;
    int64_t tasks;
    int64_t first_id, highest_id; // of the tasks; 0: there are none
    int64_t last_id;              // that was ever given
    int64_t next_due_ms;          // or expiry; 0: none
};

/** As store_part_new, beside the store at path. */
int part_new(const char *path, int fd, const struct store_watch *watch,
             struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
    RN_MUST_CHECK;

#endif
