/* Numbers as a person reads them: two digits that matter, no more. */
#include "cli/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <runnel/error.h>

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS
};

const char *format_age(int64_t instant_ms, int64_t now_ms, char *text)
{
    int64_t ms = now_ms - instant_ms;
    bool is_past = ms >= 0;
    char length[FORMAT_BYTES];

    ms = is_past ? ms : -ms;
    if (ms < SECOND_MS && is_past)
        return memcpy(text, "just now", sizeof("just now"));
    if (ms < MINUTE_MS)
        (void)snprintf(length, sizeof(length), "%" PRId64 "s", ms / SECOND_MS);
    else if (ms < HOUR_MS)
        (void)snprintf(length, sizeof(length), "%" PRId64 "m", ms / MINUTE_MS);
    else if (ms < 2 * (int64_t)DAY_MS)
        (void)snprintf(length, sizeof(length), "%" PRId64 "h", ms / HOUR_MS);
    else
        (void)snprintf(length, sizeof(length), "%" PRId64 "d", ms / DAY_MS);
    (void)snprintf(text, FORMAT_BYTES, "%s%.20s%s", is_past ? "" : "in ", length,
                   is_past ? " ago" : "");
    return text;
}

const char *format_length(int64_t ms, char *text)
{
    ms = ms < 0 ? 0 : ms;
    if (ms < SECOND_MS)
        (void)snprintf(text, FORMAT_BYTES, "%" PRId64 "ms", ms);
    else if (ms < MINUTE_MS)
        (void)snprintf(text, FORMAT_BYTES, "%" PRId64 ".%" PRId64 "s", ms / SECOND_MS,
                       ms % SECOND_MS / 100);
    else if (ms < HOUR_MS)
        (void)snprintf(text, FORMAT_BYTES, "%" PRId64 "m%02" PRId64 "s", ms / MINUTE_MS,
                       ms % MINUTE_MS / SECOND_MS);
    else if (ms < 2 * (int64_t)DAY_MS)
        (void)snprintf(text, FORMAT_BYTES, "%" PRId64 "h%02" PRId64 "m", ms / HOUR_MS,
                       ms % HOUR_MS / MINUTE_MS);
    else
        (void)snprintf(text, FORMAT_BYTES, "%" PRId64 "d%02" PRId64 "h", ms / DAY_MS,
                       ms % DAY_MS / HOUR_MS);
    return text;
}

const char *format_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, FORMAT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

const char *format_count(int64_t count, char *text)
{
    char digits[FORMAT_BYTES];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64,
                                     count < 0 ? (uint64_t)0 - (uint64_t)count : (uint64_t)count);
    size_t used = 0;

    if (count < 0)
        text[used++] = '-';
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

const char *format_rate(double per_s, char *text)
{
    if (per_s < 0)
        per_s = 0;
    if (per_s < 9.95) {
        (void)snprintf(text, FORMAT_BYTES, "%.1f/s", per_s);
        return text;
    }
    (void)format_count((int64_t)(per_s + 0.5), text);
    size_t length = strlen(text);
    RN_ASSERT(length + sizeof("/s") <= FORMAT_BYTES);
    memcpy(text + length, "/s", sizeof("/s"));
    return text;
}
