/** \file
 * A weighted semaphore (Go: golang.org/x/sync/semaphore).
 *
 * It has a number of units. Who wants to use what they stand for (memory, connections, processors)
 * takes some of them first, waiting while too few are free, and gives them back afterwards. Who
 * waits is served in the order in which all came: one that wants many units is not overtaken by
 * those that want few, so it does not wait for ever.
 */
#ifndef RUNNEL_SEMAPHORE_H
#define RUNNEL_SEMAPHORE_H

#include <stdint.h>

#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A semaphore. */
typedef struct rn_semaphore rn_semaphore;

/**
 * Makes a semaphore of which all units are free.
 *
 * @param limit          how many units it has; below 2^63
 * @param ret_semaphore  the new semaphore
 *
 * **Ownership:** *ret_semaphore is new: rn_semaphore_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EINVAL limit; -ENOMEM. *ret_semaphore is untouched then.
 */
RN_API RN_MUST_CHECK int rn_semaphore_new(uint64_t limit, rn_semaphore **ret_semaphore);

/**
 * Frees a semaphore on which nobody waits. NULL is allowed.
 *
 * **Ownership:** takes it. **Blocking:** never. **Threads:** the last that uses it.
 * **Errors:** none; aborts when somebody waits.
 */
RN_API void rn_semaphore_free(rn_semaphore *semaphore);

/**
 * Takes n units, waiting for them behind all who wait already.
 *
 * @param ctx  ends the wait when it ends; NULL never does
 * @param n    0: waits for those before it and takes none
 *
 * **Ownership:** the units are the caller's until rn_semaphore_release(), which any thread may
 * call.
 * **Blocking:** until n units are free and nobody waits before, or ctx ends; a ctx that has ended
 * already wins. **Threads:** any.
 * **Errors:** -EINVAL at once when n is above the limit, since they could never be had; as
 * rn_context_err(ctx). None is taken then, and those that waited behind go on.
 */
RN_API RN_MUST_CHECK int rn_semaphore_acquire(rn_context *ctx, rn_semaphore *semaphore, uint64_t n);

/**
 * Takes n units if that needs no wait.
 *
 * **Ownership:** as rn_semaphore_acquire(). **Blocking:** never. **Threads:** any.
 * **Errors:** -EAGAIN too few are free, or somebody waits; -EINVAL n is above the limit. None is
 * taken then.
 */
RN_API RN_MUST_CHECK int rn_semaphore_try_acquire(rn_semaphore *semaphore, uint64_t n);

/**
 * Gives n units back, all or some of those that were taken, and has those go on that wait and now
 * find enough.
 *
 * **Ownership:** takes the units back. **Blocking:** never. **Threads:** any, also one that did not
 * take them. **Errors:** none; aborts when more are given back than were taken.
 */
RN_API void rn_semaphore_release(rn_semaphore *semaphore, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
