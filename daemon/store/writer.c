/*
 * The writer's thread. An operation is in exactly one place: the inbox, the group that runs, the
 * deferred list, or given back by its done_fn. When a group fails it is rolled back as a whole and
 * each of its operations tried once alone, so that one which can't be done takes no other with it.
 */
#include "store/writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/log.h"
#include "store/apply.h"
#include "store/backup.h"
#include "store/disk.h"
#include "store/merge.h"

enum { EXIT_DATA = 65, EXIT_IO = 74, NO_MEMORY_RETRY_MS = 100 };

/* From storage that syncs at once to one that stalls. */
static const struct metrics_bounds commit_bounds = {
    .count = 12,
    .upper = {RN_MILLISECOND / 10, RN_MILLISECOND / 4, RN_MILLISECOND / 2, RN_MILLISECOND,
              5 * RN_MILLISECOND / 2, 5 * RN_MILLISECOND, 10 * RN_MILLISECOND, 25 * RN_MILLISECOND,
              50 * RN_MILLISECOND, 100 * RN_MILLISECOND, 500 * RN_MILLISECOND, 2 * RN_SECOND}};

void writer_init(struct writer *writer, struct queues *queues, const struct store_options *options)
{
    memset(writer, 0, sizeof(*writer));
    writer->queues = queues;
    writer->follow = options->follow;
    writer->arg = options->arg;
    atomic_init(&writer->max_backlog, options->max_backlog);
    writer->disk.ballast.fd = -1;
    writer->disk.try_again_at = RN_NEVER;
    writer->disk.looked_at = -RN_HOUR; // long ago
    inbox_init(&writer->inbox);
    rn_mutex_init(&writer->stats.mu, 35);
    metrics_histogram_init(&writer->stats.times, &commit_bounds);
}

void writer_fini(struct writer *writer)
{
    sqlite_close(&writer->sqlite);
    ballast_close(&writer->disk.ballast);
    free(writer->group.changes);
    free(writer->group.withdrawn);
    inbox_fini(&writer->inbox);
    rn_mutex_fini(&writer->stats.mu);
}

int writer_tell(struct writer *writer, struct store_event *event)
{
    return writer->events == NULL ? 0 : writer->events(writer->arg, event);
}

void writer_judge(struct writer *writer, int r, const char *what)
{
    if (r != -EIO && r != -EBADMSG)
        return;
    int code = r == -EIO ? EXIT_IO : EXIT_DATA;
    log_event(LOG_LEVEL_ERR, r == -EIO ? "store_io_error" : "store_damaged",
              LOG_TEXT("during", what), LOG_TEXT("error", sqlite_message(&writer->sqlite)),
              LOG_INT("system_errno", writer->sqlite.system_errno), LOG_INT("exit", code));
    // Nothing is closed, nothing answered: whether the last commit is on the disk only the next
    // start can tell.
    _exit(code);
}

/* Whether the operation can be done with the disk as it is: else it has its result, or waits. */
static bool passes(struct writer *writer, struct store_op *op)
{
    const struct disk *disk = &writer->disk;
    bool brings = op->type == STORE_PUT || (op->type == STORE_IMPORT && !op->import.is_dry);

    if (brings && !op->own.is_settled) {
        bool is_stuck = disk->log_is_stuck;
        if (disk->is_full || is_stuck || !disk_has_room(writer, op->own.bytes)) {
            op->result = is_stuck && !disk->is_full ? -EAGAIN : -ENOSPC;
            op->own.is_settled = true;
            return true;
        }
    }
    bool waits = op->type == STORE_START || op->type == STORE_PROMOTE || op->type == STORE_HOLD ||
                 op->type == STORE_QUEUE_SET || op->type == STORE_RELEASE;
    return !(waits && disk->is_full && !writer->is_stopping);
}

static bool needs_transaction(const struct store_op *op)
{
    return op->type != STORE_CLAIM && op->type != STORE_BACKUP && op->type != STORE_IMPORT &&
           !op->own.is_settled;
}

/*
 * Applies operations from *next on, into `done`. They end in done, or on the deferred list;
 * APPLY_LATER: *next and those behind it are left. The transaction is opened with the first that
 * needs it.
 */
static int apply_list(struct writer *writer, struct op_list *next, struct op_list *done,
                      bool *is_open)
{
    int r = 0;

    while (next->first != NULL) {
        struct store_op *op = next->first;
        if (op->type == STORE_IMPORT && done->first != NULL)
            return APPLY_LATER; // who came before it does not wait for it
        if (!passes(writer, op)) {
            op_list_add(&writer->deferred, op_list_pop(next));
            continue;
        }
        if (needs_transaction(op)) {
            if (!*is_open) {
                r = group_begin(writer);
                *is_open = r == 0;
            }
            if (r == 0) {
                op->result = 0;
                r = apply(writer, op);
            }
            if (r != 0)
                return r;
        }
        op_list_add(done, op_list_pop(next));
    }
    return 0;
}

/*
 * One transaction: the list, and with `gathers` what comes in meanwhile, up to a group's size.
 * After an error all of them are in `list` again, in order, and nothing is written.
 */
