/* The store's lock. */
#include "store/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"

static int set_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* Who has it, by the kernel; what the file says of it: "process 4711 since 2026-…". */
static int refuse(int fd, const char *path, struct error *reterr)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[128] = "";
    char *since = NULL;

    if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        lock.l_pid = 0; // gone meanwhile
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    since = strstr(text, " since ");
    if (since != NULL)
        since[strcspn(since, "\n")] = '\0';
    return error_set(reterr, -EBUSY, "the store is in use by process %ld%s (lock '%s')",
                     (long)lock.l_pid, since == NULL ? "" : since, path);
}

int lock_take(const char *path, int *ret_fd, struct error *reterr)
{
    char text[128];
    char now[UNITS_INSTANT_BYTES];
    int r = 0;

    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot open the lock '%s': %s", path, strerror(errno));
    r = set_lock(fd);
    if (r == -EACCES || r == -EAGAIN)
        r = refuse(fd, path, reterr);
    else if (r < 0)
        r = error_set(reterr, r, "cannot lock '%s': %s", path, strerror(-r));
    if (r < 0) {
        (void)close(fd);
        return r;
    }

    (void)units_instant_text(rn_wall_ms(), now);
    int length = snprintf(text, sizeof(text), "process %ld since %s\n", (long)getpid(), now);
    RN_ASSERT(length > 0 && (size_t)length < sizeof(text));
    // For a person alone: on a full disk it says nothing.
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)length) < 0)
        (void)!ftruncate(fd, 0);
    *ret_fd = fd;
    return 0;
}
