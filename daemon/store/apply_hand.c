/* What is done to tasks by hand, to one or to many: cancel, retry, delete; and hold, and the end of
 * a waiting task. All read the row first. */
#include <stdlib.h>
#include <string.h>

#include "store/apply.h"
#include "store/history.h"

const char store_cancelled_running[] = "cancelled while it ran";

/* What is done to a task: alone, or as one of many. */
struct by_hand {
    struct store_op *op;
    uint64_t id;
    enum task_state state; // afterwards, or the one in which it can't be done
    int result;
    bool has_changed; // something was written
};
typedef int by_hand_fn(struct writer *writer, struct by_hand *hand);

int apply_find(struct writer *writer, uint64_t id, struct record **ret_record, unsigned *ret_flags,
               int *ret_result)
{
    // A new task of this same group has been told to nobody: it doesn't exist yet.
    if (id == 0 || id > atomic_load(&writer->last_id)) {
        *ret_result = -ENOENT;
        return 0;
    }
    int r = apply_row(writer, id, ret_record, ret_flags);
    if (r == 0)
        *ret_result = -ENODATA;
    return r;
}

/* The attempt that a waiting task has behind it: what the row says of it makes room for the end. It
 * goes into the history. */
static void put_attempt_away(struct record *record)
{
    history_append(record);
    record->started_at_ms = 0;
    record->worker = 0;
}

int apply_cancelled(struct writer *writer, struct record *record, int64_t now_ms,
                    enum apply_cause cause)
{
    static const struct {
        const char *code, *message;
    } errors[] = {
        [APPLY_BY_HAND] = {"cancelled", "cancelled while it waited"},
        [APPLY_EXPIRED] = {"expired", "its expires_at passed before it was started"},
    };
    struct sqlite *sqlite = &writer->sqlite;
    const char *code = errors[cause].code;
    const char *message = errors[cause].message;
    int64_t requested_at_ms = cause == APPLY_BY_HAND ? now_ms : 0;
    bool has_attempt = record->started_at_ms > 0 && record->attempt > 0;

    if (has_attempt)
        put_attempt_away(record);
    sqlite_bind(sqlite, SQL_CANCEL, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_CANCEL, 2, now_ms);
    sqlite_bind_optional(sqlite, SQL_CANCEL, 3, requested_at_ms);
    sqlite_bind_text(sqlite, SQL_CANCEL, 4, code, strlen(code));
    sqlite_bind_text(sqlite, SQL_CANCEL, 5, message, strlen(message));
    sqlite_bind_text(sqlite, SQL_CANCEL, 6, has_attempt ? record->history.bytes : NULL,
                     record->history.length);
    int r = sqlite_run(sqlite, SQL_CANCEL);
    if (r == 0)
        r = text_set(&record->error_message, message, strlen(message));
    if (r < 0)
        return r;
    apply_move(writer, record->queue, record->state, TASK_CANCELLED);
    record->state = TASK_CANCELLED;
    record->finished_at_ms = now_ms;
    if (requested_at_ms != 0)
        record->cancel_requested_at_ms = requested_at_ms;
    record->error_retryable = false;
    memcpy(record->error_code, code, strlen(code) + 1);
    return 0;
}

/* Of a task in flight: its end will see it. Takes the record. */
static int record_cancel(struct writer *writer, struct by_hand *hand, struct record **record)
{
    struct sqlite *sqlite = &writer->sqlite;

    hand->state = TASK_RUNNING;
    hand->has_changed = true;
    if ((*record)->cancel_requested_at_ms != 0)
        return 0;
    sqlite_bind(sqlite, SQL_CANCEL_RECORD, 1, (int64_t)hand->id);
    sqlite_bind(sqlite, SQL_CANCEL_RECORD, 2, hand->op->now_ms);
    int r = sqlite_run(sqlite, SQL_CANCEL_RECORD);
    if (r < 0)
        return r;
    (*record)->cancel_requested_at_ms = hand->op->now_ms;
    group_note(writer, STORE_EVENT_CANCEL_REQUESTED, hand->op, RN_TAKE(*record));
    return 0;
}

static int cancel_row(struct writer *writer, struct by_hand *hand, struct record **record)
{
    enum task_state state = (*record)->state;

    hand->state = state;
    if (task_state_is_final(state)) {
        hand->result = state == TASK_CANCELLED ? 0 : -ESTALE;
        return 0;
    }
    if (state == TASK_QUEUED && group_made_queued(writer, hand->id))
        return APPLY_LATER; // the engine has not put it into its window yet: nobody could take it
                            // out
    int r = group_reserve(writer, 1, 1);
    if (r < 0)
        return r;
    if (state == TASK_RUNNING ||
        (state == TASK_QUEUED && group_withdraw(writer, *record) == -EBUSY))
        return record_cancel(writer, hand, record);

    r = apply_cancelled(writer, *record, hand->op->now_ms, APPLY_BY_HAND);
    if (r < 0)
        return r;
    hand->state = TASK_CANCELLED;
    hand->has_changed = true;
    group_note(writer, STORE_EVENT_ENDED, hand->op, RN_TAKE(*record));
    return 0;
}

