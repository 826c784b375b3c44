/** \file
 * The durable store: one interface, written so that SQLite fits today and PostgreSQL with several
 * daemons fits later.
 *
 * One writer thread with one connection writes and checkpoints. It gathers waiting operations (at
 * most 1,000 rows or 4 MiB; an operation is never split, a larger one is a group alone) into one
 * transaction, commits (WAL, synchronous=FULL), then updates the counters, then calls `events` for
 * what changed, then each operation's done_fn: in submission order (but for a backup, whose end
 * comes later), on the writer's thread. Neither may block nor wait for the store; they may submit
 * (not wait). Expected refusals are found by a SELECT before an operation's first write and are its
 * `result`; any other error rolls the group back and each operation is tried once alone.
 *
 * A sync that fails, and any SQLITE_IOERR of the writer, ends the process: _exit(74), nothing
 * closed, nothing answered. SQLITE_CORRUPT: _exit(65). A full disk: see store_is_full.
 *
 * Reads run on two reader threads with read-only connections (which never checkpoint).
 *
 * Ownership: an operation or read belongs to its submitter from before the submit until its done_fn
 * is called; the store keeps nothing of it afterwards.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <runnel/context.h>

#include "observe/metrics.h"
#include "store/check.h"
#include "store/record.h"
#include "store/slots.h"

/** What is said of a task that was cancelled by hand while it ran, by whoever ends it. */
extern const char store_cancelled_running[];

struct store;
struct store_op;
struct store_copy;
struct store_part;

enum store_op_type {
    STORE_PUT,    // store new tasks
    STORE_CLAIM,  // read the next queued tasks of a queue after a key (in SQLite it writes nothing)
    STORE_START,  // queued → running, on disk; where if_interrupted is "fail"
    STORE_FINISH, // an attempt has ended: to succeeded, failed, cancelled, retrying, or queued
                  // (drained)
    STORE_HOLD,   // queued → held: its kind is not configured
    STORE_CANCEL, // by hand
    STORE_RETRY,  // failed, cancelled → queued, by hand
    STORE_DELETE, // of finished ones
    STORE_PROMOTE, // scheduled, retrying → queued where due; waiting → cancelled (expired) where
                   // expires_at has passed
    STORE_QUEUE_SET, // a queue's overrides
    STORE_SWEEP,     // one slice of retention
    STORE_RELEASE,   // held → queued: kinds that are configured again
    STORE_BACKUP,    // a copy of the store, made between groups; answered when it is whole
    STORE_EDIT,      // other settings for a waiting one
    STORE_MANY,      // cancel, retry or delete of several, each as if it came alone
    STORE_IMPORT,    // all of an export, in one transaction
};

enum { STORE_MANY_MAX = 200 }; // tasks of one operation: no other one waits for more

/** What an edit sets: a set. What is not in it stays. */
enum store_edit_field {
    STORE_EDIT_QUEUE = 1 << 0,
    STORE_EDIT_KIND = 1 << 1,
    STORE_EDIT_PRIORITY = 1 << 2,
    STORE_EDIT_RUN_AT = 1 << 3, // due_at_ms: in the future the task is scheduled, else queued
    STORE_EDIT_EXPIRES_AT = 1 << 4,
    STORE_EDIT_MAX_ATTEMPTS = 1 << 5,
    STORE_EDIT_TIMEOUT = 1 << 6,
    STORE_EDIT_BACKOFF = 1 << 7,
    STORE_EDIT_TAGS = 1 << 8,
};

/** Idempotency-Key of a put. All of it is compared and written in the put's own transaction. */
struct store_key {
    char text[256];         // 1..255 visible characters
    unsigned char hash[32]; // of the whole request; of a stream: the running hash after this
                            // slice's last line
    bool is_stream;
    uint64_t lines_before;         // stream: lines stored under this key before this slice
    unsigned char hash_before[32]; // stream: the running hash there
};

enum { STORE_KEY_ARRAY_MAX = 100000 }; // tasks of an array, of any setting

/** What is stored under a key. */
struct store_key_state {
    bool exists;
    bool is_stream;
    unsigned char hash[32];
    uint64_t first_id, last_id, count; // of an array: first_id..last_id without a gap
    int64_t created_at_ms;
};

