/** \file Instants and lengths of time. The monotonic clock is for every wait, the wall clock only
 * for what a person reads. */
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

#define RN_MICROSECOND ((rn_duration)1000)
#define RN_MILLISECOND (1000 * RN_MICROSECOND)
#define RN_SECOND (1000 * RN_MILLISECOND)
#define RN_MINUTE (60 * RN_SECOND)
#define RN_HOUR (60 * RN_MINUTE)

/** The instant that never comes: no deadline. */
#define RN_NEVER ((rn_time)INT64_MAX)

/** The instant now. **Blocking:** never. **Threads:** any. */
RN_API rn_time rn_now(void);

/** now + length, RN_NEVER where that is out of range; a length below 0 counts as 0. **Blocking:**
 * never. **Threads:** any. */
RN_API rn_time rn_after(rn_duration length);

/** Milliseconds since 1970-01-01 UTC on the wall clock. **Blocking:** never. **Threads:** any. */
RN_API int64_t rn_wall_ms(void);

#ifdef __cplusplus
}
#endif
#endif
