/*
 * The import of a part store, which is attached to the writer's connection meanwhile. One
 * transaction, which holds up everybody else: so it is bounded (STORE_IMPORT_TASKS_MAX), copies row
 * by row in the order of the ids without looking at anything, and tells the watchdog that it goes
 * on. What it does not find room for is taken back, the log that it has made long included.
 *
 * The engine gets no records of what came queued: it moves each window's frontier back to before
 * the first of them, and reads on from there.
 */
#include "store/merge.h"

#include <stdio.h>
#include <string.h>

#include "observe/log.h"
#include "store/apply.h"
#include "store/disk.h"
#include "store/part.h"
#include "store/recover.h"

enum { ALIVE_STEPS = 200000 }; // of SQLite's virtual machine: some tens of milliseconds

// What the last import with an Idempotency-Key was answered: rows of `meta`.
static const char *const kept_numbers[] = {"import_queues",   "import_tasks",   "import_keys",
                                           "import_first_id", "import_last_id", "import_ids_kept"};
enum { KEPT_NUMBERS = sizeof(kept_numbers) / sizeof(kept_numbers[0]) };

// ?1: how far ids move up. Each row in the order of its id, so that the trees grow at their end.
static const char *const copies[] = {
    "INSERT OR FAIL INTO main.tasks(id, state, queue, priority, run, attempt, interruptions, "
    "flags, "
    "created_at, queued_at, due_at, expires_at, started_at, finished_at, cancel_requested_at, "
    "worker, kind, timeout, max_attempts, backoff_base, backoff_max, tags, args, result, "
    "error_code, error_message, exec, history, traceparent, parent, links) "
    "SELECT t.id + ?1, t.state, m.number, t.priority, t.run, t.attempt, t.interruptions, t.flags, "
    "t.created_at, t.queued_at, t.due_at, t.expires_at, t.started_at, t.finished_at, "
    "t.cancel_requested_at, t.worker, t.kind, t.timeout, t.max_attempts, t.backoff_base, "
    "t.backoff_max, t.tags, t.args, t.result, t.error_code, t.error_message, t.exec, t.history, "
    "t.traceparent, t.parent + ?1, t.links FROM part.tasks AS t "
    "CROSS JOIN part.queues AS q ON q.number = t.queue "
    "CROSS JOIN main.queues AS m ON m.name = q.name ORDER BY t.id",
    "INSERT OR FAIL INTO main.large_args(id, args) SELECT id + ?1, args FROM part.large_args",
    "INSERT OR FAIL INTO main.large_results(id, result) "
    "SELECT id + ?1, result FROM part.large_results",
    "INSERT OR FAIL INTO main.keys(key, is_stream, hash, first_id, last_id, count, created_at) "
    "SELECT key, is_stream, hash, CASE WHEN count > 0 THEN first_id + ?1 ELSE first_id END, "
    "CASE WHEN count > 0 THEN last_id + ?1 ELSE last_id END, count, created_at FROM part.keys",
};

/* ---- statements of this operation alone ---- */

static int prepare(struct writer *writer, const char *sql, sqlite3_stmt **ret_statement)
{
    struct sqlite *sqlite = &writer->sqlite;

    errno = 0;
    return sqlite_error(sqlite, sqlite3_prepare_v2(sqlite->db, sql, -1, ret_statement, NULL));
}

/* Runs one whose ?1, if it has one, is a number. */
static int run(struct writer *writer, const char *sql, uint64_t number)
{
    sqlite3_stmt *statement = NULL;

    int r = prepare(writer, sql, &statement);
    if (r == 0 && sqlite3_bind_parameter_count(statement) > 0)
        r = sqlite_error(&writer->sqlite, sqlite3_bind_int64(statement, 1, (sqlite3_int64)number));
    errno = 0;
    if (r == 0)
        r = sqlite_error(&writer->sqlite, sqlite3_step(statement));
    (void)sqlite3_finalize(statement); // tells the same error again
    return r;
}

