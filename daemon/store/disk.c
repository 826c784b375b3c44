/*
 * Checkpoints are the writer's alone: two connections of which one checkpoints while the other
 * commits can lose commits (SQLite's WAL-reset bug, in every version before 3.51.3). A PASSIVE one
 * waits for nobody; only a log that a reader keeps from being started anew gets a RESTART, which
 * waits for readers a little.
 *
 * Room: a page in the log needs a place in the file as well, and until all have one the log is not
 * used anew. So a put is taken only where the disk has room for both and for what waits in the log
 * already, and where the disk is low the log is kept short. On a full disk a checkpoint that can't
 * be finished is not begun: it would take the ballast's room from the ends that this is for.
 */
#include "store/disk.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "observe/log.h"

enum {
    IDLE_MS = 20,
    FULL_FRAMES = 250,        // 1 MiB: on a full disk the log may not outgrow the ballast's room
    CHECKPOINT_FRAMES = 4000, // 16 MiB: held up for about 10 ms, rarely
    RESTART_FRAMES = 8000,    // a reader has kept the log from being started anew
    RETRY_FRAMES = 1000,      // before the next attempt of that
    STUCK_FRAMES = (64 << 20) / SQLITE_FRAME_BYTES,
    RESTART_WAIT_MS = 10,
    STUCK_RETRY_MS = 50,
    FULL_RETRY_MS = 1000,
    LOOK_MS = 100,         // between two looks at a disk that has much room
    PUT_PAGES = 2,         // that a small put changes beside its own bytes
    SMALL_PUT = 256 << 10, // twice that and ROOM_MARGIN are less than what the ballast leaves free
    ROOM_MARGIN = 1 << 20,
    SLACK_PAGES = 1024, // free pages that stay in the file for what comes next
};

static const uint64_t low_bytes = UINT64_C(64) << 20;
static const uint64_t much_bytes = UINT64_C(256) << 20;

static void look_at_disk(struct disk *disk)
{
    struct statvfs found = {0};

    // Where it can't be told, the write itself will.
    disk->free_bytes = disk->ballast.fd >= 0 && fstatvfs(disk->ballast.fd, &found) == 0
                           ? (uint64_t)found.f_bavail * found.f_frsize
                           : UINT64_MAX;
    disk->looked_at = rn_now();
}

/* What the log holds that the file may have to grow for. */
static uint64_t log_bytes(const struct disk *disk)
{
    return disk->has_frames ? (uint64_t)disk->frames * SQLITE_PAGE_BYTES : 0;
}

bool disk_has_room(struct writer *writer, size_t bytes)
{
    struct disk *disk = &writer->disk;

    if (disk->free_bytes < much_bytes || rn_now() >= disk->looked_at + LOOK_MS * RN_MILLISECOND)
        look_at_disk(disk);
    disk->put_bytes += bytes + (uint64_t)PUT_PAGES * SQLITE_PAGE_BYTES;
    if (disk->free_bytes >= log_bytes(disk) + 2 * disk->put_bytes + ROOM_MARGIN)
        return true;
    disk->put_bytes -= bytes + (uint64_t)PUT_PAGES * SQLITE_PAGE_BYTES;
    if (bytes <= SMALL_PUT)
        disk_full(writer);
    return false;
}

/* Whether a checkpoint of all can be finished. */
static bool may_checkpoint(struct disk *disk)
{
    if (!disk->is_full)
        return true;
    look_at_disk(disk);
    return disk->free_bytes >= log_bytes(disk);
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
    struct writer *writer = arg;
    struct disk *disk = &writer->disk;
    (void)db;
    (void)name;

    if (frames <= disk->frames)
        disk->checkpoint_at = CHECKPOINT_FRAMES; // started anew
    disk->frames = frames;
    disk->has_frames = true;
    return SQLITE_OK;
}

void disk_watch(struct writer *writer)
{
    writer->disk.checkpoint_at = CHECKPOINT_FRAMES;
    writer->disk.has_frames = true; // a killed daemon's, perhaps
    writer->disk.has_free_pages = true;
    (void)sqlite3_wal_hook(writer->sqlite.db, on_commit, writer);
}

/* Returns whether the whole log is in the file and, by a RESTART, the next commit starts it anew.
 */
static bool checkpoint(struct writer *writer, int mode)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct disk *disk = &writer->disk;
    int frames = 0;
    int copied = 0;

    errno = 0;
    int r =
        sqlite_error(sqlite, sqlite3_wal_checkpoint_v2(sqlite->db, NULL, mode, &frames, &copied));
    writer_judge(writer, r, "checkpoint");
    if (r == -ENOSPC)
        disk_full(writer);
    if (r == 0 && frames == copied)
        disk->has_frames = false;
    disk->checkpoint_at = disk->frames + RETRY_FRAMES;
    return r == 0 && frames == copied;
}

/* mode: RESTART or TRUNCATE. */
static bool restart_log(struct writer *writer, int mode)
{
    (void)sqlite3_busy_timeout(writer->sqlite.db, RESTART_WAIT_MS);
    bool done = checkpoint(writer, mode);
    (void)sqlite3_busy_timeout(writer->sqlite.db, SQLITE_BUSY_MS);
    if (done) {
        writer->disk.frames = 0;
        writer->disk.checkpoint_at = CHECKPOINT_FRAMES;
    }
    return done;
}

