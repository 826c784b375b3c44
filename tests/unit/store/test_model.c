/* Random operations, in groups, against a model that knows what each may do; the counters against
 * GROUP BY; and a restart in between. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { TASKS_MAX = 2000, ROUNDS = 60, OPS_MAX = 24, MANY_MAX = 8 };

struct model {
    enum task_state states[TASKS_MAX]; // TASK_STATE_COUNT: removed
    uint64_t runs[TASKS_MAX];
    uint64_t count; // ids 1..count
    uint32_t random;
};

static uint32_t pick(struct model *model, uint32_t below)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 17;
    model->random ^= model->random << 5;
    return model->random % below;
}

static void prepare_put(struct model *model, struct store_op *op, struct record **record)
{
    static const char *const queues[] = {"a", "b", "c"};
    *record = new_record(queues[pick(model, 3)], "k", "1");
    if (pick(model, 3) == 0) {
        (*record)->state = TASK_SCHEDULED;
        (*record)->due_at_ms = rn_wall_ms() + 3600000;
    }
    *op = (struct store_op){.type = STORE_PUT, .put = {.records = record, .count = 1}};
}

static void prepare_finish(struct fixture *fixture, struct model *model, uint64_t id,
                           struct store_op *op, struct record **record)
{
    static const enum task_state ends[] = {TASK_SUCCEEDED, TASK_FAILED, TASK_CANCELLED,
                                           TASK_RETRYING, TASK_QUEUED};
    *record = get(fixture, id, NULL);
    if (*record == NULL) { // removed: the end of a worker that was given up
        *record = new_record("a", "k", NULL);
        (*record)->id = id;
    }
    (*record)->run = model->runs[id] + 1;
    (*record)->due_at_ms = rn_wall_ms() + 3600000;
    *op = (struct store_op){.type = STORE_FINISH,
                            .finish = {.record = *record, .to = ends[pick(model, 5)]}};
}

/* Of what an operation points to. */
struct parts {
    struct record *record;
    uint64_t ids[MANY_MAX];
    size_t changed; // expected
};

static void prepare_many(struct model *model, uint64_t known, struct store_op *op,
                         struct parts *parts)
{
    static const enum store_op_type actions[] = {STORE_CANCEL, STORE_RETRY, STORE_DELETE};
    size_t count = 1 + pick(model, MANY_MAX);
    for (size_t i = 0; i < count; i++)
        parts->ids[i] = 1 + pick(model, (uint32_t)known);
    *op = (struct store_op){
        .type = STORE_MANY,
        .many = {.action = actions[pick(model, 3)], .ids = parts->ids, .count = count}};
}

/* An end brings the queue that its task had at its start: no task in flight is moved. */
static void prepare_edit(struct model *model, uint64_t id, bool moves, struct store_op *op,
                         struct parts *parts)
{
    static const char *const queues[] = {"a", "b", "d"};
    parts->record = new_record(queues[pick(model, 3)], "k", NULL);
    parts->record->priority = (int)pick(model, 201) - 100;
    parts->record->due_at_ms = pick(model, 2) == 0 ? 0 : rn_wall_ms() + 3600000;
    unsigned fields = STORE_EDIT_PRIORITY | (moves ? STORE_EDIT_QUEUE : 0) |
                      (pick(model, 2) == 0 ? STORE_EDIT_RUN_AT : 0);
    *op = (struct store_op){.type = STORE_EDIT,
                            .now_ms = rn_wall_ms(),
                            .edit = {.id = id, .record = parts->record, .fields = fields}};
}

static int expect_edit(struct model *model, const struct store_op *op)
{
    enum task_state *state = &model->states[op->edit.id];
    if (*state == TASK_STATE_COUNT)
        return -ENODATA;
    if (task_state_is_final(*state))
        return -ESTALE;
    if ((op->edit.fields & STORE_EDIT_RUN_AT) != 0)
        *state = op->edit.record->due_at_ms != 0 ? TASK_SCHEDULED : TASK_QUEUED;
    return 0;
}

