/* A copy that is read by its own connection. */
#include "store/copy.h"

#include <stdlib.h>
#include <unistd.h>

// In the header of a database: the versions for writing and reading, of which 2 is one with a
// write-ahead log (sqlite.org/fileformat2.html, 1.3.3).
enum { HEADER_VERSIONS = 18 };

int copy_new(const char *part, struct store_copy **ret_copy)
{
    struct store_copy *copy = malloc(sizeof(*copy));
    struct error error = {0};

    if (copy == NULL)
        return -ENOMEM;
    int r = sqlite_open(&copy->sqlite, part, SQLITE_READER, &error);
    if (r < 0) {
        free(copy);
        return r;
    }
    *ret_copy = copy;
    return 0;
}

int copy_settle(int fd)
{
    static const unsigned char without_log[2] = {1, 1};

    // Else a log would be made for it beside the store.
    ssize_t n = pwrite(fd, without_log, sizeof(without_log), HEADER_VERSIONS);
    if (n < 0)
        return -errno;
    return n == (ssize_t)sizeof(without_log) ? 0 : -ENOSPC;
}

void store_copy_free(struct store_copy *copy)
{
    if (copy == NULL)
        return;
    sqlite_close(&copy->sqlite);
    free(copy);
}
