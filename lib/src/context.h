/** \file
 * A context as the library's own sources see it: what every kind of context has, and what a kind
 * adds. A kind is a struct that begins with a struct rn_context.
 */
#ifndef RUNNEL_SRC_CONTEXT_H
#define RUNNEL_SRC_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <runnel/context.h>
#include <runnel/sync.h>

/** What a kind of context does beyond what all do. Each NULL: nothing. No lock is held. */
struct rni_context_kind {
    void (*ended_fn)(rn_context *ctx); // by who has ended it, once
    void (*fini_fn)(rn_context *ctx);  // before it is freed; nobody has a reference any more
};

struct rn_context {
    _Atomic unsigned references;
    _Atomic int err;                     // 0, then -ECANCELED or -ETIMEDOUT; stored under mu
    int cause;                           // set once, before err
    _Atomic int fd;                      // the eventfd, or -1; stored under mu, once
    _Atomic(rn_chan *) done;             // the channel, or NULL; stored under mu, once
    rn_time deadline;                    // set once by new; the earliest up to the root
    rn_context *parent;                  // set once by new; a reference; NULL: none
    const struct rni_context_kind *kind; // set once by new
    rn_mutex mu;                         // rank 40
    struct rn_waitlist waiters RN_GUARDED_BY(mu);
    rn_context *first_child RN_GUARDED_BY(mu);
    // In the order in which they came; the first's `previous` is the last.
    rn_after_func *first_after RN_GUARDED_BY(mu);
    // Guarded by the parent's mu:
    rn_context *next_sibling;
    rn_context **link; // what points at it on the parent's list; NULL: it is not there
};

/**
 * Makes a context in a struct of that many bytes, of which the first are the struct rn_context;
 * those behind it are 0, and the caller's. It hears of its parent's end from rni_context_attach()
 * on. NULL: no memory.
 */
rn_context *rni_context_new(size_t bytes, const struct rni_context_kind *kind, rn_context *parent,
                            rn_time deadline);

/** Puts a new context on its parent's list, or ends it as the parent has ended. */
void rni_context_attach(rn_context *ctx);

/** Takes a reference unless the last one has been given back. */
bool rni_context_ref_unless_zero(rn_context *ctx);

/** Ends a context and all below it, unless it has ended. The caller has a reference. */
void rni_context_end(rn_context *ctx, int err, int cause);

/** Calls the after-functions of a context that has ended, one after the other. In context_after.c.
 */
void rni_context_run_after_funcs(rn_context *ctx);

#endif