/** Overrides of a queue, above the file. */
struct store_queue_settings {
    bool has_workers, has_rate, has_burst;
    unsigned workers;
    char rate[32];
    unsigned burst;
    bool paused;
    int64_t paused_until_ms; // 0: until resume
};

/** How long finished tasks are kept: of each queue and final state. */
struct store_retention {
    int64_t keep_succeeded_ms, keep_failed_ms, keep_cancelled_ms;
    uint64_t keep_count;
    int64_t keep_keys_ms;
};

/** What a kind's configuration says of tasks that were running when the daemon died; false: the
 * kind is not configured. */
struct store_interruption_policy {
    bool retry;
    unsigned max_interruptions;
};
typedef bool store_policy_fn(void *arg, const char *kind,
                             struct store_interruption_policy *ret_policy);

struct store_exchange {
    uint64_t queues, tasks, keys;
};

typedef void store_done_fn(struct store_op *op, void *arg);
typedef bool store_wanted_fn(void *arg, const char *kind);

struct store_op {
    enum store_op_type type;
    store_done_fn *done_fn; // NULL: nobody waits
    void *arg;
    int result;     // set before done_fn: 0 or negative errno, see each
    int64_t now_ms; // wall clock that the operation writes; set by the submitter
    struct {
        struct store_op *next;
        size_t rows, bytes; // what it counts in a group
        bool is_settled;    // has its result without the disk
    } own;                  // the store's, from the submit until done_fn