static int alive(void *arg)
{
    struct store_event event = {.type = STORE_EVENT_ALIVE};
    (void)writer_tell(arg, &event);
    return 0; // go on
}

static bool is_attached(struct writer *writer)
{
    return sqlite3_db_filename(writer->sqlite.db, "part") != NULL;
}

/* No transaction is open. Without memory it stays until the next import. */
static void detach(struct writer *writer)
{
    sqlite3_progress_handler(writer->sqlite.db, 0, NULL, NULL);
    if (is_attached(writer) && sqlite_exec(&writer->sqlite, "DETACH part") < 0)
        log_event(LOG_LEVEL_WARN, "import_attached",
                  LOG_TEXT("error", sqlite_message(&writer->sqlite)));
}

static int attach(struct writer *writer, const struct store_part *part)
{
    sqlite3_stmt *statement = NULL;

    detach(writer);
    int r = prepare(writer, "ATTACH ?1 AS part", &statement);
    if (r == 0)
        r = sqlite_error(&writer->sqlite,
                         sqlite3_bind_text(statement, 1, part->name, -1, SQLITE_STATIC));
    if (r == 0)
        r = sqlite_error(&writer->sqlite, sqlite3_step(statement));
    (void)sqlite3_finalize(statement); // tells the same error again
    if (r == 0)
        r = sqlite_exec(&writer->sqlite,
                        "PRAGMA part.cache_size = -2048; PRAGMA part.journal_mode = MEMORY");
    sqlite3_progress_handler(writer->sqlite.db, ALIVE_STEPS, alive, writer);
    return r;
}

/* ---- the key ---- */

static int read_kept(sqlite3_stmt *row, struct store_op *op)
{
    const struct store_key *key = op->import.key;
    const char *text = (const char *)sqlite3_column_text(row, 0);
    const void *hash = sqlite3_column_blob(row, 1);

    if ((text == NULL && sqlite3_column_type(row, 0) != SQLITE_NULL) ||
        (hash == NULL && sqlite3_column_type(row, 1) != SQLITE_NULL))
        return -ENOMEM;
    if (text == NULL || strcmp(text, key->text) != 0)
        return 0; // there was none, or another
    op->import.replayed = hash != NULL && sqlite3_column_bytes(row, 1) == sizeof(key->hash) &&
                          memcmp(hash, key->hash, sizeof(key->hash)) == 0;
    if (!op->import.replayed) {
        op->result = -EEXIST;
        return 1;
    }
    op->import.counts = (struct store_exchange){.queues = (uint64_t)sqlite3_column_int64(row, 2),
                                                .tasks = (uint64_t)sqlite3_column_int64(row, 3),
                                                .keys = (uint64_t)sqlite3_column_int64(row, 4)};
    op->import.first_id = (uint64_t)sqlite3_column_int64(row, 5);
    op->import.last_id = (uint64_t)sqlite3_column_int64(row, 6);
    op->import.ids_kept = sqlite3_column_int(row, 7) != 0;
    return 1;
}

/* 1: it is answered by what its key tells. */
static int look_up_key(struct writer *writer, struct store_op *op)
{
    sqlite3_stmt *statement = NULL;
    char sql[768] = "SELECT (SELECT value FROM meta WHERE name = 'import_key'), "
                    "(SELECT value FROM meta WHERE name = 'import_hash')";

    if (op->import.key == NULL)
        return 0;
    for (size_t i = 0; i < KEPT_NUMBERS; i++) {
        size_t used = strlen(sql);
        (void)snprintf(sql + used, sizeof(sql) - used,
                       ", (SELECT value FROM meta WHERE name = '%s')", kept_numbers[i]);
    }
    int r = prepare(writer, sql, &statement);
    if (r == 0) {
        int result = sqlite3_step(statement);
        r = result == SQLITE_ROW ? read_kept(statement, op) : sqlite_error(&writer->sqlite, result);
    }
    (void)sqlite3_finalize(statement);
    return r;
}

