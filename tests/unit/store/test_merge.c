/* An import into a store that goes on, and an export out of one, when something fails on the way:
 * all or nothing, and nothing is left. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "fault_vfs.h"
#include "support.h"

enum { TASKS = 40, LARGE = 4000 };

/* An export of so many tasks in two queues, a large one and a running one among them, and a key. */
static int lines_of(unsigned tasks)
{
    static char large[LARGE];
    int fd = memfd_create("lines", MFD_CLOEXEC);
    FILE *file = fdopen(dup(fd), "w");

    assert_non_null(file);
    memset(large, '1', sizeof(large) - 1);
    (void)fprintf(file,
                  "{\"runnel_export\":1,\"store_id\":\"0123456789abcdef\",\"last_id\":%u,"
                  "\"queues\":2,\"tasks\":%u,\"keys\":1}\n"
                  "{\"name\":\"a\",\"workers\":5}\n{\"name\":\"new\",\"workers\":6}\n",
                  tasks + 10, tasks);
    for (unsigned i = 1; i <= tasks; i++)
        (void)fprintf(file,
                      "{\"id\":%u,\"state\":\"%s\",\"queue\":\"%s\",\"kind\":\"k\",\"priority\":0,"
                      "\"run\":1,\"attempt\":1,\"interruptions\":0,\"created_at_ms\":1,"
                      "\"args\":%s}\n",
                      i, i == 3 ? "running" : "queued", i % 2 == 0 ? "a" : "new",
                      i == 5 ? large : "7");
    (void)fprintf(file,
                  "{\"key\":\"k\",\"hash\":\"%064d\",\"first_id\":1,\"last_id\":2,"
                  "\"count\":2,\"created_at_ms\":1}\n",
                  0);
    assert_int_equal(fclose(file), 0);
    return fd;
}

static struct store_part *new_part(struct fixture *fixture, unsigned tasks)
{
    struct store_part *part = NULL;
    struct error error = {0};
    uint64_t line = 0;
    int fd = lines_of(tasks);

    if (store_part_new(fixture->store, fd, NULL, &part, &line, &error) < 0)
        fail_msg("%s", error.text);
    (void)close(fd);
    return part;
}

static struct store_op new_import(struct store_part *part)
{
    return (struct store_op){.type = STORE_IMPORT,
                             .import = {.part = part, .policy = retry_thrice}};
}

static void expect_nothing_left(struct fixture *fixture)
{
    assert_int_equal(access(beside_store(fixture, "import.part"), F_OK), -1);
    assert_int_equal(access(beside_store(fixture, "import.part-journal"), F_OK), -1);
    assert_int_equal(access(beside_store(fixture, "lines.part"), F_OK), -1);
    assert_int_equal(access(beside_store(fixture, "backup.part"), F_OK), -1);
}

/* All of it is there, behind `before` tasks; or nothing. */
static void expect_all(struct fixture *fixture, int64_t before, bool is_there)
{
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), before + (is_there ? TASKS : 0));
    assert_int_equal(query(fixture, "SELECT count(*) FROM keys"), is_there ? 1 : 0);
    assert_int_equal(query(fixture, "SELECT count(*) FROM large_args"), is_there ? 1 : 0);
    assert_int_equal(query(fixture, "SELECT count(*) FROM queues"), is_there ? 2 : 1);
    assert_int_equal(store_last_id(fixture->store), (uint64_t)before + (is_there ? TASKS + 10 : 0));
    check_counts(fixture);
}

static void all_of_it_is_there_and_told(void **state)
{
    struct fixture *fixture = *state;
    (void)put_many(fixture, "a", 4);
    struct store_op op = new_import(new_part(fixture, TASKS));
    forget_events(fixture);

    assert_int_equal(run_op(fixture, &op), 0);

    store_part_free(op.import.part);
    expect_nothing_left(fixture);
    expect_all(fixture, 4, true);
    assert_int_equal(op.import.first_id, 5);
    assert_int_equal(op.import.last_id, 4 + TASKS);
    assert_false(op.import.ids_kept);
    assert_int_equal(query(fixture, "SELECT id FROM large_args"), 9);
    assert_int_equal(query(fixture, "SELECT first_id FROM keys"), 5);
    assert_int_equal(query(fixture, "SELECT workers IS NULL FROM queues WHERE name = 'a'"), 1);
    assert_int_equal(query(fixture, "SELECT workers FROM queues WHERE name = 'new'"), 6);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUE_SET, 0), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_IMPORTED, 5), 1); // of `new`: the first
    assert_int_equal(count_events(fixture, STORE_EVENT_IMPORTED, 6), 1); // of `a`
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, 7), 1);   // it ran
    assert_int_equal(count_events(fixture, STORE_EVENT_ALIVE, 0), 1);    // before the checkpoint
    assert_int_equal(state_of(fixture, 7), TASK_QUEUED);
    assert_int_equal(put_one(fixture, new_record("a", "k", "1")), 4 + TASKS + 10 + 1);
    close_store(fixture);
    open_store(fixture);
    check_counts(fixture);
}