    // clang-format off
    union {
        /* 0: records[i]->id, created_at_ms … are set. With a key that is there already and fits: replayed is set, key_state tells the ids,
         * nothing was written. -EEXIST: the key was used for another request. -ESTALE (stream): key_state.count is not lines_before: it
         * tells where the other one stands. -ENOSPC full disk, -ENOBUFS the backlog limit, -EAGAIN the WAL can't be reset, -ENOMEM.
         * After 0 the records may have been taken by the events callback (records[i] is NULL then), their ids are in ids_first + i:
         * the ids of one put are consecutive. */
        struct {
            struct record **records; size_t count; // owned by the op's owner; a record's state is SCHEDULED (due_at_ms in the future) or QUEUED
            const struct store_key *key;           // NULL: none; borrowed until done
            bool replayed; struct store_key_state key_state;
            uint64_t ids_first;
        } put;
        /* 0; rows (new; the done_fn takes them) in order, at most `limit`; none at all: nothing lies behind the key. Selected after the group's
         * commit, so that it sees all that the group's events tell, and answered after these events. */
        struct { char queue[CONFIG_NAME_MAX + 1]; bool has_after; struct queue_key after; size_t limit; struct record **rows; size_t count; } claim;
        /* 0; -ESTALE: it is not queued any more, or a cancel was recorded. record->run, started_at_ms, worker, attempt are written. */
        struct { struct record *record; } start;
        /* record: borrowed; all its attempt fields are written. A cancel recorded meanwhile makes it CANCELLED whatever `to` is.
         * record->state is set to what was stored. -ESTALE: the row is gone, final, or has a later run. Never refused otherwise: a full disk
         * uses the ballast; it stays with the store until it is stored. */
        /* is_followed: a task may follow this end (see store_follow_fn): the record is then whole, or its args are read again. */
        struct { struct record *record; enum task_state to; bool is_followed; } finish;
        /* -ESTALE: it is not queued any more, or a cancel was recorded */
        struct { uint64_t id; } hold;
        /* cancel, retry, delete: -ENOENT never given, -ENODATA removed, -ESTALE wrong state (`state` tells it).
         * cancel: state is CANCELLED: done (or was already); RUNNING: recorded, its context is to end. */
        struct { uint64_t id; enum task_state state; } one;
        /* at most `limit` rows; `more`: call again. next_due_ms: the earliest due or expiry left, 0: none. */
        struct { size_t limit; bool more; int64_t next_due_ms; } promote;
        struct { char queue[CONFIG_NAME_MAX + 1]; struct store_queue_settings settings; } queue_set;
        struct { const struct store_retention *retention; size_t limit; size_t removed; bool more; } sweep;
        /* at most `limit` tasks of kinds of which is_wanted says so (on the writer's thread; must not block); `more`: call again. */
        struct { store_wanted_fn *is_wanted; void *arg; size_t limit; size_t released; bool more; } release;
        /* record: borrowed; its fields that `fields` names are the task's from now on. -ENOENT, -ENODATA, -ESTALE as of cancel (`state` tells it,
         * RUNNING of one in flight); -EDOM: it would expire before it may start. A held one whose kind is set leaves that state: the kind has to
         * be a configured one. */
        struct { uint64_t id; const struct record *record; unsigned fields; enum task_state state; } edit;
        /* action: STORE_CANCEL, STORE_RETRY or STORE_DELETE of each of at most STORE_MANY_MAX ids (borrowed). changed: how many it did something
         * to, a cancel of one in flight included; skipped: the others. */
        struct { enum store_op_type action; const uint64_t *ids; size_t count; size_t changed, skipped; } many;
        /* 0: fd (new) is a file without a name in which the whole store stands, `bytes` long, as of a moment after the submit; what runs is in
         * it as after a kill -9. With is_read it is `copy` (new) in place of fd, for store_export_copy. is_abandoned (borrowed; NULL: never) is looked at every few milliseconds: -ECANCELED. -EBUSY: one is being
         * made. -ENOSPC: with what it leaves free for tasks it needs needed_bytes more, and free_bytes are there. -EPIPE the store stops.
         * Else as open and write. */
        struct { const _Atomic bool *is_abandoned; bool is_read; int fd; struct store_copy *copy; uint64_t bytes, needed_bytes, free_bytes; } backup;
        /* 0: all of part is stored, ids moved up by the highest that was given, or kept where none was (ids_kept); queues that were there keep
         * their settings; what ran is set as policy (on the writer's thread) says. first_id, last_id: of the tasks, 0: there are none. With is_dry
         * nothing is stored, and the rest is as it would be. key (NULL: none) is remembered until the next import with one: with the same key and
         * hash again replayed is set, all is as it was told then, nothing was written. -EEXIST: it was used for another import. -ENOTUNIQ: the
         * store has one of part's keys (taken_key). -ENOBUFS: the backlog limit. -EOVERFLOW: ids would be too large. -EBUSY: a backup is being
         * made. -ENOSPC, -EAGAIN, -ENOMEM as of put. part, key: borrowed. */
        struct {
            struct store_part *part; store_policy_fn *policy; void *policy_arg; const struct store_key *key; bool is_dry;
            bool replayed, ids_kept; struct store_exchange counts; uint64_t first_id, last_id; char taken_key[256];
            uint64_t base; // the store's own
        } import;
    };
    // clang-format on
};

enum store_event_type {
    STORE_EVENT_QUEUED,  // record is queued: put, promoted, retried, released. It may be taken:
                         // event->record = NULL then.
    STORE_EVENT_WAITING, // record became scheduled or retrying: due_at_ms tells until when; also a
                         // queued one with expires_at_ms
    STORE_EVENT_ENDED,   // record (id, queue, kind, state at least) is final
    STORE_EVENT_CANCEL_REQUESTED, // of a task in flight: record->id, queue
    STORE_EVENT_QUEUE_SET,        // queue, settings
    STORE_EVENT_REFUSED,          // of a finish that was -ESTALE: record->id is no longer in flight
    STORE_EVENT_GROUP_END,        // after the last event of a group: wake who must wake
    // Inside the transaction, before the operation's first write: take the task out of its window.
    // The answer is the call's result:
    STORE_EVENT_WITHDRAW, // 0: it was in the window (or behind the frontier), nobody will start it;
                          // -EBUSY: it is in flight
    STORE_EVENT_RESTORE,  // the group was rolled back: what WITHDRAW of this id removed goes back
    STORE_EVENT_SPACE,    // `full` tells: the disk is full / has room again
    STORE_EVENT_IMPORTED, // queue has got tasks: key is the first of the queued ones (its id is 0:
                          // none is), due_at_ms the earliest due or expiry of all of them (0:
                          // none), waiting how many of its own are to be started
    STORE_EVENT_ALIVE,    // an operation that takes long goes on; several times a second
};

