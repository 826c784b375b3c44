/** \file What top shows, as text: two samples in, lines out. */
#ifndef CLI_TOP_VIEW_H
#define CLI_TOP_VIEW_H

#include "cli/cli.h"

/** A line that begins with it (no text of a task's can have it) is a title; with the other one, a
 * fault. */
enum { TOP_TITLE = '\001', TOP_FAULT = '\002' };

/** The answers of one look; NULL where there is none. */
struct top_sample {
    json_t *stats, *queues, *running, *failed;
    rn_time at;
};

struct top_view {
    struct top_sample now, before; // before.stats NULL: there are no rates yet
    const char *url;
    const char *fault; // NULL: the daemon answers
    unsigned faults;   // looks in a row without an answer
};

void top_sample_fini(struct top_sample *sample);

/**
 * Makes the screen: at most height lines of at most width columns.
 *
 * **Ownership:** a new text. **Errors:** -ENOMEM.
 */
int top_view_text(const struct cli *cli, const struct top_view *view, size_t width, size_t height,
                  char **ret_text) RN_MUST_CHECK;

#endif
