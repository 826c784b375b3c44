/*
 * Recovery. A task ran when its daemon died if its row says `running` (its start was written), or
 * if a slot names it with the run that follows the stored one. The run is stored with the count, so
 * the same slot counts once however often recovery itself dies.
 */
#include "store/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/apply.h"
#include "store/part.h"

struct recovery {
    struct writer *writer;
    struct store_op *op; // of an import: the engine is told; NULL: nothing runs yet
    store_policy_fn *policy;
    void *policy_arg;
    int64_t now_ms;
    struct store_recovery counts;
};

static const char interrupted_message[] = "the daemon ended while the task ran";
static const char poison_message[] = "the daemon ended too often while the task ran";

/* What becomes of a task that has been interrupted once more. */
static enum task_state outcome(struct recovery *recovery, const struct record *record,
                               const char **code, const char **message)
{
    struct store_interruption_policy policy = {0};

    *code = NULL;
    *message = NULL;
    if (record->cancel_requested_at_ms != 0) {
        recovery->counts.cancelled++;
        *code = "cancelled";
        *message = store_cancelled_running;
        return TASK_CANCELLED;
    }
    bool is_known = recovery->policy(recovery->policy_arg, record->kind, &policy);
    if (is_known && record->interruptions > policy.max_interruptions) {
        recovery->counts.poisoned++;
        *code = "poison";
        *message = poison_message;
        return TASK_FAILED;
    }
    if (is_known && !policy.retry) {
        recovery->counts.failed++;
        *code = "interrupted";
        *message = interrupted_message;
        return TASK_FAILED;
    }
    recovery->counts.requeued++; // of a kind that is gone too: it is held when it is met
    return TASK_QUEUED;
}

/* What follows a task that has failed by its interruption. */
static int follow(struct recovery *recovery, struct record *record, uint64_t run, const char *code,
                  const char *message)
{
    if (recovery->writer->follow == NULL)
        return 0;
    record->state = TASK_FAILED;
    record->run = run;
    record->finished_at_ms = recovery->now_ms;
    record->error_retryable = false;
    (void)snprintf(record->error_code, sizeof(record->error_code), "%s", code);
    int r = text_set(&record->error_message, message, strlen(message));
    return r < 0 ? r : apply_follow(recovery->writer, recovery->op, record, recovery->now_ms);
}

/* Takes *record where the engine is told that it is queued. */
static int interrupt(struct recovery *recovery, struct record **taken, uint64_t run)
{
    struct sqlite *sqlite = &recovery->writer->sqlite;
    struct record *record = *taken;
    enum task_state from = record->state;
    const char *code = NULL;
    const char *message = NULL;

    record->interruptions++;
    if (from == TASK_RUNNING && record->attempt > 0)
        record
            ->attempt--; // an interruption takes no attempt; without a written start none was taken
    enum task_state to = outcome(recovery, record, &code, &message);
    bool is_end = task_state_is_final(to);

    sqlite_bind(sqlite, SQL_INTERRUPT, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_INTERRUPT, 2, to);
    sqlite_bind(sqlite, SQL_INTERRUPT, 3, (int64_t)run);
    sqlite_bind(sqlite, SQL_INTERRUPT, 4, record->attempt);
    sqlite_bind(sqlite, SQL_INTERRUPT, 5, record->interruptions);
    sqlite_bind_optional(sqlite, SQL_INTERRUPT, 6,
                         is_end ? recovery->now_ms : record->finished_at_ms);
    sqlite_bind_optional(sqlite, SQL_INTERRUPT, 7, is_end ? 0 : recovery->now_ms);
    sqlite_bind_text(sqlite, SQL_INTERRUPT, 8, code, code == NULL ? 0 : strlen(code));
    sqlite_bind_text(sqlite, SQL_INTERRUPT, 9, message, message == NULL ? 0 : strlen(message));
    int r = sqlite_run(sqlite, SQL_INTERRUPT);
    if (r < 0)
        return r;
    apply_move(recovery->writer, record->queue, from, to);
    recovery->counts.interrupted++;
    if (to == TASK_QUEUED && recovery->op != NULL) {
        record->state = TASK_QUEUED;
        record->queued_at_ms = recovery->now_ms;
        group_note(recovery->writer, STORE_EVENT_QUEUED, recovery->op, RN_TAKE(*taken));
    }
    return to == TASK_FAILED ? follow(recovery, record, run, code, message) : 0;
}

