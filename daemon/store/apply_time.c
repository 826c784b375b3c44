/* What time brings: promotion, expiry, retention; and the settings of a queue, and claims. Ids are
 * collected first and the rows changed afterwards, so that no index is walked while it changes. */
#include <stdlib.h>
#include <string.h>

#include "store/apply.h"

// Looked at beyond the limit, since what is in flight keeps its place in the index: one a worker.
enum { IN_FLIGHT_MAX = CONFIG_WORKERS_MAX };

/* Collects the ids of a statement whose last two parameters are bound to a bound and a limit. */
static int collect(struct sqlite *sqlite, enum sqlite_statement which, int64_t until_ms,
                   size_t limit, int64_t **ret_ids, size_t *ret_count)
{
    size_t count = 0;
    int r = 0;

    int64_t *ids = calloc(limit == 0 ? 1 : limit, sizeof(*ids));
    if (ids == NULL)
        return -ENOMEM;
    sqlite_bind(sqlite, which, 1, until_ms);
    sqlite_bind(sqlite, which, 2, (int64_t)limit);
    while (count < limit && (r = sqlite_next(sqlite, which)) == 1)
        ids[count++] = sqlite_int(sqlite, which, 0);
    sqlite_reset(sqlite, which);
    if (r < 0) {
        free(ids);
        return r;
    }
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}

/* Ends one task whose time has run out. 1: it is done; 0: it is in flight, and so has started. */
static int expire(struct writer *writer, struct store_op *op, uint64_t id)
{
    struct record *record = NULL;

    int r = apply_row(writer, id, &record, NULL);
    if (r == 0 || (r > 0 && !task_state_is_waiting(record->state)))
        r = -EBADMSG; // the index has what the table does not
    if (r < 0) {
        record_free(record);
        return r;
    }
    // What this group made queued is not in its window yet: the next promote takes it.
    bool is_busy = record->state == TASK_QUEUED &&
                   (group_made_queued(writer, id) || group_withdraw(writer, record) == -EBUSY);
    if (is_busy) {
        record_free(record);
        return 0;
    }
    r = apply_cancelled(writer, record, op->now_ms, APPLY_EXPIRED);
    if (r == 0)
        group_note(writer, STORE_EVENT_ENDED, op, RN_TAKE(record));
    record_free(record);
    return r < 0 ? r : 1;
}

static int expire_all(struct writer *writer, struct store_op *op, size_t *done)
{
    int64_t *ids = NULL;
    size_t count = 0;

    int r = collect(&writer->sqlite, SQL_EXPIRED, op->now_ms, op->promote.limit + IN_FLIGHT_MAX,
                    &ids, &count);
    for (size_t i = 0; i < count && r >= 0 && *done < op->promote.limit; i++) {
        r = expire(writer, op, (uint64_t)ids[i]);
        *done += r > 0 ? 1 : 0;
    }
    free(ids);
    return r < 0 ? r : 0;
}

static int promote(struct writer *writer, struct store_op *op, uint64_t id)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = NULL;

    int r = apply_row(writer, id, &record, NULL);
    bool is_found = r == 1 && (op->type == STORE_RELEASE ? record->state == TASK_HELD
                                                         : record->state == TASK_SCHEDULED ||
                                                               record->state == TASK_RETRYING);
    if (r >= 0 && !is_found)
        r = -EBADMSG; // the index has what the table does not
    if (r < 0) {
        record_free(record);
        return r;
    }
    enum task_state from = record->state;
    record->state = TASK_QUEUED;
    record->queued_at_ms = op->now_ms;
    sqlite_bind(sqlite, SQL_PROMOTE, 1, (int64_t)id);
    sqlite_bind(sqlite, SQL_PROMOTE, 2, op->now_ms);
    r = sqlite_run(sqlite, SQL_PROMOTE);
    if (r == 0) {
        apply_move(writer, record->queue, from, TASK_QUEUED);
        group_note(writer, STORE_EVENT_QUEUED, op, RN_TAKE(record));
    }
    record_free(record);
    return r;
}

static int promote_all(struct writer *writer, struct store_op *op, size_t *done)
{
    int64_t *ids = NULL;
    size_t count = 0;

    int r = collect(&writer->sqlite, SQL_DUE, op->now_ms, op->promote.limit - *done, &ids, &count);
    for (size_t i = 0; i < count && r == 0; i++)
        r = promote(writer, op, (uint64_t)ids[i]);
    *done += count;
    free(ids);
    return r;
}

