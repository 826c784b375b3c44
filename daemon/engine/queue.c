/* A queue's gate and the movement of its window. See queue.h for the wake-ups, window.h for the
 * invariants. */
#include "engine/queue.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "config/units.h"
#include "engine/core.h"

/* Writes the rate's level where a later daemon finds it, however this one ends. */
static void keep_level(struct queue *queue, rn_time now, int64_t wall_ms)
{
    slots_level_set(store_slots(queue->engine->store), queue->name,
                    rn_limiter_tokens_at(queue->limiter, now), wall_ms);
}

/* The next task that may start now, NULL: none; *wait_until: when the rate lets one start. */
static struct task *gate_locked(struct queue *queue, rn_time *wait_until) RN_REQUIRES(&queue->mu);
static void pass_on_locked(struct queue *queue) RN_REQUIRES(&queue->mu);

/* One of the slots that bound all queues together: after a resize the workers of several may be
 * more than slots until the excess has left. false: none is free; a tick looks again. */
static bool take_slot(struct engine *engine)
{
    if (atomic_fetch_add(&engine->taken, 1) < CONFIG_WORKERS_MAX)
        return true;
    atomic_fetch_sub(&engine->taken, 1);
    return false;
}

static struct task *gate_locked(struct queue *queue, rn_time *wait_until)
{
    // There may be more workers than `workers`: a reload prepares them before it is sure.
    if (queue->paused || !queue->is_configured || queue->taken >= queue->workers)
        return NULL;
    struct task *task = window_first(&queue->window);
    if (task == NULL || !take_slot(queue->engine))
        return NULL;
    if (queue->rate[0] == '\0')
        return task;
    rn_time now = rn_now();
    if (rn_limiter_allow_at(queue->limiter, now, 1)) {
        keep_level(queue, now, rn_wall_ms());
        return task;
    }
    atomic_fetch_sub(&queue->engine->taken, 1);
    *wait_until = rn_limiter_ready_at(queue->limiter, now, 1);
    return NULL;
}

/* Wakes an idle worker if another task could start. The rate is left to it: it becomes the keeper
 * where it must wait. */
static void pass_on_locked(struct queue *queue)
{
    if (queue->idle > 0 && !queue->paused && queue->taken < queue->workers &&
        queue->is_configured && window_first(&queue->window) != NULL)
        rn_cond_signal(&queue->work);
}

/* rn_service's next_fn */
static int next_task(rn_context *ctx, void *arg, unsigned worker, void **ret_task)
{
    struct queue *queue = arg;
    struct task *task = NULL;
    int r = 0;
    (void)worker;

    rn_mutex_lock(&queue->mu);
    for (;;) {
        r = rn_context_err(ctx);
        if (r < 0)
            break;
        rn_time wait_until = RN_NEVER;
        task = gate_locked(queue, &wait_until);
        if (task != NULL) {
            window_take(&queue->window, task);
            queue->taken++;
            break;
        }
        bool keeps = wait_until != RN_NEVER && !queue->kept;
        if (keeps)
            queue->kept = true;
        queue->idle++;
        r = rn_cond_wait(ctx, &queue->work, &queue->mu, keeps ? wait_until : RN_NEVER);
        queue->idle--;
        if (keeps)
            queue->kept = false;
        if (r == -ETIMEDOUT && rn_context_err(ctx) == 0)
            r = 0;
        if (r < 0)
            break;
    }
    pass_on_locked(queue);
    bool wants_refill = window_wants_refill(&queue->window) && !queue->refilling;
    rn_mutex_unlock(&queue->mu);

    if (wants_refill)
        queue_refill(queue);
    if (r == 0)
        *ret_task = task;
    return r;
}

void queue_left(struct queue *queue)
{
    atomic_fetch_sub(&queue->engine->taken, 1);
    rn_mutex_lock(&queue->mu);
    bool was_at_limit = queue->taken >= queue->workers;
    queue->taken--;
    if (was_at_limit)
        pass_on_locked(queue); // this worker may be one that leaves
    rn_mutex_unlock(&queue->mu);
}

bool queue_is_configured(struct queue *queue)
{
    rn_mutex_lock(&queue->mu);
    bool is_configured = queue->is_configured;
    rn_mutex_unlock(&queue->mu);
    return is_configured;
}

/* The store's done_fn, after all events of its group. */
static void claimed(struct store_op *op, void *arg)
{
    struct queue *queue = arg;
    queue_claimed(queue, op);
    queue_wake(queue);
}

