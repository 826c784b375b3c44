/* See faults.h. The functions stand in front of the C library's (or a sanitizer's): the dynamic
 * linker finds those of the program first, for its libraries too. */
#include "daemon/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// A sanitizer has functions of its own there, and needs them before it can be asked for them.
#ifndef RN_DEBUG

#define IN_FRONT __attribute__((visibility("default")))

static struct faults *_Atomic faults;

/* The next function of this name, into a pointer to one. */
static void find_next(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    memcpy(function, &found, sizeof(found));
}

#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (next == NULL)                                                                              \
    find_next(&next, #name)

static bool strikes(enum faults_kind kind, int error)
{
    struct faults *shared = atomic_load_explicit(&faults, memory_order_relaxed);
    if (shared == NULL || atomic_load(&shared->kind) != (int)kind)
        return false;
    int call = atomic_fetch_add(&shared->calls, 1) + 1;
    int nth = atomic_load(&shared->nth);
    if (nth == 0 || call < nth || call - nth >= atomic_load(&shared->many))
        return false;
    (void)atomic_fetch_add(&shared->struck, 1);
    errno = error;
    return true;
}

/* Before main. */
__attribute__((constructor)) static void map_faults(void)
{
    const char *path = getenv("RUNNEL_FAULTS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd); // nothing was written through it
    if (mapped != MAP_FAILED)
        atomic_store(&faults, mapped);
}

/* ---- memory ---- */

IN_FRONT void *malloc(size_t size)
{
    NEXT(malloc);
    return strikes(FAULTS_MEMORY, ENOMEM) ? NULL : next(size);
}

IN_FRONT void *calloc(size_t nmemb, size_t size)
{
    NEXT(calloc);
    return strikes(FAULTS_MEMORY, ENOMEM) ? NULL : next(nmemb, size);
}

IN_FRONT void *realloc(void *ptr, size_t size)
{
    NEXT(realloc);
    return strikes(FAULTS_MEMORY, ENOMEM) ? NULL : next(ptr, size);
}

/* ---- what the system has only so many of ---- */

IN_FRONT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                            void *(*start_routine)(void *arg), void *arg)
{
    NEXT(pthread_create);
    return strikes(FAULTS_SYSTEM, EAGAIN) ? EAGAIN : next(thread, attr, start_routine, arg);
}

IN_FRONT int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict addr_len, int flags)
{
    NEXT(accept4);
    return strikes(FAULTS_SYSTEM, EMFILE) ? -1 : next(fd, addr, addr_len, flags);
}

IN_FRONT int eventfd(unsigned count, int flags)
{
    NEXT(eventfd);
    return strikes(FAULTS_SYSTEM, EMFILE) ? -1 : next(count, flags);
}

IN_FRONT int pipe2(int pipedes[2], int flags)
{
    NEXT(pipe2);
    return strikes(FAULTS_SYSTEM, EMFILE) ? -1 : next(pipedes, flags);
}

IN_FRONT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    NEXT(epoll_ctl);
    return op == EPOLL_CTL_ADD && strikes(FAULTS_SYSTEM, ENOSPC) ? -1 : next(epfd, op, fd, event);
}

IN_FRONT int open(const char *file, int oflag, ...)
{
    NEXT(open);
    va_list arguments;
    va_start(arguments, oflag);
    mode_t mode = (oflag & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return strikes(FAULTS_SYSTEM, EMFILE) ? -1 : next(file, oflag, mode);
}

#endif
