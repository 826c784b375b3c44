/* Promotion, expiry, retention. The wall clock is the operation's now_ms. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static uint64_t put_due(struct fixture *fixture, int64_t due_at_ms, int64_t expires_at_ms)
{
    struct record *record = new_record("a", "k", "{}");
    record->state = due_at_ms == 0 ? TASK_QUEUED : TASK_SCHEDULED;
    record->due_at_ms = due_at_ms;
    record->expires_at_ms = expires_at_ms;
    struct record *records[1] = {record};
    struct store_op op = {
        .type = STORE_PUT, .now_ms = 500, .put = {.records = records, .count = 1}};
    assert_int_equal(run_op(fixture, &op), 0);
    record_free(record);
    return op.put.ids_first;
}

static struct store_op promote(struct fixture *fixture, int64_t now_ms, size_t limit)
{
    struct store_op op = {.type = STORE_PROMOTE, .now_ms = now_ms, .promote.limit = limit};
    forget_events(fixture);
    assert_int_equal(run_op(fixture, &op), 0);
    return op;
}

static void what_is_due_becomes_queued_in_the_order_of_its_time(void **state)
{
    struct fixture *fixture = *state;
    (void)put_due(fixture, 3000, 0);
    (void)put_due(fixture, 1000, 0);
    (void)put_due(fixture, 2000, 0);
    (void)put_due(fixture, 9000, 0);

    struct store_op op = promote(fixture, 3000, 2);
    assert_true(op.promote.more);
    assert_int_equal(op.promote.next_due_ms, 3000);
    assert_int_equal(fixture->seen[0].id, 2);
    assert_int_equal(fixture->seen[1].id, 3);
    op = promote(fixture, 3000, 2);
    assert_false(op.promote.more);
    assert_int_equal(op.promote.next_due_ms, 9000);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 1), 1);
    assert_int_equal(fixture->seen[0].state, TASK_QUEUED);
    op = promote(fixture, 9000, 2);
    assert_int_equal(op.promote.next_due_ms, 0);

    struct record *record = get(fixture, 4, NULL);
    assert_int_equal(record->state, TASK_QUEUED);
    assert_int_equal(record->queued_at_ms, 9000);
    assert_int_equal(record->due_at_ms, 9000);
    record_free(record);
    check_counts(fixture);
}

static void a_retrying_task_is_promoted_too(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_due(fixture, 0, 0);
    struct record *record = get(fixture, id, NULL);
    record->run = record->attempt = 1;
    record->due_at_ms = 5000;
    struct store_op op = {
        .type = STORE_FINISH, .now_ms = 1000, .finish = {.record = record, .to = TASK_RETRYING}};
    forget_events(fixture);
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(count_events(fixture, STORE_EVENT_WAITING, id), 1);
    assert_int_equal(fixture->seen[0].due_at_ms, 5000);
    record_free(record);

    assert_int_equal(promote(fixture, 4999, 10).promote.next_due_ms, 5000);
    assert_int_equal(state_of(fixture, id), TASK_RETRYING);
    (void)promote(fixture, 5000, 10);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    check_counts(fixture);
}

static void the_earliest_time_is_known_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_next_due(fixture->store), 0);
    (void)put_due(fixture, 7000, 0);
    (void)put_due(fixture, 0, 6000);
    close_store(fixture);
    open_store(fixture);
    assert_int_equal(store_next_due(fixture->store), 6000);
}

static void a_task_that_was_never_started_expires(void **state)
{
    struct fixture *fixture = *state;
    uint64_t queued = put_due(fixture, 0, 2000);
    uint64_t scheduled = put_due(fixture, 1500, 2000); // due as well: not to be started
    uint64_t later = put_due(fixture, 0, 8000);

    struct store_op op = promote(fixture, 2000, 10);

    assert_int_equal(op.promote.next_due_ms, 8000);
    assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, queued), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, scheduled), 0);
    assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, 0), 2);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 0), 0);
    struct record *record = get(fixture, queued, NULL);
    assert_int_equal(record->state, TASK_CANCELLED);
    assert_string_equal(record->error_code, "expired");
    assert_non_null(record->error_message.bytes);
    assert_int_equal(record->cancel_requested_at_ms, 0);
    record_free(record);
    assert_int_equal(state_of(fixture, scheduled), TASK_CANCELLED);
    assert_int_equal(state_of(fixture, later), TASK_QUEUED);
    check_counts(fixture);
}

static void a_task_in_flight_does_not_expire_and_is_no_reason_to_look_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_due(fixture, 0, 2000);
    fixture->withdraw_result = -EBUSY;
    struct store_op op = promote(fixture, 3000, 10);
    assert_false(op.promote.more);
    assert_int_equal(op.promote.next_due_ms, 0);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    // It has started: drained, it does not expire any more.
    assert_int_equal(finish(fixture, id, TASK_QUEUED), 0);
    fixture->withdraw_result = 0;
    (void)promote(fixture, 3000, 10);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
}

static void those_in_flight_do_not_keep_others_from_expiring(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++)
        (void)put_due(fixture, 0, 2000 + i);
    fixture->withdraw_result = -EBUSY;
    (void)put_due(fixture, 4000, 2500); // scheduled: nobody is asked
    struct store_op op = promote(fixture, 3000, 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, 21), 1);
    assert_true(op.promote.more);
}

static void an_expired_one_that_is_retried_by_hand_does_not_expire_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_due(fixture, 0, 2000);
    (void)promote(fixture, 2000, 10);
    assert_int_equal(one(fixture, STORE_RETRY, id, NULL), 0);
    (void)promote(fixture, 9000, 10);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
}

static void a_retry_and_the_expiry_in_one_group_leave_it_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_due(fixture, 0, 2000);
    assert_int_equal(one(fixture, STORE_CANCEL, id, NULL), 0);
    struct store_op ops[2] = {{.type = STORE_RETRY, .now_ms = 1000, .one.id = id},
                              {.type = STORE_PROMOTE, .now_ms = 2000, .promote.limit = 10}};
    run_together(fixture, ops, 2);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    (void)promote(fixture, 2000, 10);
    assert_int_equal(state_of(fixture, id), TASK_CANCELLED);
}

static const struct store_retention retention = {.keep_succeeded_ms = 1000,
                                                 .keep_failed_ms = 5000,
                                                 .keep_cancelled_ms = 1000,
                                                 .keep_count = 3,
                                                 .keep_keys_ms = 1000};

static struct store_op sweep(struct fixture *fixture, int64_t now_ms, size_t limit)
{
    struct store_op op = {
        .type = STORE_SWEEP, .now_ms = now_ms, .sweep = {.retention = &retention, .limit = limit}};
    assert_int_equal(run_op(fixture, &op), 0);
    return op;
}

/* A task of a queue that ended so at an instant. */
static uint64_t put_ended(struct fixture *fixture, const char *queue, enum task_state to,
                          int64_t at_ms)
{
    uint64_t id = put_many(fixture, queue, 1);
    struct record *record = get(fixture, id, NULL);
    record->run = record->attempt = 1;
    record->finished_at_ms = at_ms;
    struct store_op op = {.type = STORE_FINISH, .finish = {.record = record, .to = to}};
    assert_int_equal(run_op(fixture, &op), 0);
    record_free(record);
    return id;
}

