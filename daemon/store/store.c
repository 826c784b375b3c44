/* The store as a whole: opening in order, starting, stopping, and the calls that only pass on. */
#include "store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <runnel/group.h>

#include "observe/log.h"
#include "store/apply.h"
#include "store/disk.h"
#include "store/leftovers.h"
#include "store/lock.h"
#include "store/part.h"
#include "store/place.h"
#include "store/reader.h"
#include "store/recover.h"
#include "store/schema.h"
#include "store/scratch.h"

struct store {
    char *path;      // of the file itself, links resolved: the other files lie beside it
    char *directory; // of the file
    char id[17];
    int lock_fd;
    int64_t next_due_ms;                 // at open
    const struct store_options *options; // the caller's; while it is opened
    store_event_fn *events;
    struct slots *slots;
    struct queues queues;
    struct writer writer;
    struct readers readers;
    rn_group *threads; // from store_start to store_stop
};

static int no_memory(struct error *reterr)
{
    return error_set(reterr, -ENOMEM, "no memory for the store");
}

/* path-suffix, on the heap; NULL: no memory. */
static char *beside(const char *path, const char *suffix)
{
    char *name = NULL;
    return asprintf(&name, "%s-%s", path, suffix) < 0 ? NULL : name;
}

/* Makes the file where there is none, for the owner alone, and finds its real place. */
static int find_file(struct store *store, const char *path, struct error *reterr)
{
    // Closed before SQLite opens it: closing any descriptor of the file would give up SQLite's
    // locks.
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot open the store '%s': %s", path, strerror(errno));
    (void)close(fd); // nothing was written
    store->path = realpath(path, NULL);
    if (store->path == NULL)
        return error_set(reterr, -errno, "cannot find the store '%s': %s", path, strerror(errno));
    const char *slash = strrchr(store->path, '/');
    RN_ASSERT(slash != NULL); // realpath gives an absolute path
    store->directory =
        strndup(store->path, slash == store->path ? 1 : (size_t)(slash - store->path));
    return store->directory == NULL ? no_memory(reterr) : 0;
}

const char *store_unfit_file_system(const char *path)
{
    char *real = realpath(path, NULL);
    const char *name = place_unfit(real == NULL ? path : real); // it may have to be made yet
    free(real);
    return name;
}

/* It may work for a long time, so it is no reason to refuse. */
static void warn_of_file_system(const struct store *store)
{
    const char *name = place_unfit(store->path);

    if (name != NULL)
        log_event(LOG_LEVEL_WARN, "store_file_system", LOG_TEXT("store", store->path),
                  LOG_TEXT("type", name),
                  LOG_TEXT("error", "its locks and shared memory can't be trusted: tasks may be "
                                    "lost; use a local disk"));
}

static int take_lock(struct store *store, struct error *reterr)
{
    char *path = beside(store->path, "lock");
    int r = path == NULL ? no_memory(reterr) : lock_take(path, &store->lock_fd, reterr);
    free(path);
    return r;
}

static int open_ballast(struct store *store, struct error *reterr)
{
    char *path = beside(store->path, "ballast");
    int r =
        path == NULL ? no_memory(reterr) : ballast_open(&store->writer.disk.ballast, path, reterr);
    free(path);
    return r;
}

static int open_slots(struct store *store, struct error *reterr)
{
    char *path = beside(store->path, "running");
    int r = path == NULL ? no_memory(reterr) : slots_open(path, store->id, &store->slots, reterr);
    free(path);
    return r;
}

static int open_database(struct store *store, struct error *reterr)
{
    int r = sqlite_open(&store->writer.sqlite, store->path, SQLITE_WRITER, reterr);
    if (r == 0)
        r = schema_open(&store->writer.sqlite, store->path, store->options, reterr);
    if (r < 0)
        sqlite_close(&store->writer.sqlite);
    return r;
}

/* The counters, the next id, the next due time. */
static int load(struct store *store, struct error *reterr)
{
    struct writer *writer = &store->writer;
    struct sqlite *sqlite = &writer->sqlite;
    int64_t lowest = 0;
    int64_t highest = 0;
    int64_t given = 0;

    int r = sqlite_prepare(sqlite, SQLITE_WRITER, reterr);
    if (r == 0)
        r = schema_store_id(sqlite, store->id, reterr);
    if (r < 0)
        return r;
    r = queues_load(&store->queues, sqlite);
    if (r == 0)
        r = sqlite_value(sqlite, "SELECT coalesce(min(id), 1) FROM tasks", &lowest);
    if (r == 0)
        r = sqlite_value(sqlite, "SELECT coalesce(max(id), 0) FROM tasks", &highest);
    if (r == 0)
        r = sqlite_value(sqlite,
                         "SELECT iif(typeof(value) = 'integer', value, -1) FROM meta "
                         "WHERE name = 'last_id'",
                         &given);
    if (r == 0 && (lowest < 1 || highest > RECORD_ID_MAX || given < 0 || given > RECORD_ID_MAX))
        r = -EBADMSG;
    if (r == 0)
        r = apply_next_due(sqlite, 0, &store->next_due_ms);
    if (r < 0)
        return error_set(reterr, r, "cannot read the store: %s", sqlite_message(sqlite));
    uint64_t last_id = (uint64_t)(highest > given ? highest : given);
    atomic_store(&writer->last_id, last_id);
    writer->group.next_id = last_id + 1;
    return 0;
}

