/*
 * Rows on wait groups and limiters, and what idle objects cost in memory.
 */
#include <malloc.h>

#include <runnel/chan.h>
#include <runnel/context.h>
#include <runnel/limiter.h>
#include <runnel/waitgroup.h>

#include "rows.h"

static void add_and_done(rn_waitgroup *wg, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        rn_waitgroup_add(wg, 1);
        rn_waitgroup_done(wg);
    }
}

static void use_own_waitgroup(struct part *part)
{
    rn_waitgroup wg;

    rn_waitgroup_init(&wg);
    add_and_done(&wg, part->ops);
    rn_waitgroup_fini(&wg);
}

static uint64_t waitgroup(const struct row *row, uint64_t ops)
{
    (void)row;
    return in_threads(processors, use_own_waitgroup, NULL, ops);
}

static void use_shared_waitgroup(struct part *part)
{
    add_and_done(part->shared, part->ops);
}

static uint64_t waitgroup_shared(const struct row *row, uint64_t ops)
{
    rn_waitgroup wg;

    (void)row;
    rn_waitgroup_init(&wg);
    uint64_t ns = in_threads(processors, use_shared_waitgroup, &wg, ops);
    rn_waitgroup_fini(&wg);
    return ns;
}

static void allow(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++)
        (void)rn_limiter_allow(part->shared);
}

static void allow_at_instant(struct part *part)
{
    rn_time now = rn_now();

    for (uint64_t i = 0; i < part->ops; i++)
        (void)rn_limiter_allow_at(part->shared, now, 1);
}

static uint64_t limited(void (*fn)(struct part *part), double tokens_per_s, unsigned burst,
                        uint64_t ops)
{
    rn_limiter *limiter;

    must(rn_limiter_new(tokens_per_s, burst, &limiter));
    uint64_t ns = in_threads(processors, fn, limiter, ops);
    rn_limiter_free(limiter);
    return ns;
}

/* One limiter for all threads, which allows what comes. */
static uint64_t limiter_allow(const struct row *row, uint64_t ops)
{
    (void)row;
    return limited(allow, 1e9, 1000000, ops);
}

/* One that has given its only token, and is told the instant. */
static uint64_t limiter_refuse(const struct row *row, uint64_t ops)
{
    (void)row;
    return limited(allow_at_instant, 1, 1, ops);
}

enum { IDLE_OBJECTS = 100000 };
static void *idle[IDLE_OBJECTS];

static size_t bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static double channel_bytes(const struct row *row)
{
    size_t before = bytes_in_use();

    for (size_t i = 0; i < IDLE_OBJECTS; i++)
        must(rn_chan_new(sizeof(uint64_t), row->capacity, (rn_chan **)&idle[i]));
    size_t after = bytes_in_use();
    for (size_t i = 0; i < IDLE_OBJECTS; i++)
        rn_chan_free(idle[i]);
    return (double)(after - before) / (double)IDLE_OBJECTS;
}

static double context_bytes(const struct row *row)
{
    rn_context *parent;

    (void)row;
    must(rn_context_with_cancel(NULL, &parent));
    size_t before = bytes_in_use();
    for (size_t i = 0; i < IDLE_OBJECTS; i++)
        must(rn_context_with_cancel(parent, (rn_context **)&idle[i]));
    size_t after = bytes_in_use();
    for (size_t i = 0; i < IDLE_OBJECTS; i++)
        rn_context_unref(idle[i]);
    rn_context_unref(parent);
    return (double)(after - before) / (double)IDLE_OBJECTS;
}

const struct row other_rows[] = {
    {.name = "waitgroup/own", .run = waitgroup},
    {.name = "waitgroup/shared", .run = waitgroup_shared},
    {.name = "limiter/allow", .run = limiter_allow},
    {.name = "limiter/refuse", .run = limiter_refuse},
    {.name = "memory/channel", .figure = channel_bytes, .capacity = 0},
    {.name = "memory/context", .figure = context_bytes},
    {.name = NULL},
};
