/*
 * Contexts: a tree of what ends waits.
 *
 * 1. `err` leaves 0 once, under mu, after `cause`; whoever reads it other than 0 (acquire) may read
 *    the cause. What depends on "has it ended" looks under mu, so a waiter, a child, a descriptor,
 *    a channel or an after-function is either there when the context ends, and is told by who ends
 *    it, or sees that it has ended.
 * 2. A child is on its parent's list until it ends or is freed, and holds a reference on its parent
 *    until it is freed. The list holds no reference on the child: who walks it takes one, unless
 *    the count has fallen to 0; then the child is about to be freed and waits for the parent's mu.
 * 3. Who ends a context has a reference until it is off its parent's list. So one that has ended
 *    and has no references is on no list.
 * 4. One lock is held at a time: that of a context, or that of its parent, never both; and no other
 *    lock of the library with it. Nothing is called under it.
 * 5. Trees are ended and freed in loops, however deep or wide they are. Children that are to be
 *    ended, and contexts whose after-functions are to run, are linked by next_sibling: they have
 *    been taken off their parent's list, which happens once, so nobody else uses the field.
 * 6. The timer of a deadline holds no reference; its function takes one unless the count has fallen
 *    to 0, and freeing waits until the function does not run.
 */
#include "context.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <runnel/chan.h>

#include "timer.h"
#include "waiter.h"

/* A context with a deadline of its own. */
struct timed {
    rn_context ctx;
    int cause; // with which the deadline ends it; set once by new
    struct rni_timer timer;
};

// ---- References and the tree

bool rni_context_ref_unless_zero(rn_context *ctx)
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
    RN_ASSERT(child->parent == parent);
    *child->link = child->next_sibling;
    if (child->next_sibling != NULL)
        child->next_sibling->link = child->link;
    child->link = NULL;
}

/* Takes ctx off its parent's list. */
static void detach(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    if (parent == NULL)
        return;
    rn_mutex_lock(&parent->mu);
    if (ctx->link != NULL)
        unlink_locked(parent, ctx);
    rn_mutex_unlock(&parent->mu);
}

void rni_context_attach(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    if (parent == NULL)
        return;
    rn_mutex_lock(&parent->mu);
    int err = atomic_load_explicit(&parent->err, memory_order_relaxed);
    if (err == 0) {
        ctx->next_sibling = parent->first_child;
        if (ctx->next_sibling != NULL)
            ctx->next_sibling->link = &ctx->next_sibling;
        parent->first_child = ctx;
        ctx->link = &parent->first_child;
    } else {
        // Nobody else knows ctx yet.
        ctx->cause = parent->cause;
        atomic_store_explicit(&ctx->err, err, memory_order_relaxed);
    }
    rn_mutex_unlock(&parent->mu);
}

rn_context *rni_context_new(size_t bytes, const struct rni_context_kind *kind, rn_context *parent,
                            rn_time deadline)
{
    RN_ASSERT(bytes >= sizeof(rn_context));
    rn_context *ctx = malloc(bytes);

    if (ctx == NULL)
        return NULL;
    *ctx = (rn_context){
        .references = 1,
        .fd = -1,
        .deadline = deadline,
        .parent = rn_context_ref(parent),
        .kind = kind,
        .mu = RN_MUTEX_INIT(40),
    };
    memset(ctx + 1, 0, bytes - sizeof(*ctx));
    return ctx;
}

