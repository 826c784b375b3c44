/*
 * The one timer thread of the process.
 *
 * Armed timers stand in a heap, the earliest first. The thread sleeps until that instant, takes the
 * timer out, and calls its function without the lock. It never touches a timer after its function
 * was called, so a function may free its own timer. It can be poked too, from the handler of a
 * signal, which may have interrupted any thread under any lock.
 *
 * 1. The heap has room for every timer that exists (`timers`), so arming cannot fail.
 * 2. Who arms a timer wakes the thread only if the timer is due before the instant until which the
 *    thread sleeps. A timer that is disarmed leaves that instant alone: the thread may wake up once
 *    for nothing.
 * 3. `running` is the timer whose function runs, or ran and freed it: a mere address.
 * 4. The thread sleeps on `wakes`, which it reads before it looks whether there is anything to do,
 *    and which moves after there is: then it does not fall asleep, or it is woken.
 *
 * The lock, `mu`, has the highest rank: it may be taken under any other, and nothing is called
 * under it but conditions.
 */
#define _GNU_SOURCE 1 // syscall

#include "timer.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <runnel/sync.h>

#include "futex.h"
#include "thread.h"

// Up to this many timers need no memory.
enum {
    ROOM_MIN = 64,
};

static rn_mutex mu = RN_MUTEX_INIT(60);
static rn_cond returned RN_GUARDED_BY(mu) = RN_COND_INIT; // a function has returned; thread ended
static struct rni_timer *small_heap[ROOM_MIN] RN_GUARDED_BY(mu);
static struct rni_timer **heap RN_GUARDED_BY(mu) = small_heap;
static size_t room RN_GUARDED_BY(mu) = ROOM_MIN; // places in the heap
static size_t timers RN_GUARDED_BY(mu);          // that exist; at most room
static size_t armed RN_GUARDED_BY(mu);           // in the heap; at most timers
static struct rni_timer *running RN_GUARDED_BY(mu);
static rn_time sleeps_until RN_GUARDED_BY(mu);
static void (*poked_fn)(void) RN_GUARDED_BY(mu);
static enum { NOT_STARTED, STARTED, STOPPING, ENDED } stage RN_GUARDED_BY(mu);
static _Atomic uint32_t wakes; // a futex
static _Atomic bool poked;     // set before `wakes` moves
static struct rni_thread thread;
static _Atomic pid_t process; // that has the thread; its children by fork have none
static _Thread_local bool is_timer_thread;

// ---- The heap: heap[0] is the earliest, no timer is earlier than heap[(i - 1) / 2].

static void place_locked(struct rni_timer *timer, size_t i) RN_REQUIRES(&mu);
static void sift_locked(struct rni_timer *timer, size_t i) RN_REQUIRES(&mu);
static bool remove_locked(struct rni_timer *timer) RN_REQUIRES(&mu);

static void place_locked(struct rni_timer *timer, size_t i)
{
    heap[i] = timer;
    timer->index = i;
}

