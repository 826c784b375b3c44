/** \file
 * What every header of librunnel stands on: visibility, checked results, ownership marks,
 * assertions, and the table of errors.
 *
 * Every function that can fail returns an int: 0 (or a count) or a negative errno. No code has two
 * meanings:
 *
 * | code | meaning |
 * | --- | --- |
 * | -EAGAIN | would wait (only from `try_` functions and bounded submits) |
 * | -EPIPE | closed |
 * | -ECANCELED | the context was cancelled |
 * | -ETIMEDOUT | a deadline passed |
 * | -ENOMEM | out of memory |
 * | -EINVAL | a value from outside is out of range |
 * | -ENOENT | no such thing |
 * | -ESTALE | the object moved on meanwhile |
 * | -EMSGSIZE | over a limit |
 * | -ENOSPC | the store is full |
 *
 * Misuse that no race can cause (NULL where an object is needed, unlock of a free mutex) is no
 * error value: RN_ASSERT aborts.
 */
#ifndef RUNNEL_ERROR_H
#define RUNNEL_ERROR_H

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A function that leaves the library. */
#define RN_API __attribute__((visibility("default")))
/** A function whose result the compiler wants looked at. */
#define RN_MUST_CHECK __attribute__((warn_unused_result))
/** A function whose arguments are checked against its text, as printf's; both counted from 1. */
#define RN_PRINTF(text, first) __attribute__((format(printf, text, first)))

/** Runs fn(&variable) when the variable goes out of scope; the variable is declared with a value.
 */
#define RN_AUTO(fn) __attribute__((cleanup(fn)))

/** Passes ownership on: the value of the pointer p, which is NULL afterwards. */
#define RN_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) rn_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        rn_taken_;                                                                                 \
    })

/** Aborts with expression, file, line and thread when the condition, which no input and no race can
 * make false, is false. On in release builds. */
#define RN_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : rn_assert_failed(#condition, __FILE__, __LINE__, __func__))

/**
 * Prints what RN_ASSERT found to standard error and aborts.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none; does not return.
 */
RN_API void rn_assert_failed(const char *condition, const char *file, int line,
                             const char *function) __attribute__((noreturn, cold));

/**
 * Says what an error means, in the words of the table above; other codes in the words of the C
 * library.
 *
 * @param error  a negative errno as librunnel returns it, or 0
 *
 * **Ownership:** the text is static (of an unknown code: per thread, until the thread's next call).
 * **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API const char *rn_strerror(int error);

#ifdef __cplusplus
}
#endif
#endif
