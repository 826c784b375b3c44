/*
 * Contexts: a tree of what ends waits.
 *
 * 1. `err` leaves 0 once, under mu, after `cause`; whoever reads it other than 0 (acquire) may read
 *    the cause. What depends on "has it ended" looks under mu, so a waiter, a child, a descriptor,
 * a channel or an after-function is either there when the context ends, and is told by who ends it,
 * or sees that it has ended.
 * 2. A child is on its parent's list until it ends or is freed, and holds a reference on its parent
 *    until it is freed. The list holds no reference on the child: who walks it takes one, unless
 * the count has fallen to 0; then the child is about to be freed and waits for the parent's mu.
 * 3. One lock is held at a time: that of a context, or that of its parent, never both; and no other
 *    lock of the library with it. Nothing is called under it.
 * 4. Trees are ended and freed in loops, however deep or wide they are. Children that are to be
 * ended are linked by next_sibling: they have been taken off their parent's list, which happens
 * once, so nobody else uses the field.
 * 5. The timer of a deadline holds no reference; its function takes one unless the count has fallen
 *    to 0, and freeing waits until the function does not run.
 */
#include <runnel/context.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <runnel/chan.h>
#include <runnel/sync.h>

#include "timer.h"
#include "waiter.h"

struct rn_after_func {
    rn_context *ctx; // a reference; set once, as are fn and arg
    void (*fn)(void *arg);
    void *arg;
    bool waits; // it is on the list; guarded by ctx->mu, as are the links
    rn_after_func *next;
    rn_after_func *previous;
};

struct rn_context {
    _Atomic unsigned references;
    _Atomic int err;    // 0, then -ECANCELED or -ETIMEDOUT for ever; stored under mu
    int cause;          // set once, before err
    rn_time deadline;   // set once by new; the earliest up to the root
    rn_context *parent; // set once by new; a reference; NULL: none
    bool has_timer;     // set once by new: the deadline is its own
    struct rni_timer timer;
    _Atomic int fd;          // the eventfd, or -1; stored under mu, once
    _Atomic(rn_chan *) done; // the channel, or NULL; stored under mu, once
    rn_mutex mu;             // rank 40
    struct rn_waitlist waiters RN_GUARDED_BY(mu);
    rn_context *first_child RN_GUARDED_BY(mu);
    rn_after_func *first_after RN_GUARDED_BY(mu); // in the order in which they came
    rn_after_func *last_after RN_GUARDED_BY(mu);
    rn_after_func *running RN_GUARDED_BY(mu); // its function runs, and it was not stopped within
    pthread_t running_thread RN_GUARDED_BY(mu);
    rn_cond returned RN_GUARDED_BY(mu); // an after-function has returned
    // Guarded by the parent's mu:
    bool is_listed; // on the parent's list
    rn_context *next_sibling;
    rn_context *previous_sibling;
};

// ---- References and the tree

