/** \file What load sends: a file, or standard input kept in a temporary file while it is sent, so
 * that both can be sent again from their start. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/error.h>

struct source {
    int fd;                     // what is read
    int spool;                  // a copy of what was read of a stream; -1: fd can be read again
    uint64_t position, spooled; // bytes given since the start; bytes in the spool
    uint64_t size;              // of a file; 0: not known
    uint64_t lines;             // given since the start
    uint64_t farthest;          // the most bytes ever given
    bool is_at_line_end;
    bool has_ended; // the end has been seen
    int error;      // a read or a write of the spool failed: a negative errno
};

/** "-": standard input. **Errors:** that of opening, or of making the temporary file. */
int source_open(struct source *source, const char *path) RN_MUST_CHECK;
void source_close(struct source *source);
/** From the start again. */
int source_rewind(struct source *source) RN_MUST_CHECK;
/** Up to size bytes; 0: the end; below 0: error has the reason. **Blocking:** until a stream has
 * some, or interrupt_seen() (-EINTR). */
long source_read(struct source *source, char *buffer, size_t size);
/** Lines given so far, the last one counted without its newline too. */
uint64_t source_lines(const struct source *source);

#endif