static void who_came_with_it_is_answered_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct record *records[2] = {new_record("a", "k", "1"), new_record("a", "k", "1")};
    struct store_op ops[4] = {
        {.type = STORE_PUT, .put.records = &records[0], .put.count = 1},
        new_import(new_part(fixture, TASKS)),
        {.type = STORE_CLAIM, .claim.queue = "a", .claim.limit = 1000},
        {.type = STORE_PUT, .put.records = &records[1], .put.count = 1},
    };

    run_together(fixture, ops, 4);

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ops[i].result, 0);
    assert_int_equal(ops[0].put.ids_first, 1);
    assert_int_equal(ops[1].import.first_id, 2);
    assert_int_equal(ops[3].put.ids_first, 1 + TASKS + 10 + 1);
    assert_true(ops[2].claim.count >= 1 + TASKS / 2); // what came is seen
    records_free(ops[2].claim.rows, ops[2].claim.count);
    record_free(records[0]);
    record_free(records[1]);
    store_part_free(ops[1].import.part);
    check_counts(fixture);
}

static void without_memory_it_is_all_or_nothing(void **state)
{
    struct fixture *fixture = *state;
    unsigned refusals = 0;
    (void)put_many(fixture, "a", 4);
    struct store_part *part = new_part(fixture, TASKS);

    for (enum fault_heap heap = 0; heap < HEAP_COUNT; heap++)
        for (int nth = 1;; nth += nth < 150 ? 1 : 7) {
            struct store_op op = new_import(part);
            fault_heap_fail(heap, nth);
            int r = run_op(fixture, &op);
            bool failed = fault_heap_reached(heap);
            if (r != 0 && !(r == -ENOMEM && failed))
                fail_msg("%d: %d", nth, r);
            refusals += r < 0;
            expect_all(fixture, 4, r == 0);
            if (r == 0 && !failed && heap == HEAP_OF_SQLITE)
                break;
            if (r < 0)
                continue;
            // Another one, from the beginning.
            store_part_free(part);
            close_store(fixture);
            change_file(fixture,
                        "DELETE FROM tasks WHERE id > 4; DELETE FROM keys; DELETE FROM large_args; "
                        "DELETE FROM queues WHERE name = 'new'; UPDATE queues SET queued = 4; "
                        "UPDATE meta SET value = 0 WHERE name = 'last_id'");
            open_store(fixture);
            part = new_part(fixture, TASKS);
            if (!failed)
                break;
        }
    assert_true(refusals > 20);
    store_part_free(part);
    expect_nothing_left(fixture);
}

static void on_a_full_disk_nothing_of_it_stays(void **state)
{
    struct fixture *fixture = *state;
    unsigned refusals = 0;
    (void)put_many(fixture, "a", 4);
    struct store_part *part = new_part(fixture, TASKS);

    for (int64_t room = 0;; room += 48 << 10) {
        struct store_op op = new_import(part);
        atomic_store(&fault_vfs.room, room);
        int r = run_op(fixture, &op);
        fault_vfs_reset();
        expect_all(fixture, 4, r == 0);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOSPC);
        refusals++;
        wait_event(fixture, STORE_EVENT_SPACE, false); // there is room again
        forget_events(fixture);
    }
    assert_true(refusals > 0);
    store_part_free(part);
}

