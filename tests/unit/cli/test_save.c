/* A file that is there whole or not at all. */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/save.h"
#include "fault.h"
#include "folder.h"

enum { NAME_BYTES = 512 };

static char folder[NAME_BYTES];
static char path[NAME_BYTES + 8];

static int make_folder(void **state)
{
    (void)state;
    const char *above = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%s/save-XXXXXX", above == NULL ? "/tmp" : above);
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    fault_reset();
    (void)unlink(path);
    return rmdir(folder);
}

static void it_has_its_name_when_it_is_whole(void **state)
{
    (void)state;
    struct save save;
    struct stat status;

    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(save_write(&save, "hello ", 6), 0);
    assert_int_equal(save_write(&save, "there", 5), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(save_sync(&save), 0);
    fault_fail(FAULT_OPEN, 1, EACCES); // of the folder, to sync it: no fault
    assert_int_equal(save_keep(&save), 0);

    assert_true(fault_reached());
    assert_int_equal(save.bytes, 11);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 11);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(folder_entries(folder), 1);
}

/* Whether files without a name can be had here; else the other way is all there is. */
static bool can_be_unnamed(void)
{
    struct save save;

    assert_int_equal(save_begin(&save, path), 0);
    bool is_unnamed = save.is_unnamed;
    save_discard(&save);
    return is_unnamed;
}

static void it_has_no_name_at_all_until_something_has_to_open_it(void **state)
{
    (void)state;
    struct save save;
    struct stat status;
    const char *name = NULL;

    if (!can_be_unnamed())
        skip();
    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(save_write(&save, "abc", 3), 0);
    assert_int_equal(save_sync(&save), 0);
    assert_int_equal(folder_entries(folder), 0);

    assert_int_equal(save_temporary(&save, &name), 0);
    assert_int_equal(stat(name, &status), 0);
    assert_int_equal(status.st_size, 3);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(strncmp(name, path, strlen(path)), 0);
    assert_string_equal(name + strlen(name) - 5, ".part");
    assert_null(strstr(name, "XXXXXX"));
    assert_int_equal(folder_entries(folder), 1);
    assert_int_equal(save_keep(&save), 0);
    assert_int_equal(folder_entries(folder), 1);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_nlink, 1);
}

static void a_name_that_it_cannot_have_is_told(void **state)
{
    (void)state;
    struct save save;
    const char *name = NULL;

    if (!can_be_unnamed())
        skip();
    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(save_sync(&save), 0);
    fault_fail(FAULT_LINKAT, 1, EIO);
    assert_int_equal(save_temporary(&save, &name), CLI_OUTPUT);
    assert_true(fault_reached());
    save_discard(&save);
    assert_int_equal(folder_entries(folder), 0);

    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(save_sync(&save), 0);
    fault_fail(FAULT_LINKAT, 1, ENOSPC);
    assert_int_equal(save_keep(&save), CLI_OUTPUT);
    assert_true(fault_reached());
    assert_int_equal(folder_entries(folder), 0);
}

/* Each way in which it can't be had without a name. */
static void where_it_cannot_be_without_a_name_it_has_another(void **state)
{
    (void)state;
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_OPEN, EOPNOTSUPP}, {FAULT_OPEN, EISDIR}, {FAULT_GETRANDOM, ENOSYS}};
    struct save save;
    const char *name = NULL;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i].call == FAULT_GETRANDOM && !can_be_unnamed())
            continue;
        fault_fail(faults[i].call, 1, faults[i].error);
        assert_int_equal(save_begin(&save, path), 0);
        assert_true(fault_reached());
        assert_false(save.is_unnamed);
        assert_int_equal(folder_entries(folder), 1);
        assert_int_equal(save_temporary(&save, &name), 0);
        assert_int_equal(access(name, F_OK), 0);
        assert_int_equal(save_sync(&save), 0);
        assert_int_equal(save_keep(&save), 0);
        assert_int_equal(folder_entries(folder), 1);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(unlink(path), 0);
    }
}

static void what_was_given_up_leaves_nothing_of_what_stood_beside_it(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"-lock", "-wal", "-shm", "-journal"};
    struct save save;
    const char *temporary = NULL;

    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(save_sync(&save), 0);
    assert_int_equal(save_temporary(&save, &temporary), 0);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[2 * NAME_BYTES];
        (void)snprintf(name, sizeof(name), "%s%s", temporary, suffixes[i]);
        FILE *file = fopen(name, "wxe");
        assert_non_null(file);
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(folder_entries(folder), 5);
    save_discard(&save);

    assert_int_equal(folder_entries(folder), 0);
}

