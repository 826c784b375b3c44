/* One attempt of one task, on its worker's thread: kind, args, start, run, end.
 *
 * The worker submits the end itself and goes on; the task belongs to the store from then on and is
 * freed on its thread, by the operation's done_fn. A drain that gives a worker up records the end
 * in its place (attempt_give_up): whoever of the two first marks the task `given_up` or takes its
 * context away, under the queue's lock, is the one that submits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "config/units.h"
#include "engine/core.h"
#include "store/history.h"

/* ---- the log ---- */

enum { EVENT_FIELDS_MAX = 4 };

/* An event of a task. Its queue, its kind and the trace that it belongs to are told with each. */
static void tell_fields(enum log_level level, const char *event, const struct record *record,
                        const struct log_field *more, size_t count)
{
    struct log_field fields[EVENT_FIELDS_MAX + 4] = {LOG_UINT("task", record->id),
                                                     LOG_TEXT("queue", record->queue),
                                                     LOG_TEXT("kind", record->kind)};
    char trace[33];
    size_t used = 3;

    RN_ASSERT(count <= EVENT_FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        fields[used++] = more[i];
    if (record->traceparent[0] != '\0') {
        (void)snprintf(trace, sizeof(trace), "%.32s", record->traceparent + 3); // behind 00-
        fields[used++] = LOG_TEXT("trace", trace);
    }
    log_fields(level, event, fields, used);
}

/* The fields beside task, queue, kind and trace follow; one at least. */
#define TELL(level, event, record, ...)                                                            \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field more_[] = {__VA_ARGS__};                                        \
            tell_fields(level, event, record, more_, sizeof(more_) / sizeof(more_[0]));            \
        }                                                                                          \
    } while (0)

/* ---- waiting for the store ---- */

/* A read or an operation that a worker waits for; the element is the result. */
static void tell_worker(rn_chan *chan, int result)
{
    int r = rn_chan_try_send(chan, &result); // capacity 1, one send a wait
    RN_ASSERT(r == 0);
}

static void read_done(struct store_read *read, void *arg)
{
    tell_worker(arg, read->result);
}

static void start_done(struct store_op *op, void *arg)
{
    tell_worker(arg, op->result);
}

/* Waits for what tell_worker tells. The store answers everything that it took, so nothing else
 * needs to end this wait. */
static int wait_for_store(rn_chan *chan)
{
    int result = 0;
    int r = rn_chan_recv(NULL, chan, &result);
    return r < 0 ? r : result;
}

/* The store's done_fn of finish and hold. The events before have ended the flight of a finished
 * task. */
static void ended(struct store_op *op, void *arg)
{
    struct task *task = arg;
    struct queue *queue = task->queue;

    if (op->result < 0 && op->result != -ESTALE)
        TELL(LOG_LEVEL_ERR, "task_end_not_stored", &task->record,
             LOG_TEXT("error", rn_strerror(op->result)));
    // The attempt's own end is told already; a cancel that was recorded before it has won.
    if (op->type == STORE_FINISH && op->result == 0 && task->record.state != op->finish.to)
        tell_fields(LOG_LEVEL_INFO, "task_cancelled", &task->record, NULL, 0);
    if (op->type == STORE_HOLD || op->result < 0)
        (void)queue_land(queue, task->record.id);
    // The kind may have come back between the worker's look and the commit of the hold: what was
    // released then has not seen it.
    const struct config *config = NULL;
    if (op->type == STORE_HOLD && op->result == 0)
        config = engine_config_ref(queue->engine);
    if (config != NULL && config_kind_find(config, task->record.kind) != NULL)
        release_held(queue->engine);
    config_unref(config);
    task_free(task);
}

/* Hands the task to the store: nothing may touch it afterwards. */
static void submit_end(struct task *task)
{
    struct store *store = task->queue->engine->store;

    task->op.done_fn = ended;
    task->op.arg = task;
    task->op.now_ms = rn_wall_ms();
    int r = store_submit_wait(NULL, store, &task->op);
    if (r < 0) // stopped: the task stays queued on disk, the next start runs it
        TELL(LOG_LEVEL_ERR, "task_end_not_stored", &task->record,
             LOG_TEXT("error", rn_strerror(r)));
}

static void hold(struct task *task)
{
    TELL(LOG_LEVEL_WARN, "task_held", &task->record,
         LOG_TEXT("error", "the configuration has no such kind"));
    memset(&task->op, 0, sizeof(task->op));
    task->op.type = STORE_HOLD;
    task->op.hold.id = task->record.id;
    submit_end(task);
}

