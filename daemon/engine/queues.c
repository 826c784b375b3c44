/* The queues and figures as the API shows them, and changes of queues while they run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"
#include "engine/core.h"

static const struct store_queue_counts *counts_of(const struct store_queue_counts *counts,
                                                  size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(counts[i].queue, name) == 0)
            return &counts[i];
    }
    return NULL;
}

/* What runs is shown as running; on disk it may be queued. */
static void count_running(uint64_t *states, unsigned running)
{
    uint64_t on_disk = states[TASK_RUNNING];
    uint64_t unwritten = running > on_disk ? running - on_disk : 0;
    if (unwritten > states[TASK_QUEUED])
        unwritten = states[TASK_QUEUED];
    states[TASK_QUEUED] -= unwritten;
    states[TASK_RUNNING] += unwritten;
}

static void describe(struct queue *queue, const struct store_queue_counts *counts,
                     struct engine_queue *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (counts != NULL)
        memcpy(ret->states, counts->states, sizeof(ret->states));
    memcpy(ret->name, queue->name, sizeof(ret->name));

    rn_mutex_lock(&queue->mu);
    ret->is_configured = queue->is_configured;
    ret->place = queue->place;
    ret->workers = queue->workers;
    memcpy(ret->rate, queue->rate, sizeof(ret->rate));
    ret->burst = queue->burst;
    ret->paused = queue->paused;
    ret->paused_until_ms = queue->paused ? queue->settings.paused_until_ms : 0;
    ret->overrides = queue->settings;
    ret->running = queue->running_count;
    ret->window = queue->window.count;
    ret->oldest_queued_at_ms = window_oldest_ms(&queue->window);
    rn_mutex_unlock(&queue->mu);
    ret->wait = &queue->wait;
    ret->tokens =
        ret->rate[0] == '\0' ? RN_RATE_INFINITE : rn_limiter_tokens_at(queue->limiter, rn_now());
    count_running(ret->states, ret->running);
}

struct listing {
    const struct store_queue_counts *counts;
    size_t count;
    struct engine_queue *queues; // NULL: only counting
    size_t filled, room;
};

static void list_queue(struct queue *queue, void *arg)
{
    struct listing *listing = arg;
    if (listing->queues != NULL && listing->filled < listing->room)
        describe(queue, counts_of(listing->counts, listing->count, queue->name),
                 &listing->queues[listing->filled]);
    if (listing->queues == NULL || listing->filled < listing->room)
        listing->filled++;
}

/* In the file's order, then those that are not in it. */
static int in_order(const void *a, const void *b)
{
    const struct engine_queue *left = a;
    const struct engine_queue *right = b;
    if (left->place != right->place)
        return left->place < right->place ? -1 : 1;
    return strcmp(left->name, right->name);
}

int engine_queues(struct engine *engine, struct engine_queue **ret_queues, size_t *ret_count)
{
    struct store_queue_counts *counts = NULL;
    struct listing listing = {0};

    int r = store_counts(engine->store, &counts, &listing.count);
    if (r < 0)
        return r;
    listing.counts = counts;
    engine_each_queue(engine, list_queue, &listing);
    listing.room = listing.filled;
    listing.filled = 0;
    listing.queues = calloc(listing.room + 1, sizeof(*listing.queues));
    if (listing.queues == NULL)
        r = -ENOMEM;
    else
        engine_each_queue(engine, list_queue, &listing);
    free(counts);
    if (r < 0)
        return r;
    qsort(listing.queues, listing.filled, sizeof(*listing.queues), in_order);
    *ret_queues = listing.queues;
    *ret_count = listing.filled;
    return 0;
}

int engine_queue_get(struct engine *engine, const char *name, struct engine_queue *ret_queue)
{
    struct store_queue_counts *counts = NULL;
    size_t count = 0;

    struct queue *queue = engine_find_queue(engine, name, false);
    if (queue == NULL)
        return -ENOENT;
    int r = store_counts(engine->store, &counts, &count);
    if (r < 0)
        return r;
    describe(queue, counts_of(counts, count, name), ret_queue);
    free(counts);
    return 0;
}

/* ---- changes ---- */

/* Between the caller's operation and the store: what is under way must be known to the next change,
 * which builds on it. */
struct change {
    struct queue *queue;
    store_done_fn *done_fn;
    void *arg;
};

static void changed(struct store_op *op, void *arg)
{
    struct change *change = arg;
    struct queue *queue = change->queue;

    rn_mutex_lock(&queue->mu);
    queue->changes--;
    if (queue->changes == 0)
        queue->wanted = queue->settings;
    rn_mutex_unlock(&queue->mu);
    op->done_fn = change->done_fn;
    op->arg = change->arg;
    free(change);
    if (op->done_fn != NULL)
        op->done_fn(op, op->arg);
}

