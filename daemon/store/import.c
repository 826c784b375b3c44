/* The import of an export: into a store beside the one that is to be, which takes its place when it
 * is whole and sound, or (part.c) is taken into it. */
#include "store/import.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/place.h"
#include "store/scratch.h"

enum {
    LINE_BYTES_MAX = 128 << 20, // args and a result of 16 MiB, each byte of this escaped
    WATCH_STEPS = 50000,        // of SQLite's virtual machine: a few milliseconds
};

static int stopped(struct import *import)
{
    return error_set(import->reterr, import->stopped, "the import was stopped: %s",
                     rn_strerror(import->stopped));
}

static int cannot_write(struct import *import, int r)
{
    if (import->stopped < 0)
        return stopped(import);
    return error_set(import->reterr, r, "cannot write the new store: %s",
                     r == -ENOSPC ? "the disk is full" : sqlite_message(&import->sqlite));
}

static int broken(struct import *import, uint64_t line, const char *why)
{
    import->bad_line = line;
    return error_set(import->reterr, -EBADMSG, "line %" PRIu64 ": %s; nothing was imported", line,
                     why);
}

static int broken_line(struct import *import, int r)
{
    return broken(import, import->lines.number,
                  r == -EMSGSIZE ? "it is too long" : import->into.fault);
}

/* What the head announces. */
static int look_at_size(struct import *import)
{
    for (unsigned i = EXCHANGE_QUEUE; i < EXCHANGE_LINE_COUNT; i++) {
        if (import->most[i] > 0 && import->wanted[i] > import->most[i])
            return error_set(import->reterr, -E2BIG,
                             "the export has %" PRIu64 " %ss, at most %" PRIu64 " are allowed",
                             import->wanted[i], exchange_tables[i].what, import->most[i]);
    }
    return 0;
}

/* The head comes first, and once; and it says how many of each follow. */
static int note_line(struct import *import, enum exchange_line line)
{
    const char *fault = NULL;

    import->found[line]++;
    if ((import->lines.number == 1) != (line == EXCHANGE_HEAD))
        fault = line == EXCHANGE_HEAD ? "a second head" : "an export begins with its head";
    else if (line != EXCHANGE_HEAD && import->found[line] > import->wanted[line])
        fault = "the head names fewer of its sort";
    if (fault == NULL && line == EXCHANGE_HEAD) {
        import->wanted[EXCHANGE_QUEUE] = (uint64_t)import->into.values[3].number;
        import->wanted[EXCHANGE_TASK] = (uint64_t)import->into.values[4].number;
        import->wanted[EXCHANGE_KEY] = (uint64_t)import->into.values[5].number;
        return look_at_size(import);
    }
    if (fault == NULL)
        return 0;
    (void)snprintf(import->into.fault, sizeof(import->into.fault), "%s", fault);
    return broken_line(import, -EBADMSG);
}

/* All that the head announces has come; where it ends too early is behind its last line. */
static int look_at_end(struct import *import)
{
    if (import->found[EXCHANGE_HEAD] == 0) {
        import->bad_line = 1;
        return error_set(import->reterr, -EBADMSG, "line 1: there is none; nothing was imported");
    }
    for (unsigned i = EXCHANGE_QUEUE; i < EXCHANGE_LINE_COUNT; i++) {
        if (import->found[i] == import->wanted[i])
            continue;
        import->bad_line = import->lines.number;
        return error_set(import->reterr, -EBADMSG,
                         "line %" PRIu64 ": it is the last one, and %" PRIu64 " of the %" PRIu64
                         " %ss that the head names are there: the export is not whole; nothing "
                         "was imported",
                         import->bad_line, import->found[i], import->wanted[i],
                         exchange_tables[i].what);
    }
    return 0;
}

/* The next one as lines_next(), but an empty line at the end, which an editor or an echo leaves
 * there, is none. */
