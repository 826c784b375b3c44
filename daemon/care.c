/* --check-store and --compact. */
#include "care.h"

#include <stdio.h>
#include <sysexits.h>

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

int care_run(const char *store, enum options_mode mode, struct error *reterr)
{
    int r = store_become_owner(store, reterr);
    if (r < 0)
        return r;
    r = mode == OPTIONS_COMPACT ? compact(store, reterr) : check(store, reterr);
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
