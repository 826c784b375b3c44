/* What answers show of tasks: the stored rows with what runs laid over them, lists by the state
 * that results, and why a task waits.
 *
 * On disk a running task says `queued` (its start is not written), so lists of `queued` leave out
 * what runs, and what runs is taken from the queues' own lists; a final state in the store wins. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "engine/core.h"

/* ---- overlay ---- */

static void fill_in(const struct config_kind *kind, struct record *record)
{
    if (record->timeout_ms == 0)
        record->timeout_ms = kind->timeout / RN_MILLISECOND;
    if (record->max_attempts == 0)
        record->max_attempts = kind->max_attempts;
    if (record->backoff_base_ms == 0)
        record->backoff_base_ms = kind->backoff_base / RN_MILLISECOND;
    if (record->backoff_max_ms == 0)
        record->backoff_max_ms = kind->backoff_max / RN_MILLISECOND;
}

static void fill_in_settings(struct engine *engine, struct record *record)
{
    const struct config *config = engine_config_ref(engine);
    const struct config_kind *kind = config_kind_find(config, record->kind);
    if (kind != NULL)
        fill_in(kind, record);
    config_unref(config);
}

static bool kind_is_configured(struct engine *engine, const char *name)
{
    const struct config *config = engine_config_ref(engine);
    bool is_configured = config_kind_find(config, name) != NULL;
    config_unref(config);
    return is_configured;
}

static void show_running(struct record *record, const struct running *running)
{
    record->state = TASK_RUNNING;
    record->started_at_ms = running->started_at_ms;
    record->finished_at_ms = 0;
    record->worker = running->worker;
    record->attempt = running->attempt;
    record->run = running->run;
    record->error_code[0] = '\0'; // of the attempt before; it is in the history
    text_fini(&record->error_message);
    text_fini(&record->exec);
}

void engine_overlay(struct engine *engine, struct record *record)
{
    fill_in_settings(engine, record);
    if (task_state_is_final(record->state))
        return;
    struct queue *queue = engine_find_queue(engine, record->queue, false);
    if (queue == NULL)
        return;
    rn_mutex_lock(&queue->mu);
    const struct task *task = window_find(&queue->window, record->id);
    if (task != NULL && task->running.shown)
        show_running(record, &task->running);
    rn_mutex_unlock(&queue->mu);
}

/* ---- lists ---- */

static bool name_is_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return count == 0;
}

static bool tags_match(const struct text *tags, const struct store_list_filter *filter)
{
    bool match = filter->tag_count == 0;
    if (match || tags->bytes == NULL)
        return match;
    json_t *array = json_loadb(tags->bytes, tags->length, 0, NULL);
    json_t *tag = NULL;
    size_t i = 0;
    json_array_foreach (array, i, tag) {
        const char *text = json_string_value(tag); // NULL: it is another value
        if (text != NULL && name_is_in(text, filter->tags, filter->tag_count))
            match = true;
    }
    json_decref(array);
    return match;
}

/* Whether the filter lets through only what has an error or has finished: nothing that runs. */
static bool asks_for_an_end(const struct store_list_filter *filter)
{
    return filter->error_code_count > 0 || filter->finished_after_ms != 0 ||
           filter->finished_before_ms != 0;
}

/* Of a task that runs. */
static bool record_matches(const struct record *record, const struct store_list_filter *filter)
{
    if (asks_for_an_end(filter))
        return false;
    if (filter->created_after_ms > 0 && record->created_at_ms <= filter->created_after_ms)
        return false;
    if (filter->created_before_ms > 0 && record->created_at_ms >= filter->created_before_ms)
        return false;
    return name_is_in(record->queue, filter->queues, filter->queue_count) &&
           name_is_in(record->kind, filter->kinds, filter->kind_count) &&
           tags_match(&record->tags, filter);
}

/* A copy of a running task's record, without what its worker or the store may write meanwhile. */
static int copy_running(const struct task *task, bool with_bodies, struct record **ret_record)
{
    const struct record *from = &task->record;
    struct record *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    record_init(copy);
    copy->id = from->id;
    copy->priority = from->priority;
    memcpy(copy->queue, from->queue, sizeof(copy->queue));
    memcpy(copy->kind, from->kind, sizeof(copy->kind));
    copy->timeout_ms = from->timeout_ms;
    copy->max_attempts = from->max_attempts;
    copy->backoff_base_ms = from->backoff_base_ms;
    copy->backoff_max_ms = from->backoff_max_ms;
    copy->expires_at_ms = from->expires_at_ms;
    copy->created_at_ms = from->created_at_ms;
    copy->queued_at_ms = from->queued_at_ms;
    copy->interruptions = from->interruptions;
    memcpy(copy->traceparent, from->traceparent, sizeof(copy->traceparent));

    int r = text_set(&copy->tags, from->tags.bytes, from->tags.length);
    if (r == 0)
        r = text_set(&copy->history, from->history.bytes, from->history.length);
    if (r == 0 && with_bodies)
        r = text_set(&copy->args, from->args.bytes, from->args.length);
    if (r < 0) {
        record_free(copy);
        return r;
    }
    show_running(copy, &task->running);
    *ret_record = copy;
    return 0;
}