static void keep_log_short(struct writer *writer)
{
    struct disk *disk = &writer->disk;

    bool is_low = disk->is_full || disk->free_bytes < low_bytes;
    bool is_due = disk->frames >= disk->checkpoint_at || disk->log_is_stuck ||
                  (is_low && disk->has_frames && disk->frames >= FULL_FRAMES);
    if (!is_due || !may_checkpoint(disk))
        return;
    if (disk->frames < RESTART_FRAMES)
        (void)checkpoint(writer, SQLITE_CHECKPOINT_PASSIVE);
    else
        (void)restart_log(writer, SQLITE_CHECKPOINT_RESTART);

    bool is_stuck = disk->frames >= STUCK_FRAMES;
    if (is_stuck != disk->log_is_stuck)
        log_event(LOG_LEVEL_WARN, is_stuck ? "log_stuck_begin" : "log_stuck_end",
                  LOG_INT("frames", disk->frames));
    disk->log_is_stuck = is_stuck;
}

/* One slice of the free pages goes back. Returns whether there is more to do. */
static bool give_back_pages(struct writer *writer)
{
    struct sqlite *sqlite = &writer->sqlite;
    int64_t free_pages = 0;
    int64_t pages = 0;

    int r = sqlite_value(sqlite, "PRAGMA freelist_count", &free_pages);
    if (r == 0)
        r = sqlite_value(sqlite, "PRAGMA page_count", &pages);
    int64_t slack = pages / 8 > SLACK_PAGES ? pages / 8 : SLACK_PAGES;
    if (writer->disk.is_full)
        slack = 0; // all that can be had is needed
    if (r == 0 && free_pages <= slack)
        return false;
    if (r == 0)
        r = sqlite_exec(sqlite, "PRAGMA incremental_vacuum(256)"); // 1 MiB
    writer_judge(writer, r, "incremental vacuum");
    if (r == -ENOSPC)
        disk_full(writer);
    writer->disk.written_at = rn_now();
    return r == 0;
}

static void use_idle_time(struct writer *writer)
{
    struct disk *disk = &writer->disk;

    if (disk->has_frames && !may_checkpoint(disk)) {
        disk->written_at = rn_now();
    } else if (disk->has_frames) {
        (void)checkpoint(writer, SQLITE_CHECKPOINT_PASSIVE);
        if (disk->has_frames)
            disk->written_at = rn_now(); // a reader is in the way: once more later
    } else if (disk->has_free_pages) {
        disk->has_free_pages = give_back_pages(writer);
    }
}

rn_time disk_deadline(const struct writer *writer)
{
    const struct disk *disk = &writer->disk;
    rn_time deadline = disk->try_again_at;

    if (disk->has_frames || disk->has_free_pages) {
        rn_time idle_at = disk->written_at + IDLE_MS * RN_MILLISECOND;
        deadline = idle_at < deadline ? idle_at : deadline;
    }
    if (disk->log_is_stuck) {
        rn_time stuck_at = rn_after(STUCK_RETRY_MS * RN_MILLISECOND);
        deadline = stuck_at < deadline ? stuck_at : deadline;
    }
    return deadline;
}

void disk_full(struct writer *writer)
{
    struct disk *disk = &writer->disk;
    struct store_event event = {.type = STORE_EVENT_SPACE, .full = true};

    ballast_release(&disk->ballast);
    disk->try_again_at = rn_after(FULL_RETRY_MS * RN_MILLISECOND);
    if (disk->is_full)
        return;
    disk->is_full = true;
    disk->has_free_pages = true;
    atomic_store(&writer->is_full, true);
    log_event(LOG_LEVEL_ERR, "disk_full_begin",
              LOG_TEXT("effect", "new tasks are refused and none is started until there is room"));
    (void)writer_tell(writer, &event);
}

void disk_retry(struct writer *writer)
{
    struct disk *disk = &writer->disk;
    struct store_event event = {.type = STORE_EVENT_SPACE, .full = false};

    if (disk->is_full) {
        int r = ballast_fill(&disk->ballast);
        writer_judge(writer, r, "ballast");
        if (r == 0) {
            disk->is_full = false;
            atomic_store(&writer->is_full, false);
            log_event(LOG_LEVEL_NOTICE, "disk_full_end",
                      LOG_TEXT("effect", "tasks are taken again"));
            (void)writer_tell(writer, &event);
        }
    }
    disk->try_again_at = disk->is_full ? rn_after(FULL_RETRY_MS * RN_MILLISECOND) : RN_NEVER;
}

void disk_tend(struct writer *writer, bool is_idle)
{
    struct disk *disk = &writer->disk;

    keep_log_short(writer);
    if (is_idle && rn_now() >= disk->written_at + IDLE_MS * RN_MILLISECOND)
        use_idle_time(writer);
    if (disk->try_again_at != RN_NEVER && rn_now() >= disk->try_again_at) {
        disk_retry(writer);
        inbox_put_back(&writer->inbox, &writer->deferred);
    }
}

void disk_cut_log(struct writer *writer)
{
    if (may_checkpoint(&writer->disk))
        (void)restart_log(writer, SQLITE_CHECKPOINT_TRUNCATE);
}

void disk_close(struct writer *writer)
{
    if (!checkpoint(writer, SQLITE_CHECKPOINT_TRUNCATE))
        log_event(LOG_LEVEL_WARN, "checkpoint_left",
                  LOG_TEXT("effect", "the next start reads the write-ahead log"));
}