struct store_event {
    enum store_event_type type;
    struct record *record;
    const char *queue;
    struct queue_key key; // WITHDRAW, RESTORE, IMPORTED
    int64_t due_at_ms;    // IMPORTED
    uint64_t waiting;     // IMPORTED
    const struct store_queue_settings *settings;
    bool was_running; // ENDED, QUEUED, WAITING: by a FINISH (the task was in flight; record is its
                      // operation's, not to be taken)
    bool full;
};

/** On the writer's thread. Only WITHDRAW's result counts. */
typedef int store_event_fn(void *arg, struct store_event *event);

/** A start that takes long is alive: `what` is under way, done of total (both 0: nobody knows).
 * Several times a second; on the opener's thread. */
typedef void store_progress_fn(void *arg, const char *what, uint64_t done, uint64_t total);

/**
 * What follows a task that has just ended as SUCCEEDED or FAILED: called in the transaction of that
 * end, on the writer's thread or in store_recover. It must not block nor call the store.
 *
 * @param ret_follow  new, QUEUED, or FAILED with an error where its args do not fit its kind; the
 * store sets id, parent, links and times. NULL: nothing follows.
 *
 * **Errors:** -ENOMEM: the end is not stored.
 */
typedef int store_follow_fn(void *arg, const struct record *ended, struct record **ret_follow);

struct store_options {
    const char *path;               // of the database file
    uint64_t max_backlog;           // of all waiting tasks
    store_event_fn *events;         // called only after store_start
    store_follow_fn *follow;        // NULL: nothing follows
    store_progress_fn *progress_fn; // NULL: nobody is told
    void *arg;                      // of all three
};

/**
 * Opens the store: the lock (…-lock), the running-slot file (…-running), the ballast (…-ballast),
 * the schema (made or migrated), the counters. Nothing runs yet. Kills the groups that the slot
 * file of a dead daemon names (at most 5 s).
 *
 * **Errors:** -EBUSY locked by another daemon (exit 73; reterr names pid and start time), -EBADMSG
 * not ours, corrupt, or of a newer version (exit 65), -EIO (74), -ENOSPC, -EACCES, -ENOENT …:
 * reterr says it in a sentence.
 */
int store_open(const struct store_options *options, struct store **ret_store, struct error *reterr)
    RN_MUST_CHECK;

struct store_recovery {
    uint64_t interrupted, requeued, failed, poisoned, cancelled,
        released; // released: held ones whose kind is back
};
/** In one transaction: counts the interruptions, sets what was running as the policy says, and
 * makes held tasks of configured kinds queued. Once, after open and before start. */
int store_recover(struct store *store, store_policy_fn *policy, void *arg,
                  struct store_recovery *ret_recovery, struct error *reterr) RN_MUST_CHECK;

/** Starts the writer and the readers. */
int store_start(struct store *store, struct error *reterr) RN_MUST_CHECK;
/** No more submits (they get -EPIPE); commits and answers what was submitted, checkpoints, ends the
 * threads. */
void store_stop(struct store *store);
void store_free(struct store *store);

/** Never blocks. -EAGAIN: the operation channel is full (half of it is kept for store_submit_wait);
 * -EPIPE stopped. On an error done_fn is not called. */
int store_submit(struct store *store, struct store_op *op) RN_MUST_CHECK;
/** The same for the engine's own operations: waits for room. Not from done_fn or events (there:
 * store_submit_internal). -EPIPE, or ctx's error. */
int store_submit_wait(rn_context *ctx, struct store *store, struct store_op *op) RN_MUST_CHECK;
/** From the writer's own thread (done_fn, events) and the engine's bounded ones (claim, promote,
 * sweep: at most one of each a queue at a time): put on a list of the writer's, never refused but
 * by -EPIPE. Threads: any. */
int store_submit_internal(struct store *store, struct store_op *op) RN_MUST_CHECK;

enum store_read_type { STORE_GET, STORE_LIST, STORE_KEY, STORE_QUEUE_AGE };

enum { STORE_LIST_FILTER_MAX = 16, STORE_LIST_EXAMINED_MAX = 10000 };