/* slot_run 0: by its row alone. 1: it was interrupted; 0: it did not run. */
static int look_at(struct recovery *recovery, uint64_t id, uint64_t slot_run)
{
    struct record *record = NULL;

    int r = apply_row(recovery->writer, id, &record, NULL);
    if (r <= 0)
        return r; // removed, or the slot of a task that was never stored
    bool ran = slot_run == 0 ? record->state == TASK_RUNNING
                             : record->state == TASK_QUEUED && slot_run == record->run + 1;
    r = ran ? interrupt(recovery, &record, slot_run == 0 ? record->run : slot_run) : 0;
    record_free(record);
    return r < 0 ? r : ran;
}

/* The rows that say `running`. One at a time, since each leaves the index that it is found by. */
static int interrupt_rows(struct recovery *recovery)
{
    struct sqlite *sqlite = &recovery->writer->sqlite;

    for (;;) {
        int r = sqlite_next(sqlite, SQL_RUNNING);
        if (r <= 0)
            return r;
        uint64_t id = (uint64_t)sqlite_int(sqlite, SQL_RUNNING, 0);
        sqlite_reset(sqlite, SQL_RUNNING);
        r = look_at(recovery, id, 0);
        if (r == 0)
            return -EBADMSG; // the index has what the table does not: it would be found for ever
        if (r < 0)
            return r;
    }
}

int recover_imported(struct writer *writer, struct store_op *op, uint64_t base)
{
    const struct store_part *part = op->import.part;
    struct recovery recovery = {.writer = writer,
                                .op = op,
                                .policy = op->import.policy,
                                .policy_arg = op->import.policy_arg,
                                .now_ms = op->now_ms};

    for (size_t i = 0; i < part->running_count; i++) {
        int r = look_at(&recovery, base + part->running[i], 0);
        if (r <= 0)
            return r < 0 ? r : -EPROTO; // it was stored a moment ago
    }
    return 0;
}

static int release_kind(struct recovery *recovery, const char *kind)
{
    struct sqlite *sqlite = &recovery->writer->sqlite;
    struct queues *queues = recovery->writer->queues;
    int r = 0;

    sqlite_bind_text(sqlite, SQL_HELD_COUNTS, 1, kind, strlen(kind));
    while ((r = sqlite_next(sqlite, SQL_HELD_COUNTS)) == 1) {
        int64_t number = sqlite_int(sqlite, SQL_HELD_COUNTS, 0);
        int64_t count = sqlite_int(sqlite, SQL_HELD_COUNTS, 1);
        if (number < 1 || (uint64_t)number > queues->numbered) {
            sqlite_reset(sqlite, SQL_HELD_COUNTS);
            return -EBADMSG;
        }
        queues_move(queues, queues->by_number[number - 1], TASK_HELD, TASK_QUEUED, count);
        recovery->counts.released += (uint64_t)count;
    }
    if (r < 0)
        return r;
    sqlite_bind_text(sqlite, SQL_RELEASE, 1, kind, strlen(kind));
    sqlite_bind(sqlite, SQL_RELEASE, 2, recovery->now_ms);
    return sqlite_run(sqlite, SQL_RELEASE);
}

static int release(struct recovery *recovery)
{
    struct store_interruption_policy policy = {0};
    struct text kind = {0};

    int r = text_set(&kind, "", 0);
    while (r == 0) {
        r = apply_held_kind(&recovery->writer->sqlite, &kind);
        if (r <= 0)
            break;
        r = 0;
        if (recovery->policy(recovery->policy_arg, kind.bytes, &policy))
            r = release_kind(recovery, kind.bytes);
    }
    text_fini(&kind);
    return r;
}

int recover(struct writer *writer, const struct slots *slots, store_policy_fn *policy, void *arg,
            struct store_recovery *ret_recovery, struct error *reterr)
{
    struct recovery recovery = {
        .writer = writer, .policy = policy, .policy_arg = arg, .now_ms = rn_wall_ms()};
    size_t count = 0;
    const struct slot_left *left = slots_left(slots, &count);

    int r = group_begin(writer);
    if (r == 0)
        r = interrupt_rows(&recovery);
    for (size_t i = 0; i < count && r >= 0; i++)
        if (left[i].run > 0)
            r = look_at(&recovery, left[i].task, left[i].run);
    if (r >= 0)
        r = release(&recovery);
    if (r == 0)
        r = group_commit(writer);
    if (r < 0) {
        (void)error_set(reterr, r, "cannot record what was interrupted: %s",
                        sqlite_message(&writer->sqlite));
        group_rollback(writer);
        return r;
    }
    group_publish(writer);
    *ret_recovery = recovery.counts;
    return 0;
}