static int next_line(struct import *import, const char **ret_line, size_t *ret_length)
{
    struct lines *lines = &import->lines;

    int r = lines_next(lines, ret_line, ret_length);
    if (r <= 0 || *ret_length > 1 || (*ret_length == 1 && **ret_line != '\r'))
        return r;
    uint64_t empty = lines->number;
    r = lines_next(lines, ret_line, ret_length);
    if (r == 0)
        lines->number = empty - 1; // which the last one is
    return r <= 0 ? r : broken(import, empty, "it is empty");
}

static int take_lines(struct import *import)
{
    const char *line = NULL;
    size_t length = 0;
    enum exchange_line sort = EXCHANGE_HEAD;
    int r = 0;

    while ((r = next_line(import, &line, &length)) > 0) {
        r = import_line(&import->into, line, length, &sort);
        if (r < 0)
            return r == -EBADMSG ? broken_line(import, r) : cannot_write(import, r);
        r = note_line(import, sort);
        if (r < 0)
            return r;
    }
    if (r == -EMSGSIZE)
        return broken_line(import, r);
    if (r < 0 && import->bad_line > 0)
        return r;
    if (r < 0)
        return error_set(import->reterr, r, "cannot read the export: %s", strerror(-r));
    return look_at_end(import);
}

static int take_all(struct import *import)
{
    int r = sqlite_exec(&import->sqlite, "BEGIN");
    if (r == 0)
        r = import_lines_init(&import->into, &import->sqlite);
    if (r < 0)
        return cannot_write(import, r);
    r = take_lines(import);
    if (r < 0)
        return r;
    r = sqlite_exec(
        &import->sqlite,
        "UPDATE queues SET scheduled = s0, queued = s1, retrying = s2, running = s3, "
        "succeeded = s4, failed = s5, cancelled = s6, held = s7 FROM (SELECT queue, "
        "sum(state = 0) AS s0, sum(state = 1) AS s1, sum(state = 2) AS s2, sum(state = 3) AS s3, "
        "sum(state = 4) AS s4, sum(state = 5) AS s5, sum(state = 6) AS s6, sum(state = 7) AS s7 "
        "FROM tasks GROUP BY queue) WHERE queue = number; COMMIT");
    return r < 0 ? cannot_write(import, r) : 0;
}

/* Keeps the first line that is a fault. */
static void note_fault(void *arg, const char *line)
{
    char *fault = arg;
    size_t length = strlen(line);

    if (fault[0] == '\0' && (length < 4 || strcmp(line + length - 4, ": ok") != 0))
        (void)snprintf(fault, 256, "%s", line);
}

/* What no line by itself can tell. */
static int check(struct import *import, char *part)
{
    struct offline made = {.path = part, .version = SCHEMA_VERSION, .sqlite = import->sqlite};
    struct store_check_result result = {0};
    char fault[256] = "";

    int r = offline_check(&made, note_fault, fault, &result, import->reterr);
    if (import->stopped < 0)
        return stopped(import);
    if (r == 0 && result.faults > 0)
        r = error_set(import->reterr, -EBADMSG,
                      "the export makes no sound store: %s; nothing was "
                      "imported",
                      fault);
    return r;
}

/* Whoever waits for it is asked now and then. */
static int look(void *arg)
{
    struct import *import = arg;
    int r = import->watch->fn(import->watch->arg);

    if (r < 0)
        import->stopped = r;
    return r < 0;
}