struct store_list_filter {
    unsigned states; // set of 1 << state; 0: any
    const char *queues[STORE_LIST_FILTER_MAX];
    size_t queue_count;
    const char *kinds[STORE_LIST_FILTER_MAX];
    size_t kind_count;
    const char *tags[STORE_LIST_FILTER_MAX];
    size_t tag_count; // any of them
    const char *error_codes[STORE_LIST_FILTER_MAX];
    size_t error_code_count;
    int64_t created_after_ms, created_before_ms;   // exclusive; 0: none
    int64_t finished_after_ms, finished_before_ms; // the same, of finished ones
};

struct store_read;
typedef void store_read_done_fn(struct store_read *read, void *arg);
struct store_read {
    enum store_read_type type;
    store_read_done_fn *done_fn; // on a reader's thread
    void *arg;
    int result;
    struct store_read *next; // the store's own
    // clang-format off
    union {
        /* -ENOENT never given; -ENODATA removed. with args (large ones too), result, exec, history; ids may be several (idempotent replay: 1). */
        struct { uint64_t id; struct record *record; } get;
        /* newest first, ids below `before` (0: from the newest). next_before: 0: the end is reached. with_bodies: args and result too. */
        struct { struct store_list_filter filter; uint64_t before; size_t limit; bool with_bodies; struct record **rows; size_t count; uint64_t next_before; } list;
        struct { char text[256]; struct store_key_state state; } key;
        /* when the oldest queued task of the queue became so; 0: none */
        struct { char queue[CONFIG_NAME_MAX + 1]; int64_t oldest_ms; } age;
    };
    // clang-format on
};
/** Never blocks; -EAGAIN more than 1,024 wait; -EPIPE stopped. */
int store_read(struct store *store, struct store_read *read) RN_MUST_CHECK;
/** The same for the engine's own, whose number is bounded: refused only by -EPIPE. */
int store_read_internal(struct store *store, struct store_read *read) RN_MUST_CHECK;

/** Counters, kept in memory and in the same transactions. Threads: any. Never blocks for the disk.
 */
struct store_queue_counts {
    char queue[CONFIG_NAME_MAX + 1];
    uint64_t states[TASK_STATE_COUNT]; // as on disk
    struct store_queue_settings settings;
};
/** Of every queue that has tasks or settings. The array is new (free). */
int store_counts(struct store *store, struct store_queue_counts **ret_counts, size_t *ret_count)
    RN_MUST_CHECK;
/** Changes max_backlog, for puts from now on. Threads: any. */
void store_set_max_backlog(struct store *store, uint64_t max_backlog);
/** Tasks that wait or run (not final), of all queues. */
uint64_t store_backlog(struct store *store);
/** The highest id given. */
uint64_t store_last_id(struct store *store);
/** 16 hex digits, random, made with the store. Static. */
const char *store_id(struct store *store);
bool store_is_full(struct store *store);
/** The running-slot table. */
struct slots *store_slots(struct store *store);
/** The instant of the earliest due or expiry at open, for the schedule; 0: none. */
int64_t store_next_due(struct store *store);

struct store_stats {
    uint64_t database_bytes, wal_bytes, free_disk_bytes;
    uint64_t ballast_bytes; // held back for a full disk; 0: given up, the disk is or was full
    uint64_t commits, operations, rows;
    uint64_t commit_p50_us, commit_p99_us, commit_max_us; // of the last 1,024 commits
    uint64_t ops_waiting, reads_waiting;
};
void store_stats(struct store *store, struct store_stats *ret_stats);
/** How long the commits took. Lives as long as the store. Threads: any. */
const struct metrics_histogram *store_commit_times(struct store *store);

/* ---- lines of a store that goes on ---- */

/** Asked several times a second by what takes long, on its thread: 0: it goes on; a negative errno:
 * it ends with that. Must not block. */
struct store_watch {
    int (*fn)(void *arg);
    void *arg;
};

/** Makes a file beside the store that has no name, for a body that comes or an answer that goes.
 * Threads: any. As open(2). */
int store_scratch(struct store *store, int *ret_fd) RN_MUST_CHECK;
/** Whether such a file may grow by so many bytes and something is left for tasks; -ENOSPC. Threads:
 * any. */
