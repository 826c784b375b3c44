/* An index that has what its table does not: SQLite takes it as it is, so the store has to see it
 * before it acts on it, or finds the same row for ever. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/check.h"
#include "support.h"

enum { EXIT_DAMAGED = 65 };

/* Makes a change that an index does not see: its entry is taken out of the schema and put back
 * behind the change, its tree as it was. */
static void change_behind(struct fixture *fixture, const char *index, const char *change)
{
    char sql[1024];
    // Kept in a table of its own meanwhile.
    (void)snprintf(sql, sizeof(sql),
                   "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '%s';"
                   "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = '%s'",
                   index, index);
    change_file(fixture, sql);
    change_file(fixture, change);
    change_file(fixture, "PRAGMA writable_schema = ON;"
                         "INSERT INTO sqlite_schema SELECT * FROM kept");
    change_file(fixture, "DROP TABLE kept");
}

/* Opens the store in a process of its own, in which the damage is met, and gives how it ended. */
static int end_of(struct fixture *fixture, struct store_op *op)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        open_store(fixture);
        (void)run_op(fixture, op);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_start_ends_where_the_index_names_a_task_that_does_not_run(void **state)
{
    struct fixture *fixture = *state;
    struct store_recovery recovery;
    struct error error = {0};
    open_store(fixture);
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(start(fixture, id), 0);
    close_store(fixture);
    change_behind(fixture, "tasks_parked", "UPDATE tasks SET state = 4");

    assert_int_equal(try_open(fixture, &error), 0);
    assert_int_equal(store_recover(fixture->store, retry_thrice, NULL, &recovery, &error),
                     -EBADMSG);
    assert_int_equal(error.code, -EBADMSG);
    assert_non_null(strstr(error.text, "--check-store"));
}

static void a_claim_ends_where_the_index_names_a_task_that_is_not_queued(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    (void)put_many(fixture, "a", 2);
    close_store(fixture);
    change_behind(fixture, "tasks_queued", "UPDATE tasks SET state = 5 WHERE id = 2");

    struct store_op claim = {.type = STORE_CLAIM, .claim = {.queue = "a", .limit = 10}};
    assert_int_equal(end_of(fixture, &claim), EXIT_DAMAGED);
}

static void a_claim_ends_where_the_index_has_another_order(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    struct record *record = new_record("a", "k", NULL);
    record->priority = 5;
    (void)put_one(fixture, record);
    (void)put_many(fixture, "a", 1);
    close_store(fixture);
    // From here on SQLite takes the order of its tree, 5 before 0, for an ascending one.
    change_file(fixture, "PRAGMA writable_schema = ON;"
                         "UPDATE sqlite_schema SET sql = replace(sql, 'priority DESC', 'priority')"
                         " WHERE name = 'tasks_queued'");

    struct store_op claim = {.type = STORE_CLAIM, .claim = {.queue = "a", .limit = 10}};
    assert_int_equal(end_of(fixture, &claim), EXIT_DAMAGED);
}

static void a_header_that_sqlite_makes_something_else_of_is_damage(void **state)
{
    static const struct {
        off_t at;
        unsigned char bytes[4];
    } headers[] = {
        {16, {16, 0, 7, 2}}, {16, {16, 0, 2, 3}},  {44, {147, 0, 0, 4}}, {44, {0, 0, 1, 4}},
        {44, {0, 0, 0, 3}},  {48, {0, 127, 0, 0}}, {56, {0, 1, 0, 1}},   {56, {0, 0, 0, 2}},
        {72, {0, 0, 0, 1}},  {88, {128, 0, 0, 0}},
    };
    struct fixture *fixture = *state;
    open_store(fixture);
    (void)put_many(fixture, "a", 1);
    close_store(fixture);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct store_check_result result;
        struct error error = {0};
        unsigned char was[4];
        int fd = open(fixture->path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, was, 4, headers[i].at), 4);
        assert_int_equal(pwrite(fd, headers[i].bytes, 4, headers[i].at), 4);
        assert_int_equal(try_open(fixture, &error), -EBADMSG);
        assert_int_equal(store_check(fixture->path, NULL, NULL, &result, &error), -EBADMSG);
        assert_int_equal(pwrite(fd, was, 4, headers[i].at), 4);
        assert_int_equal(close(fd), 0);
    }
    open_store(fixture);
}

