/** \file
 * A group of threads that stand for one thing: the first error ends the context of all of them
 * (Go: golang.org/x/sync/errgroup).
 *
 * Which to pick: a group, where a handful of different things run at once, each in a thread of its
 * own; pool.h, where many short functions share a number of threads; service.h, where all tasks
 * are of one sort.
 */
#ifndef RUNNEL_GROUP_H
#define RUNNEL_GROUP_H

#include <runnel/context.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A group of threads. */
typedef struct rn_group rn_group;

/**
 * Makes a group without threads.
 *
 * @param parent     ends the group's context when it ends; NULL never does
 * @param ret_group  the new group
 *
 * **Ownership:** *ret_group is new: rn_group_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_group is untouched then.
 */
RN_API RN_MUST_CHECK int rn_group_new(rn_context *parent, rn_group **ret_group);

/**
 * Sets how many functions run at once at most.
 *
 * @param limit  0: any number, as at the beginning
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_group_set_limit(rn_group *group, unsigned limit);

/**
 * Runs a function in a thread of its own, with all signals blocked.
 *
 * @param group  the group
 * @param name   of the thread, as the system shows it; the first 15 bytes count; copied
 * @param fn     gets the group's context; its first result other than 0 is that of the group and
 *               the cause with which the context ends
 * @param arg    passed to fn
 *
 * **Ownership:** arg is borrowed until fn returns.
 * **Blocking:** while as many functions run as the limit allows. **Threads:** any, functions of the
 * group included. **Errors:** -ENOMEM; -EAGAIN the system gives no thread. fn does not run then.
 */
RN_API RN_MUST_CHECK int rn_group_go(rn_group *group, const char *name,
                                     int (*fn)(rn_context *ctx, void *arg), void *arg);

/**
 * As rn_group_go(), but does not wait.
 *
 * **Ownership:** as rn_group_go(). **Blocking:** never. **Threads:** as rn_group_go().
 * **Errors:** -EAGAIN as many functions run as the limit allows, or the system gives no thread;
 * -ENOMEM. fn does not run then.
 */
RN_API RN_MUST_CHECK int rn_group_try_go(rn_group *group, const char *name,
                                         int (*fn)(rn_context *ctx, void *arg), void *arg);

/**
 * Waits until all functions have returned and their threads are gone, then ends the context.
 *
 * @return 0, or the first result other than 0
 *
 * **Ownership:** none. **Blocking:** until then; cancel rn_group_context() to hurry them.
 * **Threads:** any, but no function of the group. **Errors:** that of the functions.
 */
RN_API int rn_group_wait(rn_group *group);

/**
 * Gives the context that the functions get.
 *
 * **Ownership:** borrowed from the group. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_context *rn_group_context(rn_group *group);

/**
 * Frees a group. NULL is allowed.
 *
 * **Ownership:** takes the group; rn_group_wait() has returned after the last rn_group_go().
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_group_free(rn_group *group);

#ifdef __cplusplus
}
#endif
#endif
