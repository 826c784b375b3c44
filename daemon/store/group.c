/* The open transaction in memory. Its arrays stay for the next one. */
#include "store/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/apply.h"
#include "store/merge.h"

static int grow(void **array, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity)
        return 0;
    size_t more = *capacity == 0 ? 256 : *capacity;
    while (more < wanted)
        more *= 2;
    void *larger = realloc(*array, more * size);
    if (larger == NULL)
        return -ENOMEM;
    *array = larger;
    *capacity = more;
    return 0;
}

int group_reserve(struct writer *writer, size_t changes, size_t withdrawals)
{
    struct group *group = &writer->group;
    void *array = group->changes;
    int r =
        grow(&array, &group->change_capacity, group->change_count + changes, sizeof(struct change));
    group->changes = array;
    if (r < 0)
        return r;
    array = group->withdrawn;
    r = grow(&array, &group->withdrawn_capacity, group->withdrawn_count + withdrawals,
             sizeof(struct withdrawn));
    group->withdrawn = array;
    return r;
}

void group_note(struct writer *writer, enum store_event_type type, struct store_op *op,
                struct record *record)
{
    struct group *group = &writer->group;
    RN_ASSERT(group->change_count < group->change_capacity);
    group->changes[group->change_count++] =
        (struct change){.type = type, .op = op, .record = record};
}

int group_withdraw(struct writer *writer, struct record *record)
{
    struct group *group = &writer->group;
    struct store_event event = {.type = STORE_EVENT_WITHDRAW,
                                .record = record,
                                .queue = record->queue,
                                .key = {.priority = record->priority, .id = record->id}};
    const struct queue_row *row = queues_find(writer->queues, record->queue);
    RN_ASSERT(row != NULL);
    RN_ASSERT(group->withdrawn_count < group->withdrawn_capacity);
    int r = writer_tell(writer, &event);
    if (r == 0)
        group->withdrawn[group->withdrawn_count++] =
            (struct withdrawn){.queue = row->name, .key = event.key};
    return r;
}

bool group_made_queued(const struct writer *writer, uint64_t id)
{
    const struct group *group = &writer->group;
    if (id > atomic_load(&writer->last_id))
        return true; // by a put
    for (size_t i = 0; i < group->change_count; i++) {
        const struct change *change = &group->changes[i];
        if (change->type != STORE_EVENT_QUEUED || change->op->type == STORE_PUT)
            continue;
        const struct record *record =
            change->record != NULL ? change->record : change->op->finish.record;
        if (record->id == id)
            return true;
    }
    return false;
}

bool group_made_any_queued(const struct writer *writer)
{
    const struct group *group = &writer->group;
    for (size_t i = 0; i < group->change_count; i++) {
        const struct change *change = &group->changes[i];
        if (change->type == STORE_EVENT_QUEUED && change->op->type != STORE_PUT)
            return true;
    }
    return false;
}

/* Empties it; the records of its changes are gone or were given away. */
static void start_over(struct writer *writer)
{
    struct group *group = &writer->group;
    group->change_count = 0;
    group->withdrawn_count = 0;
    group->deleted = false;
    group->held = false;
    group->next_id = atomic_load(&writer->last_id) + 1;
}

int group_begin(struct writer *writer)
{
    start_over(writer);
    return sqlite_run(&writer->sqlite, SQL_BEGIN);
}

static void count_commit(struct writer *writer, rn_duration length)
{
    struct commit_stats *stats = &writer->stats;
    rn_duration us = length / RN_MICROSECOND;
    metrics_observe(&stats->times, length);
    rn_mutex_lock(&stats->mu);
    stats->lengths_us[stats->commits % COMMITS_KEPT] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    stats->commits++;
    rn_mutex_unlock(&stats->mu);
}

int group_commit(struct writer *writer)
{
    struct sqlite *sqlite = &writer->sqlite;

    int r = queues_write(writer->queues, sqlite);
    if (r == 0 && writer->group.deleted) {
        // The one way in which the highest id can leave the table: from now on meta remembers it.
        sqlite_bind(sqlite, SQL_LAST_ID, 1, (int64_t)(writer->group.next_id - 1));
        r = sqlite_run(sqlite, SQL_LAST_ID);
    }
    if (r < 0)
        return r;
    rn_time begin = rn_now();
    r = sqlite_run(sqlite, SQL_COMMIT);
    rn_time end = rn_now();
    if (r < 0)
        return r;
    count_commit(writer, end - begin);
    writer->disk.written_at = end;
    writer->disk.has_free_pages = writer->disk.has_free_pages || writer->group.deleted;
    return 0;
}

