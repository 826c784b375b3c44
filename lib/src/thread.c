/*
 * The library's threads. Signals are for the threads of the program: all are blocked here, before
 * the thread exists, so that none can slip in.
 */
#define _GNU_SOURCE 1 // pthread_setname_np

#include "thread.h"

#include <signal.h>
#include <stdio.h>

static void *run(void *arg)
{
    struct rni_thread *thread = arg;

    thread->id = pthread_self();
    // A name is for who reads a debugger or top; without it all works.
    (void)pthread_setname_np(thread->id, thread->name);
    thread->fn(thread->arg);
    return NULL;
}

int rni_thread_start(struct rni_thread *thread, const char *name, void (*fn)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    pthread_t id; // not thread->id: that is the thread's own to write

    (void)snprintf(thread->name, sizeof(thread->name), "%s", name);
    thread->fn = fn;
    thread->arg = arg;

    (void)sigfillset(&all);
    int r = pthread_sigmask(SIG_SETMASK, &all, &before);
    RN_ASSERT(r == 0);
    int created = pthread_create(&id, NULL, run, thread);
    r = pthread_sigmask(SIG_SETMASK, &before, NULL);
    RN_ASSERT(r == 0);
    return -created;
}

void rni_thread_join(struct rni_thread *thread)
{
    int r = pthread_join(thread->id, NULL);
    RN_ASSERT(r == 0);
}
