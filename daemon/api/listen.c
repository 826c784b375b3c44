/* Listening sockets.
 *
 * A unix socket's file is never open to more than its mode says: the socket itself gets mode 0600
 * before bind(2) (Linux makes the file with it, less the umask), then the file gets its group and
 * its mode, and only then the socket listens. The umask of the process stays as it is, since other
 * threads make files.
 *
 * Whether a file that is there already is a dead daemon's is told by connect(2): nobody listens
 * (ECONNREFUSED). Between that answer and the unlink another daemon might bind, so all of it is
 * done under a lock on the file's folder (flock), which each runneld takes; the removal at the stop
 * too, and that only while the file is still the one that was made here. */
#include "api/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "api/holder.h"

enum { BACKLOG = 1024, LOCK_PAUSE_MS = 10 };
#define LOCK_TIMEOUT (2 * RN_SECOND)

static void closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static int open_error(int error, const struct config_listener *address, const char *why,
                      struct error *reterr)
{
    char text[sizeof(address->text)];

    config_listener_text(address, text, sizeof(text));
    return error_set(reterr, error, "cannot listen on %s: %s%s", text, rn_strerror(error), why);
}

/* ---- TCP ---- */

/* false: host is no address. */
static bool make_address(const struct config_listener *listener, struct sockaddr_storage *address,
                         socklen_t *length)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(listener->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(listener->port)};

    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, listener->host, &v4.sin_addr) == 1) {
        memcpy(address, &v4, sizeof(v4));
        *length = sizeof(v4);
        return true;
    }
    if (inet_pton(AF_INET6, listener->host, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, sizeof(v6));
        *length = sizeof(v6);
        return true;
    }
    return false;
}

static int tcp_error(int error, const struct config_listener *address, struct error *reterr)
{
    char who[128] = "";

    if (error == -EADDRINUSE)
        holder_of_port(address->port, who, sizeof(who));
    return open_error(error, address, who, reterr);
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {.sin6_port = 0}};
    socklen_t length = sizeof(address);

    if (getsockname(fd, &address.any, &length) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static int open_tcp(const struct config_listener *listener, struct listen_socket *ret_socket,
                    struct error *reterr)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    const int on = 1;

    if (!make_address(listener, &address, &length))
        return tcp_error(-EINVAL, listener, reterr);
    RN_AUTO(closep)
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return tcp_error(-errno, listener, reterr);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (const struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
        return tcp_error(-errno, listener, reterr);

    *ret_socket = (struct listen_socket){.fd = fd, .port = bound_port(fd)};
    fd = -1;
    return 0;
}

/* ---- unix ---- */

/* The folder of a path, locked against other daemons: a descriptor, to be closed. */
static int lock_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 0 : slash == path ? 1 : (int)(slash - path);
    rn_time deadline = rn_after(LOCK_TIMEOUT);

    (void)snprintf(folder, sizeof(folder), "%.*s", length, path);
    RN_AUTO(closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (rn_now() >= deadline)
            return -ETIMEDOUT; // not -EBUSY, which is of the store
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    int locked = fd;
    fd = -1;
    return locked;
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

/* Who listens there. 0: nobody; -EADDRINUSE: somebody, ret_pid says who (0: not known). */
static int probe(const struct sockaddr_un *address, pid_t *ret_pid)
{
    struct ucred peer = {.pid = 0};
    socklen_t length = sizeof(peer);
    RN_AUTO(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *ret_pid = 0;
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno == ECONNREFUSED || errno == ENOENT)
            return 0;
        return errno == EAGAIN ? -EADDRINUSE : -errno; // its backlog is full: it is alive
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
        *ret_pid = peer.pid;
    return -EADDRINUSE;
}

/* What a dead daemon has left behind goes; anything else stays. Under the folder's lock. */
static int clear_stale(const struct config_listener *listener, struct error *reterr)
{
    const struct sockaddr_un address = unix_address(listener->path);
    struct stat status;
    char who[128];
    pid_t pid = 0;

    if (lstat(listener->path, &status) < 0)
        return errno == ENOENT ? 0 : open_error(-errno, listener, "", reterr);
    if (!S_ISSOCK(status.st_mode))
        return open_error(-EEXIST, listener,
                          ": the file is there and is no socket, so it is left alone", reterr);
    int r = probe(&address, &pid);
    if (r < 0) {
        holder_of_pid(pid, who, sizeof(who));
        return open_error(r, listener, who, reterr);
    }
    if (unlink(listener->path) < 0 && errno != ENOENT)
        return open_error(-errno, listener, ": the file of a dead daemon cannot be removed",
                          reterr);
    return 0;
}

/* Mode 0600 until the group is set, and nobody can connect before it listens. */
static int bind_unix(int fd, const struct config_listener *listener,
                     const struct listen_access *access, struct listen_socket *ret_socket)
{
    const struct sockaddr_un address = unix_address(listener->path);
    struct stat status;

    if (fchmod(fd, S_IRUSR | S_IWUSR) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (lstat(listener->path, &status) < 0 ||
        (access->has_group && chown(listener->path, (uid_t)-1, access->gid) < 0) ||
        chmod(listener->path, access->mode) < 0 || listen(fd, BACKLOG) < 0) {
        int error = -errno;
        (void)unlink(listener->path); // made just now, under the lock
        return error;
    }
    *ret_socket = (struct listen_socket){.fd = fd, .device = status.st_dev, .inode = status.st_ino};
    return 0;
}

static int open_unix(const struct config_listener *listener, const struct listen_access *access,
                     struct listen_socket *ret_socket, struct error *reterr)
{
    RN_AUTO(closep) int folder = lock_folder(listener->path);
    if (folder < 0)
        return open_error(folder, listener,
                          folder == -ETIMEDOUT ? ": somebody holds a lock on its folder"
                          : folder == -ENOENT  ? ": its folder does not exist"
                                               : "",
                          reterr);
    int r = clear_stale(listener, reterr);
    if (r < 0)
        return r;
    RN_AUTO(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return open_error(-errno, listener, "", reterr);
    r = bind_unix(fd, listener, access, ret_socket);
    if (r < 0)
        return open_error(r, listener,
                          r == -EPERM && access->has_group
                              ? ": only a member of socket_group can give it that group"
                              : "",
                          reterr);
    fd = -1;
    return 0;
}

/* ---- both ---- */

int listen_open(const struct config_listener *listener, const struct listen_access *access,
                struct listen_socket *ret_socket, struct error *reterr)
{
    RN_ASSERT(listener != NULL);
    RN_ASSERT(access != NULL);
    return listener->sort == CONFIG_LISTEN_UNIX ? open_unix(listener, access, ret_socket, reterr)
                                                : open_tcp(listener, ret_socket, reterr);
}

void listen_close(const struct config_listener *listener, struct listen_socket *socket)
{
    struct stat status;

    if (socket->fd < 0)
        return;
    if (socket->inode != 0) {
        // Without the lock it is looked at all the same: what is there is ours by its number.
        RN_AUTO(closep) int folder = lock_folder(listener->path);
        (void)folder; // it is only held
        if (lstat(listener->path, &status) == 0 && status.st_dev == socket->device &&
            status.st_ino == socket->inode)
            (void)unlink(listener->path);
    }
    (void)close(socket->fd);
    socket->fd = -1;
}
