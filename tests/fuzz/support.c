/* What fuzz targets share. */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

void fuzz_fail(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

char *fuzz_copy(const void *bytes, size_t length)
{
    char *copy = malloc(length + 1);

    HOLDS(copy != NULL);
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

struct fuzz_parts fuzz_parts(const uint8_t *data, size_t size)
{
    const char *at = size > 0 ? (const char *)data : "";
    return (struct fuzz_parts){.at = at, .end = at + size};
}

char *fuzz_next(struct fuzz_parts *parts, size_t *ret_length)
{
    static const char line[] = "\n%%\n";
    size_t left = (size_t)(parts->end - parts->at);
    const char *from = parts->at;
    const char *found = memmem(from, left, line, sizeof(line) - 1);
    const char *to = found != NULL ? found : parts->end;

    parts->at = found != NULL ? found + sizeof(line) - 1 : parts->end;
    *ret_length = (size_t)(to - from);
    return fuzz_copy(from, *ret_length);
}

static char folder[PATH_MAX - 256];

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
    if (folder[0] == '\0') {
        const char *parent = getenv("TMPDIR");
        (void)snprintf(folder, sizeof(folder), "%s/fuzz-XXXXXX", parent != NULL ? parent : "/tmp");
        HOLDS(mkdtemp(folder) != NULL);
        HOLDS(atexit(remove_folder) == 0);
    }
    return folder;
}

const char *fuzz_path(unsigned slot, const char *name)
{
    static char paths[8][PATH_MAX];
    (void)snprintf(paths[slot], sizeof(paths[slot]), "%s/%s", fuzz_folder(), name);
    return paths[slot];
}

void fuzz_write(const char *path, const void *bytes, size_t length, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    HOLDS(fd >= 0);
    HOLDS(write(fd, bytes, length) == (ssize_t)length);
    HOLDS(fchmod(fd, mode) == 0);
    HOLDS(close(fd) == 0);
}

struct config *fuzz_config(const char *text, const char *const *builtins)
{
    const struct config_options options = {.path = fuzz_path(0, "runneld.conf"),
                                           .builtins = builtins};
    struct config *config = NULL;
    struct config_fault *faults = NULL;
    size_t count = 0;

    fuzz_write(options.path, text, strlen(text), 0600);
    int r = config_load(&options, &config, &faults, &count);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(stderr, "%s:%u: %s\n", faults[i].file, faults[i].line, faults[i].text);
    free(faults);
    HOLDS(r == 0);
    return config;
}
