/* What is due: one thread that, at the earliest due time and at least every second, has the store
 * make tasks queued whose time has come and end those that have expired, sweeps what retention no
 * longer keeps, and ticks the queues. By the wall clock: a step back delays what is due by the
 * step, a step forward makes it due at once, and workers and rate bound what then starts. */
#include <string.h>

#include "engine/core.h"

enum { PROMOTE_SLICE = 1000, SWEEP_SLICE = 500 };
#define SWEEP_BUSY (100 * RN_MILLISECOND)

void schedule_init(struct schedule *schedule, struct engine *engine)
{
    schedule->engine = engine;
    rn_mutex_init(&schedule->mu, 30);
    rn_cond_init(&schedule->changed);
    rn_mutex_lock(&schedule->mu);
    schedule->next_due_ms = INT64_MAX;
    schedule->seen_due_ms = INT64_MAX;
    rn_mutex_unlock(&schedule->mu);
}

void schedule_retention(struct schedule *schedule, const struct config *config)
{
    rn_mutex_lock(&schedule->mu);
    schedule->retention = (struct store_retention){
        .keep_succeeded_ms = config->keep_succeeded / RN_MILLISECOND,
        .keep_failed_ms = config->keep_failed / RN_MILLISECOND,
        .keep_cancelled_ms = config->keep_cancelled / RN_MILLISECOND,
        .keep_count = config->keep_count,
        .keep_keys_ms = 24 * RN_HOUR / RN_MILLISECOND,
    };
    rn_mutex_unlock(&schedule->mu);
}

void schedule_fini(struct schedule *schedule)
{
    rn_cond_fini(&schedule->changed);
    rn_mutex_fini(&schedule->mu);
}

void schedule_at(struct schedule *schedule, int64_t due_ms)
{
    rn_mutex_lock(&schedule->mu);
    if (due_ms < schedule->seen_due_ms)
        schedule->seen_due_ms = due_ms;
    if (due_ms < schedule->next_due_ms) {
        schedule->next_due_ms = due_ms;
        rn_cond_signal(&schedule->changed);
    }
    rn_mutex_unlock(&schedule->mu);
}

/* On the store's thread. */
static void promoted(struct store_op *op, void *arg)
{
    struct schedule *schedule = arg;

    rn_mutex_lock(&schedule->mu);
    int64_t next_ms = op->promote.next_due_ms == 0 ? INT64_MAX : op->promote.next_due_ms;
    if (op->result < 0)
        next_ms = op->now_ms + 1000; // again in a second
    else if (op->promote.more)
        next_ms = op->now_ms;
    // What came since the submit may or may not be in the store's answer: the earlier of both can't
    // be too late.
    schedule->next_due_ms = next_ms < schedule->seen_due_ms ? next_ms : schedule->seen_due_ms;
    schedule->promoting = false;
    rn_cond_signal(&schedule->changed);
    rn_mutex_unlock(&schedule->mu);
}

static void swept(struct store_op *op, void *arg)
{
    struct schedule *schedule = arg;
    struct store *store = schedule->engine->store;

    // The next slice goes behind what has come meanwhile: no operation waits for more than one
    // slice.
    bool again = op->result == 0 && op->sweep.more;
    bool removed = op->sweep.removed > 0;
    if (again) {
        op->sweep.more = false;
        op->sweep.removed = 0;
        op->now_ms = rn_wall_ms();
        rn_mutex_lock(&schedule->mu);
        schedule->sweeping_by = schedule->retention;
        rn_mutex_unlock(&schedule->mu);
        again = store_submit_internal(store, op) == 0;
    }
    if (!again) {
        rn_mutex_lock(&schedule->mu);
        schedule->sweeping = false;
        // Where tasks end faster than retention lets them stay, the next look comes sooner.
        schedule->next_sweep = rn_after(removed ? SWEEP_BUSY : RN_SECOND);
        rn_cond_signal(&schedule->changed);
        rn_mutex_unlock(&schedule->mu);
    }
}

