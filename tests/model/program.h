/** \file
 * What the threads of a scenario do, in a notation:
 *
 *     A! B?      sends to channel A, then receives from channel B; | stands between threads
 *     A!c        with the context, which K cancels
 *     A?t        with a deadline, which may come at any time; A?b with both
 *     A!-        without waiting (try)
 *     A?*        receives until an error
 *     A@         waits until the descriptor is readable, then receives without waiting
 *     A#  A~     closes, frees
 *     [A! B?]    a select; [A! B?]c with the context, [A! B?]- without waiting
 *
 * Whatever the scenario, it is checked that an element whose sending succeeded is received once, or
 * is left inside, and that no other is; that what one sender sent is received in its order; that
 * each operation ends in a way that it may, and not with -EAGAIN or the end of a deadline when it
 * could surely have been done; and that -EPIPE is answered to a receiver only by an empty channel.
 */
#ifndef TESTS_MODEL_PROGRAM_H
#define TESTS_MODEL_PROGRAM_H

#include "model.h"

enum {
    CHANNELS_MAX = 2,
};

struct scenario {
    const char *name;
    const char *program;
    int capacities[CHANNELS_MAX];
    unsigned looks;    // of a thread that has to wait, before it parks
    unsigned seen;     // what has to happen in some schedule
    unsigned outcomes; // how many different results there are; 0: any
    unsigned mishaps;  // of each thread: it wakes, or a weak exchange fails, for nothing
    bool counts;       // channel A has a received_fn
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/** Explores a scenario, and prints a line, or what is wrong. */
bool program_explore(const struct scenario *scenario, uint64_t states_max);

#endif
