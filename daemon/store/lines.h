/** \file The lines of a file, one at a time, each of a bounded length. One thread at a time. */
#ifndef STORE_LINES_H
#define STORE_LINES_H

#include <stdint.h>

#include "store/buffer.h"

struct lines {
    int fd;          // borrowed
    uint64_t number; // of the line that was read last, from 1
    size_t longest;  // bytes that a line may have
    // its own
    struct buffer text;
    size_t from; // where the next line begins
    size_t seen; // up to here there is no newline
    bool has_ended;
};

/**
 * The next line without its newline, which the last one may lack: 1; 0: there is none left.
 *
 * @param ret_line  borrowed until the next call; not NUL-terminated
 *
 * **Errors:** -EMSGSIZE: longer than allowed; -ENOMEM; as read(2).
 */
int lines_next(struct lines *lines, const char **ret_line, size_t *ret_length) RN_MUST_CHECK;
void lines_fini(struct lines *lines);

#endif
