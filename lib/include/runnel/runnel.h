/** \file
 * librunnel, the whole: Go's concurrency patterns on pthreads.
 */
#ifndef RUNNEL_RUNNEL_H
#define RUNNEL_RUNNEL_H

#include <runnel/chan.h>
#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/fan.h>
#include <runnel/group.h>
#include <runnel/limiter.h>
#include <runnel/pipeline.h>
#include <runnel/pool.h>
#include <runnel/semaphore.h>
#include <runnel/service.h>
#include <runnel/sync.h>
#include <runnel/ticker.h>
#include <runnel/waitgroup.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of these headers. */
#define RN_VERSION "0.1.0"

/**
 * Gives the version of the library that is linked, in the form of RN_VERSION.
 *
 * **Ownership:** the text is static. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API const char *rn_version(void);

#ifdef __cplusplus
}
#endif
#endif
