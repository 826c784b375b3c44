/** \file
 * A bounded ring of elements that many threads put in and take out without a lock.
 *
 * A cell has a turn: free or full, in the nth lap around the ring. A thread that puts takes the
 * position `tail` for itself by moving it on, copies its element into the cell, and makes the turn
 * full; one that takes does so with `head`, and makes the turn free for the next lap. So each cell
 * is between the two for one thread alone (D. Vyukov's bounded queue; positions of lap and index
 * as in crossbeam's ArrayQueue, so that any capacity goes without a division). After the turn is
 * changed the thread does not touch the ring any more.
 *
 * Both words have a bit SLOW: while it is set, only who holds the lock of the ring's owner moves
 * them on. `tail` has a bit CLOSED: nothing is put in any more.
 *
 * A cell in somebody's hands, whose position has moved on but whose turn has not, is waited for: it
 * takes as long as the copying of an element, as with a lock.
 */
#ifndef RUNNEL_SRC_RING_H
#define RUNNEL_SRC_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <runnel/error.h>

#include "waiter.h"

enum {
    RNI_CLOSED = 1, // in tail
    RNI_SLOW = 2,   // in tail and head
    RNI_FLAGS = 3,
    RNI_FLAG_BITS = 2,

    RNI_FULL = 1, // in a turn
    RNI_LAP = 2,  // of a turn

    RNI_BUSY = 1, // a result: the word is SLOW and the lock is not held
};

/** The ring. All is set once; what changes is in the memory: tail, head and the cells. */
struct rni_ring {
    size_t elem_size;  // bytes
    size_t capacity;   // elements, above 0
    unsigned lap_bits; // of a position: below them the index of its cell, above them the lap
    unsigned stride;   // bytes of a cell: its turn, then its element
    unsigned char *memory;
};

/** Where tail, head and the cells are in the memory: each in a line of the cache of its own. */
enum {
    RNI_RING_TAIL = 0,
    RNI_RING_HEAD = 64,
    RNI_RING_CELLS = 128,
};

typedef _Atomic uint64_t rni_ring_word;
typedef _Atomic uint32_t rni_ring_turn;

/**
 * Works out a ring's shape. false: it is out of range.
 *
 * @param ret_bytes  of memory, zeroed, that it needs
 */
static inline bool rni_ring_init(struct rni_ring *ring, size_t elem_size, size_t capacity,
                                 size_t *ret_bytes)
{
    // The turn stands before the element, which is aligned as far as its size tells.
    size_t offset = elem_size > sizeof(uint32_t) ? sizeof(uint64_t) : sizeof(uint32_t);
    size_t stride = offset + elem_size;

    if (elem_size > UINT32_MAX / 2 || capacity > SIZE_MAX / 4)
        return false;
    stride = (stride + offset - 1) / offset * offset;
    if (__builtin_mul_overflow(stride, capacity, ret_bytes) ||
        __builtin_add_overflow(*ret_bytes, (size_t)RNI_RING_CELLS, ret_bytes))
        return false;
    ring->elem_size = elem_size;
    ring->capacity = capacity;
    ring->lap_bits = capacity > 1 ? 64 - (unsigned)__builtin_clzll(capacity - 1) : 0;
    ring->stride = (unsigned)stride;
    return true;
}

static inline rni_ring_word *rni_ring_tail(const struct rni_ring *ring)
{
    return (rni_ring_word *)(void *)(ring->memory + RNI_RING_TAIL);
}

static inline rni_ring_word *rni_ring_head(const struct rni_ring *ring)
{
    return (rni_ring_word *)(void *)(ring->memory + RNI_RING_HEAD);
}

static inline uint64_t rni_ring_index(const struct rni_ring *ring, uint64_t position)
{
    return position & (((uint64_t)1 << ring->lap_bits) - 1);
}

static inline rni_ring_turn *rni_ring_cell(const struct rni_ring *ring, uint64_t position)
{
    size_t index = (size_t)rni_ring_index(ring, position);

    return (rni_ring_turn *)(void *)(ring->memory + RNI_RING_CELLS + index * ring->stride);
}

/** The turn of a cell that is free in the lap of a position. */
static inline uint32_t rni_ring_free_turn(const struct rni_ring *ring, uint64_t position)
{
    return (uint32_t)(position >> ring->lap_bits) * RNI_LAP;
}

static inline uint64_t rni_ring_next(const struct rni_ring *ring, uint64_t position)
{
    uint64_t last = ((uint64_t)1 << ring->lap_bits) - 1;

    return (position & last) + 1 < ring->capacity ? position + 1 : (position | last) + 1;
}

/** Waits for somebody who has a cell or the lock in his hands. *rounds is 0 at first. */
static inline void rni_ring_wait(unsigned *rounds)
{
    rni_pause(++*rounds);
}

static inline void rni_ring_copy(void *target, const void *source, size_t bytes)
{
    if (target == NULL)
        return;
    // The usual sizes: one instruction each.
    if (bytes == sizeof(uint64_t))
        memcpy(target, source, sizeof(uint64_t));
    else if (bytes == sizeof(uint32_t))
        memcpy(target, source, sizeof(uint32_t));
    else if (bytes > 0)
        memcpy(target, source, bytes);
}

static inline unsigned char *rni_ring_elem(const struct rni_ring *ring, uint64_t position)
{
    size_t index = (size_t)rni_ring_index(ring, position);
    size_t offset = ring->elem_size > sizeof(uint32_t) ? sizeof(uint64_t) : sizeof(uint32_t);

    return ring->memory + RNI_RING_CELLS + index * ring->stride + offset;
}

