/* Accepting. The listening sockets are in http-watch's epoll set, level-triggered; at the limit, or
 * when accept fails for want of something (descriptors, memory), they are set to no events, and
 * back when a connection ends or at the next tick.
 *
 * A connection counts from accept on: as pending until libmicrohttpd has told of it (STARTED), then
 * in the table. libmicrohttpd says nothing of one that it drops in between, for want of memory;
 * STARTED comes at once otherwise, so what is pending for LOST_AFTER is not any more. */
#include "api/accept.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "observe/log.h"

enum { ACCEPTS_MAX = 32 }; // at once, so that one listener does not keep the others waiting
#define LOST_AFTER (5 * RN_SECOND)

const uint64_t accept_mark = UINT64_C(1) << 62;

static void watch_locked(struct connections *connections, const struct server *server, bool on)
    RN_REQUIRES(&connections->mu);

static void watch_locked(struct connections *connections, const struct server *server, bool on)
{
    if (connections->accepting.is_closed || connections->accepting.is_watching == on)
        return;
    for (size_t i = 0; i < server->listener_count; i++) {
        struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.u64 = accept_mark | i};
        // It is in the set, so there is nothing that could fail.
        int r =
            epoll_ctl(connections->epoll_fd, EPOLL_CTL_MOD, server->listeners[i].socket.fd, &event);
        RN_ASSERT(r == 0);
    }
    connections->accepting.is_watching = on;
}

int accept_start(struct server *server)
{
    struct connections *connections = &server->connections;
    int r = 0;

    rn_mutex_lock(&connections->mu);
    for (size_t i = 0; i < server->listener_count && r == 0; i++) {
        struct epoll_event event = {.events = 0, .data.u64 = accept_mark | i};
        if (epoll_ctl(connections->epoll_fd, EPOLL_CTL_ADD, server->listeners[i].socket.fd,
                      &event) < 0)
            r = -errno;
    }
    connections->accepting.is_closed = r < 0;
    watch_locked(connections, server, true);
    rn_mutex_unlock(&connections->mu);
    return r;
}

static bool is_full_locked(const struct connections *connections) RN_REQUIRES(&connections->mu);

static bool is_full_locked(const struct connections *connections)
{
    return connections->count + connections->accepting.pending >= connections->limit;
}

/* Whether one more may come in; then it is pending. */
static bool begin(struct connections *connections, const struct server *server)
{
    rn_mutex_lock(&connections->mu);
    struct accepting *accepting = &connections->accepting;
    bool may = !accepting->is_closed && !is_full_locked(connections);
    if (may) {
        accepting->is_busy = true;
        accepting->pending++;
        accepting->pending_since = rn_now();
    } else {
        watch_locked(connections, server, false);
    }
    rn_mutex_unlock(&connections->mu);
    return may;
}

/* Whether the failure is to be logged: the first one of a series. */
static bool end(struct connections *connections, const struct server *server, bool came_in,
                bool failed)
{
    rn_mutex_lock(&connections->mu);
    struct accepting *accepting = &connections->accepting;
    accepting->is_busy = false;
    if (!came_in && accepting->pending > 0)
        accepting->pending--;
    bool is_first = failed && !accepting->is_failing;
    if (failed || came_in)
        accepting->is_failing = failed;
    if (failed)
        watch_locked(connections, server, false);
    rn_cond_broadcast(&connections->changed);
    rn_mutex_unlock(&connections->mu);
    return is_first;
}

/* The connection that was accepted is broken already, or another process was faster. accept(2)
 * names these of networks. */
static bool is_transient(int error)
{
    static const int errors[] = {EINTR,       ECONNABORTED, EPROTO, ENETDOWN,
                                 ENOPROTOOPT, EHOSTDOWN,    ENONET, EOPNOTSUPP,
                                 ENETUNREACH, EHOSTUNREACH, EPERM /* a firewall */};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i] == error)
            return true;
    return false;
}

/* 0: handed over; -EAGAIN: nobody waits. */
static int accept_one(struct listener *listener)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } address;
    socklen_t length = sizeof(address);

    int fd = accept4(listener->socket.fd, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    atomic_fetch_add(&listener->server->unasked, 1);
    // It closes the socket where it can't take it.
    if (MHD_add_connection(listener->daemon, fd, &address.any, length) == MHD_NO) {
        server_fall(listener->server, &listener->server->unasked);
        return -ENOMEM;
    }
    return 0;
}

void accept_ready(struct server *server, size_t index)
{
    struct connections *connections = &server->connections;

    for (unsigned i = 0; i < ACCEPTS_MAX && begin(connections, server); i++) {
        int r = accept_one(&server->listeners[index]);
        bool failed = r < 0 && r != -EAGAIN && !is_transient(-r);
        if (end(connections, server, r == 0, failed))
            log_event(LOG_LEVEL_WARN, "accept_failed", LOG_TEXT("error", rn_strerror(r)));
        if (r == -EAGAIN || failed)
            return;
    }
}

void accept_tick_locked(struct connections *connections, const struct server *server, rn_time now)
{
    struct accepting *accepting = &connections->accepting;

    if (accepting->pending > 0 && now - accepting->pending_since > LOST_AFTER)
        accepting->pending = 0;
    if (!is_full_locked(connections))
        watch_locked(connections, server, true);
}

bool accept_is_waiting_locked(const struct connections *connections)
{
    const struct accepting *accepting = &connections->accepting;
    return !accepting->is_closed && (accepting->pending > 0 || !accepting->is_watching);
}

void accept_started_locked(struct connections *connections)
{
    if (connections->accepting.pending > 0)
        connections->accepting.pending--;
    connections->count++;
}

void accept_ended_locked(struct connections *connections, const struct server *server)
{
    connections->count--;
    if (!is_full_locked(connections))
        watch_locked(connections, server, true);
}

void accept_stop(struct server *server)
{
    struct connections *connections = &server->connections;

    rn_mutex_lock(&connections->mu);
    connections->accepting.is_closed = true;
    while (connections->accepting.is_busy) {
        if (rn_cond_wait(NULL, &connections->changed, &connections->mu, RN_NEVER) < 0)
            continue; // without a context and a deadline it ends by the broadcast alone
    }
    rn_mutex_unlock(&connections->mu);
}
