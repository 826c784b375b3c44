/* The engine as a whole: made, started, drained, stopped; and what the store tells it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "engine/core.h"
#include "observe/notify.h"

const struct metrics_bounds engine_bounds = {
    .count = 14,
    .upper = {RN_MILLISECOND, 5 * RN_MILLISECOND, 25 * RN_MILLISECOND, 100 * RN_MILLISECOND,
              500 * RN_MILLISECOND, RN_SECOND, 5 * RN_SECOND, 15 * RN_SECOND, RN_MINUTE,
              5 * RN_MINUTE, 15 * RN_MINUTE, RN_HOUR, 4 * RN_HOUR, 24 * RN_HOUR}};

bool engine_add_queue_locked(struct engine *engine, struct queue *queue)
{
    HASH_ADD_STR(engine->queues, name, queue);
    return queue->hh.tbl != NULL;
}

struct queue *engine_find_queue(struct engine *engine, const char *name, bool make)
{
    struct queue *queue = NULL;

    rn_mutex_lock(&engine->mu);
    HASH_FIND_STR(engine->queues, name, queue);
    if (queue == NULL && make) {
        if (queue_new(engine, name, &queue) == 0 && !engine_add_queue_locked(engine, queue)) {
            queue_free(queue);
            queue = NULL;
        }
    }
    rn_mutex_unlock(&engine->mu);
    return queue;
}

void engine_each_queue(struct engine *engine, void (*fn)(struct queue *queue, void *arg), void *arg)
{
    rn_mutex_lock(&engine->mu);
    struct queue *queue = engine->queues;
    while (queue != NULL) {
        rn_mutex_unlock(&engine->mu); // queues are never removed, so the place in the list holds
        fn(queue, arg);
        rn_mutex_lock(&engine->mu);
        queue = queue->hh.next;
    }
    rn_mutex_unlock(&engine->mu);
}

/* ---- what the store tells, on its thread ---- */

static void touch(struct engine *engine, struct queue *queue)
{
    if (queue->touched)
        return;
    queue->touched = true;
    queue->next_touched = engine->touched;
    engine->touched = queue;
}

/* A task was put back into its queue by the end of its run: as a record of its own, since the
 * task's operation still holds the old one. */
static void requeue(struct engine *engine, struct queue *queue, struct record *from)
{
    struct record *record = malloc(sizeof(*record));
    if (record == NULL) { // it stays on disk, and the frontier before it
        queue_cut(queue, (struct queue_key){.priority = from->priority, .id = from->id});
        return;
    }
    *record = *from;
    from->args = from->tags = from->result = (struct text){0};
    from->error_message = from->exec = from->history = (struct text){0};
    queue_put(queue, &record);
    record_free(record);
    touch(engine, queue);
}

static void on_queued(struct engine *engine, struct store_event *event)
{
    struct queue *queue = engine_find_queue(engine, event->record->queue, true);

    if (event->record->expires_at_ms > 0)
        schedule_at(&engine->schedule, event->record->expires_at_ms);
    if (queue == NULL)
        return; // no memory for the queue: its window is empty and lies before every task
    if (event->was_running) {
        (void)queue_land(queue, event->record->id);
        requeue(engine, queue, event->record);
        return;
    }
    queue_put(queue, &event->record);
    touch(engine, queue);
}

static void on_waiting(struct engine *engine, const struct store_event *event)
{
    const struct record *record = event->record;

    if (event->was_running) {
        struct queue *queue = engine_find_queue(engine, record->queue, false);
        if (queue != NULL)
            (void)queue_land(queue, record->id);
    }
    if (record->state == TASK_SCHEDULED || record->state == TASK_RETRYING)
        schedule_at(&engine->schedule, record->due_at_ms);
    if (record->expires_at_ms > 0)
        schedule_at(&engine->schedule, record->expires_at_ms);
}

static void on_ended(struct engine *engine, const struct store_event *event)
{
    if (event->was_running) {
        struct queue *queue = engine_find_queue(engine, event->record->queue, false);
        if (queue != NULL)
            (void)queue_land(queue, event->record->id);
    } else if (event->record->state == TASK_FAILED) { // a follow-up whose args do not fit
        log_event(LOG_LEVEL_WARN, "task_failed", LOG_UINT("task", event->record->id),
                  LOG_TEXT("queue", event->record->queue), LOG_TEXT("kind", event->record->kind),
                  LOG_UINT("parent", event->record->parent),
                  LOG_TEXT("code", event->record->error_code),
                  LOG_TEXT("error", event->record->error_message.bytes));
    }
    waiters_end(&engine->waiters, event->record->id);
}