/* The tables, filled and checked. */
static int fill(struct import *import, char *part)
{
    int r = sqlite_open(&import->sqlite, part, SQLITE_WRITER, import->reterr);
    if (r < 0)
        return r;
    // One that is not whole is thrown away.
    r = sqlite_exec(&import->sqlite, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
    if (r < 0)
        return cannot_write(import, r);
    r = schema_make(&import->sqlite, import->reterr);
    if (import->watch != NULL)
        sqlite3_progress_handler(import->sqlite.db, WATCH_STEPS, look, import);
    if (r == 0)
        r = take_all(import);
    if (r == 0)
        r = check(import, part);
    return r;
}

int import_make(struct import *import, char *part)
{
    int fd = -1;

    int r = scratch_make(part, &fd);
    if (r < 0)
        return error_set(import->reterr, r, "cannot make '%s': %s", part, strerror(-r));
    if (import->lines.longest == 0)
        import->lines.longest = LINE_BYTES_MAX;
    r = fill(import, part);
    import_lines_fini(&import->into);
    sqlite_close(&import->sqlite);
    lines_fini(&import->lines);
    if (r == 0 && import->is_synced && fsync(fd) < 0)
        r = error_set(import->reterr, -errno, "cannot sync '%s': %s", part, strerror(errno));
    (void)close(fd); // synced, or removed
    if (r < 0)
        (void)unlink(part);
    return r;
}

/* Nothing was ever stored in it. */
static int expect_empty(struct offline *offline, struct error *reterr)
{
    int64_t traces = 0;

    if (offline->version == 0)
        return 0;
    int r = sqlite_value(&offline->sqlite,
                         "SELECT EXISTS (SELECT 1 FROM tasks) OR EXISTS (SELECT 1 FROM keys) OR "
                         "EXISTS (SELECT 1 FROM meta WHERE name = 'last_id' AND value > 0)",
                         &traces);
    if (r < 0)
        return error_set(reterr, r, "cannot read the store '%s': %s", offline->path,
                         sqlite_message(&offline->sqlite));
    if (traces != 0)
        return error_set(reterr, -EEXIST,
                         "the store '%s' has or had tasks: an import needs a new or an empty one",
                         offline->path);
    return offline_end_log(offline, reterr);
}

static int import_into(struct offline *offline, char *part, struct import *import)
{
    struct stat status = {0};

    int r = expect_empty(offline, import->reterr);
    offline_let_go(offline);
    if (r < 0)
        return r;
    r = import_make(import, part);
    if (r < 0)
        return r;
    if (stat(offline->path, &status) < 0 || chmod(part, status.st_mode & 0777) < 0 ||
        rename(part, offline->path) < 0)
        r = error_set(import->reterr, -errno, "cannot put '%s' in the store's place: %s", part,
                      strerror(errno));
    if (r < 0) {
        (void)unlink(part);
        return r;
    }
    offline->is_new = false; // it stays
    r = place_sync(offline->path);
    return r < 0 ? error_set(import->reterr, r, "cannot sync the folder of the store '%s': %s",
                             offline->path, strerror(-r))
                 : 0;
}

static int run_import(struct offline *offline, int fd, struct store_exchange *ret_counts,
                      struct error *reterr)
{
    char *part = scratch_name(offline->path, SCRATCH_IMPORT);
    struct import *import = calloc(1, sizeof(*import));

    if (import == NULL || part == NULL) {
        free(import);
        free(part);
        return error_set(reterr, -ENOMEM, "no memory for the import");
    }
    import->lines.fd = fd;
    import->is_synced = true;
    import->reterr = reterr;
    int r = import_into(offline, part, import);
    if (r == 0)
        *ret_counts = (struct store_exchange){.queues = import->found[EXCHANGE_QUEUE],
                                              .tasks = import->found[EXCHANGE_TASK],
                                              .keys = import->found[EXCHANGE_KEY]};
    free(import);
    free(part);
    return r;
}

int store_import(const char *path, int fd, struct store_exchange *ret_counts, struct error *reterr)
{
    struct offline offline;

    int r = offline_open_new(&offline, path, reterr);
    if (r < 0)
        return r;
    r = sqlite_judge(run_import(&offline, fd, ret_counts, reterr), reterr);
    offline_let_go(&offline);
    if (r < 0 && offline.is_new)
        (void)unlink(offline.path); // before the lock goes
    offline_close(&offline);
    return r;
}
