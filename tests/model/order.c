/*
 * Which accesses are ordered before which, as C11 has it: by the orders that the code names, and by
 * its mutexes.
 *
 * Instead of clocks, which would make states differ that are the same, each event has a mask of who
 * has seen it. A place in memory has an event for its last plain write, and for each thread's last
 * plain read and last atomic access; an event that all threads have seen is 0. Who sees is a thread
 * (its bit), or a place through which threads are put in order (a mutex, an atomic variable): a
 * release passes what its thread has seen on to the place, an acquire what the place has seen on to
 * its thread. A plain access that conflicts with an event that its thread has not seen is a race.
 *
 * So steps need only be taken apart at atomic operations and mutexes: what happens between is seen
 * by nobody who is not ordered after it, or is reported here.
 */
#include "model.h"

#include <string.h>

uint64_t order_events[PLACES_MAX * EVENTS];
unsigned order_places; // that are in use: they only become more

// Not part of a state: a place has the same number in all states.
static uintptr_t places[PLACES_MAX];     // words of 4 bytes
static uint16_t numbers[2 * PLACES_MAX]; // by a hash of the address; 0: none; else 1 more
static uintptr_t syncs[SYNCS_MAX];
static unsigned sync_count;

enum {
    WRITE = 0, // the others: read_by(), atomic_by()
};

static unsigned read_by(unsigned thread)
{
    return 1 + thread;
}

static unsigned atomic_by(unsigned thread)
{
    return 1 + world.thread_count + thread;
}

size_t order_event_count(unsigned place_count)
{
    return (size_t)place_count * (1 + 2 * (size_t)world.thread_count);
}

void order_reset(void)
{
    memset(order_events, 0, sizeof(order_events));
    memset(numbers, 0, sizeof(numbers));
    order_places = 0;
    sync_count = 0;
}

static uint16_t *slot_of(uintptr_t address)
{
    size_t at = (address * 0x9E3779B97F4A7C15U) >> 54;

    while (numbers[at] != 0 && places[numbers[at] - 1] != address)
        at = (at + 1) % (2 * (size_t)PLACES_MAX);
    return &numbers[at];
}

static uint64_t *events_of(const volatile void *at)
{
    uintptr_t address = (uintptr_t)at & ~(uintptr_t)3;
    uint16_t *slot = slot_of(address);

    if (*slot == 0) {
        if (order_places == PLACES_MAX) {
            wrong("too many places");
            return order_events;
        }
        places[order_places] = address;
        *slot = (uint16_t)++order_places;
    }
    return &order_events[order_event_count(*slot - 1U)];
}

static uint64_t thread_bit(void)
{
    return (uint64_t)1 << running;
}

static bool is_unseen(uint64_t event)
{
    return event != 0 && (event & thread_bit()) == 0;
}

static void expect_seen(uint64_t event, const char *what, const volatile void *address)
{
    char name[64];

    if (is_unseen(event))
        wrong("a race: %s, %s", what, name_of(address, name, sizeof(name)));
}

static void plain_word(const unsigned char *address, bool writes)
{
    uint64_t *events = events_of(address);

    expect_seen(events[WRITE], writes ? "two plain writes" : "a plain write, then a read", address);
    for (unsigned i = 0; i < world.thread_count; i++) {
        expect_seen(events[atomic_by(i)], "an atomic access, then a plain one", address);
        if (writes)
            expect_seen(events[read_by(i)], "a plain read, then a write", address);
    }
    if (!writes) {
        events[read_by((unsigned)running)] = thread_bit();
        return;
    }
    memset(events, 0, order_event_count(1) * sizeof(*events));
    events[WRITE] = thread_bit();
}

void order_plain(const void *address, size_t bytes, bool writes)
{
    const unsigned char *at = address;

    for (size_t done = 0; done < bytes; done += 4)
        plain_word(at + done, writes);
}

/* The bit of a place through which threads are put in order. */
static uint64_t sync_bit(const volatile void *address)
{
    unsigned i = 0;

    while (i < sync_count && syncs[i] != (uintptr_t)address)
        i++;
    if (i == SYNCS_MAX) {
        wrong("too many atomic variables");
        return 0;
    }
    if (i == sync_count)
        syncs[sync_count++] = (uintptr_t)address;
    return (uint64_t)1 << (THREADS_MAX + i);
}

/* Threads that have ended do nothing any more: they have seen all. */
static uint64_t all_threads(void)
{
    return ((uint64_t)1 << world.thread_count) - 1;
}

static uint64_t ended_threads(void)
{
    uint64_t ended = 0;

    for (unsigned i = 0; i < world.thread_count; i++)
        ended |= world.threads[i].ended ? (uint64_t)1 << i : 0;
    return ended;
}

/* Who has `from` has `to` as well; whether `to` keeps what it had. */
static void pass_on(uint64_t from, uint64_t to, bool keeps)
{
    uint64_t all = all_threads();
    uint64_t ended = ended_threads();
    size_t count = order_event_count(order_places);

    for (size_t i = 0; i < count; i++) {
        uint64_t event = order_events[i];
        if (event == 0)
            continue;
        if (!keeps)
            event &= ~to;
        event |= (event & from) != 0 ? to : 0;
        order_events[i] = ((event | ended) & all) == all ? 0 : event;
    }
}

void order_atomic(const volatile void *address, bool reads, bool writes, int memory_order)
{
    uint64_t *events = events_of(address);
    bool acquires = memory_order == __ATOMIC_ACQUIRE || memory_order >= __ATOMIC_ACQ_REL;
    bool releases = memory_order >= __ATOMIC_RELEASE;

    expect_seen(events[WRITE], "a plain write, then an atomic access", address);
    for (unsigned i = 0; i < world.thread_count && writes; i++)
        expect_seen(events[read_by(i)], "a plain read, then an atomic write", address);
    events[atomic_by((unsigned)running)] = thread_bit();
    uint64_t sync = sync_bit(address);
    if (reads && acquires)
        pass_on(sync, thread_bit(), true);
    // A read and write goes on with what was released before it; a write begins anew.
    if (writes && releases)
        pass_on(thread_bit(), sync, reads);
    else if (writes && !reads)
        pass_on(0, sync, false);
}

void order_freed(const void *address, size_t bytes)
{
    for (unsigned i = 0; i < order_places; i++) {
        uintptr_t at = places[i] - (uintptr_t)address;
        if (at >= bytes)
            continue;
        uint64_t *events = &order_events[order_event_count(i)];
        for (size_t event = 0; event < order_event_count(1); event++) {
            char name[64];
            if (is_unseen(events[event]))
                wrong("freed while another thread's access is not ordered before: %s",
                      name_of((const void *)places[i], name, sizeof(name)));
            events[event] = 0;
        }
    }
}

void order_left(const unsigned char *bottom)
{
    const unsigned char *stack = stacks[running];

    if (bottom > stack)
        order_freed(stack, (size_t)(bottom - stack));
}