/* Makes at most `limit` held tasks of a kind queued. */
static int release_kind(struct writer *writer, struct store_op *op, const struct text *kind)
{
    struct sqlite *sqlite = &writer->sqlite;
    size_t limit = op->release.limit - op->release.released;
    size_t count = 0;
    int r = 0;

    int64_t *ids = calloc(limit, sizeof(*ids));
    if (ids == NULL)
        return -ENOMEM;
    sqlite_bind_text(sqlite, SQL_HELD, 1, kind->bytes, kind->length);
    sqlite_bind(sqlite, SQL_HELD, 2, (int64_t)limit);
    while (count < limit && (r = sqlite_next(sqlite, SQL_HELD)) == 1)
        ids[count++] = sqlite_int(sqlite, SQL_HELD, 0);
    sqlite_reset(sqlite, SQL_HELD);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = promote(writer, op, (uint64_t)ids[i]);
    op->release.released += count;
    free(ids);
    return r < 0 ? r : 0;
}

int apply_held_kind(struct sqlite *sqlite, struct text *kind)
{
    struct text next = {0};

    sqlite_bind_text(sqlite, SQL_HELD_KINDS, 1, kind->bytes, kind->length);
    int r = sqlite_next(sqlite, SQL_HELD_KINDS);
    if (r <= 0)
        return r;
    r = sqlite_text(sqlite, SQL_HELD_KINDS, 0, &next);
    sqlite_reset(sqlite, SQL_HELD_KINDS);
    if (r == 0 && (!config_name_valid(next.bytes) || strcmp(next.bytes, kind->bytes) <= 0))
        r = -EBADMSG; // of another type or order: it would be found for ever
    if (r < 0) {
        text_fini(&next);
        return r;
    }
    text_fini(kind);
    *kind = next;
    return 1;
}

int apply_release(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct text kind = {0};

    op->release.released = 0;
    if (writer->group.held)
        return APPLY_LATER; // else what it makes queued would still be in flight
    int r = group_reserve(writer, op->release.limit, 0);
    if (r == 0)
        r = text_set(&kind, "", 0);
    while (r == 0 && op->release.released < op->release.limit) {
        r = apply_held_kind(sqlite, &kind);
        if (r <= 0)
            break;
        r = 0;
        if (op->release.is_wanted(op->release.arg, kind.bytes))
            r = release_kind(writer, op, &kind);
    }
    text_fini(&kind);
    op->release.more = op->release.released == op->release.limit;
    return r;
}

int apply_next_due(struct sqlite *sqlite, int64_t now_ms, int64_t *ret_next_ms)
{
    int64_t next_ms = 0;

    int r = sqlite_next(sqlite, SQL_NEXT_DUE);
    if (r == 1)
        next_ms = sqlite_int(sqlite, SQL_NEXT_DUE, 0);
    sqlite_reset(sqlite, SQL_NEXT_DUE);
    if (r < 0)
        return r;
    sqlite_bind(sqlite, SQL_NEXT_EXPIRY, 1, now_ms);
    r = sqlite_next(sqlite, SQL_NEXT_EXPIRY);
    if (r == 1) {
        int64_t expiry_ms = sqlite_int(sqlite, SQL_NEXT_EXPIRY, 0);
        next_ms = next_ms == 0 || expiry_ms < next_ms ? expiry_ms : next_ms;
    }
    sqlite_reset(sqlite, SQL_NEXT_EXPIRY);
    if (r < 0)
        return r;
    *ret_next_ms = next_ms;
    return 0;
}

int apply_promote(struct writer *writer, struct store_op *op)
{
    size_t done = 0;

    op->promote.more = false;
    op->promote.next_due_ms = 0;
    int r = group_reserve(writer, op->promote.limit, op->promote.limit);
    // Expiry first: what is both due and expired is not to be started.
    if (r == 0)
        r = expire_all(writer, op, &done);
    if (r == 0)
        r = promote_all(writer, op, &done);
    if (r == 0)
        r = apply_next_due(&writer->sqlite, op->now_ms, &op->promote.next_due_ms);
    op->promote.more = done == op->promote.limit;
    return r;
}

