/*
 * Rows on channels. Elements are uint64_t, as large as Go's int.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <runnel/chan.h>

#include "rows.h"

RN_CHAN_DEFINE(values, uint64_t);

enum { BATCH = 100 }; // elements that are sent before they are received again
enum { SELECTING_THREADS = 1000 };

static values *new_values(size_t capacity)
{
    values *made;
    must(values_new(capacity, &made));
    return made;
}

static void send_and_receive(values *chan, uint64_t ops)
{
    uint64_t value;

    for (uint64_t done = 0; done < ops; done += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            must(values_send(NULL, chan, i));
        for (uint64_t i = 0; i < BATCH; i++)
            must(values_recv(NULL, chan, &value));
    }
}

static void use_own_channel(struct part *part)
{
    values *chan = new_values(BATCH);

    send_and_receive(chan, part->ops);
    values_free(chan);
}

/* Each thread has a channel of its own. */
static uint64_t uncontended(const struct row *row, uint64_t ops)
{
    (void)row;
    return in_threads(processors, use_own_channel, NULL, ops);
}

static void use_shared_channel(struct part *part)
{
    send_and_receive(part->shared, part->ops);
}

/* All threads have one, where there is always room for what each sends. */
static uint64_t contended(const struct row *row, uint64_t ops)
{
    values *chan = new_values((size_t)BATCH * processors);

    (void)row;
    uint64_t ns = in_threads(processors, use_shared_channel, chan, ops);
    values_free(chan);
    return ns;
}

static void go_back_and_forth(struct part *part)
{
    values *chan = part->shared;
    uint64_t value;

    for (uint64_t i = 0; i < part->ops; i++) {
        if (part->index == 0)
            must(values_send(NULL, chan, i));
        must(values_recv(NULL, chan, &value));
        if (part->index == 1)
            must(values_send(NULL, chan, i));
    }
}

/* Two threads hand an element to one another without a buffer; each hand-off is an operation. */
static uint64_t handoff(const struct row *row, uint64_t ops)
{
    values *chan = new_values(0);

    (void)row;
    uint64_t ns = in_threads(2, go_back_and_forth, chan, ops);
    values_free(chan);
    return ns;
}

struct parked {
    values *chan;
    _Atomic uint64_t received;
    uint64_t samples[PARKED_SAMPLES];
};

static void receive_instants(struct part *part)
{
    struct parked *parked = part->shared;
    uint64_t sent_at;

    stay_on(1);
    for (size_t i = 0; i < PARKED_SAMPLES; i++) {
        must(values_recv(NULL, parked->chan, &sent_at));
        parked->samples[i] = now_ns() - sent_at;
        atomic_store(&parked->received, i + 1);
    }
}

static void send_instants(struct part *part)
{
    struct parked *parked = part->shared;

    stay_on(0);
    for (size_t i = 0; i < PARKED_SAMPLES; i++) {
        while (atomic_load(&parked->received) != i)
            relax();
        spin_ns(PARKED_AFTER_NS);
        must(values_send(NULL, parked->chan, now_ns()));
    }
}

/*
 * From the send on one processor to the end of the receive in a thread that slept on another. On
 * one processor both sides of handoff() sleep anyway.
 */
static double handoff_parked(const struct row *row)
{
    static struct parked parked;

    (void)row;
    parked.chan = new_values(0);
    atomic_store(&parked.received, 0);
    (void)in_pairs(1, send_instants, receive_instants, &parked, 1);
    values_free(parked.chan);
    return median_of(parked.samples, PARKED_SAMPLES);
}

static void produce(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++)
        must(values_send(NULL, part->shared, i));
}

static void consume(struct part *part)
{
    uint64_t value;

    for (uint64_t i = 0; i < part->ops; i++)
        must(values_recv(NULL, part->shared, &value));
}

static uint64_t produce_and_consume(const struct row *row, uint64_t ops)
{
    values *chan = new_values(row->capacity);

    uint64_t ns = in_pairs(row->threads, produce, consume, chan, ops);
    values_free(chan);
    return ns;
}

static void expect(int r, int expected)
{
    if (r != expected)
        DIE("result %d instead of %d", r, expected);
}

static void try_recv(struct part *part)
{
    uint64_t value;

    for (uint64_t i = 0; i < part->ops; i++)
        expect(values_try_recv(part->shared, &value), -EAGAIN);
}

static uint64_t try_recv_empty(const struct row *row, uint64_t ops)
{
    values *chan = new_values(row->capacity);

    uint64_t ns = in_threads(processors, try_recv, chan, ops);
    values_free(chan);
    return ns;
}

static void try_send(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++)
        expect(values_try_send(part->shared, i), -EAGAIN);
}

