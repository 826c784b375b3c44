/** \file A bar for what takes long, on standard error where that is a terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/clock.h>

enum progress_unit { PROGRESS_LINES, PROGRESS_BYTES };

struct progress {
    bool is_shown;
    enum progress_unit unit;
    rn_time begun, drawn;
    uint64_t count_before; // at the last look at the rate
    rn_time looked;
    double per_s;
};

void progress_init(struct progress *progress, enum progress_unit unit);
/** Draws it, at most ten times a second. count: lines, or bytes once more. size: of all in bytes;
 * 0: not known. times: how often it was tried again. */
void progress_draw(struct progress *progress, uint64_t count, uint64_t bytes, uint64_t size,
                   unsigned times);
/** Shows a sentence in its place. */
void progress_say(struct progress *progress, const char *sentence);
/** Takes it off the screen. */
void progress_clear(struct progress *progress);

/** What is drawn: "  42% ████▏    12,000 lines  9,000/s  3s left", in at most width columns.
 * left_ms below 0: not known. Returns text. */
struct progress_view {
    enum progress_unit unit;
    uint64_t count, bytes, size;
    double per_s;
    int64_t left_ms;
    unsigned times;
};
const char *progress_text(const struct progress_view *view, size_t width, char *text, size_t size);

#endif
