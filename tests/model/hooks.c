/* What the compiler's instrumentation calls: each access to memory, each atomic operation. */
#include "model.h"

#include <string.h>

// The compiler makes the calls; there is no header for them.
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wcast-qual"

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}

static void access_plain(void *address, size_t bytes, bool writes)
{
    if (running >= 0 && is_shared(address))
        order_plain(address, bytes, writes);
}

#define PLAIN(bytes)                                                                               \
    void __tsan_read##bytes(void *address)                                                         \
    {                                                                                              \
        access_plain(address, bytes, false);                                                       \
    }                                                                                              \
    void __tsan_write##bytes(void *address)                                                        \
    {                                                                                              \
        access_plain(address, bytes, true);                                                        \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *address)                                               \
    {                                                                                              \
        access_plain(address, bytes, false);                                                       \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *address)                                              \
    {                                                                                              \
        access_plain(address, bytes, true);                                                        \
    }

PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *address, size_t bytes)
{
    access_plain(address, bytes, false);
}

void __tsan_write_range(void *address, size_t bytes)
{
    access_plain(address, bytes, true);
}

void *__tsan_memset(void *target, int byte, size_t bytes)
{
    access_plain(target, bytes, true);
    return memset(target, byte, bytes);
}

void *__tsan_memcpy(void *target, const void *source, size_t bytes)
{
    access_plain((void *)source, bytes, false);
    access_plain(target, bytes, true);
    return memcpy(target, source, bytes);
}

/* Before an atomic operation. false: it concerns nobody else. */
static bool before(enum step_kind kind, const volatile void *address, const void *code)
{
    if (running < 0 || !is_shared(address))
        return false;
    (void)step_before(kind, address, code, 1);
    (void)is_shared(address); // it may have been freed meanwhile
    return true;
}

/* Before a compare and exchange. Whether it is to fail for nothing, as a weak one may. */
static bool before_exchange(const volatile void *address, bool is_weak, const void *code)
{
    bool may_fail = is_weak && world.threads[running].mishaps > 0;
    bool fails = step_before(STEP_CHANGE, address, code, may_fail ? 2 : 1) == 1;

    world.threads[running].mishaps -= fails ? 1 : 0;
    (void)is_shared(address);
    return fails;
}

static void after(const volatile void *address, bool reads, bool writes, int order, uint64_t value)
{
    order_atomic(address, reads, writes, order);
    if (writes)
        step_changed();
    step_value = value;
}

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order)   \
    {                                                                                              \
        bool ours = before(STEP_LOAD, address, __builtin_return_address(0));                       \
        uint##bits##_t value = *address;                                                           \
        if (ours)                                                                                  \
            after(address, true, false, order, value);                                             \
        return value;                                                                              \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value,       \
                                     int order)                                                    \
    {                                                                                              \
        bool ours = before(STEP_STORE, address, __builtin_return_address(0));                      \
        *address = value;                                                                          \
        if (ours)                                                                                  \
            after(address, false, true, order, value);                                             \
    }                                                                                              \
    static int exchange##bits(volatile uint##bits##_t *address, uint##bits##_t *expected,          \
                              uint##bits##_t value, int order, int failed, bool is_weak,           \
                              const void *code)                                                    \
    {                                                                                              \
        bool ours = running >= 0 && is_shared(address);                                            \
        bool fails = ours && before_exchange(address, is_weak, code);                              \
        uint##bits##_t found = *address;                                                           \
        bool is_changed = found == *expected && !fails;                                            \
        if (is_changed)                                                                            \
            *address = value;                                                                      \
        else                                                                                       \
            *expected = found;                                                                     \
        if (ours)                                                                                  \
            after(address, true, is_changed, is_changed ? order : failed,                          \
                  is_changed ? value : found);                                                     \
        return is_changed;                                                                         \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t *address,            \
                                                      uint##bits##_t *expected,                    \
                                                      uint##bits##_t value, int order, int failed) \
    {                                                                                              \
        return exchange##bits(address, expected, value, order, failed, false,                      \
                              __builtin_return_address(0));                                        \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t *address,              \
                                                    uint##bits##_t *expected,                      \
                                                    uint##bits##_t value, int order, int failed)   \
    {                                                                                              \
        return exchange##bits(address, expected, value, order, failed, true,                       \
                              __builtin_return_address(0));                                        \
    }                                                                                              \
    /* clang has this one for both. */                                                             \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        volatile uint##bits##_t *address, uint##bits##_t expected, uint##bits##_t value,           \
        int order, int failed)                                                                     \
    {                                                                                              \
        (void)exchange##bits(address, &expected, value, order, failed, false,                      \
                             __builtin_return_address(0));                                         \
        return expected;                                                                           \
    }

#define CHANGE(bits, name, expression)                                                             \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address,                  \
                                                uint##bits##_t value, int order)                   \
    {                                                                                              \
        bool ours = before(STEP_CHANGE, address, __builtin_return_address(0));                     \
        uint##bits##_t found = *address;                                                           \
        *address = (uint##bits##_t)(expression);                                                   \
        if (ours)                                                                                  \
            after(address, true, true, order, *address);                                           \
        return found;                                                                              \
    }

#define CHANGES(bits)                                                                              \
    ATOMIC(bits)                                                                                   \
    CHANGE(bits, exchange, value)                                                                  \
    CHANGE(bits, fetch_add, found + value)                                                         \
    CHANGE(bits, fetch_sub, found - value)                                                         \
    CHANGE(bits, fetch_and, found &value)                                                          \
    CHANGE(bits, fetch_or, found | value)

CHANGES(8)
CHANGES(32)
CHANGES(64)
