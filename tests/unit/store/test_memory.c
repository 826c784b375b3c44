/* No memory: SQLite's allocations and our own fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "fault_vfs.h"
#include "support.h"

static struct store_retention retention = {.keep_count = 0,
                                           .keep_succeeded_ms = 1,
                                           .keep_failed_ms = 1,
                                           .keep_cancelled_ms = 1,
                                           .keep_keys_ms = 1};

/* Of a queued task into another queue, which is new at first. Its values are new. */
static struct record *prepare_edit(struct store_op *op, uint64_t id, int nth)
{
    struct record *values = new_record(nth % 2 == 0 ? "b" : "c", "k2", NULL);
    assert_int_equal(text_set(&values->tags, "[\"t\"]", 5), 0);
    op->type = STORE_EDIT;
    op->edit.id = id;
    op->edit.record = values;
    op->edit.fields = STORE_EDIT_QUEUE | STORE_EDIT_KIND | STORE_EDIT_TAGS | STORE_EDIT_RUN_AT;
    return values;
}

/* One operation of each sort, on tasks made for it, with whatever allocation failing; the result.
 */
static int any_operation(struct fixture *fixture, unsigned sort, void (*set_fault)(int nth),
                         int nth)
{
    struct record *records[2] = {NULL, NULL};
    struct store_key key = {.text = "key"};
    struct store_op op = {.now_ms = rn_wall_ms()};
    uint64_t id = put_many(fixture, "a", 1);
    uint64_t ids[2] = {id, id - 1};

    switch (sort) {
    case 0:
        (void)snprintf(key.text, sizeof(key.text), "key-%d-%d", (int)id, nth);
        for (int i = 0; i < 2; i++)
            records[i] = new_record(nth % 2 == 0 ? "a" : "b", "k", "1");
        op.type = STORE_PUT;
        op.put.records = records;
        op.put.count = 2;
        op.put.key = &key;
        break;
    case 1:
        op.type = STORE_CANCEL;
        op.one.id = id;
        break;
    case 2:
        assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
        op.type = STORE_RETRY;
        op.one.id = id;
        break;
    case 3:
        assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
        op.type = STORE_DELETE;
        op.one.id = id;
        break;
    case 4:
        op.type = STORE_CLAIM;
        op.claim.queue[0] = 'a';
        op.claim.limit = 5;
        break;
    case 5:
    case 6:
        if (sort == 5)
            assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
        op.type = STORE_MANY;
        op.many.action = sort == 5 ? STORE_RETRY : STORE_CANCEL;
        op.many.ids = ids;
        op.many.count = 2;
        break;
    case 7:
        records[0] = prepare_edit(&op, id, nth);
        break;
    default:
        assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
        op.type = STORE_SWEEP;
        op.now_ms += 60000;
        op.sweep.retention = &retention;
        op.sweep.limit = 3;
        break;
    }
    set_fault(nth);
    int r = run_op(fixture, &op);
    record_free(records[0]);
    record_free(records[1]);
    if (sort == 4) {
        for (size_t i = 0; i < op.claim.count; i++)
            record_free(op.claim.rows[i]);
        free(op.claim.rows);
    }
    return r;
}

enum { SORTS = 9 };

static void fail_each_allocation(struct fixture *fixture, void (*set_fault)(int nth),
                                 enum fault_heap heap)
{
    for (unsigned sort = 0; sort < SORTS; sort++)
        for (int nth = 1;; nth++) {
            int r = any_operation(fixture, sort, set_fault, nth);
            bool failed = fault_heap_reached(heap);
            forget_events(fixture);
            assert_true(r == 0 || (r == -ENOMEM && failed));
            if (!failed) {
                check_counts(fixture);
                break;
            }
        }
}

static void an_operation_without_memory_is_done_or_refused_and_leaves_no_trace(void **state)
{
    fail_each_allocation(*state, fault_memory_fail, HEAP_OF_SQLITE);
}

static void without_memory_for_good_it_is_refused(void **state)
{
    struct fixture *fixture = *state;
    unsigned refusals = 0;
    for (unsigned sort = 0; sort < SORTS; sort++)
        for (int nth = 1; nth < 12; nth++) {
            int r = any_operation(fixture, sort, fault_memory_fail_from, nth);
            int failed = fault_memory_reset();
            forget_events(fixture);
            assert_true(r == 0 || (r == -ENOMEM && failed > 0));
            refusals += r == -ENOMEM ? 1 : 0;
        }
    check_counts(fixture);
    assert_true(refusals > 0);
}

