/* Other settings for a task that waits, and what is done to many at once. */
#include <stdlib.h>
#include <string.h>

#include "fault_vfs.h"
#include "support.h"

enum { NOW_MS = 1000000 };

/* One edit; values is the caller's. */
static int edit(struct fixture *fixture, uint64_t id, struct record *values, unsigned fields,
                enum task_state *state)
{
    struct store_op op = {.type = STORE_EDIT,
                          .now_ms = NOW_MS,
                          .edit = {.id = id, .record = values, .fields = fields}};
    int r = run_op(fixture, &op);
    if (state != NULL)
        *state = op.edit.state;
    return r;
}

static int set_run_at(struct fixture *fixture, uint64_t id, int64_t due_at_ms)
{
    struct record values = {.due_at_ms = due_at_ms};
    return edit(fixture, id, &values, STORE_EDIT_RUN_AT, NULL);
}

static int64_t queued_in(struct fixture *fixture, const char *queue)
{
    struct store_queue_counts *counts = NULL;
    size_t count = 0;
    int64_t queued = 0;
    assert_int_equal(store_counts(fixture->store, &counts, &count), 0);
    for (size_t i = 0; i < count; i++)
        if (strcmp(counts[i].queue, queue) == 0)
            queued = (int64_t)counts[i].states[TASK_QUEUED];
    free(counts);
    return queued;
}

static int many(struct fixture *fixture, enum store_op_type action, const uint64_t *ids,
                size_t count, struct store_op *op)
{
    *op = (struct store_op){.type = STORE_MANY,
                            .now_ms = NOW_MS,
                            .many = {.action = action, .ids = ids, .count = count}};
    return run_op(fixture, op);
}

/* ---- edits ---- */

static void an_edit_sets_what_it_names_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    struct record *values = new_record("b", "k2", "ignored");
    values->priority = -7;
    values->expires_at_ms = NOW_MS + 5000;
    values->max_attempts = 9;
    values->timeout_ms = 1234;
    values->backoff_base_ms = 11;
    values->backoff_max_ms = 22;
    assert_int_equal(text_set(&values->tags, "[\"t\"]", 5), 0);

    assert_int_equal(edit(fixture, id, values, STORE_EDIT_TAGS | STORE_EDIT_TIMEOUT, NULL), 0);

    struct record *record = get(fixture, id, NULL);
    assert_string_equal(record->queue, "a");
    assert_int_equal(record->priority, 0);
    assert_int_equal(record->max_attempts, 0);
    assert_int_equal(record->backoff_base_ms, 0);
    assert_int_equal(record->expires_at_ms, 0);
    assert_int_equal(record->timeout_ms, 1234);
    assert_string_equal(record->tags.bytes, "[\"t\"]");
    record_free(record);

    forget_events(fixture);
    assert_int_equal(edit(fixture, id, values, ~0u & ~(unsigned)STORE_EDIT_RUN_AT, NULL), 0);

    record = get(fixture, id, NULL);
    assert_string_equal(record->queue, "b");
    assert_string_equal(record->kind, "k2");
    assert_int_equal(record->priority, -7);
    assert_int_equal(record->expires_at_ms, NOW_MS + 5000);
    assert_int_equal(record->max_attempts, 9);
    assert_int_equal(record->backoff_base_ms, 11);
    assert_int_equal(record->backoff_max_ms, 22);
    assert_string_equal(record->args.bytes, "{\"n\":1}");
    record_free(record);
    // Out of the one window, then, in the commit's events, into the other.
    assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, id), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 1);
    assert_int_equal(queued_in(fixture, "a"), 0);
    assert_int_equal(queued_in(fixture, "b"), 1);
    check_counts(fixture);
    record_free(values);
}

