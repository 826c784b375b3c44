/** \file
 * What fuzz targets share. A target is one function of any bytes that asserts what has to hold for
 * them. The same file is linked twice: with libFuzzer (make fuzz), and with driver.c, which gives
 * it its corpus (make check).
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The target. Returns 0. */
// libFuzzer's name. NOLINTNEXTLINE(readability-identifier-naming)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Ends the process, with what does not hold, unless it does. */
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *what);

/** A copy of exactly so many bytes and a NUL, so that a sanitizer sees each read beyond it. New. */
char *fuzz_copy(const void *bytes, size_t length);

/** Input of several parts, with the line `%%` between two of them. */
struct fuzz_parts {
    const char *at, *end;
};
struct fuzz_parts fuzz_parts(const uint8_t *data, size_t size);
/** The next one, a copy as above; "" where there is none left. */
char *fuzz_next(struct fuzz_parts *parts, size_t *ret_length);

/** An own folder below TMPDIR, made by the first call and removed with all files in it at the end
 * of the process. */
const char *fuzz_folder(void);
/** The path of a file in it; static, valid until the same slot (0 to 7) is used again. */
const char *fuzz_path(unsigned slot, const char *name);
/** Writes the file. */
void fuzz_write(const char *path, const void *bytes, size_t length, unsigned mode);

struct config;
/** A configuration without a fault, of its text. builtins: see config_options. New. */
struct config *fuzz_config(const char *text, const char *const *builtins);

#endif