/* What the model says to one operation: its result, and the new state. */
static int expect(struct model *model, const struct store_op *op)
{
    if (op->type == STORE_EDIT)
        return expect_edit(model, op);
    uint64_t id = op->type == STORE_FINISH ? op->finish.record->id : op->one.id;
    if (op->type == STORE_PUT) {
        model->count++;
        model->runs[model->count] = 0;
        model->states[model->count] = op->put.records[0]->state;
        return 0;
    }
    enum task_state *state = &model->states[id];
    if (op->type == STORE_FINISH) {
        if (*state != TASK_QUEUED || op->finish.record->run <= model->runs[id])
            return -ESTALE;
        model->runs[id] = op->finish.record->run;
        *state = op->finish.to;
        return 0;
    }
    if (*state == TASK_STATE_COUNT)
        return -ENODATA;
    bool is_final = task_state_is_final(*state);
    switch (op->type) {
    case STORE_CANCEL:
        if (is_final && *state != TASK_CANCELLED)
            return -ESTALE;
        *state = TASK_CANCELLED;
        return 0;
    case STORE_RETRY:
        if (*state != TASK_FAILED && *state != TASK_CANCELLED)
            return -ESTALE;
        *state = TASK_QUEUED;
        return 0;
    default:
        if (!is_final)
            return -ESTALE;
        *state = TASK_STATE_COUNT;
        return 0;
    }
}

/* The same of many: how many of them change. */
static size_t expect_many(struct model *model, const struct store_op *op)
{
    size_t changed = 0;
    for (size_t i = 0; i < op->many.count; i++) {
        struct store_op one = {.type = op->many.action, .one.id = op->many.ids[i]};
        bool was_cancelled = model->states[one.one.id] == TASK_CANCELLED;
        bool is_done = expect(model, &one) == 0;
        changed += is_done && !(one.type == STORE_CANCEL && was_cancelled) ? 1 : 0;
    }
    return changed;
}

static void prepare(struct fixture *fixture, struct model *model, uint64_t known,
                    struct store_op *op, struct parts *parts, bool moves)
{
    uint32_t what = pick(model, 14);
    uint64_t id = known == 0 ? 0 : 1 + pick(model, (uint32_t)known);
    if (what < 3 || id == 0)
        prepare_put(model, op, &parts->record);
    else if (what < 6 && !moves)
        prepare_finish(fixture, model, id, op, &parts->record);
    else if (what < 9)
        prepare_edit(model, id, moves, op, parts);
    else if (what < 11)
        prepare_many(model, known, op, parts);
    else
        *op = (struct store_op){.type = what == 11   ? STORE_CANCEL
                                        : what == 12 ? STORE_RETRY
                                                     : STORE_DELETE,
                                .one.id = id};
}

static void one_round(struct fixture *fixture, struct model *model)
{
    struct store_op ops[OPS_MAX];
    struct parts parts[OPS_MAX] = {{.record = NULL}};
    int expected[OPS_MAX];
    size_t count = 1 + pick(model, OPS_MAX);
    bool moves = pick(model, 3) == 0;
    uint64_t known = model->count;

    for (size_t i = 0; i < count; i++)
        prepare(fixture, model, known, &ops[i], &parts[i], moves);
    for (size_t i = 0; i < count; i++) {
        expected[i] = ops[i].type == STORE_MANY ? 0 : expect(model, &ops[i]);
        if (ops[i].type == STORE_MANY)
            parts[i].changed = expect_many(model, &ops[i]);
    }

    run_together(fixture, ops, count);

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ops[i].result, expected[i]);
        if (ops[i].type == STORE_MANY) {
            assert_int_equal(ops[i].many.changed, parts[i].changed);
            assert_int_equal(ops[i].many.skipped, ops[i].many.count - parts[i].changed);
        }
        record_free(parts[i].record);
    }
}

static void any_operations_in_any_order_leave_what_the_model_says(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->random = 2463534242u;

    for (int round = 0; round < ROUNDS; round++) {
        one_round(fixture, model);
        forget_events(fixture);
        if (round % 10 == 9) {
            check_counts(fixture);
            close_store(fixture);
            open_store(fixture);
        }
    }
    assert_int_equal(store_last_id(fixture->store), model->count);
    for (uint64_t id = 1; id <= model->count; id++) {
        int r = 0;
        struct record *record = get(fixture, id, &r);
        if (model->states[id] == TASK_STATE_COUNT) {
            assert_int_equal(r, -ENODATA);
            continue;
        }
        assert_non_null(record);
        assert_int_equal(record->state, model->states[id]);
        assert_int_equal(record->run, model->runs[id]);
        record_free(record);
    }
    check_counts(fixture);
    assert_int_equal(query(fixture, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                    "integrity_check <> 'ok'"),
                     0);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_operations_in_any_order_leave_what_the_model_says,
                                        store_setup, store_teardown),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