void queue_refill(struct queue *queue)
{
    rn_mutex_lock(&queue->mu);
    bool submit = !queue->refilling && window_wants_refill(&queue->window) && queue->is_configured;
    if (submit) {
        struct store_op *op = &queue->claim;
        memset(op, 0, sizeof(*op));
        op->type = STORE_CLAIM;
        op->done_fn = claimed;
        op->arg = queue;
        memcpy(op->claim.queue, queue->name, sizeof(op->claim.queue));
        op->claim.has_after = queue->window.has_frontier;
        op->claim.after = queue->window.frontier;
        op->claim.limit = queue->window.capacity - queue->window.count;
        queue->refilling = true;
    }
    rn_mutex_unlock(&queue->mu);
    if (!submit)
        return;

    if (store_submit_internal(queue->engine->store, &queue->claim) < 0) {
        rn_mutex_lock(&queue->mu); // the store has stopped: nothing is to be refilled any more
        queue->refilling = false;
        rn_mutex_unlock(&queue->mu);
    }
}

static void put_locked(struct queue *queue, struct record **record) RN_REQUIRES(&queue->mu);

/* Takes *record into the window. Where memory does not suffice it stays on disk, and the frontier
 * before it. */
static void put_locked(struct queue *queue, struct record **record)
{
    struct queue_key key = {.priority = (*record)->priority, .id = (*record)->id};
    struct task *task = NULL;
    struct task *dropped = NULL;

    int r = task_new(queue, record, &task);
    if (r == 0)
        r = window_insert(&queue->window, task, &dropped);
    if (r < 0) {
        task_free(task);
        window_cut(&queue->window, key);
        return;
    }
    task_free(dropped);
}

void queue_put(struct queue *queue, struct record **record)
{
    struct queue_key key = {.priority = (*record)->priority, .id = (*record)->id};

    rn_mutex_lock(&queue->mu);
    if (window_admits(&queue->window, key))
        put_locked(queue, record);
    rn_mutex_unlock(&queue->mu);
}

void queue_cut(struct queue *queue, struct queue_key key)
{
    rn_mutex_lock(&queue->mu);
    if (window_admits(&queue->window, key)) // else it lies behind the frontier already
        window_cut(&queue->window, key);
    rn_mutex_unlock(&queue->mu);
}

void queue_claimed(struct queue *queue, struct store_op *claim)
{
    rn_mutex_lock(&queue->mu);
    queue->refilling = false;
    bool is_valid =
        claim->result == 0 &&
        window_refill_is_valid(&queue->window, claim->claim.has_after, claim->claim.after);
    struct queue_key last = {0};
    if (is_valid && claim->claim.count > 0) {
        const struct record *row = claim->claim.rows[claim->claim.count - 1];
        last = (struct queue_key){.priority = row->priority, .id = row->id};
    }
    if (is_valid)
        window_move_frontier(&queue->window, claim->claim.count > 0, last);
    for (size_t i = 0; i < claim->claim.count; i++) {
        struct record *row = claim->claim.rows[i];
        struct queue_key key = {.priority = row->priority, .id = row->id};
        // One in flight is selected too, its row says queued; and one that was cut off by a full
        // window lies behind the frontier again.
        if (is_valid && window_find(&queue->window, row->id) == NULL &&
            window_admits(&queue->window, key))
            put_locked(queue, &row);
        record_free(row);
    }
    free(RN_TAKE(claim->claim.rows));
    claim->claim.count = 0;
    rn_mutex_unlock(&queue->mu);
}

int queue_withdraw(struct queue *queue, struct queue_key key, struct task **ret_task)
{
    int r = 0;
    rn_mutex_lock(&queue->mu);
    struct task *task = window_find(&queue->window, key.id);
    if (task != NULL && task->place == TASK_IN_FLIGHT)
        r = -EBUSY;
    else if (task != NULL) {
        window_remove(&queue->window, task);
        *ret_task = task;
    }
    rn_mutex_unlock(&queue->mu);
    return r;
}

void queue_restore(struct queue *queue, struct task *task)
{
    struct queue_key key = {.priority = task->record.priority, .id = task->record.id};
    struct task *dropped = NULL;

    rn_mutex_lock(&queue->mu);
    // Nothing moves the window between a withdrawal and its restoring but other restorings, which
    // only bring the frontier back.
    if (!window_admits(&queue->window, key))
        dropped = task;
    else if (window_insert(&queue->window, task, &dropped) < 0) {
        dropped = task;
        window_cut(&queue->window, key);
    }
    rn_mutex_unlock(&queue->mu);
    task_free(dropped);
}

