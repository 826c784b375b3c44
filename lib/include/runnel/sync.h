/** \file
 * Mutex, condition and once, and the annotations by which clang checks who holds what.
 *
 * A mutex has a rank. Ranks rise from the outside to the inside: whoever holds a mutex takes only
 * mutexes of a higher rank, or of the same rank in the order of their addresses. Builds with
 * RN_DEBUG check this, and the owner, at every lock; other builds pay for the pthread mutex alone.
 *
 * Every wait on a condition takes a context and a deadline, and runs on the monotonic clock.
 */
#ifndef RUNNEL_SYNC_H
#define RUNNEL_SYNC_H

#include <pthread.h>
#include <stdbool.h>

#include <runnel/clock.h>
#include <runnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

// Older versions of clang refuse guarded_by on a field of a struct in C.
#if defined(__clang__) && __clang_major__ >= 19
#define RN_ANNOTATION_(annotation) __attribute__((annotation))
#else
#define RN_ANNOTATION_(annotation)
#endif

/** A type that can be held, as a mutex is. */
#define RN_CAPABILITY(name) RN_ANNOTATION_(capability(name))
/** A field or a global that is only touched with mu (the mutex itself, not its address) held. */
// clang 19 does not take &(mu) for the field. NOLINTNEXTLINE(bugprone-macro-parentheses)
#define RN_GUARDED_BY(mu) RN_ANNOTATION_(guarded_by(&mu))
/** A function that is called with the mutex at this address held: RN_REQUIRES(&chan->mu). */
#define RN_REQUIRES(mu) RN_ANNOTATION_(requires_capability(mu))
/** A function that returns with the mutex at this address held. */
#define RN_ACQUIRE(mu) RN_ANNOTATION_(acquire_capability(mu))
/** A function that gives up the mutex at this address. */
#define RN_RELEASE(mu) RN_ANNOTATION_(release_capability(mu))
/** A function that takes the mutex at this address itself. */
#define RN_EXCLUDES(mu) RN_ANNOTATION_(locks_excluded(mu))
/** A function whose locking the analysis cannot follow. */
#define RN_UNCHECKED_LOCKING RN_ANNOTATION_(no_thread_safety_analysis)

/** What ends a wait: see context.h. */
typedef struct rn_context rn_context;

/** A mutex. Its fields are private; they are here so that locking costs no call of the library. */
typedef struct RN_CAPABILITY("mutex") rn_mutex {
    pthread_mutex_t native_;
    int rank_;  // 0: outside the order
    int owner_; // the thread that holds it, in RN_DEBUG builds; atomic
} rn_mutex;

// Locks are held for moments: on several processors it pays to look again before sleeping.
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define RN_NATIVE_MUTEX_INIT_ PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#else
#define RN_NATIVE_MUTEX_INIT_ PTHREAD_MUTEX_INITIALIZER
#endif

/** The initial value of a mutex in static storage. */
#define RN_MUTEX_INIT(rank)                                                                        \
    {                                                                                              \
        RN_NATIVE_MUTEX_INIT_, (rank), 0                                                           \
    }

/**
 * Makes a mutex in the caller's storage.
 *
 * @param mu    storage that holds no mutex yet
 * @param rank  its place in the order of locks, above 0; 0 leaves it outside the order
 *
 * **Ownership:** the caller's; give it back with rn_mutex_fini().
 * **Blocking:** never. **Threads:** one. **Errors:** none.
 */
RN_API void rn_mutex_init(rn_mutex *mu, int rank);

/**
 * Ends a mutex that nobody holds.
 *
 * **Ownership:** the storage is the caller's again.
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_mutex_fini(rn_mutex *mu);

/**
 * What rn_mutex_lock() and rn_mutex_unlock() are in RN_DEBUG builds: they abort on a mutex that is
 * taken twice or out of order, or given back by a thread that does not hold it.
 *
 * **Ownership:** as rn_mutex_lock(). **Blocking:** as rn_mutex_lock(). **Threads:** any.
 * **Errors:** none.
 */
RN_API void rn_mutex_lock_checked(rn_mutex *mu) RN_ACQUIRE(mu);

/**
 * See rn_mutex_lock_checked().
 *
 * **Ownership:** as rn_mutex_unlock(). **Blocking:** never. **Threads:** the one that holds it.
 * **Errors:** none.
 */
RN_API void rn_mutex_unlock_checked(rn_mutex *mu) RN_RELEASE(mu);