static void nothing_sets_a_field_back(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("a", "k", NULL);
    record->timeout_ms = 5;
    record->max_attempts = 5;
    record->backoff_base_ms = 5;
    record->expires_at_ms = rn_wall_ms() + 3600000;
    assert_int_equal(text_set(&record->tags, "[\"t\"]", 5), 0);
    uint64_t id = put_one(fixture, record);
    struct record none = {0};

    assert_int_equal(edit(fixture, id, &none,
                          STORE_EDIT_TIMEOUT | STORE_EDIT_MAX_ATTEMPTS | STORE_EDIT_BACKOFF |
                              STORE_EDIT_EXPIRES_AT | STORE_EDIT_TAGS,
                          NULL),
                     0);

    record = get(fixture, id, NULL);
    assert_int_equal(record->timeout_ms, 0);
    assert_int_equal(record->max_attempts, 0);
    assert_int_equal(record->backoff_base_ms, 0);
    assert_int_equal(record->expires_at_ms, 0);
    assert_null(record->tags.bytes);
    record_free(record);
}

static void its_time_makes_it_scheduled_or_queued(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    forget_events(fixture);

    assert_int_equal(set_run_at(fixture, id, NOW_MS + 1), 0);
    assert_int_equal(state_of(fixture, id), TASK_SCHEDULED);
    assert_int_equal(count_events(fixture, STORE_EVENT_WAITING, id), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 0);
    check_counts(fixture);
    // Other settings leave it so, and need no window.
    struct record values = {.priority = 3};
    forget_events(fixture);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_PRIORITY, NULL), 0);
    assert_int_equal(state_of(fixture, id), TASK_SCHEDULED);
    assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, id), 0);

    assert_int_equal(set_run_at(fixture, id, NOW_MS), 0);
    struct record *record = get(fixture, id, NULL);
    assert_int_equal(record->state, TASK_QUEUED);
    assert_int_equal(record->queued_at_ms, NOW_MS);
    record_free(record);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 1);
    check_counts(fixture);

    assert_int_equal(finish(fixture, id, TASK_RETRYING), 0);
    assert_int_equal(set_run_at(fixture, id, 0), 0);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    assert_int_equal(finish(fixture, id, TASK_RETRYING), 0);
    assert_int_equal(set_run_at(fixture, id, NOW_MS + 1), 0);
    assert_int_equal(state_of(fixture, id), TASK_SCHEDULED);
    check_counts(fixture);
}

static void a_held_one_is_freed_by_its_kind_alone(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    struct store_op hold = {.type = STORE_HOLD, .hold.id = id};
    assert_int_equal(run_op(fixture, &hold), 0);
    struct record *values = new_record("b", "k2", NULL);

    assert_int_equal(edit(fixture, id, values, STORE_EDIT_QUEUE, NULL), 0);
    assert_int_equal(state_of(fixture, id), TASK_HELD);
    assert_int_equal(set_run_at(fixture, id, 0), 0);
    assert_int_equal(state_of(fixture, id), TASK_HELD);
    check_counts(fixture);
    forget_events(fixture);
    assert_int_equal(edit(fixture, id, values, STORE_EDIT_KIND, NULL), 0);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 1);
    assert_int_equal(run_op(fixture, &hold), 0);
    assert_int_equal(set_run_at(fixture, id, NOW_MS + 1), 0);
    assert_int_equal(state_of(fixture, id), TASK_SCHEDULED);
    check_counts(fixture);
    record_free(values);
}

/* Answers the first withdrawal as of one in flight, and later ones as of one that is not. */
static void land_after_one_look(struct fixture *fixture, struct store_event *event)
{
    unsigned *looks = fixture->arg;
    if (event->type == STORE_EVENT_WITHDRAW)
        fixture->withdraw_result = (*looks)++ == 0 ? -EBUSY : 0;
}

static void one_that_its_worker_has_just_held_waits_for_the_flight_to_end(void **state)
{
    struct fixture *fixture = *state;
    unsigned looks = 0;
    uint64_t id = put_many(fixture, "a", 1);
    struct record *values = new_record("b", "k2", NULL);
    struct store_op ops[2] = {
        {.type = STORE_HOLD, .hold.id = id},
        {.type = STORE_EDIT,
         .edit = {.id = id, .record = values, .fields = STORE_EDIT_KIND | STORE_EDIT_QUEUE}}};
    fixture->arg = &looks;
    fixture->on_event = land_after_one_look;

    run_together(fixture, ops, 2);

    fixture->on_event = NULL;
    assert_int_equal(looks, 2);
    assert_int_equal(ops[1].result, 0);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    check_counts(fixture);
    record_free(values);
}

