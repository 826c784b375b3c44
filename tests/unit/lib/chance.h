/** \file What tests that do things at random share. */
#ifndef TESTS_LIB_CHANCE_H
#define TESTS_LIB_CHANCE_H

#include <runnel/context.h>

/** The same numbers everywhere, from the same seed. Below bound. */
unsigned random_below(unsigned *seed, unsigned bound);

/** What cancel_at_some_time is given. */
struct some_time {
    unsigned yields;
    rn_context *ctx;
};
/** For a group's thread: gives the processor away so many times, then cancels. */
int cancel_at_some_time(rn_context *ctx, void *arg);

#endif
