/* Socket activation. What is passed in is looked at before it is used: a unit with ListenDatagram=
 * or Accept=yes would else fail at the first request, far from its cause. */
#include "api/activation.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

static int int_option(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static int passed_error(int error, int fd, const char *name, const char *why, struct error *reterr)
{
    return error_set(reterr, error, "socket %d%s%.60s, which systemd has passed in, %s", fd,
                     name[0] != '\0' ? " " : "", name, why);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* false: of another family. */
static bool take_address(const union address *address, socklen_t length,
                         struct config_listener *ret_listener)
{
    struct config_listener *listener = ret_listener;
    const size_t head = offsetof(struct sockaddr_un, sun_path);

    *listener = (struct config_listener){.sort = CONFIG_LISTEN_TCP};
    if (address->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, listener->host, sizeof(listener->host));
        listener->port = ntohs(address->v4.sin_port);
    } else if (address->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, listener->host, sizeof(listener->host));
        listener->port = ntohs(address->v6.sin6_port);
    } else if (address->any.sa_family == AF_UNIX) {
        size_t bytes = length > head ? length - head : 0;
        listener->sort = CONFIG_LISTEN_UNIX;
        if (bytes >= sizeof(listener->path))
            bytes = sizeof(listener->path) - 1;
        memcpy(listener->path, address->local.sun_path, bytes);
        if (bytes > 0 && listener->path[0] == '\0')
            listener->path[0] = '@'; // an abstract one
    } else {
        return false;
    }
    listener->is_loopback =
        listener->sort == CONFIG_LISTEN_TCP && config_host_is_loopback(listener->host);
    config_listener_text(listener, listener->text, sizeof(listener->text));
    return true;
}

static int take(const struct config *config, int fd, const char *name,
                struct config_listener *ret_listener, struct error *reterr)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof(address);

    if (int_option(fd, SO_TYPE) != SOCK_STREAM || int_option(fd, SO_ACCEPTCONN) != 1)
        return passed_error(-EINVAL, fd, name,
                            "must be a listening stream socket (ListenStream=, Accept=no)", reterr);
    if (getsockname(fd, &address.any, &length) < 0)
        return passed_error(-errno, fd, name, rn_strerror(-errno), reterr);
    if (!take_address(&address, length, ret_listener))
        return passed_error(-EINVAL, fd, name, "must be a TCP or unix socket", reterr);
    const char *fault = config_listener_fault(config, ret_listener);
    if (fault != NULL)
        return passed_error(-EINVAL, fd, name, fault, reterr);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return passed_error(-errno, fd, name, rn_strerror(-errno), reterr);
    return 0;
}

static void free_names(char **names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        free(names[i]);
    free(names);
}

int server_sockets_take(const struct config *config, struct server_sockets *ret_sockets,
                        struct error *reterr)
{
    char **names = NULL;

    *ret_sockets = (struct server_sockets){.count = 0};
    // Close-on-exec is set by it, and the environment is cleared: a command must not think that the
    // sockets are its own.
    int count = sd_listen_fds_with_names(1, &names);
    if (count < 0)
        return error_set(reterr, count, "cannot take the sockets that systemd passes in: %s",
                         rn_strerror(count));
    int r = 0;
    if (count > CONFIG_LISTENERS_MAX)
        r = error_set(reterr, -E2BIG, "systemd has passed in %d sockets, at most %d can be used",
                      count, CONFIG_LISTENERS_MAX);
    for (int i = 0; i < count && r == 0; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        r = take(config, fd, names != NULL && names[i] != NULL ? names[i] : "",
                 &ret_sockets->listeners[i], reterr);
        ret_sockets->fds[i] = fd;
        ret_sockets->count = (size_t)i + 1;
    }
    free_names(names);
    if (r < 0)
        activation_close(ret_sockets);
    return r;
}

void activation_close(struct server_sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->fds[i] >= 0)
            (void)close(sockets->fds[i]);
        sockets->fds[i] = -1;
    }
    sockets->count = 0;
}