static void merge(struct store_queue_settings *settings, const struct engine_queue_change *change)
{
    if (change->workers_do != ENGINE_KEEP) {
        settings->has_workers = change->workers_do == ENGINE_SET;
        settings->workers = settings->has_workers ? change->workers : 0;
    }
    if (change->rate_do != ENGINE_KEEP) {
        settings->has_rate = change->rate_do == ENGINE_SET;
        (void)snprintf(settings->rate, sizeof(settings->rate), "%s",
                       settings->has_rate ? change->rate : "");
    }
    if (change->burst_do != ENGINE_KEEP) {
        settings->has_burst = change->burst_do == ENGINE_SET;
        settings->burst = settings->has_burst ? change->burst : 0;
    }
    if (change->pause_do != ENGINE_KEEP) {
        settings->paused = change->pause_do == ENGINE_SET;
        settings->paused_until_ms = settings->paused ? change->paused_until_ms : 0;
    }
}

struct adding {
    const struct queue *except;
    unsigned workers;
};

static void add_workers(struct queue *queue, void *arg)
{
    struct adding *adding = arg;
    if (queue == adding->except)
        return;
    rn_mutex_lock(&queue->mu);
    adding->workers +=
        queue->wanted.has_workers && queue->changes > 0 ? queue->wanted.workers : queue->workers;
    rn_mutex_unlock(&queue->mu);
}

int engine_queue_change(struct engine *engine, const struct engine_queue_change *change,
                        struct store_op *op)
{
    struct queue *queue = engine_find_queue(engine, change->name, false);
    if (queue == NULL)
        return -ENOENT;
    struct adding adding = {.except = queue};
    if (change->workers_do == ENGINE_SET)
        engine_each_queue(engine, add_workers, &adding);
    if (change->workers_do == ENGINE_SET && adding.workers + change->workers > CONFIG_WORKERS_MAX)
        return -EINVAL;

    struct change *under_way = malloc(sizeof(*under_way));
    if (under_way == NULL)
        return -ENOMEM;
    *under_way = (struct change){.queue = queue, .done_fn = op->done_fn, .arg = op->arg};
    op->type = STORE_QUEUE_SET;
    op->done_fn = changed;
    op->arg = under_way;
    op->now_ms = rn_wall_ms();
    memcpy(op->queue_set.queue, queue->name, sizeof(op->queue_set.queue));

    rn_mutex_lock(&queue->mu);
    if (queue->changes == 0)
        queue->wanted = queue->settings;
    struct store_queue_settings before = queue->wanted;
    merge(&queue->wanted, change);
    op->queue_set.settings = queue->wanted;
    queue->changes++;
    int r = store_submit(
        engine->store,
        op); // under the lock: two changes reach the store in the order in which they were merged
    if (r < 0) {
        queue->wanted = before;
        queue->changes--;
        op->done_fn = under_way->done_fn;
        op->arg = under_way->arg;
    }
    rn_mutex_unlock(&queue->mu);
    if (r < 0)
        free(under_way);
    return r;
}

/* ---- figures ---- */

int engine_stats(struct engine *engine, struct engine_stats *ret_stats)
{
    struct engine_queue *queues = NULL;
    size_t count = 0;

    int r = engine_queues(engine, &queues, &count);
    if (r < 0)
        return r;
    memset(ret_stats, 0, sizeof(*ret_stats));
    for (size_t i = 0; i < count; i++) {
        for (size_t state = 0; state < TASK_STATE_COUNT; state++)
            ret_stats->states[state] += queues[i].states[state];
        ret_stats->running += queues[i].running;
    }
    free(queues);
    store_stats(engine->store, &ret_stats->store);
    ret_stats->backlog = store_backlog(engine->store);
    ret_stats->waiting = atomic_load(&engine->waiters.present);
    kinds_sum(engine, ret_stats);
    ret_stats->failed_last_hour = failures_count(&engine->failures, rn_now());
    ret_stats->disk_full = store_is_full(engine->store);
    ret_stats->started_at_ms = engine->started_at_ms;
    return 0;
}

const struct metrics_histogram *engine_commit_times(struct engine *engine)
{
    return store_commit_times(engine->store);
}

const char *engine_store_id(struct engine *engine)
{
    return store_id(engine->store);
}

uint64_t engine_last_id(struct engine *engine)
{
    return store_last_id(engine->store);
}
