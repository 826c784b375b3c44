/** \file
 * runneld --check-store and --compact: what is found, what stays as it was, and who may.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "stores.h"

enum { OWNER = 12345, OWNER_GROUP = 12346 };

static struct run care(struct daemon *daemon, const char *mode)
{
    return run_program((const char *[]){daemon_program(), "-c", daemon->config_path, mode, NULL},
                       NULL, 60000 * slow());
}

/* ---- the check ---- */

static void a_sound_store_has_no_fault(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    // Of the version before, with the log of a daemon that was killed; and it stays so.
    stores_expect_sound(daemon, "version 1, 17 tasks, 3 keys: 12 checks, 0 faults\n");
    assert_int_equal(stores_query(daemon->store_path, "PRAGMA user_version"), 1);

    daemon = stores_every_state();
    stores_expect_sound(daemon, "version 2, 17 tasks, 1 keys: 14 checks, 0 faults\n");
}

/* One fault each, and how it is told. */
static const struct {
    const char *sql, *line;
} faults[] = {
    {"UPDATE meta SET value = 'short' WHERE name = 'store_id'", "head: the store has no id"},
    {"DELETE FROM meta WHERE name = 'last_id'", "head: the last id"},
    {"UPDATE queues SET number = 9 WHERE number = 1", "queues: queue 9: its number"},
    {"UPDATE queues SET name = '' WHERE number = 1", "values: queue : its name"},
    {"UPDATE tasks SET queue = 77 WHERE id = 2", "queues: task 2: there is no queue 77"},
    {"UPDATE tasks SET state = 8 WHERE id = 2", "values: task 2: its state can not be 8"},
    {"UPDATE tasks SET state = 'x' WHERE id = 2", "values: task 2: its state can not be x"},
    {"UPDATE tasks SET state = 5 WHERE id = 2",
     "counts: queue default: 9 succeeded tasks are there, 10 are counted"},
    {"UPDATE queues SET held = 3 WHERE name = 'parked'",
     "counts: queue parked: 0 held tasks are there, 3 are counted"},
    {"DELETE FROM tasks WHERE id = 13",
     "counts: queue default: 0 scheduled tasks are there, 1 are counted"},
    {"UPDATE tasks SET flags = 64 WHERE id = 2", "flags: task 2: its flags 64"},
    {"UPDATE tasks SET run = -1 WHERE id = 2", "values: task 2: its run can not be -1"},
    {"UPDATE tasks SET id = 9007199254740992 WHERE id = 2",
     "values: task 9007199254740992: its id"},
    {"DELETE FROM large_args WHERE id = 3", "args: task 3: its large args are missing"},
    {"UPDATE tasks SET args = '1' WHERE id = 3", "args: task 3: has args in two places"},
    {"INSERT INTO large_args VALUES(2, '1')", "args: large args 2: belong to no task"},
    {"DELETE FROM large_results WHERE id = 3", "results: task 3: its large result is missing"},
    {"UPDATE tasks SET result = '1' WHERE id = 3", "results: task 3: has results in two"},
    {"INSERT INTO large_results VALUES(99, '1')", "results: large result 99: belongs to no"},
    {"UPDATE tasks SET kind = '' WHERE id = 2", "values: task 2: its kind"},
    {"UPDATE tasks SET error_code = printf('%032d', 1) WHERE id = 2",
     "values: task 2: its error_code"},
    {"UPDATE tasks SET args = '{' WHERE id = 2", "texts: task 2: its args are no JSON"},
    {"UPDATE large_args SET args = '{' WHERE id = 3", "texts: task 3: its large args are no"},
    {"UPDATE tasks SET result = 'x' WHERE id = 2", "texts: task 2: its result is no JSON"},
    {"UPDATE large_results SET result = 'x' WHERE id = 3", "texts: task 3: its large result is no"},
    {"UPDATE tasks SET tags = '[' WHERE id = 2", "texts: task 2: its tags are no JSON"},
    {"UPDATE tasks SET exec = '[' WHERE id = 4", "texts: task 4: its exec is no JSON"},
    {"UPDATE tasks SET history = '[' WHERE id = 5", "texts: task 5: its history is no JSON"},
    {"UPDATE tasks SET priority = 101 WHERE id = 2", "values: task 2: its priority"},
    {"UPDATE tasks SET timeout = -1 WHERE id = 2", "values: task 2: its timeout_ms"},
    {"UPDATE tasks SET created_at = 'soon' WHERE id = 2", "values: task 2: its created_at_ms"},
    {"UPDATE tasks SET args = x'31' WHERE id = 2", "values: task 2: its args"},
    {"UPDATE tasks SET args = CAST(x'22FF22' AS TEXT) WHERE id = 2", "values: task 2: its args"},
    {"UPDATE tasks SET tags = '{}' WHERE id = 2", "values: task 2: its tags"},
    {"UPDATE tasks SET tags = '[1]' WHERE id = 2", "texts: task 2: one of its tags"},
    {"UPDATE tasks SET history = '[1]' WHERE id = 5", "texts: task 5: one of its attempts"},
    {"UPDATE tasks SET due_at = NULL WHERE state = 0", "times: task 13: it waits for no time"},
    {"UPDATE queues SET rate = 'often'", "values: queue default: its rate"},
    {"UPDATE queues SET workers = 0", "values: queue default: its workers"},
    {"UPDATE queues SET paused = 2 WHERE number = 1", "queues: queue 1: whether it is paused"},
    {"UPDATE keys SET count = 100001, last_id = 200000", "keys: key 'k': its tasks"},
    {"UPDATE tasks SET traceparent = '00-' WHERE id = 2", "traces: task 2: its traceparent"},
    {"UPDATE keys SET hash = x'00'", "values: key k: its hash"},
    {"UPDATE keys SET count = 9", "keys: key 'k': its tasks"},
    {"DROP INDEX keys_created; DROP TABLE keys", "keys: no such table: keys"},
    {"UPDATE tasks SET tags = '[', history = x'1b5b'", "texts: and "},
    {"ALTER TABLE queues RENAME COLUMN paused_until TO paused_untim",
     "schema: queues is not as runneld makes it"},
    {"DROP INDEX tasks_due", "schema: tasks_due is not as runneld makes it"},
};

