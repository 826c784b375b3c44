/*
 * What threads can do at all, without the library: the sleep and wake-up of a futex, a flag that
 * both sides look at, a lock, and the queue that one writes with a mutex and two conditions.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rows.h"

static _Alignas(64) _Atomic uint32_t turn;

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void take_turns(struct part *part)
{
    uint32_t seen;

    for (uint64_t i = 0; i < part->ops; i++) {
        while ((seen = atomic_load_explicit(&turn, memory_order_acquire)) != part->index)
            futex_wait(&turn, seen);
        atomic_store_explicit(&turn, 1 - part->index, memory_order_release);
        futex_wake(&turn);
    }
}

/* Two threads wake one another; each wake-up is an operation. */
static uint64_t futex(const struct row *row, uint64_t ops)
{
    (void)row;
    atomic_store(&turn, 0);
    return in_threads(2, take_turns, NULL, ops);
}

struct parked {
    _Atomic uint32_t sent;
    _Atomic uint32_t received;
    uint64_t sent_at;
    uint64_t samples[PARKED_SAMPLES];
};

static void wait_for_wake(struct part *part)
{
    struct parked *parked = part->shared;

    stay_on(1);
    for (uint32_t i = 0; i < PARKED_SAMPLES; i++) {
        while (atomic_load_explicit(&parked->sent, memory_order_acquire) == i)
            futex_wait(&parked->sent, i);
        parked->samples[i] = now_ns() - parked->sent_at;
        atomic_store_explicit(&parked->received, i + 1, memory_order_release);
    }
}

static void wake_sleeper(struct part *part)
{
    struct parked *parked = part->shared;

    stay_on(0);
    for (uint32_t i = 0; i < PARKED_SAMPLES; i++) {
        while (atomic_load_explicit(&parked->received, memory_order_acquire) != i)
            relax();
        spin_ns(PARKED_AFTER_NS);
        parked->sent_at = now_ns();
        atomic_store_explicit(&parked->sent, i + 1, memory_order_release);
        futex_wake(&parked->sent);
    }
}

/* From the wake on one processor to the run of a thread that slept on another. */
static double futex_parked(const struct row *row)
{
    static struct parked parked;

    (void)row;
    atomic_store(&parked.sent, 0);
    atomic_store(&parked.received, 0);
    (void)in_pairs(1, wake_sleeper, wait_for_wake, &parked, 1);
    return median_of(parked.samples, PARKED_SAMPLES);
}

static void look_in_turns(struct part *part)
{
    stay_on(part->index);
    for (uint64_t i = 0; i < part->ops; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != part->index)
            relax();
        atomic_store_explicit(&turn, 1 - part->index, memory_order_release);
    }
}

/* Two threads that never sleep hand a flag to one another. */
static uint64_t spin(const struct row *row, uint64_t ops)
{
    (void)row;
    atomic_store(&turn, 0);
    return in_threads(2, look_in_turns, NULL, ops);
}

static void lock_and_unlock(struct part *part)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    for (uint64_t i = 0; i < part->ops; i++) {
        must(pthread_mutex_lock(&mutex));
        must(pthread_mutex_unlock(&mutex));
    }
}

/* Each thread has a mutex of its own. */
static uint64_t lock(const struct row *row, uint64_t ops)
{
    (void)row;
    return in_threads(processors, lock_and_unlock, NULL, ops);
}

/* A token bucket as short as it can be written: a lock, the clock, three calculations. */
struct bucket {
    pthread_mutex_t mutex;
    uint64_t last_ns;
    double tokens;
};

static void take_tokens(struct part *part)
{
    struct bucket *bucket = part->shared;

    for (uint64_t i = 0; i < part->ops; i++) {
        must(pthread_mutex_lock(&bucket->mutex));
        uint64_t now = now_ns();
        bucket->tokens += (double)(now - bucket->last_ns);
        bucket->tokens = bucket->tokens > 1000000 ? 1000000 : bucket->tokens;
        bucket->last_ns = now;
        if (bucket->tokens >= 1)
            bucket->tokens -= 1;
        must(pthread_mutex_unlock(&bucket->mutex));
    }
}

static uint64_t bucket(const struct row *row, uint64_t ops)
{
    struct bucket shared = {PTHREAD_MUTEX_INITIALIZER, now_ns(), 0};

    (void)row;
    return in_threads(processors, take_tokens, &shared, ops);
}

/* The queue of the textbooks; it wakes only when somebody waits. */
enum { RING_MAX = 1024 };
struct ring {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    size_t first;
    size_t count;
    size_t capacity;
    unsigned receivers; // that wait
    unsigned senders;
    uint64_t elems[RING_MAX];
};

static void ring_put(struct ring *ring, uint64_t elem)
{
    must(pthread_mutex_lock(&ring->mutex));
    while (ring->count == ring->capacity) {
        ring->senders++;
        must(pthread_cond_wait(&ring->not_full, &ring->mutex));
        ring->senders--;
    }
    ring->elems[(ring->first + ring->count++) % ring->capacity] = elem;
    bool wakes = ring->receivers > 0;
    must(pthread_mutex_unlock(&ring->mutex));
    if (wakes)
        must(pthread_cond_signal(&ring->not_empty));
}

static uint64_t ring_get(struct ring *ring)
{
    must(pthread_mutex_lock(&ring->mutex));
    while (ring->count == 0) {
        ring->receivers++;
        must(pthread_cond_wait(&ring->not_empty, &ring->mutex));
        ring->receivers--;
    }
    uint64_t elem = ring->elems[ring->first];
    ring->first = (ring->first + 1) % ring->capacity;
    ring->count--;
    bool wakes = ring->senders > 0;
    must(pthread_mutex_unlock(&ring->mutex));
    if (wakes)
        must(pthread_cond_signal(&ring->not_full));
    return elem;
}

static void produce(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++)
        ring_put(part->shared, i);
}

static void consume(struct part *part)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < part->ops; i++)
        sum += ring_get(part->shared);
    __asm__ volatile("" : : "r"(sum));
}

static uint64_t ring(const struct row *row, uint64_t ops)
{
    static struct ring shared;

    shared = (struct ring){.mutex = PTHREAD_MUTEX_INITIALIZER,
                           .not_empty = PTHREAD_COND_INITIALIZER,
                           .not_full = PTHREAD_COND_INITIALIZER,
                           .capacity = row->capacity};
    return in_pairs(row->threads, produce, consume, &shared, ops);
}

const struct row ceiling_rows[] = {
    {.name = "bare/futex", .run = futex},
    {.name = "bare/futex-parked", .figure = futex_parked, .both_run = true},
    {.name = "bare/spin", .run = spin, .both_run = true},
    {.name = "bare/lock", .run = lock},
    {.name = "bare/bucket", .run = bucket},
    {.name = "bare/ring-1p1c-128", .run = ring, .threads = 1, .capacity = 128},
    {.name = "bare/ring-1p1c-1024", .run = ring, .threads = 1, .capacity = 1024},
    {.name = "bare/ring-2p2c-128", .run = ring, .threads = 2, .capacity = 128},
    {.name = "bare/ring-2p2c-1024", .run = ring, .threads = 2, .capacity = 1024},
    {.name = NULL},
};
