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
    refused(fixture, -EBADMSG, "up to 2");
    refused(fixture, -EBADMSG, "install the newer runneld");
    change_file(fixture, "PRAGMA user_version = 2");
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
    {.to = 2, .sql = "this was done long ago"},
    {.to = 3, .sql = "CREATE TABLE third(x); INSERT INTO third VALUES(3)"},
    {.to = 4, .sql = "CREATE TABLE fourth(x); INSERT INTO fourth SELECT x + 1 FROM third"},
};

struct told {
    unsigned copying, upgrading;
    uint64_t done, total;
};

static void note_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct told *told = arg;
    *(strncmp(what, "copying", 7) == 0 ? &told->copying : &told->upgrading) += 1;
    told->done = done;
    told->total = total;
}

static struct schema_upgrade later_upgrade(struct fixture *fixture)
{
    return (struct schema_upgrade){
        .path = fixture->path, .from = 2, .to = 4, .steps = later_steps, .count = 3};
}

static void an_older_file_is_copied_and_brought_up_step_by_step(void **state)
{
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    struct told told = {0};
    struct stat status;
    open_store(fixture);
    (void)put_many(fixture, "a", 10);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    // What a daemon that was killed while it copied has left is in nobody's way.
    write_file(beside_store(fixture, "v2-backup.part"), 0, "half", 4);
    struct schema_upgrade upgrade = later_upgrade(fixture);
    upgrade.progress_fn = note_progress;
    upgrade.arg = &told;

    int r = schema_upgrade(&sqlite, &upgrade, &error);

    sqlite_close(&sqlite);
    assert_int_equal(r, 0);
    assert_int_equal(query(fixture, "PRAGMA user_version"), 4);
    assert_int_equal(query(fixture, "SELECT x FROM fourth"), 4);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 10);
    const char *copy = beside_store(fixture, "v2-backup");
    assert_int_equal(value_in(copy, "PRAGMA user_version"), 2);
    assert_int_equal(value_in(copy, "SELECT count(*) FROM tasks"), 10);
    assert_int_equal(stat(copy, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(access(beside_store(fixture, "v2-backup.part"), F_OK), -1);
    assert_int_equal(told.copying, 1);
    assert_true(told.total > 0 && told.done <= told.total);
}

static void a_copy_that_is_there_is_not_overwritten(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    write_file(beside_store(fixture, "v2-backup"), 0, "first", 5);
    for (int nth = 2; nth <= 3; nth++) {
        struct sqlite sqlite;
        char name[32];
        change_file(fixture, "PRAGMA user_version = 2");
        change_file(fixture, "DROP TABLE IF EXISTS third");
        change_file(fixture, "DROP TABLE IF EXISTS fourth");
        open_sqlite(fixture, &sqlite);
        struct schema_upgrade upgrade = later_upgrade(fixture);
        assert_int_equal(schema_upgrade(&sqlite, &upgrade, &error), 0);
        sqlite_close(&sqlite);
        (void)snprintf(name, sizeof(name), "v2-backup-%d", nth);
        assert_int_equal(value_in(beside_store(fixture, name), "PRAGMA user_version"), 2);
    }
    struct stat status;
    assert_int_equal(stat(beside_store(fixture, "v2-backup"), &status), 0);
    assert_int_equal(status.st_size, 5);
    // The newest is the one to go back to.
    refused(fixture, -EBADMSG, "version 4");
    refused(fixture, -EBADMSG, "go back to");
    refused(fixture, -EBADMSG, "-v2-backup-3'");
}

static void a_copy_whose_upgrade_was_committed_gets_its_name_at_the_next_start(void **state)
{
    struct fixture *fixture = *state;
    open_store(fixture);
    close_store(fixture);
    write_file(beside_store(fixture, "v1-backup.part"), 0, "whole", 5);
    fault_fail(FAULT_FSYNC, 1, EIO); // of the folder
    refused(fixture, -EIO, "v1-backup.part");
    assert_true(fault_reached());

    open_store(fixture);

    assert_int_equal(access(beside_store(fixture, "v1-backup"), F_OK), 0);
    assert_int_equal(access(beside_store(fixture, "v1-backup.part"), F_OK), -1);
}

static void a_step_that_fails_leaves_the_file_as_it_was(void **state)
{
    static const struct schema_step bad_steps[] = {
        {.to = 3, .sql = "CREATE TABLE second(x)"},
        {.to = 4, .sql = "CREATE TABLE second(x)"},
    };
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    struct schema_upgrade upgrade = later_upgrade(fixture);
    upgrade.steps = bad_steps;
    upgrade.count = 2;
    assert_true(schema_upgrade(&sqlite, &upgrade, &error) < 0);
    sqlite_close(&sqlite);
    assert_non_null(strstr(error.text, "already exists"));
    assert_int_equal(query(fixture, "PRAGMA user_version"), 2);
    assert_int_equal(access(beside_store(fixture, "v2-backup"), F_OK), -1);
    assert_int_equal(access(beside_store(fixture, "v2-backup.part"), F_OK), -1);
    open_store(fixture);
}

static void a_step_that_takes_long_tells_that_it_goes_on(void **state)
{
    static const struct schema_step long_steps[] = {
        {.to = 1,
         .sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) "
                "SELECT count(*) FROM n"}};
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    struct told told = {0};
    write_file(fixture->path, 0, "", 0);
    open_sqlite(fixture, &sqlite);
    struct schema_upgrade upgrade = {.path = fixture->path,
                                     .to = 1,
                                     .steps = long_steps,
                                     .count = 1,
                                     .progress_fn = note_progress,
                                     .arg = &told};
    assert_int_equal(schema_upgrade(&sqlite, &upgrade, &error), 0);
    sqlite_close(&sqlite);
    assert_int_equal(told.copying, 0);
    assert_true(told.upgrading >= 1);
    assert_int_equal(told.total, 0);
}

