/*
 * Rows on select, as Go's own benchmarks have them.
 */
#include <stdatomic.h>
#include <stdint.h>

#include <runnel/chan.h>

#include "rows.h"

RN_CHAN_DEFINE(values, uint64_t);

static values *new_values(size_t capacity)
{
    values *made;
    must(values_new(capacity, &made));
    return made;
}

/* Takes the element from the channel that has it and puts it into the other. */
static void swap(values *first, values *second, uint64_t ops)
{
    uint64_t value;
    struct rn_case cases[] = {values_case_recv(first, &value), values_case_recv(second, &value)};

    for (uint64_t i = 0; i < ops; i++) {
        int chosen = rn_select(NULL, cases, 2);
        if (chosen < 0)
            DIE("rn_select: %d", chosen);
        must(values_send(NULL, chosen == 0 ? second : first, 0));
    }
}

static void swap_own(struct part *part)
{
    values *first = new_values(1);
    values *second = new_values(1);

    must(values_send(NULL, first, 0));
    swap(first, second, part->ops);
    values_free(first);
    values_free(second);
}

/* A select that finds one of two channels ready, and a send to the other. */
static uint64_t uncontended(const struct row *row, uint64_t ops)
{
    (void)row;
    return in_threads(processors, swap_own, NULL, ops);
}

struct channels {
    values *chans[4];
    _Atomic unsigned running; // threads that still receive
};

static void swap_shared(struct part *part)
{
    struct channels *shared = part->shared;

    must(values_send(NULL, shared->chans[0], 0));
    swap(shared->chans[0], shared->chans[1], part->ops);
}

/* The same with channels that all threads use, with room for an element of each thread. */
static uint64_t async(const struct row *row, uint64_t ops)
{
    struct channels shared = {{new_values(processors), new_values(processors)}, 0};

    (void)row;
    uint64_t ns = in_threads(processors, swap_shared, &shared, ops);
    values_free(shared.chans[0]);
    values_free(shared.chans[1]);
    return ns;
}

static void select_to_send(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value = 0;
    struct rn_case cases[] = {
        values_case_send(shared->chans[0], &value), values_case_send(shared->chans[1], &value),
        values_case_send(shared->chans[2], &value), values_case_recv(shared->chans[3], NULL)};

    for (;;) {
        int chosen = rn_select(NULL, cases, 4);
        if (chosen < 0)
            DIE("rn_select: %d", chosen);
        if (chosen == 3)
            return;
    }
}

static void select_to_receive(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value;
    struct rn_case cases[] = {values_case_recv(shared->chans[0], &value),
                              values_case_recv(shared->chans[1], &value),
                              values_case_recv(shared->chans[2], &value)};

    for (uint64_t i = 0; i < part->ops; i++) {
        int chosen = rn_select(NULL, cases, 3);
        if (chosen < 0)
            DIE("rn_select: %d", chosen);
    }
    if (atomic_fetch_sub(&shared->running, 1) == 1)
        values_close(shared->chans[3]);
}

/* Threads select among sends, as many among receives, on three channels without a buffer. */
static uint64_t sync(const struct row *row, uint64_t ops)
{
    struct channels shared = {{new_values(0), new_values(0), new_values(0), new_values(0)},
                              processors};

    (void)row;
    uint64_t ns = in_pairs(processors, select_to_send, select_to_receive, &shared, ops);
    for (size_t i = 0; i < 4; i++)
        values_free(shared.chans[i]);
    return ns;
}

static void select_with_default(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value = 0;
    struct rn_case cases[] = {
        values_case_recv(shared->chans[0], &value), values_case_send(shared->chans[1], &value),
        values_case_recv(shared->chans[2], &value), values_case_send(shared->chans[3], &value)};

    for (uint64_t i = 0; i < part->ops; i++) {
        for (size_t each = 0; each < 4; each++) {
            int chosen = rn_try_select(&cases[each], 1);
            if (chosen != 0 && chosen != -EAGAIN)
                DIE("rn_try_select: %d", chosen);
        }
    }
}

/* Four selects of one case with a default. */
static uint64_t nonblocking(const struct row *row, uint64_t ops)
{
    struct channels shared = {{new_values(0), new_values(0), new_values(1), new_values(1)}, 0};

    (void)row;
    uint64_t ns = in_threads(processors, select_with_default, &shared, ops);
    for (size_t i = 0; i < 4; i++)
        values_free(shared.chans[i]);
    return ns;
}

static void select_none(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value;
    struct rn_case cases[] = {values_case_recv(shared->chans[0], &value),
                              values_case_recv(shared->chans[1], &value)};

    for (uint64_t i = 0; i < part->ops; i++) {
        int chosen = rn_try_select(cases, 2);
        if (chosen != -EAGAIN)
            DIE("rn_try_select: %d", chosen);
    }
}

/* One select of two cases, none of them ready, with a default. */
static uint64_t none_ready(const struct row *row, uint64_t ops)
{
    struct channels shared = {{new_values(0), new_values(0)}, 0};

    (void)row;
    uint64_t ns = in_threads(processors, select_none, &shared, ops);
    values_free(shared.chans[0]);
    values_free(shared.chans[1]);
    return ns;
}

static void select_and_produce(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value = 0;
    struct rn_case cases[] = {values_case_send(shared->chans[0], &value),
                              values_case_recv(shared->chans[1], NULL)};

    for (uint64_t i = 0; i < part->ops; i++) {
        int chosen = rn_select(NULL, cases, 2);
        if (chosen != 0)
            DIE("rn_select: %d", chosen);
    }
}

static void select_and_consume(struct part *part)
{
    struct channels *shared = part->shared;
    uint64_t value = 0;
    struct rn_case cases[] = {values_case_recv(shared->chans[0], &value),
                              values_case_recv(shared->chans[1], NULL)};

    for (uint64_t i = 0; i < part->ops; i++) {
        int chosen = rn_select(NULL, cases, 2);
        if (chosen != 0)
            DIE("rn_select: %d", chosen);
    }
}

/* A producer and a consumer that look at a second channel too, on which nothing comes. */
static uint64_t produce_and_consume(const struct row *row, uint64_t ops)
{
    struct channels shared = {{new_values(row->capacity), new_values(0)}, 0};

    uint64_t ns = in_pairs(row->threads, select_and_produce, select_and_consume, &shared, ops);
    values_free(shared.chans[0]);
    values_free(shared.chans[1]);
    return ns;
}

const struct row select_rows[] = {
    {.name = "select/uncontended", .run = uncontended},
    {.name = "select/contended-async", .run = async},
    {.name = "select/contended-sync", .run = sync},
    {.name = "select/nonblocking", .run = nonblocking},
    {.name = "select/none-ready", .run = none_ready},
    {.name = "select/1p1c-128", .run = produce_and_consume, .threads = 1, .capacity = 128},
    {.name = NULL},
};
