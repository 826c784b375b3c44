/* Files beside the store for one request. */
#include "store/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const uint64_t room_bytes = UINT64_C(16) << 20; // left free for the tasks that come

char *scratch_name(const char *path, enum scratch which)
{
    static const char *const suffixes[SCRATCH_COUNT] = {
        [SCRATCH_COPY] = "backup.part",
        [SCRATCH_LINES] = "lines.part",
        [SCRATCH_IMPORT] = "import.part",
    };
    char *name = NULL;

    return asprintf(&name, "%s-%s", path, suffixes[which]) < 0 ? NULL : name;
}

int scratch_make(const char *name, int *ret_fd)
{
    (void)unlink(name); // what a killed daemon left
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int scratch_open(const char *path, enum scratch which, int *ret_fd)
{
    char *name = scratch_name(path, which);
    int fd = -1;

    int r = name == NULL ? -ENOMEM : scratch_make(name, &fd);
    if (r == 0 && unlink(name) < 0) {
        r = -errno;
        (void)close(fd); // nothing was written
    }
    free(name);
    if (r == 0)
        *ret_fd = fd;
    return r;
}

bool scratch_has_room(int fd, uint64_t bytes, uint64_t *ret_needed, uint64_t *ret_free)
{
    struct statvfs found = {0};

    if (fstatvfs(fd, &found) < 0)
        return true;
    *ret_needed = bytes + room_bytes;
    *ret_free = (uint64_t)found.f_bavail * found.f_frsize;
    return *ret_free >= *ret_needed;
}

void scratch_drop_left(const char *path)
{
    for (unsigned i = 0; i < SCRATCH_COUNT; i++) {
        char *name = scratch_name(path, (enum scratch)i);
        if (name != NULL)
            (void)unlink(name); // where it stays, the next one of its sort begins with removing it
        free(name);
    }
}
