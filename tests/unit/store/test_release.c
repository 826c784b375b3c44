/* Held tasks whose kind is back. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void hold(struct fixture *fixture, uint64_t id)
{
    struct store_op op = {.type = STORE_HOLD, .now_ms = 1000, .hold = {.id = id}};
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(state_of(fixture, id), TASK_HELD);
}

static bool is_kind(void *arg, const char *kind)
{
    return strcmp(kind, arg) == 0;
}

static struct store_op release_of(char *kind, size_t limit)
{
    return (struct store_op){.type = STORE_RELEASE,
                             .now_ms = 5000,
                             .release = {.is_wanted = is_kind, .arg = kind, .limit = limit}};
}

static void only_tasks_of_the_kinds_that_are_wanted_are_queued(void **state)
{
    struct fixture *fixture = *state;
    uint64_t gone = put_one(fixture, new_record("a", "gone", NULL));
    uint64_t back = put_one(fixture, new_record("b", "back", NULL));
    uint64_t later = put_one(fixture, new_record("a", "zebra", NULL));
    hold(fixture, gone);
    hold(fixture, back);
    hold(fixture, later);

    forget_events(fixture);
    struct store_op op = release_of((char[]){"back"}, 10);
    assert_int_equal(run_op(fixture, &op), 0);

    assert_int_equal(op.release.released, 1);
    assert_false(op.release.more);
    assert_int_equal(state_of(fixture, gone), TASK_HELD);
    assert_int_equal(state_of(fixture, later), TASK_HELD);
    struct record *record = get(fixture, back, NULL);
    assert_int_equal(record->state, TASK_QUEUED);
    assert_int_equal(record->queued_at_ms, 5000);
    record_free(record);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, back), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 0), 1);
    check_counts(fixture);
}

static void a_slice_takes_no_more_than_its_limit(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 5; i++)
        hold(fixture, put_one(fixture, new_record("a", "back", NULL)));

    struct store_op op = release_of((char[]){"back"}, 2);
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(op.release.released, 2);
    assert_true(op.release.more);
    op = release_of((char[]){"back"}, 2);
    assert_int_equal(run_op(fixture, &op), 0);
    assert_true(op.release.more);
    op = release_of((char[]){"back"}, 2);
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(op.release.released, 1);
    assert_false(op.release.more);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks WHERE state = 1"), 5);
    check_counts(fixture);
}

static void what_is_held_in_the_same_group_is_released_after_its_flight(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_one(fixture, new_record("a", "back", NULL));
    struct store_op ops[2] = {{.type = STORE_HOLD, .hold = {.id = id}},
                              release_of((char[]){"back"}, 10)};

    forget_events(fixture);
    run_together(fixture, ops, 2);

    assert_int_equal(ops[0].result, 0);
    assert_int_equal(ops[1].release.released, 1);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 1);
    // The hold was answered, and so the task's flight over, before the engine heard of it again.
    size_t held_at = 0;
    size_t queued_at = 0;
    for (size_t i = 0; i < fixture->seen_count; i++) {
        const struct seen *seen = &fixture->seen[i];
        if (seen->is_done && seen->id == (uint64_t)STORE_HOLD)
            held_at = i + 1;
        if (!seen->is_done && seen->type == STORE_EVENT_QUEUED)
            queued_at = i + 1;
    }
    assert_true(held_at > 0 && queued_at > held_at);
}

static void a_changed_backlog_limit_holds_from_the_next_put_on(void **state)
{
    struct fixture *fixture = *state;
    (void)put_many(fixture, "a", 3);
    store_set_max_backlog(fixture->store, 3);

    struct record *record = new_record("a", "back", NULL);
    struct store_op op = {.type = STORE_PUT, .put = {.records = &record, .count = 1}};
    assert_int_equal(run_op(fixture, &op), -ENOBUFS);
    store_set_max_backlog(fixture->store, 4);
    assert_int_equal(run_op(fixture, &op), 0);
    record_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_tasks_of_the_kinds_that_are_wanted_are_queued,
                                        store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(a_slice_takes_no_more_than_its_limit, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(what_is_held_in_the_same_group_is_released_after_its_flight,
                                        store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(a_changed_backlog_limit_holds_from_the_next_put_on,
                                        store_setup, store_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
