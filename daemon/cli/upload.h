/** \file A file of lines, or standard input, sent as one stream until the daemon has it, over
 * broken connections and restarts. */
#ifndef CLI_UPLOAD_H
#define CLI_UPLOAD_H

#include "cli/cli.h"
#include "cli/patience.h"
#include "cli/progress.h"
#include "cli/source.h"

struct upload {
    const struct cli *cli;
    const char *path;   // of the file; "-": standard input
    const char *target; // where it is sent: "/v1/tasks"
    bool has_key;       // goes under --key or a key of its own; else sending it twice is harmless
    /** Tells what an answer of 2xx says; returns the exit code. */
    int (*done_fn)(const struct upload *upload, const struct http_reply *reply);
    // From here on upload_file()'s own; done_fn may read them.
    const char *key; // NULL: none
    struct source source;
    struct progress progress;
    struct patience patience;
    bool is_sent; // to its end, in this try
};

/**
 * Sends it. Each line is taken once, since every try has the same key.
 *
 * @return the exit code, told
 *
 * **Blocking:** until the daemon has answered, interrupt_seen(), or until the daemon has been away
 * for --retry-for.
 */
int upload_file(struct upload *upload) RN_MUST_CHECK;

#endif
