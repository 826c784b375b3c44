/* Folders and files that tests make: see folders.h. */
#include "folders.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

char root[PATH_MAX / 2];

int make_root(void **state)
{
    const char *temporary = getenv("TMPDIR");

    (void)state;
    (void)snprintf(root, sizeof(root), "%s/folders-XXXXXX", temporary != NULL ? temporary : "/tmp");
    return mkdtemp(root) != NULL ? 0 : -1;
}

int remove_root(void **state)
{
    (void)state;
    return rmdir(root);
}

const char *below(const char *folder, const char *name)
{
    static char path[PATH_MAX];

    assert_true(snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path));
    return path;
}

void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}
