/** \file
 * The reader threads: two read-only connections, which never checkpoint. One does the short reads
 * alone, so that a list, which may take a second, holds up other lists but no look at one task.
 */
#ifndef STORE_READER_H
#define STORE_READER_H

#include <runnel/sync.h>

#include "store/queues.h"
#include "store/sqlite.h"

enum { READERS = 2, READS_WAITING_MAX = 1024 };

struct read_list {
    struct store_read *first, *last;
};

struct readers;

struct reader {
    struct readers *readers;
    struct sqlite sqlite; // its thread's
    bool takes_lists;
    rn_time deadline; // of the read that runs
};

struct readers {
    struct queues *queues;           // the store's
    const _Atomic uint64_t *last_id; // the writer's
    struct reader each[READERS];
    rn_mutex mu;                         // rank 35
    rn_cond work RN_GUARDED_BY(mu);      // a short read, or closed
    rn_cond list_work RN_GUARDED_BY(mu); // any read, or closed: the reader that takes lists waits
    struct read_list quick RN_GUARDED_BY(mu);
    struct read_list lists RN_GUARDED_BY(mu);
    size_t count RN_GUARDED_BY(mu);
    bool closed RN_GUARDED_BY(mu);
};

void readers_init(struct readers *readers, struct queues *queues, const _Atomic uint64_t *last_id);
/** Opens the connections; the writer's is open and stays so. */
int readers_open(struct readers *readers, const char *path, struct error *reterr) RN_MUST_CHECK;
void readers_fini(struct readers *readers);
/** The thread of one reader (arg), until closed and all is answered. */
int reader_run(rn_context *ctx, void *arg);
/** As store_read; -EAGAIN: `limit` or more wait. */
int readers_submit(struct readers *readers, struct store_read *read, size_t limit) RN_MUST_CHECK;
void readers_close(struct readers *readers);
size_t readers_waiting(struct readers *readers);

/** Runs one list; of the reader's thread (list.c). */
int reader_list(struct reader *reader, struct store_read *read) RN_MUST_CHECK;
/** Reads a task with what is large of it: 1; 0: it is not there (any more). */
int reader_row(struct reader *reader, uint64_t id, bool with_bodies, struct record **ret_record)
    RN_MUST_CHECK;

#endif
