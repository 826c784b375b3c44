/* An export's lines as a store beside the one that takes them. All that can be found out before is
 * found out here, since the writer holds up everybody else. */
#include "store/part.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/apply.h"
#include "store/import.h"
#include "store/scratch.h"

enum {
    PART_LINE_BYTES_MAX = 36 << 20, // args and a result of 16 MiB each, as they are
    PART_QUEUES_MAX = 10000,        // the check takes a time that grows with the square of it
};

void store_part_free(struct store_part *part)
{
    if (part == NULL)
        return;
    if (part->name != NULL)
        (void)unlink(part->name); // where it stays, the next one begins with removing it
    queues_fini(&part->queues);
    free(part->first);
    free(part->is_new);
    free(part->running);
    free(part->name);
    free(part);
}

static int read_running(struct store_part *part, struct sqlite *sqlite, struct error *reterr)
{
    int r = 0;

    while ((r = sqlite_next(sqlite, SQL_RUNNING)) == 1) {
        if (part->running_count == PART_RUNNING_MAX) {
            sqlite_reset(sqlite, SQL_RUNNING);
            return error_set(reterr, -EBADMSG,
                             "more than %d tasks run: no daemon has so many workers",
                             PART_RUNNING_MAX);
        }
        part->running[part->running_count++] = (uint64_t)sqlite_int(sqlite, SQL_RUNNING, 0);
    }
    return r;
}

static int read_firsts(struct store_part *part, struct sqlite *sqlite)
{
    int r = 0;

    for (size_t i = 0; i < part->queues.numbered && r >= 0; i++) {
        sqlite_bind(sqlite, SQL_FIRST, 1, part->queues.by_number[i]->number);
        r = sqlite_next(sqlite, SQL_FIRST);
        if (r == 1)
            part->first[i] = (struct queue_key){
                .priority = (int)sqlite_int(sqlite, SQL_FIRST, 1),
                .id = (uint64_t)sqlite_int(sqlite, SQL_FIRST, 0),
            };
        sqlite_reset(sqlite, SQL_FIRST);
    }
    return r < 0 ? r : 0;
}

static int read_numbers(struct store_part *part, struct sqlite *sqlite)
{
    const struct {
        const char *sql;
        int64_t *value;
    } numbers[] = {
        {"SELECT count(*) FROM tasks", &part->tasks},
        {"SELECT count(*) FROM keys", &part->keys},
        {"SELECT coalesce(min(id), 0) FROM tasks", &part->first_id},
        {"SELECT coalesce(max(id), 0) FROM tasks", &part->highest_id},
        {"SELECT value FROM meta WHERE name = 'last_id'", &part->last_id},
    };
    int r = 0;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == 0; i++)
        r = sqlite_value(sqlite, numbers[i].sql, numbers[i].value);
    return r;
}

static int read_all(struct store_part *part, struct sqlite *sqlite, struct error *reterr)
{
    int r = sqlite_prepare(sqlite, SQLITE_WRITER, reterr);
    if (r == 0)
        r = queues_load(&part->queues, sqlite);
    if (r < 0)
        return r;
    part->first = calloc(part->queues.numbered + 1, sizeof(*part->first));
    part->is_new = calloc(part->queues.numbered + 1, sizeof(*part->is_new));
    part->running = calloc(PART_RUNNING_MAX, sizeof(*part->running));
    if (part->first == NULL || part->is_new == NULL || part->running == NULL)
        return -ENOMEM;
    r = read_numbers(part, sqlite);
    if (r == 0)
        r = read_running(part, sqlite, reterr);
    if (r == 0)
        r = read_firsts(part, sqlite);
    if (r == 0)
        r = apply_next_due(sqlite, 0, &part->next_due_ms);
    return r;
}

/* What the writer has to know of it. */
static int look_into(struct store_part *part, struct error *reterr)
{
    struct sqlite sqlite;
    struct stat status = {0};
    struct error error = {0};

    if (stat(part->name, &status) < 0)
        return error_set(reterr, -errno, "cannot find '%s': %s", part->name, strerror(errno));
    part->bytes = (uint64_t)status.st_size;
    int r = sqlite_open(&sqlite, part->name, SQLITE_WRITER, reterr);
    if (r < 0)
        return r;
    r = read_all(part, &sqlite, &error);
    if (r < 0 && error.code == 0)
        (void)error_set(&error, r, "cannot read the new store: %s", sqlite_message(&sqlite));
    if (r < 0 && reterr != NULL)
        *reterr = error;
    sqlite_close(&sqlite);
    return r;
}

int part_new(const char *path, int fd, const struct store_watch *watch,
             struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
{
    struct store_part *part = calloc(1, sizeof(*part));
    struct import *import = calloc(1, sizeof(*import));
    int r = -ENOMEM;

    if (part != NULL)
        queues_init(&part->queues);
    char *name = part == NULL ? NULL : scratch_name(path, SCRATCH_IMPORT);
    if (import == NULL || name == NULL) {
        (void)error_set(reterr, r, "no memory for the import");
    } else {
        *import = (struct import){.lines = {.fd = fd, .longest = PART_LINE_BYTES_MAX},
                                  .most = {[EXCHANGE_QUEUE] = PART_QUEUES_MAX,
                                           [EXCHANGE_TASK] = STORE_IMPORT_TASKS_MAX,
                                           [EXCHANGE_KEY] = STORE_IMPORT_TASKS_MAX},
                                  .watch = watch,
                                  .reterr = reterr};
        r = lseek(fd, 0, SEEK_SET) < 0
                ? error_set(reterr, -errno, "cannot read the export: %s", strerror(errno))
                : import_make(import, name);
        *ret_bad_line = import->bad_line;
    }
    free(import);
    if (r == 0) {
        part->name = RN_TAKE(name); // it is there
        r = look_into(part, reterr);
    }
    free(name);
    if (r < 0) {
        store_part_free(part);
        return r;
    }
    *ret_part = part;
    return 0;
}