int store_scratch_room(int fd, uint64_t bytes) RN_MUST_CHECK;

/**
 * Writes the lines of a copy that STORE_BACKUP made with is_read: as store_export.
 *
 * @param watch  its errors are those of this
 *
 * **Blocking:** for as long as it takes. **Threads:** one at a time a copy; not the writer's.
 */
int store_export_copy(struct store_copy *copy, int fd, const struct store_watch *watch,
                      struct store_exchange *ret_counts, struct error *reterr) RN_MUST_CHECK;
void store_copy_free(struct store_copy *copy);

/** Tasks, and as many keys, that one operation may bring: it holds up all others for as long as it
 * takes. */
enum { STORE_IMPORT_TASKS_MAX = 1000000 };

/**
 * Makes of an export's lines what STORE_IMPORT takes: a store beside this one, whole and sound.
 *
 * @param fd            read from its beginning to its end; borrowed
 * @param watch         its errors are those of this
 * @param ret_bad_line  with -EBADMSG: the line that is broken, 0: all together are
 *
 * **Blocking:** for as long as it takes. **Threads:** one at a time; not the writer's.
 * **Errors:** -EBADMSG what is read makes no store; -E2BIG it has more than STORE_IMPORT_TASKS_MAX
 * tasks or keys, or more than 10,000 queues; -ENOMEM, -ENOSPC, -EIO; as open(2), read(2). reterr
 * says it in a sentence.
 */
int store_part_new(struct store *store, int fd, const struct store_watch *watch,
                   struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
    RN_MUST_CHECK;
/** Removes it from the disk too. */
void store_part_free(struct store_part *part);

/* ---- a store that no daemon has ---- */

/** What the file system of the store's folder is called ("NFS"), where the write-ahead log can't be
 * trusted to it; NULL: it can, or nobody knows. Static. The file need not be there. */
const char *store_unfit_file_system(const char *path);

/**
 * Where root asks: becomes the owner of the store's file, for good, so that nothing that is made
 * beside it is root's and the daemon can go on with it. Before any thread, and before the store is
 * opened.
 *
 * **Errors:** -EPERM: it belongs to somebody else, and this is not root; as stat(2), setresuid(2).
 */
int store_become_owner(const char *path, struct error *reterr) RN_MUST_CHECK;

/**
 * Writes all of a store as lines of JSON: a head, then each queue, task and Idempotency-Key. A file
 * of an older version is exported as it is.
 *
 * @param fd  where to; borrowed, not synced
 *
 * **Blocking:** for as long as writing all of it takes. **Errors:** as store_check; -EBADMSG also:
 * what it finds makes no sense; as write(2). Something may have been written then.
 */
int store_export(const char *path, int fd, struct store_exchange *ret_counts, struct error *reterr)
    RN_MUST_CHECK;

/**
 * Makes a store of an export: with its id, and all ids of tasks. The store must not be there yet,
 * or nothing may ever have been stored in it. The new one is made beside it, checked, synced and
 * put in its place: killed on the way or refused, it is as it was.
 *
 * @param fd  read to its end; borrowed
 *
 * **Blocking:** for as long as it takes. **Errors:** -EBUSY a daemon or another program has the
 * store (exit 73); -EEXIST there are tasks in it; -EBADMSG a line is broken: reterr names it, or
 * the store is none of Runnel's (65); -EIO (74); -ENOSPC; as read(2), open(2).
 */
int store_import(const char *path, int fd, struct store_exchange *ret_counts, struct error *reterr)
    RN_MUST_CHECK;

struct store_compaction {
    uint64_t bytes_before, bytes_after;
};

/**
 * Rewrites a store without what is free in it: into a file beside it, which is checked, synced and
 * put in its place. Killed on the way, the store is as it was.
 *
 * **Blocking:** for as long as writing all of it takes. **Errors:** as store_check; -EBUSY also:
 * another program has the file open; -ENOSPC: there is no room for the copy.
 */
int store_compact(const char *path, struct store_compaction *ret_compaction, struct error *reterr)
    RN_MUST_CHECK;

#endif