/* Finds the place of a timer, beginning at i, whose old content counts for nothing. */
static void sift_locked(struct rni_timer *timer, size_t i)
{
    while (i > 0 && timer->at < heap[(i - 1) / 2]->at) {
        place_locked(heap[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= armed)
            break;
        if (child + 1 < armed && heap[child + 1]->at < heap[child]->at)
            child++;
        if (timer->at <= heap[child]->at)
            break;
        place_locked(heap[child], i);
        i = child;
    }
    place_locked(timer, i);
}

static bool remove_locked(struct rni_timer *timer)
{
    size_t i = timer->index;

    if (i == RNI_TIMER_IDLE)
        return false;
    timer->index = RNI_TIMER_IDLE;
    armed--;
    if (i < armed)
        sift_locked(heap[armed], i); // the last one fills the gap
    return true;
}

// ---- The thread

/* Has the thread look again. Only atomics and a system call: a handler of a signal calls it. */
static void wake(void)
{
    (void)atomic_fetch_add(&wakes, 1);
    rni_futex_wake(&wakes);
}

/* Takes the earliest timer out and calls its function. */
static void fire_locked(void) RN_REQUIRES(&mu);
static void fire_locked(void)
{
    struct rni_timer *timer = heap[0];
    void (*fn)(void *arg) = timer->fn;
    void *arg = timer->arg;

    (void)remove_locked(timer);
    running = timer;
    rn_mutex_unlock(&mu);
    fn(arg);
    rn_mutex_lock(&mu);
    running = NULL;
    rn_cond_broadcast(&returned);
}

/* Does one thing that is due; false: nothing is. */
static bool do_one_locked(void) RN_REQUIRES(&mu);
static bool do_one_locked(void)
{
    if (atomic_exchange(&poked, false)) {
        void (*fn)(void) = poked_fn;
        rn_mutex_unlock(&mu);
        fn();
        rn_mutex_lock(&mu);
        return true;
    }
    if (armed > 0 && heap[0]->at <= rn_now()) {
        fire_locked();
        return true;
    }
    return false;
}

static void serve(void *arg)
{
    (void)arg;
    is_timer_thread = true;
    rn_mutex_lock(&mu);
    while (stage == STARTED) {
        uint32_t seen = atomic_load(&wakes);
        if (do_one_locked())
            continue;
        rn_time until = armed > 0 ? heap[0]->at : RN_NEVER;
        sleeps_until = until;
        rn_mutex_unlock(&mu);
        (void)rni_futex_wait(&wakes, seen, until);
        rn_mutex_lock(&mu);
        sleeps_until = 0; // awake: looks at the heap before it sleeps
    }
    stage = ENDED;
    rn_cond_broadcast(&returned);
    rn_mutex_unlock(&mu);
}

static int start_locked(void) RN_REQUIRES(&mu);
static int start_locked(void)
{
    if (stage != NOT_STARTED)
        return 0;
    int r = rni_thread_start(&thread, "rn-timer", serve, NULL);
    if (r < 0)
        return r;
    stage = STARTED;
    atomic_store(&process, getpid());
    return 0;
}

/*
 * The code of the thread must not be unloaded, nor the process end, under it. A function that
 * blocks against the rules, or exit() called by the thread itself, must not keep the process: at
 * most 1 s.
 */
__attribute__((destructor)) static void stop_thread(void)
{
    rn_time deadline = rn_after(RN_SECOND);
    bool ended = false;

    if (is_timer_thread || atomic_load(&process) != getpid())
        return;
    rn_mutex_lock(&mu);
    if (stage == STARTED) {
        stage = STOPPING;
        wake();
        while (stage != ENDED && rn_cond_wait(NULL, &returned, &mu, deadline) == 0)
            continue;
        ended = stage == ENDED;
    }
    rn_mutex_unlock(&mu);
    if (ended)
        rni_thread_join(&thread);
}

// ---- Timers

/* Makes room for one timer more. */
static int reserve_locked(void) RN_REQUIRES(&mu);
static int reserve_locked(void)
{
    if (timers == room) {
        size_t more = room * 2;
        struct rni_timer **bigger = malloc(more * sizeof(struct rni_timer *));
        if (bigger == NULL)
            return -ENOMEM;
        memcpy(bigger, heap, armed * sizeof(struct rni_timer *));
        if (heap != small_heap)
            free(heap);
        heap = bigger;
        room = more;
    }
    timers++;
    return 0;
}

static void unreserve_locked(void) RN_REQUIRES(&mu);
static void unreserve_locked(void)
{
    timers--;
    // Not at ROOM_MIN: a timer made and ended again and again would copy the heap each time.
    if (heap != small_heap && timers <= ROOM_MIN / 2) {
        memcpy(small_heap, heap, armed * sizeof(struct rni_timer *));
        free(heap);
        heap = small_heap;
        room = ROOM_MIN;
    }
}

int rni_timer_init(struct rni_timer *timer, void (*fn)(void *arg), void *arg)
{
    timer->at = RN_NEVER;
    timer->index = RNI_TIMER_IDLE;
    timer->fn = fn;
    timer->arg = arg;

    rn_mutex_lock(&mu);
    int r = start_locked();
    if (r == 0)
        r = reserve_locked();
    rn_mutex_unlock(&mu);
    return r;
}

bool rni_timer_arm(struct rni_timer *timer, rn_time at)
{
    bool is_too_late = false; // the instant until which the thread sleeps

    rn_mutex_lock(&mu);
    bool was_armed = remove_locked(timer);
    timer->at = at;
    if (at != RN_NEVER) {
        sift_locked(timer, armed++);
        is_too_late = at < sleeps_until;
        if (is_too_late)
            sleeps_until = 0; // woken once is enough
    }
    rn_mutex_unlock(&mu);
    if (is_too_late)
        wake(); // without the lock, which the thread takes first
    return was_armed;
}

bool rni_timer_disarm(struct rni_timer *timer)
{
    rn_mutex_lock(&mu);
    bool was_armed = remove_locked(timer);
    rn_mutex_unlock(&mu);
    return was_armed;
}

static bool stop_locked(struct rni_timer *timer) RN_REQUIRES(&mu);
static bool stop_locked(struct rni_timer *timer)
{
    bool was_armed = remove_locked(timer);

    while (running == timer && !is_timer_thread) {
        int r = rn_cond_wait(NULL, &returned, &mu, RN_NEVER);
        RN_ASSERT(r == 0);
        (void)remove_locked(timer); // its function may have armed it again
    }
    return was_armed;
}

bool rni_timer_stop(struct rni_timer *timer)
{
    rn_mutex_lock(&mu);
    bool was_armed = stop_locked(timer);
    rn_mutex_unlock(&mu);
    return was_armed;
}

void rni_timer_fini(struct rni_timer *timer)
{
    rn_mutex_lock(&mu);
    (void)stop_locked(timer);
    unreserve_locked();
    rn_mutex_unlock(&mu);
}

// ---- Pokes

int rni_timer_on_poke(void (*fn)(void))
{
    rn_mutex_lock(&mu);
    RN_ASSERT(poked_fn == NULL || poked_fn == fn);
    poked_fn = fn;
    int r = start_locked();
    rn_mutex_unlock(&mu);
    return r;
}

void rni_timer_poke(void)
{
    atomic_store(&poked, true);
    wake();
}
