/* The bar, and what stands beside it. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/text.h"

enum {
    DRAWS_PER_S = 10,
    LOOK_MS = 1000,
    BAR_COLUMNS = 20,
    EIGHTHS = 8,
    TEXT_BYTES = 512,
    WIDTH = 80
};

void progress_init(struct progress *progress)
{
    rn_time now = rn_now();

    *progress =
        (struct progress){.is_shown = isatty(STDERR_FILENO) == 1, .begun = now, .looked = now};
}

/* A bar of eighths of a column. */
static size_t put_bar(char *text, size_t size, double part)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    unsigned filled = (unsigned)(part * (double)(BAR_COLUMNS * EIGHTHS));
    size_t used = 0;

    for (unsigned i = 0; i < BAR_COLUMNS; i++) {
        const char *block = filled >= (i + 1) * EIGHTHS ? "█"
                            : filled > i * EIGHTHS      ? eighths[filled - i * EIGHTHS]
                                                        : "░";
        used += (size_t)snprintf(text + used, size - used, "%s", block);
    }
    return used;
}

const char *progress_text(const struct progress_view *view, size_t width, char *text, size_t size)
{
    RN_ASSERT(size >= TEXT_BYTES);
    double part = view->size == 0 ? 0 : (double)view->bytes / (double)view->size;
    char lines[FORMAT_BYTES];
    char rate[FORMAT_BYTES];
    char left[FORMAT_BYTES];
    size_t used = 0;

    part = part > 1 ? 1 : part;
    if (view->size > 0) {
        used += (size_t)snprintf(text + used, size - used, "%3.0f%% ", part * 100);
        // A narrow terminal has the numbers.
        if (width >= WIDTH - 1)
            used += put_bar(text + used, size - used, part);
        used += (size_t)snprintf(text + used, size - used, "%s", width >= WIDTH - 1 ? "  " : " ");
    }
    used += (size_t)snprintf(text + used, size - used, "%s lines  %s",
                             format_count((int64_t)view->lines, lines),
                             format_rate(view->lines_per_s, rate));
    if (view->left_ms >= 0)
        used += (size_t)snprintf(text + used, size - used, "  %s left",
                                 format_length(view->left_ms, left));
    if (view->times > 0)
        (void)snprintf(text + used, size - used, "  again %u", view->times);
    text[text_fit(text, width)] = '\0';
    return text;
}

void progress_draw(struct progress *progress, uint64_t lines, uint64_t bytes, uint64_t size,
                   unsigned times)
{
    rn_time now = rn_now();
    struct winsize window;
    char text[TEXT_BYTES];

    if (!progress->is_shown || now - progress->drawn < RN_SECOND / DRAWS_PER_S)
        return;
    if (lines < progress->lines_before) { // from the start again
        progress->lines_before = lines;
        progress->looked = now;
    }
    if (now - progress->looked >= LOOK_MS * RN_MILLISECOND || progress->lines_per_s <= 0) {
        rn_duration took = now - progress->looked;
        if (took > 0)
            progress->lines_per_s =
                (double)(lines - progress->lines_before) * (double)RN_SECOND / (double)took;
        progress->lines_before = lines;
        progress->looked = now;
    }
    struct progress_view view = {.lines = lines,
                                 .bytes = bytes,
                                 .size = size,
                                 .lines_per_s = progress->lines_per_s,
                                 .left_ms = -1,
                                 .times = times};
    if (size > bytes && bytes > 0 && lines > 0 && progress->lines_per_s > 0)
        view.left_ms = (int64_t)((double)(size - bytes) * (double)lines / (double)bytes /
                                 progress->lines_per_s * 1000);
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    size_t width = is_known ? window.ws_col : WIDTH;
    fprintf(stderr, "\r%s\033[K", progress_text(&view, width - 1 + !is_known, text, sizeof(text)));
    progress->drawn = now;
}

void progress_clear(struct progress *progress)
{
    if (progress->is_shown && progress->drawn != 0)
        fputs("\r\033[K", stderr);
    progress->drawn = 0;
}
