/* Lines out of a buffer that grows to the longest of them. */
#include "store/lines.h"

#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

/* More of the file. What was given out is dropped. */
static int fill(struct lines *lines)
{
    struct buffer *text = &lines->text;

    if (lines->from > 0) {
        memmove(text->bytes, text->bytes + lines->from, text->length - lines->from);
        text->length -= lines->from;
        lines->seen -= lines->from;
        lines->from = 0;
    }
    if (text->length > lines->longest)
        return -EMSGSIZE;
    char *room = buffer_reserve(text, READ_BYTES);
    if (room == NULL)
        return -ENOMEM;
    ssize_t n = 0;
    do {
        n = read(lines->fd, room, READ_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    text->length += (size_t)n;
    lines->has_ended = n == 0;
    return 0;
}

int lines_next(struct lines *lines, const char **ret_line, size_t *ret_length)
{
    const struct buffer *text = &lines->text;

    for (;;) {
        const char *newline = lines->seen < text->length ? memchr(text->bytes + lines->seen, '\n',
                                                                  text->length - lines->seen)
                                                         : NULL;
        lines->seen = newline == NULL ? text->length : (size_t)(newline - text->bytes) + 1;
        if (newline == NULL && !lines->has_ended) {
            int r = fill(lines);
            if (r < 0) {
                lines->number++;
                return r;
            }
            continue;
        }
        if (lines->from == lines->seen)
            return 0;
        size_t length = lines->seen - lines->from - (newline == NULL ? 0 : 1);
        lines->number++;
        if (length > lines->longest)
            return -EMSGSIZE;
        *ret_line = text->bytes + lines->from;
        *ret_length = length;
        lines->from = lines->seen;
        return 1;
    }
}

void lines_fini(struct lines *lines)
{
    buffer_fini(&lines->text);
}
