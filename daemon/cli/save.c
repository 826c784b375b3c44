/* What is not whole has no name, so that nothing is left of it however the program ends. Where the
 * file system does not offer that, and where something has to be able to open it, it has one of its
 * own, FILE.XXXXXX.part, and goes with whatever SQLite or a lock put beside it, also when a signal
 * ends the program: the name is kept here for its handler. */
#include "cli/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

#define TEMPORARY_RANDOM "XXXXXX"
#define TEMPORARY_END ".part"

enum { SUFFIX_BYTES = 16, LINK_BYTES = 32 };

// Set before the handler is, and not changed as long as it is.
static char temporary[PATH_BYTES];

/* Makes system calls alone: a signal's handler calls it. */
static void remove_all(void)
{
    static const char suffixes[][SUFFIX_BYTES] = {"", "-journal", "-wal", "-shm", "-lock"};
    char name[PATH_BYTES + SUFFIX_BYTES];
    size_t length = strlen(temporary);

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        memcpy(name, temporary, length);
        memcpy(name + length, suffixes[i], SUFFIX_BYTES);
        (void)unlink(name);
    }
}

static bool is_standard(const struct save *save)
{
    return strcmp(save->path, "-") == 0;
}

static int is_there(const char *path)
{
    return cli_fault(CLI_USAGE, "%s is there already, and is not replaced", path);
}

static int cannot_make(int code, const char *path, int error)
{
    return cli_fault(code, "%s can't be made (%s)", path, cli_reason(error));
}

/* ---- where it is ---- */

/* The folder of a file. It fits: what is longer has been refused. */
static void folder_of(const char *path, char *folder)
{
    const char *slash = strrchr(path, '/');

    (void)snprintf(folder, PATH_BYTES, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
}

/* By this it gets a name: what link(2) does for a descriptor needs a privilege. */
static void link_of(int fd, char *name)
{
    (void)snprintf(name, LINK_BYTES, "/proc/self/fd/%d", fd);
}

/* mkostemps' own letters, for a name that is not needed yet. */
static bool choose_temporary(void)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum { COUNT = sizeof(TEMPORARY_RANDOM) - 1, LETTERS = sizeof(letters) - 1 };
    char *name = temporary + strlen(temporary) - (COUNT + strlen(TEMPORARY_END));
    unsigned char bytes[COUNT];
    struct stat status;

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return false;
    for (size_t i = 0; i < COUNT; i++)
        name[i] = letters[bytes[i] % LETTERS];
    // That it can be had is found out now, and not when all is there.
    bool is_free = lstat(temporary, &status) < 0 && errno == ENOENT;
    if (!is_free)
        memcpy(name, TEMPORARY_RANDOM, COUNT);
    return is_free;
}

/* Negative: not here, whyever. */
static int open_unnamed(const char *path)
{
    char folder[PATH_BYTES];
    char name[LINK_BYTES];

    folder_of(path, folder);
    int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    link_of(fd, name);
    if (access(name, F_OK) == 0 && choose_temporary())
        return fd;
    (void)close(fd);
    return -ENOENT;
}

/* A file without a name gets this one, if nothing has it. */
static int link_unnamed(struct save *save, const char *path)
{
    char name[LINK_BYTES];

    link_of(save->fd, name);
    if (linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    save->is_unnamed = false;
    return 0;
}

/* ---- from its begin to its end ---- */

int save_begin(struct save *save, const char *path)
{
    struct stat status;

    RN_ASSERT(path != NULL);
    *save = (struct save){.path = path, .fd = STDOUT_FILENO};
    if (is_standard(save))
        return 0;
    if (path[0] == '\0')
        return cli_fault(CLI_USAGE, "a file needs a name");
    if (lstat(path, &status) == 0)
        return is_there(path);
    int length = snprintf(temporary, sizeof(temporary), "%s." TEMPORARY_RANDOM TEMPORARY_END, path);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return cannot_make(CLI_USAGE, path, -ENAMETOOLONG);
    save->fd = open_unnamed(path);
    save->is_unnamed = save->fd >= 0;
    if (!save->is_unnamed)
        save->fd = mkostemps(temporary, (int)strlen(TEMPORARY_END), O_CLOEXEC);
    if (save->fd < 0)
        return cannot_make(CLI_USAGE, path, -errno);
    interrupt_run(remove_all);
    return 0;
}

int save_write(struct save *save, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(save->fd, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            save->error = -errno;
            return save->error;
        }
        bytes += written;
        count -= (size_t)written;
        save->bytes += (uint64_t)written;
    }
    return 0;
}

int save_sync(struct save *save)
{
    int r = 0;

    if (is_standard(save))
        return 0;
    if (fsync(save->fd) < 0)
        r = -errno;
    if (!save->is_unnamed) { // else it would be gone
        if (close(save->fd) < 0 && r == 0)
            r = -errno;
        save->fd = -1;
    }
    return r < 0 ? cli_fault(CLI_OUTPUT, "%s can't be written (%s)", save->path, cli_reason(r)) : 0;
}

int save_temporary(struct save *save, const char **ret_name)
{
    *ret_name = is_standard(save) ? save->path : temporary;
    if (!save->is_unnamed)
        return 0;
    int r = link_unnamed(save, temporary);
    if (r < 0)
        return cannot_make(CLI_OUTPUT, temporary, r);
    // Closed later, it would take the locks of whoever has opened it with it.
    (void)close(save->fd);
    save->fd = -1;
    return 0;
}

/* The new name is on the disk; a file system that has no such thing is no fault. */
static void sync_folder(const char *path)
{
    char folder[PATH_BYTES];

    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Without replacing anything. Not every file system can rename so. */
static int give_name(const char *path)
{
    int r = renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) < 0 ? -errno : 0;

    if (r == -EINVAL || r == -ENOSYS)
        r = link(temporary, path) < 0 ? -errno : 0;
    return r;
}

int save_keep(struct save *save)
{
    if (is_standard(save))
        return 0;
    int r = save->is_unnamed ? link_unnamed(save, save->path) : give_name(save->path);
    save_discard(save); // its other names
    if (r == -EEXIST)
        return is_there(save->path);
    if (r < 0)
        return cannot_make(CLI_OUTPUT, save->path, r);
    sync_folder(save->path);
    return 0;
}

void save_discard(struct save *save)
{
    if (is_standard(save))
        return;
    if (save->fd >= 0)
        (void)close(save->fd);
    save->fd = -1;
    remove_all();
    interrupt_run(NULL);
}
