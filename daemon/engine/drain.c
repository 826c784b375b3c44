/* The drain (guarantee 4): close, wait, cancel, wait, give up.
 *
 *     drain_timeout          kill_grace + 0.5 s
 *     |----------------------|------------------|
 *     close                  cancel             give up: workers that ignore their context
 *
 * engine_hurry ends either wait: at once to the cancel, and from then on with a kill_grace of 1 s.
 */
#include <utlist.h>

#include <runnel/chan.h>

#include "engine/core.h"

#define LEAVE_TIME                                                                                 \
    (500 * RN_MILLISECOND) // from SIGKILL, or the context's end, to the worker's leaving

struct drain_wait {
    rn_context *hurry;
    rn_time deadline;
    int result; // 0 while every queue looked at was empty
};

static void close_queue(struct queue *queue, void *arg)
{
    (void)arg;
    if (queue->service != NULL)
        rn_service_close(queue->service);
}

static void cancel_queue(struct queue *queue, void *arg)
{
    (void)arg;
    if (queue->service != NULL)
        rn_service_cancel(queue->service, CAUSE_DRAINED);
}

static void wait_for_queue(struct queue *queue, void *arg)
{
    struct drain_wait *wait = arg;
    if (queue->service == NULL)
        return;
    int r = rn_service_wait(wait->hurry, queue->service, wait->deadline);
    if (r < 0 && wait->result == 0)
        wait->result = r;
}

/* 0: all workers have left; -ETIMEDOUT, -ECANCELED (hurried): some have not. */
static int wait_for_workers(struct engine *engine, rn_context *hurry, rn_time deadline)
{
    struct drain_wait wait = {.hurry = hurry, .deadline = deadline};
    engine_each_queue(engine, wait_for_queue, &wait);
    return wait.result;
}

static void look_at_graces(struct queue *queue, void *arg)
{
    rn_duration *longest = arg;
    const struct task *task = NULL;

    rn_mutex_lock(&queue->mu);
    DL_FOREACH (queue->running, task) {
        if (task->kind->kill_grace > *longest)
            *longest = task->kind->kill_grace;
    }
    rn_mutex_unlock(&queue->mu);
}

/* Of the configuration, and of what runs under an earlier one. */
static rn_duration longest_grace(struct engine *engine)
{
    const struct config *config = engine_config_ref(engine);
    rn_duration longest = config->kill_grace;
    for (size_t i = 0; i < config->kind_count; i++) {
        if (config->kinds[i].kill_grace > longest)
            longest = config->kinds[i].kill_grace;
    }
    config_unref(config);
    engine_each_queue(engine, look_at_graces, &longest);
    return longest;
}

static void count_running(struct queue *queue, void *arg)
{
    unsigned *running = arg;
    rn_mutex_lock(&queue->mu);
    *running += queue->running_count;
    rn_mutex_unlock(&queue->mu);
}

static struct task *next_stuck(struct queue *queue)
{
    struct task *task = NULL;
    rn_mutex_lock(&queue->mu);
    DL_FOREACH (queue->running, task) {
        if (task->context != NULL && !task->given_up)
            break;
    }
    if (task != NULL)
        task->given_up = true;
    rn_mutex_unlock(&queue->mu);
    return task;
}

static void give_up(struct queue *queue, void *arg)
{
    unsigned *given_up = arg;
    struct task *task = next_stuck(queue);
    while (task != NULL) {
        attempt_give_up(task);
        (*given_up)++;
        task = next_stuck(queue);
    }
}

/* After the contexts have ended. 0, or -ETIMEDOUT: some were given up. */
static int wait_out_grace(struct engine *engine, bool hurried)
{
    rn_duration grace = hurried ? RN_SECOND : longest_grace(engine);
    int r = wait_for_workers(engine, hurried ? NULL : engine->hurry, rn_after(grace + LEAVE_TIME));
    if (r == -ECANCELED) {
        atomic_store(&engine->kill_grace_ns, RN_SECOND);
        r = wait_for_workers(engine, NULL, rn_after(RN_SECOND + LEAVE_TIME));
    }
    if (r == 0)
        return 0;

    unsigned given_up = 0;
    engine_each_queue(engine, give_up, &given_up);
    return -ETIMEDOUT;
}

static void flushed(struct store_op *op, void *arg)
{
    int done = op->result;
    int r = rn_chan_try_send(arg, &done); // capacity 1, one send
    RN_ASSERT(r == 0);
}

/* Waits until the ends that were submitted are on disk and told, so that who waits for them gets
 * them: a claim of nothing takes its turn behind them. */
static void flush(struct engine *engine)
{
    struct store_op op = {.type = STORE_CLAIM, .done_fn = flushed};
    rn_chan *chan = NULL;
    int done = 0;

    if (rn_chan_new(sizeof(done), 1, &chan) < 0)
        return; // they are answered with the state as it is
    op.arg = chan;
    int r = store_submit_wait(NULL, engine->store, &op);
    if (r == 0)
        r = rn_chan_recv(NULL, chan, &done);
    RN_ASSERT(r == 0 || r == -EPIPE);
    rn_chan_free(chan);
}

int engine_drain(struct engine *engine)
{
    unsigned running = 0;
    const struct config *config = engine_config_ref(engine);
    rn_duration timeout = config->drain_timeout;

    config_unref(config);
    atomic_store(&engine->phase, ENGINE_DRAINING);
    rn_context_cancel(rn_group_context(engine->group),
                      0); // the schedule: nothing becomes due any more
    waiters_refuse(&engine->waiters);
    engine_each_queue(engine, close_queue, NULL);
    engine_each_queue(engine, count_running, &running);
    log_event(LOG_LEVEL_NOTICE, "draining", LOG_UINT("running", running),
              LOG_INT("drain_timeout_ms", timeout / RN_MILLISECOND));

    int r = wait_for_workers(engine, engine->hurry, rn_after(timeout));
    if (r < 0) {
        bool hurried = r == -ECANCELED;
        if (hurried)
            atomic_store(&engine->kill_grace_ns, RN_SECOND);
        running = 0;
        engine_each_queue(engine, count_running, &running);
        log_event(LOG_LEVEL_WARN, "drain_cancels", LOG_UINT("running", running));
        engine_each_queue(engine, cancel_queue, NULL);
        r = wait_out_grace(engine, hurried);
    }
    flush(engine);
    waiters_close(&engine->waiters);
    return r;
}

void engine_hurry(struct engine *engine)
{
    rn_context_cancel(engine->hurry, 0);
}
