/*
 * Faults on purpose: see fault.h.
 *
 * Everything is atomic, because the threads of the code under test come through here at once, and
 * nothing here allocates. A count runs down by one at each call; the call that brings it to 0
 * fails, and, if the fault is for good, so do all that bring it below.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct {
    _Atomic long left;  // calls until the fault; LONG_MAX: none is set
    _Atomic bool lasts; // for good
    _Atomic int error;  // errno of the fault
    _Atomic int calls;  // since the last reset
} faults[FAULT_CALL_COUNT];

static _Atomic bool reached;
static _Atomic bool armed;
static _Atomic unsigned long file_system;     // its type; 0: the real one
static _Atomic unsigned long long free_bytes; // with it or alone; 0: the real ones

// The names are the linker's.
// NOLINTBEGIN(readability-identifier-naming)
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);
int __real_eventfd(unsigned value, int flags);
ssize_t __real_write(int fd, const void *bytes, size_t count);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_ftruncate(int fd, off_t length);
int __real_posix_fallocate(int fd, off_t offset, off_t length);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_open(const char *path, int flags, ...);
pid_t __real_fork(void);
int __real_statfs(const char *path, struct statfs *status);
ssize_t __real_getrandom(void *bytes, size_t count, unsigned flags);
int __real_socket(int family, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __real_listen(int fd, int backlog);
int __real_fchmod(int fd, mode_t mode);
int __real_chmod(const char *path, mode_t mode);
int __real_chown(const char *path, uid_t owner, gid_t group);
int __real_flock(int fd, int operation);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __real_renameat2(int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags);
int __real_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);
int __wrap_eventfd(unsigned value, int flags);
ssize_t __wrap_write(int fd, const void *bytes, size_t count);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_posix_fallocate(int fd, off_t offset, off_t length);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_open(const char *path, int flags, ...);
pid_t __wrap_fork(void);
int __wrap_statfs(const char *path, struct statfs *status);
ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags);
int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_listen(int fd, int backlog);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_chmod(const char *path, mode_t mode);
int __wrap_chown(const char *path, uid_t owner, gid_t group);
int __wrap_flock(int fd, int operation);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_renameat2(int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags);
int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);

/* The errno with which this call is to fail, or 0. */
static int strike(enum fault_call call)
{
    atomic_fetch_add(&faults[call].calls, 1);
    if (!atomic_load(&armed) || atomic_load(&faults[call].left) == LONG_MAX)
        return 0;

    long left = atomic_fetch_sub(&faults[call].left, 1) - 1;
    if (left > 0 || (left < 0 && !atomic_load(&faults[call].lasts)))
        return 0;
    atomic_store(&reached, true);
    return atomic_load(&faults[call].error);
}

static void take_back(void)
{
    atomic_store(&armed, false);
    for (int call = 0; call < FAULT_CALL_COUNT; call++)
        atomic_store(&faults[call].left, LONG_MAX);
}

static void set(enum fault_call call, int nth, int error, bool lasts)
{
    if (!atomic_load(&armed))
        take_back(); // at first the counts are 0, not LONG_MAX
    atomic_store(&faults[call].error, error);
    atomic_store(&faults[call].lasts, lasts);
    atomic_store(&faults[call].left, nth);
    atomic_store(&reached, false);
    atomic_store(&armed, true);
}

void fault_fail(enum fault_call call, int nth, int error)
{
    set(call, nth, error, false);
}

void fault_fail_from(enum fault_call call, int nth, int error)
{
    set(call, nth, error, true);
}

void fault_fail_malloc(int nth)
{
    set(FAULT_MALLOC, nth, ENOMEM, false);
}

void fault_fail_pthread_create(int nth)
{
    set(FAULT_PTHREAD_CREATE, nth, EAGAIN, false);
}

bool fault_reached(void)
{
    take_back();
    return atomic_load(&reached);
}

void fault_reset(void)
{
    take_back();
    atomic_store(&reached, false);
    fault_file_system(0, 0);
    for (int call = 0; call < FAULT_CALL_COUNT; call++)
        atomic_store(&faults[call].calls, 0);
}

void fault_file_system(unsigned long type, unsigned long long bytes)
{
    atomic_store(&file_system, type);
    atomic_store(&free_bytes, bytes);
}

int fault_calls(enum fault_call call)
{
    return atomic_load(&faults[call].calls);
}

/* For functions that answer -1 and set errno. */
static bool fails(enum fault_call call)
{
    int error = strike(call);
    if (error == 0)
        return false;
    errno = error;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails(FAULT_MALLOC) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAULT_MALLOC) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails(FAULT_MALLOC) ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(FAULT_MALLOC) ? NULL : __real_strdup(text);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg)
{
    int error = strike(FAULT_PTHREAD_CREATE);
    return error != 0 ? error : __real_pthread_create(thread, attributes, start, arg);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return fails(FAULT_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t count)
{
    return fails(FAULT_WRITE) ? -1 : __real_write(fd, bytes, count);
}

int __wrap_fsync(int fd)
{
    return fails(FAULT_FSYNC) ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    return fails(FAULT_FSYNC) ? -1 : __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t length)
{
    return fails(FAULT_FTRUNCATE) ? -1 : __real_ftruncate(fd, length);
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t length)
{
    int error = strike(FAULT_POSIX_FALLOCATE);
    return error != 0 ? error : __real_posix_fallocate(fd, offset, length);
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return fails(FAULT_MMAP) ? MAP_FAILED
                             : __real_mmap(address, length, protection, flags, fd, offset);
}

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return fails(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

pid_t __wrap_fork(void)
{
    return fails(FAULT_FORK) ? -1 : __real_fork();
}

int __wrap_statfs(const char *path, struct statfs *status)
{
    int r = __real_statfs(path, status);
    if (atomic_load(&file_system) != 0)
        status->f_type = (long)atomic_load(&file_system);
    if (atomic_load(&free_bytes) != 0)
        status->f_bavail = (fsblkcnt_t)(atomic_load(&free_bytes) / (unsigned long)status->f_bsize);
    return r;
}

ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags)
{
    return fails(FAULT_GETRANDOM) ? -1 : __real_getrandom(bytes, count, flags);
}

int __wrap_socket(int family, int type, int protocol)
{
    return fails(FAULT_SOCKET) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    return fails(FAULT_BIND) ? -1 : __real_bind(fd, address, length);
}

int __wrap_listen(int fd, int backlog)
{
    return fails(FAULT_LISTEN) ? -1 : __real_listen(fd, backlog);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails(FAULT_FCHMOD) ? -1 : __real_fchmod(fd, mode);
}

int __wrap_chmod(const char *path, mode_t mode)
{
    return fails(FAULT_CHMOD) ? -1 : __real_chmod(path, mode);
}

int __wrap_chown(const char *path, uid_t owner, gid_t group)
{
    return fails(FAULT_CHOWN) ? -1 : __real_chown(path, owner, group);
}

int __wrap_flock(int fd, int operation)
{
    return fails(FAULT_FLOCK) ? -1 : __real_flock(fd, operation);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails(FAULT_ACCEPT4) ? -1 : __real_accept4(fd, address, length, flags);
}

int __wrap_renameat2(int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags)
{
    return fails(FAULT_RENAMEAT2) ? -1 : __real_renameat2(from_folder, from, to_folder, to, flags);
}

int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return fails(FAULT_LINKAT) ? -1 : __real_linkat(from_folder, from, to_folder, to, flags);
}
// NOLINTEND(readability-identifier-naming)
