/*
 * What the library asks of the system, as the explorer gives it (the linker's --wrap): mutexes, the
 * futex, memory, descriptors, the clock; and what it does not need of its own parts.
 */
#include "model.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <runnel/context.h>

#include "context.h"
#include "timer.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

bool in_library;

// ---- Mutexes: the first word of one is the thread that holds it, and 1

bool mutex_is_free(const pthread_mutex_t *mu)
{
    return *(const int *)(const void *)mu == 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mu)
{
    if (running < 0)
        return 0;
    (void)is_shared(mu);
    (void)step_before(STEP_LOCK, mu, __builtin_return_address(0), 1);
    (void)is_shared(mu);
    *(int *)(void *)mu = running + 1;
    order_atomic(mu, true, true, __ATOMIC_ACQUIRE);
    step_changed();
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mu)
{
    if (running < 0)
        return 0;
    (void)is_shared(mu);
    (void)step_before(STEP_UNLOCK, mu, __builtin_return_address(0), 1);
    (void)is_shared(mu);
    if (*(int *)(void *)mu != running + 1)
        wrong("a mutex is given back by who does not hold it");
    *(int *)(void *)mu = 0;
    order_atomic(mu, false, true, __ATOMIC_RELEASE);
    step_changed();
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mu)
{
    if (!mutex_is_free(mu))
        wrong("a mutex is destroyed while it is held");
    return 0;
}

// ---- The futex

static long futex_wait(uint32_t *word, uint32_t value, bool has_deadline, const void *code)
{
    (void)step_before(STEP_FUTEX_WAIT, word, code, 1);
    step_value = *word;
    if (*word != value) {
        errno = EAGAIN;
        return -1;
    }
    seen |= SEEN_SLEEP;
    bool may_mishap = world.threads[running].mishaps > 0;
    unsigned ways = (has_deadline ? 1U : 0) + (may_mishap ? 1U : 0);
    unsigned way = step_before(STEP_ASLEEP, word, code, ways);
    if (world.threads[running].next.kind == STEP_AWOKEN) {
        seen |= SEEN_WAKE;
        return 0;
    }
    if (may_mishap && way == 0) {
        world.threads[running].mishaps--;
        errno = EINTR;
        return -1;
    }
    seen |= SEEN_TIMEOUT;
    errno = ETIMEDOUT;
    return -1;
}

/* The word may be gone: nothing but its address is used. */
static long futex_wake(const uint32_t *word, const void *code)
{
    (void)step_before(STEP_WAKE, word, code, 1);
    for (unsigned i = 0; i < world.thread_count; i++) {
        struct step *next = &world.threads[i].next;
        if (world.threads[i].ended || next->kind != STEP_ASLEEP || next->address != word)
            continue;
        next->kind = STEP_AWOKEN;
        next->alternatives = 1;
        step_value = 1;
        return 1;
    }
    return 0;
}

long __wrap_syscall(long number, ...)
{
    va_list arguments;

    va_start(arguments, number);
    uint32_t *word = va_arg(arguments, uint32_t *);
    int operation = va_arg(arguments, int);
    uint32_t value = va_arg(arguments, uint32_t);
    const void *timeout = va_arg(arguments, const void *);
    va_end(arguments);
    if (running < 0 || number != SYS_futex) {
        wrong("a system call that is not known here: %ld", number);
        return 0;
    }
    if (operation == FUTEX_WAKE_PRIVATE)
        return futex_wake(word, __builtin_return_address(0));
    return futex_wait(word, value, timeout != NULL, __builtin_return_address(0));
}

// ---- Waiting by looking

void __wrap_rni_pause(unsigned n)
{
    (void)n;
    if (running < 0) {
        wrong("waits for ever, alone");
        return;
    }
    if (!world.threads[running].news)
        seen |= SEEN_PAUSE;
    (void)step_before(STEP_PAUSE, NULL, __builtin_return_address(0), 1);
    world.threads[running].news = false;
}

int __wrap_sched_yield(void)
{
    return 0; // any thread may go on before any step
}

int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *ret_set)
{
    (void)pid;
    (void)bytes;
    CPU_ZERO(ret_set);
    CPU_SET(0, ret_set);
    return 0;
}