static void every_sort_of_fault_is_found(void)
{
    struct daemon *daemon = stores_every_state();
    const char *sound = plain_text("%s.sound", daemon->store_path);
    struct run copied =
        run_program((const char *[]){"cp", daemon->store_path, sound, NULL}, NULL, 10000);
    assert_int_equal(copied.status, 0);

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        daemon_forget(daemon);
        copied = run_program((const char *[]){"cp", sound, daemon->store_path, NULL}, NULL, 10000);
        assert_int_equal(copied.status, 0);
        stores_change(daemon->store_path, faults[i].sql);

        struct run run = care(daemon, "--check-store");

        if (run.status != 65 || strstr(run.out, plain_text("%s", faults[i].line)) == NULL)
            fail_msg("%s: status %d\n%s%s", faults[i].sql, run.status, run.out, run.err);
        assert_null(strstr(run.out, ", 0 faults"));
    }
}

/* Bytes at an offset of the file. */
static void overwrite(const char *path, off_t at, const char *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
    assert_int_equal(close(fd), 0);
}

static void a_damaged_page_is_found(void)
{
    struct daemon *daemon = stores_every_state();
    int64_t page = stores_query(daemon->store_path,
                                "SELECT rootpage FROM sqlite_schema WHERE name = 'tasks_finished'");
    overwrite(daemon->store_path, (page - 1) * 4096, repeated('x', 4096), 4096);

    struct run run = care(daemon, "--check-store");

    assert_int_equal(run.status, 65);
    assert_non_null(strstr(run.out, "pages: "));
    assert_null(strstr(run.out, "pages: ok"));

    overwrite(daemon->store_path, 0, repeated('x', 4096), 4096);
    run = care(daemon, "--check-store");
    assert_int_equal(run.status, 65);
    assert_non_null(strstr(run.err, "file is not a database"));
}

