/* Claims: a queue's order, after a key. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { LARGE_BYTES = 3000 };

static size_t claim(struct fixture *fixture, struct store_op *op)
{
    op->type = STORE_CLAIM;
    memcpy(op->claim.queue, "a", 2);
    assert_int_equal(run_op(fixture, op), 0);
    return op->claim.count;
}

static void free_rows(struct store_op *op)
{
    for (size_t i = 0; i < op->claim.count; i++)
        record_free(op->claim.rows[i]);
    free(op->claim.rows);
    op->claim.rows = NULL;
}

static uint64_t put_with(struct fixture *fixture, const char *queue, int priority)
{
    struct record *record = new_record(queue, "k", "1");
    record->priority = priority;
    return put_one(fixture, record);
}

static void rows_come_in_the_queues_order_whatever_the_page(void **state)
{
    struct fixture *fixture = *state;
    static const int priorities[] = {0, 5, 0, -100, 100, 5, 0, 5, -1, 100, 0, 0};
    enum { COUNT = sizeof(priorities) / sizeof(priorities[0]) };
    for (size_t i = 0; i < COUNT; i++) {
        (void)put_with(fixture, "a", priorities[i]);
        (void)put_with(fixture, "b", 7); // another queue's between them
    }
    for (size_t limit = 1; limit <= COUNT + 1; limit++) {
        struct store_op op = {.claim.limit = limit};
        struct queue_key last = {0};
        size_t total = 0;
        while (claim(fixture, &op) > 0) {
            for (size_t i = 0; i < op.claim.count; i++) {
                const struct record *row = op.claim.rows[i];
                struct queue_key key = {.priority = row->priority, .id = row->id};
                assert_string_equal(row->queue, "a");
                assert_true(total == 0 || queue_key_compare(last, key) < 0);
                last = key;
                total++;
            }
            assert_true(op.claim.count <= limit);
            free_rows(&op);
            op.claim.has_after = true;
            op.claim.after = last;
        }
        free(op.claim.rows);
        assert_int_equal(total, COUNT);
    }
}

static void only_queued_tasks_are_claimed(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 4);
    struct record *scheduled = new_record("a", "k", NULL);
    scheduled->state = TASK_SCHEDULED;
    scheduled->due_at_ms = rn_wall_ms() + 60000;
    (void)put_one(fixture, scheduled);
    assert_int_equal(finish(fixture, first, TASK_SUCCEEDED), 0);
    assert_int_equal(finish(fixture, first + 1, TASK_RETRYING), 0);
    assert_int_equal(start(fixture, first + 2), 0);

    struct store_op op = {.claim.limit = 10};
    assert_int_equal(claim(fixture, &op), 1);
    assert_int_equal(op.claim.rows[0]->id, first + 3);
    assert_string_equal(op.claim.rows[0]->args.bytes, "{\"n\":1}");
    free_rows(&op);
}

static void large_args_stay_in_the_store(void **state)
{
    struct fixture *fixture = *state;
    char args[LARGE_BYTES + 1];
    memset(args, '1', LARGE_BYTES);
    args[LARGE_BYTES] = '\0';
    (void)put_one(fixture, new_record("a", "k", args));

    struct store_op op = {.claim.limit = 10};
    assert_int_equal(claim(fixture, &op), 1);
    assert_true(op.claim.rows[0]->args_in_store);
    assert_null(op.claim.rows[0]->args.bytes);
    free_rows(&op);
}

static void a_queue_that_nobody_used_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct store_op op = {.claim.limit = 10};
    assert_int_equal(claim(fixture, &op), 0);
    assert_null(op.claim.rows);
}

static void a_claim_sees_all_of_its_group_whatever_the_order(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 2);
    struct record *done = get(fixture, first, NULL);
    struct record *fresh = new_record("a", "k", NULL);
    done->run = done->attempt = 1;
    struct store_op ops[3] = {
        {.type = STORE_CLAIM, .claim.queue = "a", .claim.limit = 10},
        {.type = STORE_FINISH, .finish.record = done, .finish.to = TASK_SUCCEEDED},
        {.type = STORE_PUT, .put.records = &fresh, .put.count = 1},
    };
    forget_events(fixture);

    run_together(fixture, ops, 3);

    // As after the commit: an event that the engine has seen when the rows come is in them.
    assert_int_equal(ops[0].claim.count, 2);
    assert_int_equal(ops[0].claim.rows[0]->id, first + 1);
    assert_int_equal(ops[0].claim.rows[1]->id, first + 2);
    assert_int_equal(fixture->seen[0].type, STORE_EVENT_ENDED);
    assert_int_equal(fixture->seen[1].type, STORE_EVENT_QUEUED);
    assert_int_equal(fixture->seen[2].type, STORE_EVENT_GROUP_END);
    assert_true(fixture->seen[3].is_done);
    free_rows(&ops[0]);
    record_free(ops[1].finish.record);
    record_free(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(rows_come_in_the_queues_order_whatever_the_page),
        STORE_TEST(only_queued_tasks_are_claimed),
        STORE_TEST(large_args_stay_in_the_store),
        STORE_TEST(a_queue_that_nobody_used_gives_nothing),
        STORE_TEST(a_claim_sees_all_of_its_group_whatever_the_order),
    };
    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
