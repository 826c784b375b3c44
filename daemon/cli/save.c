/* What is not whole has a name of its own, FILE.XXXXXX.part, and goes with whatever SQLite or a
 * lock put beside it, also when a signal ends the program: the name is kept here for its handler.
 */
#include "cli/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

#define TEMPORARY_END ".part"

enum { SUFFIX_BYTES = 16 };

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
    int length = snprintf(temporary, sizeof(temporary), "%s.XXXXXX" TEMPORARY_END, path);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return cli_fault(CLI_USAGE, "%s can't be made (%s)", path, cli_reason(-ENAMETOOLONG));
    save->fd = mkostemps(temporary, (int)strlen(TEMPORARY_END), O_CLOEXEC);
    if (save->fd < 0)
        return cli_fault(CLI_USAGE, "%s can't be made (%s)", path, cli_reason(-errno));
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
    if (close(save->fd) < 0 && r == 0)
        r = -errno;
    save->fd = -1;
    return r < 0 ? cli_fault(CLI_OUTPUT, "%s can't be written (%s)", save->path, cli_reason(r)) : 0;
}

const char *save_temporary(const struct save *save)
{
    return is_standard(save) ? save->path : temporary;
}

/* The new name is on the disk; a file system that has no such thing is no fault. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_BYTES] = ".";

    if (slash != NULL)
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
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
    int r = give_name(save->path);
    save_discard(save); // its other names
    if (r == -EEXIST)
        return is_there(save->path);
    if (r < 0)
        return cli_fault(CLI_OUTPUT, "%s can't be made (%s)", save->path, cli_reason(r));
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