static void a_write_or_a_sync_that_fails_is_told(void **state)
{
    (void)state;
    struct save save;

    assert_int_equal(save_begin(&save, path), 0);
    fault_fail(FAULT_WRITE, 1, EINTR); // no fault
    assert_int_equal(save_write(&save, "a", 1), 0);
    assert_true(fault_reached());
    fault_fail(FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(save_write(&save, "b", 1), -ENOSPC);
    assert_true(fault_reached());
    assert_int_equal(save.error, -ENOSPC);
    save_discard(&save);
    assert_int_equal(folder_entries(folder), 0);

    assert_int_equal(save_begin(&save, path), 0);
    fault_fail(FAULT_FSYNC, 1, EIO);
    assert_int_equal(save_sync(&save), CLI_OUTPUT);
    assert_true(fault_reached());
    save_discard(&save);
    assert_int_equal(folder_entries(folder), 0);
}

static void nothing_is_replaced(void **state)
{
    (void)state;
    struct save save;

    assert_int_equal(save_begin(&save, path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(save_sync(&save), 0);
    assert_int_equal(save_keep(&save), CLI_USAGE);
    assert_int_equal(folder_entries(folder), 1);
    assert_int_equal(save_begin(&save, path), CLI_USAGE);
    assert_int_equal(folder_entries(folder), 1);
    assert_int_equal(rmdir(path), 0);
}

/* Has three bytes in a file of another name. */
static void save_three(struct save *save)
{
    fault_fail(FAULT_OPEN, 1, EOPNOTSUPP);
    assert_int_equal(save_begin(save, path), 0);
    assert_int_equal(save_write(save, "abc", 3), 0);
    assert_int_equal(save_sync(save), 0);
}

static void a_file_system_that_cannot_rename_so_links(void **state)
{
    (void)state;
    static const int errors[] = {EINVAL, ENOSYS};
    struct save save;
    struct stat status;

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        save_three(&save);
        fault_fail(FAULT_RENAMEAT2, 1, errors[i]);
        assert_int_equal(save_keep(&save), 0);
        assert_true(fault_reached());
        assert_int_equal(folder_entries(folder), 1);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, 3);
        assert_int_equal(status.st_nlink, 1);
        assert_int_equal(unlink(path), 0);
    }

    // Without replacing anything, either.
    save_three(&save);
    assert_int_equal(mkdir(path, 0700), 0);
    fault_fail(FAULT_RENAMEAT2, 1, ENOSYS);
    assert_int_equal(save_keep(&save), CLI_USAGE);
    assert_true(fault_reached());
    assert_int_equal(folder_entries(folder), 1);
    assert_int_equal(rmdir(path), 0);

    save_three(&save);
    fault_fail(FAULT_RENAMEAT2, 1, EIO);
    assert_int_equal(save_keep(&save), CLI_OUTPUT);
    assert_true(fault_reached());
    assert_int_equal(folder_entries(folder), 0);
}

static void a_name_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct save save;
    char name[PATH_BYTES + 8];

    memset(name, 'a', sizeof(name));
    name[PATH_BYTES - 8] = '\0';
    assert_int_equal(save_begin(&save, name), CLI_USAGE);
    // Too long with what stands behind it until it is kept: told before anything is written.
    char *end = name + snprintf(name, sizeof(name), "%s/", folder);
    memset(end, 'a', NAME_MAX - 4);
    end[NAME_MAX - 4] = '\0';
    assert_int_equal(save_begin(&save, name), CLI_USAGE);
    assert_int_equal(save_begin(&save, "/nonexistent/file"), CLI_USAGE);
    assert_int_equal(save_begin(&save, ""), CLI_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_has_its_name_when_it_is_whole, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(what_was_given_up_leaves_nothing_of_what_stood_beside_it,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_write_or_a_sync_that_fails_is_told, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(nothing_is_replaced, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_system_that_cannot_rename_so_links, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_name_that_cannot_be_is_refused, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(it_has_no_name_at_all_until_something_has_to_open_it,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_name_that_it_cannot_have_is_told, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(where_it_cannot_be_without_a_name_it_has_another,
                                        make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