static int on_withdraw(struct engine *engine, const struct store_event *event)
{
    struct queue *queue = engine_find_queue(engine, event->queue, false);
    struct task *task = NULL;

    if (queue == NULL)
        return 0;
    int r = queue_withdraw(queue, event->key, &task);
    if (task != NULL) {
        task->next = engine->withdrawn;
        engine->withdrawn = task;
    }
    return r;
}

static void on_restore(struct engine *engine, const struct store_event *event)
{
    struct task **link = &engine->withdrawn;
    while (*link != NULL && (*link)->record.id != event->key.id)
        link = &(*link)->next;
    struct task *task = *link;
    if (task == NULL)
        return; // it was on disk only
    *link = task->next;
    task->next = NULL;
    queue_restore(task->queue, task);
}

static void on_group_end(struct engine *engine)
{
    while (engine->withdrawn != NULL) {
        struct task *task = engine->withdrawn;
        engine->withdrawn = task->next;
        task_free(task);
    }
    while (engine->touched != NULL) {
        struct queue *queue = engine->touched;
        engine->touched = queue->next_touched;
        queue->touched = false;
        queue_wake(queue);
    }
}

static void on_queue_event(struct engine *engine, const struct store_event *event)
{
    struct queue *queue =
        engine_find_queue(engine, event->queue == NULL ? event->record->queue : event->queue,
                          event->type == STORE_EVENT_QUEUE_SET);
    if (queue == NULL)
        return;
    if (event->type == STORE_EVENT_QUEUE_SET)
        queue_apply(queue, event->settings);
    else if (event->type == STORE_EVENT_CANCEL_REQUESTED)
        queue_cancel(queue, event->record->id);
    else
        (void)queue_land(queue, event->record->id);
}

static void warn_if_missing(struct queue *queue, uint64_t waiting)
{
    if (waiting > 0 && !queue_is_configured(queue))
        log_event(LOG_LEVEL_WARN, "queue_not_configured", LOG_TEXT("queue", queue->name),
                  LOG_UINT("waiting", waiting));
}

/* A queue has got tasks that nobody tells one by one. */
static void on_imported(struct engine *engine, const struct store_event *event)
{
    struct queue *queue = engine_find_queue(engine, event->queue, true);

    if (event->due_at_ms > 0)
        schedule_at(&engine->schedule, event->due_at_ms);
    release_held(engine);
    if (queue == NULL)
        return; // without memory for the queue its window is empty and lies before every task
    warn_if_missing(queue, event->waiting);
    if (event->key.id == 0)
        return;
    queue_cut(queue, event->key);
    queue_refill(queue);
}

int engine_event(void *arg, struct store_event *event)
{
    struct engine *engine = arg;

    switch (event->type) {
    case STORE_EVENT_QUEUED:
        on_queued(engine, event);
        return 0;
    case STORE_EVENT_WAITING:
        on_waiting(engine, event);
        return 0;
    case STORE_EVENT_ENDED:
        on_ended(engine, event);
        return 0;
    case STORE_EVENT_CANCEL_REQUESTED:
    case STORE_EVENT_QUEUE_SET:
    case STORE_EVENT_REFUSED:
        on_queue_event(engine, event);
        return 0;
    case STORE_EVENT_GROUP_END:
        on_group_end(engine);
        return 0;
    case STORE_EVENT_WITHDRAW:
        return on_withdraw(engine, event);
    case STORE_EVENT_RESTORE:
        on_restore(engine, event);
        return 0;
    case STORE_EVENT_IMPORTED:
        on_imported(engine, event);
        return 0;
    case STORE_EVENT_ALIVE:
        atomic_fetch_add(&engine->beats, 1);
        return 0;
    case STORE_EVENT_SPACE: // the store itself keeps what waits for room, and logs it
        return 0;
    }
    return 0;
}

/* ---- made and started ---- */

static bool policy_of_kind(void *arg, const char *kind,
                           struct store_interruption_policy *ret_policy)
{
    const struct config *config = engine_config_ref(arg);
    const struct config_kind *found = config_kind_find(config, kind);

    if (found != NULL)
        *ret_policy = (struct store_interruption_policy){
            .retry = found->retry_if_interrupted, .max_interruptions = found->max_interruptions};
    config_unref(config);
    return found != NULL;
}

