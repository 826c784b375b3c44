/* A disk that is full, a disk that fails, a damaged file, no memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "fault_vfs.h"
#include "store/ballast.h"
#include "support.h"

enum { PUT_ROWS = 200, LARGE_BYTES = 900 };

static int faults_teardown(void **state)
{
    fault_reset();
    fault_vfs_reset();
    (void)fault_memory_reset();
    return store_teardown(state);
}

/* Many tasks of nearly 1 KiB at once: the files have to grow. */
static int put_much(struct fixture *fixture)
{
    static char args[LARGE_BYTES + 1];
    struct record *records[PUT_ROWS];
    memset(args, '7', LARGE_BYTES);
    for (size_t i = 0; i < PUT_ROWS; i++)
        records[i] = new_record("a", "k", args);
    struct store_op op = {.type = STORE_PUT, .put = {.records = records, .count = PUT_ROWS}};
    int r = run_op(fixture, &op);
    for (size_t i = 0; i < PUT_ROWS; i++)
        record_free(records[i]);
    return r;
}

/* The ballast's room is there once the store has given it up. */
static void give_ballast(struct fixture *fixture, struct store_event *event)
{
    (void)fixture;
    if (event->type == STORE_EVENT_SPACE && event->full)
        (void)atomic_fetch_add(&fault_vfs.room, BALLAST_BYTES);
}

/* Until the ballast has this size, 20 s at most: every second the store tries to fill it again. */
static void await_ballast(struct fixture *fixture, uint64_t bytes)
{
    rn_time deadline = rn_after(20 * RN_SECOND);
    struct store_stats stats;

    for (;;) {
        store_stats(fixture->store, &stats);
        if (stats.ballast_bytes == bytes)
            return;
        assert_true(rn_now() < deadline);
        assert_int_equal(rn_sleep(NULL, RN_MILLISECOND), 0);
    }
}

/* Fills the disk: from here on only the ballast's room is left, and it can't be filled again. */
static void fill_disk(struct fixture *fixture)
{
    atomic_store(&fault_vfs.room, 100000);
    fault_fail_from(FAULT_FSYNC, 1, ENOSPC);
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++)
        r = put_much(fixture);
    assert_int_equal(r, -ENOSPC);
    wait_event(fixture, STORE_EVENT_SPACE, true);
    assert_true(store_is_full(fixture->store));
    await_ballast(fixture, 0);
}

static void make_room(struct fixture *fixture)
{
    forget_events(fixture);
    atomic_store(&fault_vfs.room, -1);
    fault_reset();
    wait_event(fixture, STORE_EVENT_SPACE, false);
    assert_false(store_is_full(fixture->store));
    await_ballast(fixture, BALLAST_BYTES);
}

static void on_a_full_disk_puts_are_refused_and_ends_are_stored(void **state)
{
    struct fixture *fixture = *state;
    fixture->on_event = give_ballast;
    uint64_t first = put_many(fixture, "a", 5);
    assert_int_equal(finish(fixture, first + 4, TASK_SUCCEEDED), 0);
    fill_disk(fixture);

    struct record *record = new_record("a", "k", NULL);
    struct store_op put = {.type = STORE_PUT, .put = {.records = &record, .count = 1}};
    assert_int_equal(run_op(fixture, &put), -ENOSPC);
    record_free(record);
    assert_int_equal(finish(fixture, first, TASK_SUCCEEDED), 0);
    assert_int_equal(one(fixture, STORE_CANCEL, first + 1, NULL), 0);
    assert_int_equal(one(fixture, STORE_DELETE, first + 4, NULL), 0);
    assert_int_equal(state_of(fixture, first), TASK_SUCCEEDED);
    assert_int_equal(state_of(fixture, first + 1), TASK_CANCELLED);
    check_counts(fixture);

    make_room(fixture);
    assert_int_equal(put_much(fixture), 0);
    check_counts(fixture);
    assert_int_equal(count_events(fixture, STORE_EVENT_SPACE, 0), 1);
}

static void starts_and_promotions_wait_for_room(void **state)
{
    struct fixture *fixture = *state;
    fixture->on_event = give_ballast;
    uint64_t first = put_many(fixture, "a", 2);
    struct record *starting = get(fixture, first, NULL);
    starting->run = starting->attempt = 1;
    fill_disk(fixture);

    struct store_op ops[4] = {
        {.type = STORE_START, .start.record = starting},
        {.type = STORE_PROMOTE, .promote.limit = 10},
        {.type = STORE_QUEUE_SET, .queue_set = {.queue = "a", .settings = {.paused = true}}},
        {.type = STORE_HOLD, .hold.id = first + 1},
    };
    struct pending *pending = submit_all(fixture, ops, 4);
    assert_int_equal(one(fixture, STORE_CANCEL, 1000000, NULL), -ENOENT); // passes them
    assert_int_equal(pending_left(pending), 4);
    assert_int_equal(state_of(fixture, first), TASK_QUEUED);

    make_room(fixture);
    pending_wait(pending);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ops[i].result, 0);
    assert_int_equal(state_of(fixture, first), TASK_RUNNING);
    assert_int_equal(state_of(fixture, first + 1), TASK_HELD);
    record_free(starting);
    check_counts(fixture);
}

