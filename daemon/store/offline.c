/* A store that no daemon has. */
#include "store/offline.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lock.h"

int store_become_owner(const char *path, struct error *reterr)
{
    struct stat status = {0};

    if (stat(path, &status) < 0)
        return error_set(reterr, -errno, "cannot find the store '%s': %s", path, strerror(errno));
    if (geteuid() == status.st_uid)
        return 0;
    if (geteuid() != 0)
        return error_set(
            reterr, -EPERM,
            "the store '%s' belongs to user %ld, this is user %ld: run it as its owner "
            "or as root",
            path, (long)status.st_uid, (long)geteuid());
    // The groups first: they can't be changed by who is not root any more.
    if (setgroups(0, NULL) < 0 || setresgid(status.st_gid, status.st_gid, status.st_gid) < 0 ||
        setresuid(status.st_uid, status.st_uid, status.st_uid) < 0)
        return error_set(reterr, -errno, "cannot become user %ld, who owns the store '%s': %s",
                         (long)status.st_uid, path, strerror(errno));
    return 0;
}

static int take_lock(struct offline *offline, struct error *reterr)
{
    char *path = NULL;

    if (asprintf(&path, "%s-lock", offline->path) < 0)
        return error_set(reterr, -ENOMEM, "no memory for the store");
    int r = lock_take(path, &offline->lock_fd, reterr);
    free(path);
    return r;
}

/* What is there, whatever its version. */
static int open_file(struct offline *offline, const char *path, enum sqlite_role role,
                     struct error *reterr)
{
    offline->path = realpath(path, NULL);
    if (offline->path == NULL)
        return error_set(reterr, -errno, "cannot find the store '%s': %s", path, strerror(errno));
    int r = take_lock(offline, reterr);
    if (r == 0)
        r = sqlite_open(&offline->sqlite, offline->path, role, reterr);
    return r == 0 ? schema_version(&offline->sqlite, offline->path, &offline->version, reterr) : r;
}

int offline_open_new(struct offline *offline, const char *path, struct error *reterr)
{
    *offline = (struct offline){.lock_fd = -1};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 && errno != EEXIST)
        return error_set(reterr, -errno, "cannot make the store '%s': %s", path, strerror(errno));
    offline->is_new = fd >= 0;
    if (fd >= 0)
        (void)close(fd); // before SQLite opens it
    int r = open_file(offline, path, SQLITE_WRITER, reterr);
    if (r < 0) {
        if (offline->is_new)
            (void)unlink(path);
        offline_close(offline);
    }
    return sqlite_judge(r, reterr);
}

int offline_open(struct offline *offline, const char *path, enum sqlite_role role,
                 struct error *reterr)
{
    *offline = (struct offline){.lock_fd = -1};
    int r = open_file(offline, path, role, reterr);
    if (r == 0 && offline->version == 0)
        r = error_set(reterr, -EBADMSG, "'%s' is empty: no store was made in it", offline->path);
    if (r < 0)
        offline_close(offline);
    return sqlite_judge(r, reterr);
}

int offline_end_log(struct offline *offline, struct error *reterr)
{
    sqlite3_stmt *statement = NULL;
    bool is_off = false;

    errno = 0;
    int result = sqlite3_prepare_v2(offline->sqlite.db, "PRAGMA journal_mode = DELETE", -1,
                                    &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(statement, 0);
        is_off = mode != NULL && strcmp(mode, "delete") == 0;
    }
    int r = sqlite_error(&offline->sqlite, result);
    if (r < 0 && r != -EAGAIN)
        (void)error_set(reterr, r, "cannot end the log of the store '%s': %s", offline->path,
                        sqlite3_errmsg(offline->sqlite.db));
    (void)sqlite3_finalize(statement);
    if (r == -EAGAIN || (r == 0 && !is_off))
        return error_set(reterr, -EBUSY, "another program has the store '%s' open", offline->path);
    return r;
}

void offline_let_go(struct offline *offline)
{
    sqlite_close(&offline->sqlite);
}

void offline_close(struct offline *offline)
{
    sqlite_close(&offline->sqlite);
    if (offline->lock_fd >= 0)
        (void)close(offline->lock_fd); // last: from here on a daemon may have it
    free(offline->path);
    *offline = (struct offline){.lock_fd = -1};
}
