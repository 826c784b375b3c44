#include "capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static int file = -1;
static int original = -1;

void capture_start(void)
{
    (void)fflush(stderr);
    file = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(file >= 0);
    // As a log file is opened: several writers, each line at the end.
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(original >= 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
}

char *capture_end(size_t *ret_size)
{
    struct stat status;
    assert_int_equal(dup2(original, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(original), 0);
    assert_int_equal(fstat(file, &status), 0);
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    assert_non_null(text);
    assert_int_equal(pread(file, text, size, 0), size);
    text[size] = '\0';
    assert_int_equal(close(file), 0);
    *ret_size = size;
    return text;
}

int capture_fd(void)
{
    return file;
}
