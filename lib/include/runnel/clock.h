/** \file
 * Instants and lengths of time. The monotonic clock is for every wait, the wall clock only for what
 * a person reads.
 */
#ifndef RUNNEL_CLOCK_H
#define RUNNEL_CLOCK_H

#include <stdint.h>

#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An instant on CLOCK_MONOTONIC, nanoseconds. */
typedef int64_t rn_time;
/** A length of time, nanoseconds. */
typedef int64_t rn_duration;

/** A microsecond, as a length of time. */
#define RN_MICROSECOND ((rn_duration)1000)
/** A millisecond. */
#define RN_MILLISECOND (1000 * RN_MICROSECOND)
/** A second. */
#define RN_SECOND (1000 * RN_MILLISECOND)
/** A minute. */
#define RN_MINUTE (60 * RN_SECOND)
/** An hour. */
#define RN_HOUR (60 * RN_MINUTE)

/** The instant that never comes: no deadline. */
#define RN_NEVER ((rn_time)INT64_MAX)

/**
 * Gives the instant now.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_time rn_now(void);

/**
 * Gives the instant that is a length of time from now.
 *
 * @param length  below 0 counts as 0
 * @return RN_NEVER where the sum is out of range
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_time rn_after(rn_duration length);

/**
 * Gives the time on the wall clock, in milliseconds since 1970-01-01 UTC.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API int64_t rn_wall_ms(void);

#ifdef __cplusplus
}
#endif
#endif
