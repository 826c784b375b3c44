/* --check-store, --compact, --export and --import. */
#include "care.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "store/store.h"

static void print_line(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

static int check(const char *store, struct error *reterr)
{
    struct store_check_result result = {0};

    int r = store_check(store, print_line, NULL, &result, reterr);
    if (r < 0)
        return r;
    printf("%s: version %d, %llu tasks, %llu keys: %u checks, %llu faults\n", store, result.version,
           (unsigned long long)result.tasks, (unsigned long long)result.keys, result.checks,
           (unsigned long long)result.faults);
    return result.faults == 0 ? EX_OK : EX_DATAERR;
}

static int compact(const char *store, struct error *reterr)
{
    struct store_compaction compaction = {0};

    int r = store_compact(store, &compaction, reterr);
    if (r < 0)
        return r;
    printf("%s: %llu KiB before, %llu KiB now\n", store,
           (unsigned long long)(compaction.bytes_before >> 10),
           (unsigned long long)(compaction.bytes_after >> 10));
    return EX_OK;
}

/* ---- export and import ---- */

static void print_counts(FILE *to, const char *store, const struct store_exchange *counts)
{
    fprintf(to, "%s: %llu queues, %llu tasks, %llu keys\n", store,
            (unsigned long long)counts->queues, (unsigned long long)counts->tasks,
            (unsigned long long)counts->keys);
}

static bool is_standard(const char *file)
{
    return strcmp(file, "-") == 0;
}

/* What is written is on the disk; what is not whole is removed. */
static int end_file(const char *file, int fd, int r, struct error *reterr)
{
    if (is_standard(file))
        return r;
    if (r == 0 && fsync(fd) < 0)
        r = error_set(reterr, -errno, "cannot sync '%s': %s", file, strerror(errno));
    if (close(fd) < 0 && r == 0)
        r = error_set(reterr, -errno, "cannot write '%s': %s", file, strerror(errno));
    if (r < 0)
        (void)unlink(file);
    return r;
}

/* The file is opened before this becomes the store's owner, who may not see it. */
static int export_to(const char *store, const char *file, struct error *reterr)
{
    struct store_exchange counts = {0};

    int fd = is_standard(file)
                 ? STDOUT_FILENO
                 : open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot make '%s': %s", file, strerror(errno));
    int r = store_become_owner(store, reterr);
    if (r == 0)
        r = store_export(store, fd, &counts, reterr);
    r = end_file(file, fd, r, reterr);
    if (r == 0)
        print_counts(is_standard(file) ? stderr : stdout, store, &counts);
    return r;
}

/* The owner of the store; of its folder where there is none yet. */
static int become_owner_to_be(const char *store, struct error *reterr)
{
    const char *slash = strrchr(store, '/');

    if (access(store, F_OK) == 0)
        return store_become_owner(store, reterr);
    char *folder = slash == NULL ? strdup(".") : strndup(store, (size_t)(slash - store) + 1);
    int r = folder == NULL ? error_set(reterr, -ENOMEM, "no memory for a name")
                           : store_become_owner(folder, reterr);
    free(folder);
    return r;
}

static int import_from(const char *store, const char *file, struct error *reterr)
{
    struct store_exchange counts = {0};

    int fd = is_standard(file) ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot open '%s': %s", file, strerror(errno));
    int r = become_owner_to_be(store, reterr);
    if (r == 0)
        r = store_import(store, fd, &counts, reterr);
    if (!is_standard(file))
        (void)close(fd); // it was read
    if (r == 0)
        print_counts(stdout, store, &counts);
    return r;
}

static int look_at_store(const char *store, enum options_mode mode, struct error *reterr)
{
    int r = store_become_owner(store, reterr);
    if (r < 0)
        return r;
    return mode == OPTIONS_COMPACT ? compact(store, reterr) : check(store, reterr);
}

int care_run(const char *store, const struct options *options, struct error *reterr)
{
    int r = 0;

    if (options->mode == OPTIONS_EXPORT)
        r = export_to(store, options->file, reterr);
    else if (options->mode == OPTIONS_IMPORT)
        r = import_from(store, options->file, reterr);
    else
        r = look_at_store(store, options->mode, reterr);
    if (r >= 0 && fflush(stdout) != 0)
        r = error_set(reterr, -EIO, "cannot write what came out");
    return r;
}

void care_warn(const char *store)
{
    const char *name = store_unfit_file_system(store);

    if (name != NULL)
        fprintf(
            stderr,
            "runneld: warning: the store '%s' lies on %s, whose locks and shared memory can't be "
            "trusted: tasks may be lost; use a local disk\n",
            store, name);
}