/* Once more with the ballast's room where the disk is full. */
static int with_room(struct store *store, int (*step)(struct store *store, struct error *reterr),
                     struct error *reterr)
{
    int r = step(store, reterr);
    if (r != -ENOSPC || !store->writer.disk.ballast.is_filled)
        return r;
    disk_full(&store->writer);
    return step(store, reterr);
}

static int open_all(struct store *store, const char *path, struct error *reterr)
{
    size_t left_count = 0;

    int r = find_file(store, path, reterr);
    if (r == 0)
        r = take_lock(store, reterr);
    if (r == 0)
        warn_of_file_system(store);
    if (r == 0)
        r = open_ballast(store, reterr);
    if (r == 0)
        scratch_drop_left(store->path);
    if (r == 0)
        r = with_room(store, open_database, reterr);
    if (r == 0)
        r = load(store, reterr);
    if (r == 0)
        r = with_room(store, open_slots, reterr);
    if (r < 0)
        return r;
    const struct slot_left *left = slots_left(store->slots, &left_count);
    leftovers_kill(left, left_count);

    if (!store->writer.disk.is_full) {
        r = ballast_fill(&store->writer.disk.ballast);
        if (r == -ENOSPC)
            disk_full(&store->writer);
        else if (r < 0)
            return error_set(reterr, r, "cannot fill the ballast: %s", strerror(-r));
    }
    return 0;
}

int store_open(const struct store_options *options, struct store **ret_store, struct error *reterr)
{
    RN_ASSERT(options != NULL && options->path != NULL);
    RN_ASSERT(ret_store != NULL);
    // Counting SQLite's memory takes a lock at every allocation. Refused where SQLite runs already:
    // then it was said before.
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return no_memory(reterr);
    store->lock_fd = -1;
    store->events = options->events;
    store->options = options;
    queues_init(&store->queues);
    writer_init(&store->writer, &store->queues, options);
    readers_init(&store->readers, &store->queues, &store->writer.last_id);
    int r = sqlite_judge(open_all(store, options->path, reterr), reterr);
    store->options = NULL;
    if (r < 0) {
        store_free(store);
        return r;
    }
    *ret_store = store;
    return 0;
}

int store_recover(struct store *store, store_policy_fn *policy, void *arg,
                  struct store_recovery *ret_recovery, struct error *reterr)
{
    RN_ASSERT(store->threads == NULL);
    int r = recover(&store->writer, store->slots, policy, arg, ret_recovery, reterr);
    if (r == -ENOSPC && store->writer.disk.ballast.is_filled) {
        disk_full(&store->writer);
        r = recover(&store->writer, store->slots, policy, arg, ret_recovery, reterr);
    }
    if (r == 0)
        slots_forget(store->slots);
    return sqlite_judge(r, reterr);
}

/* The names of the files are on the disk: SQLite ignores it when this fails. */
static int sync_directory(struct store *store, struct error *reterr)
{
    int r = place_sync(store->path);
    return r < 0 ? error_set(reterr, r, "cannot sync the store's folder '%s': %s", store->directory,
                             strerror(-r))
                 : 0;
}

static void join(struct store *store)
{
    inbox_close(&store->writer.inbox);
    readers_close(&store->readers);
    if (store->threads != NULL)
        (void)rn_group_wait(store->threads); // its functions give 0
    rn_group_free(RN_TAKE(store->threads));
}

int store_start(struct store *store, struct error *reterr)
{
    static const char *const names[READERS] = {"reader-1", "reader-2"};

    RN_ASSERT(store->threads == NULL);
    int r = sqlite_judge(readers_open(&store->readers, store->path, reterr), reterr);
    if (r == 0)
        r = sync_directory(store, reterr);
    if (r < 0)
        return r;
    disk_watch(&store->writer);
    store->writer.events = store->events;
    r = rn_group_new(NULL, &store->threads);
    for (unsigned i = 0; i < READERS && r == 0; i++)
        r = rn_group_go(store->threads, names[i], reader_run, &store->readers.each[i]);
    if (r == 0)
        r = rn_group_go(store->threads, "writer", writer_run, &store->writer);
    if (r < 0) {
        join(store);
        return error_set(reterr, r, "cannot start the store's threads: %s", rn_strerror(r));
    }
    return 0;
}

