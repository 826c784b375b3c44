/* Operations that the hot path is made of: put, start, finish, claim. And what the others share. */
#include "store/apply.h"

#include <string.h>

int apply(struct writer *writer, struct store_op *op)
{
    switch (op->type) {
    case STORE_PUT:
        return apply_put(writer, op);
    case STORE_START:
        return apply_start(writer, op);
    case STORE_FINISH:
        return apply_finish(writer, op);
    case STORE_HOLD:
        return apply_hold(writer, op);
    case STORE_CANCEL:
        return apply_cancel(writer, op);
    case STORE_RETRY:
        return apply_retry(writer, op);
    case STORE_DELETE:
        return apply_delete(writer, op);
    case STORE_PROMOTE:
        return apply_promote(writer, op);
    case STORE_QUEUE_SET:
        return apply_queue_set(writer, op);
    case STORE_RELEASE:
        return apply_release(writer, op);
    case STORE_SWEEP:
        return apply_sweep(writer, op);
    case STORE_EDIT:
        return apply_edit(writer, op);
    case STORE_MANY:
        return apply_many(writer, op);
    case STORE_CLAIM:
    case STORE_BACKUP:
    case STORE_IMPORT:
        return 0; // after the commit
    }
    return -EINVAL; // no other type can be submitted
}

int apply_row(struct writer *writer, uint64_t id, struct record **ret_record, unsigned *ret_flags)
{
    struct sqlite *sqlite = &writer->sqlite;

    sqlite_bind(sqlite, SQL_ROW, 1, (int64_t)id);
    int r = sqlite_next(sqlite, SQL_ROW);
    if (r <= 0)
        return r;
    r = sqlite_record_new(sqlite, SQL_ROW, writer->queues, ret_record, ret_flags);
    sqlite_reset(sqlite, SQL_ROW);
    return r < 0 ? r : 1;
}

void apply_move(struct writer *writer, const char *queue, enum task_state from, enum task_state to)
{
    struct queue_row *row = queues_find(writer->queues, queue);
    RN_ASSERT(row != NULL);
    // On disk a task that runs is queued, where its start was not written.
    RN_ASSERT(
        task_state_may_become(from, to) ||
        (from == TASK_QUEUED && (to == TASK_QUEUED || task_state_may_become(TASK_RUNNING, to))));
    queues_move(writer->queues, row, from, to, 1);
}

/* Whether the put is answered by what its key tells: op->result is set. */
static bool key_answers(struct store_op *op, const struct store_key_state *state)
{
    const struct store_key *key = op->put.key;

    op->put.key_state = *state;
    if (state->exists && state->is_stream != key->is_stream) {
        op->result = -EEXIST;
        return true;
    }
    if (!key->is_stream) {
        if (!state->exists)
            return false;
        op->put.replayed = memcmp(state->hash, key->hash, sizeof(key->hash)) == 0;
        op->result = op->put.replayed ? 0 : -EEXIST;
        return true;
    }
    if (state->count != key->lines_before) {
        op->result = -ESTALE; // another one is behind or ahead
        return true;
    }
    if (state->exists && memcmp(state->hash, key->hash_before, sizeof(state->hash)) != 0) {
        op->result = -EEXIST; // the lines that are stored are not these
        return true;
    }
    return false;
}

