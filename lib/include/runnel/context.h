/** \file
 * Contexts: what ends a wait (Go: package context).
 *
 * A context is done when it is cancelled, when its deadline has come, or when its parent is done.
 * Contexts form trees: what ends a context ends all that are below it, with the same cause, and a
 * child's deadline is never later than its parent's. NULL stands for the context that never ends
 * and has no values (Go: Background); every function that takes a context takes NULL.
 *
 * A context has references. Every holder gives his own back; a child holds one on its parent. Of
 * several who cancel one context the first wins. Any context can be cancelled, whatever it was made
 * for.
 *
 * Deadlines and signals come through the library's timer thread. A process that forks keeps no
 * timer thread in the child, and a signal that reaches the child is for nobody: a child may only go
 * on to exec, which puts signals back to what the system does with them.
 */
#ifndef RUNNEL_CONTEXT_H
#define RUNNEL_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/clock.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A context. */
typedef struct rn_context rn_context;
/** A channel: see chan.h. */
typedef struct rn_chan rn_chan;

/**
 * Makes a context that ends when it is cancelled or when its parent ends.
 *
 * @param parent   NULL: it has none
 * @param ret_ctx  the new context; it has ended already if the parent has
 *
 * **Ownership:** *ret_ctx is new: give it back with rn_context_unref(). It keeps a reference on
 * its parent.
 * **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_ctx is untouched then.
 */
RN_API RN_MUST_CHECK int rn_context_with_cancel(rn_context *parent, rn_context **ret_ctx);

/**
 * Makes a context that ends, with -ETIMEDOUT, when its deadline or that of its parent comes,
 * whichever is earlier; also when it is cancelled or its parent ends.
 *
 * @param parent    NULL: it has none
 * @param deadline  RN_NEVER: only the parent's counts
 * @param ret_ctx   the new context; it has ended already if the deadline has passed
 *
 * **Ownership:** as rn_context_with_cancel(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; -EAGAIN: the timer thread could not be started. *ret_ctx is untouched then.
 */
RN_API RN_MUST_CHECK int rn_context_with_deadline(rn_context *parent, rn_time deadline,
                                                  rn_context **ret_ctx);

/**
 * Shorthand for rn_context_with_deadline(parent, rn_after(timeout), ret_ctx).
 *
 * **Ownership:** as rn_context_with_cancel(). **Blocking:** never. **Threads:** any.
 * **Errors:** as rn_context_with_deadline().
 */
RN_API RN_MUST_CHECK int rn_context_with_timeout(rn_context *parent, rn_duration timeout,
                                                 rn_context **ret_ctx);

/**
 * As rn_context_with_deadline(), with a cause (Go: WithDeadlineCause).
 *
 * @param cause  what rn_context_cause() says if it is this deadline that ends the context: any
 *               number but 0 to which the caller gives a meaning; 0 stands for -ETIMEDOUT. Where
 * the parent's deadline is not later, the parent ends the context, with its own cause.
 *
 * **Ownership:** as rn_context_with_cancel(). **Blocking:** never. **Threads:** any.
 * **Errors:** as rn_context_with_deadline().
 */
RN_API RN_MUST_CHECK int rn_context_with_deadline_cause(rn_context *parent, rn_time deadline,
                                                        int cause, rn_context **ret_ctx);

/**
 * Shorthand for rn_context_with_deadline_cause(parent, rn_after(timeout), cause, ret_ctx).
 *
 * **Ownership:** as rn_context_with_cancel(). **Blocking:** never. **Threads:** any.
 * **Errors:** as rn_context_with_deadline().
 */
RN_API RN_MUST_CHECK int rn_context_with_timeout_cause(rn_context *parent, rn_duration timeout,
                                                       int cause, rn_context **ret_ctx);

/**
 * Makes a context that has the values of its parent, but neither its end nor its deadline (Go:
 * WithoutCancel): for what has to be done after the end.
 *
 * @param parent   NULL: it has no values
 * @param ret_ctx  the new context; it ends only when it is cancelled
 *
 * **Ownership:** *ret_ctx is new: give it back with rn_context_unref(). It keeps the values of its
 * parent, not the parent. **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_ctx is untouched then.
 */
