/* A copy of the store, made between groups: what is in it, and what ends it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/group.h>

#include "fault.h"
#include "fault_vfs.h"
#include "support.h"

enum { ROW_BYTES = 16000, ROWS = 250, LARGE_PUTS = 8 }; // a put: about 1,000 pages, 4 MiB

static void put_pages(struct fixture *fixture)
{
    assert_int_equal(put_rows(fixture, ROWS, ROW_BYTES), 0);
}

/* Some 30 MiB: many slices. */
static void make_large(struct fixture *fixture)
{
    for (int i = 0; i < LARGE_PUTS; i++)
        put_pages(fixture);
}

static struct store_op new_backup(void)
{
    return (struct store_op){.type = STORE_BACKUP, .backup.fd = -1};
}

/* Writes the copy into a file of the fixture's folder, and gives its path. */
static const char *kept_copy(struct fixture *fixture, const struct store_op *op)
{
    static char path[128];
    static char bytes[1 << 16];
    uint64_t position = 0;

    (void)snprintf(path, sizeof(path), "%s/copy.db", fixture->folder);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    for (;;) {
        ssize_t n = pread(op->backup.fd, bytes, sizeof(bytes), (off_t)position);
        assert_true(n >= 0);
        if (n == 0)
            break;
        assert_int_equal(write(fd, bytes, (size_t)n), n);
        position += (uint64_t)n;
    }
    (void)close(fd);
    (void)close(op->backup.fd);
    assert_int_equal(position, op->backup.bytes);
    return path;
}

static void print_line(void *arg, const char *line)
{
    (void)arg;
    if (strstr(line, ": ok") == NULL)
        print_message("%s\n", line);
}

/* It is sound; how many tasks are in it. */
static uint64_t tasks_of(const char *path)
{
    struct store_check_result result = {0};
    struct error error = {0};

    if (store_check(path, print_line, NULL, &result, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(result.faults, 0);
    return result.tasks;
}

/* Nothing of a copy is left beside the store. */
static void expect_no_part(struct fixture *fixture)
{
    assert_int_equal(access(beside_store(fixture, "backup.part"), F_OK), -1);
}

static void a_backup_is_a_sound_store(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 100);
    assert_int_equal(start(fixture, first), 0); // runs on the disk
    assert_int_equal(finish(fixture, first + 1, TASK_SUCCEEDED), 0);
    struct store_op op = new_backup();

    assert_int_equal(run_op(fixture, &op), 0);

    expect_no_part(fixture);
    struct stat status = {0};
    assert_int_equal(fstat(op.backup.fd, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_nlink, 0);
    (void)put_many(fixture, "a", 1); // after it: not in it
    const char *path = kept_copy(fixture, &op);
    assert_int_equal(tasks_of(path), 100);

    // It opens, and what ran is as after a kill -9.
    char id[17];
    (void)snprintf(id, sizeof(id), "%s", store_id(fixture->store));
    close_store(fixture);
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s", path);
    open_store(fixture);
    assert_string_equal(store_id(fixture->store), id);
    assert_int_equal(state_of(fixture, first), TASK_QUEUED);
    assert_int_equal(state_of(fixture, first + 1), TASK_SUCCEEDED);
    assert_true(put_many(fixture, "a", 1) == first + 100);
    check_counts(fixture);
}

static void what_is_committed_meanwhile_is_in_it(void **state)
{
    struct fixture *fixture = *state;
    make_large(fixture);
    struct store_op op = new_backup();
    uint64_t before = store_last_id(fixture->store);

    struct pending *pending = submit_all(fixture, &op, 1);
    uint64_t puts = 0;
    while (pending_left(pending) > 0) {
        (void)put_many(fixture, "b", 1);
        assert_int_equal(finish(fixture, puts + 1, TASK_SUCCEEDED), 0); // of a page long copied
        puts++;
    }
    pending_wait(pending);

    assert_int_equal(op.result, 0);
    assert_true(puts >= 2);
    uint64_t copied = tasks_of(kept_copy(fixture, &op));
    // The last round may have ended behind the copy's last slice.
    assert_true(copied >= before + puts - 1 && copied <= before + puts);
}

static void another_one_has_to_wait(void **state)
{
    struct fixture *fixture = *state;
    struct store_op ops[2] = {new_backup(), new_backup()};

    run_together(fixture, ops, 2);

    assert_int_equal(ops[0].result, 0);
    assert_int_equal(ops[1].result, -EBUSY);
    assert_int_equal(ops[1].backup.fd, -1);
    (void)close(ops[0].backup.fd);
    ops[1] = new_backup();
    assert_int_equal(run_op(fixture, &ops[1]), 0);
    (void)close(ops[1].backup.fd);
}

static void one_that_nobody_wants_any_more_ends(void **state)
{
    struct fixture *fixture = *state;
    _Atomic bool is_abandoned = false;
    make_large(fixture);
    struct store_op op = new_backup();
    op.backup.is_abandoned = &is_abandoned;

    struct pending *pending = submit_all(fixture, &op, 1);
    atomic_store(&is_abandoned, true);
    pending_wait(pending);

    assert_int_equal(op.result, -ECANCELED);
    assert_int_equal(op.backup.fd, -1);
    expect_no_part(fixture);
}

static int stop(rn_context *ctx, void *arg)
{
    (void)ctx;
    store_stop(((struct fixture *)arg)->store);
    return 0;
}

static void the_stop_of_the_store_ends_it(void **state)
{
    struct fixture *fixture = *state;
    rn_group *group = NULL;
    make_large(fixture);
    struct store_op op = new_backup();
    struct store_op probe = {.type = STORE_CLAIM};

    writer_hold(fixture);
    struct pending *pending = submit_all(fixture, &op, 1);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "stop", stop, fixture), 0);
    // Once it is closed nothing more is taken.
    static struct store_op probes[64];
    size_t count = 0;
    while (count < 64) {
        probes[count] = probe;
        if (store_submit(fixture->store, &probes[count]) == -EPIPE)
            break;
        count++;
        assert_int_equal(rn_sleep(NULL, 5 * RN_MILLISECOND), 0);
    }
    assert_true(count < 64);
    writer_go(fixture);
    pending_wait(pending);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);

    assert_int_equal(op.result, -EPIPE);
    expect_no_part(fixture);
    store_free(fixture->store);
    fixture->store = NULL;
    open_store(fixture);
    assert_int_equal(store_last_id(fixture->store), LARGE_PUTS * ROWS);
    check_counts(fixture);
}

