/* The copy of the file from before an upgrade. */
#include "store/aside.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/place.h"

enum {
    ASIDE_PIECE_PAGES = 256, // copied between two calls of progress_fn
    ASIDE_SYNC_PIECES =
        16, // 16 MiB: more than a slow disk syncs in a second is not left to the end
    ASIDE_ROOM_BYTES = 8 << 20, // beside the copy: for the upgrade's own log
    ASIDE_COPIES_MAX = 1000,    // of one version
};

static char *part_name(const char *path, int version)
{
    char *name = NULL;
    return asprintf(&name, "%s-v%d-backup.part", path, version) < 0 ? NULL : name;
}

/* The nth copy's name, from 1. */
static char *copy_name(const char *path, int version, int nth)
{
    char *name = NULL;
    int length = nth == 1 ? asprintf(&name, "%s-v%d-backup", path, version)
                          : asprintf(&name, "%s-v%d-backup-%d", path, version, nth);
    return length < 0 ? NULL : name;
}

static int no_memory(struct error *reterr)
{
    return error_set(reterr, -ENOMEM, "no memory to copy the store");
}

static int check_room(struct sqlite *sqlite, const struct schema_upgrade *upgrade,
                      struct error *reterr)
{
    int64_t pages = 0;
    uint64_t free_bytes = 0;

    int r = sqlite_value(sqlite, "PRAGMA page_count", &pages);
    if (r < 0)
        return error_set(reterr, r, "cannot read the store '%s': %s", upgrade->path,
                         sqlite3_errmsg(sqlite->db));
    uint64_t needed = (uint64_t)pages * SQLITE_PAGE_BYTES + ASIDE_ROOM_BYTES;
    r = place_free_bytes(upgrade->path, &free_bytes);
    if (r < 0)
        return error_set(reterr, r, "cannot look for room beside the store '%s': %s", upgrade->path,
                         strerror(-r));
    if (free_bytes >= needed)
        return 0;
    return error_set(reterr, -ENOSPC,
                     "the store '%s' is copied before it is upgraded from version %d to %d, which "
                     "needs %llu MiB in its folder, and %llu MiB are free: make room there",
                     upgrade->path, upgrade->from, upgrade->to, (unsigned long long)(needed >> 20),
                     (unsigned long long)(free_bytes >> 20));
}

/* Page by page into the file that is open as fd too. It has no journal: one that is not whole is
 * thrown away. */
static int copy_pages(struct sqlite *sqlite, sqlite3 *copy, int fd, struct schema_upgrade *upgrade)
{
    unsigned pieces = 0;
    int synced = 0;

    errno = 0;
    int result =
        sqlite3_exec(copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
    sqlite3_backup *backup =
        result == SQLITE_OK ? sqlite3_backup_init(copy, "main", sqlite->db, "main") : NULL;
    if (backup == NULL)
        return sqlite_error(sqlite, sqlite3_extended_errcode(copy));
    do {
        result = sqlite3_backup_step(backup, ASIDE_PIECE_PAGES);
        if (++pieces % ASIDE_SYNC_PIECES == 0 && fdatasync(fd) < 0)
            synced = -errno;
        int total = sqlite3_backup_pagecount(backup);
        schema_tell(upgrade, "copying the store before its upgrade",
                    (uint64_t)(total - sqlite3_backup_remaining(backup)), (uint64_t)total);
    } while (result == SQLITE_OK && synced == 0);
    int finished = sqlite3_backup_finish(backup); // tells the last step's error again
    if (synced < 0)
        return synced;
    return result == SQLITE_DONE ? sqlite_error(sqlite, finished) : sqlite_error(sqlite, result);
}

static int copy_to(struct sqlite *sqlite, const char *part, struct schema_upgrade *upgrade)
{
    sqlite3 *copy = NULL;

    // For its owner alone, as the store is.
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return -errno;
    int result = sqlite3_open_v2(
        part, &copy, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE, NULL);
    int r =
        result == SQLITE_OK ? copy_pages(sqlite, copy, fd, upgrade) : sqlite_error(sqlite, result);
    (void)sqlite3_close(copy); // a failed copy is removed
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    (void)close(fd); // synced, or removed
    return r;
}

int aside_make(struct sqlite *sqlite, struct schema_upgrade *upgrade, struct error *reterr)
{
    char *part = part_name(upgrade->path, upgrade->from);
    if (part == NULL)
        return no_memory(reterr);
    (void)unlink(part); // what a killed daemon left
    int r = check_room(sqlite, upgrade, reterr);
    if (r == 0) {
        r = copy_to(sqlite, part, upgrade);
        if (r == 0)
            r = place_sync(upgrade->path);
        if (r < 0) {
            (void)error_set(reterr, r, "cannot copy the store to '%s' before its upgrade: %s", part,
                            strerror(-r));
            (void)unlink(part);
        }
    }
    free(part);
    return r;
}

/* The first name that is free. */
static int free_name(const char *path, int version, char **ret_name)
{
    for (int nth = 1; nth <= ASIDE_COPIES_MAX; nth++) {
        char *name = copy_name(path, version, nth);
        if (name == NULL)
            return -ENOMEM;
        if (access(name, F_OK) < 0) {
            *ret_name = name;
            return 0;
        }
        free(name);
    }
    return -EEXIST;
}

int aside_keep(const char *path, int version, char **ret_name, struct error *reterr)
{
    char *part = part_name(path, version);
    char *name = NULL;

    int r = part == NULL ? -ENOMEM : free_name(path, version, &name);
    // The lock is held: nobody else makes files of this name.
    if (r == 0 && rename(part, name) < 0)
        r = -errno;
    if (r == 0)
        r = place_sync(path);
    free(part);
    if (r < 0) {
        free(name);
        return error_set(reterr, r,
                         "cannot name the copy '%s-v%d-backup.part' from before the upgrade: %s",
                         path, version, strerror(-r));
    }
    *ret_name = name;
    return 0;
}

void aside_drop(const char *path, int version)
{
    char *part = part_name(path, version);
    if (part != NULL)
        (void)unlink(part); // where it stays, the next upgrade begins with removing it
    free(part);
}

bool aside_is_open(const char *path, int version)
{
    char *part = part_name(path, version);
    bool is_open = part != NULL && access(part, F_OK) == 0;
    free(part);
    return is_open;
}

char *aside_find(const char *path, int version)
{
    char *found = NULL;

    for (int nth = 1; nth <= ASIDE_COPIES_MAX; nth++) {
        char *name = copy_name(path, version, nth);
        if (name == NULL || access(name, F_OK) < 0) {
            free(name);
            break;
        }
        free(found);
        found = name;
    }
    return found;
}
