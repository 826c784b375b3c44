/** \file
 * A runner runs one sort of kind: a built-in of the daemon or a command. The engine hands it one
 * attempt of one task on a worker's thread; it waits on its own descriptors and on the task's
 * context, so that a cancelled task stops at once.
 */
#ifndef RUNNERS_RUNNER_H
#define RUNNERS_RUNNER_H

#include <jansson.h>

#include <runnel/context.h>

#include "config/config.h"
#include "store/slots.h"

/** One attempt, as a runner sees it. All borrowed for the call. */
struct attempt {
    uint64_t task;
    uint64_t run;
    const char *queue;
    const struct config_kind *kind;
    unsigned number;  // of the attempt, from 1
    const char *args; // JSON text, NUL-terminated; "null" where the task has none
    size_t args_bytes;
    int64_t deadline_ms;     // wall clock, for RUNNEL_DEADLINE
    const char *traceparent; // for TRACEPARENT; "" or NULL: none
    struct slot *slot;       // a command's child writes its pid there
    const char *work_root;   // folder below which an own work directory is made, absolute
    // How long after ctx's end SIGKILL follows SIGTERM; read when it is needed, since a second
    // SIGTERM shortens it
    rn_duration (*kill_grace)(void *arg);
    void *kill_grace_arg;
};

/** How it ended. Strings are new, freed by outcome_fini. */
struct outcome {
    bool succeeded;
    char *result; // succeeded: text or JSON; NULL: null
    size_t result_bytes;
    bool result_is_json;
    char code[32]; // failed: exit, signal, timeout, not-started, output-too-large, bad-output,
                   // invalid-args, failed (built-ins)
    char *message;
    bool retryable;
    char *exec; // JSON object, commands only
};
void outcome_fini(struct outcome *outcome);
/** Makes it a failure; a message that can't be allocated is left out. Clears what was there. */
void outcome_fail(struct outcome *outcome, const char *code, bool retryable, const char *format,
                  ...) RN_PRINTF(4, 5);
/** Makes it the failure that follows from the end of the attempt's context: "timeout" for
 * -ETIMEDOUT, else "cancelled". */
void outcome_stopped(struct outcome *outcome, int error);

/** A fault of args, found at submission and again before the start. */
struct args_fault {
    char pointer[160]; // JSON pointer below the task: "#/args/path"
    char detail[256];
};

/**
 * Whether args fit the kind (placeholders present, of the right type, accepted by their pattern,
 * built-in's own fields).
 *
 * @param args  the parsed value; NULL: null
 * @param text  the JSON text that args were parsed from: a number is checked as it is written there
 *              (1.10); NULL: in the shortest form that reads back as the same number (1.1)
 * @return the number of faults found, at most max of which are written to ret_faults; 0: they fit
 *
 * **Blocking:** never. **Threads:** any.
 */
size_t runner_check_args(const struct config_kind *kind, const json_t *args, const char *text,
                         size_t bytes, struct args_fault *ret_faults, size_t max);

/** Runs the attempt to its end. ctx ends at its timeout (-ETIMEDOUT is the engine's to tell apart
 * by rn_context_cause) or by cancel or drain: a runner then stops as soon as it can and returns a
 * failure (code "timeout" or "cancelled"; the engine decides by the context's cause). Blocking:
 * until the attempt has ended. Never leaves a process of the attempt's group behind. */
void runner_run(rn_context *ctx, const struct attempt *attempt, struct outcome *ret_outcome);

/**
 * Makes the folder in which work directories are made (mode 0700) if it is not there, and removes
 * the work directories that a daemon which was killed has left in it. Once, before the first
 * attempt, with the store's lock held.
 *
 * **Blocking:** for the removal, at most 5 s; what is left then stays for the next time.
 * **Threads:** one.
 * **Errors:** as mkdir(2) and open(2): attempts without a `directory` will not start. What can't be
 * removed is no error.
 */
int runner_open_work_root(const char *work_root) RN_MUST_CHECK;

/** Removes the empty work directories that are kept for later attempts; after the last attempt. A
 * daemon that leaves without it is cleaned up after by the next one. Blocking: for the removal, at
 * most 5 s. */
void runner_close_work_root(const char *work_root);

/** The names of all built-ins, NULL-terminated. Static. Threads: any. */
const char *const *runner_builtins(void);

/** A built-in: run fills outcome (zeroed before), check may be NULL. */
struct builtin {
    const char *name;
    void (*run_fn)(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                   struct outcome *outcome);
    size_t (*check_fn)(const json_t *args, struct args_fault *ret_faults, size_t max);
    bool takes_text; // run_fn uses attempt->args alone and args is not parsed (echo, noop)
};
/** The table, ending with a NULL name. The product's stands in builtin.c. */
extern const struct builtin builtin_table[];
/** Built-ins beside the product's: empty there; the tests' second daemon links another definition.
 */
extern const struct builtin builtin_extra_table[];

#endif
