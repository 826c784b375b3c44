/* The write-ahead log and the file: checkpoints when idle and when the log is long, its bound, and
 * room that is given back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

enum { ROW_BYTES = 16000, ROWS = 250 }; // about 1,000 pages

/* One number of the file without its log: what checkpoints have copied. */
static int64_t in_file(struct fixture *fixture, const char *sql)
{
    char uri[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    (void)snprintf(uri, sizeof(uri), "file:%s?immutable=1", fixture->path);
    assert_int_equal(sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL),
                     SQLITE_OK);
    // It may be read while it is being written: then it is looked at again.
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return value;
}

static int put_pages(struct fixture *fixture)
{
    return put_rows(fixture, ROWS, ROW_BYTES);
}

static int64_t log_bytes(struct fixture *fixture)
{
    struct store_stats stats;
    store_stats(fixture->store, &stats);
    return (int64_t)stats.wal_bytes;
}

/* Looks every few milliseconds, for 20 s at most, until fn says so. */
static bool comes_true(struct fixture *fixture, bool (*fn)(struct fixture *fixture))
{
    rn_time deadline = rn_after(20 * RN_SECOND);
    while (rn_now() < deadline) {
        if (fn(fixture))
            return true;
        assert_int_equal(rn_sleep(NULL, 5 * RN_MILLISECOND), 0);
    }
    return false;
}

static bool all_is_in_the_file(struct fixture *fixture)
{
    return in_file(fixture, "SELECT count(*) FROM tasks") == (int64_t)store_last_id(fixture->store);
}

static void an_idle_writer_copies_the_log_into_the_file(void **state)
{
    struct fixture *fixture = *state;
    (void)put_many(fixture, "a", 10);
    assert_true(comes_true(fixture, all_is_in_the_file));
    (void)put_many(fixture, "a", 10);
    assert_true(comes_true(fixture, all_is_in_the_file));
}

static void the_log_of_a_busy_writer_is_started_anew(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 14; i++)
        assert_int_equal(put_pages(fixture), 0);
    // 14,000 pages went through it.
    assert_true(log_bytes(fixture) < 6000 * 4120);
    assert_true(query(fixture, "PRAGMA page_count") > 14000);
}

static void a_log_that_a_reader_holds_is_bounded_and_puts_are_refused_until_it_lets_go(void **state)
{
    struct fixture *fixture = *state;
    sqlite3 *db = NULL;
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM tasks", NULL, NULL, NULL),
                     SQLITE_OK);

    int r = 0;
    for (int i = 0; i < 40 && r == 0; i++)
        r = put_pages(fixture);
    assert_int_equal(r, -EAGAIN);
    assert_true(log_bytes(fixture) >= 64 << 20);
    assert_true(log_bytes(fixture) < 80 << 20);
    // Ends are stored all the same.
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);

    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    rn_time deadline = rn_after(20 * RN_SECOND);
    do
        r = put_pages(fixture);
    while (r == -EAGAIN && rn_now() < deadline);
    assert_int_equal(r, 0);
    assert_true(log_bytes(fixture) < 24 << 20); // nor does the file stay so long
    check_counts(fixture);
}

static int64_t file_bytes(struct fixture *fixture)
{
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    return status.st_size;
}

static bool the_file_is_small(struct fixture *fixture)
{
    return file_bytes(fixture) < 6 << 20;
}

static void room_of_removed_tasks_is_given_back(void **state)
{
    static const struct store_retention retention = {.keep_count = 0};
    struct fixture *fixture = *state;
    (void)put_many(fixture, "a", 1);
    close_store(fixture);
    // 5,000 tasks that ended long ago.
    change_file(fixture,
                "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5001) "
                "INSERT INTO tasks(id, state, queue, priority, run, attempt, interruptions, flags, "
                "created_at, kind, finished_at, args) SELECT i, 4, 1, 0, 1, 1, 0, 0, 1, 'k', i, "
                "hex(zeroblob(2000)) FROM n; UPDATE queues SET succeeded = 5000");
    open_store(fixture);
    assert_true(file_bytes(fixture) > 15 << 20);
    struct store_op op = {.type = STORE_SWEEP,
                          .sweep = {.retention = &retention, .limit = 1000, .more = true}};
    while (op.sweep.more)
        assert_int_equal(run_op(fixture, &op), 0);
    assert_true(comes_true(fixture, the_file_is_small));
    check_counts(fixture);
    assert_int_equal(query(fixture, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                    "integrity_check <> 'ok'"),
                     0);
}

static void a_stopped_store_leaves_no_log(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    (void)put_many(fixture, "a", 10);
    close_store(fixture);
    assert_int_equal(stat(beside_store(fixture, "wal"), &status), -1);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(an_idle_writer_copies_the_log_into_the_file),
        STORE_TEST(the_log_of_a_busy_writer_is_started_anew),
        STORE_TEST(a_log_that_a_reader_holds_is_bounded_and_puts_are_refused_until_it_lets_go),
        STORE_TEST(room_of_removed_tasks_is_given_back),
        STORE_TEST(a_stopped_store_leaves_no_log),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
