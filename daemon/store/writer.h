/** \file
 * The writer: the one thread and the one connection that write and checkpoint. What is here belongs
 * to that thread (before store_start and after the join: to the thread that opens and stops), but
 * for the inbox and the statistics, which have their own locks.
 *
 * A group: take what waits → BEGIN → apply each → counts → COMMIT → counters → events → done_fns.
 * writer.c runs it, group.c holds what the events will tell, apply*.c does the operations, disk.c
 * keeps the log, the free pages and the ballast.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "observe/metrics.h"
#include "store/ballast.h"
#include "store/inbox.h"
#include "store/queues.h"
#include "store/sqlite.h"

enum {
    GROUP_ROWS_MAX = 1000,
    GROUP_BYTES_MAX = 4 << 20,
    COMMITS_KEPT = 1024, // whose times stats tell
};

/** What an event will tell after the commit. */
struct change {
    enum store_event_type type; // of a put: any; its records tell
    struct store_op *op;
    struct record *record; // owned; NULL: the operation's own
};

/** A task that the engine has taken out of its window for an operation of this group. */
struct withdrawn {
    const char *queue; // of the queue's row
    struct queue_key key;
};

/** The open transaction. */
struct group {
    struct change *changes;
    size_t change_count, change_capacity;
    struct withdrawn *withdrawn;
    size_t withdrawn_count, withdrawn_capacity;
    uint64_t next_id; // of the next new task
    bool deleted;     // rows: last_id is to be written
    bool held;        // a task, whose flight ends when that is answered
};

struct commit_stats {
    rn_mutex mu; // rank 35
    uint64_t commits RN_GUARDED_BY(mu);
    uint64_t operations RN_GUARDED_BY(mu);
    uint64_t rows RN_GUARDED_BY(mu);
    uint32_t lengths_us[COMMITS_KEPT] RN_GUARDED_BY(mu); // of the last, in a ring
    struct metrics_histogram times;                      // of all; read without the lock
};

/** The state of log, free pages and disk. */
struct disk {
    struct ballast ballast;
    bool is_full;        // nothing but ends is written
    int frames;          // in the write-ahead log, as of the last commit
    int checkpoint_at;   // frames at which the next checkpoint is due
    bool has_frames;     // that are not in the file yet
    bool has_free_pages; // perhaps
    bool log_is_stuck;   // at its bound, held by a reader
    uint64_t free_bytes; // on the disk, as of looked_at
    rn_time looked_at;
    uint64_t put_bytes;   // of the puts in the open group
    rn_time written_at;   // when the last commit ended
    rn_time try_again_at; // deferred operations, ballast, stuck log; RN_NEVER: none
};

/** The backup that is under way: see backup.h. */
struct backup {
    struct store_op *op; // NULL: none is
    sqlite3 *copy;
    sqlite3_backup *pages;
    int fd;                    // of the copy
    struct store_copy *reader; // of the copy, for an export; NULL: it is a backup
    rn_time begun_at;
};

struct writer {
    struct sqlite sqlite;
    struct queues *queues; // the store's
    store_event_fn *events;
    store_follow_fn *follow; // NULL: nothing follows
    void *arg;               // of events and follow
    _Atomic uint64_t max_backlog;
    struct inbox inbox;
    struct group group;
    struct disk disk;
    struct backup backup;
    struct op_list deferred;  // wait for room on the disk, or for memory
    bool is_failing;          // said so in the log
    bool is_stopping;         // nothing is deferred any more
    _Atomic uint64_t last_id; // the highest given, as committed
    _Atomic bool is_full;     // disk.is_full, for other threads
    struct commit_stats stats;
};

void writer_init(struct writer *writer, struct queues *queues, const struct store_options *options);
void writer_fini(struct writer *writer);
/** The thread, until the inbox is closed and empty. */
int writer_run(rn_context *ctx, void *arg);

/** Tells the engine; 0 where nobody listens. */
int writer_tell(struct writer *writer, struct store_event *event);
/** Ends the process where the result says that the disk or the file can't be trusted: _exit(74),
 * _exit(65). Else nothing. */
void writer_judge(struct writer *writer, int r, const char *what);

#endif
