/* Work directories: empty for each attempt, kept only where nothing was made in them. */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "folders.h"
#include "runners/workdir.h"

static void each_is_its_own_empty_and_private(void **state)
{
    struct workdir *first = NULL;
    struct workdir *second = NULL;
    struct stat status;

    (void)state;
    assert_int_equal(workdir_new(root, &first), 0);
    assert_int_equal(workdir_new(root, &second), 0);

    assert_string_not_equal(first->path, second->path);
    assert_int_equal(stat(first->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(workdir_free(first, RN_NEVER), 0);
    assert_int_equal(workdir_free(second, RN_NEVER), 0);
    workdir_close_root(root);
}

static void one_in_which_nothing_was_made_is_used_again(void **state)
{
    struct workdir *workdir = NULL;
    char path[PATH_MAX];

    (void)state;
    assert_int_equal(workdir_new(root, &workdir), 0);
    (void)snprintf(path, sizeof(path), "%s", workdir->path);
    assert_int_equal(workdir_free(workdir, RN_NEVER), 0);
    assert_int_equal(workdir_new(root, &workdir), 0);
    assert_string_equal(workdir->path, path);
    assert_int_equal(workdir_free(workdir, RN_NEVER), 0);

    workdir_close_root(root);
    assert_false(exists(path));
}

static void put_file(const char *path)
{
    make_file(below(path, "file"));
}

static void put_folder(const char *path)
{
    assert_int_equal(mkdir(below(path, "folder"), 0700), 0);
}

static void put_and_take_away(const char *path)
{
    put_file(path);
    assert_int_equal(unlink(below(path, "file")), 0);
}

static void change_mode(const char *path)
{
    assert_int_equal(chmod(path, 0755), 0);
}

static void take_it_away(const char *path)
{
    assert_int_equal(rmdir(path), 0);
}

static void put_another_in_its_place(const char *path)
{
    assert_int_equal(mkdir(below(root, "other"), 0700), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(below(root, "other"), path), 0);
}

static void put_a_link_in_its_place(const char *path)
{
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/", path), 0);
}

static void (*const changes[])(const char *path) = {
    put_file,
    put_folder,
    put_and_take_away,
    change_mode,
    take_it_away,
    put_another_in_its_place,
    put_a_link_in_its_place,
};

static void one_that_was_changed_is_removed(void **state)
{
    struct workdir *workdir = NULL;
    char path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        assert_int_equal(workdir_new(root, &workdir), 0);
        (void)snprintf(path, sizeof(path), "%s", workdir->path);
        changes[i](path);
        assert_int_equal(workdir_free(workdir, RN_NEVER), 0);
        assert_false(exists(path));
    }
}

static void one_that_was_changed_between_attempts_is_given_to_nobody(void **state)
{
    struct workdir *workdir = NULL;
    char path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        assert_int_equal(workdir_new(root, &workdir), 0);
        (void)snprintf(path, sizeof(path), "%s", workdir->path);
        assert_int_equal(workdir_free(workdir, RN_NEVER), 0);
        assert_true(exists(path));
        changes[i](path);
        assert_int_equal(workdir_new(root, &workdir), 0);
        assert_string_not_equal(workdir->path, path);
        assert_false(exists(path));
        put_file(workdir->path);
        assert_int_equal(workdir_free(workdir, RN_NEVER), 0);
    }
}

static void at_most_64_are_kept(void **state)
{
    struct workdir *workdirs[70];
    size_t kept = 0;

    (void)state;
    for (size_t i = 0; i < 70; i++)
        assert_int_equal(workdir_new(root, &workdirs[i]), 0);
    char paths[70][PATH_MAX / 2 + 32];
    for (size_t i = 0; i < 70; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "%s", workdirs[i]->path);
        assert_int_equal(workdir_free(workdirs[i], RN_NEVER), 0);
    }

    for (size_t i = 0; i < 70; i++)
        kept += exists(paths[i]);
    assert_int_equal(kept, 64);
    workdir_close_root(root);
}

static void a_root_that_is_missing_or_no_folder_is_an_error(void **state)
{
    struct workdir *workdir = NULL;

    (void)state;
    assert_int_equal(workdir_new(below(root, "none"), &workdir), -ENOENT);
    assert_int_equal(workdir_open_root(below(root, "none/deeper")), -ENOENT);
    make_file(below(root, "file"));
    assert_int_equal(workdir_open_root(below(root, "file")), -ENOTDIR);
    assert_int_equal(unlink(below(root, "file")), 0);
    fault_fail_malloc(1);
    assert_int_equal(workdir_new(root, &workdir), -ENOMEM);
    assert_null(workdir);
    fault_reset();
}

static void opening_removes_what_was_left_and_nothing_else(void **state)
{
    char work_root[PATH_MAX];
    char left[PATH_MAX];
    struct stat status;

    (void)state;
    (void)snprintf(work_root, sizeof(work_root), "%s/work", root);
    assert_int_equal(workdir_open_root(work_root), 0);
    assert_int_equal(stat(work_root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    (void)snprintf(left, sizeof(left), "%s", below(work_root, "work-abcdef"));
    assert_int_equal(mkdir(left, 0700), 0);
    make_file(below(left, "file"));
    make_file(below(work_root, "somebody-else's"));

    assert_int_equal(workdir_open_root(work_root), 0);

    assert_false(exists(left));
    assert_int_equal(unlink(below(work_root, "somebody-else's")), 0);
    assert_int_equal(rmdir(work_root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_its_own_empty_and_private),
        cmocka_unit_test(one_in_which_nothing_was_made_is_used_again),
        cmocka_unit_test(one_that_was_changed_is_removed),
        cmocka_unit_test(one_that_was_changed_between_attempts_is_given_to_nobody),
        cmocka_unit_test(at_most_64_are_kept),
        cmocka_unit_test(a_root_that_is_missing_or_no_folder_is_an_error),
        cmocka_unit_test(opening_removes_what_was_left_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
