/* The folder in which a store lies. */
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The write-ahead log needs memory that is shared with every process that has the file, and locks
 * that hold. Not all of these have a name in linux/magic.h. */
static const struct {
    uint32_t type;
    const char *name;
} unfit[] = {
    {NFS_SUPER_MAGIC, "NFS"},    {SMB_SUPER_MAGIC, "SMB"}, {0xff534d42, "CIFS"},
    {0xfe534d42, "CIFS (SMB2)"}, {0x65735546, "FUSE"},
};

/* On the heap; NULL: no memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int look(const char *path, struct statfs *ret_status)
{
    char *folder = folder_of(path);

    if (folder == NULL)
        return -ENOMEM;
    int r = statfs(folder, ret_status) < 0 ? -errno : 0;
    free(folder);
    return r;
}

int place_free_bytes(const char *path, uint64_t *ret_bytes)
{
    struct statfs status = {0};

    int r = look(path, &status);
    if (r == 0)
        *ret_bytes = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
    return r;
}

int place_sync(const char *path)
{
    char *folder = folder_of(path);

    if (folder == NULL)
        return -ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : 0;
    free(folder);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 && errno != EINVAL)
        r = -errno;
    (void)close(fd); // nothing was written through it
    return r;
}

const char *place_unfit(const char *path)
{
    struct statfs status = {0};

    if (look(path, &status) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        if ((uint32_t)status.f_type == unfit[i].type) // it has a sign on some machines
            return unfit[i].name;
    }
    return NULL;
}
