/* Export and import when something fails on the way: nothing is half done, and nothing is left. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "fault_vfs.h"
#include "store/lines.h"
#include "support.h"

/* A store with small and large args and results, of every sort of line. */
static void made(struct fixture *fixture)
{
    char large[3000];
    memset(large, '1', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    open_store(fixture);
    (void)put_many(fixture, "a", 20);
    uint64_t id = put_one(fixture, new_record("b", "k", large));
    assert_int_equal(finish(fixture, id, TASK_FAILED), 0);
    close_store(fixture);
    change_file(fixture, "INSERT INTO keys VALUES('k', 1, zeroblob(32), 1, 20, 20, 1)");
}

static int memory_file(void)
{
    int fd = memfd_create("export", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static int export(struct fixture *fixture, int fd, struct error *error)
{
    struct store_exchange counts = {0};

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    int r = store_export(fixture->path, fd, &counts, error);
    if (r == 0) {
        assert_int_equal(counts.queues, 2);
        assert_int_equal(counts.tasks, 21);
        assert_int_equal(counts.keys, 1);
    }
    return r;
}

/* Into a store of the fixture's folder that is not there. */
static int import(const char *path, int fd, struct error *error)
{
    struct store_exchange counts = {0};

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return store_import(path, fd, &counts, error);
}

static const char *other_path(struct fixture *fixture)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/other.db", fixture->folder);
    return path;
}

static void expect_nothing(const char *path)
{
    char part[160];
    (void)snprintf(part, sizeof(part), "%s-import.part", path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(part, F_OK), -1);
}

/* What an import has made is whole; it is removed again. */
static void expect_whole_and_drop(struct fixture *fixture, const char *path, int fd)
{
    char lines[2][16 << 10];
    struct fixture other = *fixture;
    struct error error = {0};
    int again = memory_file();
    (void)snprintf(other.path, sizeof(other.path), "%s", path);
    if (export(&other, again, &error) < 0)
        fail_msg("%s", error.text);
    ssize_t n = pread(fd, lines[0], sizeof(lines[0]), 0);
    assert_true(n > 3000 && n < (ssize_t)sizeof(lines[0]));
    assert_int_equal(pread(again, lines[1], sizeof(lines[1]), 0), n);
    assert_memory_equal(lines[0], lines[1], (size_t)n);
    (void)close(again);
    assert_int_equal(unlink(path), 0);
}

/* One way of an exchange. */
struct way {
    int (*go)(struct fixture *fixture, int fd, struct error *error);
    void (*look)(struct fixture *fixture, int fd, int r); // what it has left; NULL: nothing is
    int step; // behind the 300th of SQLite's allocations, which are those of single rows
};

/* Each allocation fails once, or of those of single rows one in a step. */
static void fail_each_allocation(struct fixture *fixture, int fd, const struct way *way)
{
    struct error error = {0};
    unsigned refusals = 0;

    for (enum fault_heap heap = 0; heap < HEAP_COUNT; heap++)
        for (int nth = 1;; nth += heap == HEAP_OURS || nth < 300 ? 1 : way->step) {
            fault_heap_fail(heap, nth);
            int r = way->go(fixture, fd, &error);
            bool failed = fault_heap_reached(heap);
            if (r != 0 && !(r == -ENOMEM && failed))
                fail_msg("%d, %d: %s", nth, r, error.text);
            refusals += r < 0;
            if (way->look != NULL)
                way->look(fixture, fd, r);
            if (!failed)
                break;
        }
    assert_true(refusals > 10);
}

static void without_memory_nothing_is_exported(void **state)
{
    struct fixture *fixture = *state;
    int fd = memory_file();
    made(fixture);

    fail_each_allocation(fixture, fd, &(struct way){.go = export, .step = 1});
    (void)close(fd);
}

static int import_other(struct fixture *fixture, int fd, struct error *error)
{
    return import(other_path(fixture), fd, error);
}

static void look_at_other(struct fixture *fixture, int fd, int r)
{
    if (r == 0)
        expect_whole_and_drop(fixture, other_path(fixture), fd);
    expect_nothing(other_path(fixture));
}

static void without_memory_nothing_is_imported(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    int fd = memory_file();
    made(fixture);
    assert_int_equal(export(fixture, fd, &error), 0);

    fail_each_allocation(fixture, fd,
                         &(struct way){.go = import_other, .look = look_at_other, .step = 37});
    (void)close(fd);
}

static void a_disk_without_room_keeps_no_half_of_it(void **state)
{
    struct fixture *fixture = *state;
    const char *path = other_path(fixture);
    struct error error = {0};
    unsigned refusals = 0;
    int fd = memory_file();
    made(fixture);
    assert_int_equal(export(fixture, fd, &error), 0);

    for (int64_t room = 0;; room += 7 << 10) {
        atomic_store(&fault_vfs.room, room);
        int r = import(path, fd, &error);
        fault_vfs_reset();
        if (r == 0)
            break;
        assert_int_equal(r, -ENOSPC);
        refusals++;
        expect_nothing(path);
    }
    assert_true(refusals > 2);
    expect_whole_and_drop(fixture, path, fd);
    (void)close(fd);
}

static void calls_of_the_system_may_fail(void **state)
{
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_OPEN, EMFILE}, {FAULT_FSYNC, EIO}, {FAULT_CHMOD, EPERM}};
    struct fixture *fixture = *state;
    const char *path = other_path(fixture);
    struct error error = {0};
    int fd = memory_file();
    made(fixture);
    assert_int_equal(export(fixture, fd, &error), 0);

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        unsigned refusals = 0;
        for (int nth = 1;; nth++) {
            fault_fail(faults[i].call, nth, faults[i].error);
            int r = import(path, fd, &error);
            bool failed = fault_reached();
            refusals += r < 0;
            assert_true(r == 0 || r == -faults[i].error);
            // Only the sync of the folder comes behind the rename: then it is there.
            if (access(path, F_OK) == 0)
                expect_whole_and_drop(fixture, path, fd);
            expect_nothing(path);
            if (!failed) {
                assert_int_equal(r, 0);
                break;
            }
        }
        assert_true(refusals > 0);
    }

    fault_fail(FAULT_WRITE, 2, ENOSPC); // the first one is the lock's
    assert_int_equal(export(fixture, fd, &error), -ENOSPC);
    assert_true(fault_reached());
    (void)close(fd);
}