void store_stop(struct store *store)
{
    if (store->threads == NULL)
        return;
    join(store);
    store->writer.events = NULL;
    disk_close(&store->writer);
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    RN_ASSERT(store->threads == NULL);
    readers_fini(&store->readers);
    writer_fini(&store->writer);
    queues_fini(&store->queues);
    slots_close(store->slots);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd); // last: from here on another may have it
    free(store->path);
    free(store->directory);
    free(store);
}

int store_submit(struct store *store, struct store_op *op)
{
    return inbox_put(&store->writer.inbox, op, INBOX_CAPACITY / 2);
}

int store_submit_wait(rn_context *ctx, struct store *store, struct store_op *op)
{
    return inbox_put_wait(ctx, &store->writer.inbox, op);
}

int store_submit_internal(struct store *store, struct store_op *op)
{
    return inbox_put(&store->writer.inbox, op, SIZE_MAX);
}

int store_read(struct store *store, struct store_read *read)
{
    return readers_submit(&store->readers, read, READS_WAITING_MAX);
}

int store_read_internal(struct store *store, struct store_read *read)
{
    return readers_submit(&store->readers, read, SIZE_MAX);
}

int store_counts(struct store *store, struct store_queue_counts **ret_counts, size_t *ret_count)
{
    return queues_counts(&store->queues, ret_counts, ret_count);
}

void store_set_max_backlog(struct store *store, uint64_t max_backlog)
{
    atomic_store_explicit(&store->writer.max_backlog, max_backlog, memory_order_relaxed);
}

uint64_t store_backlog(struct store *store)
{
    return atomic_load(&store->queues.backlog);
}

uint64_t store_last_id(struct store *store)
{
    return atomic_load(&store->writer.last_id);
}

int store_scratch(struct store *store, int *ret_fd)
{
    return scratch_open(store->path, SCRATCH_LINES, ret_fd);
}

int store_part_new(struct store *store, int fd, const struct store_watch *watch,
                   struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
{
    return part_new(store->path, fd, watch, ret_part, ret_bad_line, reterr);
}

int store_scratch_room(int fd, uint64_t bytes)
{
    uint64_t needed = 0;
    uint64_t free_bytes = 0;
    return scratch_has_room(fd, bytes, &needed, &free_bytes) ? 0 : -ENOSPC;
}

const char *store_id(struct store *store)
{
    return store->id;
}

bool store_is_full(struct store *store)
{
    return atomic_load(&store->writer.is_full);
}

struct slots *store_slots(struct store *store)
{
    return store->slots;
}

int64_t store_next_due(struct store *store)
{
    return store->next_due_ms;
}

static uint64_t file_bytes(const char *path)
{
    struct stat status = {0};
    return path != NULL && stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int compare_lengths(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

void store_stats(struct store *store, struct store_stats *ret_stats)
{
    struct commit_stats *commits = &store->writer.stats;
    struct store_stats stats = {0};
    uint32_t lengths_us[COMMITS_KEPT];
    struct statvfs disk = {0};
    struct stat ballast = {0};

    rn_mutex_lock(&commits->mu);
    stats.commits = commits->commits;
    stats.operations = commits->operations;
    stats.rows = commits->rows;
    memcpy(lengths_us, commits->lengths_us, sizeof(lengths_us));
    rn_mutex_unlock(&commits->mu);
    size_t count = stats.commits < COMMITS_KEPT ? (size_t)stats.commits : COMMITS_KEPT;
    if (count > 0) {
        qsort(lengths_us, count, sizeof(lengths_us[0]), compare_lengths);
        stats.commit_p50_us = lengths_us[count / 2];
        stats.commit_p99_us = lengths_us[count * 99 / 100];
        stats.commit_max_us = lengths_us[count - 1];
    }
    char *log = beside(store->path, "wal");
    stats.wal_bytes = file_bytes(log);
    free(log);
    stats.database_bytes = file_bytes(store->path);
    if (statvfs(store->directory, &disk) == 0)
        stats.free_disk_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    // Its descriptor is set before the threads start and closed after they have ended.
    if (fstat(store->writer.disk.ballast.fd, &ballast) == 0)
        stats.ballast_bytes = (uint64_t)ballast.st_size;
    stats.ops_waiting = inbox_count(&store->writer.inbox);
    stats.reads_waiting = readers_waiting(&store->readers);
    *ret_stats = stats;
}

const struct metrics_histogram *store_commit_times(struct store *store)
{
    return &store->writer.stats.times;
}