static int write_key(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    const struct store_key *key = op->put.key;
    struct store_key_state *state = &op->put.key_state;
    bool is_new = !state->exists;

    state->is_stream = key->is_stream;
    memcpy(state->hash, key->hash, sizeof(state->hash));
    if (op->put.count > 0) {
        state->first_id = state->count == 0 ? op->put.ids_first : state->first_id;
        state->last_id = op->put.ids_first + op->put.count - 1;
    }
    state->count += op->put.count;
    if (!is_new) {
        sqlite_bind_text(sqlite, SQL_KEY_EXTEND, 1, key->text, strlen(key->text));
        sqlite_bind_blob(sqlite, SQL_KEY_EXTEND, 2, state->hash, sizeof(state->hash));
        sqlite_bind(sqlite, SQL_KEY_EXTEND, 3, (int64_t)state->first_id);
        sqlite_bind(sqlite, SQL_KEY_EXTEND, 4, (int64_t)state->last_id);
        sqlite_bind(sqlite, SQL_KEY_EXTEND, 5, (int64_t)state->count);
        return sqlite_run(sqlite, SQL_KEY_EXTEND);
    }
    state->exists = true;
    state->created_at_ms = op->now_ms;
    sqlite_bind_text(sqlite, SQL_KEY_PUT, 1, key->text, strlen(key->text));
    sqlite_bind(sqlite, SQL_KEY_PUT, 2, key->is_stream);
    sqlite_bind_blob(sqlite, SQL_KEY_PUT, 3, state->hash, sizeof(state->hash));
    sqlite_bind(sqlite, SQL_KEY_PUT, 4, (int64_t)state->first_id);
    sqlite_bind(sqlite, SQL_KEY_PUT, 5, (int64_t)state->last_id);
    sqlite_bind(sqlite, SQL_KEY_PUT, 6, (int64_t)state->count);
    sqlite_bind(sqlite, SQL_KEY_PUT, 7, state->created_at_ms);
    return sqlite_run(sqlite, SQL_KEY_PUT);
}

int apply_put_record(struct writer *writer, struct record *record, int64_t now_ms)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct queue_row *queue = NULL;

    RN_ASSERT(record->state == TASK_QUEUED || record->state == TASK_SCHEDULED);
    int r = queues_ensure(writer->queues, sqlite, record->queue, &queue);
    if (r < 0)
        return r;
    record->id = writer->group.next_id;
    record->created_at_ms = now_ms;
    record->queued_at_ms = record->state == TASK_QUEUED ? now_ms : 0;
    bool is_large = record->args.length > RECORD_ARGS_INLINE;

    sqlite_bind(sqlite, SQL_PUT, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_PUT, 2, record->state);
    sqlite_bind(sqlite, SQL_PUT, 3, queue->number);
    sqlite_bind(sqlite, SQL_PUT, 4, record->priority);
    sqlite_bind(sqlite, SQL_PUT, 5,
                (is_large ? FLAG_ARGS_LARGE : 0) | (record->is_on_failure ? FLAG_ON_FAILURE : 0));
    sqlite_bind(sqlite, SQL_PUT, 6, now_ms);
    if (record->state == TASK_QUEUED)
        sqlite_bind_null(sqlite, SQL_PUT, 7); // as created_at
    else
        sqlite_bind(sqlite, SQL_PUT, 7, 0);
    sqlite_bind_optional(sqlite, SQL_PUT, 8, record->due_at_ms);
    sqlite_bind_optional(sqlite, SQL_PUT, 9, record->expires_at_ms);
    sqlite_bind_text(sqlite, SQL_PUT, 10, record->kind, strlen(record->kind));
    sqlite_bind_optional(sqlite, SQL_PUT, 11, record->timeout_ms);
    sqlite_bind_optional(sqlite, SQL_PUT, 12, record->max_attempts);
    sqlite_bind_optional(sqlite, SQL_PUT, 13, record->backoff_base_ms);
    sqlite_bind_optional(sqlite, SQL_PUT, 14, record->backoff_max_ms);
    sqlite_bind_text(sqlite, SQL_PUT, 15, record->tags.bytes, record->tags.length);
    sqlite_bind_text(sqlite, SQL_PUT, 16, is_large ? NULL : record->args.bytes,
                     record->args.length);
    sqlite_bind_text(sqlite, SQL_PUT, 17,
                     record->traceparent[0] == '\0' ? NULL : record->traceparent,
                     strlen(record->traceparent));
    sqlite_bind_optional(sqlite, SQL_PUT, 18, (int64_t)record->parent);
    sqlite_bind_optional(sqlite, SQL_PUT, 19, record->links);
    r = sqlite_run(sqlite, SQL_PUT);
    if (r == 0 && is_large) {
        sqlite_bind(sqlite, SQL_PUT_ARGS, 1, (int64_t)record->id);
        sqlite_bind_text(sqlite, SQL_PUT_ARGS, 2, record->args.bytes, record->args.length);
        r = sqlite_run(sqlite, SQL_PUT_ARGS);
    }
    if (r < 0)
        return r;
    queues_move(writer->queues, queue, TASK_STATE_COUNT, record->state, 1);
    writer->group.next_id++;
    return 0;
}