static uint64_t try_send_full(const struct row *row, uint64_t ops)
{
    values *chan = new_values(row->capacity);

    for (size_t i = 0; i < row->capacity; i++)
        must(values_try_send(chan, i));
    uint64_t ns = in_threads(processors, try_send, chan, ops);
    values_free(chan);
    return ns;
}

static void receive_end(struct part *part)
{
    uint64_t value;

    for (uint64_t i = 0; i < part->ops; i++)
        expect(values_recv(NULL, part->shared, &value), -EPIPE);
}

static uint64_t recv_closed(const struct row *row, uint64_t ops)
{
    values *chan = new_values(row->capacity);

    values_close(chan);
    uint64_t ns = in_threads(processors, receive_end, chan, ops);
    values_free(chan);
    return ns;
}

static void make_and_free(struct part *part)
{
    const struct row *row = part->shared;

    for (uint64_t i = 0; i < part->ops; i++)
        values_free(new_values(row->capacity));
}

static uint64_t create(const struct row *row, uint64_t ops)
{
    struct row copy = *row;
    return in_threads(processors, make_and_free, &copy, ops);
}

struct listener {
    pthread_t thread;
    values *all;
    values *own;
};

static void *listen(void *arg)
{
    struct listener *self = arg;
    uint64_t value;
    struct rn_case cases[] = {values_case_recv(self->all, &value),
                              values_case_recv(self->own, &value)};

    for (;;) {
        int chosen = rn_select(NULL, cases, 2);
        if (chosen < 0 || cases[chosen].result != 0)
            return NULL;
    }
}

/*
 * Very many threads select on one channel and each on one of its own; a send to one of them takes
 * that thread off the list of all.
 */
static double popular(const struct row *row)
{
    static struct listener listeners[SELECTING_THREADS];
    values *all = new_values(0);
    pthread_attr_t attributes;
    uint64_t sends = 0;
    uint64_t ns = 0;

    must(pthread_attr_init(&attributes));
    must(pthread_attr_setstacksize(&attributes, 65536));
    for (unsigned i = 0; i < row->threads; i++) {
        listeners[i] = (struct listener){.all = all, .own = new_values(0)};
        must(pthread_create(&listeners[i].thread, &attributes, listen, &listeners[i]));
    }
    must(pthread_attr_destroy(&attributes));

    for (bool warm = false; ns < target_ns; warm = true) {
        uint64_t started_at = now_ns();
        for (unsigned i = 0; i < row->threads; i++)
            must(values_send(NULL, listeners[i].own, i));
        if (warm) {
            ns += now_ns() - started_at;
            sends += row->threads;
        }
    }

    values_close(all);
    for (unsigned i = 0; i < row->threads; i++) {
        must(pthread_join(listeners[i].thread, NULL));
        values_free(listeners[i].own);
    }
    values_free(all);
    return (double)ns / (double)sends;
}

const struct row channel_rows[] = {
    {.name = "channel/uncontended", .run = uncontended},
    {.name = "channel/contended", .run = contended},
    {.name = "channel/handoff", .run = handoff},
    {.name = "channel/handoff-parked", .figure = handoff_parked, .both_run = true},
    {.name = "channel/1p1c-0", .run = produce_and_consume, .threads = 1, .capacity = 0},
    {.name = "channel/1p1c-10", .run = produce_and_consume, .threads = 1, .capacity = 10},
    {.name = "channel/1p1c-100", .run = produce_and_consume, .threads = 1, .capacity = 100},
    {.name = "channel/1p1c-128", .run = produce_and_consume, .threads = 1, .capacity = 128},
    {.name = "channel/1p1c-1024", .run = produce_and_consume, .threads = 1, .capacity = 1024},
    {.name = "channel/2p2c-128", .run = produce_and_consume, .threads = 2, .capacity = 128},
    {.name = "channel/2p2c-1024", .run = produce_and_consume, .threads = 2, .capacity = 1024},
    {.name = "channel/try-recv-empty-0", .run = try_recv_empty, .capacity = 0},
    {.name = "channel/try-recv-empty-8", .run = try_recv_empty, .capacity = 8},
    {.name = "channel/try-send-full-0", .run = try_send_full, .capacity = 0},
    {.name = "channel/try-send-full-8", .run = try_send_full, .capacity = 8},
    {.name = "channel/recv-closed", .run = recv_closed, .capacity = 0},
    {.name = "channel/create-0", .run = create, .capacity = 0},
    {.name = "channel/create-8", .run = create, .capacity = 8},
    {.name = "channel/popular", .figure = popular, .threads = SELECTING_THREADS},
    {.name = NULL},
};
