/* A stream is copied into an unlinked temporary file as it is read: nothing waits for its end, and
 * after a broken connection the copy is given first. */
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/interrupt.h"

enum { PATH_BYTES = 4096 };

static int spool_open(int *ret_fd)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_BYTES];

    int length = snprintf(path, sizeof(path), "%s/runnel-load-XXXXXX",
                          folder == NULL || folder[0] == '\0' ? "/tmp" : folder);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    *ret_fd = fd;
    return 0;
}

int source_open(struct source *source, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct stat status;
    int r = 0;

    *source = (struct source){.spool = -1, .is_at_line_end = true};
    source->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return -errno;
    if (fstat(source->fd, &status) < 0)
        r = -errno;
    else if (S_ISDIR(status.st_mode))
        r = -EISDIR;
    else if (S_ISREG(status.st_mode) && lseek(source->fd, 0, SEEK_CUR) == 0)
        source->size = (uint64_t)status.st_size;
    else
        r = spool_open(&source->spool);
    if (r < 0)
        source_close(source);
    return r;
}

void source_close(struct source *source)
{
    if (source->fd > STDIN_FILENO)
        (void)close(source->fd);
    if (source->spool >= 0)
        (void)close(source->spool);
    source->fd = -1;
    source->spool = -1;
}

int source_rewind(struct source *source)
{
    if (source->spool < 0 && lseek(source->fd, 0, SEEK_SET) < 0)
        return -errno;
    source->position = 0;
    source->lines = 0;
    source->is_at_line_end = true;
    source->has_ended = false;
    return 0;
}

/* Keeps what a stream gave. */
static int spool_append(struct source *source, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = pwrite(source->spool, bytes, count, (off_t)source->spooled);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        count -= (size_t)written;
        source->spooled += (uint64_t)written;
    }
    return 0;
}

static ssize_t read_some(struct source *source, char *buffer, size_t size)
{
    if (source->spool >= 0 && source->position < source->spooled)
        return pread(source->spool, buffer, size, (off_t)source->position);
    ssize_t got = read(source->fd, buffer, size);
    if (got > 0 && source->spool >= 0) {
        int r = spool_append(source, buffer, (size_t)got);
        errno = -r;
        return r < 0 ? -1 : got;
    }
    return got;
}

long source_read(struct source *source, char *buffer, size_t size)
{
    ssize_t got = 0;

    do {
        got = interrupt_seen() ? -1 : read_some(source, buffer, size);
    } while (got < 0 && !interrupt_seen() && errno == EINTR);
    if (got < 0) {
        source->error = interrupt_seen() ? -EINTR : -errno;
        return source->error;
    }
    if (got == 0) {
        source->has_ended = true;
        return 0;
    }
    for (const char *newline = buffer;
         (newline = memchr(newline, '\n', (size_t)(buffer + got - newline))) != NULL; newline++)
        source->lines++;
    source->is_at_line_end = buffer[got - 1] == '\n';
    source->position += (uint64_t)got;
    if (source->position > source->farthest)
        source->farthest = source->position;
    return got;
}

uint64_t source_lines(const struct source *source)
{
    return source->lines + !source->is_at_line_end;
}
