/* Other settings for a task that waits. A queued one leaves its window first, as for a cancel, and
 * comes back by its event: into another window, or at another place of the same. */
#include <string.h>

#include "store/apply.h"

/* Takes over what the edit names. -ENOMEM. */
static int merge(struct record *record, const struct record *from, unsigned fields)
{
    if ((fields & STORE_EDIT_QUEUE) != 0)
        memcpy(record->queue, from->queue, sizeof(record->queue));
    if ((fields & STORE_EDIT_KIND) != 0)
        memcpy(record->kind, from->kind, sizeof(record->kind));
    if ((fields & STORE_EDIT_PRIORITY) != 0)
        record->priority = from->priority;
    if ((fields & STORE_EDIT_RUN_AT) != 0)
        record->due_at_ms = from->due_at_ms;
    if ((fields & STORE_EDIT_EXPIRES_AT) != 0)
        record->expires_at_ms = from->expires_at_ms;
    if ((fields & STORE_EDIT_MAX_ATTEMPTS) != 0)
        record->max_attempts = from->max_attempts;
    if ((fields & STORE_EDIT_TIMEOUT) != 0)
        record->timeout_ms = from->timeout_ms;
    if ((fields & STORE_EDIT_BACKOFF) != 0) {
        record->backoff_base_ms = from->backoff_base_ms;
        record->backoff_max_ms = from->backoff_max_ms;
    }
    return (fields & STORE_EDIT_TAGS) == 0
               ? 0
               : text_set(&record->tags, from->tags.bytes, from->tags.length);
}

/* The state of the merged record: by its time where that was set, and out of `held` with its kind.
 */
static enum task_state state_after(const struct record *record, unsigned fields, int64_t now_ms)
{
    bool is_freed = record->state == TASK_HELD && (fields & STORE_EDIT_KIND) != 0;

    if ((fields & STORE_EDIT_RUN_AT) == 0 && !is_freed)
        return record->state;
    if (record->due_at_ms > now_ms)
        return TASK_SCHEDULED;
    return record->state == TASK_HELD && !is_freed ? TASK_HELD : TASK_QUEUED;
}

static int write_row(struct writer *writer, const struct record *record,
                     const struct queue_row *queue)
{
    struct sqlite *sqlite = &writer->sqlite;

    sqlite_bind(sqlite, SQL_EDIT, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_EDIT, 2, record->state);
    sqlite_bind(sqlite, SQL_EDIT, 3, queue->number);
    sqlite_bind(sqlite, SQL_EDIT, 4, record->priority);
    sqlite_bind(sqlite, SQL_EDIT, 5, record->queued_at_ms);
    sqlite_bind_optional(sqlite, SQL_EDIT, 6, record->due_at_ms);
    sqlite_bind_optional(sqlite, SQL_EDIT, 7, record->expires_at_ms);
    sqlite_bind_text(sqlite, SQL_EDIT, 8, record->kind, strlen(record->kind));
    sqlite_bind_optional(sqlite, SQL_EDIT, 9, record->timeout_ms);
    sqlite_bind_optional(sqlite, SQL_EDIT, 10, record->max_attempts);
    sqlite_bind_optional(sqlite, SQL_EDIT, 11, record->backoff_base_ms);
    sqlite_bind_optional(sqlite, SQL_EDIT, 12, record->backoff_max_ms);
    sqlite_bind_text(sqlite, SQL_EDIT, 13, record->tags.bytes, record->tags.length);
    return sqlite_run(sqlite, SQL_EDIT);
}

/* Whether the task waits and nobody will start it meanwhile: 1. 0: op->result is set; or
 * APPLY_LATER is *ret_later. */
static int hold_still(struct writer *writer, struct store_op *op, struct record *record,
                      bool *ret_later)
{
    op->edit.state = record->state;
    *ret_later = record->state == TASK_QUEUED && group_made_queued(writer, record->id);
    if (*ret_later)
        return 0;
    bool may_fly = record->state == TASK_QUEUED || record->state == TASK_HELD;
    bool flies = may_fly && group_withdraw(writer, record) == -EBUSY;
    if (flies && record->state == TASK_HELD) {
        // It was held by this group: the flight that found no kind for it ends with the group.
        *ret_later = true;
        return 0;
    }
    if (flies)
        op->edit.state = TASK_RUNNING;
    if (flies || !task_state_is_waiting(record->state)) {
        op->result = -ESTALE;
        return 0;
    }
    return 1;
}

/* Writes the merged record, whose row was in queue and state `from`. */
static int move_row(struct writer *writer, struct record *record, const char *from_queue,
                    enum task_state from)
{
    struct queue_row *old = queues_find(writer->queues, from_queue);
    struct queue_row *queue = NULL;

    RN_ASSERT(old != NULL);
    RN_ASSERT(from == record->state || task_state_may_become(from, record->state));
    int r = queues_ensure(writer->queues, &writer->sqlite, record->queue, &queue);
    if (r == 0)
        r = write_row(writer, record, queue);
    if (r < 0)
        return r;
    queues_move(writer->queues, old, from, TASK_STATE_COUNT, 1);
    queues_move(writer->queues, queue, TASK_STATE_COUNT, record->state, 1);
    return 0;
}

static int edit_row(struct writer *writer, struct store_op *op, struct record **ref)
{
    struct record *record = *ref;
    const enum task_state from = record->state;
    char from_queue[CONFIG_NAME_MAX + 1];
    bool is_later = false;

    int r = group_reserve(writer, 1, 1);
    if (r < 0)
        return r;
    r = hold_still(writer, op, record, &is_later);
    if (r <= 0)
        return is_later ? APPLY_LATER : r;
    memcpy(from_queue, record->queue, sizeof(from_queue));
    r = merge(record, op->edit.record, op->edit.fields);
    if (r < 0)
        return r;
    record->state = state_after(record, op->edit.fields, op->now_ms);
    if (record->state == TASK_QUEUED && from != TASK_QUEUED)
        record->queued_at_ms = op->now_ms;
    r = move_row(writer, record, from_queue, from);
    if (r < 0)
        return r;
    op->edit.state = record->state;
    group_note(writer, record->state == TASK_QUEUED ? STORE_EVENT_QUEUED : STORE_EVENT_WAITING, op,
               RN_TAKE(*ref));
    return 0;
}

/* Whether it would expire before it may start: what has been started can't expire any more. */
static bool is_too_late(const struct record *record, const struct store_op *op)
{
    bool sets_expiry = (op->edit.fields & STORE_EDIT_EXPIRES_AT) != 0;
    bool sets_start = (op->edit.fields & STORE_EDIT_RUN_AT) != 0;
    int64_t expires_at_ms = sets_expiry ? op->edit.record->expires_at_ms : record->expires_at_ms;
    int64_t due_at_ms = sets_start                        ? op->edit.record->due_at_ms
                        : record->state == TASK_SCHEDULED ? record->due_at_ms
                                                          : 0;

    return (sets_expiry || sets_start) && record->run == 0 && expires_at_ms != 0 &&
           task_state_is_waiting(record->state) && expires_at_ms <= due_at_ms;
}

int apply_edit(struct writer *writer, struct store_op *op)
{
    struct record *record = NULL;

    int r = apply_find(writer, op->edit.id, &record, NULL, &op->result);
    if (r == 1 && is_too_late(record, op)) {
        op->edit.state = record->state;
        op->result = -EDOM;
        r = 0;
    } else if (r == 1) {
        r = edit_row(writer, op, &record);
    }
    record_free(record);
    return r;
}
