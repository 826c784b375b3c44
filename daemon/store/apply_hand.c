/* What is done to one task by hand: cancel, retry, delete; and hold, and the end of a waiting task.
 * All read the row first. */
#include <stdlib.h>
#include <string.h>

#include "store/apply.h"
#include "store/history.h"

/* The row of a task that was given out: 1. 0: op->result says why there is none. */
static int find(struct writer *writer, struct store_op *op, uint64_t id, struct record **ret_record,
                unsigned *ret_flags)
{
    // A new task of this same group has been told to nobody: it doesn't exist yet.
    if (id == 0 || id > atomic_load(&writer->last_id)) {
        op->result = -ENOENT;
        return 0;
    }
    int r = apply_row(writer, id, ret_record, ret_flags);
    if (r == 0)
        op->result = -ENODATA;
    return r;
}

int apply_cancelled(struct writer *writer, struct record *record, int64_t now_ms, const char *code,
                    const char *message)
{
    struct sqlite *sqlite = &writer->sqlite;
    int64_t requested_at_ms = code == NULL ? now_ms : 0;

    sqlite_bind(sqlite, SQL_CANCEL, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_CANCEL, 2, now_ms);
    sqlite_bind_optional(sqlite, SQL_CANCEL, 3, requested_at_ms);
    sqlite_bind_text(sqlite, SQL_CANCEL, 4, code, code == NULL ? 0 : strlen(code));
    sqlite_bind_text(sqlite, SQL_CANCEL, 5, message, message == NULL ? 0 : strlen(message));
    int r = sqlite_run(sqlite, SQL_CANCEL);
    if (r == 0 && message != NULL)
        r = text_set(&record->error_message, message, strlen(message));
    if (r < 0)
        return r;
    apply_move(writer, record->queue, record->state, TASK_CANCELLED);
    record->state = TASK_CANCELLED;
    record->finished_at_ms = now_ms;
    if (requested_at_ms != 0)
        record->cancel_requested_at_ms = requested_at_ms;
    if (code != NULL)
        memcpy(record->error_code, code, strlen(code) + 1);
    return 0;
}

/* Of a task in flight: its end will see it. Takes the record. */
static int record_cancel(struct writer *writer, struct store_op *op, struct record **record)
{
    struct sqlite *sqlite = &writer->sqlite;

    op->one.state = TASK_RUNNING;
    if ((*record)->cancel_requested_at_ms != 0)
        return 0;
    sqlite_bind(sqlite, SQL_CANCEL_RECORD, 1, (int64_t)op->one.id);
    sqlite_bind(sqlite, SQL_CANCEL_RECORD, 2, op->now_ms);
    int r = sqlite_run(sqlite, SQL_CANCEL_RECORD);
    if (r < 0)
        return r;
    (*record)->cancel_requested_at_ms = op->now_ms;
    group_note(writer, STORE_EVENT_CANCEL_REQUESTED, op, RN_TAKE(*record));
    return 0;
}

static int cancel_row(struct writer *writer, struct store_op *op, struct record **record)
{
    enum task_state state = (*record)->state;

    op->one.state = state;
    if (task_state_is_final(state)) {
        op->result = state == TASK_CANCELLED ? 0 : -ESTALE;
        return 0;
    }
    if (state == TASK_QUEUED && group_made_queued(writer, op->one.id))
        return APPLY_LATER; // the engine has not put it into its window yet: nobody could take it
                            // out
    int r = group_reserve(writer, 1, 1);
    if (r < 0)
        return r;
    if (state == TASK_RUNNING ||
        (state == TASK_QUEUED && group_withdraw(writer, *record) == -EBUSY))
        return record_cancel(writer, op, record);

    r = apply_cancelled(writer, *record, op->now_ms, NULL, NULL);
    if (r < 0)
        return r;
    op->one.state = TASK_CANCELLED;
    group_note(writer, STORE_EVENT_ENDED, op, RN_TAKE(*record));
    return 0;
}

int apply_cancel(struct writer *writer, struct store_op *op)
{
    struct record *record = NULL;

    int r = find(writer, op, op->one.id, &record, NULL);
    if (r == 1)
        r = cancel_row(writer, op, &record);
    record_free(record);
    return r;
}