int apply_settings(struct writer *writer, const struct queue_row *row,
                   const struct store_queue_settings *settings)
{
    struct sqlite *sqlite = &writer->sqlite;

    sqlite_bind(sqlite, SQL_QUEUE_SETTINGS, 1, row->number);
    if (settings->has_workers)
        sqlite_bind(sqlite, SQL_QUEUE_SETTINGS, 2, settings->workers);
    else
        sqlite_bind_null(sqlite, SQL_QUEUE_SETTINGS, 2);
    sqlite_bind_text(sqlite, SQL_QUEUE_SETTINGS, 3, settings->has_rate ? settings->rate : NULL,
                     strnlen(settings->rate, sizeof(settings->rate)));
    if (settings->has_burst)
        sqlite_bind(sqlite, SQL_QUEUE_SETTINGS, 4, settings->burst);
    else
        sqlite_bind_null(sqlite, SQL_QUEUE_SETTINGS, 4);
    sqlite_bind(sqlite, SQL_QUEUE_SETTINGS, 5, settings->paused);
    sqlite_bind(sqlite, SQL_QUEUE_SETTINGS, 6, settings->paused_until_ms);
    return sqlite_run(sqlite, SQL_QUEUE_SETTINGS);
}

int apply_queue_set(struct writer *writer, struct store_op *op)
{
    struct queue_row *row = NULL;

    int r = group_reserve(writer, 1, 0);
    if (r == 0)
        r = queues_ensure(writer->queues, &writer->sqlite, op->queue_set.queue, &row);
    if (r == 0)
        r = apply_settings(writer, row, &op->queue_set.settings);
    if (r == 0)
        group_note(writer, STORE_EVENT_QUEUE_SET, op, NULL);
    return r;
}

struct victim {
    uint64_t id;
    unsigned flags;
};

/* Removes at most `limit` of a queue's tasks in a final state that ended before an instant, the
 * oldest first. */
static int sweep_tasks(struct writer *writer, struct queue_row *row, enum task_state state,
                       int64_t before_ms, size_t limit, size_t *removed)
{
    struct sqlite *sqlite = &writer->sqlite;
    size_t count = 0;
    int r = 0;

    if (limit == 0 || queues_count(row, state) == 0)
        return 0;
    struct victim *victims = calloc(limit, sizeof(*victims));
    if (victims == NULL)
        return -ENOMEM;
    sqlite_bind(sqlite, SQL_OLDEST, 1, row->number);
    sqlite_bind(sqlite, SQL_OLDEST, 2, state);
    sqlite_bind(sqlite, SQL_OLDEST, 3, before_ms);
    sqlite_bind(sqlite, SQL_OLDEST, 4, (int64_t)limit);
    while (count < limit && (r = sqlite_next(sqlite, SQL_OLDEST)) == 1)
        victims[count++] = (struct victim){.id = (uint64_t)sqlite_int(sqlite, SQL_OLDEST, 0),
                                           .flags = (unsigned)sqlite_int(sqlite, SQL_OLDEST, 1)};
    sqlite_reset(sqlite, SQL_OLDEST);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = apply_removed(writer, victims[i].id, victims[i].flags);
    free(victims);
    if (r < 0)
        return r;
    if (count > 0)
        queues_move(writer->queues, row, state, TASK_STATE_COUNT, (int64_t)count);
    *removed += count;
    return 0;
}

static int sweep_state(struct writer *writer, struct store_op *op, struct queue_row *row,
                       enum task_state state, int64_t keep_ms, size_t *removed)
{
    uint64_t keep_count = op->sweep.retention->keep_count;
    uint64_t count = queues_count(row, state);
    size_t left = op->sweep.limit - *removed;

    uint64_t excess = count > keep_count ? count - keep_count : 0;
    int r =
        sweep_tasks(writer, row, state, INT64_MAX, excess < left ? (size_t)excess : left, removed);
    if (r < 0)
        return r;
    return sweep_tasks(writer, row, state, op->now_ms - keep_ms, op->sweep.limit - *removed,
                       removed);
}

static int sweep_keys(struct writer *writer, struct store_op *op, size_t *removed)
{
    struct sqlite *sqlite = &writer->sqlite;
    int r = 0;

    // One at a time: each leaves the index that the next one is found by.
    while (*removed < op->sweep.limit) {
        struct text key = {0};
        sqlite_bind(sqlite, SQL_KEYS_OLD, 1, op->now_ms - op->sweep.retention->keep_keys_ms);
        sqlite_bind(sqlite, SQL_KEYS_OLD, 2, 1);
        r = sqlite_next(sqlite, SQL_KEYS_OLD);
        if (r == 1)
            r = sqlite_text(sqlite, SQL_KEYS_OLD, 0, &key);
        sqlite_reset(sqlite, SQL_KEYS_OLD);
        if (r < 0 || key.bytes == NULL)
            return r;
        sqlite_bind_text(sqlite, SQL_KEY_DELETE, 1, key.bytes, key.length);
        r = sqlite_run(sqlite, SQL_KEY_DELETE);
        if (r == 0 && sqlite3_changes(sqlite->db) != 1)
            r = -EBADMSG; // the index has what the table does not: it would be found for ever
        text_fini(&key);
        if (r < 0)
            return r;
        ++*removed;
    }
    return 0;
}