static void no_room_for_the_copy_fills_no_disk(void **state)
{
    struct fixture *fixture = *state;
    make_large(fixture);
    close_store(fixture);
    open_store(fixture); // the log is in the file: only the copy needs room now
    struct store_op op = new_backup();

    for (int64_t room = 0; room < 8 << 20; room += 3 << 20) {
        atomic_store(&fault_vfs.room, room);
        op = new_backup();
        assert_int_equal(run_op(fixture, &op), -ENOSPC);
        assert_int_equal(op.backup.fd, -1);
        expect_no_part(fixture);
        fault_vfs_reset();
    }

    assert_false(store_is_full(fixture->store));
    assert_int_equal(count_events(fixture, STORE_EVENT_SPACE, 0), 0);
    (void)put_many(fixture, "a", 1);
    op = new_backup();
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(tasks_of(kept_copy(fixture, &op)), LARGE_PUTS * ROWS + 1);
}

static void a_fault_of_the_copys_disk_is_not_the_stores(void **state)
{
    struct fixture *fixture = *state;
    unsigned faults = 0;
    put_pages(fixture);

    for (int nth = 1; nth < 4; nth++) {
        struct store_op op = new_backup();
        fault_fail(FAULT_OPEN, nth, EMFILE);
        int r = run_op(fixture, &op);
        bool is_reached = fault_reached();
        assert_true(r == 0 || r == -EMFILE);
        assert_true(is_reached || r == 0);
        faults += r < 0;
        if (r == 0)
            (void)close(op.backup.fd);
        expect_no_part(fixture);
    }
    assert_int_equal(faults, 1); // ours; the library's own opens are not counted
    (void)put_many(fixture, "a", 1);
    check_counts(fixture);
}

static void without_memory_it_is_refused(void **state)
{
    struct fixture *fixture = *state;
    unsigned refusals = 0;
    put_pages(fixture);

    for (int nth = 1;; nth++) {
        struct store_op op = new_backup();
        fault_memory_fail(nth);
        int r = run_op(fixture, &op);
        int failed = fault_memory_reset();
        assert_true(r == 0 || (r == -ENOMEM && failed > 0));
        refusals += r < 0;
        if (r == 0)
            assert_int_equal(tasks_of(kept_copy(fixture, &op)), ROWS);
        expect_no_part(fixture);
        if (failed == 0)
            break;
    }
    assert_true(refusals > 0);
    check_counts(fixture);
}

static void what_a_killed_daemon_left_is_removed(void **state)
{
    struct fixture *fixture = *state;
    const char *part = beside_store(fixture, "backup.part");
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    (void)close(fd);

    open_store(fixture);

    expect_no_part(fixture);
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    fault_vfs_install();
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fault_teardown)
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, fault_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_backup_is_a_sound_store),
        STORE_TEST(what_is_committed_meanwhile_is_in_it),
        STORE_TEST(another_one_has_to_wait),
        STORE_TEST(one_that_nobody_wants_any_more_ends),
        STORE_TEST(the_stop_of_the_store_ends_it),
        STORE_TEST(no_room_for_the_copy_fills_no_disk),
        STORE_TEST(a_fault_of_the_copys_disk_is_not_the_stores),
        STORE_TEST(without_memory_it_is_refused),
        FOLDER_TEST(what_a_killed_daemon_left_is_removed),
    };
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