static void what_is_no_store_is_told_from_a_damaged_one(void)
{
    static const char *const modes[] = {"--check-store", "--compact"};
    struct daemon *daemon = daemon_new(stores_config);

    for (size_t i = 0; i < 2; i++) {
        struct run run = care(daemon, modes[i]);
        assert_int_equal(run.status, 71);
        assert_non_null(strstr(run.err, "cannot find the store"));
        assert_false(file_exists(daemon->store_path));

        file_write(daemon->store_path, "");
        run = care(daemon, modes[i]);
        assert_int_equal(run.status, 65);
        assert_non_null(strstr(run.err, "is empty"));

        stores_change(daemon->store_path, "CREATE TABLE other(x)");
        run = care(daemon, modes[i]);
        assert_int_equal(run.status, 65);
        assert_non_null(strstr(run.err, "not one of runneld"));

        stores_change(daemon->store_path,
                      "PRAGMA application_id = 1380863564; PRAGMA user_version = 3");
        run = care(daemon, modes[i]);
        assert_int_equal(run.status, 65);
        assert_non_null(strstr(run.err, "has version 3"));
        daemon_forget(daemon);
    }
}

static void a_store_that_a_daemon_has_is_let_alone(void)
{
    struct daemon *daemon = daemon_started(stores_config);
    (void)submit(daemon, "{'kind':'echo'}");

    struct run check = care(daemon, "--check-store");
    struct run compact = care(daemon, "--compact");

    assert_int_equal(check.status, 73);
    assert_int_equal(compact.status, 73);
    assert_non_null(strstr(compact.err, plain_text("process %d", (int)daemon->pid)));
    daemon_stop(daemon);
}

/* ---- the compaction ---- */

static off_t bytes_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

/* A store of which most is free. */
static struct daemon *hollow_store(void)
{
    struct daemon *daemon = daemon_started(stores_config);

    submit_many(
        daemon, 300,
        plain_text("{\"kind\":\"echo\",\"run_at\":\"2099-01-01T00:00:00Z\",\"args\":\"%s\"}",
                   repeated('a', 4000)));
    daemon_stop(daemon);
    stores_change(daemon->store_path, "DELETE FROM large_args WHERE id > 1;"
                                      "UPDATE tasks SET flags = 0 WHERE id > 1");
    return daemon;
}

static void a_compaction_gives_back_what_is_free(void)
{
    struct daemon *daemon = hollow_store();
    off_t before = bytes_of(daemon->store_path);

    struct run run = care(daemon, "--compact");

    assert_int_equal(run.status, 0);
    assert_true(bytes_of(daemon->store_path) < before / 4);
    assert_non_null(strstr(run.out, plain_text("%lld KiB before", (long long)before / 1024)));
    assert_false(file_exists(plain_text("%s-compact.part", daemon->store_path)));
    assert_false(file_exists(plain_text("%s-wal", daemon->store_path)));
    stores_expect_sound(daemon, "300 tasks");
    assert_int_equal(stores_query(daemon->store_path, "PRAGMA auto_vacuum"), 2);
    daemon_start(daemon);
    assert_int_equal(count_tasks(daemon, "state=scheduled&"), 300);
    expect_text(task(daemon, 1), "args", repeated('a', 4000));
    assert_int_equal(submit(daemon, "{'kind':'echo'}"), 301);
    daemon_stop(daemon);
}

static void a_compaction_takes_what_only_the_log_has(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");

    assert_int_equal(care(daemon, "--compact").status, 0);

    assert_false(file_exists(plain_text("%s-wal", daemon->store_path)));
    assert_int_equal(stores_query(daemon->store_path, "PRAGMA user_version"), 1);
    daemon_start(daemon);
    stores_expect_tasks(daemon, "v1");
    daemon_stop(daemon);
}

