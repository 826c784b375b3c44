/*
 * Work directories.
 *
 * To make and to remove a directory are two changes of the file system's journal, and wait for the
 * commits of whoever syncs on it, such as our own store: 0.3 to 0.8 ms were measured on ext4 beside
 * such a writer, as much as all the rest of running /bin/true. Most commands put nothing into
 * theirs. So a directory in which nothing was made is kept and given to a later attempt.
 *
 * Nothing was made in it if it has the modification time that it was given after it was made, the
 * year 1970: every entry that comes or goes, even one that does both, sets it to the present. Mode
 * and owner are compared, and access control lists show in the time of its last change (but for a
 * change within the clock tick in which it was made). All that is asked when an attempt ends, and
 * again before the next one gets it, since a process that has left its group may still be there.
 *
 * Lock: idle.mu guards the list of those that are kept; nothing is called under it.
 */
#include "runners/workdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/sync.h>

#include "observe/log.h"
#include "runners/tree.h"

enum { IDLE_MAX = 64 };

static const rn_duration root_limit = 5 * RN_SECOND; // for what an earlier daemon has left
static const char name_marker[] = "work-";           // how the names begin

/* Those that no attempt has. The last one that came goes first. */
static struct {
    rn_mutex mu; // rank 60
    size_t count RN_GUARDED_BY(mu);
    struct workdir *workdirs[IDLE_MAX] RN_GUARDED_BY(mu);
} idle = {.mu = RN_MUTEX_INIT(60)};

static bool lies_in(const struct workdir *workdir, const char *root)
{
    return strlen(root) == workdir->root_bytes &&
           memcmp(workdir->path, root, workdir->root_bytes) == 0;
}

static struct workdir *idle_take(const char *root)
{
    struct workdir *workdir = NULL;

    rn_mutex_lock(&idle.mu);
    for (size_t i = idle.count; i > 0 && workdir == NULL; i--) {
        if (!lies_in(idle.workdirs[i - 1], root))
            continue;
        workdir = idle.workdirs[i - 1];
        idle.workdirs[i - 1] = idle.workdirs[--idle.count];
    }
    rn_mutex_unlock(&idle.mu);
    return workdir;
}

/* false: there is no room. */
static bool idle_put(struct workdir *workdir)
{
    bool fits = false;

    rn_mutex_lock(&idle.mu);
    fits = idle.count < IDLE_MAX;
    if (fits)
        idle.workdirs[idle.count++] = workdir;
    rn_mutex_unlock(&idle.mu);
    return fits;
}

static bool is_untouched(const struct workdir *workdir)
{
    const struct stat *fresh = &workdir->fresh;
    struct stat now;

    return workdir->recognisable && lstat(workdir->path, &now) == 0 &&
           now.st_dev == fresh->st_dev && now.st_ino == fresh->st_ino &&
           now.st_mode == fresh->st_mode && now.st_uid == fresh->st_uid &&
           now.st_gid == fresh->st_gid && now.st_mtim.tv_sec == fresh->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == fresh->st_mtim.tv_nsec &&
           now.st_ctim.tv_sec == fresh->st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == fresh->st_ctim.tv_nsec;
}

static int make(const char *root, struct workdir **ret_workdir)
{
    const struct timespec past[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1}};
    size_t root_bytes = strlen(root);
    size_t path_bytes = root_bytes + sizeof("/work-XXXXXX");

    struct workdir *workdir = malloc(sizeof(*workdir) + path_bytes);
    if (workdir == NULL)
        return -ENOMEM;
    workdir->root_bytes = root_bytes;
    (void)snprintf(workdir->path, path_bytes, "%s/%sXXXXXX", root, name_marker);
    if (mkdtemp(workdir->path) == NULL) {
        int error = -errno;
        free(workdir);
        return error;
    }
    workdir->recognisable = utimensat(AT_FDCWD, workdir->path, past, AT_SYMLINK_NOFOLLOW) == 0 &&
                            lstat(workdir->path, &workdir->fresh) == 0 &&
                            workdir->fresh.st_mtim.tv_sec == 1;
    *ret_workdir = workdir;
    return 0;
}

/* Removes the directory of one that nobody has any more; what can't be is left, and told in the
 * log. */
static void discard(struct workdir *workdir, rn_time deadline)
{
    int r = tree_remove(workdir->path, deadline);
    if (r != 0)
        log_event(LOG_LEVEL_WARN, "work_directory_left", LOG_TEXT("path", workdir->path),
                  LOG_TEXT("error", strerrordesc_np(-r)));
    free(workdir);
}

int workdir_new(const char *root, struct workdir **ret_workdir)
{
    for (struct workdir *workdir = idle_take(root); workdir != NULL; workdir = idle_take(root)) {
        if (is_untouched(workdir)) {
            *ret_workdir = workdir;
            return 0;
        }
        discard(workdir, rn_after(root_limit));
    }
    return make(root, ret_workdir);
}

int workdir_free(struct workdir *workdir, rn_time deadline)
{
    if (workdir == NULL)
        return 0;
    if (is_untouched(workdir) && idle_put(workdir))
        return 0;
    int r = tree_remove(workdir->path, deadline);
    free(workdir);
    return r;
}

int workdir_open_root(const char *root)
{
    const rn_time deadline = rn_after(root_limit);
    size_t root_bytes = strlen(root);

    if (mkdir(root, S_IRWXU) != 0 && errno != EEXIST)
        return -errno;
    DIR *entries = opendir(root);
    if (entries == NULL)
        return -errno;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (strncmp(entry->d_name, name_marker, sizeof(name_marker) - 1) != 0)
            continue;
        size_t path_bytes = root_bytes + 1 + strlen(entry->d_name) + 1;
        struct workdir *workdir = malloc(sizeof(*workdir) + path_bytes);
        if (workdir == NULL)
            break; // it stays for the next time
        (void)snprintf(workdir->path, path_bytes, "%s/%s", root, entry->d_name);
        discard(workdir, deadline);
    }
    (void)closedir(entries);
    return 0;
}

void workdir_close_root(const char *root)
{
    const rn_time deadline = rn_after(root_limit);

    for (struct workdir *workdir = idle_take(root); workdir != NULL; workdir = idle_take(root))
        discard(workdir, deadline);
}
