/* Follow-up tasks: stored in the transaction that ends the task which they follow, so that each end
 * has its follow-up once, whatever happens to the daemon. They are never refused: max_backlog does
 * not count for them. */
#include <string.h>

#include "observe/log.h"
#include "store/apply.h"

/* Reads what an end need not bring along: the args of one that was too large for its window, and
 * all that the record of a given up worker's task lacks. ret_row: new. */
static int read_again(struct writer *writer, uint64_t id, struct record **ret_row)
{
    struct sqlite *sqlite = &writer->sqlite;
    struct record *row = NULL;
    unsigned flags = 0;

    int r = apply_row(writer, id, &row, &flags);
    if (r <= 0)
        return r < 0 ? r : -EBADMSG; // it was written a moment ago
    r = 0;
    if ((flags & FLAG_ARGS_LARGE) != 0) {
        sqlite_bind(sqlite, SQL_LARGE_ARGS, 1, (int64_t)id);
        r = sqlite_next(sqlite, SQL_LARGE_ARGS);
        if (r == 1) {
            r = sqlite_text(sqlite, SQL_LARGE_ARGS, 0, &row->args);
            sqlite_reset(sqlite, SQL_LARGE_ARGS);
        }
    }
    if (r < 0) {
        record_free(row);
        return r;
    }
    *ret_row = row;
    return 0;
}

/* Asks what follows. The record of an end may be looked at by others: what it lacks is put into a
 * copy. */
static int ask(struct writer *writer, const struct record *ended, struct record **ret_child)
{
    struct record whole = *ended; // its texts are borrowed
    struct record *row = NULL;
    int r = 0;

    if (ended->state == TASK_FAILED && (ended->args.bytes == NULL || ended->args_in_store)) {
        r = read_again(writer, ended->id, &row);
        if (r < 0)
            return r;
        whole.args = row->args;
        whole.args_in_store = false;
        if (whole.tags.bytes == NULL)
            whole.tags = row->tags;
    }
    r = writer->follow(writer->arg, &whole, ret_child);
    record_free(row);
    return r;
}

/* Stores one that is already known to have failed, since its args do not fit its kind. */
static int put_failed(struct writer *writer, struct record *child, int64_t now_ms)
{
    struct sqlite *sqlite = &writer->sqlite;

    child->state = TASK_QUEUED;
    int r = apply_put_record(writer, child, now_ms);
    if (r < 0)
        return r;
    child->state = TASK_FAILED;
    child->finished_at_ms = now_ms;
    sqlite_bind(sqlite, SQL_PUT_FAILED, 1, (int64_t)child->id);
    sqlite_bind(sqlite, SQL_PUT_FAILED, 2, now_ms);
    sqlite_bind_text(sqlite, SQL_PUT_FAILED, 3, child->error_code, strlen(child->error_code));
    sqlite_bind_text(sqlite, SQL_PUT_FAILED, 4, child->error_message.bytes,
                     child->error_message.length);
    r = sqlite_run(sqlite, SQL_PUT_FAILED);
    if (r == 0)
        apply_move(writer, child->queue, TASK_QUEUED, TASK_FAILED);
    return r;
}

/* Stores what follows one task. ret_child: borrowed from the group, or the caller's where op is
 * NULL; NULL: nothing follows. */
static int follow_one(struct writer *writer, struct store_op *op, const struct record *ended,
                      int64_t now_ms, struct record **ret_child)
{
    struct record *child = NULL;

    *ret_child = NULL;
    // Only of a store that was imported with the last of all ids: a higher one would be damage.
    if (writer->group.next_id > RECORD_ID_MAX) {
        log_event(LOG_LEVEL_ERR, "no_id_left", LOG_UINT("task", ended->id));
        return 0;
    }
    int r = ask(writer, ended, &child);
    if (r < 0 || child == NULL)
        return r;
    child->parent = ended->id;
    child->links = ended->links + 1;
    r = child->state == TASK_FAILED ? put_failed(writer, child, now_ms)
                                    : apply_put_record(writer, child, now_ms);
    if (r < 0) {
        record_free(child);
        child = NULL;
    } else if (op != NULL) {
        group_note(writer, child->state == TASK_FAILED ? STORE_EVENT_ENDED : STORE_EVENT_QUEUED, op,
                   child);
    }
    *ret_child = child;
    return r;
}

int apply_follow(struct writer *writer, struct store_op *op, const struct record *ended,
                 int64_t now_ms)
{
    struct record *child = NULL;
    struct record *grandchild = NULL;

    int r = follow_one(writer, op, ended, now_ms, &child);
    // A child that is stored as failed is followed too: by an on_failure, which nothing follows.
    if (r == 0 && child != NULL && child->state == TASK_FAILED)
        r = follow_one(writer, op, child, now_ms, &grandchild);
    if (op == NULL) {
        record_free(child);
        record_free(grandchild);
    }
    return r;
}