static void finished_tasks_go_when_their_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    uint64_t old = put_ended(fixture, "a", TASK_SUCCEEDED, 1000);
    uint64_t fresh = put_ended(fixture, "a", TASK_SUCCEEDED, 3500);
    uint64_t failed = put_ended(fixture, "a", TASK_FAILED, 1000);
    uint64_t cancelled = put_ended(fixture, "b", TASK_CANCELLED, 1000);
    uint64_t waiting = put_many(fixture, "a", 1);

    struct store_op op = sweep(fixture, 4000, 100);

    int r = 0;
    assert_int_equal(op.sweep.removed, 2);
    assert_false(op.sweep.more);
    assert_null(get(fixture, old, &r));
    assert_int_equal(r, -ENODATA);
    assert_null(get(fixture, cancelled, &r));
    assert_int_equal(state_of(fixture, fresh), TASK_SUCCEEDED);
    assert_int_equal(state_of(fixture, failed), TASK_FAILED);
    assert_int_equal(state_of(fixture, waiting), TASK_QUEUED);
    assert_int_equal(sweep(fixture, 7000, 100).sweep.removed, 2);
    check_counts(fixture);
}

static void of_each_queue_and_state_the_newest_are_kept_up_to_the_count(void **state)
{
    struct fixture *fixture = *state;
    for (int64_t i = 0; i < 5; i++) {
        (void)put_ended(fixture, "a", TASK_SUCCEEDED, 1000 + (i * 7) % 5);
        (void)put_ended(fixture, "a", TASK_FAILED, 1000 + i);
        (void)put_ended(fixture, "b", TASK_SUCCEEDED, 1000 + i);
    }
    // In slices of two: nothing is done twice, nothing is forgotten.
    size_t removed = 0;
    for (;;) {
        struct store_op op = sweep(fixture, 1100, 2);
        assert_true(op.sweep.removed <= 2);
        removed += op.sweep.removed;
        if (!op.sweep.more)
            break;
    }
    assert_int_equal(removed, 6);
    assert_int_equal(query(fixture, "SELECT min(finished_at) FROM tasks"), 1002);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 9);
    check_counts(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(what_is_due_becomes_queued_in_the_order_of_its_time),
        STORE_TEST(a_retrying_task_is_promoted_too),
        STORE_TEST(the_earliest_time_is_known_after_a_restart),
        STORE_TEST(a_task_that_was_never_started_expires),
        STORE_TEST(a_task_in_flight_does_not_expire_and_is_no_reason_to_look_again),
        STORE_TEST(those_in_flight_do_not_keep_others_from_expiring),
        STORE_TEST(an_expired_one_that_is_retried_by_hand_does_not_expire_again),
        STORE_TEST(a_retry_and_the_expiry_in_one_group_leave_it_for_the_next),
        STORE_TEST(finished_tasks_go_when_their_time_is_over),
        STORE_TEST(of_each_queue_and_state_the_newest_are_kept_up_to_the_count),
    };
    return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