static void a_compaction_is_refused_while_another_program_has_the_file(void)
{
    struct daemon *daemon = hollow_store();
    off_t before = bytes_of(daemon->store_path);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(daemon->store_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM tasks", NULL, NULL, NULL), SQLITE_OK);

    struct run run = care(daemon, "--compact");

    assert_int_equal(run.status, 73);
    assert_non_null(strstr(run.err, "another program has the store"));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(bytes_of(daemon->store_path), before);
    stores_expect_sound(daemon, "300 tasks");
}

static void a_compaction_killed_at_any_write_leaves_the_store(void)
{
    struct run probe =
        run_program((const char *[]){"strace", "-qq", "-e", "inject=fsync:signal=KILL", "-o",
                                     "/dev/null", "true", NULL},
                    NULL, 20000);
    if (probe.status != 0)
        harness_skip("strace can't trace here");
    unsigned step = is_long() ? 1 : 7;
    unsigned killed = 0;

    for (unsigned nth = 1;; nth += step) {
        struct daemon *daemon = daemon_new(stores_config);
        stores_unpack(daemon, "v1");
        const char *inject = plain_text("inject=pwrite64,write,ftruncate,fsync,fdatasync,rename,"
                                        "unlink:signal=KILL:when=%u",
                                        nth);
        struct run run = run_program(
            (const char *[]){"strace", "-qq", "-o", "/dev/null", "-e",
                             "trace=pwrite64,write,ftruncate,fsync,fdatasync,rename,unlink", "-e",
                             inject, daemon_program(), "-c", daemon->config_path, "--compact",
                             NULL},
            (const char *[]){"ASAN_OPTIONS=detect_leaks=0", NULL}, 60000);
        if (run.status == 0)
            break;
        killed++;
        assert_in_range(nth, 1, 300);

        stores_expect_sound(daemon, "17 tasks, 3 keys");
        assert_int_equal(care(daemon, "--compact").status, 0);
        assert_false(file_exists(plain_text("%s-compact.part", daemon->store_path)));
        daemon_start(daemon);
        stores_expect_tasks(daemon, "v1");
        daemon_stop(daemon);
    }
    print_message("%u compactions killed\n", killed);
    assert_true(killed >= 3);
}

/* ---- whose the files are ---- */

static void expect_owner(const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return; // not made
    if (status.st_uid != OWNER || status.st_gid != OWNER_GROUP)
        fail_msg("%s belongs to %u:%u", path, (unsigned)status.st_uid, (unsigned)status.st_gid);
}

static void roots_care_leaves_the_files_to_their_owner(void)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-lock"};
    static const char *const modes[] = {"--check-store", "--compact", "--check-store"};
    if (geteuid() != 0)
        harness_skip("only root can become somebody else");
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    assert_int_equal(chmod(scenario_folder(), 0755), 0);
    assert_int_equal(chown(daemon->folder, OWNER, OWNER_GROUP), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(
            chown(plain_text("%s%s", daemon->store_path, endings[i]), OWNER, OWNER_GROUP), 0);
    struct run reachable =
        run_program((const char *[]){"setpriv", "--reuid=12345", "--clear-groups", "test", "-w",
                                     daemon->store_path, NULL},
                    NULL, 10000);
    if (reachable.status != 0)
        harness_skip("another user can't reach the folder of the tests");

    for (size_t i = 0; i < 3; i++) {
        struct run run = care(daemon, modes[i]);
        if (run.status != 0)
            fail_msg("%s: %d\n%s%s", modes[i], run.status, run.out, run.err);
        for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]); k++)
            expect_owner(plain_text("%s%s", daemon->store_path, endings[k]));
    }
    struct stat status;
    assert_int_equal(stat(daemon->store_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    // Somebody else is refused, and told who may.
    assert_int_equal(chmod(daemon->folder, 0755), 0);
    struct run other =
        run_program((const char *[]){"setpriv", "--reuid=12399", "--clear-groups", daemon_program(),
                                     "-c", daemon->config_path, "--check-store", NULL},
                    NULL, 10000);
    assert_int_equal(other.status, 71);
    assert_non_null(strstr(other.err, "belongs to user 12345, this is user 12399"));
}

HARNESS_MAIN(SCENARIO(a_sound_store_has_no_fault), SCENARIO(every_sort_of_fault_is_found),
             SCENARIO(a_damaged_page_is_found),
             SCENARIO(what_is_no_store_is_told_from_a_damaged_one),
             SCENARIO(a_store_that_a_daemon_has_is_let_alone),
             SCENARIO(a_compaction_gives_back_what_is_free),
             SCENARIO(a_compaction_takes_what_only_the_log_has),
             SCENARIO(a_compaction_is_refused_while_another_program_has_the_file),
             SCENARIO(a_compaction_killed_at_any_write_leaves_the_store),
             SCENARIO(roots_care_leaves_the_files_to_their_owner))
