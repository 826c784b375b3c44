/** \file Functions for the stages of pipelines and fans, and a list that takes what comes out. All
 * elements are int. */
#ifndef TESTS_LIB_STAGES_H
#define TESTS_LIB_STAGES_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/pipeline.h>

#include "chans.h"

enum {
    LIST_MAX = 20000,
};

/** What a sink has got. */
struct list {
    size_t count;
    int items[LIST_MAX];
};

rn_pipeline *new_pipeline(void);

/** A source: emits 0, 1, … below *(const int *)arg. */
int count_up(rn_context *ctx, void *arg, rn_emitter *emitter);
/** A source: emits 0, 1, … until it is told to stop. */
int count_on(rn_context *ctx, void *arg, rn_emitter *emitter);
/** A sink: appends to the struct list arg; -EMSGSIZE when it is full. */
int append(rn_context *ctx, void *arg, const void *in);
/** A sink. */
int ignore(rn_context *ctx, void *arg, const void *in);

int copy(rn_context *ctx, void *arg, const void *in, void *out);
int keep_prime(rn_context *ctx, void *arg, const void *in, bool *ret_keep);

/** Gives the processor away, for some numbers many times as often as for others. */
void dawdle(int number);
/** copy() that dawdles. */
int copy_unevenly(rn_context *ctx, void *arg, const void *in, void *out);
/** Emits n n % 4 times, and dawdles before each. */
int repeat_unevenly(rn_context *ctx, void *arg, const void *in, rn_emitter *emitter);

#endif