static void an_end_that_has_no_room_at_all_stays_with_the_store(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 2);
    struct record *record = get(fixture, first, NULL);
    record->run = record->attempt = 1;
    fill_disk(fixture); // and the ballast gives nothing
    atomic_store(&fault_vfs.room, 0);

    // By hand it is refused, the end of an attempt never.
    struct store_op op = {.type = STORE_FINISH, .finish = {.record = record, .to = TASK_FAILED}};
    enum { EXEC_BYTES = 2000000 }; // more than what the log's file has room for already
    char *exec = malloc(EXEC_BYTES);
    assert_non_null(exec);
    memset(exec, '1', EXEC_BYTES);
    assert_int_equal(text_set(&record->exec, exec, EXEC_BYTES), 0);
    free(exec);
    struct pending *pending = submit_all(fixture, &op, 1);
    assert_int_equal(one(fixture, STORE_CANCEL, 1000000, NULL), -ENOENT);
    assert_int_equal(pending_left(pending), 1);

    make_room(fixture);
    pending_wait(pending);
    assert_int_equal(op.result, 0);
    assert_int_equal(state_of(fixture, first), TASK_FAILED);
    record_free(record);
    check_counts(fixture);
}

static void what_waits_for_room_is_answered_by_the_stop(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 1);
    struct record *record = get(fixture, first, NULL);
    record->run = record->attempt = 1;
    fill_disk(fixture);
    struct store_op op = {.type = STORE_START, .start.record = record};
    struct pending *pending = submit_all(fixture, &op, 1);

    close_store(fixture);

    assert_int_equal(pending_left(pending), 0);
    pending_wait(pending);
    assert_true(op.result == 0 || op.result == -ENOSPC);
    record_free(record);
}

static void a_store_opens_on_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 2);
    assert_int_equal(start(fixture, first), 0); // there is something to recover
    close_store(fixture);
    assert_int_equal(unlink(beside_store(fixture, "ballast")), 0);
    fault_fail_from(FAULT_FSYNC, 1, ENOSPC); // the ballast can't be filled
    struct error error = {0};
    assert_int_equal(try_open(fixture, &error), 0);
    fault_reset();
    assert_true(store_is_full(fixture->store));
    assert_int_equal(store_start(fixture->store, &error), 0);
    forget_events(fixture);
    assert_int_equal(put_much(fixture), -ENOSPC);
    wait_event(fixture, STORE_EVENT_SPACE, false);
    assert_int_equal(put_much(fixture), 0);
}

static void no_room_for_the_logs_index_is_a_full_disk_too(void **state)
{
    struct fixture *fixture = *state;
    enum { ROWS = 1100, BYTES = 16000 }; // more than 4,062 pages in one transaction
    char *args = malloc(BYTES + 1);
    struct record **records = calloc(ROWS, sizeof(struct record *));
    assert_non_null(args);
    assert_non_null(records);
    memset(args, '7', BYTES);
    args[BYTES] = '\0';
    for (size_t i = 0; i < ROWS; i++)
        records[i] = new_record("a", "k", args);
    (void)put_many(fixture, "a", 1);
    assert_int_equal(state_of(fixture, 1),
                     TASK_QUEUED); // writer and reader have mapped what is there
    struct store_list_filter all = {.states = 0};
    struct store_read list = {.type = STORE_LIST, .list = {.filter = all, .limit = 1}};
    assert_int_equal(run_read(fixture, &list), 0);
    record_free(list.list.rows[0]);
    free(list.list.rows);
    atomic_store(&fault_vfs.fail_shared_memory, 1);
    struct store_op op = {.type = STORE_PUT, .put = {.records = records, .count = ROWS}};
    assert_int_equal(run_op(fixture, &op), -ENOSPC);
    assert_int_equal(atomic_load(&fault_vfs.fail_shared_memory), 0);
    wait_event(fixture, STORE_EVENT_SPACE, true);
    wait_event(fixture, STORE_EVENT_SPACE, false);
    assert_int_equal(run_op(fixture, &op), 0);
    for (size_t i = 0; i < ROWS; i++)
        record_free(records[i]);
    free(records);
    free(args);
    check_counts(fixture);
}

// What ends the process: each in a process of its own, which answers 1 where an operation was
// answered after the fault.

static int exit_code(struct fixture *fixture, void (*fn)(struct fixture *fixture))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fn(fixture);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void fail_commit(struct fixture *fixture)
{
    open_store(fixture);
    (void)put_many(fixture, "a", 1);
    atomic_store(&fault_vfs.fail_sync, 1);
    (void)put_much(fixture);
}

static void fail_sync_after_commit(struct fixture *fixture, struct store_event *event)
{
    (void)fixture;
    if (event->type == STORE_EVENT_GROUP_END)
        atomic_store(&fault_vfs.fail_sync, 1);
}

