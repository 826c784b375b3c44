/* Opening: the lock, what is refused, versions, and everything that can fail on the way. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "store/ballast.h"
#include "store/schema.h"
#include "support.h"

static void refused(struct fixture *fixture, int wanted, const char *part)
{
    struct error error = {0};
    int r = try_open(fixture, &error);
    assert_int_equal(r, wanted);
    assert_null(fixture->store);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
}

static void a_second_daemon_is_refused_and_told_who_has_it(void **state)
{
    struct fixture *fixture = *state;
    int ready[2];
    int done[2];
    char byte = 0;
    char who[64];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        (void)close(done[1]);
        byte = try_open(fixture, &error) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        (void)!read(done[0], &byte, 1);
        _exit(0); // as a daemon that is killed: the lock goes with it
    }
    (void)close(done[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');

    (void)snprintf(who, sizeof(who), "process %d since 20", (int)child);
    refused(fixture, -EBUSY, who);
    (void)close(done[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    open_store(fixture);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void the_other_files_lie_beside_the_real_one(void **state)
{
    struct fixture *fixture = *state;
    char link[sizeof(fixture->path)];
    char real[sizeof(fixture->path)];
    struct stat status;
    open_store(fixture);
    close_store(fixture);
    (void)snprintf(real, sizeof(real), "%s", fixture->path);
    (void)snprintf(link, sizeof(link), "%s/link.db", fixture->folder);
    assert_int_equal(symlink("runnel.db", link), 0);
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s", link);

    open_store(fixture);

    assert_int_equal(stat(beside_store(fixture, "lock"), &status), -1);
    close_store(fixture);
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s", real);
    static const char *const suffixes[] = {"lock", "running", "ballast"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(beside_store(fixture, suffixes[i]), &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
    assert_int_equal(status.st_size, BALLAST_BYTES);
    assert_int_equal(stat(real, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_newer_version_is_refused_with_both_numbers(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    close_store(fixture);
    change_file(fixture, "PRAGMA user_version = 9");
    refused(fixture, -EBADMSG, "version 9");
    refused(fixture, -EBADMSG, "up to 1");
    change_file(fixture, "PRAGMA user_version = 1");
    open_store(fixture);
}

static void what_is_not_ours_is_refused_and_left_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    change_file(fixture, "CREATE TABLE t(x)");
    refused(fixture, -EBADMSG, "not one of runneld");
    assert_int_equal(query(fixture, "SELECT count(*) FROM sqlite_schema"), 1);
    change_file(fixture, "PRAGMA application_id = 1380863564");
    refused(fixture, -EBADMSG, "damaged");
}

static void write_file(const char *path, off_t at, const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), length);
    assert_int_equal(close(fd), 0);
}

static void a_damaged_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char noise[4096];
    memset(noise, 'x', sizeof(noise));
    write_file(fixture->path, 0, noise, sizeof(noise));
    refused(fixture, -EBADMSG, "not a database");
    assert_int_equal(unlink(fixture->path), 0);

    open_store(fixture);
    (void)put_many(fixture, "a", 200);
    close_store(fixture);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(truncate(fixture->path, status.st_size / 2), 0);
    refused(fixture, -EBADMSG, "");
    // A root page of a table.
    assert_int_equal(truncate(fixture->path, 0), 0);
    open_store(fixture);
    close_store(fixture);
    int64_t root = query(fixture, "SELECT rootpage FROM sqlite_schema WHERE name = 'queues'");
    write_file(fixture->path, (off_t)(root - 1) * 4096, noise, sizeof(noise));
    refused(fixture, -EBADMSG, "");
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    struct fixture *fixture = *state;
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/no/runnel.db", fixture->folder);
    refused(fixture, -ENOENT, "no/runnel.db");
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s", fixture->folder);
    refused(fixture, -EISDIR, fixture->folder);
}

static void a_sync_of_the_folder_that_fails_refuses_the_start(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    assert_int_equal(try_open(fixture, &error), 0);
    fault_fail(FAULT_FSYNC, 1, EIO);
    assert_int_equal(store_start(fixture->store, &error), -EIO);
    assert_true(fault_reached());
    assert_non_null(strstr(error.text, fixture->folder));
    store_free(fixture->store);
    fixture->store = NULL;
}

static bool no_policy(void *arg, const char *kind, struct store_interruption_policy *ret_policy)
{
    (void)arg;
    (void)kind;
    (void)ret_policy;
    return false;
}

/* Opens, recovers, starts: the first error, with all taken back. */
static int whole_start(struct fixture *fixture, struct error *error)
{
    struct store_recovery recovery;
    int r = try_open(fixture, error);
    if (r < 0)
        return r;
    r = store_recover(fixture->store, no_policy, NULL, &recovery, error);
    if (r == 0)
        r = store_start(fixture->store, error);
    if (r < 0) {
        store_free(fixture->store);
        fixture->store = NULL;
    }
    return r;
}

static void every_failed_allocation_of_a_start_is_told_and_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture); // with something to read, and to recover
    uint64_t id = put_many(fixture, "a", 1);
    (void)put_many(fixture, "b", 2);
    assert_int_equal(start(fixture, id), 0);
    struct store_op hold = {.type = STORE_HOLD, .hold.id = id + 1};
    assert_int_equal(run_op(fixture, &hold), 0);
    close_store(fixture);
    for (int nth = 1;; nth++) {
        struct error error = {0};
        fault_fail_malloc(nth);
        int r = whole_start(fixture, &error);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_true(nth > 8);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(fixture->store);
        assert_true(error.text[0] != '\0');
    }
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    check_counts(fixture);
}

