/* The store of the engine for the tests of the API: its tasks and keys are in memory. */
#include "fake_own.h"

#include <stdlib.h>
#include <string.h>

struct fake_key *fake_find_key(struct engine *engine, const char *text)
{
    for (unsigned i = 0; i < engine->key_count; i++) {
        if (strcmp(engine->keys[i].text, text) == 0)
            return &engine->keys[i];
    }
    return NULL;
}

/* NULL: no memory, as tests make it happen. */
static struct record *copy_record(const struct record *from)
{
    struct record *to = malloc(sizeof(*to));
    if (to == NULL)
        return NULL;
    *to = *from;
    to->args = to->tags = to->result = to->error_message = to->exec = to->history =
        (struct text){NULL, 0};
    if (text_set(&to->args, from->args.bytes, from->args.length) < 0 ||
        text_set(&to->tags, from->tags.bytes, from->tags.length) < 0 ||
        text_set(&to->result, from->result.bytes, from->result.length) < 0 ||
        text_set(&to->error_message, from->error_message.bytes, from->error_message.length) < 0) {
        record_free(to);
        return NULL;
    }
    return to;
}

/* Whether the key lets the put through. */
static int look_at_key(struct engine *engine, struct store_op *op, struct fake_key **ret_key)
{
    const struct store_key *key = op->put.key;
    struct fake_key *known = fake_find_key(engine, key->text);

    *ret_key = known;
    if (known == NULL)
        return key->is_stream && key->lines_before != 0 ? -ESTALE : 0;
    op->put.key_state = known->state;
    if (known->state.is_stream != key->is_stream)
        return -EEXIST;
    if (key->is_stream) {
        if (known->state.count != key->lines_before)
            return -ESTALE;
        return memcmp(known->state.hash, key->hash_before, 32) == 0 ? 0 : -EEXIST;
    }
    if (memcmp(known->state.hash, key->hash, 32) != 0)
        return -EEXIST;
    op->put.replayed = true;
    return 0;
}

static void keep_key(struct engine *engine, struct store_op *op, struct fake_key *known)
{
    const struct store_key *key = op->put.key;

    if (known == NULL) {
        known = &engine->keys[engine->key_count++];
        (void)snprintf(known->text, sizeof(known->text), "%s", key->text);
        known->state = (struct store_key_state){
            .exists = true, .is_stream = key->is_stream, .first_id = op->put.ids_first};
    }
    memcpy(known->state.hash, key->hash, 32);
    known->state.count += op->put.count;
    known->state.last_id = op->put.ids_first + op->put.count - 1;
}

static int put(struct engine *engine, struct store_op *op)
{
    struct fake_key *known = NULL;

    if (op->put.key != NULL) {
        int r = look_at_key(engine, op, &known);
        if (r < 0 || op->put.replayed)
            return r;
    }
    op->put.ids_first = engine->last_id + 1;
    for (size_t i = 0; i < op->put.count; i++) {
        engine->tasks[op->put.ids_first + i] = copy_record(op->put.records[i]);
        if (engine->tasks[op->put.ids_first + i] != NULL)
            continue;
        while (i-- > 0)
            record_free(engine->tasks[op->put.ids_first + i]);
        return -ENOMEM;
    }
    for (size_t i = 0; i < op->put.count; i++) {
        struct record *record = op->put.records[i];
        record->id = ++engine->last_id;
        engine->tasks[record->id]->id = record->id;
        // As a queue does that takes the task into its window.
        if (record->state == TASK_QUEUED) {
            record_free(record);
            op->put.records[i] = NULL;
        }
    }
    if (op->put.key != NULL)
        keep_key(engine, op, known);
    engine->put_count++;
    if (op->put.count > engine->largest_put)
        engine->largest_put = (unsigned)op->put.count;
    return 0;
}

static int fake_missing(const struct engine *engine, uint64_t id)
{
    return id > engine->last_id ? -ENOENT : engine->removed[id] ? -ENODATA : 0;
}

int fake_change_one(struct engine *engine, struct store_op *op)
{
    int r = fake_missing(engine, op->one.id);
    if (r < 0)
        return r;
    struct record *record = engine->tasks[op->one.id];
    op->one.state = record->state;
    bool is_final = task_state_is_final(record->state);
    if (op->type == STORE_CANCEL) {
        if (is_final && record->state != TASK_CANCELLED)
            return -ESTALE;
        if (record->state != TASK_RUNNING)
            record->state = TASK_CANCELLED;
        record->cancel_requested_at_ms = op->now_ms;
        op->one.state = record->state;
        return 0;
    }
    if (op->type == STORE_RETRY) {
        if (record->state != TASK_FAILED && record->state != TASK_CANCELLED)
            return -ESTALE;
        record->state = TASK_QUEUED;
        record->attempt = 0;
        return 0;
    }
    if (!is_final)
        return -ESTALE;
    engine->removed[op->one.id] = true;
    return 0;
}

