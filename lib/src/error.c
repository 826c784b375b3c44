/*
 * The words for the library's errors, and the end of a process that broke a rule.
 */
#define _GNU_SOURCE 1 // strerrordesc_np, gettid

#include <runnel/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// clang-format off
static const struct {
    int error;
    const char *text;
} meanings[] = {
    {0,          "no error"},
    {-EAGAIN,    "would have to wait"},
    {-EPIPE,     "closed"},
    {-ECANCELED, "cancelled"},
    {-ETIMEDOUT, "the deadline passed"},
    {-ENOMEM,    "out of memory"},
    {-EINVAL,    "a value is out of range"},
    {-ENOENT,    "no such thing"},
    {-ESTALE,    "it has moved on meanwhile"},
    {-EMSGSIZE,  "over a limit"},
    {-ENOSPC,    "the store is full"},
};
// clang-format on

const char *rn_strerror(int error)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].error == error)
            return meanings[i].text;
    }

    // INT_MIN has no opposite; no errno is near it.
    static _Thread_local char text[128];
    const char *words = error < 0 && error > -4096 ? strerrordesc_np(-error) : NULL;
    if (words != NULL)
        return words;
    (void)snprintf(text, sizeof(text), "unknown error %d", error);
    return text;
}

void rn_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    // dprintf, not stdio's buffer: another thread may hold the lock of stderr for ever.
    (void)dprintf(STDERR_FILENO, "%s:%d: %s: assertion '%s' failed in thread %d\n", file, line,
                  function, condition, (int)gettid());
    abort();
}