static void our_own_allocations_may_fail_too(void **state)
{
    fail_each_allocation(*state, fault_fail_malloc, HEAP_OURS);
}

static void a_rolled_back_group_gives_back_what_was_withdrawn(void **state)
{
    struct fixture *fixture = *state;
    for (int nth = 1;; nth++) {
        uint64_t first = put_many(fixture, "a", 3);
        struct record *record = new_record("a", "k", NULL);
        struct store_op ops[4] = {{.type = STORE_CANCEL, .one.id = first},
                                  {.type = STORE_CANCEL, .one.id = first + 1},
                                  {.type = STORE_PUT, .put = {.records = &record, .count = 1}},
                                  {.type = STORE_CANCEL, .one.id = first + 2}};
        forget_events(fixture);
        fault_memory_fail(nth);
        run_together(fixture, ops, 4);
        int failed = fault_memory_reset();
        for (uint64_t i = 0; i < 3; i++) {
            const struct store_op *op = &ops[i == 2 ? 3 : i];
            check_withdrawn(fixture, op, first + i);
            assert_int_equal(state_of(fixture, first + i),
                             op->result == 0 ? TASK_CANCELLED : TASK_QUEUED);
        }
        record_free(record);
        check_counts(fixture);
        if (failed == 0)
            break;
    }
}

static void an_end_waits_for_memory(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    struct record *record = get(fixture, id, NULL);
    record->run = record->attempt = 1;
    struct store_op op = {.type = STORE_FINISH, .finish = {.record = record, .to = TASK_SUCCEEDED}};
    enum { RESULT_BYTES = 100000 };
    char *result = malloc(RESULT_BYTES);
    assert_non_null(result);
    memset(result, '1', RESULT_BYTES);
    assert_int_equal(text_set(&record->result, result, RESULT_BYTES), 0);
    free(result);
    fault_memory_fail_from(1);
    struct pending *pending = submit_all(fixture, &op, 1);
    // The group, then alone, then again and again.
    rn_time deadline = rn_after(10 * RN_SECOND);
    while (fault_memory_failed() < 4 && rn_now() < deadline)
        assert_int_equal(rn_sleep(NULL, RN_MILLISECOND), 0);
    assert_int_equal(pending_left(pending), 1);
    assert_true(fault_memory_reset() >= 4);
    pending_wait(pending);
    assert_int_equal(op.result, 0);
    record_free(record);
    assert_int_equal(state_of(fixture, id), TASK_SUCCEEDED);
}

static void reads_without_memory_are_refused(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 3);
    for (int kind = 0; kind < 2; kind++)
        for (int nth = 1;; nth++) {
            struct store_read reads[2] = {
                {.type = STORE_GET, .get.id = id},
                {.type = STORE_LIST, .list = {.limit = 10, .with_bodies = true}}};
            struct store_read *read = &reads[kind];
            if (nth % 2 == 0)
                fault_fail_malloc(nth / 2);
            else
                fault_memory_fail(nth / 2 + 1);
            int r = run_read(fixture, read);
            bool failed = fault_reached() || fault_memory_failed() > 0;
            (void)fault_memory_reset();
            assert_true(r == 0 || (r == -ENOMEM && failed));
            if (r == 0 && kind == 0)
                record_free(read->get.record);
            for (size_t i = 0; kind == 1 && i < read->list.count; i++)
                record_free(read->list.rows[i]);
            if (kind == 1)
                free(read->list.rows);
            if (!failed && nth > 20)
                break;
        }
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fault_teardown)
        STORE_TEST(an_operation_without_memory_is_done_or_refused_and_leaves_no_trace),
        STORE_TEST(without_memory_for_good_it_is_refused),
        STORE_TEST(our_own_allocations_may_fail_too),
        STORE_TEST(a_rolled_back_group_gives_back_what_was_withdrawn),
        STORE_TEST(an_end_waits_for_memory),
        STORE_TEST(reads_without_memory_are_refused),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
