/* Reading the files of a configuration. */
#include "config/file.h"

#include <errno.h>
#include <unistd.h>

int file_read(int fd, void *bytes, size_t size, size_t *ret_count)
{
    size_t used = 0;

    while (used < size) {
        ssize_t n = read(fd, (char *)bytes + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *ret_count = used;
    return 0;
}

void file_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
