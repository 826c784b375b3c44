/*
 * Contexts that end at a signal.
 *
 * The handler may have interrupted any thread under any lock, so it only notes that the signal has
 * arrived, and when in the order of all arrivals, and pokes the timer thread, which ends the
 * contexts.
 *
 * 1. A signal is handled here from its first context on the list until its last one (`users`); the
 *    handling from before stands in `before` meanwhile, and comes back whatever the order in which
 *    the contexts leave.
 * 2. What has arrived belongs to the contexts that are on the list when settle_locked() looks,
 *    which it does before one comes or goes: so a signal ends no context that was made after it,
 *    and the context that it came for knows it even if it is stopped before the timer thread is
 *    there.
 * 3. The list holds no reference. A context is on it until it is stopped or freed, also after its
 *    end: the signal is kept from its old handling until then.
 *
 * The lock, `mu`, is the innermost (rank 55): nothing is called under it but sigaction.
 */
#define _GNU_SOURCE 1 // NSIG, sigaction

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "context.h"
#include "timer.h"

// Only what is free of locks may be touched by a handler.
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the order of arrivals is a lock");

/* A context that ends at a signal. */
struct interrupted {
    rn_context ctx;
    // Guarded by mu:
    sigset_t signals; // those that it has, from when it is listed on
    bool is_listed;
    bool is_told; // the timer thread has ended it, or is about to
    int signal;   // the first that came for it; 0: none yet
    struct interrupted *next;
    struct interrupted *previous;
    struct interrupted *next_told; // of the timer thread, while it ends several
};

static rn_mutex mu = RN_MUTEX_INIT(55);
static struct interrupted *first RN_GUARDED_BY(mu);
static unsigned users[NSIG] RN_GUARDED_BY(mu); // contexts on the list that have the signal
static struct sigaction before[NSIG] RN_GUARDED_BY(mu);
static _Atomic uint64_t arrivals[NSIG]; // 0: has not come; else its place in the order
static _Atomic uint64_t arrival_count;
static _Atomic pid_t process; // that has the contexts; its children by fork and vfork do not

// ---- The handler, and what it leaves

static void note_arrival(int signal)
{
    int error = errno;

    // In a child, which may even share this memory, the signal is not meant for the parent.
    if (atomic_load(&process) == getpid()) {
        uint64_t none = 0;
        uint64_t place = atomic_fetch_add(&arrival_count, 1) + 1;
        (void)atomic_compare_exchange_strong(&arrivals[signal], &none, place);
        rni_timer_poke();
    }
    errno = error;
}

/* Gives a signal that has arrived to the contexts that wait for it. */
static void give_locked(int signal) RN_REQUIRES(&mu);
static void give_locked(int signal)
{
    for (struct interrupted *context = first; context != NULL; context = context->next) {
        if (context->signal == 0 && sigismember(&context->signals, signal) == 1)
            context->signal = signal;
    }
}

/* Gives all that have arrived, in their order. */
static void settle_locked(void) RN_REQUIRES(&mu);
static void settle_locked(void)
{
    uint64_t places[NSIG];

    for (int signal = 1; signal < NSIG; signal++)
        places[signal] = atomic_exchange(&arrivals[signal], 0);
    for (;;) {
        int earliest = 0;
        for (int signal = 1; signal < NSIG; signal++) {
            if (places[signal] != 0 && (earliest == 0 || places[signal] < places[earliest]))
                earliest = signal;
        }
        if (earliest == 0)
            return;
        places[earliest] = 0;
        give_locked(earliest);
    }
}

/* The function that the timer thread calls when it is poked. */
static void end_interrupted(void)
{
    struct interrupted *told = NULL;

    rn_mutex_lock(&mu);
    settle_locked();
    for (struct interrupted *context = first; context != NULL; context = context->next) {
        if (context->signal == 0 || context->is_told || !rni_context_ref_unless_zero(&context->ctx))
            continue;
        context->is_told = true;
        context->next_told = told;
        told = context;
    }
    rn_mutex_unlock(&mu);

    while (told != NULL) {
        struct interrupted *context = told;
        told = context->next_told;
        rni_context_end(&context->ctx, -ECANCELED, context->signal); // set once
        rn_context_unref(&context->ctx);
    }
}

