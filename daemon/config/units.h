/** \file Numbers, lengths of time, rates, sizes and instants from text and back. The one place
 * where numbers are parsed. */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include <runnel/clock.h>

/** "500ms", "30s", "5m", "1h30m", "7d": parts in falling order, each unit once, whole numbers.
 * -EINVAL; -ERANGE above 100 years. */
int units_duration(const char *text, rn_duration *ret_duration) RN_MUST_CHECK;
/** The same in reverse, shortest exact form ("1h30m", "0s"); size >= 48 always suffices. Returns
 * text. */
const char *units_duration_text(rn_duration duration, char *text, size_t size);
/** "10/s", "90/m", "2.5/h", to starts per second. -EINVAL also at 0 or below, above 1,000,000/s. */
int units_rate(const char *text, double *ret_per_s) RN_MUST_CHECK;
/** "64KiB", "16MiB", "1GiB", "4096": bytes. -EINVAL, -ERANGE. */
int units_bytes(const char *text, uint64_t *ret_bytes) RN_MUST_CHECK;
/** The same in reverse, shortest exact form ("64KiB", "4097"); size >= 32 always suffices. Returns
 * text. */
const char *units_bytes_text(uint64_t bytes, char *text, size_t size);
/** Decimal digits alone. -EINVAL, -ERANGE above max. */
int units_unsigned(const char *text, uint64_t max, uint64_t *ret_number) RN_MUST_CHECK;
/** RFC 3339 with any offset, to milliseconds since 1970 UTC; fractions beyond milliseconds are cut.
 * -EINVAL. */
int units_instant(const char *text, int64_t *ret_ms) RN_MUST_CHECK;
enum { UNITS_INSTANT_BYTES = 32 };
/** 2026-11-24T22:25:46.123Z. text has UNITS_INSTANT_BYTES bytes. Returns its length. Fast: used for
 * every answer. */
size_t units_instant_text(int64_t ms, char *text);

#endif