static int recover(struct engine *engine, struct error *reterr)
{
    struct store_recovery recovery = {0};
    int r = store_recover(engine->store, policy_of_kind, engine, &recovery, reterr);
    if (r < 0)
        return r;
    if (recovery.interrupted > 0)
        log_event(LOG_LEVEL_WARN, "recovered", LOG_UINT("interrupted", recovery.interrupted),
                  LOG_UINT("requeued", recovery.requeued), LOG_UINT("failed", recovery.failed),
                  LOG_UINT("poison", recovery.poisoned), LOG_UINT("cancelled", recovery.cancelled));
    if (recovery.released > 0)
        log_event(LOG_LEVEL_NOTICE, "held_released", LOG_UINT("tasks", recovery.released));
    return 0;
}

static uint64_t waiting_of(const struct store_queue_counts *counts)
{
    return counts->states[TASK_QUEUED] + counts->states[TASK_SCHEDULED] +
           counts->states[TASK_RETRYING];
}

void engine_warn_missing(struct engine *engine)
{
    struct store_queue_counts *counts = NULL;
    size_t count = 0;

    if (store_counts(engine->store, &counts, &count) < 0)
        return; // no memory: GET /v1/queues tells of them too
    for (size_t i = 0; i < count; i++) {
        struct queue *queue = engine_find_queue(engine, counts[i].queue, false);
        if (queue != NULL)
            warn_if_missing(queue, waiting_of(&counts[i]));
    }
    free(counts);
}

/* The queues of the configuration, and those that only have tasks or overrides left. */
static int make_queues(struct engine *engine)
{
    struct store_queue_counts *counts = NULL;
    size_t count = 0;

    for (size_t i = 0; i < engine->start->queue_count; i++) {
        const struct config_queue *file = &engine->start->queues[i];
        struct queue *queue = engine_find_queue(engine, file->name, true);
        if (queue == NULL)
            return -ENOMEM;
        queue_switch(queue, file, (unsigned)i);
    }
    int r = store_counts(engine->store, &counts, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct queue *queue = engine_find_queue(engine, counts[i].queue, true);
        if (queue == NULL) {
            r = -ENOMEM;
            break;
        }
        queue_apply(queue, &counts[i].settings);
        warn_if_missing(queue, waiting_of(&counts[i]));
    }
    free(counts);
    return r;
}

/* Commands without a directory of their own run below it. */
static int make_work_root(struct engine *engine, struct error *reterr)
{
    if (asprintf(&engine->work_root, "%s-work", engine->start->store) < 0) {
        engine->work_root = NULL;
        return error_set(reterr, -ENOMEM, "no memory for the engine");
    }
    int r = runner_open_work_root(engine->work_root);
    if (r < 0)
        return error_set(reterr, r, "cannot make the folder '%s' for commands: %s",
                         engine->work_root, rn_strerror(r));
    return 0;
}

static int make_kinds(struct engine *engine)
{
    struct kind **kinds = NULL;
    size_t count = 0;

    int r = kinds_new(engine, engine->start, &kinds, &count);
    if (r < 0)
        return r;
    rn_mutex_lock(&engine->mu);
    r = kinds_add_locked(engine, kinds, count);
    rn_mutex_unlock(&engine->mu);
    kinds_free(kinds, r < 0 ? count : 0);
    return r;
}

/* systemd waits longer for a start that goes on. */
static void tell_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
    (void)arg;
    notify_starting(what, done, total);
}

static int build(struct engine *engine, struct error *reterr)
{
    const struct config *config = engine->start;
    struct store_options options = {.path = config->store,
                                    .max_backlog = config->max_backlog,
                                    .events = engine_event,
                                    .progress_fn = tell_progress,
                                    .follow = follow_make,
                                    .arg = engine};

    int r = store_open(&options, &engine->store, reterr);
    if (r < 0)
        return r;
    r = make_work_root(engine, reterr);
    if (r < 0)
        return r;
    r = recover(engine, reterr);
    if (r < 0)
        return r;
    r = make_kinds(engine);
    if (r == 0)
        r = rn_group_new(NULL, &engine->group);
    if (r == 0)
        r = rn_context_with_cancel(NULL, &engine->hurry);
    if (r == 0)
        r = waiters_init(&engine->waiters, config->max_waiting);
    if (r == 0)
        r = make_queues(engine);
    if (r < 0)
        return error_set(reterr, r, "cannot make the engine: %s", rn_strerror(r));
    return 0;
}

int engine_new(const struct config *config, struct engine **ret_engine, struct error *reterr)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return error_set(reterr, -ENOMEM, "no memory for the engine");
    engine->start = config_ref(config);
    engine->started_at_ms = rn_wall_ms();
    atomic_init(&engine->phase, ENGINE_STARTING);
    atomic_init(&engine->kill_grace_ns, INT64_MAX);
    atomic_init(&engine->max_backlog, config->max_backlog);
    rn_mutex_init(&engine->mu, 10);
    rn_mutex_lock(&engine->mu);
    engine->config = config_ref(config);
    engine->configuration.loaded_at_ms = config->loaded_at_ms;
    rn_mutex_unlock(&engine->mu);
    failures_init(&engine->failures);
    schedule_init(&engine->schedule, engine);
    schedule_retention(&engine->schedule, config);

    int r = build(engine, reterr);
    if (r < 0) {
        engine_free(engine);
        return r;
    }
    *ret_engine = engine;
    return 0;
}