int apply_put(struct writer *writer, struct store_op *op)
{
    struct store_key_state state = {0};
    int r = 0;

    op->put.replayed = false;
    if (op->put.key != NULL) {
        r = sqlite_key_state(&writer->sqlite, op->put.key->text, &state);
        if (r < 0)
            return r;
        if (key_answers(op, &state))
            return 0;
    }
    if (queues_backlog(writer->queues) + op->put.count > writer->max_backlog) {
        op->result = -ENOBUFS;
        return 0;
    }
    if (writer->group.next_id + op->put.count > APPLY_PUT_ID_MAX) {
        op->result = -ENOSPC; // all ids but a last reserve are given
        return 0;
    }
    r = group_reserve(writer, 1, 0);
    if (r < 0)
        return r;
    op->put.ids_first = writer->group.next_id;
    for (size_t i = 0; i < op->put.count && r == 0; i++)
        r = apply_put_record(writer, op->put.records[i], op->now_ms);
    if (r == 0 && op->put.key != NULL)
        r = write_key(writer, op);
    if (r == 0)
        group_note(writer, STORE_EVENT_QUEUED, op, NULL);
    return r;
}

int apply_start(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = op->start.record;

    sqlite_bind(sqlite, SQL_START, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_START, 2, (int64_t)record->run);
    sqlite_bind(sqlite, SQL_START, 3, record->attempt);
    sqlite_bind(sqlite, SQL_START, 4, record->started_at_ms);
    sqlite_bind(sqlite, SQL_START, 5, record->worker);
    int r = sqlite_run(sqlite, SQL_START);
    if (r < 0)
        return r;
    op->result = sqlite3_changes(sqlite->db) == 1 ? 0 : -ESTALE;
    if (op->result == 0) {
        record->state = TASK_RUNNING;
        apply_move(writer, record->queue, TASK_QUEUED, TASK_RUNNING);
    }
    return 0;
}

/* Writes an attempt's end over a row in state `from` with at most this run. 1: written; 0: the row
 * was not so. */
static int write_end(struct writer *writer, const struct store_op *op, enum task_state from,
                     enum task_state to, uint64_t run)
{
    struct sqlite *sqlite = &writer->sqlite;
    const struct record *record = op->finish.record;
    bool is_end = task_state_is_final(to);
    enum sqlite_statement which = is_end ? SQL_FINISH_END : SQL_FINISH_AGAIN;
    const struct text *result = to == TASK_SUCCEEDED ? &record->result : &(const struct text){0};
    bool is_large = result->length > RECORD_ARGS_INLINE;
    // A cancel was recorded while the end was on its way.
    bool is_overruled = to != op->finish.to;
    const char *code = is_overruled ? "cancelled" : record->error_code;
    const char *message = is_overruled ? store_cancelled_running : record->error_message.bytes;
    size_t message_length =
        is_overruled ? strlen(store_cancelled_running) : record->error_message.length;

