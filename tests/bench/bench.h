/*
 * What the benchmark programs share: the clock, the end of a program that cannot go on, numbers
 * from the command line.
 *
 * They are measuring tools: whatever fails ends the program with a line on stderr, and run.sh says
 * that the row failed.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define DIE(...)                                                                                   \
    do {                                                                                           \
        fprintf(stderr, "%s: ", program_invocation_short_name);                                    \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        _Exit(1);                                                                                  \
    } while (0)

#define NS_PER_S 1000000000u

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline double seconds_since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / NS_PER_S;
}

/* Gives up the processor for a while, between two looks at something that has no way to tell. */
static inline void pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static inline void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        DIE("no memory for %zu bytes", bytes);
    return memory;
}

static inline uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        DIE("'%s' must be a number from %llu to %llu", text, (unsigned long long)min,
            (unsigned long long)max);
    return value;
}

#endif