struct gathering {
    const struct store_read *read;
    struct record **rows; // room for CONFIG_WORKERS_MAX and what ends meanwhile
    size_t count, room;
    int result;
};

static void gather_running(struct queue *queue, void *arg)
{
    struct gathering *gathering = arg;
    const struct store_read *read = gathering->read;
    const struct task *task = NULL;

    rn_mutex_lock(&queue->mu);
    DL_FOREACH (queue->running, task) {
        bool is_wanted = (read->list.before == 0 || task->record.id < read->list.before) &&
                         record_matches(&task->record, &read->list.filter);
        if (!is_wanted || gathering->result < 0)
            continue;
        if (gathering->count == gathering->room) {
            gathering->result = -EAGAIN;
            continue;
        }
        gathering->result =
            copy_running(task, read->list.with_bodies, &gathering->rows[gathering->count]);
        if (gathering->result == 0)
            gathering->count++;
    }
    rn_mutex_unlock(&queue->mu);
}

static int newest_first(const void *a, const void *b)
{
    const struct record *const *left = a;
    const struct record *const *right = b;
    return ((*left)->id < (*right)->id) - ((*left)->id > (*right)->id);
}

/* Frees what is not wanted of rows, keeps the order. */
static size_t keep_states(struct engine *engine, struct store_read *read, unsigned states)
{
    struct record **rows = read->list.rows;
    bool without_running = asks_for_an_end(&read->list.filter);
    size_t kept = 0;
    for (size_t i = 0; i < read->list.count; i++) {
        engine_overlay(engine, rows[i]);
        bool is_wanted = states == 0 || (states & (1u << rows[i]->state)) != 0;
        if (is_wanted && !(without_running && rows[i]->state == TASK_RUNNING))
            rows[kept++] = rows[i];
        else
            record_free(rows[i]);
    }
    return kept;
}

/* Lays running tasks among the page's rows, newest first, without those that lie beyond the page.
 */
static int merge_running(struct engine *engine, struct store_read *read)
{
    enum { ROOM = 2 * CONFIG_WORKERS_MAX };
    struct gathering gathering = {.read = read, .room = ROOM};
    size_t stored = read->list.count;

    gathering.rows = calloc(ROOM + stored, sizeof(struct record *));
    if (gathering.rows == NULL)
        return -ENOMEM;
    engine_each_queue(engine, gather_running, &gathering);
    if (gathering.result < 0) {
        records_free(gathering.rows, gathering.count);
        return gathering.result;
    }

    size_t count = 0; // running ones of this page, then the stored ones that are not among them
    for (size_t i = 0; i < gathering.count; i++) {
        struct record *row = gathering.rows[i];
        fill_in_settings(engine, row);
        if (row->id >= read->list.next_before)
            gathering.rows[count++] = row;
        else
            record_free(row);
    }
    size_t running = count;
    for (size_t i = 0; i < stored; i++) {
        struct record *row = read->list.rows[i];
        bool is_double = false; // ended between the two looks, or overlaid already
        for (size_t j = 0; j < running; j++)
            is_double = is_double || gathering.rows[j]->id == row->id;
        if (is_double)
            record_free(row);
        else
            gathering.rows[count++] = row;
    }
    qsort(gathering.rows, count, sizeof(struct record *), newest_first);
    if (count > read->list.limit) {
        for (size_t i = read->list.limit; i < count; i++)
            record_free(gathering.rows[i]);
        count = read->list.limit;
        read->list.next_before = gathering.rows[count - 1]->id;
    }
    free(read->list.rows);
    read->list.rows = gathering.rows;
    read->list.count = count;
    return 0;
}

/* ---- reads ---- */

struct view {
    struct engine *engine;
    store_read_done_fn *done_fn; // the caller's
    void *arg;
    unsigned states; // asked for
};

