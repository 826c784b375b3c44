/** \file One child process from its start to its end, with its pipes: how a command is run. */
#ifndef RUNNERS_PROCESS_H
#define RUNNERS_PROCESS_H

#include <sys/resource.h>

#include <runnel/context.h>

#include "runners/output.h"
#include "store/slots.h"

/** What to run. All borrowed for the call. */
struct process_spec {
    char *const *argv; // argv[0] is the program's absolute path
    char *const *environment;
    const char *directory;
    const char *input; // for stdin; NULL: /dev/null
    size_t input_bytes;
    size_t output_max; // bytes of stdout; with more the group is killed
    struct slot *slot; // the child writes its pid and start time there
    // How long after SIGTERM SIGKILL follows, asked for again while it waits
    rn_duration (*kill_grace)(void *arg);
    void *kill_grace_arg;
};

/** What failed where nothing was started. */
enum process_step {
    PROCESS_STEP_RESOURCES, // descriptors, memory, the process itself
    PROCESS_STEP_STDIO,
    PROCESS_STEP_DIRECTORY,
    PROCESS_STEP_PROGRAM,
};

/** How it ended. */
struct process_end {
    int error; // 0; negative errno: the program was not started, and only step and wall are set
               // beside it
    enum process_step step;
    int status;          // as wait4(2)
    struct rusage usage; // of it and of those of its children that it has waited for
    int stopped;         // 0; what rn_context_err(ctx) was when it was sent SIGTERM
    bool killed;         // SIGKILL followed
    rn_duration wall;
    struct output_head out; // kept also where it was not started: process_end_fini frees both
    struct output_tail err;
};

/**
 * Runs a program in a session and process group of its own until it has ended, or until ctx ends:
 * then the group gets SIGTERM and, kill_grace later, SIGKILL. No process of the group is left
 * afterwards; one that has left the group is not waited for, even if it holds the pipes. The child
 * is killed by the kernel when this thread ends.
 *
 * **Ownership:** *ret_end is filled in any case: give it to process_end_fini. **Blocking:** until
 * the process has ended.
 * **Threads:** any number at once.
 */
void process_run(rn_context *ctx, const struct process_spec *spec, struct process_end *ret_end);
void process_end_fini(struct process_end *end);

#endif
