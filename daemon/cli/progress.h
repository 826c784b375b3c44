/** \file A bar for what takes long, on standard error where that is a terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/clock.h>

struct progress {
    bool is_shown;
    rn_time begun, drawn;
    uint64_t lines_before; // at the last look at the rate
    rn_time looked;
    double lines_per_s;
};

void progress_init(struct progress *progress);
/** Draws it, at most ten times a second. size: of a file in bytes; 0: not known. times: how often
 * it was tried again. */
void progress_draw(struct progress *progress, uint64_t lines, uint64_t bytes, uint64_t size,
                   unsigned times);
/** Takes it off the screen. */
void progress_clear(struct progress *progress);

/** What is drawn: "  42% ████▏    12,000 lines  9,000/s  3s left", in at most width columns.
 * left_ms below 0: not known. Returns text. */
struct progress_view {
    uint64_t lines, bytes, size;
    double lines_per_s;
    int64_t left_ms;
    unsigned times;
};
const char *progress_text(const struct progress_view *view, size_t width, char *text, size_t size);

#endif