// ---- Memory

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *memory);

void *__wrap_malloc(size_t bytes)
{
    if (running < 0 && !in_library)
        return __real_malloc(bytes);
    size_t offset = (world.heap_used + 63U) & ~(size_t)63;
    if (world.chunk_count == CHUNKS_MAX || bytes > HEAP_BYTES - offset) {
        wrong("the heap is too small");
        return NULL;
    }
    world.chunks[world.chunk_count++] = (struct chunk){(uint32_t)offset, (uint32_t)bytes, false};
    world.heap_used = (uint32_t)(offset + bytes);
    return heap + offset;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    if (running < 0 && !in_library)
        return __real_calloc(count, bytes);
    void *memory = __wrap_malloc(count * bytes);
    if (memory != NULL)
        memset(memory, 0, count * bytes);
    return memory;
}

void __wrap_free(void *memory)
{
    if (running < 0 && !in_library) {
        __real_free(memory);
        return;
    }
    if (memory == NULL)
        return;
    if (running >= 0)
        (void)step_before(STEP_FREE, memory, __builtin_return_address(0), 1);
    (void)is_shared(memory);
    for (unsigned i = 0; i < world.chunk_count; i++) {
        struct chunk *chunk = &world.chunks[i];
        if (heap + chunk->offset != memory)
            continue;
        if (running >= 0)
            order_freed(memory, chunk->bytes);
        chunk->freed = true;
        memset(memory, 0, chunk->bytes);
    }
}

// ---- Descriptors

static uint64_t *fd_count(int fd)
{
    if (fd < FIRST_FD || (unsigned)(fd - FIRST_FD) >= world.fd_count) {
        wrong("a descriptor that there is not: %d", fd);
        return &world.fds[0];
    }
    return &world.fds[fd - FIRST_FD];
}

int __wrap_eventfd(unsigned count, int flags)
{
    (void)flags;
    if (world.fd_count == FDS_MAX) {
        errno = EMFILE;
        return -1;
    }
    world.fds[world.fd_count] = count;
    return FIRST_FD + (int)world.fd_count++;
}

int __wrap_eventfd_write(int fd, eventfd_t count)
{
    uint64_t *counted = fd_count(fd);

    if (running >= 0)
        (void)step_before(STEP_FD, counted, __builtin_return_address(0), 1);
    *counted += count;
    step_value = *counted;
    return 0;
}

int __wrap_eventfd_read(int fd, eventfd_t *ret_count)
{
    uint64_t *counted = fd_count(fd);

    if (running >= 0)
        (void)step_before(STEP_FD, counted, __builtin_return_address(0), 1);
    if (*counted == 0) {
        errno = EAGAIN;
        return -1;
    }
    *ret_count = *counted;
    *counted = 0;
    return 0;
}

int __wrap_close(int fd)
{
    *fd_count(fd) = 0;
    return 0;
}

void poll_fd(int fd)
{
    (void)step_before(STEP_POLL, fd_count(fd), __builtin_return_address(0), 1);
}

// ---- The clock, and parts of the library that nothing here needs

rn_time rn_now(void)
{
    return 0; // deadlines come at any time: see futex_wait()
}

rn_time rn_after(rn_duration length)
{
    return length;
}

void rn_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    wrong("assertion failed: %s, %s:%d, %s()", condition, file, line, function);
    for (;;)
        __builtin_trap(); // outside of a thread
}

void rni_context_run_after_funcs(rn_context *ctx)
{
    (void)ctx;
    wrong("a context has after-functions");
}

int rni_timer_init(struct rni_timer *timer, void (*fn)(void *arg), void *arg)
{
    (void)timer;
    (void)fn;
    (void)arg;
    return -EAGAIN; // a context ends by being cancelled here
}

void rni_timer_fini(struct rni_timer *timer)
{
    (void)timer;
}

bool rni_timer_arm(struct rni_timer *timer, rn_time at)
{
    (void)timer;
    (void)at;
    return false;
}

bool rni_timer_disarm(struct rni_timer *timer)
{
    (void)timer;
    return false;
}