struct task *queue_land(struct queue *queue, uint64_t id)
{
    rn_mutex_lock(&queue->mu);
    struct task *task = window_find(&queue->window, id);
    if (task != NULL && task->place == TASK_IN_FLIGHT)
        window_land(&queue->window, task);
    else
        task = NULL;
    if (task != NULL && task->running.shown) {
        task->running.shown = false;
        DL_DELETE(queue->running, task);
    }
    rn_mutex_unlock(&queue->mu);
    return task;
}

void queue_cancel(struct queue *queue, uint64_t id)
{
    rn_context *context = NULL;
    rn_mutex_lock(&queue->mu);
    struct task *task = window_find(&queue->window, id);
    if (task != NULL) {
        task->cancel_requested = true;
        context = rn_context_ref(task->context);
    }
    rn_mutex_unlock(&queue->mu);
    if (context != NULL)
        rn_context_cancel(context, CAUSE_CANCELLED);
    rn_context_unref(context);
}

static bool is_paused(const struct store_queue_settings *settings, int64_t now_ms)
{
    return settings->paused &&
           (settings->paused_until_ms == 0 || settings->paused_until_ms > now_ms);
}

/* Brings the limiter to rate and burst; "" is no rate. */
static void set_rate(struct queue *queue, const char *rate, unsigned burst)
{
    double per_s = RN_RATE_INFINITE;
    rn_time now = rn_now();
    if (rate[0] != '\0' && units_rate(rate, &per_s) < 0)
        per_s = RN_RATE_INFINITE; // can't be: it was checked when it was taken
    rn_limiter_set_limit_at(queue->limiter, now, per_s);
    rn_limiter_set_burst_at(queue->limiter, now, burst);
}

static unsigned workers_locked(const struct queue *queue) RN_REQUIRES(&queue->mu);
static void apply_locked(struct queue *queue) RN_REQUIRES(&queue->mu);

/* How many workers the service is to have. */
static unsigned workers_locked(const struct queue *queue)
{
    return queue->is_configured ? queue->workers : 0;
}

/* Brings the workers to what is in force. Again where that has changed meanwhile: of two threads
 * that change it, the one that comes late must not leave an old number behind. */
static void resize(struct queue *queue)
{
    rn_mutex_lock(&queue->mu);
    bool failed_before = queue->resize_failed;
    bool goes_on = queue->has_started;
    unsigned workers = workers_locked(queue);
    rn_mutex_unlock(&queue->mu);

    int r = 0;
    while (goes_on) {
        r = rn_service_resize(queue->service, workers);
        rn_mutex_lock(&queue->mu);
        queue->resize_failed = r < 0 && r != -EPIPE;
        goes_on = r == 0 && workers != workers_locked(queue);
        workers = workers_locked(queue);
        rn_mutex_unlock(&queue->mu);
    }
    if (r < 0 && r != -EPIPE && !failed_before)
        log_event(LOG_LEVEL_WARN, "workers_short", LOG_TEXT("queue", queue->name),
                  LOG_UINT("workers", workers), LOG_TEXT("error", rn_strerror(r)));
}

/* What is in force, of the file's settings and the overrides above them. */
static void apply_locked(struct queue *queue)
{
    const struct store_queue_settings *settings = &queue->settings;
    bool is_configured = queue->is_configured;

    queue->workers = settings->has_workers ? settings->workers
                     : is_configured       ? queue->file.workers
                                           : 0;
    queue->burst = settings->has_burst ? settings->burst : is_configured ? queue->file.burst : 1;
    const char *rate = settings->has_rate ? settings->rate
                       : is_configured    ? queue->file.rate.text
                                          : "";
    memcpy(queue->rate, rate, strnlen(rate, sizeof(queue->rate) - 1) + 1);
    set_rate(queue, queue->rate, queue->burst);
    rn_cond_broadcast(&queue->work);
}

void queue_apply(struct queue *queue, const struct store_queue_settings *settings)
{
    rn_mutex_lock(&queue->mu);
    queue->settings = *settings;
    bool was_paused = queue->paused;
    queue->paused = is_paused(settings, rn_wall_ms());
    bool paused = queue->paused;
    apply_locked(queue);
    rn_mutex_unlock(&queue->mu);

    resize(queue);
    if (paused != was_paused)
        log_event(LOG_LEVEL_NOTICE, paused ? "queue_paused" : "queue_resumed",
                  LOG_TEXT("queue", queue->name));
}

void queue_wake(struct queue *queue)
{
    rn_mutex_lock(&queue->mu);
    pass_on_locked(queue);
    rn_mutex_unlock(&queue->mu);
}

