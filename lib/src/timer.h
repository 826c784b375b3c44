/** \file The one timer thread of the process, and the timers that it serves. */
#ifndef RUNNEL_SRC_TIMER_H
#define RUNNEL_SRC_TIMER_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/clock.h>
#include <runnel/error.h>

/** A timer, in the storage of its owner. Guarded by the lock of timer.c. */
struct rni_timer {
    rn_time at;
    size_t index; // in the heap; RNI_TIMER_IDLE: not armed
    void (*fn)(void *arg);
    void *arg;
};

#define RNI_TIMER_IDLE SIZE_MAX

/**
 * Makes a timer that is not armed, with its room in the heap, and starts the timer thread if it is
 * not there. fn must not block. -ENOMEM, -EAGAIN.
 */
RN_MUST_CHECK int rni_timer_init(struct rni_timer *timer, void (*fn)(void *arg), void *arg);

/** Disarms it for good, waiting as rni_timer_stop(), and gives its room back. */
void rni_timer_fini(struct rni_timer *timer);

/** Arms it, anew if it is; RN_NEVER: disarms it. Returns whether it was armed. */
bool rni_timer_arm(struct rni_timer *timer, rn_time at);

/** Disarms it; its function may be running. Returns whether it was armed. */
bool rni_timer_disarm(struct rni_timer *timer);

/** Disarms it and waits until its function does not run, unless called from within it. Returns
 * whether it was armed. */
bool rni_timer_stop(struct rni_timer *timer);

/**
 * Starts the timer thread if it is not there, and has it call fn, which must not block, each time
 * that it is poked. There is one such fn in the process. -EAGAIN.
 */
RN_MUST_CHECK int rni_timer_on_poke(void (*fn)(void));

/** Has the timer thread call what rni_timer_on_poke() was given, once for all pokes that it has not
 * answered. Is allowed in the handler of a signal, which keeps errno itself. */
void rni_timer_poke(void);

#endif
