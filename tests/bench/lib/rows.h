/*
 * What a row of the library's benchmark is, and what rows share.
 *
 * A row is named as its counterpart in bench_test.go, which does the same in Go, step by step.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"

/* What is measured: a function that does an operation many times. */
struct row {
    const char *name;
    /* Does about so many operations and returns the nanoseconds that they took. */
    uint64_t (*run)(const struct row *row, uint64_t ops);
    /* Or does what it does by itself and returns the figure: nanoseconds per operation, or bytes.
     */
    double (*figure)(const struct row *row);
    unsigned threads; // of each side; or how many things there are
    size_t capacity;
    bool both_run; // needs two processors
};

/* Each ends with a row without a name. */
extern const struct row ceiling_rows[];
extern const struct row channel_rows[];
extern const struct row select_rows[];
extern const struct row context_rows[];
extern const struct row worker_rows[];
extern const struct row other_rows[];

/* How many processors may be used, and how long a row should take. */
extern unsigned processors;
extern uint64_t target_ns;

/* What one of several threads has to do. */
struct part {
    void (*fn)(struct part *part);
    void *shared;
    unsigned index;
    uint64_t ops;
};

/*
 * Runs fn in so many threads, each with its share of the operations, and returns the nanoseconds
 * until all have ended.
 */
uint64_t in_threads(unsigned count, void (*fn)(struct part *part), void *shared, uint64_t ops);

/*
 * The same with producers and consumers, as many of each: every one does its share of the
 * operations.
 */
uint64_t in_pairs(unsigned pairs, void (*producer)(struct part *part),
                  void (*consumer)(struct part *part), void *shared, uint64_t ops);

/* Keeps the calling thread on one of the processors that may be used, counted from 0. */
void stay_on(unsigned processor);

/* The middle one of so many values, which are sorted. */
double median_of(uint64_t *values, size_t count);

/* What must not fail here. */
static inline void must(int r)
{
    if (r != 0)
        DIE("unexpected result %d: %s", r, strerror(r < 0 ? -r : r));
}

/* Keeps the processor busy; the other thread sleeps meanwhile. */
static inline void spin_ns(uint64_t ns)
{
    uint64_t until = now_ns() + ns;
    while (now_ns() < until)
        ;
}

/* Tells the processor that the thread looks at something again and again. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* How a hand-off to a sleeping thread is measured: how often, and after which time it sleeps. */
enum { PARKED_SAMPLES = 1500, PARKED_AFTER_NS = 100000 };

#endif