int apply_hold(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = NULL;

    int r = find(writer, op, op->hold.id, &record, NULL);
    if (r <= 0)
        return r;
    r = group_reserve(writer, 1, 0);
    if (r == 0 && !task_state_may_become(record->state, TASK_HELD)) {
        op->result = -ESTALE;
    } else if (r == 0 && record->cancel_requested_at_ms != 0) {
        // While it was in flight, which has come to nothing.
        r = apply_cancelled(writer, record, op->now_ms, NULL, NULL);
        if (r == 0)
            group_note(writer, STORE_EVENT_ENDED, op, RN_TAKE(record));
    } else if (r == 0) {
        sqlite_bind(sqlite, SQL_HOLD, 1, (int64_t)record->id);
        r = sqlite_run(sqlite, SQL_HOLD);
        if (r == 0)
            apply_move(writer, record->queue, record->state, TASK_HELD);
        writer->group.held = true;
    }
    record_free(record);
    return r;
}

/* As new, but for its number of starts and what is told of the attempts before. */
static void begin_again(struct record *record, int64_t now_ms)
{
    record->state = TASK_QUEUED;
    record->attempt = 0;
    record->interruptions = 0;
    record->queued_at_ms = now_ms;
    record->started_at_ms = 0;
    record->finished_at_ms = 0;
    record->cancel_requested_at_ms = 0;
    record->worker = 0;
    record->result_is_json = false;
    record->error_retryable = false;
    record->error_code[0] = '\0';
    text_fini(&record->result);
    text_fini(&record->error_message);
    text_fini(&record->exec);
    if (record->expires_at_ms <= now_ms)
        record->expires_at_ms = 0; // else it would expire at once
}

int apply_retry(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = NULL;

    int r = find(writer, op, op->one.id, &record, NULL);
    if (r <= 0)
        return r;
    op->one.state = record->state;
    enum task_state from = record->state;
    if (from != TASK_FAILED && from != TASK_CANCELLED) {
        op->result = -ESTALE;
        record_free(record);
        return 0;
    }
    r = group_reserve(writer, 1, 0);
    if (r == 0) {
        if (record->started_at_ms > 0)
            history_append(record);
        begin_again(record, op->now_ms);
        sqlite_bind(sqlite, SQL_RETRY, 1, (int64_t)record->id);
        sqlite_bind(sqlite, SQL_RETRY, 2, op->now_ms);
        sqlite_bind_optional(sqlite, SQL_RETRY, 3, record->expires_at_ms);
        sqlite_bind_text(sqlite, SQL_RETRY, 4, record->history.bytes, record->history.length);
        r = sqlite_run(sqlite, SQL_RETRY);
    }
    if (r == 0) {
        apply_move(writer, record->queue, from, TASK_QUEUED);
        op->one.state = TASK_QUEUED;
        group_note(writer, STORE_EVENT_QUEUED, op, RN_TAKE(record));
    }
    record_free(record);
    return r;
}

int apply_removed(struct writer *writer, uint64_t id, unsigned flags)
{
    struct sqlite *sqlite = &writer->sqlite;
    int r = 0;

    if ((flags & FLAG_ARGS_LARGE) != 0) {
        sqlite_bind(sqlite, SQL_DELETE_ARGS, 1, (int64_t)id);
        r = sqlite_run(sqlite, SQL_DELETE_ARGS);
    }
    if (r == 0 && (flags & FLAG_RESULT_LARGE) != 0) {
        sqlite_bind(sqlite, SQL_DELETE_RESULT, 1, (int64_t)id);
        r = sqlite_run(sqlite, SQL_DELETE_RESULT);
    }
    if (r == 0) {
        sqlite_bind(sqlite, SQL_DELETE, 1, (int64_t)id);
        r = sqlite_run(sqlite, SQL_DELETE);
    }
    if (r == 0 && sqlite3_changes(sqlite->db) != 1)
        r = -EBADMSG; // the index has what the table does not: it would be found for ever
    writer->group.deleted = true;
    return r;
}

int apply_delete(struct writer *writer, struct store_op *op)
{
    struct record *record = NULL;
    unsigned flags = 0;

    int r = find(writer, op, op->one.id, &record, &flags);
    if (r <= 0)
        return r;
    op->one.state = record->state;
    if (!task_state_is_final(record->state)) {
        op->result = -ESTALE;
    } else {
        r = apply_removed(writer, record->id, flags);
        if (r == 0)
            queues_move(writer->queues, queues_find(writer->queues, record->queue), record->state,
                        TASK_STATE_COUNT, 1);
    }
    record_free(record);
    return r < 0 ? r : 0;
}