void group_rollback(struct writer *writer)
{
    struct group *group = &writer->group;

    // SQLite has rolled back by itself after some errors; in any case no transaction is open
    // afterwards.
    if (sqlite3_get_autocommit(writer->sqlite.db) == 0)
        writer_judge(writer, sqlite_run(&writer->sqlite, SQL_ROLLBACK), "rollback");
    queues_rollback(writer->queues);
    for (size_t i = 0; i < group->change_count; i++)
        record_free(group->changes[i].record);
    for (size_t i = group->withdrawn_count; i > 0; i--) {
        const struct withdrawn *withdrawn = &group->withdrawn[i - 1];
        struct store_event event = {
            .type = STORE_EVENT_RESTORE, .queue = withdrawn->queue, .key = withdrawn->key};
        (void)writer_tell(writer, &event);
    }
    start_over(writer);
}

static void tell(struct writer *writer, enum store_event_type type, struct record **record,
                 bool was_running)
{
    struct store_event event = {
        .type = type,
        .record = *record,
        .queue = (*record)->queue,
        .key = {.priority = (*record)->priority, .id = (*record)->id},
        .was_running = was_running,
    };
    (void)writer_tell(writer, &event);
    *record = event.record; // NULL: taken
}

static void tell_put(struct writer *writer, struct store_op *op)
{
    for (size_t i = 0; i < op->put.count; i++) {
        struct record **record = &op->put.records[i];
        // First what only looks at it: the other may take it.
        if ((*record)->state == TASK_SCHEDULED || (*record)->expires_at_ms != 0)
            tell(writer, STORE_EVENT_WAITING, record, false);
        if (*record != NULL && (*record)->state == TASK_QUEUED)
            tell(writer, STORE_EVENT_QUEUED, record, false);
    }
}

/* A cancel was recorded while the end was on its way: the record says what its row says. */
static void overrule(struct record *record)
{
    (void)snprintf(record->error_code, sizeof(record->error_code), "cancelled");
    record->error_retryable = false;
    if (text_set(&record->error_message, store_cancelled_running, strlen(store_cancelled_running)) <
        0)
        text_fini(&record->error_message); // without memory: none rather than another's
}

static void tell_change(struct writer *writer, struct change *change)
{
    struct store_op *op = change->op;
    if (change->record != NULL) { // one of its own: by hand, by time, or a follow-up
        tell(writer, change->type, &change->record, false);
        record_free(change->record);
        return;
    }
    switch (op->type) {
    case STORE_PUT:
        tell_put(writer, op);
        break;
    case STORE_FINISH:
        if (op->finish.record->state != TASK_SUCCEEDED && change->type != STORE_EVENT_REFUSED)
            text_fini(&op->finish.record->result); // a cancel came first: not stored either
        if (change->type == STORE_EVENT_ENDED && op->finish.record->state != op->finish.to)
            overrule(op->finish.record);
        tell(writer, change->type, &op->finish.record, true);
        break;
    case STORE_QUEUE_SET: {
        struct queue_row *row = queues_find(writer->queues, op->queue_set.queue);
        struct store_event event = {.type = STORE_EVENT_QUEUE_SET,
                                    .queue = op->queue_set.queue,
                                    .settings = &op->queue_set.settings};
        RN_ASSERT(row != NULL);
        queues_set(writer->queues, row, &op->queue_set.settings);
        (void)writer_tell(writer, &event);
        break;
    }
    case STORE_IMPORT:
        merge_tell(writer, op);
        break;
    default: // no other is noted without a record
        RN_ASSERT(false);
    }
}

void group_publish(struct writer *writer)
{
    struct group *group = &writer->group;

    queues_commit(writer->queues);
    atomic_store(&writer->last_id, group->next_id - 1);
    for (size_t i = 0; i < group->change_count; i++)
        tell_change(writer, &group->changes[i]);
    if (group->change_count > 0) {
        struct store_event event = {.type = STORE_EVENT_GROUP_END};
        (void)writer_tell(writer, &event);
    }
    start_over(writer);
}
