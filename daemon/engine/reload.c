/* Another configuration in place of the one in force (engine_reload), in three steps.
 *
 *   1. Prepare: the objects of new queues and kinds, and the threads of every worker that will be
 *      needed. Nothing of it is seen or starts anything yet; where one of them fails, all is
 * undone.
 *   2. Switch, under the engine's lock: the table gets the new queues and kinds (all of them or,
 * where memory fails, none), then pointer, queues and limits change. From the table on nothing can
 * fail.
 *   3. Settle: workers that are too many leave, windows are filled, held tasks are released. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/core.h"

/* A queue that the configuration names. */
struct planned {
    struct queue *queue;
    bool is_new; // and not yet in the table
};

struct plan {
    const struct config *config;
    struct planned *queues; // as many as the configuration has, in its order
    size_t queue_count;     // of them, how many are prepared
    struct kind **kinds;    // new ones
    size_t kind_count;
};

/* ---- prepare ---- */

static int prepare_queue(struct engine *engine, struct plan *plan, const struct config_queue *file)
{
    struct planned planned = {.queue = engine_find_queue(engine, file->name, false)};
    int r = 0;

    if (planned.queue == NULL) {
        planned.is_new = true;
        r = queue_new(engine, file->name, &planned.queue);
        if (r < 0)
            return r;
    }
    plan->queues[plan->queue_count++] = planned;
    return queue_prepare(planned.queue, file);
}

static int prepare(struct engine *engine, struct plan *plan, struct error *reterr)
{
    const struct config *config = plan->config;

    int r = kinds_new(engine, config, &plan->kinds, &plan->kind_count);
    if (r == -EMSGSIZE)
        return error_set(reterr, r,
                         "more than %d names of kinds since the start of the daemon: restart it",
                         ENGINE_KINDS_MAX);
    plan->queues = calloc(config->queue_count + 1, sizeof(*plan->queues));
    if (r < 0 || plan->queues == NULL)
        return error_set(reterr, -ENOMEM, "no memory for the new configuration");
    for (size_t i = 0; i < config->queue_count; i++) {
        r = prepare_queue(engine, plan, &config->queues[i]);
        if (r < 0)
            return error_set(reterr, r, "cannot start the workers of queue '%s': %s",
                             config->queues[i].name, rn_strerror(r));
    }
    return 0;
}

/* Gives back what was prepared and is not in force. */
static void undo(struct plan *plan)
{
    for (size_t i = 0; i < plan->queue_count; i++) {
        if (plan->queues[i].is_new)
            queue_free(plan->queues[i].queue);
        else
            queue_settle(plan->queues[i].queue);
    }
    kinds_free(plan->kinds, plan->kind_count);
    free(plan->queues);
}

/* ---- switch ---- */

static void remove_queues_locked(struct engine *engine, struct plan *plan, size_t count)
    RN_REQUIRES(&engine->mu);
static int add_queues_locked(struct engine *engine, struct plan *plan) RN_REQUIRES(&engine->mu);
static int add_locked(struct engine *engine, struct plan *plan) RN_REQUIRES(&engine->mu);
static void switch_locked(struct engine *engine, struct plan *plan) RN_REQUIRES(&engine->mu);

/* Takes the first `count` of the plan out again: nobody has seen them, the lock was held all the
 * time. */
static void remove_queues_locked(struct engine *engine, struct plan *plan, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!plan->queues[i].is_new)
            continue;
        RN_ASSERT(engine->queues != NULL);
        HASH_DEL(engine->queues, plan->queues[i].queue);
    }
}

static int add_queues_locked(struct engine *engine, struct plan *plan)
{
    for (size_t i = 0; i < plan->queue_count; i++) {
        struct queue *other = NULL;
        if (!plan->queues[i].is_new)
            continue;
        // A change of its overrides may have made one meanwhile.
        HASH_FIND_STR(engine->queues, plan->queues[i].queue->name, other);
        if (other == NULL && engine_add_queue_locked(engine, plan->queues[i].queue))
            continue;
        remove_queues_locked(engine, plan, i);
        return other != NULL ? -EAGAIN : -ENOMEM;
    }
    return 0;
}

static int add_locked(struct engine *engine, struct plan *plan)
{
    int r = add_queues_locked(engine, plan);
    if (r < 0)
        return r;
    r = kinds_add_locked(engine, plan->kinds, plan->kind_count);
    if (r < 0)
        remove_queues_locked(engine, plan, plan->queue_count);
    return r;
}