static void what_can_not_be_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store_key key = {.text = "move"};
    (void)put_many(fixture, "a", 4);
    struct store_part *part = new_part(fixture, TASKS);
    struct store_op op = new_import(part);

    op.import.is_dry = true;
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(op.import.first_id, 5);
    expect_all(fixture, 4, false);
    store_set_max_backlog(fixture->store, 4 + TASKS - 1);
    op = new_import(part);
    assert_int_equal(run_op(fixture, &op), -ENOBUFS);
    store_set_max_backlog(fixture->store, 4 + TASKS);
    op = new_import(part);
    op.import.key = &key;
    assert_int_equal(run_op(fixture, &op), 0);
    assert_false(op.import.replayed);
    expect_all(fixture, 4, true);
    // Again: by its key, by another body's, and without one, where its key is in the way.
    struct store_op again = new_import(part);
    again.import.key = &key;
    assert_int_equal(run_op(fixture, &again), 0);
    assert_true(again.import.replayed);
    assert_int_equal(again.import.counts.tasks, TASKS);
    assert_int_equal(again.import.counts.queues, 2);
    assert_int_equal(again.import.counts.keys, 1);
    assert_int_equal(again.import.first_id, 5);
    assert_int_equal(again.import.last_id, 4 + TASKS);
    key.hash[31] = 1;
    assert_int_equal(run_op(fixture, &again), -EEXIST);
    store_set_max_backlog(fixture->store, 1000);
    op = new_import(part);
    assert_int_equal(run_op(fixture, &op), -ENOTUNIQ);
    assert_string_equal(op.import.taken_key, "k");
    expect_all(fixture, 4, true);
    store_part_free(part);
}

/* Those that are kept for follow-up tasks are not given to what is imported. */
static void ids_that_a_put_may_not_have_an_import_may_not_have(void **state)
{
    struct fixture *fixture = *state;

    close_store(fixture);
    change_file(fixture, "UPDATE meta SET value = 9007199254740991 - 4294967296 - 15"
                         " WHERE name = 'last_id'");
    open_store(fixture);
    struct store_part *part = new_part(fixture, TASKS);
    struct store_op op = new_import(part);
    assert_int_equal(run_op(fixture, &op), -EOVERFLOW);
    store_part_free(part);
}

static void it_waits_for_no_backup(void **state)
{
    struct fixture *fixture = *state;
    struct store_op ops[2] = {{.type = STORE_BACKUP, .backup.fd = -1},
                              new_import(new_part(fixture, TASKS))};
    static char args[16000];
    memset(args, '7', sizeof(args) - 1);
    for (int i = 0; i < 600; i++) // 10 MB: many slices
        (void)put_one(fixture, new_record("a", "k", args));
    int64_t before = 600;

    run_together(fixture, ops, 2);

    assert_int_equal(ops[0].result, 0);
    (void)close(ops[0].backup.fd);
    assert_int_equal(ops[1].result, -EBUSY);
    assert_int_equal(store_last_id(fixture->store), before);
    check_counts(fixture);
    store_part_free(ops[1].import.part);
}

static void one_that_takes_long_says_that_it_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct store_op op = new_import(new_part(fixture, 8000));
    forget_events(fixture);

    assert_int_equal(run_op(fixture, &op), 0);

    assert_true(count_events(fixture, STORE_EVENT_ALIVE, 0) > 2);
    store_part_free(op.import.part);
}

/* ---- what is made before ---- */

static int stop_at_once(void *arg)
{
    (void)arg;
    return -EPIPE;
}

static void a_part_is_whole_or_not_there(void **state)
{
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_OPEN, EMFILE}, {FAULT_MALLOC, ENOMEM}};
    struct fixture *fixture = *state;
    struct store_watch watch = {.fn = stop_at_once};
    int fd = lines_of(300);

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]) + 1; i++) {
        unsigned refusals = 0;
        for (int nth = 1;; nth += nth < 60 ? 1 : 397) {
            struct store_part *part = NULL;
            struct error error = {0};
            uint64_t line = 0;
            if (i < sizeof(faults) / sizeof(faults[0]))
                fault_fail(faults[i].call, nth, faults[i].error);
            else
                fault_memory_fail(nth);
            int r = store_part_new(fixture->store, fd, NULL, &part, &line, &error);
            bool failed =
                i < sizeof(faults) / sizeof(faults[0]) ? fault_reached() : fault_memory_reset() > 0;
            assert_true(r == 0 || failed);
            assert_true(r == 0 || error.text[0] != '\0');
            assert_int_equal(line, 0);
            refusals += r < 0;
            store_part_free(part);
            expect_nothing_left(fixture);
            if (!failed)
                break;
        }
        assert_true(refusals > 0);
    }
    struct store_part *part = NULL;
    struct error error = {0};
    uint64_t line = 0;
    assert_int_equal(store_part_new(fixture->store, fd, &watch, &part, &line, &error), -EPIPE);
    expect_nothing_left(fixture);
    assert_int_equal(store_part_new(fixture->store, -1, NULL, &part, &line, &error), -EBADF);
    (void)close(fd);
}

