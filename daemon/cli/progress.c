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

void progress_init(struct progress *progress, enum progress_unit unit)
{
    rn_time now = rn_now();

    *progress = (struct progress){
        .is_shown = isatty(STDERR_FILENO) == 1, .unit = unit, .begun = now, .looked = now};
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
    bool is_bytes = view->unit == PROGRESS_BYTES;
    char count[FORMAT_BYTES];
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
    used += (size_t)snprintf(
        text + used, size - used, "%s%s  %s%s",
        is_bytes ? format_bytes(view->count, count) : format_count((int64_t)view->count, count),
        is_bytes ? "" : " lines",
        is_bytes ? format_bytes((uint64_t)view->per_s, rate) : format_rate(view->per_s, rate),
        is_bytes ? "/s" : "");
    if (view->left_ms >= 0)
        used += (size_t)snprintf(text + used, size - used, "  %s left",
                                 format_length(view->left_ms, left));
    if (view->times > 0)
        (void)snprintf(text + used, size - used, "  again %u", view->times);
    text[text_fit(text, width)] = '\0';
    return text;
}

static void put(struct progress *progress, const char *text)
{
    fprintf(stderr, "\r%s\033[K", text);
    progress->drawn = rn_now();
}

static size_t columns(void)
{
    struct winsize window;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;

    return is_known ? window.ws_col - 1U : WIDTH;
}

static void look_at_rate(struct progress *progress, uint64_t count, rn_time now)
{
    if (count < progress->count_before) { // from the start again
        progress->count_before = count;
        progress->looked = now;
    }
    if (now - progress->looked < LOOK_MS * RN_MILLISECOND && progress->per_s > 0)
        return;
    rn_duration took = now - progress->looked;
    if (took > 0)
        progress->per_s =
            (double)(count - progress->count_before) * (double)RN_SECOND / (double)took;
    progress->count_before = count;
    progress->looked = now;
}

void progress_draw(struct progress *progress, uint64_t count, uint64_t bytes, uint64_t size,
                   unsigned times)
{
    rn_time now = rn_now();
    char text[TEXT_BYTES];

    if (!progress->is_shown || now - progress->drawn < RN_SECOND / DRAWS_PER_S)
        return;
    look_at_rate(progress, count, now);
    struct progress_view view = {.unit = progress->unit,
                                 .count = count,
                                 .bytes = bytes,
                                 .size = size,
                                 .per_s = progress->per_s,
                                 .left_ms = -1,
                                 .times = times};
    if (size > bytes && bytes > 0 && count > 0 && progress->per_s > 0)
        view.left_ms = (int64_t)((double)(size - bytes) * (double)count / (double)bytes /
                                 progress->per_s * 1000);
    put(progress, progress_text(&view, columns(), text, sizeof(text)));
}

void progress_say(struct progress *progress, const char *sentence)
{
    char text[TEXT_BYTES];

    if (!progress->is_shown)
        return;
    (void)snprintf(text, sizeof(text), "%s", sentence);
    text[text_fit(text, columns())] = '\0';
    put(progress, text);
}

void progress_clear(struct progress *progress)
{
    if (progress->is_shown && progress->drawn != 0)
        fputs("\r\033[K", stderr);
    progress->drawn = 0;
}
