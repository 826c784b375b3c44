/* The threads that are explored, as coroutines, and the memory that is theirs. */
#include "model.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

struct world world;
_Alignas(4096) unsigned char heap[HEAP_BYTES];
_Alignas(4096) unsigned char stacks[THREADS_MAX][STACK_BYTES];
int running = -1;
uint64_t step_value;
unsigned seen;
char wrong_text[400];

static jmp_buf explorer;
static void (*thread_fn)(unsigned self);

// Where -D_Thread_local=… puts the variables that each thread has for itself.
extern unsigned char __start_model_locals[];
extern unsigned char __stop_model_locals[];
static unsigned char locals_first[LOCAL_BYTES];
// select.c has one, the state of its random numbers: in a section of its own.
extern uint32_t __start_model_random[1];

static size_t locals_bytes(void)
{
    size_t bytes = (size_t)(__stop_model_locals - __start_model_locals);

    if (bytes <= LOCAL_BYTES)
        return bytes;
    wrong("the variables of a thread take %zu bytes", bytes);
    return LOCAL_BYTES;
}

void locals_reset(unsigned looks)
{
    static bool is_known;

    if (!is_known)
        memcpy(locals_first, __start_model_locals, locals_bytes());
    is_known = true;
    memcpy(__start_model_locals, locals_first, locals_bytes());
    waiter_set_looks(looks);
}

void random_set(uint32_t state)
{
    __start_model_random[0] = state;
}

void wrong(const char *format, ...)
{
    va_list arguments;

    if (wrong_text[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(wrong_text, sizeof(wrong_text), format, arguments);
        va_end(arguments);
    }
    if (running >= 0)
        _longjmp(explorer, 1); // this thread is not resumed
}

/* A thread that crashes is wrong as any other that is. */
static void crashed(int number)
{
    if (running < 0)
        _exit(2);
    wrong("crashes: signal %d", number);
}

void threads_init(void)
{
    static unsigned char stack[64 << 10];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};

    (void)sigaltstack(&other, NULL);
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
}

unsigned step_before(enum step_kind kind, const volatile void *address, const void *code,
                     unsigned alternatives)
{
    struct thread *self = &world.threads[running];

    self->next = (struct step){kind, alternatives, address, code};
    // Somewhat below the frame of this function: no more than it can have there.
    self->bottom = (unsigned char *)__builtin_frame_address(0) - 256;
    if (self->bottom < stacks[running])
        wrong("its stack is too small");
    if (_setjmp(self->context) == 0)
        _longjmp(explorer, 1);
    return world.threads[running].alternative;
}

void step_changed(void)
{
    for (unsigned i = 0; i < world.thread_count; i++)
        world.threads[i].news = true;
}

static void thread_main(void)
{
    (void)step_before(STEP_BEGIN, NULL, NULL, 1);
    thread_fn((unsigned)running);
    world.threads[running].ended = true;
    _longjmp(explorer, 1);
}

// Functions of their own: what a caller of setjmp() or getcontext() has in registers is lost.

__attribute__((noinline)) static void prepare(ucontext_t *context)
{
    (void)getcontext(context);
}

__attribute__((noinline)) static void begin(const ucontext_t *context)
{
    if (_setjmp(explorer) == 0)
        (void)setcontext(context);
}

__attribute__((noinline)) static void go_on(struct thread *thread)
{
    if (_setjmp(explorer) == 0)
        _longjmp(thread->context, 1);
}

/* Leaves nothing behind by which two states would differ that are the same. */
static void tidy(unsigned which)
{
    struct thread *thread = &world.threads[which];
    unsigned char *stack = stacks[which];

    thread->alternative = 0;
    if (!thread->ended) {
        memset(stack, 0, (size_t)(thread->bottom - stack));
        return;
    }
    memset(thread, 0, sizeof(*thread));
    thread->ended = true;
    thread->bottom = stack + STACK_BYTES;
}

