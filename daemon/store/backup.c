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

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/log.h"
#include "store/copy.h"
#include "store/scratch.h"

enum { PIECE_PAGES = 32, COPY_CACHE_KIB = 2048 };
#define SLICE (2 * RN_MILLISECOND)

bool backup_is_under_way(const struct writer *writer)
{
    return writer->backup.op != NULL;
}

static int copy_error(struct backup *backup, int result)
{
    struct sqlite copy = {.db = backup->copy};
    return sqlite_error(&copy, result);
}

/* Makes the file, opens it, for an export's lines a second time, and takes its name away. */
static int open_copy(struct backup *backup, const char *part, bool is_read)
{
    int r = scratch_make(part, &backup->fd);
    if (r < 0)
        return r;
    int result =
        sqlite3_open_v2(part, &backup->copy,
                        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE, NULL);
    r = copy_error(backup, result);
    if (r == 0 && is_read)
        r = copy_new(part, &backup->reader);
    if (unlink(part) < 0 && r == 0)
        r = -errno;
    return r;
}

static int begin_copy(struct writer *writer, const char *part, bool is_read)
{
    struct backup *backup = &writer->backup;
    char sql[128];

    errno = 0;
    int r = open_copy(backup, part, is_read);
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

static bool has_room(struct store_op *op, int fd, uint64_t bytes)
{
    return scratch_has_room(fd, bytes, &op->backup.needed_bytes, &op->backup.free_bytes);
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

/* Closes what is not given away. */
static void drop(struct backup *backup)
{
    store_copy_free(RN_TAKE(backup->reader));
    if (backup->fd >= 0)
        (void)close(backup->fd); // its bytes go with it
    backup->fd = -1;
}

/* Gives the operation back, with the file where r is 0. */
static void answer(struct backup *backup, int r)
{
    struct store_op *op = RN_TAKE(backup->op);
    struct stat status = {0};

    close_copy(backup);
    if (r == 0 && fstat(backup->fd, &status) < 0)
        r = -errno;
    if (r == 0 && backup->reader != NULL)
        r = copy_settle(backup->fd);
    op->result = r;
    if (r == 0) {
        op->backup.bytes = (uint64_t)status.st_size;
        op->backup.copy = RN_TAKE(backup->reader);
    }
    if (r == 0 && op->backup.copy == NULL) {
        op->backup.fd = backup->fd;
        backup->fd = -1;
    }
    drop(backup);
    if (r == 0)
        log_event(LOG_LEVEL_NOTICE, "backup_copied", LOG_UINT("bytes", op->backup.bytes),
                  LOG_INT("took_ms", (rn_now() - backup->begun_at) / RN_MILLISECOND));
    else
        log_event(LOG_LEVEL_WARN, "backup_ended", LOG_TEXT("error", rn_strerror(r)));
    if (op->done_fn != NULL)
        op->done_fn(op, op->arg);
    else if (r == 0 && op->backup.copy != NULL)
        store_copy_free(op->backup.copy); // nobody wanted it
    else if (r == 0)
        (void)close(op->backup.fd);
}

bool backup_begin(struct writer *writer, struct store_op *op)
{
    struct backup *backup = &writer->backup;
    int64_t pages = 0;

    op->backup.fd = -1;
    op->backup.copy = NULL;
    op->result = -EBUSY;
    if (backup->op != NULL)
        return false;
    char *part = scratch_name(sqlite3_db_filename(writer->sqlite.db, "main"), SCRATCH_COPY);
    *backup = (struct backup){.fd = -1, .begun_at = rn_now()};
    int r = part == NULL ? -ENOMEM : begin_copy(writer, part, op->backup.is_read);
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
    drop(backup);
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