/* Reads args that the window does not keep. */
static int load_args(struct task *task)
{
    struct store_read read = {.type = STORE_GET, .done_fn = read_done};
    rn_chan *chan = NULL;

    int r = rn_chan_new(sizeof(int), 1, &chan);
    if (r < 0)
        return r;
    read.arg = chan;
    read.get.id = task->record.id;
    r = store_read(task->queue->engine->store, &read);
    if (r == 0)
        r = wait_for_store(chan);
    if (r == 0) {
        task->record.args = read.get.record->args;
        read.get.record->args = (struct text){0};
        task->record.args_in_store = false;
        record_free(read.get.record);
    }
    rn_chan_free(chan);
    return r;
}

/* Puts the start on disk before anything runs: where the attempt must not be repeated after a
 * crash. */
static int store_start_record(struct task *task)
{
    int r = rn_chan_new(sizeof(int), 1, &task->started);
    if (r < 0)
        return r;
    memset(&task->op, 0, sizeof(task->op));
    task->op.type = STORE_START;
    task->op.done_fn = start_done;
    task->op.arg = task->started;
    task->op.now_ms = rn_wall_ms();
    task->op.start.record = &task->record;
    r = store_submit_wait(NULL, task->queue->engine->store, &task->op);
    return r < 0 ? r : wait_for_store(task->started);
}

static rn_duration task_timeout(const struct task *task)
{
    return task->record.timeout_ms > 0 ? task->record.timeout_ms * RN_MILLISECOND
                                       : task->kind->timeout;
}

/* The attempt's numbers, and its context, by which a cancel reaches it. */
static int begin(rn_context *ctx, struct task *task, unsigned worker, rn_context **ret_context)
{
    struct queue *queue = task->queue;
    struct record *record = &task->record;
    rn_context *context = NULL;

    int r = rn_context_with_timeout(ctx, task_timeout(task), &context);
    if (r < 0)
        return r;
    if (record->started_at_ms > 0)
        history_append(record);
    record->attempt++;
    record->run++;
    record->worker = worker;
    record->started_at_ms = rn_wall_ms();
    record->finished_at_ms = 0;

    rn_mutex_lock(&queue->mu);
    task->context = context;
    task->running = (struct running){.shown = true,
                                     .started_at_ms = record->started_at_ms,
                                     .worker = worker,
                                     .attempt = record->attempt,
                                     .run = record->run};
    DL_APPEND(queue->running, task);
    queue->running_count++;
    bool is_cancelled = task->cancel_requested;
    rn_mutex_unlock(&queue->mu);

    atomic_fetch_add_explicit(&task->counts->started, 1, memory_order_relaxed);
    metrics_observe(&queue->wait, (record->started_at_ms - record->queued_at_ms) * RN_MILLISECOND);
    task->began_at = rn_now();
    if (is_cancelled)
        rn_context_cancel(context, CAUSE_CANCELLED);
    *ret_context = context;
    return 0;
}

/* Takes the context away; false: a drain has given the worker up and recorded the end. */
static bool leave(struct task *task)
{
    struct queue *queue = task->queue;

    rn_mutex_lock(&queue->mu);
    bool is_ours = !task->given_up;
    rn_context *context = RN_TAKE(task->context);
    if (is_ours)
        queue->running_count--;
    rn_mutex_unlock(&queue->mu);
    rn_context_unref(context);
    return is_ours;
}

/* base·2^(n-1) at most max, and of that a random part (full jitter), so that tasks that failed
 * together do not come back together. */
static int64_t backoff_ms(const struct task *task)
{
    const struct record *record = &task->record;
    int64_t base = record->backoff_base_ms > 0 ? record->backoff_base_ms
                                               : task->kind->backoff_base / RN_MILLISECOND;
    int64_t max = record->backoff_max_ms > 0 ? record->backoff_max_ms
                                             : task->kind->backoff_max / RN_MILLISECOND;
    int64_t bound = base;
    for (unsigned n = 1; n < record->attempt && bound < max; n++)
        bound = bound > max / 2 ? max : bound * 2;
    if (bound > max)
        bound = max;

    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = UINT32_MAX / 2; // no entropy yet, early in the boot: without jitter
    return (int64_t)((double)bound * ((double)random / (double)UINT32_MAX));
}

static unsigned task_max_attempts(const struct task *task)
{
    return task->record.max_attempts > 0 ? task->record.max_attempts : task->kind->max_attempts;
}

