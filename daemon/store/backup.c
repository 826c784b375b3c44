/*
 * SQLite brings what this connection commits into the pages that are copied already, and lets
 * checkpoints happen between two slices: the copy is the store as of the last slice, whatever was
 * committed since the first.
 *
 * The copy loses its name as soon as it is open, so that its room goes back to the disk however
 * this ends. It has no journal and is not synced: one that is not whole is never read.
 *
 * Its faults are not the store's: nothing here ends the process or gives up the ballast. It stops
 * before the disk is full, so that no task is refused for it.
 */
#include "store/backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "observe/log.h"

enum { PIECE_PAGES = 32, COPY_CACHE_KIB = 2048 };
#define SLICE (2 * RN_MILLISECOND)

static const uint64_t room_bytes = UINT64_C(16) << 20; // left free for the tasks that come

static char *part_name(const char *path)
{
    char *name = NULL;
    return asprintf(&name, "%s-backup.part", path) < 0 ? NULL : name;
}

void backup_drop_left(const char *path)
{
    char *part = part_name(path);
    if (part != NULL)
        (void)unlink(part); // where it stays, the next backup begins with removing it
    free(part);
}

bool backup_is_under_way(const struct writer *writer)
{
    return writer->backup.op != NULL;
}

static int copy_error(struct backup *backup, int result)
{
    struct sqlite copy = {.db = backup->copy};
    return sqlite_error(&copy, result);
}

/* Makes the file, opens it, and takes its name away. */
static int open_copy(struct backup *backup, const char *part)
{
    (void)unlink(part); // what a killed daemon left
    backup->fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (backup->fd < 0)
        return -errno;
    int result =
        sqlite3_open_v2(part, &backup->copy,
                        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE, NULL);
    int r = copy_error(backup, result);
    if (unlink(part) < 0 && r == 0)
        r = -errno;
    return r;
}

static int begin_copy(struct writer *writer, const char *part)
{
    struct backup *backup = &writer->backup;
    char sql[128];

    errno = 0;
    int r = open_copy(backup, part);
    if (r < 0)
        return r;
    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -%d",
                   COPY_CACHE_KIB);
    int result = sqlite3_exec(backup->copy, sql, NULL, NULL, NULL);
    if (result != SQLITE_OK)
        return copy_error(backup, result);
    backup->pages = sqlite3_backup_init(backup->copy, "main", writer->sqlite.db, "main");
    return backup->pages == NULL ? copy_error(backup, sqlite3_extended_errcode(backup->copy)) : 0;
}

/* Whether the disk has so many bytes for the copy and something for tasks; what it has stands in
 * the operation. Where it can't be told, the write itself will. */
static bool has_room(struct store_op *op, int fd, uint64_t bytes)
{
    struct statvfs found = {0};

    if (fstatvfs(fd, &found) < 0)
        return true;
    op->backup.needed_bytes = bytes + room_bytes;
    op->backup.free_bytes = (uint64_t)found.f_bavail * found.f_frsize;
    return op->backup.free_bytes >= op->backup.needed_bytes;
}

/* Lets go of all; the descriptor stays open. */
static void close_copy(struct backup *backup)
{
    if (backup->pages != NULL)
        (void)sqlite3_backup_finish(backup->pages); // tells the last piece's error again
    backup->pages = NULL;
    (void)sqlite3_close(backup->copy); // its pages are written
    backup->copy = NULL;
}

/* Gives the operation back, with the file where r is 0. */
static void answer(struct backup *backup, int r)
{
    struct store_op *op = RN_TAKE(backup->op);
    struct stat status = {0};

    close_copy(backup);
    if (r == 0 && fstat(backup->fd, &status) < 0)
        r = -errno;
    op->result = r;
    op->backup.fd = r == 0 ? backup->fd : -1;
    op->backup.bytes = r == 0 ? (uint64_t)status.st_size : 0;
    if (r < 0 && backup->fd >= 0)
        (void)close(backup->fd); // its bytes go with it
    backup->fd = -1;
    if (r == 0)
        log_event(LOG_LEVEL_NOTICE, "backup_copied", LOG_UINT("bytes", op->backup.bytes),
                  LOG_INT("took_ms", (rn_now() - backup->begun_at) / RN_MILLISECOND));
    else
        log_event(LOG_LEVEL_WARN, "backup_ended", LOG_TEXT("error", rn_strerror(r)));
    if (op->done_fn != NULL)
        op->done_fn(op, op->arg);
    else if (r == 0)
        (void)close(op->backup.fd); // nobody wanted it
}

bool backup_begin(struct writer *writer, struct store_op *op)
{
    struct backup *backup = &writer->backup;
    int64_t pages = 0;

    op->backup.fd = -1;
    op->result = -EBUSY;
    if (backup->op != NULL)
        return false;
    char *part = part_name(sqlite3_db_filename(writer->sqlite.db, "main"));
    *backup = (struct backup){.fd = -1, .begun_at = rn_now()};
    int r = part == NULL ? -ENOMEM : begin_copy(writer, part);
    if (r == 0)
        r = sqlite_value(&writer->sqlite, "PRAGMA page_count", &pages);
    if (r == 0 &&
        (writer->disk.is_full || !has_room(op, backup->fd, (uint64_t)pages * SQLITE_PAGE_BYTES)))
        r = -ENOSPC;
    free(part);
    if (r == 0) {
        backup->op = op;
        log_event(LOG_LEVEL_NOTICE, "backup_begin", LOG_INT("pages", pages));
        return true;
    }
    close_copy(backup);
    if (backup->fd >= 0)
        (void)close(backup->fd); // nothing was written
    op->result = r;
    return false;
}

void backup_end(struct writer *writer, int r)
{
    RN_ASSERT(r < 0);
    if (writer->backup.op != NULL)
        answer(&writer->backup, r);
}

void backup_go_on(struct writer *writer)
{
    struct backup *backup = &writer->backup;
    rn_time until = rn_after(SLICE);
    int result = SQLITE_OK;

    if (backup->op == NULL)
        return;
    const _Atomic bool *is_abandoned = backup->op->backup.is_abandoned;
    if (is_abandoned != NULL && atomic_load(is_abandoned)) {
        backup_end(writer, -ECANCELED);
        return;
    }
    if (writer->disk.is_full || !has_room(backup->op, backup->fd, 0)) {
        backup_end(writer, -ENOSPC);
        return;
    }
    errno = 0;
    do {
        result = sqlite3_backup_step(backup->pages, PIECE_PAGES);
    } while (result == SQLITE_OK && rn_now() < until);
    if (result == SQLITE_DONE)
        answer(backup, 0);
    else if (result != SQLITE_OK && result != SQLITE_BUSY && result != SQLITE_LOCKED)
        answer(backup, copy_error(backup, result));
}
