/** \file
 * A script of operations on a store, one after the other, and what the store has to hold after each
 * of them. The operations are chosen by a seed.
 */
#ifndef TESTS_CRASH_SCRIPT_H
#define TESTS_CRASH_SCRIPT_H

#include "support.h"

enum { SCRIPT_STEPS_MAX = 1024 };

struct script_step {
    const char *what;    // "put", "finish", …
    size_t begun, ended; // moments of the disk: before the submit, after the answer
    uint64_t contents;   // what all the store's rows come to after it
    uint64_t last_id;    // the highest that was given
};

struct script {
    struct fixture *fixture; // has a folder, and is closed
    uint32_t random;         // the seed
    struct script_step steps[SCRIPT_STEPS_MAX];
    size_t count;
    uint64_t stream_lines; // stored under the stream's key
    unsigned keys;         // used so far
};

/** Opens the store (the first step), and does so many more steps. It is left open. */
void script_run(struct script *script, size_t count);

/** Opens the store, with tasks that others follow; nothing runs yet. */
int script_open(struct fixture *fixture, struct error *error);
/** What was running is queued again. */
int script_recover(struct fixture *fixture, struct error *error);

/** A number that two files share only where their rows are the same. The store's id is left out.
 * A file that can't be read, or has no tables: 0. */
uint64_t script_contents(const char *path);

#endif