static void finish_read(struct view *view, struct store_read *read)
{
    if (read->result == 0 && read->type == STORE_GET)
        engine_overlay(view->engine, read->get.record);
    if (read->result == 0 && read->type == STORE_LIST) {
        read->list.count = keep_states(view->engine, read, view->states);
        if ((view->states & (1u << TASK_RUNNING)) != 0)
            read->result = merge_running(view->engine, read);
        if (read->result < 0) {
            records_free(read->list.rows, read->list.count);
            read->list.rows = NULL;
            read->list.count = 0;
        }
    }
    read->done_fn = view->done_fn;
    read->arg = view->arg;
    free(view);
    read->done_fn(read, read->arg);
}

static void read_done(struct store_read *read, void *arg)
{
    finish_read(arg, read);
}

typedef int submit_read_fn(struct store *store, struct store_read *read);

static int start_read(struct engine *engine, struct store_read *read, submit_read_fn *submit)
{
    const unsigned running = 1u << TASK_RUNNING;

    if (read->type != STORE_GET && read->type != STORE_LIST)
        return submit(engine->store, read);
    struct view *view = malloc(sizeof(*view));
    if (view == NULL)
        return -ENOMEM;
    *view = (struct view){.engine = engine, .done_fn = read->done_fn, .arg = read->arg};
    if (read->type == STORE_LIST) {
        view->states = read->list.filter.states;
        read->list.filter.states &= ~running;
        if (view->states == running) { // all of it is in memory
            read->result = 0;
            read->list.next_before = 0;
            finish_read(view, read);
            return 0;
        }
    }
    read->done_fn = read_done;
    read->arg = view;
    int r = submit(engine->store, read);
    if (r < 0) {
        read->done_fn = view->done_fn;
        read->arg = view->arg;
        free(view);
    }
    return r;
}

int engine_read(struct engine *engine, struct store_read *read)
{
    return start_read(engine, read, store_read);
}

int view_read(struct engine *engine, struct store_read *read)
{
    return start_read(engine, read, store_read_internal);
}

/* ---- why a task waits ---- */

static void say(struct engine_waiting_for *waiting, const char *code, int64_t next_start_at_ms,
                const char *detail)
{
    waiting->code = code;
    waiting->next_start_at_ms = next_start_at_ms;
    (void)snprintf(waiting->detail, sizeof(waiting->detail), "%s", detail);
}

static void say_of_queue(struct queue *queue, struct engine_waiting_for *waiting)
{
    rn_time now = rn_now();

    rn_mutex_lock(&queue->mu);
    rn_time ready_at = rn_limiter_ready_at(queue->limiter, now, 1);
    if (queue->paused)
        say(waiting, "paused", queue->settings.paused_until_ms, "its queue is paused");
    else if (queue->running_count < queue->workers && queue->rate[0] != '\0' && ready_at > now)
        say(waiting, "rate",
            ready_at == RN_NEVER ? 0 : rn_wall_ms() + (ready_at - now) / RN_MILLISECOND,
            "its queue's rate lets the next task start then; those before it in the queue come "
            "first");
    else if (queue->running_count >= queue->workers) { // else it starts at once
        waiting->code = "workers";
        (void)snprintf(
            waiting->detail, sizeof(waiting->detail),
            "%u of the queue's %u workers are busy; those before it in the queue come first",
            queue->running_count, queue->workers);
    }
    rn_mutex_unlock(&queue->mu);
}

void engine_waiting_for(struct engine *engine, const struct record *record,
                        struct engine_waiting_for *ret_waiting)
{
    *ret_waiting = (struct engine_waiting_for){0};
    if (!task_state_is_waiting(record->state))
        return;
    struct queue *queue = engine_find_queue(engine, record->queue, false);
    if (record->state == TASK_SCHEDULED)
        say(ret_waiting, "time", record->due_at_ms, "its time has not come");
    else if (record->state == TASK_RETRYING)
        say(ret_waiting, "retry", record->due_at_ms, "it waits for its next attempt");
    else if (!kind_is_configured(engine, record->kind))
        say(ret_waiting, "kind-missing", 0, "the configuration has no kind of this name");
    else if (queue == NULL || !queue_is_configured(queue))
        say(ret_waiting, "queue-missing", 0, "the configuration has no queue of this name");
    else if (engine_phase(engine) == ENGINE_DRAINING)
        say(ret_waiting, "draining", 0, "the daemon is stopping; it starts at the next start");
    else if (engine_phase(engine) == ENGINE_STARTING)
        say(ret_waiting, "starting", 0, "the daemon is starting");
    else
        say_of_queue(queue, ret_waiting);
}