/* Of an edit priority and queue alone. */
static int edit_one(struct engine *engine, struct store_op *op)
{
    int r = fake_missing(engine, op->edit.id);
    if (r < 0)
        return r;
    struct record *record = engine->tasks[op->edit.id];
    op->edit.state = record->state;
    if (!task_state_is_waiting(record->state))
        return -ESTALE;
    if ((op->edit.fields & STORE_EDIT_PRIORITY) != 0)
        record->priority = op->edit.record->priority;
    if ((op->edit.fields & STORE_EDIT_QUEUE) != 0)
        memcpy(record->queue, op->edit.record->queue, sizeof(record->queue));
    return 0;
}

static void do_op(struct engine *engine, struct store_op *op)
{
    if (engine->refuse_op < 0)
        op->result = engine->refuse_op;
    else if (op->type == STORE_PUT)
        op->result = put(engine, op);
    else if (op->type == STORE_QUEUE_SET)
        engine->overrides[strcmp(op->queue_set.queue, "mail") == 0] = op->queue_set.settings;
    else if (op->type == STORE_EDIT)
        op->result = edit_one(engine, op);
    else
        op->result = fake_change_one(engine, op);
}

static bool is_one_of(const char *const *values, size_t count, const char *value)
{
    bool found = count == 0;
    for (size_t i = 0; i < count && !found; i++)
        found = strcmp(values[i], value) == 0;
    return found;
}

static bool has_tag(const struct store_list_filter *filter, const struct record *record)
{
    bool found = filter->tag_count == 0;
    for (size_t i = 0; i < filter->tag_count && !found; i++)
        found = record->tags.bytes != NULL && strstr(record->tags.bytes, filter->tags[i]) != NULL;
    return found;
}

bool fake_fits(const struct store_list_filter *filter, const struct record *record)
{
    return (filter->states == 0 || (filter->states & (1U << record->state)) != 0) &&
           is_one_of(filter->queues, filter->queue_count, record->queue) &&
           is_one_of(filter->kinds, filter->kind_count, record->kind) &&
           is_one_of(filter->error_codes, filter->error_code_count, record->error_code) &&
           has_tag(filter, record) &&
           (filter->created_after_ms == 0 || record->created_at_ms > filter->created_after_ms) &&
           (filter->created_before_ms == 0 || record->created_at_ms < filter->created_before_ms);
}

static void do_list(struct engine *engine, struct store_read *read)
{
    const struct store_list_filter *filter = &read->list.filter;
    uint64_t id = read->list.before == 0 ? engine->last_id : read->list.before - 1;

    read->list.rows = calloc(read->list.limit, sizeof(struct record *));
    if (read->list.rows == NULL) {
        read->result = -ENOMEM;
        return;
    }
    for (; id > 0 && read->list.count < read->list.limit; id--) {
        const struct record *record = engine->tasks[id];
        if (engine->removed[id] || !fake_fits(filter, record))
            continue;
        struct record *copy = copy_record(record);
        if (copy == NULL) {
            read->result = -ENOMEM; // the rows so far stay the reader's
            return;
        }
        read->list.rows[read->list.count++] = copy;
    }
    read->list.next_before = id > 0 ? id + 1 : 0;
}

static void do_read(struct engine *engine, struct store_read *read)
{
    if (read->type == STORE_GET) {
        read->result = fake_missing(engine, read->get.id);
        if (read->result == 0) {
            read->get.record = copy_record(engine->tasks[read->get.id]);
            read->result = read->get.record == NULL ? -ENOMEM : 0;
        }
    } else if (read->type == STORE_LIST) {
        do_list(engine, read);
    } else if (read->type == STORE_KEY) {
        const struct fake_key *known = fake_find_key(engine, read->key.text);
        if (known != NULL)
            read->key.state = known->state;
    } else {
        read->age.oldest_ms = rn_wall_ms() - 1000;
    }
}

int fake_store_thread(rn_context *ctx, void *arg)
{
    struct engine *engine = arg;

    (void)ctx;
    rn_mutex_lock(&engine->mu);
    while (!engine->stopped) {
        if (engine->job_count == 0 || engine->held) {
            (void)!rn_cond_wait(NULL, &engine->changed, &engine->mu, RN_NEVER);
            continue;
        }
        struct job job = engine->jobs[engine->first_job];
        engine->first_job = (engine->first_job + 1) % JOBS_MAX;
        engine->job_count--;
        if (job.op != NULL)
            do_op(engine, job.op);
        else
            do_read(engine, job.read);
        rn_mutex_unlock(&engine->mu);
        if (job.op != NULL)
            job.op->done_fn(job.op, job.op->arg);
        else
            job.read->done_fn(job.read, job.read->arg);
        rn_mutex_lock(&engine->mu);
        engine->read_count += job.read != NULL;
    }
    rn_mutex_unlock(&engine->mu);
    return 0;
}

int fake_add_job(struct engine *engine, struct job job)
{
    if (engine->job_count == JOBS_MAX)
        return -EAGAIN;
    engine->jobs[(engine->first_job + engine->job_count++) % JOBS_MAX] = job;
    rn_cond_broadcast(&engine->changed);
    return 0;
}
