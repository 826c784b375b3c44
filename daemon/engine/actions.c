/* One action on many tasks: a chain of reads and operations, each submitted by the done_fn of the
 * one before, so that no thread waits for it and nothing of it depends on who asked for it.
 *
 *     page (a reader's thread) → slice (the store's thread) → page → … → end
 *
 * A dry run has no slices. A drain ends it before the next page, with what was counted so far. */
#include <stdlib.h>

#include "engine/core.h"

static void read_page(struct engine_action *action);

/* Nothing of the action may be touched afterwards. */
static void end(struct engine_action *action, int result)
{
    action->result = result;
    atomic_fetch_sub(&action->engine->actions, 1);
    action->done_fn(action, action->arg);
}

/* Whether the action is legal in the state, as the store decides it. */
static bool is_legal(enum store_op_type type, enum task_state state)
{
    switch (type) {
    case STORE_CANCEL:
        return !task_state_is_final(state);
    case STORE_RETRY:
        return state == TASK_FAILED || state == TASK_CANCELLED;
    default:
        return task_state_is_final(state);
    }
}

/* On the store's thread. */
static void slice_done(struct store_op *op, void *arg)
{
    struct engine_action *action = arg;

    if (op->result < 0) {
        end(action, op->result);
        return;
    }
    action->matched += op->many.count;
    action->changed += op->many.changed;
    action->skipped += op->many.skipped;
    read_page(action);
}

/* Of the first `count` ids. */
static void submit_slice(struct engine_action *action, size_t count)
{
    action->op = (struct store_op){
        .type = STORE_MANY, .now_ms = rn_wall_ms(), .done_fn = slice_done, .arg = action};
    action->op.many.action = action->type;
    action->op.many.ids = action->ids;
    action->op.many.count = count;
    int r = store_submit_internal(action->engine->store, &action->op);
    if (r < 0)
        end(action, r);
}

/* On a reader's thread, or in view_read. What the states in the answer rule out is not asked of the
 * writer; the others it looks at again. */
static void page_done(struct store_read *read, void *arg)
{
    struct engine_action *action = arg;
    size_t legal = 0;

    if (read->result < 0) {
        end(action, read->result == -EINTR ? -EAGAIN : read->result); // too slow a disk
        return;
    }
    RN_ASSERT(read->list.count <= STORE_MANY_MAX);
    for (size_t i = 0; i < read->list.count; i++) {
        if (is_legal(action->type, read->list.rows[i]->state))
            action->ids[legal++] = read->list.rows[i]->id;
    }
    size_t illegal = read->list.count - legal;
    records_free(RN_TAKE(read->list.rows), read->list.count);
    action->before = read->list.next_before;
    action->matched += illegal;
    action->skipped += illegal;
    if (action->is_dry) {
        action->matched += legal;
        action->changed += legal;
        legal = 0;
    }
    if (legal > 0)
        submit_slice(action, legal);
    else
        read_page(action);
}

static void read_page(struct engine_action *action)
{
    struct store_read *read = &action->read;

    if (action->before == 0) { // the last page had no next one
        end(action, 0);
        return;
    }
    if (engine_phase(action->engine) == ENGINE_DRAINING) {
        end(action, -EPIPE);
        return;
    }
    *read = (struct store_read){.type = STORE_LIST, .done_fn = page_done, .arg = action};
    read->list.filter = action->filter;
    read->list.before = action->before;
    read->list.limit = STORE_MANY_MAX;
    int r = view_read(action->engine, read);
    if (r < 0)
        end(action, r);
}

int engine_action_start(struct engine *engine, struct engine_action *action)
{
    RN_ASSERT(action->type == STORE_CANCEL || action->type == STORE_RETRY ||
              action->type == STORE_DELETE);
    if (atomic_fetch_add(&engine->actions, 1) >= ENGINE_ACTIONS_MAX) {
        atomic_fetch_sub(&engine->actions, 1);
        return -EAGAIN;
    }
    action->engine = engine;
    action->matched = 0;
    action->changed = 0;
    action->skipped = 0;
    action->before = store_last_id(engine->store) + 1;
    read_page(action);
    return 0;
}