static int keep_value(struct writer *writer, sqlite3_stmt *statement, const char *name)
{
    int result = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);

    errno = 0;
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    int r = sqlite_error(&writer->sqlite, result);
    (void)sqlite3_reset(statement); // tells the same error again
    return r;
}

static int remember(struct writer *writer, struct store_op *op)
{
    const struct store_key *key = op->import.key;
    const struct store_exchange *counts = &op->import.counts;
    const uint64_t numbers[KEPT_NUMBERS] = {counts->queues,     counts->tasks,
                                            counts->keys,       op->import.first_id,
                                            op->import.last_id, op->import.ids_kept};
    sqlite3_stmt *statement = NULL;

    if (key == NULL)
        return 0;
    int r =
        prepare(writer, "INSERT OR REPLACE INTO main.meta(name, value) VALUES(?1, ?2)", &statement);
    if (r == 0)
        r = sqlite_error(&writer->sqlite,
                         sqlite3_bind_text(statement, 2, key->text, -1, SQLITE_STATIC));
    if (r == 0)
        r = keep_value(writer, statement, "import_key");
    if (r == 0)
        r = sqlite_error(&writer->sqlite, sqlite3_bind_blob(statement, 2, key->hash,
                                                            sizeof(key->hash), SQLITE_STATIC));
    if (r == 0)
        r = keep_value(writer, statement, "import_hash");
    for (size_t i = 0; i < KEPT_NUMBERS && r == 0; i++) {
        r = sqlite_error(&writer->sqlite,
                         sqlite3_bind_int64(statement, 2, (sqlite3_int64)numbers[i]));
        if (r == 0)
            r = keep_value(writer, statement, kept_numbers[i]);
    }
    (void)sqlite3_finalize(statement);
    return r;
}

/* ---- what it would do ---- */

/* 1: the store has one of its keys. */
static int find_taken_key(struct writer *writer, struct store_op *op)
{
    sqlite3_stmt *statement = NULL;

    int r = prepare(writer,
                    "SELECT p.key FROM part.keys AS p CROSS JOIN main.keys AS m ON m.key = p.key "
                    "LIMIT 1",
                    &statement);
    errno = 0;
    if (r == 0) {
        int result = sqlite3_step(statement);
        const char *key =
            result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        r = sqlite_error(&writer->sqlite, result);
        if (r == 0 && result == SQLITE_ROW) {
            (void)snprintf(op->import.taken_key, sizeof(op->import.taken_key), "%s",
                           key == NULL ? "" : key);
            r = 1;
        }
    }
    (void)sqlite3_finalize(statement);
    return r;
}

/* 1: it is answered: op->result is set. */
static int look(struct writer *writer, struct store_op *op, uint64_t base)
{
    const struct store_part *part = op->import.part;
    uint64_t backlog = atomic_load(&part->queues.backlog);

    int r = look_up_key(writer, op);
    if (r != 0)
        return r;
    op->import.counts = (struct store_exchange){.queues = part->queues.numbered,
                                                .tasks = (uint64_t)part->tasks,
                                                .keys = (uint64_t)part->keys};
    op->import.ids_kept = base == 0;
    op->import.first_id = part->tasks == 0 ? 0 : base + (uint64_t)part->first_id;
    op->import.last_id = part->tasks == 0 ? 0 : base + (uint64_t)part->highest_id;
    if (base + (uint64_t)part->last_id > APPLY_PUT_ID_MAX)
        op->result = -EOVERFLOW;
    else if (backlog > 0 && queues_backlog(writer->queues) + backlog > writer->max_backlog)
        op->result = -ENOBUFS;
    if (op->result < 0)
        return 1;
    r = find_taken_key(writer, op);
    if (r == 1)
        op->result = -ENOTUNIQ;
    return r;
}

/* ---- what it does ---- */