/* Takes a reference unless the last one has been given back. */
static bool ref_unless_zero(rn_context *ctx)
{
    unsigned references = atomic_load_explicit(&ctx->references, memory_order_relaxed);

    while (references != 0) {
        if (atomic_compare_exchange_weak_explicit(&ctx->references, &references, references + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

static void unlink_locked(rn_context *parent, rn_context *child) RN_REQUIRES(&parent->mu);
static void unlink_locked(rn_context *parent, rn_context *child)
{
    if (child->previous_sibling != NULL)
        child->previous_sibling->next_sibling = child->next_sibling;
    else
        parent->first_child = child->next_sibling;
    if (child->next_sibling != NULL)
        child->next_sibling->previous_sibling = child->previous_sibling;
    child->is_listed = false;
}

/* Takes ctx off its parent's list. */
static void detach(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    if (parent == NULL)
        return;
    rn_mutex_lock(&parent->mu);
    if (ctx->is_listed)
        unlink_locked(parent, ctx);
    rn_mutex_unlock(&parent->mu);
}

/* Puts a new context on its parent's list, or ends it as the parent has ended. */
static void attach(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    if (parent == NULL)
        return;
    rn_mutex_lock(&parent->mu);
    int err = atomic_load_explicit(&parent->err, memory_order_relaxed);
    if (err == 0) {
        ctx->is_listed = true;
        ctx->next_sibling = parent->first_child;
        if (ctx->next_sibling != NULL)
            ctx->next_sibling->previous_sibling = ctx;
        parent->first_child = ctx;
    } else {
        // Nobody else knows ctx yet.
        ctx->cause = parent->cause;
        atomic_store_explicit(&ctx->err, err, memory_order_relaxed);
    }
    rn_mutex_unlock(&parent->mu);
}

static rn_context *context_new(rn_context *parent, rn_time deadline)
{
    rn_context *ctx = calloc(1, sizeof(*ctx));

    if (ctx == NULL)
        return NULL;
    atomic_init(&ctx->references, 1);
    atomic_init(&ctx->fd, -1);
    ctx->deadline = deadline;
    ctx->parent = rn_context_ref(parent);
    rn_mutex_init(&ctx->mu, 40);
    return ctx;
}

/* Frees a context without references, and returns its parent, whose reference it gives back. */
RN_UNCHECKED_LOCKING static rn_context *context_free(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    // First the timer: while its function runs, it may look at the references.
    if (ctx->has_timer)
        rni_timer_fini(&ctx->timer);
    detach(ctx);

    // Each of them would have a reference.
    RN_ASSERT(ctx->waiters.first_ == NULL);
    RN_ASSERT(ctx->first_child == NULL);
    RN_ASSERT(ctx->first_after == NULL);

    int fd = atomic_load_explicit(&ctx->fd, memory_order_relaxed);
    if (fd >= 0)
        (void)close(fd);
    rn_chan_free(atomic_load_explicit(&ctx->done, memory_order_relaxed));
    rn_mutex_fini(&ctx->mu);
    free(ctx);
    return parent;
}

rn_context *rn_context_ref(rn_context *ctx)
{
    if (ctx != NULL) {
        unsigned before = atomic_fetch_add_explicit(&ctx->references, 1, memory_order_relaxed);
        RN_ASSERT(before > 0);
    }
    return ctx;
}

void rn_context_unref(rn_context *ctx)
{
    while (ctx != NULL) {
        // Release: what this holder did comes before the freeing; acquire: so for the others'.
        unsigned before = atomic_fetch_sub_explicit(&ctx->references, 1, memory_order_acq_rel);
        RN_ASSERT(before > 0);
        if (before > 1)
            return;
        ctx = context_free(ctx);
    }
}

// ---- The end

static void remove_after_locked(rn_context *ctx, rn_after_func *after_func) RN_REQUIRES(&ctx->mu);
static void remove_after_locked(rn_context *ctx, rn_after_func *after_func)
{
    if (after_func->previous != NULL)
        after_func->previous->next = after_func->next;
    else
        ctx->first_after = after_func->next;
    if (after_func->next != NULL)
        after_func->next->previous = after_func->previous;
    else
        ctx->last_after = after_func->previous;
    after_func->waits = false;
}

/* Runs the after-functions of a context that has ended, one after the other, with no lock held. */
static void run_after_funcs(rn_context *ctx)
{
    rn_mutex_lock(&ctx->mu);
    for (;;) {
        rn_after_func *after_func = ctx->first_after;
        if (after_func == NULL)
            break;
        remove_after_locked(ctx, after_func);

        void (*fn)(void *arg) = after_func->fn;
        void *arg = after_func->arg;
        ctx->running = after_func;
        ctx->running_thread = pthread_self();
        rn_mutex_unlock(&ctx->mu);
        fn(arg);
        rn_mutex_lock(&ctx->mu);
        ctx->running = NULL;
        rn_cond_broadcast(&ctx->returned);
    }
    rn_mutex_unlock(&ctx->mu);
}

/*
 * Ends one context; its children are put before *todo, each with a reference. The caller has a
 * reference on ctx.
 */
static void end_one(rn_context *ctx, int err, int cause, rn_context **todo)
{
    rn_mutex_lock(&ctx->mu);
    if (atomic_load_explicit(&ctx->err, memory_order_relaxed) != 0) {
        rn_mutex_unlock(&ctx->mu);
        return;
    }
    ctx->cause = cause;
    atomic_store_explicit(&ctx->err, err, memory_order_release);
    struct rn_waiter_node *claimed = rni_waitlist_claim_all(&ctx->waiters);
    rn_context *child;
    while ((child = ctx->first_child) != NULL) {
        unlink_locked(ctx, child);
        if (ref_unless_zero(child)) {
            child->next_sibling = *todo;
            *todo = child;
        }
    }
    int fd = atomic_load_explicit(&ctx->fd, memory_order_relaxed);
    rn_chan *done = atomic_load_explicit(&ctx->done, memory_order_relaxed);
    bool has_after = ctx->first_after != NULL;
    rn_mutex_unlock(&ctx->mu);

    rni_waiter_finish_all(claimed, err);
    if (fd >= 0) {
        int r = eventfd_write(fd, 1); // the only write ever: it cannot overflow
        RN_ASSERT(r == 0);
    }
    if (done != NULL)
        rn_chan_close(done);
    if (ctx->has_timer)
        (void)rni_timer_disarm(&ctx->timer);
    detach(ctx);
    if (has_after)
        run_after_funcs(ctx);
}

static void context_end(rn_context *ctx, int err, int cause)
{
    rn_context *todo = NULL;

    end_one(ctx, err, cause, &todo);
    while (todo != NULL) {
        rn_context *child = todo;
        todo = child->next_sibling;
        end_one(child, err, cause, &todo);
        rn_context_unref(child);
    }
}

void rn_context_cancel(rn_context *ctx, int cause)
{
    if (ctx != NULL)
        context_end(ctx, -ECANCELED, cause != 0 ? cause : -ECANCELED);
}

/* The function of the timer. */
static void deadline_came(void *arg)
{
    rn_context *ctx = arg;

    if (!ref_unless_zero(ctx))
        return;
    context_end(ctx, -ETIMEDOUT, -ETIMEDOUT);
    rn_context_unref(ctx);
}

// ---- New contexts

int rn_context_with_cancel(rn_context *parent, rn_context **ret_ctx)
{
    rn_context *ctx = context_new(parent, rn_context_deadline(parent));

    if (ctx == NULL)
        return -ENOMEM;
    attach(ctx);
    *ret_ctx = ctx;
    return 0;
}

int rn_context_with_deadline(rn_context *parent, rn_time deadline, rn_context **ret_ctx)
{
    if (deadline >= rn_context_deadline(parent))
        return rn_context_with_cancel(parent, ret_ctx); // the parent ends it in time

    rn_context *ctx = context_new(parent, deadline);
    if (ctx == NULL)
        return -ENOMEM;
    int r = rni_timer_init(&ctx->timer, deadline_came, ctx);
    if (r < 0) {
        rn_context_unref(ctx);
        return r;
    }
    ctx->has_timer = true;

    attach(ctx);
    if (deadline <= rn_now()) {
        context_end(ctx, -ETIMEDOUT, -ETIMEDOUT); // unless the parent has ended
    } else {
        rni_timer_arm(&ctx->timer, deadline);
        // Ended before it was armed? Then nobody has disarmed it.
        if (rn_context_err(ctx) != 0)
            (void)rni_timer_disarm(&ctx->timer);
    }
    *ret_ctx = ctx;
    return 0;
}

int rn_context_with_timeout(rn_context *parent, rn_duration timeout, rn_context **ret_ctx)
{
    return rn_context_with_deadline(parent, rn_after(timeout), ret_ctx);
}

// ---- Questions

int rn_context_err(rn_context *ctx)
{
    return ctx == NULL ? 0 : atomic_load_explicit(&ctx->err, memory_order_acquire);
}

int rn_context_cause(rn_context *ctx)
{
    return rn_context_err(ctx) == 0 ? 0 : ctx->cause;
}

rn_time rn_context_deadline(rn_context *ctx)
{
    return ctx == NULL ? RN_NEVER : ctx->deadline;
}

int rn_context_fd(rn_context *ctx)
{
    RN_ASSERT(ctx != NULL);
    int fd = atomic_load_explicit(&ctx->fd, memory_order_relaxed);
    if (fd >= 0)
        return fd;

    int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0)
        return -errno;
    rn_mutex_lock(&ctx->mu);
    fd = atomic_load_explicit(&ctx->fd, memory_order_relaxed);
    if (fd < 0) {
        // Under the lock, so that it is written once: here, or by who ends the context.
        if (atomic_load_explicit(&ctx->err, memory_order_relaxed) != 0) {
            int r = eventfd_write(made, 1);
            RN_ASSERT(r == 0);
        }
        atomic_store_explicit(&ctx->fd, made, memory_order_relaxed);
        fd = made;
        made = -1;
    }
    rn_mutex_unlock(&ctx->mu);
    if (made >= 0)
        (void)close(made); // another thread was faster
    return fd;
}

int rn_context_done(rn_context *ctx, rn_chan **ret_chan)
{
    RN_ASSERT(ctx != NULL);
    rn_chan *chan = atomic_load_explicit(&ctx->done, memory_order_acquire);
    if (chan != NULL) {
        *ret_chan = chan;
        return 0;
    }

    rn_chan *made;
    int r = rn_chan_new(0, 0, &made);
    if (r < 0)
        return r;
    rn_mutex_lock(&ctx->mu);
    bool has_ended = atomic_load_explicit(&ctx->err, memory_order_relaxed) != 0;
    chan = atomic_load_explicit(&ctx->done, memory_order_relaxed);
    if (chan == NULL) {
        atomic_store_explicit(&ctx->done, made, memory_order_release);
        chan = made;
        made = NULL;
    }
    rn_mutex_unlock(&ctx->mu);
    rn_chan_free(made); // another thread was faster
    if (has_ended)
        rn_chan_close(chan);
    *ret_chan = chan;
    return 0;
}

// ---- After-functions

int rn_context_after_func(rn_context *ctx, void (*fn)(void *arg), void *arg, rn_after_func **ret)
{
    RN_ASSERT(ctx != NULL);
    RN_ASSERT(fn != NULL);
    rn_after_func *after_func = calloc(1, sizeof(*after_func));
    if (after_func == NULL)
        return -ENOMEM;
    after_func->ctx = rn_context_ref(ctx);
    after_func->fn = fn;
    after_func->arg = arg;

    rn_mutex_lock(&ctx->mu);
    bool has_ended = atomic_load_explicit(&ctx->err, memory_order_relaxed) != 0;
    if (!has_ended) {
        after_func->waits = true;
        after_func->previous = ctx->last_after;
        if (ctx->last_after != NULL)
            ctx->last_after->next = after_func;
        else
            ctx->first_after = after_func;
        ctx->last_after = after_func;
    }
    rn_mutex_unlock(&ctx->mu);

    *ret = after_func;
    if (has_ended)
        fn(arg);
    return 0;
}

bool rn_after_func_stop(rn_after_func *after_func)
{
    if (after_func == NULL)
        return true;

    rn_context *ctx = after_func->ctx;
    rn_mutex_lock(&ctx->mu);
    bool kept = after_func->waits;
    if (kept) {
        remove_after_locked(ctx, after_func);
    } else if (ctx->running == after_func && pthread_equal(ctx->running_thread, pthread_self())) {
        ctx->running = NULL; // called from within it
    } else {
        while (ctx->running == after_func) {
            int r = rn_cond_wait(NULL, &ctx->returned, &ctx->mu, RN_NEVER);
            RN_ASSERT(r == 0);
        }
    }
    rn_mutex_unlock(&ctx->mu);
    free(after_func);
    rn_context_unref(ctx);
    return kept;
}

// ---- Waiting

bool rni_context_watch(rn_context *ctx, struct rn_waiter_node *node)
{
    rn_mutex_lock(&ctx->mu);
    bool goes_on = atomic_load_explicit(&ctx->err, memory_order_relaxed) == 0;
    if (goes_on)
        rni_waitlist_push(&ctx->waiters, node);
    rn_mutex_unlock(&ctx->mu);
    return goes_on;
}

void rni_context_unwatch(rn_context *ctx, struct rn_waiter_node *node)
{
    rn_mutex_lock(&ctx->mu);
    rni_waitlist_remove(node);
    rn_mutex_unlock(&ctx->mu);
}

int rn_sleep(rn_context *ctx, rn_duration length)
{
    struct rni_waiter waiter;

    int r = rn_context_err(ctx);
    if (r < 0 || length <= 0)
        return r;
    rn_time deadline = rn_after(length);
    rni_waiter_init(&waiter);
    r = rni_waiter_wait(&waiter, ctx, deadline);
    // A deadline of ctx that passed and the end of the sleep look the same: ask ctx.
    return r == -ETIMEDOUT ? rn_context_err(ctx) : r;
}
