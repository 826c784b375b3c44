/* Starts, ends, and what is done to one task by hand. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void an_end_is_recorded_with_all_that_the_attempt_left(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    struct record *record = get(fixture, id, NULL);
    record->run = 1;
    record->attempt = 1;
    record->worker = 3;
    record->started_at_ms = 111;
    record->finished_at_ms = 222;
    record->error_retryable = true;
    memcpy(record->error_code, "exit", 5);
    assert_int_equal(text_set(&record->error_message, "exit status 3", 13), 0);
    assert_int_equal(text_set(&record->exec, "{}", 2), 0);
    assert_int_equal(text_set(&record->history, "[]", 2), 0);
    struct store_op op = {.type = STORE_FINISH, .finish = {.record = record, .to = TASK_FAILED}};
    forget_events(fixture);
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(record->state, TASK_FAILED);
    record_free(record);

    assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, id), 1);
    assert_true(fixture->seen[0].was_running);
    record = get(fixture, id, NULL);
    assert_int_equal(record->state, TASK_FAILED);
    assert_int_equal(record->run, 1);
    assert_int_equal(record->attempt, 1);
    assert_int_equal(record->worker, 3);
    assert_int_equal(record->started_at_ms, 111);
    assert_int_equal(record->finished_at_ms, 222);
    assert_string_equal(record->error_code, "exit");
    assert_string_equal(record->error_message.bytes, "exit status 3");
    assert_true(record->error_retryable);
    assert_string_equal(record->exec.bytes, "{}");
    assert_string_equal(record->history.bytes, "[]");
    assert_string_equal(record->args.bytes, "{\"n\":1}");
    record_free(record);
    check_counts(fixture);
}

static void an_error_of_one_end_does_not_stick_to_the_next(void **state)
{
    struct fixture *fixture = *state;
    an_end_is_recorded_with_all_that_the_attempt_left(state);
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
    struct record *record = get(fixture, id, NULL);
    assert_string_equal(record->error_code, "");
    assert_null(record->error_message.bytes);
    assert_null(record->exec.bytes);
    assert_false(record->error_retryable);
    record_free(record);
}

static void every_end_moves_the_task_and_its_counts(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum task_state to;
        enum store_event_type event;
    } ends[] = {
        {TASK_SUCCEEDED, STORE_EVENT_ENDED}, {TASK_FAILED, STORE_EVENT_ENDED},
        {TASK_CANCELLED, STORE_EVENT_ENDED}, {TASK_RETRYING, STORE_EVENT_WAITING},
        {TASK_QUEUED, STORE_EVENT_QUEUED},
    };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        for (int with_start = 0; with_start < 2; with_start++) {
            uint64_t id = put_many(fixture, "a", 1);
            if (with_start) {
                assert_int_equal(start(fixture, id), 0);
                assert_int_equal(state_of(fixture, id), TASK_RUNNING);
                check_counts(fixture);
            }
            forget_events(fixture);
            assert_int_equal(finish(fixture, id, ends[i].to), 0);
            assert_int_equal(state_of(fixture, id), ends[i].to);
            assert_int_equal(count_events(fixture, ends[i].event, id), 1);
            check_counts(fixture);
        }
}

static void a_late_end_is_refused_by_its_run(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(finish(fixture, id, TASK_QUEUED), 0); // run 1, drained
    struct record *late = get(fixture, id, NULL);
    late->run = 1;
    forget_events(fixture);
    struct store_op op = {.type = STORE_FINISH, .finish = {.record = late, .to = TASK_SUCCEEDED}};
    assert_int_equal(run_op(fixture, &op), -ESTALE);
    assert_int_equal(count_events(fixture, STORE_EVENT_REFUSED, id), 1);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);

    late->run = 2;
    assert_int_equal(run_op(fixture, &op), 0);
    // And once more, now that it is final; and of a task that is gone.
    assert_int_equal(run_op(fixture, &op), -ESTALE);
    assert_int_equal(one(fixture, STORE_DELETE, id, NULL), 0);
    late->run = 3;
    assert_int_equal(run_op(fixture, &op), -ESTALE);
    record_free(late);
    check_counts(fixture);
}

static void a_start_is_refused_when_the_task_moved_on(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(start(fixture, id), 0);
    assert_int_equal(start(fixture, id), -ESTALE);
    assert_int_equal(finish(fixture, id, TASK_QUEUED), 0);

    struct record *old = get(fixture, id, NULL); // its run is the stored one
    struct store_op op = {.type = STORE_START, .start.record = old};
    assert_int_equal(run_op(fixture, &op), -ESTALE);
    old->run++;
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(old->state, TASK_RUNNING);
    record_free(old);
    check_counts(fixture);
}

static void a_waiting_task_is_cancelled_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct record *scheduled = new_record("a", "k", NULL);
    scheduled->state = TASK_SCHEDULED;
    scheduled->due_at_ms = rn_wall_ms() + 60000;
    uint64_t ids[4] = {put_one(fixture, scheduled), put_many(fixture, "a", 3)};
    ids[2] = ids[1] + 1;
    ids[3] = ids[1] + 2;
    assert_int_equal(finish(fixture, ids[2], TASK_RETRYING), 0);
    struct store_op hold = {.type = STORE_HOLD, .hold.id = ids[3]};
    assert_int_equal(run_op(fixture, &hold), 0);
    assert_int_equal(state_of(fixture, ids[3]), TASK_HELD);

    for (size_t i = 0; i < 4; i++) {
        enum task_state after = TASK_STATE_COUNT;
        forget_events(fixture);
        assert_int_equal(one(fixture, STORE_CANCEL, ids[i], &after), 0);
        assert_int_equal(after, TASK_CANCELLED);
        assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, ids[i]), 1);
        // Only one that is queued can be in a window.
        assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, 0), i == 1);
        struct record *record = get(fixture, ids[i], NULL);
        assert_int_equal(record->state, TASK_CANCELLED);
        assert_true(record->finished_at_ms > 0);
        assert_true(record->cancel_requested_at_ms > 0);
        assert_string_equal(record->error_code, "cancelled");
        assert_string_equal(record->error_message.bytes, "cancelled while it waited");
        assert_false(record->error_retryable);
        record_free(record);
        // Again: it is cancelled already.
        assert_int_equal(one(fixture, STORE_CANCEL, ids[i], &after), 0);
        assert_int_equal(after, TASK_CANCELLED);
    }
    check_counts(fixture);
}

static void a_cancel_of_one_in_flight_is_recorded_and_wins(void **state)
{
    struct fixture *fixture = *state;
    static const enum task_state ends[] = {TASK_SUCCEEDED, TASK_FAILED, TASK_RETRYING, TASK_QUEUED,
                                           TASK_CANCELLED};
    fixture->withdraw_result = -EBUSY;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        for (int with_start = 0; with_start < 2; with_start++) {
            enum task_state after = TASK_STATE_COUNT;
            uint64_t id = put_many(fixture, "a", 1);
            struct record *record = get(fixture, id, NULL);
            record->run = record->attempt = 1;
            assert_int_equal(text_set(&record->result, "r", 1), 0);
            if (ends[i] == TASK_FAILED || ends[i] == TASK_RETRYING) { // with an error of its own
                memcpy(record->error_code, "boom", 5);
                record->error_retryable = true;
                assert_int_equal(text_set(&record->error_message, "it broke", 8), 0);
            }
            if (with_start)
                assert_int_equal(start(fixture, id), 0);
            forget_events(fixture);
            assert_int_equal(one(fixture, STORE_CANCEL, id, &after), 0);
            assert_int_equal(after, TASK_RUNNING);
            assert_int_equal(count_events(fixture, STORE_EVENT_CANCEL_REQUESTED, id), 1);
            assert_int_equal(count_events(fixture, STORE_EVENT_WITHDRAW, id), !with_start);
            // A second one changes nothing.
            assert_int_equal(one(fixture, STORE_CANCEL, id, &after), 0);
            assert_int_equal(count_events(fixture, STORE_EVENT_CANCEL_REQUESTED, id), 1);

            struct store_op op = {.type = STORE_FINISH,
                                  .finish = {.record = record, .to = ends[i]}};
            assert_int_equal(run_op(fixture, &op), 0);
            assert_int_equal(record->state, TASK_CANCELLED);
            assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, id), 1);
            // The row, and the operation's record, which says the same.
            struct record *row = get(fixture, id, NULL);
            assert_int_equal(row->state, TASK_CANCELLED);
            assert_null(row->result.bytes);
            assert_null(record->result.bytes);
            assert_string_equal(row->error_code, ends[i] == TASK_CANCELLED ? "" : "cancelled");
            assert_string_equal(record->error_code, row->error_code);
            assert_false(row->error_retryable);
            assert_false(record->error_retryable);
            assert_int_equal(record->error_message.length, row->error_message.length);
            if (ends[i] != TASK_CANCELLED) {
                assert_string_equal(row->error_message.bytes, "cancelled while it ran");
                assert_string_equal(record->error_message.bytes, row->error_message.bytes);
            }
            record_free(row);
            record_free(record);
        }
    check_counts(fixture);
}

static void a_recorded_cancel_refuses_the_start(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    fixture->withdraw_result = -EBUSY;
    assert_int_equal(one(fixture, STORE_CANCEL, id, NULL), 0);
    assert_int_equal(start(fixture, id), -ESTALE);
    assert_int_equal(finish(fixture, id, TASK_CANCELLED), 0);
    assert_int_equal(state_of(fixture, id), TASK_CANCELLED);
}

static void a_hold_after_a_recorded_cancel_ends_it(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    fixture->withdraw_result = -EBUSY;
    assert_int_equal(one(fixture, STORE_CANCEL, id, NULL), 0);
    struct store_op hold = {.type = STORE_HOLD, .hold.id = id};
    assert_int_equal(run_op(fixture, &hold), 0);
    assert_int_equal(state_of(fixture, id), TASK_CANCELLED);
    assert_int_equal(count_events(fixture, STORE_EVENT_ENDED, id), 1);
    // One that is over can't be held.
    assert_int_equal(run_op(fixture, &hold), -ESTALE);
    check_counts(fixture);
}

static void a_cancel_in_the_group_that_makes_it_queued_waits_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
    struct store_op ops[2] = {{.type = STORE_RETRY, .one.id = id},
                              {.type = STORE_CANCEL, .one.id = id}};
    forget_events(fixture);

    run_together(fixture, ops, 2);

    assert_int_equal(ops[0].result, 0);
    assert_int_equal(ops[1].result, 0);
    assert_int_equal(ops[1].one.state, TASK_CANCELLED);
    // The engine has put it into its window before it is asked to take it out.
    size_t queued = SIZE_MAX;
    size_t withdrawn = SIZE_MAX;
    for (size_t i = 0; i < fixture->seen_count; i++) {
        if (fixture->seen[i].is_done)
            continue;
        if (fixture->seen[i].type == STORE_EVENT_QUEUED)
            queued = i;
        if (fixture->seen[i].type == STORE_EVENT_WITHDRAW)
            withdrawn = i;
    }
    assert_true(queued < withdrawn);
    assert_int_equal(state_of(fixture, id), TASK_CANCELLED);
    check_counts(fixture);
}

static void a_task_of_the_same_group_is_not_there_yet(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("a", "k", NULL);
    struct store_op ops[2] = {{.type = STORE_PUT, .put = {.records = &record, .count = 1}},
                              {.type = STORE_CANCEL, .one.id = 1}};
    run_together(fixture, ops, 2);
    assert_int_equal(ops[0].put.ids_first, 1);
    assert_int_equal(ops[1].result, -ENOENT);
    assert_int_equal(state_of(fixture, 1), TASK_QUEUED);
    record_free(record);
}

static void a_retry_by_hand_begins_again_but_never_with_the_run(void **state)
{
    struct fixture *fixture = *state;
    an_end_is_recorded_with_all_that_the_attempt_left(state);
    enum task_state after = TASK_STATE_COUNT;
    forget_events(fixture);

    assert_int_equal(one(fixture, STORE_RETRY, 1, &after), 0);

    assert_int_equal(after, TASK_QUEUED);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 1), 1);
    struct record *record = get(fixture, 1, NULL);
    assert_int_equal(record->state, TASK_QUEUED);
    assert_int_equal(record->attempt, 0);
    assert_int_equal(record->interruptions, 0);
    assert_int_equal(record->run, 1);
    assert_int_equal(record->finished_at_ms, 0);
    assert_int_equal(record->started_at_ms, 0);
    assert_int_equal(record->worker, 0);
    assert_string_equal(record->error_code, "");
    assert_null(record->error_message.bytes);
    assert_null(record->exec.bytes);
    assert_false(record->error_retryable);
    // The attempt that was the last one stays known.
    assert_non_null(strstr(record->history.bytes, "\"attempt\":1"));
    assert_non_null(strstr(record->history.bytes, "\"code\":\"exit\""));
    record_free(record);
    // Queued: not one to retry.
    assert_int_equal(one(fixture, STORE_RETRY, 1, &after), -ESTALE);
    assert_int_equal(after, TASK_QUEUED);
    check_counts(fixture);
}

static void only_what_is_over_is_deleted(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    enum task_state after = TASK_STATE_COUNT;
    assert_int_equal(one(fixture, STORE_DELETE, id, &after), -ESTALE);
    assert_int_equal(after, TASK_QUEUED);
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
    assert_int_equal(one(fixture, STORE_CANCEL, id, &after), -ESTALE);
    assert_int_equal(after, TASK_SUCCEEDED);
    assert_int_equal(one(fixture, STORE_RETRY, id, &after), -ESTALE);
    assert_int_equal(one(fixture, STORE_DELETE, id, &after), 0);
    assert_int_equal(after, TASK_SUCCEEDED);
    check_counts(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(an_end_is_recorded_with_all_that_the_attempt_left),
        STORE_TEST(an_error_of_one_end_does_not_stick_to_the_next),
        STORE_TEST(every_end_moves_the_task_and_its_counts),
        STORE_TEST(a_late_end_is_refused_by_its_run),
        STORE_TEST(a_start_is_refused_when_the_task_moved_on),
        STORE_TEST(a_waiting_task_is_cancelled_at_once),
        STORE_TEST(a_cancel_of_one_in_flight_is_recorded_and_wins),
        STORE_TEST(a_recorded_cancel_refuses_the_start),
        STORE_TEST(a_hold_after_a_recorded_cancel_ends_it),
        STORE_TEST(a_cancel_in_the_group_that_makes_it_queued_waits_for_the_next),
        STORE_TEST(a_task_of_the_same_group_is_not_there_yet),
        STORE_TEST(a_retry_by_hand_begins_again_but_never_with_the_run),
        STORE_TEST(only_what_is_over_is_deleted),
    };
    return cmocka_run_group_tests_name("hand", tests, NULL, NULL);
}