/* Moves the outcome's strings into the record. */
static void take_outcome(struct record *record, struct outcome *outcome)
{
    text_fini(&record->result);
    text_fini(&record->error_message);
    text_fini(&record->exec);
    record->error_code[0] = '\0';
    record->error_retryable = false;
    record->result_is_json = false;
    if (outcome->succeeded && outcome->result != NULL) {
        record->result =
            (struct text){.bytes = RN_TAKE(outcome->result), .length = outcome->result_bytes};
        record->result_is_json = outcome->result_is_json;
    }
    if (!outcome->succeeded) {
        (void)snprintf(record->error_code, sizeof(record->error_code), "%s", outcome->code);
        record->error_retryable = outcome->retryable;
        if (outcome->message != NULL) {
            record->error_message.length = strlen(outcome->message);
            record->error_message.bytes = RN_TAKE(outcome->message);
        }
    }
    if (outcome->exec != NULL) {
        record->exec.length = strlen(outcome->exec);
        record->exec.bytes = RN_TAKE(outcome->exec);
    }
}

/* A failure in place of whatever the outcome says; what is known of the process stays. */
static void fail_instead(struct outcome *outcome, const char *code, bool retryable,
                         const char *message)
{
    char *exec = RN_TAKE(outcome->exec);
    outcome_fail(outcome, code, retryable, "%s", message);
    outcome->exec = exec;
}

/* Cut short by a drain: as the kind says of an interruption, which takes no attempt and is not
 * counted. */
static enum task_state interrupted(struct task *task, struct outcome *outcome)
{
    if (task->kind->retry_if_interrupted) {
        task->record.attempt--;
        outcome_fini(outcome);
        outcome->succeeded = false;
        return TASK_QUEUED;
    }
    fail_instead(outcome, "interrupted", false, "the daemon was stopped while the task ran");
    return TASK_FAILED;
}

/* Which state the outcome leads to. `cause` is why the attempt's context ended, 0: it did not. */
static enum task_state decide(struct task *task, int cause, struct outcome *outcome)
{
    struct record *record = &task->record;

    if (cause == CAUSE_CANCELLED) {
        fail_instead(outcome, "cancelled", false, store_cancelled_running);
        return TASK_CANCELLED;
    }
    if (outcome->succeeded)
        return TASK_SUCCEEDED;
    if (cause == CAUSE_DRAINED)
        return interrupted(task, outcome);
    if (cause == -ETIMEDOUT && strcmp(outcome->code, "timeout") != 0) {
        char length[48];
        char message[80];
        (void)snprintf(message, sizeof(message), "not finished within %s",
                       units_duration_text(task_timeout(task), length, sizeof(length)));
        fail_instead(outcome, "timeout", true, message);
    }
    if (!outcome->retryable || record->attempt >= task_max_attempts(task))
        return TASK_FAILED;
    record->due_at_ms = rn_wall_ms() + backoff_ms(task);
    return TASK_RETRYING;
}

static void count_end(const struct task *task, enum engine_outcome outcome)
{
    atomic_fetch_add_explicit(&task->counts->ended[outcome], 1, memory_order_relaxed);
    if (outcome == ENGINE_FAILED)
        failures_add(&task->queue->engine->failures, rn_now());
}

static void tell_end(const struct task *task, enum task_state to)
{
    const struct record *record = &task->record;

    switch (to) {
    case TASK_SUCCEEDED:
        count_end(task, ENGINE_SUCCEEDED);
        TELL(LOG_LEVEL_INFO, "task_succeeded", record,
             LOG_INT("took_ms", record->finished_at_ms - record->started_at_ms));
        break;
    case TASK_RETRYING:
        count_end(task, ENGINE_RETRIED);
        TELL(LOG_LEVEL_WARN, "task_retry", record, LOG_UINT("attempt", record->attempt),
             LOG_INT("delay_ms", record->due_at_ms - record->finished_at_ms),
             LOG_TEXT("error", record->error_message.bytes));
        break;
    case TASK_QUEUED:
        count_end(task, ENGINE_INTERRUPTED);
        tell_fields(LOG_LEVEL_NOTICE, "task_put_back", record, NULL, 0);
        break;
    case TASK_CANCELLED:
        count_end(task, ENGINE_CANCELLED);
        tell_fields(LOG_LEVEL_INFO, "task_cancelled", record, NULL, 0);
        break;
    default:
        count_end(task, ENGINE_FAILED);
        TELL(LOG_LEVEL_WARN, "task_failed", record, LOG_UINT("attempt", record->attempt),
             LOG_TEXT("code", record->error_code), LOG_TEXT("error", record->error_message.bytes));
        break;
    }
}

static void finish(struct task *task, enum task_state to, struct outcome *outcome)
{
    take_outcome(&task->record, outcome);
    task->record.finished_at_ms = rn_wall_ms();
    tell_end(task, to);
    memset(&task->op, 0, sizeof(task->op));
    task->op.type = STORE_FINISH;
    task->op.finish.record = &task->record;
    task->op.finish.to = to;
    task->op.finish.is_followed = follow_wanted(task->config, &task->record, to);
    submit_end(task);
}