static void more_running_ones_than_workers_are_no_export(void **state)
{
    struct fixture *fixture = *state;
    struct store_part *part = NULL;
    struct error error = {0};
    uint64_t line = 9;
    int fd = memfd_create("lines", MFD_CLOEXEC);
    FILE *file = fdopen(dup(fd), "w");
    assert_non_null(file);
    (void)fprintf(file, "{\"runnel_export\":1,\"store_id\":\"0123456789abcdef\",\"last_id\":1025,"
                        "\"queues\":1,\"tasks\":1025,\"keys\":0}\n{\"name\":\"a\"}\n");
    for (int i = 1; i <= 1025; i++)
        (void)fprintf(file,
                      "{\"id\":%d,\"state\":\"running\",\"queue\":\"a\",\"kind\":\"k\","
                      "\"priority\":0,\"run\":1,\"attempt\":1,\"interruptions\":0,"
                      "\"created_at_ms\":1}\n",
                      i);
    assert_int_equal(fclose(file), 0);

    assert_int_equal(store_part_new(fixture->store, fd, NULL, &part, &line, &error), -EBADMSG);

    assert_int_equal(line, 0);
    assert_non_null(strstr(error.text, "1024"));
    expect_nothing_left(fixture);
    (void)close(fd);
}

static void what_a_killed_daemon_left_is_removed(void **state)
{
    static const char *const names[] = {"import.part", "lines.part"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 2; i++) {
        int fd = open(beside_store(fixture, names[i]), O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    open_store(fixture);

    expect_nothing_left(fixture);
}

/* ---- an export ---- */

static void an_exports_copy_is_given_or_nothing_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct store_exchange counts = {0};
    struct error error = {0};
    unsigned refusals = 0;
    int fd = -1;
    (void)put_many(fixture, "a", 500);

    for (enum fault_heap heap = 0; heap < HEAP_COUNT; heap++)
        for (int nth = 1;; nth++) {
            struct store_op op = {.type = STORE_BACKUP, .backup.fd = -1, .backup.is_read = true};
            fault_heap_fail(heap, nth);
            int r = run_op(fixture, &op);
            bool failed = fault_heap_reached(heap);
            assert_true(r == 0 || (r == -ENOMEM && failed));
            assert_int_equal(op.backup.fd, -1);
            assert_true((op.backup.copy != NULL) == (r == 0));
            refusals += r < 0;
            expect_nothing_left(fixture);
            if (r == 0 && !failed) {
                struct store_watch watch = {.fn = stop_at_once};
                assert_int_equal(store_scratch(fixture->store, &fd), 0);
                assert_int_equal(store_export_copy(op.backup.copy, fd,
                                                   heap == HEAP_OURS ? &watch : NULL, &counts,
                                                   &error),
                                 heap == HEAP_OURS ? -EPIPE : 0);
                assert_int_equal(counts.tasks, heap == HEAP_OURS ? 0 : 500);
                assert_true((lseek(fd, 0, SEEK_CUR) > 500 * 50) == (heap == HEAP_OF_SQLITE));
                (void)close(fd);
            }
            store_copy_free(op.backup.copy);
            if (!failed)
                break;
        }
    assert_true(refusals > 5);
    expect_nothing_left(fixture);
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    fault_vfs_install();
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fault_teardown)
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, fault_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(all_of_it_is_there_and_told),
        STORE_TEST(who_came_with_it_is_answered_in_order),
        STORE_TEST(without_memory_it_is_all_or_nothing),
        STORE_TEST(on_a_full_disk_nothing_of_it_stays),
        STORE_TEST(what_can_not_be_is_refused),
        STORE_TEST(ids_that_a_put_may_not_have_an_import_may_not_have),
        STORE_TEST(it_waits_for_no_backup),
        STORE_TEST(one_that_takes_long_says_that_it_goes_on),
        STORE_TEST(a_part_is_whole_or_not_there),
        STORE_TEST(more_running_ones_than_workers_are_no_export),
        FOLDER_TEST(what_a_killed_daemon_left_is_removed),
        STORE_TEST(an_exports_copy_is_given_or_nothing_is_left),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
