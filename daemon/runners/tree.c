/*
 * Removal of a directory with all that is in it.
 *
 * A command may leave a tree of any depth behind, and one that changes while it is removed (a
 * process in a session of its own may still write to it). So the tree is made flat: what is a
 * directory in a directory of the top level is moved up to the top level, which takes two
 * descriptors and no memory whatever the depth, and passes over the top level are repeated until it
 * is empty, a pass gets nowhere, or the deadline has come.
 */
#include "runners/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The removal of one tree. */
struct removal {
    int top;             // the directory that is to become empty
    DIR *entries;        // of top
    dev_t device;        // the only file system that is entered
    unsigned long moved; // gives each moved directory a name of its own
    bool progress;       // of this pass: something was removed or moved
    int error;           // of this pass: the first thing that could not be
    rn_time deadline;
};

static void note(struct removal *removal, int error)
{
    if (removal->error == 0)
        removal->error = error;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes a file, a link or an empty directory. -ENOTEMPTY: a directory that is not. */
static int remove_entry(int directory, const char *name)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* Opens a directory for reading even if its mode forbids that, as long as it is ours. */
static int open_directory(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char path[64];

    int fd = openat(parent, name, flags);
    if (fd >= 0 || errno != EACCES)
        return fd >= 0 ? fd : -errno;
    int handle = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (handle < 0)
        return -errno;
    // By the descriptor: the name may stand for something else by now.
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
    int r = chmod(path, S_IRWXU);
    (void)close(handle);
    if (r != 0)
        return -EACCES;
    fd = openat(parent, name, flags);
    return fd >= 0 ? fd : -errno;
}

/* Moves a directory that is not empty to the top level, under a name that is free there. */
static int move_up(struct removal *removal, int parent, const char *name)
{
    char target[32];

    // Mode 0500 and the like forbid the change of "..", which a move is.
    int fd = open_directory(parent, name);
    if (fd >= 0) {
        (void)fchmod(fd, S_IRWXU);
        (void)close(fd);
    }
    for (int i = 0; i < 100; i++) {
        (void)snprintf(target, sizeof(target), ".up-%lu", removal->moved++);
        if (renameat2(parent, name, removal->top, target, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return -errno;
}

/* Removes what is in a directory of the top level, or moves it up. */
static void empty_directory(struct removal *removal, const char *name)
{
    struct stat status;

    int fd = open_directory(removal->top, name);
    if (fd < 0) {
        note(removal, fd);
        return;
    }
    if (fstat(fd, &status) != 0 || status.st_dev != removal->device) {
        note(removal, -EXDEV);
        (void)close(fd);
        return;
    }
    (void)fchmod(fd, S_IRWXU);
    DIR *entries = fdopendir(fd);
    if (entries == NULL) {
        note(removal, -errno);
        (void)close(fd);
        return;
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (is_dots(entry->d_name))
            continue;
        if (rn_now() >= removal->deadline)
            break;
        int r = remove_entry(fd, entry->d_name);
        if (r == -ENOTEMPTY)
            r = move_up(removal, fd, entry->d_name);
        if (r == 0)
            removal->progress = true;
        else
            note(removal, r);
    }
    (void)closedir(entries);
}

/* One pass over the top level. Returns whether it was empty. */
static bool pass(struct removal *removal)
{
    bool empty = true;

    removal->progress = false;
    removal->error = 0;
    rewinddir(removal->entries);
    for (struct dirent *entry = readdir(removal->entries); entry != NULL;
         entry = readdir(removal->entries)) {
        if (is_dots(entry->d_name))
            continue;
        empty = false;
        if (rn_now() >= removal->deadline)
            break;
        int r = remove_entry(removal->top, entry->d_name);
        if (r == -ENOTEMPTY) {
            empty_directory(removal, entry->d_name);
            r = remove_entry(removal->top, entry->d_name);
        }
        if (r == 0)
            removal->progress = true;
        else
            note(removal, r);
    }
    return empty;
}

static int remove_full(const char *path, rn_time deadline)
{
    struct removal removal = {.deadline = deadline};
    struct stat status;

    removal.top = open_directory(AT_FDCWD, path);
    if (removal.top < 0)
        return removal.top;
    if (fstat(removal.top, &status) != 0 || (removal.entries = fdopendir(removal.top)) == NULL) {
        int error = -errno;
        (void)close(removal.top);
        return error;
    }
    removal.device = status.st_dev;
    (void)fchmod(removal.top, S_IRWXU);

    int r = 0;
    while (!pass(&removal)) {
        if (rn_now() >= deadline) {
            r = -ETIMEDOUT;
            break;
        }
        if (!removal.progress) {
            r = removal.error;
            break;
        }
    }
    (void)closedir(removal.entries);
    if (r == 0 && rmdir(path) != 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int tree_remove(const char *path, rn_time deadline)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTDIR) // a link or file in its place: the command has done that
        return unlink(path) == 0 ? 0 : -errno;
    return remove_full(path, deadline);
}