void threads_start(const struct subject *subject)
{
    static ucontext_t contexts[THREADS_MAX];

    thread_fn = subject->thread_fn;
    world.thread_count = subject->threads;
    for (unsigned i = 0; i < subject->threads; i++) {
        struct thread *thread = &world.threads[i];
        memset(thread, 0, sizeof(*thread));
        memset(stacks[i], 0, STACK_BYTES);
        thread->news = true;
        thread->mishaps = subject->mishaps;
        memcpy(thread->locals, __start_model_locals, locals_bytes());
        prepare(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = STACK_BYTES;
        contexts[i].uc_link = NULL;
        makecontext(&contexts[i], thread_main, 0);
        running = (int)i;
        begin(&contexts[i]);
        running = -1;
        tidy(i);
    }
}

void thread_step(unsigned which, unsigned alternative)
{
    struct thread *thread = &world.threads[which];

    running = (int)which;
    step_value = 0;
    thread->alternative = alternative;
    memcpy(__start_model_locals, thread->locals, locals_bytes());
    __start_model_random[0] = thread->random;
    go_on(thread);
    running = -1;
    if (wrong_text[0] != '\0')
        return;
    memcpy(thread->locals, __start_model_locals, locals_bytes());
    thread->random = __start_model_random[0];
    tidy(which);
}

unsigned thread_alternatives(const struct thread *thread)
{
    if (thread->ended)
        return 0;
    switch (thread->next.kind) {
    case STEP_LOCK:
        return mutex_is_free((const pthread_mutex_t *)(uintptr_t)thread->next.address) ? 1 : 0;
    case STEP_PAUSE:
        return thread->news ? 1 : 0;
    case STEP_POLL:
        return *(const uint64_t *)(uintptr_t)thread->next.address > 0 ? 1 : 0;
    default:
        return thread->next.alternatives;
    }
}

static bool is_on_stack(uintptr_t at)
{
    return at >= (uintptr_t)stacks && at < (uintptr_t)stacks + sizeof(stacks);
}

bool is_left(const volatile void *address)
{
    uintptr_t at = (uintptr_t)address;
    size_t whose = (at - (uintptr_t)stacks) / STACK_BYTES;

    return is_on_stack(at) && (int)whose != running && at < (uintptr_t)world.threads[whose].bottom;
}

bool is_shared(const volatile void *address)
{
    uintptr_t at = (uintptr_t)address;

    if (running >= 0 && is_left(address))
        wrong("touches what another thread had on its stack, and has left");
    if (is_on_stack(at))
        return true;
    if (at < (uintptr_t)heap || at >= (uintptr_t)heap + sizeof(heap))
        return false;
    uintptr_t offset = at - (uintptr_t)heap;
    for (unsigned i = 0; i < world.chunk_count; i++) {
        const struct chunk *chunk = &world.chunks[i];
        if (offset < chunk->offset || offset >= chunk->offset + chunk->bytes)
            continue;
        if (chunk->freed)
            wrong("touches memory that is freed: chunk %u + %zu", i,
                  (size_t)(offset - chunk->offset));
        return true;
    }
    wrong("touches memory that was never allocated");
    return true;
}

const char *name_of(const volatile void *address, char *text, size_t bytes)
{
    uintptr_t at = (uintptr_t)address;

    (void)snprintf(text, bytes, "-");
    if (is_on_stack(at))
        (void)snprintf(text, bytes, "stack of T%zu - %zu", (at - (uintptr_t)stacks) / STACK_BYTES,
                       STACK_BYTES - (at - (uintptr_t)stacks) % STACK_BYTES);
    if (at < (uintptr_t)heap || at >= (uintptr_t)heap + sizeof(heap))
        return text;
    for (unsigned i = 0; i < world.chunk_count; i++) {
        uintptr_t offset = at - (uintptr_t)heap - world.chunks[i].offset;
        if (offset < world.chunks[i].bytes)
            (void)snprintf(text, bytes, "chunk %u + %zu", i, (size_t)offset);
    }
    return text;
}