static void what_a_killed_import_left_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    const char *path = other_path(fixture);
    struct error error = {0};
    char part[160];
    int fd = memory_file();
    made(fixture);
    assert_int_equal(export(fixture, fd, &error), 0);
    (void)snprintf(part, sizeof(part), "%s-import.part", path);
    int left = open(part, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(left, "half", 4), 4);
    (void)close(left);

    assert_int_equal(import(path, fd, &error), 0);

    expect_whole_and_drop(fixture, path, fd);
    expect_nothing(path);
    (void)close(fd);
}

static void a_damaged_store_is_not_exported_as_if_it_were_whole(void **state)
{
    static const char *const damages[] = {"UPDATE tasks SET queue = 77 WHERE id = 2",
                                          "UPDATE tasks SET state = 9 WHERE id = 3",
                                          "DELETE FROM meta WHERE name = 'store_id'"};
    struct fixture *fixture = *state;
    struct error error = {0};
    int fd = memory_file();
    made(fixture);

    for (size_t i = 3; i-- > 0;) {
        change_file(fixture, damages[i]);
        assert_int_equal(export(fixture, fd, &error), -EBADMSG);
        assert_non_null(strstr(error.text, "--check-store"));
        if (i == 2)
            change_file(fixture, "INSERT INTO meta VALUES('store_id', '0123456789abcdef')");
        if (i == 1)
            change_file(fixture, "UPDATE tasks SET state = 1 WHERE id = 3");
    }
    (void)close(fd);
}

static void lines_end_where_they_end(void **state)
{
    static char text[200000];
    static const size_t lengths[] = {0, 1, 65535, 65536, 0, 65537, 5};
    struct lines lines = {.fd = memory_file(), .longest = 65537};
    const char *line = NULL;
    size_t length = 0;
    size_t all = 0;
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 7; i++) {
        all += lengths[i];
        text[all++] = '\n';
    }
    all--; // the last one has none
    assert_int_equal(write(lines.fd, text, all), (ssize_t)all);
    assert_int_equal(lseek(lines.fd, 0, SEEK_SET), 0);

    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(lines_next(&lines, &line, &length), 1);
        assert_int_equal(length, lengths[i]);
        assert_int_equal(lines.number, i + 1);
    }
    assert_int_equal(lines_next(&lines, &line, &length), 0);
    assert_int_equal(lines_next(&lines, &line, &length), 0);
    lines_fini(&lines);

    // One byte too much, and a file that can't be read.
    struct lines small = {.fd = lines.fd, .longest = 65536};
    assert_int_equal(lseek(small.fd, 0, SEEK_SET), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(lines_next(&small, &line, &length), 1);
    assert_int_equal(lines_next(&small, &line, &length), -EMSGSIZE);
    assert_int_equal(small.number, 6);
    lines_fini(&small);
    (void)close(lines.fd);
    struct lines none = {.fd = -1, .longest = 10};
    assert_int_equal(lines_next(&none, &line, &length), -EBADF);
    lines_fini(&none);
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    fault_vfs_install();
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, fault_teardown)
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(without_memory_nothing_is_exported),
        FOLDER_TEST(without_memory_nothing_is_imported),
        FOLDER_TEST(a_disk_without_room_keeps_no_half_of_it),
        FOLDER_TEST(calls_of_the_system_may_fail),
        FOLDER_TEST(what_a_killed_import_left_is_replaced),
        FOLDER_TEST(a_damaged_store_is_not_exported_as_if_it_were_whole),
        cmocka_unit_test(lines_end_where_they_end),
    };
    return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