/* Frees a context without references, and returns its parent, whose reference it gives back. */
RN_UNCHECKED_LOCKING static rn_context *context_free(rn_context *ctx)
{
    rn_context *parent = ctx->parent;

    // First what the kind has: while a timer's function runs, it may look at the references.
    if (ctx->kind->fini_fn != NULL)
        ctx->kind->fini_fn(ctx);
    if (atomic_load_explicit(&ctx->err, memory_order_relaxed) == 0)
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

/*
 * Ends one context; its children are put before *todo, each with a reference. The caller has a
 * reference on ctx. Returns whether it had not ended before.
 */
static bool end_one(rn_context *ctx, int err, int cause, rn_context **todo, bool *ret_has_after)
{
    rn_mutex_lock(&ctx->mu);
    if (atomic_load_explicit(&ctx->err, memory_order_relaxed) != 0) {
        rn_mutex_unlock(&ctx->mu);
        return false;
    }
    ctx->cause = cause;
    atomic_store_explicit(&ctx->err, err, memory_order_release);
    struct rn_waiter_node *claimed = rni_waitlist_claim_all(&ctx->waiters);
    rn_context *child;
    while ((child = ctx->first_child) != NULL) {
        unlink_locked(ctx, child);
        if (rni_context_ref_unless_zero(child)) {
            child->next_sibling = *todo;
            *todo = child;
        }
    }
    int fd = atomic_load_explicit(&ctx->fd, memory_order_relaxed);
    rn_chan *done = atomic_load_explicit(&ctx->done, memory_order_relaxed);
    *ret_has_after = ctx->first_after != NULL;
    rn_mutex_unlock(&ctx->mu);

    rni_waiter_finish_all(claimed, err);
    if (fd >= 0) {
        int r = eventfd_write(fd, 1); // the only write ever: it cannot overflow
        RN_ASSERT(r == 0);
    }
    if (done != NULL)
        rn_chan_close(done);
    if (ctx->kind->ended_fn != NULL)
        ctx->kind->ended_fn(ctx);
    return true;
}

void rni_context_end(rn_context *ctx, int err, int cause)
{
    rn_context *todo = NULL;  // to be ended
    rn_context *ended = NULL; // with after-functions, the highest first
    rn_context **ended_end = &ended;
    bool has_after;
    bool child_has_after;

    if (!end_one(ctx, err, cause, &todo, &has_after))
        return;
    detach(ctx);
    while (todo != NULL) {
        rn_context *child = todo;
        todo = child->next_sibling;
        if (end_one(child, err, cause, &todo, &child_has_after) && child_has_after) {
            child->next_sibling = NULL;
            *ended_end = child;
            ended_end = &child->next_sibling;
        } else {
            rn_context_unref(child);
        }
    }

    // Now that all have ended, so that each function finds them so.
    if (has_after)
        rni_context_run_after_funcs(ctx);
    while (ended != NULL) {
        rn_context *child = ended;
        ended = child->next_sibling;
        rni_context_run_after_funcs(child);
        rn_context_unref(child);
    }
}

void rn_context_cancel(rn_context *ctx, int cause)
{
    if (rn_context_err(ctx) == 0 && ctx != NULL)
        rni_context_end(ctx, -ECANCELED, cause != 0 ? cause : -ECANCELED);
}

// ---- New contexts

static const struct rni_context_kind plain = {NULL, NULL};

int rn_context_with_cancel(rn_context *parent, rn_context **ret_ctx)
{
    rn_context *ctx = rni_context_new(sizeof(*ctx), &plain, parent, rn_context_deadline(parent));

    if (ctx == NULL)
        return -ENOMEM;
    rni_context_attach(ctx);
    *ret_ctx = ctx;
    return 0;
}

/* The function of the timer. */
static void deadline_came(void *arg)
{
    struct timed *timed = arg;

    if (!rni_context_ref_unless_zero(&timed->ctx))
        return;
    rni_context_end(&timed->ctx, -ETIMEDOUT, timed->cause);
    rn_context_unref(&timed->ctx);
}

static void timed_ended(rn_context *ctx)
{
    (void)rni_timer_disarm(&((struct timed *)ctx)->timer);
}

static void timed_fini(rn_context *ctx)
{
    rni_timer_fini(&((struct timed *)ctx)->timer);
}

static const struct rni_context_kind with_timer = {timed_ended, timed_fini};

int rn_context_with_deadline_cause(rn_context *parent, rn_time deadline, int cause,
                                   rn_context **ret_ctx)
{
    if (deadline >= rn_context_deadline(parent))
        return rn_context_with_cancel(parent, ret_ctx); // the parent ends it in time

    struct timed *timed = NULL;
    rn_context *ctx = rni_context_new(sizeof(*timed), &plain, parent, deadline);
    if (ctx == NULL)
        return -ENOMEM;
    timed = (struct timed *)ctx;
    timed->cause = cause != 0 ? cause : -ETIMEDOUT;
    if (deadline <= rn_now()) {
        rni_context_attach(ctx);
        rni_context_end(ctx, -ETIMEDOUT, timed->cause); // unless the parent has ended
        *ret_ctx = ctx;
        return 0;
    }

    int r = rni_timer_init(&timed->timer, deadline_came, timed);
    if (r < 0) {
        rn_context_unref(ctx);
        return r;
    }
    ctx->kind = &with_timer;
    rni_context_attach(ctx);
    (void)rni_timer_arm(&timed->timer, deadline);
    // Ended before it was armed? Then nobody has disarmed it.
    if (rn_context_err(ctx) != 0)
        (void)rni_timer_disarm(&timed->timer);
    *ret_ctx = ctx;
    return 0;
}

int rn_context_with_deadline(rn_context *parent, rn_time deadline, rn_context **ret_ctx)
{
    return rn_context_with_deadline_cause(parent, deadline, 0, ret_ctx);
}

int rn_context_with_timeout(rn_context *parent, rn_duration timeout, rn_context **ret_ctx)
{
    return rn_context_with_deadline(parent, rn_after(timeout), ret_ctx);
}

int rn_context_with_timeout_cause(rn_context *parent, rn_duration timeout, int cause,
                                  rn_context **ret_ctx)
{
    return rn_context_with_deadline_cause(parent, rn_after(timeout), cause, ret_ctx);
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
    if (ctx == NULL)
        return -ENOENT;
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
    rn_chan *chan = NULL;

    if (ctx != NULL)
        chan = atomic_load_explicit(&ctx->done, memory_order_acquire);
    if (ctx == NULL || chan != NULL) {
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