static void fail_checkpoint(struct fixture *fixture)
{
    open_store(fixture);
    fixture->on_event = fail_sync_after_commit;
    (void)put_many(fixture, "a", 1);
    (void)pause(); // the idle writer's checkpoint
}

static void fail_write(struct fixture *fixture)
{
    open_store(fixture);
    atomic_store(&fault_vfs.fail_write, 1);
    (void)put_many(fixture, "a", 1);
}

static void damage_for_the_writer(struct fixture *fixture)
{
    open_store(fixture);
    atomic_store(&fault_vfs.damage, 1);
    (void)one(fixture, STORE_CANCEL, 1, NULL);
}

static void damage_for_a_reader(struct fixture *fixture)
{
    open_store(fixture);
    atomic_store(&fault_vfs.damage, 1);
    struct store_read read = {.type = STORE_GET, .get.id = 1};
    (void)run_read(fixture, &read);
}

static void a_failed_sync_ends_the_process_and_answers_nobody(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(exit_code(fixture, fail_commit), 74);
    // The next start takes what is there; what was answered is.
    open_store(fixture);
    assert_int_equal(state_of(fixture, 1), TASK_QUEUED);
    check_counts(fixture);
    close_store(fixture);
    assert_int_equal(exit_code(fixture, fail_checkpoint), 74);
    assert_int_equal(exit_code(fixture, fail_write), 74);
    open_store(fixture);
    check_counts(fixture);
}

static void a_damaged_file_ends_the_process(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    (void)put_many(fixture, "a", 2000);
    close_store(fixture);
    assert_int_equal(exit_code(fixture, damage_for_the_writer), 65);
    assert_int_equal(exit_code(fixture, damage_for_a_reader), 65);
}

// No memory.

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

static void an_operation_without_memory_is_done_or_refused_and_leaves_no_trace(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned sort = 0; sort < SORTS; sort++)
        for (int nth = 1;; nth++) {
            int r = any_operation(fixture, sort, fault_memory_fail, nth);
            int failed = fault_memory_reset();
            forget_events(fixture);
            assert_true(r == 0 || (r == -ENOMEM && failed > 0));
            if (failed == 0) {
                check_counts(fixture);
                break;
            }
        }
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
    struct fixture *fixture = *state;
    for (unsigned sort = 0; sort < SORTS; sort++)
        for (int nth = 1;; nth++) {
            int r = any_operation(fixture, sort, fault_fail_malloc, nth);
            bool failed = fault_reached();
            forget_events(fixture);
            assert_true(r == 0 || (r == -ENOMEM && failed));
            if (!failed) {
                check_counts(fixture);
                break;
            }
        }
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
            size_t out = count_events(fixture, STORE_EVENT_WITHDRAW, first + i);
            size_t back = count_events(fixture, STORE_EVENT_RESTORE, first + i);
            assert_true(op->result == 0 || op->result == -ENOMEM);
            assert_int_equal(out - back, op->result == 0);
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

static void a_file_that_another_process_holds_is_waited_for_then_refused(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);

    struct record *record = get(fixture, id, NULL);
    struct record *fresh = new_record("a", "k", NULL);
    record->run = record->attempt = 1;
    struct store_op ops[2] = {
        {.type = STORE_PUT, .put = {.records = &fresh, .count = 1}},
        {.type = STORE_FINISH, .finish = {.record = record, .to = TASK_SUCCEEDED}}};
    struct pending *pending = submit_all(fixture, ops, 2);
    rn_time deadline = rn_after(20 * RN_SECOND);
    while (pending_left(pending) > 1 && rn_now() < deadline)
        assert_int_equal(rn_sleep(NULL, RN_MILLISECOND), 0);
    assert_int_equal(pending_left(pending), 1);
    assert_int_equal(ops[0].result, -EAGAIN);

    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    pending_wait(pending);
    assert_int_equal(ops[1].result, 0);
    record_free(record);
    record_free(fresh);
    check_counts(fixture);
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    fault_vfs_install();
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, faults_teardown)
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, faults_teardown)
        FOLDER_TEST(a_failed_sync_ends_the_process_and_answers_nobody),
        FOLDER_TEST(a_damaged_file_ends_the_process),
        STORE_TEST(on_a_full_disk_puts_are_refused_and_ends_are_stored),
        STORE_TEST(starts_and_promotions_wait_for_room),
        STORE_TEST(an_end_that_has_no_room_at_all_stays_with_the_store),
        STORE_TEST(what_waits_for_room_is_answered_by_the_stop),
        STORE_TEST(a_store_opens_on_a_full_disk),
        STORE_TEST(no_room_for_the_logs_index_is_a_full_disk_too),
        STORE_TEST(an_operation_without_memory_is_done_or_refused_and_leaves_no_trace),
        STORE_TEST(without_memory_for_good_it_is_refused),
        STORE_TEST(our_own_allocations_may_fail_too),
        STORE_TEST(a_rolled_back_group_gives_back_what_was_withdrawn),
        STORE_TEST(an_end_waits_for_memory),
        STORE_TEST(reads_without_memory_are_refused),
        STORE_TEST(a_file_that_another_process_holds_is_waited_for_then_refused),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