void queue_tick(struct queue *queue, int64_t now_ms)
{
    rn_mutex_lock(&queue->mu);
    bool resumed = queue->paused && !is_paused(&queue->settings, now_ms);
    if (resumed) {
        queue->paused = false;
        rn_cond_broadcast(&queue->work);
    }
    bool resize_again = queue->resize_failed;
    pass_on_locked(queue); // no slot may have been free
    bool has_rate = queue->rate[0] != '\0';
    rn_mutex_unlock(&queue->mu);

    if (resumed)
        log_event(LOG_LEVEL_NOTICE, "queue_resumed", LOG_TEXT("queue", queue->name));
    if (resize_again)
        resize(queue);
    if (has_rate)
        keep_level(queue, rn_now(), now_ms);
    queue_refill(queue);
}

/* The bucket goes on over a restart: what it had, and what has flowed in since. */
static void restore_level(struct queue *queue, unsigned burst)
{
    double tokens = 0;
    int64_t at_ms = 0;
    if (slots_level_get(store_slots(queue->engine->store), queue->name, &tokens, &at_ms) < 0)
        return;
    int64_t passed_ms = rn_wall_ms() - at_ms;
    double per_s = rn_limiter_limit(queue->limiter);
    if (passed_ms > 0)
        tokens += per_s * (double)passed_ms / 1000;
    if (tokens < (double)burst)
        rn_limiter_set_tokens_at(queue->limiter, rn_now(), tokens);
}

int queue_new(struct engine *engine, const char *name, struct queue **ret_queue)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return -ENOMEM;
    memcpy(queue->name, name, strnlen(name, CONFIG_NAME_MAX));
    queue->engine = engine;
    rn_mutex_init(&queue->mu, 20);
    rn_cond_init(&queue->work);
    rn_mutex_lock(&queue->mu);
    window_init(&queue->window, QUEUE_WINDOW);
    queue->place = UINT_MAX;
    rn_mutex_unlock(&queue->mu);
    metrics_histogram_init(&queue->wait, &engine_bounds);

    int r = rn_limiter_new(RN_RATE_INFINITE, 1, &queue->limiter);
    if (r < 0) {
        queue_free(queue);
        return r;
    }
    struct store_queue_settings none = {0};
    queue_apply(queue, &none);
    *ret_queue = queue;
    return 0;
}

static int make_service(struct queue *queue)
{
    struct rn_service_options options = {
        .name = queue->name, .next_fn = next_task, .run_fn = attempt_run, .arg = queue};
    rn_service *service = NULL;

    int r = rn_service_new(NULL, &options, &service);
    if (r == 0)
        r = rn_service_start(service);
    if (r < 0) {
        rn_service_free(service);
        return r;
    }
    queue->service = service;
    return 0;
}

int queue_prepare(struct queue *queue, const struct config_queue *file)
{
    int r = queue->service == NULL ? make_service(queue) : 0;
    if (r < 0)
        return r;
    rn_mutex_lock(&queue->mu);
    unsigned workers = queue->settings.has_workers ? queue->settings.workers : file->workers;
    rn_mutex_unlock(&queue->mu);
    return workers > rn_service_workers(queue->service) ? rn_service_resize(queue->service, workers)
                                                        : 0;
}

void queue_switch(struct queue *queue, const struct config_queue *file, unsigned place)
{
    rn_mutex_lock(&queue->mu);
    queue->is_configured = file != NULL;
    if (file != NULL)
        queue->file = *file;
    queue->place = place;
    apply_locked(queue);
    if (file != NULL && queue->service != NULL && !queue->has_started) { // a new bucket is full
        queue->has_started = true;
        rn_limiter_set_tokens_at(queue->limiter, rn_now(), queue->burst);
        if (queue->rate[0] != '\0')
            restore_level(queue, queue->burst);
    }
    rn_mutex_unlock(&queue->mu);
}

void queue_settle(struct queue *queue)
{
    rn_mutex_lock(&queue->mu);
    bool was_switched = queue->has_started || queue->service == NULL;
    rn_mutex_unlock(&queue->mu);
    if (!was_switched) {
        int r = rn_service_resize(queue->service, 0);
        RN_ASSERT(r == 0); // fewer never fails, and no drain closes it before a reload has ended
    }
    resize(queue);
    queue_refill(queue);
    queue_wake(queue);
}

void queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
    if (queue->service != NULL)
        (void)rn_service_shutdown(queue->service, 0);
    rn_service_free(queue->service);
    rn_limiter_free(queue->limiter);
    window_fini(&queue->window);
    rn_cond_fini(&queue->work);
    rn_mutex_fini(&queue->mu);
    free(queue);
}
