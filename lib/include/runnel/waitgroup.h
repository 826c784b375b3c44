/** \file
 * A wait group: waits until a number of things are done (Go: sync.WaitGroup).
 */
#ifndef RUNNEL_WAITGROUP_H
#define RUNNEL_WAITGROUP_H

#include <stdint.h>

#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A wait group, in the caller's storage. Its fields are private. */
typedef struct rn_waitgroup {
    uint64_t state_; // atomic: what is not done yet (upper half), who waits (lower half)
    rn_mutex mu_;
    rn_cond zero_;
    uint64_t rounds_; // how often waiting threads have been released; guarded by mu_
} rn_waitgroup;

/**
 * Makes a wait group of nothing.
 *
 * **Ownership:** the caller's; rn_waitgroup_fini(). **Blocking:** never. **Threads:** one.
 * **Errors:** none.
 */
RN_API void rn_waitgroup_init(rn_waitgroup *wg);

/**
 * Ends a wait group on which nobody waits. A thread whose rn_waitgroup_wait() returned 0 may do so
 * at once: no rn_waitgroup_done() still touches it then.
 *
 * **Ownership:** the storage is the caller's again. **Blocking:** never. **Threads:** the last that
 * uses it. **Errors:** none.
 */
RN_API void rn_waitgroup_fini(rn_waitgroup *wg);

/**
 * Adds n things that are not done yet. What makes the count leave 0 must come before the wait.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none; aborts beyond 2^31.
 */
RN_API void rn_waitgroup_add(rn_waitgroup *wg, unsigned n);

/**
 * Says that one thing is done; the last one releases all who wait.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none; aborts below 0.
 */
RN_API void rn_waitgroup_done(rn_waitgroup *wg);

/**
 * Waits until all is done.
 *
 * **Ownership:** none. **Blocking:** until the count is 0 or ctx ends; a ctx that has ended already
 * wins. **Threads:** any number. **Errors:** as rn_context_err(ctx).
 */
RN_API RN_MUST_CHECK int rn_waitgroup_wait(rn_context *ctx, rn_waitgroup *wg);

#ifdef __cplusplus
}
#endif
#endif