static void submit_promote(struct schedule *schedule, int64_t now_ms)
{
    struct store_op *op = &schedule->promote;

    rn_mutex_lock(&schedule->mu);
    schedule->promoting = true;
    schedule->seen_due_ms = INT64_MAX;
    rn_mutex_unlock(&schedule->mu);
    memset(op, 0, sizeof(*op));
    op->type = STORE_PROMOTE;
    op->done_fn = promoted;
    op->arg = schedule;
    op->now_ms = now_ms;
    op->promote.limit = PROMOTE_SLICE;
    if (store_submit_internal(schedule->engine->store, op) < 0) {
        rn_mutex_lock(&schedule->mu); // the store has stopped
        schedule->promoting = false;
        schedule->next_due_ms = INT64_MAX;
        rn_mutex_unlock(&schedule->mu);
    }
}

static void submit_sweep(struct schedule *schedule, int64_t now_ms)
{
    struct store_op *op = &schedule->sweep;

    rn_mutex_lock(&schedule->mu);
    bool submit = !schedule->sweeping && rn_now() >= schedule->next_sweep;
    schedule->sweeping = schedule->sweeping || submit;
    if (submit)
        schedule->sweeping_by = schedule->retention;
    rn_mutex_unlock(&schedule->mu);
    if (!submit)
        return;
    memset(op, 0, sizeof(*op));
    op->type = STORE_SWEEP;
    op->done_fn = swept;
    op->arg = schedule;
    op->now_ms = now_ms;
    op->sweep.retention = &schedule->sweeping_by;
    op->sweep.limit = SWEEP_SLICE;
    if (store_submit_internal(schedule->engine->store, op) < 0) {
        rn_mutex_lock(&schedule->mu);
        schedule->sweeping = false;
        rn_mutex_unlock(&schedule->mu);
    }
}

static void tick(struct queue *queue, void *arg)
{
    const int64_t *now_ms = arg;
    queue_tick(queue, *now_ms);
}

static rn_time next_look_locked(struct schedule *schedule, rn_time next_tick)
    RN_REQUIRES(&schedule->mu);

static rn_time next_look_locked(struct schedule *schedule, rn_time next_tick)
{
    return !schedule->sweeping && schedule->next_sweep < next_tick ? schedule->next_sweep
                                                                   : next_tick;
}

/* The thread's wait: until something is due, a sweep or a tick is, or the context ends. */
static bool wait_for_due(rn_context *ctx, struct schedule *schedule, rn_time next_tick)
{
    bool is_due = false;

    rn_mutex_lock(&schedule->mu);
    while (rn_context_err(ctx) == 0 && rn_now() < next_look_locked(schedule, next_tick)) {
        int64_t in_ms = schedule->promoting || schedule->next_due_ms == INT64_MAX
                            ? INT64_MAX
                            : schedule->next_due_ms - rn_wall_ms();
        is_due = in_ms <= 0;
        if (is_due)
            break;
        rn_time until = next_look_locked(schedule, next_tick);
        if (in_ms < 1000 && rn_after(in_ms * RN_MILLISECOND) < until)
            until = rn_after(in_ms * RN_MILLISECOND);
        if (rn_cond_wait(ctx, &schedule->changed, &schedule->mu, until) == -ECANCELED)
            break;
    }
    rn_mutex_unlock(&schedule->mu);
    return is_due;
}

int schedule_run(rn_context *ctx, void *arg)
{
    struct schedule *schedule = arg;
    rn_time next_tick = rn_now();

    while (rn_context_err(ctx) == 0) {
        bool is_due = wait_for_due(ctx, schedule, next_tick);
        int64_t now_ms = rn_wall_ms();
        if (is_due)
            submit_promote(schedule, now_ms);
        submit_sweep(schedule, now_ms);
        if (rn_now() >= next_tick) {
            engine_each_queue(schedule->engine, tick, &now_ms);
            next_tick = rn_after(RN_SECOND);
        }
    }
    return 0;
}