    unsigned flags = (is_large ? FLAG_RESULT_LARGE : 0u) |
                     (record->result_is_json && result->bytes != NULL ? FLAG_RESULT_JSON : 0u) |
                     (record->error_retryable && !is_overruled ? FLAG_RETRYABLE : 0u);
    sqlite_bind(sqlite, which, 1, to);
    sqlite_bind(sqlite, which, 2, (int64_t)record->run);
    sqlite_bind(sqlite, which, 3, record->attempt);
    sqlite_bind_optional(sqlite, which, 4, record->started_at_ms);
    sqlite_bind(sqlite, which, 5, record->finished_at_ms);
    sqlite_bind_optional(sqlite, which, 6, record->worker);
    sqlite_bind(sqlite, which, 7, flags);
    sqlite_bind_text(sqlite, which, 8, is_large ? NULL : result->bytes, result->length);
    sqlite_bind_text(sqlite, which, 9, code[0] != '\0' ? code : NULL, strlen(code));
    sqlite_bind_text(sqlite, which, 10, message, message_length);
    sqlite_bind_text(sqlite, which, 11, record->exec.bytes, record->exec.length);
    sqlite_bind_text(sqlite, which, 12, record->history.bytes, record->history.length);
    sqlite_bind(sqlite, which, 13, (int64_t)record->id);
    sqlite_bind(sqlite, which, 14, from);
    sqlite_bind(sqlite, which, 15, (int64_t)run);
    if (!is_end) {
        sqlite_bind_optional(sqlite, which, 16, record->due_at_ms);
        sqlite_bind_optional(sqlite, which, 17, to == TASK_QUEUED ? op->now_ms : 0);
    }
    int r = sqlite_run(sqlite, which);
    if (r < 0 || sqlite3_changes(sqlite->db) != 1)
        return r;
    if (is_large) {
        sqlite_bind(sqlite, SQL_PUT_RESULT, 1, (int64_t)record->id);
        sqlite_bind_text(sqlite, SQL_PUT_RESULT, 2, result->bytes, result->length);
        r = sqlite_run(sqlite, SQL_PUT_RESULT);
    }
    return r < 0 ? r : 1;
}

/* The row is not a queued one without a cancel: looks, and writes what is right. 1: written, and
 * from which state to which; 0: it moved on. The operation itself stays as it is: the group may
 * still be rolled back, the cancel with it. */
static int write_end_slowly(struct writer *writer, const struct store_op *op, enum task_state *from,
                            enum task_state *to)
{
    struct sqlite *sqlite = &writer->sqlite;
    const struct record *record = op->finish.record;

    sqlite_bind(sqlite, SQL_LOOK, 1, (int64_t)record->id);
    int r = sqlite_next(sqlite, SQL_LOOK);
    if (r <= 0)
        return r;
    int64_t state = sqlite_int(sqlite, SQL_LOOK, 0);
    uint64_t run = (uint64_t)sqlite_int(sqlite, SQL_LOOK, 1);
    bool is_cancelled = sqlite_int(sqlite, SQL_LOOK, 2) != 0;
    sqlite_reset(sqlite, SQL_LOOK);

    // A start that was written has this run already.
    bool is_running = state == TASK_RUNNING;
    if (!(is_running && run <= record->run) && !(state == TASK_QUEUED && run < record->run))
        return 0;
    if (is_cancelled)
        *to = TASK_CANCELLED;
    *from = is_running ? TASK_RUNNING : TASK_QUEUED;
    return write_end(writer, op, *from, *to, record->run);
}

int apply_finish(struct writer *writer, struct store_op *op)
{
    struct record *record = op->finish.record;
    enum task_state from = TASK_QUEUED;
    enum task_state to = op->finish.to;

    RN_ASSERT(task_state_may_become(TASK_RUNNING, to));
    RN_ASSERT(record->run > 0);
    int r = group_reserve(writer, 1 + APPLY_FOLLOW_CHANGES, 0);
    if (r < 0)
        return r;
    if (record->finished_at_ms == 0)
        record->finished_at_ms = op->now_ms;
    r = write_end(writer, op, from, to, record->run - 1);
    if (r == 0)
        r = write_end_slowly(writer, op, &from, &to);
    if (r < 0)
        return r;
    if (r == 0) {
        op->result = -ESTALE;
        group_note(writer, STORE_EVENT_REFUSED, op, NULL);
        return 0;
    }
    record->state = to;
    if (record->state == TASK_QUEUED)
        record->queued_at_ms = op->now_ms;
    apply_move(writer, record->queue, from, record->state);
    group_note(writer,
               task_state_is_final(record->state) ? STORE_EVENT_ENDED
               : record->state == TASK_RETRYING   ? STORE_EVENT_WAITING
                                                  : STORE_EVENT_QUEUED,
               op, NULL);
    return op->finish.is_followed && to == op->finish.to
               ? apply_follow(writer, op, record, op->now_ms)
               : 0;
}