RN_API RN_MUST_CHECK int rn_context_without_cancel(rn_context *parent, rn_context **ret_ctx);

/**
 * Makes a context that carries a value, and ends with its parent. Values are for what belongs to
 * one request and passes through functions that know nothing of it; not for optional parameters.
 *
 * @param parent   NULL: it has none
 * @param key      not NULL; the address of a static object of the module that the value belongs to:
 *                 keys are compared by their addresses
 * @param value    what rn_context_value() gives for the key, here and below; it must be safe for
 * use by many threads at once
 * @param free_fn  gets the value when the context is freed, on the thread that gives the last
 *                 reference back; NULL: the value is only borrowed
 * @param ret_ctx  the new context
 *
 * **Ownership:** *ret_ctx is new: give it back with rn_context_unref(). With free_fn it takes the
 * value; without, the value must outlive it, and so all contexts below it.
 * **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_ctx is untouched and the value the caller's then.
 */
RN_API RN_MUST_CHECK int rn_context_with_value(rn_context *parent, const void *key, void *value,
                                               void (*free_fn)(void *value), rn_context **ret_ctx);

/**
 * Gives the value that a key has: the one nearest to ctx on its way up to the root.
 *
 * @param key  not NULL
 * @return NULL: there is none, or it is NULL
 *
 * **Ownership:** borrowed from the context; valid while the caller keeps his reference on ctx.
 * **Blocking:** never; takes time with the number of contexts up to the root. **Threads:** any.
 * **Errors:** none.
 */
RN_API void *rn_context_value(rn_context *ctx, const void *key);

/**
 * Makes a context that the first of the given signals ends, with the number of the signal as its
 * cause (Go: signal.NotifyContext); also when it is cancelled or its parent ends.
 *
 * From now on until rn_context_stop_signals(), or until the context is freed, these signals have no
 * other effect than this, also those that were ignored; further ones, and those after the end of
 * the context, are swallowed. So who wants a second Ctrl-C to kill calls rn_context_stop_signals()
 * as soon as the context has ended. Several contexts may have the same signal: each of them ends.
 * Interrupted system calls are restarted.
 *
 * A signal is only delivered while a thread of the program does not block it. The library's own
 * threads block all.
 *
 * @param parent   NULL: it has none
 * @param signals  the numbers of the signals; each from 1 on, but none that cannot be caught
 *                 (SIGKILL, SIGSTOP), that reports a fault of the program (SIGSEGV, SIGBUS, SIGFPE,
 *                 SIGILL), or that belongs to the C library
 * @param count    of them; 1 or more
 * @param ret_ctx  the new context; it has ended already if the parent has
 *
 * **Ownership:** signals are copied. *ret_ctx is new: give it back with rn_context_unref(). The
 * contexts below it have references on it too, so it may be freed late: then
 * rn_context_stop_signals() says when the old handling comes back.
 * **Blocking:** never. **Threads:** any.
 * **Errors:** -EINVAL signals or count; -ENOMEM; -EAGAIN the timer thread could not be started.
 * *ret_ctx is untouched and the signals are handled as before then.
 */
RN_API RN_MUST_CHECK int rn_context_with_signals(rn_context *parent, const int *signals,
                                                 size_t count, rn_context **ret_ctx);

/**
 * Cancels a context of rn_context_with_signals(), and gives each of its signals that no other
 * context still has the handling back that it had before the first of them, unless the program has
 * changed it meanwhile. Does nothing the second time.
 *
 * @param ctx  made by rn_context_with_signals(); NULL is allowed
 *
 * **Ownership:** the reference stays the caller's.
 * **Blocking:** as rn_context_cancel(). **Threads:** any. **Errors:** none.
 */
RN_API void rn_context_stop_signals(rn_context *ctx);

/**
 * Ends a context and all below it: their waits return, their descriptors become readable, their
 * channels close, and when all have ended their after-functions run, here on this thread. Does
 * nothing when the context has ended already, or is NULL.
 *
 * @param ctx    the context
 * @param cause  any number but 0 to which the caller gives a meaning; 0 stands for -ECANCELED
 *
 * **Ownership:** the reference stays the caller's.
 * **Blocking:** never, as long as no after-function does. **Threads:** any. **Errors:** none.
 */