int apply_sweep(struct writer *writer, struct store_op *op)
{
    const struct store_retention *retention = op->sweep.retention;
    size_t removed = 0;
    int r = 0;

    for (size_t i = 0; i < writer->queues->numbered && r == 0; i++) {
        struct queue_row *row = writer->queues->by_number[i];
        r = sweep_state(writer, op, row, TASK_SUCCEEDED, retention->keep_succeeded_ms, &removed);
        if (r == 0)
            r = sweep_state(writer, op, row, TASK_FAILED, retention->keep_failed_ms, &removed);
        if (r == 0)
            r = sweep_state(writer, op, row, TASK_CANCELLED, retention->keep_cancelled_ms,
                            &removed);
    }
    if (r == 0)
        r = sweep_keys(writer, op, &removed);
    op->sweep.removed = removed;
    op->sweep.more = removed == op->sweep.limit;
    return r;
}

/* Reads the rows of a claim's statement behind those that are there. */
static int claim_rows(struct writer *writer, struct store_op *op, enum sqlite_statement which)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct queue_key last = op->claim.after;
    bool has_last = op->claim.has_after;
    int r = 0;

    if (op->claim.count > 0) {
        const struct record *record = op->claim.rows[op->claim.count - 1];
        last = (struct queue_key){.priority = record->priority, .id = record->id};
        has_last = true;
    }
    while (op->claim.count < op->claim.limit && (r = sqlite_next(sqlite, which)) == 1) {
        r = sqlite_record_new(sqlite, which, writer->queues, &op->claim.rows[op->claim.count],
                              NULL);
        if (r < 0)
            break;
        const struct record *record = op->claim.rows[op->claim.count++];
        const struct queue_key key = {.priority = record->priority, .id = record->id};
        bool is_behind = !has_last || queue_key_compare(last, key) < 0;
        if (!is_behind || record->state != TASK_QUEUED ||
            strcmp(record->queue, op->claim.queue) != 0) {
            r = -EBADMSG; // the index has what the table does not, or in another order
            break;
        }
        last = key;
        has_last = true;
    }
    sqlite_reset(sqlite, which);
    return r < 0 ? r : 0;
}

int apply_claim(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    const struct queue_row *row = queues_find(writer->queues, op->claim.queue);
    int64_t below = INT32_MAX;
    int r = 0;

    op->claim.rows = NULL;
    op->claim.count = 0;
    op->result = 0;
    if (row == NULL || op->claim.limit == 0 || queues_count(row, TASK_QUEUED) == 0)
        return 0;
    op->claim.rows = calloc(op->claim.limit, sizeof(struct record *));
    if (op->claim.rows == NULL)
        r = -ENOMEM;
    if (r == 0 && op->claim.has_after) {
        below = op->claim.after.priority;
        sqlite_bind(sqlite, SQL_CLAIM_SAME, 1, row->number);
        sqlite_bind(sqlite, SQL_CLAIM_SAME, 2, below);
        sqlite_bind(sqlite, SQL_CLAIM_SAME, 3, (int64_t)op->claim.after.id);
        sqlite_bind(sqlite, SQL_CLAIM_SAME, 4, (int64_t)op->claim.limit);
        r = claim_rows(writer, op, SQL_CLAIM_SAME);
    }
    if (r == 0 && op->claim.count < op->claim.limit) {
        sqlite_bind(sqlite, SQL_CLAIM_BELOW, 1, row->number);
        sqlite_bind(sqlite, SQL_CLAIM_BELOW, 2, below);
        sqlite_bind(sqlite, SQL_CLAIM_BELOW, 3, (int64_t)(op->claim.limit - op->claim.count));
        r = claim_rows(writer, op, SQL_CLAIM_BELOW);
    }
    if (r < 0) {
        records_free(RN_TAKE(op->claim.rows), op->claim.count);
        op->claim.count = 0;
    }
    op->result = r;
    return r;
}
