/** \file A client that submits one task after the other, beside what its scenario does. */
#ifndef INTEGRATION_LOAD_H
#define INTEGRATION_LOAD_H

#include <stdatomic.h>

#include "harness.h"

struct load {
    // To be read at any time; acknowledged (201), and everything else.
    _Atomic uint64_t last_id;
    _Atomic unsigned stored, refused;

    // load.c's own
    uint16_t port;
    _Atomic bool is_over;
    pthread_t thread;
    bool is_running;
};

/** Submits tasks of the kind `echo` from now on. Ends with the scenario at the latest. */
struct load *load_start(struct daemon *daemon);
/** Returns once the last request is answered. */
void load_end(struct load *load);

#endif
