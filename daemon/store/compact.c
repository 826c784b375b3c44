/* The compaction of a store: a copy without what is free in it, which takes its place in one
 * rename. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/offline.h"
#include "store/place.h"

enum { COMPACT_ROOM_BYTES = 1 << 20 }; // beside the copy

static int failed(struct offline *offline, int r, const char *what, struct error *reterr)
{
    return error_set(reterr, r, "%s '%s': %s", what, offline->path,
                     offline->sqlite.db == NULL ? strerror(-r)
                                                : sqlite3_errmsg(offline->sqlite.db));
}

static int check_room(struct offline *offline, struct error *reterr)
{
    int64_t pages = 0;
    int64_t unused = 0;
    uint64_t free_bytes = 0;

    int r = sqlite_value(&offline->sqlite, "PRAGMA page_count", &pages);
    if (r == 0)
        r = sqlite_value(&offline->sqlite, "PRAGMA freelist_count", &unused);
    if (r < 0)
        return failed(offline, r, "cannot read the store", reterr);
    r = place_free_bytes(offline->path, &free_bytes);
    if (r < 0)
        return error_set(reterr, r, "cannot look for room beside the store '%s': %s", offline->path,
                         strerror(-r));
    uint64_t needed = (uint64_t)(pages - unused) * SQLITE_PAGE_BYTES + COMPACT_ROOM_BYTES;
    if (free_bytes >= needed)
        return 0;
    return error_set(reterr, -ENOSPC,
                     "the compacted copy of the store '%s' needs up to %llu MiB in its folder, and "
                     "%llu MiB are free: make room there",
                     offline->path, (unsigned long long)(needed >> 20),
                     (unsigned long long)(free_bytes >> 20));
}

static const char sound_sql[] = "SELECT integrity_check = 'ok' FROM pragma_integrity_check(1)";

/* The copy has all of its pages in order, and all tasks. What an index has wrong is copied too. */
static int check_copy(struct offline *offline, const char *part, int64_t tasks,
                      struct error *reterr)
{
    struct sqlite copy;
    int64_t copied = -1;
    int64_t is_sound = 0;
    int64_t was_sound = 1;

    int r = sqlite_open(&copy, part, SQLITE_READER, reterr);
    if (r < 0)
        return r;
    r = sqlite_value(&copy, sound_sql, &is_sound);
    if (r == 0)
        r = sqlite_value(&copy, "SELECT count(*) FROM tasks", &copied);
    sqlite_close(&copy);
    bool is_same = r == 0 && is_sound == 1 && copied == tasks;
    if (r == 0 && !is_same)
        r = sqlite_value(&offline->sqlite, sound_sql, &was_sound);
    if (r == -EBADMSG || was_sound != 1)
        return error_set(reterr, -EBADMSG, "the store '%s' is damaged: see runneld --check-store",
                         offline->path);
    if (!is_same)
        return error_set(reterr, r < 0 ? r : -EIO,
                         "the compacted copy '%s' is not what the store is: the store is as it was",
                         part);
    return 0;
}

/* The file that the copy goes into: as private as the store is. */
static int make_part(struct offline *offline, const char *part, int *ret_fd, struct error *reterr)
{
    struct stat status = {0};

    (void)unlink(part); // what was left by one that was killed
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 || stat(offline->path, &status) < 0 || fchmod(fd, status.st_mode & 0777) < 0) {
        int r = error_set(reterr, -errno, "cannot make '%s': %s", part, strerror(errno));
        if (fd >= 0)
            (void)close(fd); // nothing was written
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int copy_to(struct offline *offline, const char *part, struct error *reterr)
{
    sqlite3_stmt *statement = NULL;

    errno = 0;
    // What is sorted for the indices may be larger than the memory.
    int result = sqlite3_exec(offline->sqlite.db, "PRAGMA temp_store = FILE", NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(offline->sqlite.db, "VACUUM INTO ?1", -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_bind_text(statement, 1, part, -1, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    int r = sqlite_error(&offline->sqlite, result);
    if (r < 0)
        (void)failed(offline, r, "cannot compact the store", reterr);
    (void)sqlite3_finalize(statement); // tells the same error again
    return r;
}

/* Makes the copy, whole and synced. */
static int make_copy(struct offline *offline, const char *part, struct error *reterr)
{
    int64_t tasks = 0;
    int fd = -1;

    int r = sqlite_value(&offline->sqlite, "SELECT count(*) FROM tasks", &tasks);
    if (r < 0)
        return failed(offline, r, "cannot read the store", reterr);
    r = make_part(offline, part, &fd, reterr);
    if (r < 0)
        return r;
    r = copy_to(offline, part, reterr);
    if (r == 0)
        r = check_copy(offline, part, tasks, reterr);
    if (r == 0 && fsync(fd) < 0)
        r = error_set(reterr, -errno, "cannot sync '%s': %s", part, strerror(errno));
    (void)close(fd); // synced, or removed
    return r;
}

static uint64_t bytes_of(const char *path)
{
    struct stat status = {0};
    return stat(path, &status) < 0 ? 0 : (uint64_t)status.st_size;
}

static int compact(struct offline *offline, const char *part,
                   struct store_compaction *ret_compaction, struct error *reterr)
{
    int r = offline_end_log(offline, reterr);
    if (r == 0)
        r = check_room(offline, reterr);
    if (r < 0)
        return r;
    ret_compaction->bytes_before = bytes_of(offline->path);
    r = make_copy(offline, part, reterr);
    offline_let_go(offline);
    if (r == 0 && rename(part, offline->path) < 0)
        r = error_set(reterr, -errno, "cannot put '%s' in the store's place: %s", part,
                      strerror(errno));
    if (r < 0) {
        (void)unlink(part);
        return r;
    }
    ret_compaction->bytes_after = bytes_of(offline->path);
    r = place_sync(offline->path);
    return r < 0 ? failed(offline, r, "cannot sync the folder of the store", reterr) : 0;
}

int store_compact(const char *path, struct store_compaction *ret_compaction, struct error *reterr)
{
    struct offline offline;
    char *part = NULL;

    int r = offline_open(&offline, path, SQLITE_WRITER, reterr);
    if (r < 0)
        return r;
    if (asprintf(&part, "%s-compact.part", offline.path) < 0)
        part = NULL;
    r = part == NULL ? error_set(reterr, -ENOMEM, "no memory for the store")
                     : sqlite_judge(compact(&offline, part, ret_compaction, reterr), reterr);
    free(part);
    offline_close(&offline);
    return r;
}