static void every_thread_that_can_not_be_had_is_told(void **state)
{
    struct fixture *fixture = *state;
    for (int nth = 1;; nth++) {
        struct error error = {0};
        fault_fail_pthread_create(nth);
        int r = whole_start(fixture, &error);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_int_equal(nth, 4);
            break;
        }
        assert_int_equal(r, -EAGAIN);
        assert_non_null(strstr(error.text, "threads"));
    }
    assert_int_equal(put_many(fixture, "a", 1), 1);
}

static void every_file_that_can_not_be_opened_is_told(void **state)
{
    struct fixture *fixture = *state;
    for (int nth = 1;; nth++) {
        struct error error = {0};
        fault_fail(FAULT_OPEN, nth, EMFILE);
        int r = whole_start(fixture, &error);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_true(nth > 4);
            break;
        }
        close_store(fixture); // what is only looked at (/proc) need not be there
        assert_true(r == 0 || r == -EMFILE);
    }
}

/* A connection of the writer's sort to the closed store's file. */
static void open_sqlite(struct fixture *fixture, struct sqlite *sqlite)
{
    struct error error = {0};
    assert_int_equal(sqlite_open(sqlite, fixture->path, SQLITE_WRITER, &error), 0);
}

static int64_t value_in(const char *path, const char *sql)
{
    struct fixture other = {.store = NULL};
    (void)snprintf(other.path, sizeof(other.path), "%s", path);
    return query(&other, sql);
}

static const struct schema_step later_steps[] = {
    {.to = 1, .sql = "this was done long ago"},
    {.to = 2, .sql = "CREATE TABLE second(x); INSERT INTO second VALUES(2)"},
    {.to = 3, .sql = "CREATE TABLE third(x); INSERT INTO third SELECT x + 1 FROM second"},
};

static void an_older_file_is_copied_and_brought_up_step_by_step(void **state)
{
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    (void)put_many(fixture, "a", 10);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    // What a daemon that was killed while it copied has left is in nobody's way.
    write_file(beside_store(fixture, "v1.part"), 0, "half", 4);

    int r = schema_upgrade(&sqlite, fixture->path, 1, later_steps, 3, &error);

    sqlite_close(&sqlite);
    assert_int_equal(r, 0);
    assert_int_equal(query(fixture, "PRAGMA user_version"), 3);
    assert_int_equal(query(fixture, "SELECT x FROM third"), 3);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 10);
    const char *copy = beside_store(fixture, "v1");
    assert_int_equal(value_in(copy, "PRAGMA user_version"), 1);
    assert_int_equal(value_in(copy, "SELECT count(*) FROM tasks"), 10);
    assert_int_equal(access(beside_store(fixture, "v1.part"), F_OK), -1);
}

static void a_step_that_fails_leaves_the_file_as_it_was(void **state)
{
    static const struct schema_step bad_steps[] = {
        {.to = 2, .sql = "CREATE TABLE second(x)"},
        {.to = 3, .sql = "CREATE TABLE second(x)"},
    };
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    assert_true(schema_upgrade(&sqlite, fixture->path, 1, bad_steps, 2, &error) < 0);
    sqlite_close(&sqlite);
    assert_non_null(strstr(error.text, "already exists"));
    assert_int_equal(query(fixture, "PRAGMA user_version"), 1);
    open_store(fixture);
}

static void a_copy_that_can_not_be_made_stops_the_upgrade(void **state)
{
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_FSYNC};
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    for (size_t i = 0; i < 2; i++) {
        fault_fail(calls[i], 1, EIO);
        assert_int_equal(schema_upgrade(&sqlite, fixture->path, 1, later_steps, 3, &error), -EIO);
        assert_true(fault_reached());
    }
    sqlite_close(&sqlite);
    assert_int_equal(query(fixture, "PRAGMA user_version"), 1);
}

static void the_store_has_what_makes_it_durable(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    assert_int_equal(query(fixture, "PRAGMA auto_vacuum"), 2);
    assert_int_equal(query(fixture, "PRAGMA page_size"), 4096);
    assert_int_equal(query(fixture, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(query(fixture, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(query(fixture, "PRAGMA user_version"), SCHEMA_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define OPEN_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        OPEN_TEST(a_second_daemon_is_refused_and_told_who_has_it),
        OPEN_TEST(the_other_files_lie_beside_the_real_one),
        OPEN_TEST(a_newer_version_is_refused_with_both_numbers),
        OPEN_TEST(what_is_not_ours_is_refused_and_left_as_it_is),
        OPEN_TEST(a_damaged_file_is_refused),
        OPEN_TEST(a_folder_that_is_not_there_is_named),
        OPEN_TEST(a_sync_of_the_folder_that_fails_refuses_the_start),
        OPEN_TEST(every_failed_allocation_of_a_start_is_told_and_leaves_nothing),
        OPEN_TEST(every_thread_that_can_not_be_had_is_told),
        OPEN_TEST(every_file_that_can_not_be_opened_is_told),
        OPEN_TEST(an_older_file_is_copied_and_brought_up_step_by_step),
        OPEN_TEST(a_step_that_fails_leaves_the_file_as_it_was),
        OPEN_TEST(a_copy_that_can_not_be_made_stops_the_upgrade),
        OPEN_TEST(the_store_has_what_makes_it_durable),
    };
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
