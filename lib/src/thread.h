/** \file The library's threads: named, and with all signals blocked. */
#ifndef RUNNEL_SRC_THREAD_H
#define RUNNEL_SRC_THREAD_H

#include <pthread.h>

#include <runnel/error.h>

/** Bytes of a thread's name, with its end; the system's limit. */
enum {
    RNI_THREAD_NAME_BYTES = 16,
};

/** A thread, in the storage of its owner, where it stays until it is joined. */
struct rni_thread {
    pthread_t id; // set by the thread itself before it calls fn
    char name[RNI_THREAD_NAME_BYTES];
    void (*fn)(void *arg);
    void *arg;
};

/** Starts fn(arg) in a thread. -EAGAIN: the system gives none. */
RN_MUST_CHECK int rni_thread_start(struct rni_thread *thread, const char *name,
                                   void (*fn)(void *arg), void *arg);

/**
 * Waits until the thread is gone. Who joins must have learned from the thread itself, under a lock,
 * that it is about to return: only so its id is known to be set.
 */
void rni_thread_join(struct rni_thread *thread);

#endif
