/** \file
 * The explorer: runs the library's own channels, selects, waiters and contexts in every order in
 * which their threads can do their steps.
 *
 * The sources are compiled as they are, with the compiler's instrumentation for races
 * (-fsanitize=thread), but linked with the functions here in place of its runtime. So each atomic
 * operation, and each mutex, futex, allocation and descriptor (by --wrap), comes to the explorer.
 * The threads are coroutines with stacks at fixed addresses. A step is one such operation and all
 * up to the next; then the state (heap, stacks, registers) is saved and compared with those that
 * were seen.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/chan.h>

#include "waiter.h"

enum {
    THREADS_MAX = 4,
    STACK_BYTES = 8192,
    HEAP_BYTES = 4096,
    CHUNKS_MAX = 8,
    FDS_MAX = 2,
    FIRST_FD = 1000,
    LOCAL_BYTES = 64, // of the variables that each thread has for itself
    USER_BYTES = 256,
    PLACES_MAX = 512,             // words of memory whose accesses are followed
    EVENTS = 1 + 2 * THREADS_MAX, // of a place: see order.c
    SYNCS_MAX = 64 - THREADS_MAX, // places through which threads are put in order
};

/** What a thread is about to do. */
enum step_kind {
    STEP_BEGIN,
    STEP_LOAD,
    STEP_STORE,
    STEP_CHANGE, // an atomic read and write
    STEP_LOCK,
    STEP_UNLOCK,
    STEP_FUTEX_WAIT,
    STEP_ASLEEP, // in the futex: goes on only at the deadline, or for nothing
    STEP_AWOKEN,
    STEP_WAKE,
    STEP_PAUSE, // goes on when another has changed something since the last pause
    STEP_POLL,  // goes on when the descriptor is readable
    STEP_FD,
    STEP_CHOOSE,
    STEP_FREE,
    STEP_BETWEEN, // two operations of its program
};

struct step {
    enum step_kind kind;
    unsigned alternatives;        // without regard to whether it can be done now
    const volatile void *address; // what it is done to
    const void *code;             // where
};

struct thread {
    jmp_buf context;
    unsigned char *bottom; // of the part of its stack that is in use
    struct step next;
    unsigned alternative; // that was taken of `next`
    bool ended;
    bool news;        // others have changed something since its last pause
    unsigned mishaps; // how often it may yet wake, or fail to change a word, for nothing
    uint32_t random;  // select.c's variable
    _Alignas(16) unsigned char locals[LOCAL_BYTES];
};

struct chunk {
    uint32_t offset;
    uint32_t bytes;
    bool freed;
};

/** What a state is made of, besides the heap, the stacks and what order.c keeps. */
struct world {
    unsigned thread_count;
    uint32_t heap_used;
    uint32_t chunk_count;
    struct chunk chunks[CHUNKS_MAX];
    uint64_t fds[FDS_MAX]; // what an eventfd counts
    uint32_t fd_count;
    _Alignas(16) unsigned char user[USER_BYTES]; // program.c's
    struct thread threads[THREADS_MAX];          // last: only those that there are are saved
};

extern struct world world;
extern unsigned char heap[HEAP_BYTES];
extern unsigned char stacks[THREADS_MAX][STACK_BYTES];

/** The thread whose step is done, or -1. */
extern int running;

/** What the step that was done last read or wrote: for the trace. */
extern uint64_t step_value;

/** What happened in any state: bits, so that a search that never came there is noticed. */
enum {
    SEEN_SLEEP = 1,   // a thread slept in the futex
    SEEN_WAKE = 2,    // and was woken
    SEEN_TIMEOUT = 4, // its deadline came
    SEEN_PAUSE = 8,   // it waited for a cell, or for the end of a close
};
extern unsigned seen;

// ---- explore.c

/** What is explored. */
struct subject {
    void (*start_fn)(void);           // makes what the threads share
    void (*thread_fn)(unsigned self); // runs in each thread
    void (*check_fn)(void);           // in each state
    void (*end_fn)(void);             // when all threads have ended
    unsigned threads;
    unsigned mishaps; // of each thread, at most
};

struct found {
    uint64_t states;
    uint64_t steps;
    unsigned deepest;
};

/** Explores all. false: something was wrong, and has been printed with the steps that led there. */
bool explore(const struct subject *subject, uint64_t states_max, struct found *ret_found);

// ---- threads.c

/** Once, at first. */
void threads_init(void);

/** Makes the threads. */
void threads_start(const struct subject *subject);

/** Has a thread do its next step. */
void thread_step(unsigned which, unsigned alternative);

/** In how many ways a thread can go on. */
unsigned thread_alternatives(const struct thread *thread);

/** By a thread: suspends it before its next step. Returns the alternative that was taken. */
unsigned step_before(enum step_kind kind, const volatile void *address, const void *code,
                     unsigned alternatives);

/** Something was changed: who pauses looks again. */
void step_changed(void);

/** Something is wrong: ends the search. Does not return in a thread. */
__attribute__((format(printf, 1, 2))) void wrong(const char *format, ...);

/** What is wrong, or "". */
extern char wrong_text[400];

/** Whether a memory belongs to what is explored: on the heap, or on a stack. */
bool is_shared(const volatile void *address);

/** Whether it was on the stack of a thread, which has left it. */
bool is_left(const volatile void *address);

/** Names a place in memory. */
const char *name_of(const volatile void *address, char *text, size_t bytes);

/** Waits until a descriptor is readable. */
void poll_fd(int fd);

/** Initial values of the variables that each thread has for itself. */
void locals_reset(unsigned looks);

/** By a thread: sets the state of its random numbers. */
void random_set(uint32_t state);

/** The library's code runs outside of a thread: it has its memory from the heap. */
extern bool in_library;

// ---- order.c

/** Forgets all accesses. */
void order_reset(void);

/** A plain access: it must be ordered after those of others that it conflicts with. */
void order_plain(const void *address, size_t bytes, bool writes);

/** An atomic access, with its order; `changes` reads and writes. */
void order_atomic(const volatile void *address, bool reads, bool writes, int memory_order);

/** The memory is freed: all accesses to it must be ordered before. */
void order_freed(const void *address, size_t bytes);

/** The running thread left the functions that it was in: nobody uses what they had on its stack. */
void order_left(const unsigned char *bottom);

/** The part of a state that is kept here: so many events of the places that are known. */
size_t order_event_count(unsigned place_count);
extern uint64_t order_events[PLACES_MAX * EVENTS];
extern unsigned order_places;

// ---- inside_chan.c, inside_waiter.c

/** Checks a channel whose lock nobody holds. */
void check_chan(const rn_chan *chan);

/** Whether a waiter can still be claimed. */
bool waiter_is_open(const struct rni_waiter *waiter);

/** How often a thread that has to wait looks before it parks. */
void waiter_set_looks(unsigned looks);

/** The mutex is in nobody's hands. */
bool mutex_is_free(const pthread_mutex_t *mu);

#endif
