/** \file
 * Calls of the tests' second daemon that fail on demand, while it runs: those of the product and of
 * every library that it is linked with. What is to fail stands in a file that both have mapped,
 * named by RUNNEL_FAULTS in the daemon's environment; without it nothing does.
 */
#ifndef INTEGRATION_DAEMON_FAULTS_H
#define INTEGRATION_DAEMON_FAULTS_H

#include <stdatomic.h>

enum faults_kind {
    FAULTS_MEMORY = 1, // malloc, calloc, realloc: no memory
    FAULTS_SYSTEM,     // pthread_create, accept4, eventfd, pipe2, open, epoll_ctl: too many of them
};

struct faults {
    _Atomic int kind;   // 0: nothing is counted, and nothing fails
    _Atomic int nth;    // the first that fails, from 1; 0: none
    _Atomic int many;   // how many fail from it on
    _Atomic int calls;  // so far, of all threads
    _Atomic int struck; // how many have failed
};

#endif