/**
 * Takes the mutex.
 *
 * **Ownership:** the calling thread holds it until rn_mutex_unlock().
 * **Blocking:** until it is free. **Threads:** any, but not one that holds it. **Errors:** none.
 */
static inline void rn_mutex_lock(rn_mutex *mu) RN_ACQUIRE(mu);

/**
 * Gives the mutex back.
 *
 * **Ownership:** the calling thread held it. **Blocking:** never. **Threads:** the one that holds
 * it. **Errors:** none.
 */
static inline void rn_mutex_unlock(rn_mutex *mu) RN_RELEASE(mu);

RN_UNCHECKED_LOCKING static inline void rn_mutex_lock(rn_mutex *mu)
{
#ifdef RN_DEBUG
    rn_mutex_lock_checked(mu);
#else
    int r = pthread_mutex_lock(&mu->native_);
    RN_ASSERT(r == 0);
#endif
}

RN_UNCHECKED_LOCKING static inline void rn_mutex_unlock(rn_mutex *mu)
{
#ifdef RN_DEBUG
    rn_mutex_unlock_checked(mu);
#else
    int r = pthread_mutex_unlock(&mu->native_);
    RN_ASSERT(r == 0);
#endif
}

/** Threads that wait, in the order in which they came. Private. */
struct rn_waitlist {
    struct rn_waiter_node *first_;
    struct rn_waiter_node *last_;
};

/** A place of a thread on such a list. Private; it is here because a select has one in each case.
 */
struct rn_waiter_node {
    struct rn_waiter_node *next;
    struct rn_waiter_node *previous;
    struct rn_waitlist *list; // NULL: on none
    struct rni_waiter *waiter;
    const void *source; // of a thread that sends: its element
    void *target;       // of a thread that receives: where the element goes; NULL: nowhere
};

/**
 * A condition: threads that wait until another says that something has changed. It is guarded by
 * the mutex that it is used with, always the same one. Needs no memory of its own: who waits stands
 * on his own stack.
 */
typedef struct rn_cond {
    struct rn_waitlist waiters_;
} rn_cond;

/** The initial value of a condition; a zeroed one is valid too. */
#define RN_COND_INIT                                                                               \
    {                                                                                              \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/**
 * Makes a condition in the caller's storage.
 *
 * **Ownership:** the caller's. **Blocking:** never. **Threads:** one. **Errors:** none.
 */
RN_API void rn_cond_init(rn_cond *cond);

/**
 * Ends a condition on which nobody waits.
 *
 * **Ownership:** the storage is the caller's again. **Blocking:** never. **Threads:** the last that
 * uses it. **Errors:** none; aborts when somebody waits.
 */
RN_API void rn_cond_fini(rn_cond *cond);

/**
 * Gives the mutex up, waits, and takes it again. Who is signalled was waiting: 0 is never returned
 * without a signal or broadcast that was meant for this wait.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param cond      the condition
 * @param mu        held by the caller, before and after
 * @param deadline  ends the wait; RN_NEVER: does not
 *
 * **Ownership:** cond and mu borrowed. No memory is allocated.
 * **Blocking:** until a signal, the deadline, or the end of ctx; then until mu is free. A ctx that
 * has ended already wins over everything.
 * **Threads:** any number.
 * **Errors:** -ETIMEDOUT the deadline passed, or else what rn_context_err(ctx) says. A signal and
 * an error never both go to one wait: with an error the signal went to another, or was not given.
 */
RN_API RN_MUST_CHECK int rn_cond_wait(rn_context *ctx, rn_cond *cond, rn_mutex *mu,
                                      rn_time deadline) RN_REQUIRES(mu);

/**
 * Wakes the thread that has waited longest; called with the mutex held.
 *
 * @return whether there was one
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API bool rn_cond_signal(rn_cond *cond);

/**
 * Wakes all threads that wait; called with the mutex held.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API void rn_cond_broadcast(rn_cond *cond);

/** Says whether something that is done once has been done. Private. */
struct rn_once {
    pthread_once_t native_;
};

/** The initial value of a struct rn_once. */
#define RN_ONCE_INIT                                                                               \
    {                                                                                              \
        PTHREAD_ONCE_INIT                                                                          \
    }

/**
 * Calls fn unless that has been done; when it returns, fn has returned (Go: sync.Once).
 *
 * **Ownership:** none. **Blocking:** while another thread is inside fn.
 * **Threads:** any; not from within fn. **Errors:** none.
 */
RN_API void rn_once(struct rn_once *once, void (*fn)(void));

#ifdef __cplusplus
}
#endif
#endif