RN_API void rn_context_cancel(rn_context *ctx, int cause);

/**
 * Takes another reference.
 *
 * @return ctx; NULL for NULL
 *
 * **Ownership:** the new reference is the caller's. **Blocking:** never.
 * **Threads:** any that has a reference. **Errors:** none.
 */
RN_API rn_context *rn_context_ref(rn_context *ctx);

/**
 * Gives a reference back; NULL is allowed. The last one takes the context off its parent and frees
 * it. Children and after-functions have references too: a parent without an owner goes on passing
 * down what ends it.
 *
 * **Ownership:** takes the reference. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_context_unref(rn_context *ctx);

/**
 * Says whether and how a context has ended. One atomic load.
 *
 * @return 0 not yet (and for NULL); -ECANCELED cancelled; -ETIMEDOUT its deadline came
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** the result itself.
 */
RN_API int rn_context_err(rn_context *ctx);

/**
 * Says why a context has ended.
 *
 * @return 0 not yet (and for NULL); else what was given to rn_context_cancel() or
 *         rn_context_with_deadline_cause(), the number of a signal, or as rn_context_err()
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API int rn_context_cause(rn_context *ctx);

/**
 * Says when a context ends at the latest: the earliest deadline from it up to its root.
 *
 * @return RN_NEVER without one, and for NULL
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API rn_time rn_context_deadline(rn_context *ctx);

/**
 * Gives a descriptor for poll(): readable from the end of the context on, for ever. Never read,
 * write or close it.
 *
 * @return the descriptor (close-on-exec), made by the first call, the same for all
 *
 * **Ownership:** borrowed from the context; closed when that is freed.
 * **Blocking:** never. **Threads:** any. **Errors:** -EMFILE, -ENFILE, -ENOMEM as eventfd(2);
 * -ENOENT ctx is NULL, which never ends: poll() leaves out what is below 0.
 */
RN_API RN_MUST_CHECK int rn_context_fd(rn_context *ctx);

/**
 * Gives a channel that nothing is ever sent on and that is closed when the context ends (Go: Done).
 *
 * @param ret_chan  the channel, of elements of 0 bytes; made by the first call, the same for all;
 *                  NULL if ctx is NULL: as a case of a select never ready
 *
 * **Ownership:** *ret_chan is borrowed from the context. **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; *ret_chan is untouched then.
 */
RN_API RN_MUST_CHECK int rn_context_done(rn_context *ctx, rn_chan **ret_chan);

/** A function that runs when a context ends. */
typedef struct rn_after_func rn_after_func;

/**
 * Has a function called once when the context ends, after all below it have ended too: on the
 * thread that ends it, or here, before this returns, when it has ended already. No lock of the
 * library is held then. Those that wait for the end of one context are called one after the other,
 * as they came.
 *
 * @param ctx  NULL never ends: fn will not run
 * @param fn   must not block
 * @param arg  passed to fn
 * @param ret  what rn_after_func_stop() takes
 *
 * **Ownership:** *ret is new: every one must be given to rn_after_func_stop(), once; until then it
 * keeps a reference on ctx. **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM; fn will not run and *ret is untouched then.
 */
RN_API RN_MUST_CHECK int rn_context_after_func(rn_context *ctx, void (*fn)(void *arg), void *arg,
                                               rn_after_func **ret);

/**
 * Keeps an after-function from running, or sees that it has, and frees it.
 *
 * @param after_func  NULL is allowed: true
 * @return true: the function will not run. false: it has run.
 *
 * **Ownership:** takes after_func. **Blocking:** while the function is running, unless called from
 * within it. **Threads:** any; once. **Errors:** none.
 */
RN_API bool rn_after_func_stop(rn_after_func *after_func);

/**
 * Waits for a length of time.
 *
 * **Ownership:** none. **Blocking:** until the time is over or ctx ends; a ctx that has ended
 * already wins. **Threads:** any. **Errors:** as rn_context_err(ctx).
 */
RN_API RN_MUST_CHECK int rn_sleep(rn_context *ctx, rn_duration length);

#ifdef __cplusplus
}
#endif
#endif