static int write_group(struct writer *writer, struct op_list *list, struct op_room room,
                       bool gathers)
{
    struct op_list done = {0};
    bool is_open = false;

    writer->disk.put_bytes = 0;
    int r = apply_list(writer, list, &done, &is_open);
    while (r == 0 && gathers && room.rows > 0) {
        (void)inbox_take(&writer->inbox, 0, list, &room);
        if (list->first == NULL)
            break;
        r = apply_list(writer, list, &done, &is_open);
    }
    if (r == APPLY_LATER) {
        inbox_put_back(&writer->inbox, list);
        r = 0;
    }
    if (r == 0 && is_open)
        r = group_commit(writer);
    if (r < 0) {
        writer_judge(writer, r, "commit");
        if (is_open)
            group_rollback(writer);
        if (r == -ENOSPC)
            disk_full(writer);
    } else if (writer->is_failing && is_open) {
        writer->is_failing = false;
        log_event(LOG_LEVEL_NOTICE, "store_failing_end",
                  LOG_TEXT("effect", "operations are stored again"));
    }
    op_list_append(&done, list);
    *list = done;
    return r;
}

/* What was committed takes effect, and is answered. */
static void publish(struct writer *writer, struct op_list *list)
{
    group_publish(writer);
    if (list->first != NULL && list->first->type == STORE_IMPORT && !list->first->own.is_settled)
        merge(writer, list->first);
    // Behind the events: what a claim reads here is no older than what the engine knows.
    for (struct store_op *op = list->first; op != NULL; op = op->own.next)
        if (op->type == STORE_CLAIM)
            writer_judge(writer, apply_claim(writer, op), "claim");
    uint64_t operations = 0;
    uint64_t rows = 0;
    for (struct store_op *op = op_list_pop(list); op != NULL; op = op_list_pop(list)) {
        operations++;
        rows += op->own.rows;
        if (op->type == STORE_BACKUP && !op->own.is_settled && backup_begin(writer, op))
            continue;
        if (op->done_fn != NULL)
            op->done_fn(op, op->arg);
    }
    rn_mutex_lock(&writer->stats.mu);
    writer->stats.operations += operations;
    writer->stats.rows += rows;
    rn_mutex_unlock(&writer->stats.mu);
}

/* An operation that failed alone: it waits where it may not be refused, else it has its result.
 * Returns whether it is answered. */
static bool refuse(struct writer *writer, struct store_op *op, int r)
{
    bool is_own = op->type == STORE_FINISH || op->type == STORE_START || op->type == STORE_HOLD ||
                  op->type == STORE_PROMOTE || op->type == STORE_RELEASE ||
                  (op->type == STORE_QUEUE_SET && r == -ENOSPC);

    if (r != -ENOSPC && !writer->is_failing) {
        writer->is_failing = true;
        log_event(LOG_LEVEL_ERR, "store_failing_begin", LOG_TEXT("error", rn_strerror(r)),
                  LOG_TEXT("store", sqlite3_errmsg(writer->sqlite.db)));
    }
    if (is_own && !writer->is_stopping) {
        rn_time at = rn_after(NO_MEMORY_RETRY_MS * RN_MILLISECOND);
        if (!writer->disk.is_full && at < writer->disk.try_again_at)
            writer->disk.try_again_at = at;
        op_list_add(&writer->deferred, op);
        return false;
    }
    op->result = r;
    op->own.is_settled = true;
    return true;
}

static void run_alone(struct writer *writer, struct store_op *op)
{
    struct op_list list = {0};
    struct op_room none = {0};

    op_list_add(&list, op);
    int r = write_group(writer, &list, none, false);
    if (r < 0) {
        op = op_list_pop(&list);
        if (!refuse(writer, op, r))
            return;
        op_list_add(&list, op);
    }
    publish(writer, &list);
}

static void run_group(struct writer *writer, struct op_list *list, struct op_room room)
{
    struct op_list answered = {0};

    int r = write_group(writer, list, room, true);
    if (r == 0) {
        publish(writer, list);
        return;
    }
    for (struct store_op *op = op_list_pop(list); op != NULL; op = op_list_pop(list)) {
        if (r != -EAGAIN)
            run_alone(writer, op);
        else if (refuse(writer, op,
                        r)) // another process has the file: each alone would wait as long
            op_list_add(&answered, op);
    }
    publish(writer, &answered);
}

int writer_run(rn_context *ctx, void *arg)
{
    struct writer *writer = arg;
    (void)ctx; // closing the inbox ends it, when all is written

    for (;;) {
        struct op_list list = {0};
        struct op_room room = {.rows = GROUP_ROWS_MAX, .bytes = GROUP_BYTES_MAX};
        // A backup that is under way does not let it sleep.
        rn_time deadline = backup_is_under_way(writer) ? 0 : disk_deadline(writer);
        if (!inbox_take(&writer->inbox, deadline, &list, &room))
            break;
        bool is_idle = list.first == NULL;
        if (!is_idle)
            run_group(writer, &list, room);
        disk_tend(writer, is_idle);
        backup_go_on(writer);
    }
    backup_end(writer, -EPIPE);

    // What still waits is tried once more, and answered.
    writer->is_stopping = true;
    struct op_list list = writer->deferred;
    writer->deferred = (struct op_list){0};
    for (struct store_op *op = op_list_pop(&list); op != NULL; op = op_list_pop(&list))
        run_alone(writer, op);
    return 0;
}