static void switch_locked(struct engine *engine, struct plan *plan)
{
    struct queue *queue = engine->queues;

    for (; queue != NULL; queue = queue->hh.next) {
        const struct config_queue *file = config_queue_find(plan->config, queue->name);
        queue_switch(queue, file,
                     file != NULL ? (unsigned)(file - plan->config->queues) : UINT_MAX);
    }
    engine->config = config_ref(plan->config);
    atomic_store_explicit(&engine->max_backlog, plan->config->max_backlog, memory_order_relaxed);
}

static void settle_queue(struct queue *queue, void *arg)
{
    (void)arg;
    queue_settle(queue);
}

/* What each has a lock of its own for. */
static void settle(struct engine *engine, const struct config *config)
{
    waiters_set_limit(&engine->waiters, config->max_waiting);
    schedule_retention(&engine->schedule, config);
    store_set_max_backlog(engine->store, config->max_backlog);
    log_set_level(config->log_level);
    log_format_set(config->log_format);
    engine_each_queue(engine, settle_queue, NULL);
    release_held(engine);
    engine_warn_missing(engine);
}

/* ---- what is told ---- */

void engine_reload_refused(struct engine *engine, const char *why)
{
    rn_mutex_lock(&engine->mu);
    struct engine_configuration *configuration = &engine->configuration;
    (void)snprintf(configuration->last_error, sizeof(configuration->last_error), "%s", why);
    configuration->last_error_at_ms = rn_wall_ms();
    rn_mutex_unlock(&engine->mu);
}

void engine_configuration(struct engine *engine, struct engine_configuration *ret_configuration)
{
    rn_mutex_lock(&engine->mu);
    *ret_configuration = engine->configuration;
    rn_mutex_unlock(&engine->mu);
}

static void told_locked(struct engine *engine, const struct config_changes *changes)
    RN_REQUIRES(&engine->mu);

static void told_locked(struct engine *engine, const struct config_changes *changes)
{
    struct engine_configuration *configuration = &engine->configuration;

    *configuration = (struct engine_configuration){.loaded_at_ms = engine->config->loaded_at_ms,
                                                   .restart_count = changes->restart_count};
    for (size_t i = 0; i < changes->restart_count; i++)
        configuration->restart_needed[i] = changes->restart_needed[i];
}

static int put_in_force(struct engine *engine, struct plan *plan,
                        struct config_changes *ret_changes, struct error *reterr)
{
    const struct config *before = engine_config_ref(engine);

    int r = config_compare(engine->start, before, plan->config, ret_changes);
    if (r < 0)
        (void)error_set(reterr, r, "no memory for the new configuration");
    else
        r = prepare(engine, plan, reterr);
    if (r == 0) {
        rn_mutex_lock(&engine->mu);
        r = add_locked(engine, plan);
        if (r == 0) {
            switch_locked(engine, plan);
            told_locked(engine, ret_changes);
        }
        rn_mutex_unlock(&engine->mu);
        if (r < 0)
            (void)error_set(reterr, r, "the new configuration could not be put in force: %s",
                            rn_strerror(r));
        else
            config_unref(before); // the engine's reference
    }
    config_unref(before);
    return r;
}

int engine_reload(struct engine *engine, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr)
{
    struct plan plan = {.config = config};
    struct error error = {0};

    int r = put_in_force(engine, &plan, ret_changes, &error);
    if (r < 0) {
        undo(&plan);
        engine_reload_refused(engine, error.text);
        if (reterr != NULL)
            *reterr = error;
        return r;
    }
    free(plan.queues);
    free(plan.kinds);
    settle(engine, config);
    return 0;
}

/* ---- a sign of life ---- */

static void beaten(struct store_op *op, void *arg)
{
    struct engine *engine = arg;
    (void)op;
    atomic_fetch_add(&engine->beats, 1);
    atomic_store(&engine->is_beating, false);
}

uint64_t engine_beat(struct engine *engine)
{
    uint64_t beats = atomic_load(&engine->beats);

    if (atomic_exchange(&engine->is_beating, true))
        return beats;
    // A claim of nothing takes its turn in the writer's list, and writes nothing.
    engine->beat = (struct store_op){.type = STORE_CLAIM, .done_fn = beaten, .arg = engine};
    if (store_submit_internal(engine->store, &engine->beat) < 0)
        atomic_store(&engine->is_beating, false); // it has stopped
    return beats;
}