/**
 * Puts an element in.
 *
 * @param locked  the owner's lock is held: SLOW counts for nothing
 * @return 0; -EAGAIN full; -EPIPE closed; RNI_BUSY
 */
static inline int rni_ring_put(const struct rni_ring *ring, const void *elem, bool locked)
{
    rni_ring_word *word = rni_ring_tail(ring);
    uint64_t tail = atomic_load_explicit(word, memory_order_relaxed);
    unsigned rounds = 0;

    for (;;) {
        if ((tail & RNI_FLAGS) != 0) {
            if ((tail & RNI_CLOSED) != 0)
                return -EPIPE;
            if (!locked)
                return RNI_BUSY;
        }
        uint64_t position = tail >> RNI_FLAG_BITS;
        rni_ring_turn *cell = rni_ring_cell(ring, position);
        uint32_t free_turn = rni_ring_free_turn(ring, position);
        if (atomic_load_explicit(cell, memory_order_acquire) == free_turn) {
            uint64_t next = rni_ring_next(ring, position) << RNI_FLAG_BITS | (tail & RNI_FLAGS);
            if (!atomic_compare_exchange_weak_explicit(word, &tail, next, memory_order_relaxed,
                                                       memory_order_relaxed))
                continue;
            rni_ring_copy(rni_ring_elem(ring, position), elem, ring->elem_size);
            atomic_store_explicit(cell, free_turn + RNI_FULL, memory_order_release);
            return 0;
        }
        // Full only if the oldest element stands here; else the tail was old, or the cell is in the
        // hands of a thread that takes. `head` is read after `tail`, and the tail is never more
        // than a lap before it: so if they are a lap apart, they were at that moment.
        uint64_t head = atomic_load_explicit(rni_ring_head(ring), memory_order_acquire);
        if ((head >> RNI_FLAG_BITS) + ((uint64_t)1 << ring->lap_bits) == position)
            return -EAGAIN;
        rni_ring_wait(&rounds);
        tail = atomic_load_explicit(word, memory_order_relaxed);
    }
}

/**
 * Takes an element out.
 *
 * @param ret_elem  NULL throws it away
 * @param locked    the owner's lock is held: SLOW counts for nothing
 * @return 0; -EAGAIN empty; -EPIPE empty and CLOSED; RNI_BUSY
 */
static inline int rni_ring_take(const struct rni_ring *ring, void *ret_elem, bool locked)
{
    rni_ring_word *word = rni_ring_head(ring);
    uint64_t head = atomic_load_explicit(word, memory_order_relaxed);
    unsigned rounds = 0;

    for (;;) {
        if ((head & RNI_FLAGS) != 0 && !locked)
            return RNI_BUSY;
        uint64_t position = head >> RNI_FLAG_BITS;
        rni_ring_turn *cell = rni_ring_cell(ring, position);
        uint32_t full_turn = rni_ring_free_turn(ring, position) + RNI_FULL;
        if (atomic_load_explicit(cell, memory_order_acquire) == full_turn) {
            uint64_t next = rni_ring_next(ring, position) << RNI_FLAG_BITS | (head & RNI_FLAGS);
            if (!atomic_compare_exchange_weak_explicit(word, &head, next, memory_order_relaxed,
                                                       memory_order_relaxed))
                continue;
            rni_ring_copy(ret_elem, rni_ring_elem(ring, position), ring->elem_size);
            atomic_store_explicit(cell, full_turn - RNI_FULL + RNI_LAP, memory_order_release);
            return 0;
        }
        // As in rni_ring_put(): `tail`, read after `head`, is never behind it.
        uint64_t tail = atomic_load_explicit(rni_ring_tail(ring), memory_order_acquire);
        if (tail >> RNI_FLAG_BITS == position)
            return (tail & RNI_CLOSED) != 0 ? -EPIPE : -EAGAIN;
        rni_ring_wait(&rounds);
        head = atomic_load_explicit(word, memory_order_relaxed);
    }
}

/** Says whether a put, or a take, may find something to do: for who looks again and again. */
static inline bool rni_ring_is_ready(const struct rni_ring *ring, bool puts)
{
    rni_ring_word *word = puts ? rni_ring_tail(ring) : rni_ring_head(ring);
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    uint64_t position = value >> RNI_FLAG_BITS;
    uint32_t turn = atomic_load_explicit(rni_ring_cell(ring, position), memory_order_relaxed);

    return (value & RNI_FLAGS) != 0 ||
           turn == rni_ring_free_turn(ring, position) + (puts ? 0U : (uint32_t)RNI_FULL);
}

/** Counts the elements inside. */
static inline size_t rni_ring_count(const struct rni_ring *ring)
{
    // head first: it cannot overtake the tail that is read after it.
    uint64_t head = atomic_load_explicit(rni_ring_head(ring), memory_order_acquire);
    uint64_t tail = atomic_load_explicit(rni_ring_tail(ring), memory_order_acquire);

    head >>= RNI_FLAG_BITS;
    tail >>= RNI_FLAG_BITS;
    uint64_t laps = (tail >> ring->lap_bits) - (head >> ring->lap_bits);
    uint64_t count =
        laps * ring->capacity + rni_ring_index(ring, tail) - rni_ring_index(ring, head);
    return count < ring->capacity ? (size_t)count : ring->capacity;
}

#endif
