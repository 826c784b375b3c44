/* The ballast file. Written, not reserved: on some file systems only what was written has room. */
#include "store/ballast.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

// Left free beside the ballast before it is filled again: without it the next put would find a full
// disk, once a second.
enum { BALLAST_MARGIN = 2 << 20, BALLAST_PIECE = 64 << 10 };

int ballast_open(struct ballast *ballast, const char *path, struct error *reterr)
{
    struct stat status = {0};

    *ballast = (struct ballast){.fd = -1};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot open the ballast '%s': %s", path, strerror(errno));
    if (fstat(fd, &status) < 0) {
        int error = errno;
        (void)close(fd);
        return error_set(reterr, -error, "cannot look at the ballast '%s': %s", path,
                         strerror(error));
    }
    ballast->fd = fd;
    ballast->is_filled = status.st_size == BALLAST_BYTES &&
                         (uint64_t)status.st_blocks * 512 >= (uint64_t)BALLAST_BYTES;
    return 0;
}

static int write_all(int fd)
{
    static const unsigned char piece[BALLAST_PIECE] = {
        0x52}; // no file system that keeps zeros as a hole gets only zeros
    off_t at = 0;

    while (at < BALLAST_BYTES) {
        ssize_t n = pwrite(fd, piece, sizeof(piece), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
    }
    return fdatasync(fd) < 0 ? -errno : 0;
}

int ballast_fill(struct ballast *ballast)
{
    struct statvfs disk = {0};

    RN_ASSERT(ballast->fd >= 0);
    if (ballast->is_filled)
        return 0;
    if (fstatvfs(ballast->fd, &disk) < 0)
        return -errno;
    if ((uint64_t)disk.f_bavail * disk.f_frsize < (uint64_t)BALLAST_BYTES + BALLAST_MARGIN)
        return -ENOSPC;
    int r = write_all(ballast->fd);
    if (r < 0) {
        ballast_release(ballast);
        return r == -EDQUOT ? -ENOSPC : r;
    }
    ballast->is_filled = true;
    return 0;
}

void ballast_release(struct ballast *ballast)
{
    ballast->is_filled = false;
    // Where even this fails, the room is not there: the next write says so.
    if (ballast->fd >= 0)
        (void)!ftruncate(ballast->fd, 0);
}

void ballast_close(struct ballast *ballast)
{
    if (ballast->fd >= 0)
        (void)close(ballast->fd);
    ballast->fd = -1;
}