static void scheduled_tasks(struct fixture *fixture, int64_t expires_at_ms)
{
    open_store(fixture);
    struct record *record = new_record("a", "k", NULL);
    record->state = TASK_SCHEDULED;
    record->due_at_ms = rn_wall_ms() + 3600 * 1000;
    record->expires_at_ms = expires_at_ms;
    (void)put_one(fixture, record);
    close_store(fixture);
}

static void what_is_due_by_the_index_alone_is_not_started(void **state)
{
    struct fixture *fixture = *state;
    struct store_op promote = {
        .type = STORE_PROMOTE, .now_ms = rn_wall_ms() + 7200 * 1000, .promote.limit = 10};
    scheduled_tasks(fixture, 0);
    change_behind(fixture, "tasks_due", "UPDATE tasks SET state = 6");
    assert_int_equal(end_of(fixture, &promote), EXIT_DAMAGED);
    change_file(fixture, "UPDATE tasks SET state = 0; REINDEX");
    change_behind(fixture, "tasks_due", "DELETE FROM tasks");
    assert_int_equal(end_of(fixture, &promote), EXIT_DAMAGED);
}

static void what_has_expired_by_the_index_alone_is_not_ended_again(void **state)
{
    struct fixture *fixture = *state;
    struct store_op promote = {
        .type = STORE_PROMOTE, .now_ms = rn_wall_ms() + 1800 * 1000, .promote.limit = 10};
    scheduled_tasks(fixture, rn_wall_ms() + 60 * 1000);
    change_behind(fixture, "tasks_expiry", "UPDATE tasks SET state = 6");
    assert_int_equal(end_of(fixture, &promote), EXIT_DAMAGED);
}

static void what_retention_finds_by_the_index_alone_ends_the_sweep(void **state)
{
    static const struct store_retention retention = {.keep_count = 1000000};
    struct fixture *fixture = *state;
    struct store_op sweep = {.type = STORE_SWEEP,
                             .now_ms = rn_wall_ms() + 3600 * 1000,
                             .sweep = {.retention = &retention, .limit = 10}};
    open_store(fixture);
    uint64_t id = put_many(fixture, "a", 1);
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
    close_store(fixture);
    change_behind(fixture, "tasks_finished", "DELETE FROM tasks");
    assert_int_equal(end_of(fixture, &sweep), EXIT_DAMAGED);
}

static void settings_that_no_request_could_have_made_are_damage(void **state)
{
    static const char *const changes[] = {"workers = 0",     "workers = 1000000", "burst = 0",
                                          "burst = 2000000", "rate = 'often'",    "number = 5",
                                          "queued = -1"};
    struct fixture *fixture = *state;
    open_store(fixture);
    (void)put_many(fixture, "a", 1);
    close_store(fixture);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct error error = {0};
        char sql[128];
        change_file(fixture,
                    "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM queues");
        (void)snprintf(sql, sizeof(sql), "UPDATE queues SET %s", changes[i]);
        change_file(fixture, sql);
        assert_int_equal(try_open(fixture, &error), -EBADMSG);
        change_file(fixture, "DELETE FROM queues; INSERT INTO queues SELECT * FROM kept");
    }
    open_store(fixture);
}

static void a_table_that_is_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    change_file(fixture, "DROP TABLE large_args");
    assert_int_equal(try_open(fixture, &error), -EBADMSG);
    assert_int_equal(error.code, -EBADMSG);
    assert_non_null(strstr(error.text, "no such table"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define DAMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        DAMAGE_TEST(a_start_ends_where_the_index_names_a_task_that_does_not_run),
        DAMAGE_TEST(a_claim_ends_where_the_index_names_a_task_that_is_not_queued),
        DAMAGE_TEST(a_claim_ends_where_the_index_has_another_order),
        DAMAGE_TEST(a_header_that_sqlite_makes_something_else_of_is_damage),
        DAMAGE_TEST(what_is_due_by_the_index_alone_is_not_started),
        DAMAGE_TEST(what_has_expired_by_the_index_alone_is_not_ended_again),
        DAMAGE_TEST(what_retention_finds_by_the_index_alone_ends_the_sweep),
        DAMAGE_TEST(settings_that_no_request_could_have_made_are_damage),
        DAMAGE_TEST(a_table_that_is_gone_is_damage),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
