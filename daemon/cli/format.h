/** \file Times, lengths, sizes and counts as a person reads them. Each writes into text, of
 * FORMAT_BYTES bytes, and returns it. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

enum { FORMAT_BYTES = 48 };

/** "just now", "3m ago", "in 2h", "5d ago": instant_ms seen from now_ms, both since 1970. */
const char *format_age(int64_t instant_ms, int64_t now_ms, char *text);
/** "12ms", "3.4s", "2m05s", "1h07m", "3d04h". */
const char *format_length(int64_t ms, char *text);
/** "512 B", "1.2 KiB", "3.4 GiB". */
const char *format_bytes(uint64_t bytes, char *text);
/** "1,234,567". */
const char *format_count(int64_t count, char *text);
/** "12,300/s", "0.5/s": per second. */
const char *format_rate(double per_s, char *text);

#endif