static rn_duration current_grace(void *arg)
{
    struct task *task = arg;
    rn_duration grace = task->kind->kill_grace;
    rn_duration hurried =
        atomic_load_explicit(&task->queue->engine->kill_grace_ns, memory_order_relaxed);
    return hurried < grace ? hurried : grace;
}

/* Runs the attempt between its slot's set and clear, which is what a later daemon knows of it after
 * a kill -9. */
static void run(rn_context *context, struct task *task, struct outcome *outcome)
{
    struct slots *slots = store_slots(task->queue->engine->store);
    struct slot *slot = NULL;

    int r = slots_take(slots, &slot);
    if (r < 0) { // more tasks than workers may be: can't be
        outcome_fail(outcome, "internal", true, "no running slot is free");
        return;
    }
    struct attempt attempt = {
        .task = task->record.id,
        .run = task->record.run,
        .queue = task->queue->name,
        .kind = task->kind,
        .number = task->record.attempt,
        .args = task->record.args.bytes == NULL ? "null" : task->record.args.bytes,
        .args_bytes = task->record.args.bytes == NULL ? 4 : task->record.args.length,
        .deadline_ms = task->record.started_at_ms + task_timeout(task) / RN_MILLISECOND,
        .traceparent = task->record.traceparent,
        .slot = slot,
        .work_root = task->queue->engine->work_root,
        .kill_grace = current_grace,
        .kill_grace_arg = task,
    };
    slot_set(slot, task->record.id, task->record.run);
    runner_run(context, &attempt, outcome);
    slot_clear(slot);
    slots_give(slots, slot);
}

static void attempt(rn_context *ctx, struct task *task, unsigned worker)
{
    struct outcome outcome = {0};
    rn_context *context = NULL;

    task->kind =
        engine_find_kind(task->queue->engine, task->record.kind, &task->config, &task->counts);
    if (task->kind == NULL) {
        hold(task);
        return;
    }
    int r = task->record.args_in_store ? load_args(task) : 0;
    if (r == 0)
        r = begin(ctx, task, worker, &context);
    if (r < 0) {
        // No memory, or the row is gone: as an attempt that failed and may be worth another.
        task->record.attempt++;
        task->record.run++;
        task->record.started_at_ms = rn_wall_ms();
        outcome_fail(&outcome, "not-started", true, "the task could not be started: %s",
                     rn_strerror(r));
        finish(task, decide(task, 0, &outcome), &outcome);
        outcome_fini(&outcome);
        return;
    }

    r = task->kind->retry_if_interrupted ? 0 : store_start_record(task);
    if (r == 0)
        run(context, task, &outcome);
    else if (r == -ESTALE) // a cancel came first
        rn_context_cancel(context, CAUSE_CANCELLED);
    else
        outcome_fail(&outcome, "not-started", true, "the start could not be stored: %s",
                     rn_strerror(r));

    metrics_observe(&task->counts->run, rn_now() - task->began_at);
    int cause = rn_context_cause(context);
    if (leave(task))
        finish(task, decide(task, cause, &outcome), &outcome);
    outcome_fini(&outcome);
}

int attempt_run(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    attempt(ctx, task, worker);
    queue_left(arg);
    return 0;
}

void attempt_give_up(struct task *task)
{
    struct outcome outcome = {0};
    struct task *end = calloc(1, sizeof(*end));

    TELL(LOG_LEVEL_ERR, "worker_given_up", &task->record,
         LOG_TEXT("error", "it did not end after its context had"));
    if (end == NULL)
        return; // its slot tells the next daemon

    // The worker still reads its task, so the end is recorded from a copy. The process ends soon.
    end->queue = task->queue;
    end->kind = task->kind;
    end->config = config_ref(task->config);
    end->counts = task->counts;
    end->record = task->record;
    end->record.args = end->record.tags = end->record.result = (struct text){0};
    end->record.error_message = end->record.exec = end->record.history = (struct text){0};
    if (text_set(&end->record.history, task->record.history.bytes, task->record.history.length) < 0)
        tell_fields(LOG_LEVEL_WARN, "attempts_lost", &task->record, NULL, 0);
    rn_mutex_lock(&task->queue->mu);
    int cause = task->cancel_requested ? CAUSE_CANCELLED : CAUSE_DRAINED;
    rn_mutex_unlock(&task->queue->mu);
    finish(end, decide(end, cause, &outcome), &outcome);
    outcome_fini(&outcome);
}