// ---- The list

static void give_back_locked(int signal) RN_REQUIRES(&mu);
static void give_back_locked(int signal)
{
    struct sigaction now;
    int r = sigaction(signal, NULL, &now);

    RN_ASSERT(r == 0);
    if (now.sa_handler != note_arrival)
        return; // the program has handled it otherwise meanwhile
    r = sigaction(signal, &before[signal], NULL);
    RN_ASSERT(r == 0);
}

static void leave_locked(struct interrupted *context) RN_REQUIRES(&mu);
static void leave_locked(struct interrupted *context)
{
    if (!context->is_listed)
        return;
    settle_locked();
    context->is_listed = false;
    if (context->previous != NULL)
        context->previous->next = context->next;
    else
        first = context->next;
    if (context->next != NULL)
        context->next->previous = context->previous;
    for (int signal = 1; signal < NSIG; signal++) {
        if (sigismember(&context->signals, signal) == 1 && --users[signal] == 0)
            give_back_locked(signal);
    }
}

/* Puts a context on the list, with the signals that it is to have. -EINVAL: one can't be taken; it
 * is on the list with those that it has by then. */
static int enter_locked(struct interrupted *context, const sigset_t *signals) RN_REQUIRES(&mu);
static int enter_locked(struct interrupted *context, const sigset_t *signals)
{
    struct sigaction noting = {.sa_handler = note_arrival, .sa_flags = SA_RESTART | SA_ONSTACK};

    settle_locked();
    (void)sigemptyset(&context->signals);
    (void)sigfillset(&noting.sa_mask);
    context->is_listed = true;
    context->next = first;
    if (first != NULL)
        first->previous = context;
    first = context;
    for (int signal = 1; signal < NSIG; signal++) {
        if (sigismember(signals, signal) != 1)
            continue;
        if (users[signal] == 0 && sigaction(signal, &noting, &before[signal]) < 0)
            return -EINVAL;
        users[signal]++;
        (void)sigaddset(&context->signals, signal);
    }
    return 0;
}

static void interrupted_fini(rn_context *ctx)
{
    rn_mutex_lock(&mu);
    leave_locked((struct interrupted *)ctx);
    rn_mutex_unlock(&mu);
}

static const struct rni_context_kind with_signals = {NULL, interrupted_fini};

// ---- The functions of context.h

/* After the handler of a fault, the fault would be repeated, for ever. */
static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
}

static int signals_of(const int *signals, size_t count, sigset_t *ret_set)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        if (signals[i] < 1 || signals[i] >= NSIG || is_fault(signals[i]) ||
            sigaddset(&set, signals[i]) < 0)
            return -EINVAL;
    }
    *ret_set = set;
    return count > 0 ? 0 : -EINVAL;
}

int rn_context_with_signals(rn_context *parent, const int *signals, size_t count,
                            rn_context **ret_ctx)
{
    sigset_t set;
    int r = signals_of(signals, count, &set);
    if (r == 0)
        r = rni_timer_on_poke(end_interrupted);
    if (r < 0)
        return r;
    rn_context *ctx = rni_context_new(sizeof(struct interrupted), &with_signals, parent,
                                      rn_context_deadline(parent));
    if (ctx == NULL)
        return -ENOMEM;
    atomic_store(&process, getpid());
    rni_context_attach(ctx);
    rn_mutex_lock(&mu);
    r = enter_locked((struct interrupted *)ctx, &set);
    rn_mutex_unlock(&mu);
    if (r < 0) {
        rn_context_unref(ctx); // takes it off the list
        return r;
    }
    *ret_ctx = ctx;
    return 0;
}

void rn_context_stop_signals(rn_context *ctx)
{
    if (ctx == NULL)
        return;
    RN_ASSERT(ctx->kind == &with_signals);
    struct interrupted *context = (struct interrupted *)ctx;
    rn_mutex_lock(&mu);
    leave_locked(context);
    int signal = context->signal;
    rn_mutex_unlock(&mu);
    rn_context_cancel(ctx, signal);
}