static void what_has_started_or_is_over_is_not_changed(void **state)
{
    struct fixture *fixture = *state;
    struct record values = {.priority = 5};
    enum task_state after = TASK_STATE_COUNT;
    uint64_t id = put_many(fixture, "a", 2);

    assert_int_equal(edit(fixture, id + 2, &values, STORE_EDIT_PRIORITY, NULL), -ENOENT);
    assert_int_equal(start(fixture, id), 0);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_PRIORITY, &after), -ESTALE);
    assert_int_equal(after, TASK_RUNNING);
    fixture->withdraw_result = -EBUSY; // in flight, its start is not written
    assert_int_equal(edit(fixture, id + 1, &values, STORE_EDIT_PRIORITY, &after), -ESTALE);
    assert_int_equal(after, TASK_RUNNING);
    fixture->withdraw_result = 0;
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_PRIORITY, &after), -ESTALE);
    assert_int_equal(after, TASK_SUCCEEDED);
    assert_int_equal(one(fixture, STORE_DELETE, id, NULL), 0);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_PRIORITY, NULL), -ENODATA);
    assert_int_equal(query(fixture, "SELECT max(priority) FROM tasks"), 0);
    check_counts(fixture);
}

static void it_may_not_expire_before_it_may_start(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    struct record values = {.due_at_ms = NOW_MS + 100, .expires_at_ms = NOW_MS + 100};

    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_RUN_AT | STORE_EDIT_EXPIRES_AT, NULL),
                     -EDOM);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_RUN_AT, NULL), 0);
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_EXPIRES_AT, NULL), -EDOM);
    values.expires_at_ms++;
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_EXPIRES_AT, NULL), 0);
    values.due_at_ms++;
    assert_int_equal(edit(fixture, id, &values, STORE_EDIT_RUN_AT, NULL), -EDOM);
    assert_int_equal(set_run_at(fixture, id, 0), 0);
}

static void an_edit_in_the_group_that_makes_it_queued_waits_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct record values = {.priority = 5};
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
    struct store_op ops[4] = {
        {.type = STORE_RETRY, .one.id = id},
        {.type = STORE_EDIT, .edit = {.id = id, .record = &values, .fields = STORE_EDIT_PRIORITY}},
        {.type = STORE_MANY, .many = {.action = STORE_CANCEL, .ids = &id, .count = 1}},
        {.type = STORE_RETRY, .one.id = id}};
    forget_events(fixture);

    run_together(fixture, ops, 4);

    // Each finds in the window what the one before has put there.
    static const enum store_event_type wanted[] = {STORE_EVENT_QUEUED, STORE_EVENT_WITHDRAW,
                                                   STORE_EVENT_QUEUED, STORE_EVENT_WITHDRAW,
                                                   STORE_EVENT_ENDED,  STORE_EVENT_QUEUED};
    size_t at = 0;
    for (size_t i = 0; i < fixture->seen_count; i++) {
        if (fixture->seen[i].is_done || fixture->seen[i].type == STORE_EVENT_GROUP_END)
            continue;
        assert_true(at < sizeof(wanted) / sizeof(wanted[0]));
        assert_int_equal(fixture->seen[i].type, wanted[at]);
        at++;
    }
    assert_int_equal(at, sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ops[i].result, 0);
    assert_int_equal(ops[2].many.changed, 1);
    assert_int_equal(query(fixture, "SELECT priority FROM tasks"), 5);
    check_counts(fixture);
}

/* ---- many ---- */

