/** \file What this process takes of the machine. */
#ifndef OBSERVE_USAGE_H
#define OBSERVE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct usage {
    uint64_t cpu_us;                        // user and system, of the process without its children
    bool has_memory;                        // false: /proc did not tell
    uint64_t resident_bytes, virtual_bytes; // now
    bool has_open_fds;                      // false: /proc did not tell
    uint64_t open_fds;                      // now
    uint64_t max_fds;                       // the soft limit; UINT64_MAX: none
};

/** Reads it. **Blocking:** never for a disk. **Threads:** any. **Errors:** what can't be read is
 * marked so. */
void usage_read(struct usage *ret_usage);

#endif
