/** \file One action on many tasks, over a real store: its slices, its ends, and memory that runs
 * out at any point of it. */
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/chan.h>

#include "engine/core.h"
#include "fault.h"

enum { TASKS = 2 * STORE_MANY_MAX + 50 };

static struct config_queue queues[] = {{.name = "default"}};
static struct config config = {
    .references = 1, .self = &config, .queues = queues, .queue_count = 1};

/* An engine that is nothing but its store. */
struct rig {
    char folder[64], path[96];
    struct engine engine;
    rn_chan *done;
    void (*on_group_end)(struct rig *rig); // on the store's thread; NULL: nothing
    struct store_op late;
    struct record *late_record;
};

static int on_event(void *arg, struct store_event *event)
{
    struct rig *rig = arg;
    if (event->type == STORE_EVENT_GROUP_END && rig->on_group_end != NULL)
        rig->on_group_end(rig);
    return 0;
}

static bool no_policy(void *arg, const char *kind, struct store_interruption_policy *ret_policy)
{
    (void)arg;
    (void)kind;
    (void)ret_policy;
    return false;
}

static int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct store_recovery recovery;
    struct error error;
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/runnel-actions-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->path, sizeof(rig->path), "%s/store", rig->folder);
    struct store_options options = {
        .path = rig->path, .max_backlog = 100000, .events = on_event, .arg = rig};
    struct engine *engine = &rig->engine;
    rn_mutex_init(&engine->mu, 10);
    rn_mutex_lock(&engine->mu);
    engine->config = &config;
    rn_mutex_unlock(&engine->mu);
    atomic_init(&engine->phase, ENGINE_READY);
    assert_int_equal(rn_chan_new(sizeof(int), 1, &rig->done), 0);
    assert_int_equal(store_open(&options, &engine->store, &error), 0);
    assert_int_equal(store_recover(engine->store, no_policy, NULL, &recovery, &error), 0);
    assert_int_equal(store_start(engine->store, &error), 0);
    *state = rig;
    return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place)
{
    (void)stat;
    (void)type;
    (void)place;
    return remove(path);
}

