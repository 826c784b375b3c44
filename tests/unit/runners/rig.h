/** \file One attempt, built by hand as the engine builds it, with a work root of its own: what the
 * tests of runners start from. */
#ifndef TESTS_RUNNERS_RIG_H
#define TESTS_RUNNERS_RIG_H

#include "unit.h"

#include <limits.h>
#include <pthread.h>

#include "runners/runner.h"

enum { RIG_WORDS_MAX = 16 };

struct rig {
    struct config_kind kind;
    char *words[RIG_WORDS_MAX + 1]; // kind.command
    struct slot *slot;              // in memory that is shared with children, as the store's is
    struct attempt attempt;
    char folder[PATH_MAX / 4]; // of the test
    char work_root[PATH_MAX / 2];
    char fifo[PATH_MAX / 2]; // exists; see rig_run_until_ready
    rn_context *ctx;
    _Atomic int64_t kill_grace;
    struct outcome outcome;
    json_t *exec; // outcome.exec, parsed
};

/** A kind with the built-in of that name. */
void rig_init_builtin(struct rig *rig, const char *name);
/** A kind with the command; words end with NULL. */
void rig_init_command(struct rig *rig, const char *const *words);
/** A kind with /bin/sh -c script. */
void rig_init_shell(struct rig *rig, const char *script);
/** Asserts that nothing was left in the work root and in the slot. */
void rig_fini(struct rig *rig);

/** Runs an attempt with these args (JSON text). What an earlier run left in outcome and exec is
 * freed. */
void rig_run(struct rig *rig, const char *args);

/** What is done, on a thread of its own (so without asserts), when the command has written a line
 * into the fifo. */
typedef void rig_ready_fn(struct rig *rig, const char *line);
/** The same, and calls ready_fn meanwhile. The script finds the fifo's path in $FIFO. */
void rig_run_until_ready(struct rig *rig, const char *args, rig_ready_fn *ready_fn);
/** Cancels the context. */
void rig_cancel(struct rig *rig, const char *line);

/** Opens the fifo for reading, before the command starts. */
int rig_open_fifo(const struct rig *rig);
/** Waits until nobody holds the fifo open for writing: reads to its end, and closes it. */
void rig_read_to_the_end(int fd);

void rig_assert_succeeded(const struct rig *rig, const char *result);
void rig_assert_failed(const struct rig *rig, const char *code);
/** Asserts that text contains part, showing both if not. */
void assert_contains(const char *text, const char *part);

/** Calls fn, which makes no asserts, on a thread for which and for whose children the system calls
 * (numbers, ended by -1) fail with error. */
void rig_with_failing_calls(const long *calls, int error, void (*fn)(struct rig *rig),
                            struct rig *rig);

/** From now on the daemon believes that it runs in a sandbox, or in none, which is so at first. */
void rig_in_sandbox(const struct rig *rig, bool is_in);

#endif
