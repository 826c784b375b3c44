/*
 * After-functions: what runs when a context ends.
 *
 * One that waits is on its context's list; who ends the context takes it off and calls it, and so
 * does who adds it to a context that has ended. Whoever has taken it off the list is the only one
 * that calls it, so it runs once or, if a stop took it off, never.
 *
 * All is guarded by the context's lock, which is not held during a call. A function that is stopped
 * from within its own call is freed when it has returned, by who called it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "context.h"

struct rn_after_func {
    rn_context *ctx; // a reference, or NULL: never runs; set once, as are fn and arg
    void (*fn)(void *arg);
    void *arg;
    // Guarded by ctx->mu:
    enum {
        AFTER_WAITS,
        AFTER_RUNS,
        AFTER_GIVEN_BACK, // runs, and was stopped from within: it is freed when it returns
        AFTER_HAS_RUN,
    } stage;
    rn_after_func *next; // while it waits, as previous
    rn_after_func *previous;
    pthread_t thread; // while it runs
    rn_cond returned; // it does not run any more
};

static void append_after_locked(rn_context *ctx, rn_after_func *after_func) RN_REQUIRES(&ctx->mu);
static void append_after_locked(rn_context *ctx, rn_after_func *after_func)
{
    rn_after_func *first = ctx->first_after;

    after_func->next = NULL;
    if (first == NULL) {
        after_func->previous = after_func;
        ctx->first_after = after_func;
    } else {
        after_func->previous = first->previous;
        first->previous->next = after_func;
        first->previous = after_func;
    }
}

static void remove_after_locked(rn_context *ctx, rn_after_func *after_func) RN_REQUIRES(&ctx->mu);
static void remove_after_locked(rn_context *ctx, rn_after_func *after_func)
{
    if (after_func == ctx->first_after)
        ctx->first_after = after_func->next;
    else
        after_func->previous->next = after_func->next;
    // The one that follows, or the first where the last goes, has its new neighbour to learn.
    rn_after_func *follower = after_func->next != NULL ? after_func->next : ctx->first_after;
    if (follower != NULL)
        follower->previous = after_func->previous;
}

/* Calls one that is on no list any more; gives the lock up meanwhile. */
static void run_after_locked(rn_context *ctx, rn_after_func *after_func) RN_REQUIRES(&ctx->mu);
static void run_after_locked(rn_context *ctx, rn_after_func *after_func)
{
    after_func->stage = AFTER_RUNS;
    after_func->thread = pthread_self();
    rn_mutex_unlock(&ctx->mu);
    after_func->fn(after_func->arg);
    rn_mutex_lock(&ctx->mu);
    if (after_func->stage == AFTER_RUNS) {
        after_func->stage = AFTER_HAS_RUN;
        rn_cond_broadcast(&after_func->returned);
        return;
    }
    rn_mutex_unlock(&ctx->mu);
    free(after_func);
    rn_context_unref(ctx);
    rn_mutex_lock(&ctx->mu); // the caller has a reference
}

void rni_context_run_after_funcs(rn_context *ctx)
{
    rn_after_func *after_func;

    rn_mutex_lock(&ctx->mu);
    while ((after_func = ctx->first_after) != NULL) {
        remove_after_locked(ctx, after_func);
        run_after_locked(ctx, after_func);
    }
    rn_mutex_unlock(&ctx->mu);
}

int rn_context_after_func(rn_context *ctx, void (*fn)(void *arg), void *arg, rn_after_func **ret)
{
    RN_ASSERT(fn != NULL);
    rn_after_func *after_func = malloc(sizeof(*after_func));
    if (after_func == NULL)
        return -ENOMEM;
    *after_func = (rn_after_func){.ctx = rn_context_ref(ctx), .fn = fn, .arg = arg};
    *ret = after_func;
    if (ctx == NULL)
        return 0;

    rn_mutex_lock(&ctx->mu);
    if (atomic_load_explicit(&ctx->err, memory_order_relaxed) == 0)
        append_after_locked(ctx, after_func);
    else
        run_after_locked(ctx, after_func);
    rn_mutex_unlock(&ctx->mu);
    return 0;
}

/* Returns the stage in which it was stopped; one that runs elsewhere is waited for. */
static int stop_after_locked(rn_context *ctx, rn_after_func *after_func) RN_REQUIRES(&ctx->mu);
static int stop_after_locked(rn_context *ctx, rn_after_func *after_func)
{
    if (after_func->stage == AFTER_WAITS) {
        remove_after_locked(ctx, after_func);
        return AFTER_WAITS;
    }
    while (after_func->stage == AFTER_RUNS) {
        if (pthread_equal(after_func->thread, pthread_self())) {
            after_func->stage = AFTER_GIVEN_BACK;
            return AFTER_GIVEN_BACK;
        }
        int r = rn_cond_wait(NULL, &after_func->returned, &ctx->mu, RN_NEVER);
        RN_ASSERT(r == 0);
    }
    return AFTER_HAS_RUN;
}

bool rn_after_func_stop(rn_after_func *after_func)
{
    int stage = AFTER_WAITS;

    if (after_func == NULL)
        return true;
    rn_context *ctx = after_func->ctx;
    if (ctx != NULL) {
        rn_mutex_lock(&ctx->mu);
        stage = stop_after_locked(ctx, after_func);
        rn_mutex_unlock(&ctx->mu);
    }
    if (stage != AFTER_GIVEN_BACK) {
        free(after_func);
        rn_context_unref(ctx);
    }
    return stage == AFTER_WAITS;
}