static void each_of_many_is_changed_or_skipped(void **state)
{
    struct fixture *fixture = *state;
    struct store_op op;
    uint64_t first = put_many(fixture, "a", 6);
    uint64_t ids[] = {first + 5, first + 4, first + 3, first + 2, first + 1, first, first + 6, 0};
    enum { COUNT = sizeof(ids) / sizeof(ids[0]) };
    assert_int_equal(finish(fixture, first, TASK_SUCCEEDED), 0);
    assert_int_equal(finish(fixture, first + 1, TASK_FAILED), 0);
    assert_int_equal(one(fixture, STORE_CANCEL, first + 2, NULL), 0);
    assert_int_equal(start(fixture, first + 3), 0);
    assert_int_equal(set_run_at(fixture, first + 4, NOW_MS + 1), 0);

    // A running one's is recorded; one that is cancelled already is left as it is.
    forget_events(fixture);
    assert_int_equal(many(fixture, STORE_CANCEL, ids, COUNT, &op), 0);
    assert_int_equal(op.many.changed, 3);
    assert_int_equal(op.many.skipped, COUNT - 3);
    assert_int_equal(count_events(fixture, STORE_EVENT_CANCEL_REQUESTED, first + 3), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, 0), 2);
    check_counts(fixture);

    forget_events(fixture);
    assert_int_equal(many(fixture, STORE_RETRY, ids, COUNT, &op), 0);
    assert_int_equal(op.many.changed, 4); // the failed one and three cancelled ones
    assert_int_equal(op.many.skipped, COUNT - 4);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 0), 4);
    check_counts(fixture);

    assert_int_equal(many(fixture, STORE_DELETE, ids, COUNT, &op), 0);
    assert_int_equal(op.many.changed, 1);
    assert_int_equal(op.many.skipped, COUNT - 1);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 5);
    check_counts(fixture);
}

static void none_is_no_fault(void **state)
{
    struct fixture *fixture = *state;
    struct store_op op;
    assert_int_equal(many(fixture, STORE_RETRY, NULL, 0, &op), 0);
    assert_int_equal(op.many.changed + op.many.skipped, 0);
}

static void a_rolled_back_group_gives_back_what_many_and_edits_took(void **state)
{
    struct fixture *fixture = *state;
    for (int nth = 1;; nth++) {
        uint64_t first = put_many(fixture, "a", 3);
        struct record values = {.priority = 50, .queue = "b"};
        uint64_t ids[2] = {first + 1, first};
        struct store_op ops[2] = {
            {.type = STORE_MANY, .many = {.action = STORE_CANCEL, .ids = ids, .count = 2}},
            {.type = STORE_EDIT,
             .edit = {.id = first + 2,
                      .record = &values,
                      .fields = STORE_EDIT_PRIORITY | STORE_EDIT_QUEUE}}};
        forget_events(fixture);
        fault_memory_fail(nth);

        run_together(fixture, ops, 2);

        int failed = fault_memory_reset();
        for (uint64_t i = 0; i < 3; i++)
            check_withdrawn(fixture, &ops[i == 2], first + i);
        assert_int_equal(state_of(fixture, first),
                         ops[0].result == 0 ? TASK_CANCELLED : TASK_QUEUED);
        assert_int_equal(ops[0].many.changed, ops[0].result == 0 ? 2 : 0);
        check_counts(fixture);
        if (failed == 0) {
            assert_true(nth > 1);
            break;
        }
    }
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(an_edit_sets_what_it_names_and_nothing_else),
        STORE_TEST(nothing_sets_a_field_back),
        STORE_TEST(its_time_makes_it_scheduled_or_queued),
        STORE_TEST(a_held_one_is_freed_by_its_kind_alone),
        STORE_TEST(one_that_its_worker_has_just_held_waits_for_the_flight_to_end),
        STORE_TEST(what_has_started_or_is_over_is_not_changed),
        STORE_TEST(it_may_not_expire_before_it_may_start),
        STORE_TEST(an_edit_in_the_group_that_makes_it_queued_waits_for_the_next),
        STORE_TEST(each_of_many_is_changed_or_skipped),
        STORE_TEST(none_is_no_fault),
        STORE_TEST(a_rolled_back_group_gives_back_what_many_and_edits_took),
    };
    return cmocka_run_group_tests_name("edit", tests, NULL, NULL);
}
