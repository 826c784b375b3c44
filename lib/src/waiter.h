/** \file
 * One parked thread: what channels, conditions and contexts wake.
 *
 * A thread that has to wait makes a waiter and its nodes on its own stack, puts the nodes on the
 * lists of all that can end the wait, each under the list's own lock and one after the other, and
 * parks. Nothing is allocated, and no two of these locks are ever held together.
 *
 * 1. A waiter ends once: whoever claims it first (a channel's peer, a signal, the end of the
 *    context, the deadline, which the thread itself sees) decides the result. All others find it
 *    claimed and go on to the next waiter of their list, so nothing that was given is lost.
 * 2. A waiter that is claimed by another stays where it is until that other finishes it: its nodes,
 *    and the elements that they point at, may be used between the claim and the finish, and not
 *    after it.
 * 3. A node is on at most one list; the list's lock guards its links. Whoever takes a node off a
 *    list clears node->list. Before its thread leaves, all its nodes are off their lists: those
 * that nobody took off it takes off itself, under the lock.
 *
 * No wake-up is lost: the state goes from WAITING to PARKED before the thread sleeps, and the futex
 * sleeps only while the state is PARKED. Who claims before that stops the sleep; who claims after
 * it sees PARKED and wakes.
 *
 * A wake comes after the finish, so the thread may have left by then and its stack may hold
 * something else: the address is only given to the kernel, which at worst wakes another sleeper of
 * this process for nothing, and every sleeper looks again.
 */
#ifndef RUNNEL_SRC_WAITER_H
#define RUNNEL_SRC_WAITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/sync.h>

/** A thread that waits. */
struct rni_waiter {
    _Atomic uint32_t state;             // the futex; enum in waiter.c
    int result;                         // written by who claimed, before the finish
    struct rn_waiter_node *chosen;      // through which it was claimed; written with the claim
    bool spun;                          // its thread has looked long enough: it parks at once
    struct rn_waiter_node context_node; // on the context's list
};

/** How long a thread that has to wait looks again and again before it sleeps. */
struct rni_spin {
    unsigned pauses; // looks that are left, first after a pause
    unsigned yields; // then after a yield
};

/** Begins a wait. */
struct rni_spin rni_spin_start(void);

/** Pauses before the next look. false: it has looked long enough. */
bool rni_spin_next(struct rni_spin *spin);

/** Ends it: for this thread's next waits it counts whether what it waited for came. */
void rni_spin_end(bool came);

/** Pauses while another thread does what takes a moment: its nth time, from 1. */
void rni_pause(unsigned n);

/** Makes a waiter that is on no list. */
void rni_waiter_init(struct rni_waiter *waiter);

/** Makes a node of a waiter that is on no list. */
void rni_node_init(struct rn_waiter_node *node, struct rni_waiter *waiter);

/** Appends a node. The list's lock is held. */
void rni_waitlist_push(struct rn_waitlist *list, struct rn_waiter_node *node);

/** Takes a node off its list, if it is on one. The list's lock is held. */
void rni_waitlist_remove(struct rn_waiter_node *node);

/**
 * Takes nodes off the list up to the first whose waiter can be claimed, which is returned: finish
 * it with rni_waiter_finish(), best after the lock is given back. NULL: there was none. The list's
 * lock is held.
 */
struct rn_waiter_node *rni_waitlist_claim(struct rn_waitlist *list);

/** Claims all of a list: the nodes, linked by `next`, whose waiters are to be finished. The list's
 * lock is held. */
struct rn_waiter_node *rni_waitlist_claim_all(struct rn_waitlist *list);

/** Ends the wait of a claimed waiter, which must not be touched after it. */
void rni_waiter_finish(struct rni_waiter *waiter, int result);

/** Finishes what rni_waitlist_claim_all() returned. */
void rni_waiter_finish_all(struct rn_waiter_node *nodes, int result);

/**
 * Waits until the waiter is ended: by who found it on a list, by the end of ctx, or at the
 * deadline. No lock is held. Returns the result: -ETIMEDOUT at the deadline, rn_context_err(ctx) at
 * the end of ctx. The waiter is off the context's list then; its other nodes are the caller's
 * concern.
 */
int rni_waiter_wait(struct rni_waiter *waiter, rn_context *ctx, rn_time deadline);

/** Puts a waiter's context_node on the list of ctx; false: ctx has ended. In context.c. */
bool rni_context_watch(rn_context *ctx, struct rn_waiter_node *node);

/** Takes it off again. In context.c. */
void rni_context_unwatch(rn_context *ctx, struct rn_waiter_node *node);

#endif