static int start_queues(struct engine *engine, struct error *reterr)
{
    for (size_t i = 0; i < engine->start->queue_count; i++) {
        const struct config_queue *file = &engine->start->queues[i];
        struct queue *queue = engine_find_queue(engine, file->name, false);
        int r = queue_prepare(queue, file);
        if (r < 0)
            return error_set(reterr, r, "cannot start the workers of queue '%s': %s", queue->name,
                             rn_strerror(r));
        queue_switch(queue, file, (unsigned)i);
        queue_settle(queue);
    }
    return 0;
}

int engine_start(struct engine *engine, struct error *reterr)
{
    int r = store_start(engine->store, reterr);
    if (r < 0)
        return r;
    int64_t next_due_ms = store_next_due(engine->store);
    if (next_due_ms > 0)
        schedule_at(&engine->schedule, next_due_ms);
    r = start_queues(engine, reterr);
    if (r < 0)
        return r;
    // After the queues: its ticks write the rates' levels over those that the queues start from.
    r = rn_group_go(engine->group, "schedule", schedule_run, &engine->schedule);
    if (r < 0)
        return error_set(reterr, r, "cannot start a thread: %s", rn_strerror(r));
    atomic_store(&engine->phase, ENGINE_READY);
    return 0;
}

void engine_stop(struct engine *engine)
{
    rn_context_cancel(rn_group_context(engine->group), 0);
    (void)rn_group_wait(engine->group);
    store_stop(engine->store);
    runner_close_work_root(engine->work_root);
}

void engine_free(struct engine *engine)
{
    struct queue *queue = NULL;
    struct queue *next = NULL;
    struct kind *kind = NULL;
    struct kind *next_kind = NULL;

    if (engine == NULL)
        return;
    if (engine->waiters.timer != NULL)
        waiters_fini(&engine->waiters);
    store_free(engine->store);
    rn_mutex_lock(&engine->mu);
    HASH_ITER (hh, engine->queues, queue, next) {
        HASH_DEL(engine->queues, queue);
        queue_free(queue);
    }
    kind = engine->kinds;
    HASH_CLEAR(hh, engine->kinds); // the table: the kinds are still linked
    for (; kind != NULL; kind = next_kind) {
        next_kind = kind->hh.next;
        free(kind);
    }
    config_unref(engine->config);
    rn_mutex_unlock(&engine->mu);
    config_unref(engine->start);
    rn_group_free(engine->group);
    rn_context_unref(engine->hurry);
    schedule_fini(&engine->schedule);
    failures_fini(&engine->failures);
    rn_mutex_fini(&engine->mu);
    free(engine->work_root);
    free(engine);
}

/* ---- submits ---- */

enum engine_phase engine_phase(struct engine *engine)
{
    return (enum engine_phase)atomic_load(&engine->phase);
}

int engine_submit(struct engine *engine, struct store_op *op)
{
    bool may_wait = op->type == STORE_BACKUP || op->type == STORE_IMPORT;
    if (may_wait && engine_phase(engine) == ENGINE_DRAINING)
        return -EPIPE;
    if (op->type == STORE_IMPORT) {
        op->import.policy = policy_of_kind;
        op->import.policy_arg = engine;
    }
    if (op->type == STORE_PUT) {
        if (engine_phase(engine) == ENGINE_DRAINING)
            return -EPIPE;
        if (store_is_full(engine->store))
            return -ENOSPC;
        if (store_backlog(engine->store) + op->put.count >
            atomic_load_explicit(&engine->max_backlog, memory_order_relaxed))
            return -ENOBUFS;
    }
    return store_submit(engine->store, op);
}

int engine_scratch(struct engine *engine, int *ret_fd)
{
    return store_scratch(engine->store, ret_fd);
}

int engine_part_new(struct engine *engine, int fd, const struct store_watch *watch,
                    struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
{
    return store_part_new(engine->store, fd, watch, ret_part, ret_bad_line, reterr);
}

int engine_wait_start(struct engine *engine, struct engine_wait *wait)
{
    return waiters_start(&engine->waiters, wait);
}

bool engine_wait_stop(struct engine *engine, struct engine_wait *wait)
{
    return waiters_stop(&engine->waiters, wait);
}
