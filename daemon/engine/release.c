/* Held tasks whose kind the configuration has again become queued: in slices, each an operation of
 * the store, one under way at a time. The kinds are those of the configuration at its submit; what
 * changes meanwhile has the whole done once more. */
#include <string.h>

#include "engine/core.h"

enum { RELEASE_SLICE = 1000 };

static bool is_wanted(void *arg, const char *kind)
{
    const struct releasing *releasing = arg;
    return config_kind_find(releasing->config, kind) != NULL;
}

static store_done_fn released;

static void submit(struct engine *engine)
{
    struct releasing *releasing = &engine->releasing;
    struct store_op *op = &releasing->op;

    releasing->config = engine_config_ref(engine);
    memset(op, 0, sizeof(*op));
    op->type = STORE_RELEASE;
    op->done_fn = released;
    op->arg = engine;
    op->now_ms = rn_wall_ms();
    op->release.is_wanted = is_wanted;
    op->release.arg = releasing;
    op->release.limit = RELEASE_SLICE;
    if (store_submit_internal(engine->store, op) == 0)
        return;
    config_unref(RN_TAKE(releasing->config)); // the store has stopped: the next start does it
    rn_mutex_lock(&engine->mu);
    releasing->under_way = false;
    rn_mutex_unlock(&engine->mu);
}

/* On the store's thread. */
static void released(struct store_op *op, void *arg)
{
    struct engine *engine = arg;
    struct releasing *releasing = &engine->releasing;

    config_unref(RN_TAKE(releasing->config));
    if (op->result == 0 && op->release.released > 0)
        log_event(LOG_LEVEL_NOTICE, "held_released", LOG_UINT("tasks", op->release.released));
    if (op->result < 0)
        log_event(LOG_LEVEL_ERR, "held_not_released", LOG_TEXT("error", rn_strerror(op->result)));
    rn_mutex_lock(&engine->mu);
    bool goes_on = releasing->again || (op->result == 0 && op->release.more);
    releasing->again = false;
    releasing->under_way = goes_on;
    rn_mutex_unlock(&engine->mu);
    if (goes_on)
        submit(engine);
}

void release_held(struct engine *engine)
{
    struct releasing *releasing = &engine->releasing;

    rn_mutex_lock(&engine->mu);
    bool is_first = !releasing->under_way;
    releasing->again = !is_first;
    releasing->under_way = true;
    rn_mutex_unlock(&engine->mu);
    if (is_first)
        submit(engine);
}