static int cancel_task(struct writer *writer, struct by_hand *hand)
{
    struct record *record = NULL;

    int r = apply_find(writer, hand->id, &record, NULL, &hand->result);
    if (r == 1)
        r = cancel_row(writer, hand, &record);
    record_free(record);
    return r;
}

int apply_hold(struct writer *writer, struct store_op *op)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = NULL;

    int r = apply_find(writer, op->hold.id, &record, NULL, &op->result);
    if (r <= 0)
        return r;
    r = group_reserve(writer, 1, 0);
    if (r == 0 && !task_state_may_become(record->state, TASK_HELD)) {
        op->result = -ESTALE;
    } else if (r == 0 && record->cancel_requested_at_ms != 0) {
        // While it was in flight, which has come to nothing.
        r = apply_cancelled(writer, record, op->now_ms, APPLY_BY_HAND);
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

static int retry_task(struct writer *writer, struct by_hand *hand)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *record = NULL;

    int r = apply_find(writer, hand->id, &record, NULL, &hand->result);
    if (r <= 0)
        return r;
    hand->state = record->state;
    enum task_state from = record->state;
    if (from != TASK_FAILED && from != TASK_CANCELLED) {
        hand->result = -ESTALE;
        record_free(record);
        return 0;
    }
    r = group_reserve(writer, 1, 0);
    if (r == 0) {
        if (record->started_at_ms > 0)
            history_append(record);
        begin_again(record, hand->op->now_ms);
        sqlite_bind(sqlite, SQL_RETRY, 1, (int64_t)record->id);
        sqlite_bind(sqlite, SQL_RETRY, 2, hand->op->now_ms);
        sqlite_bind_optional(sqlite, SQL_RETRY, 3, record->expires_at_ms);
        sqlite_bind_text(sqlite, SQL_RETRY, 4, record->history.bytes, record->history.length);
        r = sqlite_run(sqlite, SQL_RETRY);
    }
    if (r == 0) {
        apply_move(writer, record->queue, from, TASK_QUEUED);
        hand->state = TASK_QUEUED;
        hand->has_changed = true;
        group_note(writer, STORE_EVENT_QUEUED, hand->op, RN_TAKE(record));
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

static int delete_task(struct writer *writer, struct by_hand *hand)
{
    struct record *record = NULL;
    unsigned flags = 0;

    int r = apply_find(writer, hand->id, &record, &flags, &hand->result);
    if (r <= 0)
        return r;
    hand->state = record->state;
    if (!task_state_is_final(record->state)) {
        hand->result = -ESTALE;
    } else {
        r = apply_removed(writer, record->id, flags);
        if (r == 0) {
            queues_move(writer->queues, queues_find(writer->queues, record->queue), record->state,
                        TASK_STATE_COUNT, 1);
            hand->has_changed = true;
        }
    }
    record_free(record);
    return r < 0 ? r : 0;
}

/* ---- of one, and of many ---- */

static int one_task(struct writer *writer, struct store_op *op, by_hand_fn *fn)
{
    struct by_hand hand = {.op = op, .id = op->one.id};

    int r = fn(writer, &hand);
    op->one.state = hand.state;
    op->result = hand.result;
    return r;
}

int apply_cancel(struct writer *writer, struct store_op *op)
{
    return one_task(writer, op, cancel_task);
}

int apply_retry(struct writer *writer, struct store_op *op)
{
    return one_task(writer, op, retry_task);
}

int apply_delete(struct writer *writer, struct store_op *op)
{
    return one_task(writer, op, delete_task);
}

int apply_many(struct writer *writer, struct store_op *op)
{
    enum store_op_type action = op->many.action;
    by_hand_fn *fn = action == STORE_CANCEL  ? cancel_task
                     : action == STORE_RETRY ? retry_task
                                             : delete_task;
    size_t changed = 0;

    RN_ASSERT(fn != delete_task || action == STORE_DELETE);
    op->many.changed = 0;
    op->many.skipped = 0;
    // One of them could be among these. Afterwards nothing here makes a cancel wait: it is asked
    // before the first write, since what waits for the next group must have written nothing.
    if (action == STORE_CANCEL && group_made_any_queued(writer))
        return APPLY_LATER;
    int r = group_reserve(writer, op->many.count, op->many.count);
    for (size_t i = 0; i < op->many.count && r == 0; i++) {
        struct by_hand hand = {.op = op, .id = op->many.ids[i]};
        r = fn(writer, &hand);
        RN_ASSERT(r != APPLY_LATER);
        changed += hand.has_changed ? 1 : 0;
    }
    if (r < 0)
        return r;
    op->many.changed = changed;
    op->many.skipped = op->many.count - changed;
    return 0;
}