static int take_queue(struct writer *writer, struct store_part *part, size_t index)
{
    const struct queue_row *from = part->queues.by_number[index];
    struct queue_row *row = queues_find(writer->queues, from->name);

    part->is_new[index] = row == NULL || !row->is_stored;
    int r = queues_ensure(writer->queues, &writer->sqlite, from->name, &row);
    if (r == 0 && part->is_new[index])
        r = apply_settings(writer, row, &from->settings);
    for (unsigned state = 0; state < TASK_STATE_COUNT && r == 0; state++) {
        if (from->counts[state] > 0)
            queues_move(writer->queues, row, TASK_STATE_COUNT, (enum task_state)state,
                        (int64_t)from->counts[state]);
    }
    return r;
}

static int take(struct writer *writer, struct store_op *op, uint64_t base)
{
    struct store_part *part = op->import.part;

    int r = group_reserve(writer, 1 + part->running_count * (1 + APPLY_FOLLOW_CHANGES), 0);
    for (size_t i = 0; i < part->queues.numbered && r == 0; i++)
        r = take_queue(writer, part, i);
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]) && r == 0; i++)
        r = run(writer, copies[i], base);
    if (r < 0)
        return r;
    writer->group.next_id = base + (uint64_t)part->last_id + 1;
    writer->group.deleted = true; // ids were given that no task has: last_id is to be written
    group_note(writer, STORE_EVENT_IMPORTED, op, NULL);
    r = recover_imported(writer, op, base);
    return r == 0 ? remember(writer, op) : r;
}

static uint64_t waiting_of(const struct queue_row *row)
{
    return row->counts[TASK_QUEUED] + row->counts[TASK_SCHEDULED] + row->counts[TASK_RETRYING];
}

void merge_tell(struct writer *writer, struct store_op *op)
{
    struct store_part *part = op->import.part;
    uint64_t base = op->import.base;

    for (size_t i = 0; i < part->queues.numbered; i++) {
        const struct queue_row *from = part->queues.by_number[i];
        struct store_event event = {
            .type = STORE_EVENT_QUEUE_SET, .queue = from->name, .settings = &from->settings};
        if (part->is_new[i]) {
            queues_set(writer->queues, queues_find(writer->queues, from->name), &from->settings);
            (void)writer_tell(writer, &event);
        }
        event = (struct store_event){.type = STORE_EVENT_IMPORTED,
                                     .queue = from->name,
                                     .key = part->first[i],
                                     .due_at_ms = part->next_due_ms,
                                     .waiting = waiting_of(from)};
        if (event.key.id > 0)
            event.key.id += base;
        (void)writer_tell(writer, &event);
    }
}

/* In a transaction. 1: it is answered without a write. */
static int do_all(struct writer *writer, struct store_op *op)
{
    uint64_t base = writer->group.next_id - 1;

    op->import.base = base;
    int r = look(writer, op, base);
    if (r != 0 || op->import.is_dry)
        return r < 0 ? r : 1;
    r = take(writer, op, base);
    if (r == 0)
        r = group_commit(writer);
    return r;
}

static int in_transaction(struct writer *writer, struct store_op *op)
{
    int r = group_begin(writer);
    if (r < 0)
        return r;
    r = do_all(writer, op);
    if (r == 0)
        return 0;
    writer_judge(writer, r, "import");
    group_rollback(writer);
    if (r < 0)
        disk_cut_log(writer); // what did not find its end is in it
    return r;
}

void merge(struct writer *writer, struct store_op *op)
{
    rn_time begun = rn_now();

    op->result = 0;
    op->import.replayed = false;
    if (writer->backup.op != NULL) {
        op->result = -EBUSY;
        return;
    }
    int r = attach(writer, op->import.part);
    if (r == 0)
        r = in_transaction(writer, op);
    detach(writer);
    if (r == -ENOSPC)
        disk_full(writer);
    if (r < 0)
        op->result = r;
    if (r != 0)
        return;
    group_publish(writer);
    (void)alive(writer); // the commit has written it all once; the checkpoint does so again
    log_event(LOG_LEVEL_NOTICE, "imported", LOG_UINT("tasks", op->import.counts.tasks),
              LOG_UINT("queues", op->import.counts.queues),
              LOG_UINT("keys", op->import.counts.keys),
              LOG_INT("took_ms", (rn_now() - begun) / RN_MILLISECOND));
}
