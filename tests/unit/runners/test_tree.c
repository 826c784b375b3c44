/* Removal of directories, whatever was done to them. */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folders.h"
#include "runners/tree.h"

/* A new directory in the root. */
static void make(char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/tree-XXXXXX", root);
    assert_non_null(mkdtemp(path));
}

static void files_folders_and_pipes_go(void **state)
{
    char tree[PATH_MAX];
    char folder[PATH_MAX];

    (void)state;
    make(tree);
    make_file(below(tree, "file"));
    make_file(below(tree, ".hidden"));
    assert_int_equal(mkfifo(below(tree, "fifo"), 0600), 0);
    (void)snprintf(folder, sizeof(folder), "%s", below(tree, "folder"));
    assert_int_equal(mkdir(folder, 0700), 0);
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%d", i);
        make_file(below(folder, name));
        assert_int_equal(mkdir(below(tree, name), 0700), 0);
    }

    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
    assert_false(exists(tree));
}

static void a_tree_deeper_than_any_path_goes(void **state)
{
    char tree[PATH_MAX];

    (void)state;
    make(tree);
    int at = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int depth = 0; depth < 2000; depth++) {
        assert_int_equal(mkdirat(at, "a-name-of-some-length", 0700), 0);
        int next = openat(at, "a-name-of-some-length", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);

    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
    assert_false(exists(tree));
}

static void names_that_the_removal_itself_uses_do_no_harm(void **state)
{
    char tree[PATH_MAX];
    char path[PATH_MAX];

    (void)state;
    make(tree);
    assert_int_equal(mkdir(below(tree, ".up-0"), 0700), 0);
    make_file(below(tree, ".up-0/file"));
    make_file(below(tree, ".up-1"));
    (void)snprintf(path, sizeof(path), "%s", below(tree, "a"));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(below(path, "b"), 0700), 0);
    make_file(below(path, "b/file"));

    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
    assert_false(exists(tree));
}

static void links_are_removed_and_not_followed(void **state)
{
    char tree[PATH_MAX];
    char outside[PATH_MAX];
    char file[PATH_MAX];

    (void)state;
    (void)snprintf(outside, sizeof(outside), "%s/outside", root);
    assert_int_equal(mkdir(outside, 0500), 0);
    (void)snprintf(file, sizeof(file), "%s/kept", root);
    make_file(file);
    make(tree);
    assert_int_equal(symlink(outside, below(tree, "link")), 0);
    assert_int_equal(mkdir(below(tree, "folder"), 0700), 0);
    assert_int_equal(symlink(outside, below(tree, "folder/link")), 0);
    assert_int_equal(link(file, below(tree, "hard")), 0);

    assert_int_equal(tree_remove(tree, RN_NEVER), 0);

    struct stat status;
    assert_int_equal(stat(outside, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0500);
    assert_true(exists(file));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(outside), 0);
}

static void a_directory_without_permissions_goes(void **state)
{
    char tree[PATH_MAX];
    char path[PATH_MAX];

    (void)state;
    make(tree);
    (void)snprintf(path, sizeof(path), "%s", below(tree, "locked"));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(below(path, "inner"), 0700), 0);
    make_file(below(path, "inner/file"));
    assert_int_equal(chmod(below(path, "inner"), 0), 0);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(tree, 0), 0);

    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
    assert_false(exists(tree));
}

static void one_that_is_gone_or_has_become_a_link_is_no_error(void **state)
{
    char tree[PATH_MAX];

    (void)state;
    make(tree);
    assert_int_equal(rmdir(tree), 0);
    assert_int_equal(tree_remove(tree, RN_NEVER), 0);

    assert_int_equal(symlink("/", tree), 0);
    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
    assert_false(exists(tree));
}

static void the_removal_gives_up_at_its_deadline(void **state)
{
    char tree[PATH_MAX];

    (void)state;
    make(tree);
    make_file(below(tree, "file"));

    assert_int_equal(tree_remove(tree, rn_now()), -ETIMEDOUT);
    assert_true(exists(below(tree, "file")));
    assert_int_equal(tree_remove(tree, RN_NEVER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_folders_and_pipes_go),
        cmocka_unit_test(a_tree_deeper_than_any_path_goes),
        cmocka_unit_test(names_that_the_removal_itself_uses_do_no_harm),
        cmocka_unit_test(links_are_removed_and_not_followed),
        cmocka_unit_test(a_directory_without_permissions_goes),
        cmocka_unit_test(one_that_is_gone_or_has_become_a_link_is_no_error),
        cmocka_unit_test(the_removal_gives_up_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
