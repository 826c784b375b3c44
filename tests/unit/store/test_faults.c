/* A disk that is full, a disk that fails, a damaged file. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "fault_vfs.h"
#include "store/ballast.h"
#include "support.h"

enum { PUT_ROWS = 200, LARGE_BYTES = 900 };

/* Many tasks of nearly 1 KiB at once: the files have to grow. */
static int put_much(struct fixture *fixture)
{
    return put_rows(fixture, PUT_ROWS, LARGE_BYTES);
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
    exec[0] = '{';
    exec[EXEC_BYTES - 1] = '}';
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
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fault_teardown)
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, fault_teardown)
        FOLDER_TEST(a_failed_sync_ends_the_process_and_answers_nobody),
        FOLDER_TEST(a_damaged_file_ends_the_process),
        STORE_TEST(on_a_full_disk_puts_are_refused_and_ends_are_stored),
        STORE_TEST(starts_and_promotions_wait_for_room),
        STORE_TEST(an_end_that_has_no_room_at_all_stays_with_the_store),
        STORE_TEST(what_waits_for_room_is_answered_by_the_stop),
        STORE_TEST(a_store_opens_on_a_full_disk),
        STORE_TEST(no_room_for_the_logs_index_is_a_full_disk_too),
        STORE_TEST(a_file_that_another_process_holds_is_waited_for_then_refused),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