static void a_copy_that_can_not_be_made_stops_the_upgrade(void **state)
{
    static const struct {
        enum fault_call call;
        int nth;
    } faults[] = {{FAULT_OPEN, 1}, {FAULT_OPEN, 2}, {FAULT_FSYNC, 1}, {FAULT_FSYNC, 2}};
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct schema_upgrade upgrade = later_upgrade(fixture);
        fault_fail(faults[i].call, faults[i].nth, EIO);
        assert_int_equal(schema_upgrade(&sqlite, &upgrade, &error), -EIO);
        assert_true(fault_reached());
        assert_int_equal(access(beside_store(fixture, "v2-backup.part"), F_OK), -1);
    }
    sqlite_close(&sqlite);
    assert_int_equal(query(fixture, "PRAGMA user_version"), 2);
}

static void no_room_for_the_copy_is_told_before_it_is_begun(void **state)
{
    struct fixture *fixture = *state;
    struct sqlite sqlite;
    struct error error = {0};
    open_store(fixture);
    close_store(fixture);
    open_sqlite(fixture, &sqlite);
    struct schema_upgrade upgrade = later_upgrade(fixture);
    fault_file_system(0, 4 << 20);
    assert_int_equal(schema_upgrade(&sqlite, &upgrade, &error), -ENOSPC);
    fault_reset();
    sqlite_close(&sqlite);
    assert_non_null(strstr(error.text, "4 MiB are free: make room"));
    assert_int_equal(query(fixture, "PRAGMA user_version"), 2);
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
        OPEN_TEST(a_copy_that_is_there_is_not_overwritten),
        OPEN_TEST(a_copy_whose_upgrade_was_committed_gets_its_name_at_the_next_start),
        OPEN_TEST(a_step_that_takes_long_tells_that_it_goes_on),
        OPEN_TEST(no_room_for_the_copy_is_told_before_it_is_begun),
        OPEN_TEST(the_store_has_what_makes_it_durable),
    };
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