static int rig_teardown(void **state)
{
    struct rig *rig = *state;
    store_stop(rig->engine.store);
    store_free(rig->engine.store);
    rn_mutex_fini(&rig->engine.mu);
    rn_chan_free(rig->done);
    assert_int_equal(nftw(rig->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(rig);
    return 0;
}

static void wake(struct rig *rig)
{
    int done = 0;
    assert_int_equal(rn_chan_try_send(rig->done, &done), 0);
}

static void wait_done(struct rig *rig)
{
    int done = 0;
    assert_int_equal(rn_chan_recv(NULL, rig->done, &done), 0);
}

static void op_done(struct store_op *op, void *arg)
{
    (void)op;
    wake(arg);
}

static void action_done(struct engine_action *action, void *arg)
{
    (void)action;
    wake(arg);
}

static struct record *new_task(void)
{
    struct record *record = malloc(sizeof(*record));
    assert_non_null(record);
    record_init(record);
    record->state = TASK_QUEUED;
    memcpy(record->queue, "default", sizeof("default"));
    memcpy(record->kind, "noop", sizeof("noop"));
    return record;
}

static void put(struct rig *rig, size_t count)
{
    struct record **records = calloc(count, sizeof(struct record *));
    assert_non_null(records);
    for (size_t i = 0; i < count; i++)
        records[i] = new_task();
    struct store_op op = {.type = STORE_PUT,
                          .now_ms = 1000,
                          .done_fn = op_done,
                          .arg = rig,
                          .put = {.records = records, .count = count}};
    assert_int_equal(store_submit(rig->engine.store, &op), 0);
    wait_done(rig);
    assert_int_equal(op.result, 0);
    records_free(records, count);
}

static void act(struct rig *rig, struct engine_action *action)
{
    action->done_fn = action_done;
    action->arg = rig;
    assert_int_equal(engine_action_start(&rig->engine, action), 0);
    wait_done(rig);
    assert_int_equal(action->matched, action->changed + action->skipped);
    assert_int_equal(atomic_load(&rig->engine.actions), 0);
}

static uint64_t count(struct rig *rig, enum task_state state)
{
    struct store_queue_counts *counts = NULL;
    size_t queue_count = 0;
    assert_int_equal(store_counts(rig->engine.store, &counts, &queue_count), 0);
    assert_int_equal(queue_count, 1);
    uint64_t found = counts[0].states[state];
    free(counts);
    return found;
}

/* ---- tests ---- */

static void it_comes_to_every_task_once(void **state)
{
    struct rig *rig = *state;
    put(rig, TASKS);
    struct engine_action dry = {.type = STORE_CANCEL, .is_dry = true};
    struct engine_action cancel = {.type = STORE_CANCEL};
    struct engine_action again = {.type = STORE_CANCEL};
    struct engine_action retry = {.type = STORE_RETRY, .filter = {.states = 1u << TASK_CANCELLED}};

    act(rig, &dry);
    assert_int_equal(dry.changed, TASKS);
    assert_int_equal(count(rig, TASK_QUEUED), TASKS);
    act(rig, &cancel);
    assert_int_equal(cancel.result, 0);
    assert_int_equal(cancel.changed, TASKS);
    assert_int_equal(count(rig, TASK_CANCELLED), TASKS);
    act(rig, &again);
    assert_int_equal(again.matched, TASKS);
    assert_int_equal(again.changed, 0);
    // What it makes queued again no longer fits, and it is not looked at a second time.
    act(rig, &retry);
    assert_int_equal(retry.matched, TASKS);
    assert_int_equal(count(rig, TASK_QUEUED), TASKS);
}

static void put_one_more(struct rig *rig)
{
    rig->on_group_end = NULL;
    rig->late = (struct store_op){
        .type = STORE_PUT, .now_ms = 1000, .put = {.records = &rig->late_record, .count = 1}};
    assert_int_equal(store_submit_internal(rig->engine.store, &rig->late), 0);
}

static void what_comes_after_its_start_is_left_alone(void **state)
{
    struct rig *rig = *state;
    put(rig, TASKS);
    rig->late_record = new_task();
    rig->on_group_end = put_one_more;
    struct engine_action cancel = {.type = STORE_CANCEL};

    act(rig, &cancel);

    assert_int_equal(cancel.matched, TASKS);
    assert_int_equal(count(rig, TASK_QUEUED), 1);
    record_free(rig->late_record);
}

static void drain(struct rig *rig)
{
    atomic_store(&rig->engine.phase, ENGINE_DRAINING);
}

static void a_drain_ends_it_between_two_slices(void **state)
{
    struct rig *rig = *state;
    put(rig, TASKS);
    rig->on_group_end = drain;
    struct engine_action cancel = {.type = STORE_CANCEL};
    struct engine_action late = {.type = STORE_CANCEL};

    act(rig, &cancel);

    assert_int_equal(cancel.result, -EPIPE);
    assert_int_equal(cancel.matched, STORE_MANY_MAX);
    assert_int_equal(cancel.changed, STORE_MANY_MAX);
    assert_int_equal(count(rig, TASK_CANCELLED), STORE_MANY_MAX);
    act(rig, &late);
    assert_int_equal(late.result, -EPIPE);
    assert_int_equal(late.matched, 0);
}

static void only_so_many_are_under_way(void **state)
{
    struct rig *rig = *state;
    struct engine_action action = {.type = STORE_DELETE};
    atomic_store(&rig->engine.actions, ENGINE_ACTIONS_MAX);

    assert_int_equal(engine_action_start(&rig->engine, &action), -EAGAIN);

    assert_int_equal(atomic_load(&rig->engine.actions), ENGINE_ACTIONS_MAX);
    atomic_store(&rig->engine.actions, 0);
    act(rig, &action);
    assert_int_equal(action.result, 0);
}

static void a_failed_allocation_ends_it_with_what_was_done(void **state)
{
    struct rig *rig = *state;
    unsigned cut_short = 0;
    put(rig, TASKS);
    enum { STEP = 37 }; // rows are read by several allocations each, all alike
    for (int nth = 1;; nth += nth < 50 ? 1 : STEP) {
        uint64_t cancelled = count(rig, TASK_CANCELLED);
        struct engine_action action = {.type = cancelled == 0 ? STORE_CANCEL : STORE_RETRY};

        fault_fail_malloc(nth);
        act(rig, &action);
        bool reached = fault_reached();

        assert_true(action.result == 0 || (action.result == -ENOMEM && reached));
        cut_short += action.result < 0 ? 1 : 0;
        uint64_t now = count(rig, TASK_CANCELLED);
        assert_int_equal(now > cancelled ? now - cancelled : cancelled - now, action.changed);
        if (!reached)
            break;
    }
    assert_true(cut_short > 10);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(it_comes_to_every_task_once),
        ON_RIG(what_comes_after_its_start_is_left_alone),
        ON_RIG(a_drain_ends_it_between_two_slices),
        ON_RIG(only_so_many_are_under_way),
        ON_RIG(a_failed_allocation_ends_it_with_what_was_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
