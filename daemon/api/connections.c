/* The table of connections, the reaper, and the watch for hang-ups.
 *
 * A connection is in the table exactly between libmicrohttpd's STARTED and CLOSED, so a descriptor
 * that is shut down under the table's lock is still that connection's: libmicrohttpd closes it only
 * after CLOSED. Deadlines are atomics: HTTP threads set them without the lock, the reaper looks at
 * all of them twice a second.
 *
 * A suspended connection is watched by an epoll set of ours (EPOLLRDHUP, once): a client that has
 * left, or has closed its half, gives its wait back (libmicrohttpd closes such a connection when it
 * is resumed). What is found there is a serial, looked up in the table, not a pointer.
 */
#include "api/connections.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "api/accept.h"
#include "api/request.h"
#include "config/units.h"

enum {
    EVENTS_MAX = 64,
    LINGER_READS_MAX = 16,
    LINGER_READ_BYTES = 16 << 10,
    PACE_BYTES = 64 << 10, // a second
};
#define TICK (500 * RN_MILLISECOND)
#define LINGER_TIMEOUT (2 * RN_SECOND)
static const uint64_t lingering_mark =
    UINT64_C(1) << 63; // with the index; so accept_mark; else the data is a serial, 0: wake_fd

static void close_lingering_locked(struct connections *connections, struct lingering *lingering)
    RN_REQUIRES(&connections->mu);

int connections_init(struct connections *connections, unsigned limit)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};

    connections->limit = limit;
    rn_mutex_init(&connections->mu, 15);
    rn_cond_init(&connections->changed);
    rn_mutex_lock(&connections->mu);
    for (size_t i = 0; i < LINGERING_MAX; i++)
        connections->lingering[i].fd = -1;
    connections->accepting.is_closed = true;
    rn_mutex_unlock(&connections->mu);
    connections->wake_fd = -1;
    connections->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (connections->epoll_fd < 0)
        return -errno;
    connections->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (connections->wake_fd < 0)
        return -errno;
    if (epoll_ctl(connections->epoll_fd, EPOLL_CTL_ADD, connections->wake_fd, &event) < 0)
        return -errno;
    return 0;
}

void connections_fini(struct connections *connections)
{
    rn_mutex_lock(&connections->mu);
    for (size_t i = 0; i < LINGERING_MAX; i++) {
        if (connections->lingering[i].fd >= 0)
            close_lingering_locked(connections, &connections->lingering[i]);
    }
    rn_mutex_unlock(&connections->mu);
    if (connections->epoll_fd >= 0)
        (void)close(connections->epoll_fd);
    if (connections->wake_fd >= 0)
        (void)close(connections->wake_fd);
    rn_cond_fini(&connections->changed);
    rn_mutex_fini(&connections->mu);
}

void connections_wake(struct connections *connections)
{
    // Its value only says that something happened: a write that would overflow it changes nothing.
    (void)!eventfd_write(connections->wake_fd, 1);
}

static void close_lingering_locked(struct connections *connections, struct lingering *lingering)
{
    (void)close(
        lingering->fd); // leaves the epoll set with it: nobody else has this description any more
    lingering->fd = -1;
    connections->lingering_count--;
}

/* Reads and drops what has come. */
static void drain_lingering(struct connections *connections, size_t index)
{
    static _Thread_local char dropped[LINGER_READ_BYTES];

    rn_mutex_lock(&connections->mu);
    struct lingering *lingering = &connections->lingering[index];
    for (int i = 0; i < LINGER_READS_MAX && lingering->fd >= 0; i++) {
        ssize_t n = recv(lingering->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
        if (n > 0)
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            close_lingering_locked(connections, lingering);
        break;
    }
    rn_mutex_unlock(&connections->mu);
}

static struct connection *find_locked(struct connections *connections, uint64_t serial)
    RN_REQUIRES(&connections->mu);

static struct connection *find_locked(struct connections *connections, uint64_t serial)
{
    struct connection *connection = NULL;

    DL_FOREACH (connections->all, connection) {
        if (connection->serial == serial)
            break;
    }
    return connection;
}

/* A wait for an end is over; what waits for the store goes on until that answers, which may look
 * whether anybody still wants it. */
static void end_wait(struct connection *connection)
{
    atomic_store(&connection->request.is_abandoned, true);
    (void)request_resume(&connection->request, REQUEST_WAITS_END);
}

/* The client has left, or has sent all it will. */
static void hang_up(struct connections *connections, uint64_t serial)
{
    rn_mutex_lock(&connections->mu);
    struct connection *connection = find_locked(connections, serial);
    if (connection != NULL)
        end_wait(connection);
    rn_mutex_unlock(&connections->mu);
}

void connections_end_waits(struct connections *connections)
{
    struct connection *connection = NULL;

    rn_mutex_lock(&connections->mu);
    DL_FOREACH (connections->all, connection) {
        end_wait(connection);
    }
    rn_mutex_unlock(&connections->mu);
}

/* 408, for a body that takes too long. */
static void send_timeout(const struct connection *connection)
{
    char bytes[4096]; // several times what is needed, so that the buffer never grows
    char allowed[48];
    char detail[160];
    char head[256];
    struct buffer text = {.bytes = bytes, .capacity = sizeof(bytes)};

    (void)snprintf(
        detail, sizeof(detail),
        "the body was not complete after %s (body_timeout), or a stream had no complete line for "
        "as long",
        units_duration_text(connection->request.limits.body_timeout, allowed, sizeof(allowed)));
    problem_begin(&text, PROBLEM_REQUEST_TIMEOUT, detail);
    problem_end(&text);
    BUFFER_LITERAL(&text, "\n");
    RN_ASSERT(text.bytes == bytes && !text.failed);
    int length = snprintf(head, sizeof(head),
                          "HTTP/1.1 408 Request Timeout\r\nContent-Type: "
                          "application/problem+json\r\nCache-Control: no-store\r\n"
                          "Connection: close\r\nContent-Length: %zu\r\n\r\n",
                          text.length);
    // Into an empty send buffer; what does not fit is lost, as it is to a client that does not
    // read.
    (void)!send(connection->fd, head, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    (void)!send(connection->fd, text.bytes, text.length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reap_locked(struct connections *connections, rn_time now) RN_REQUIRES(&connections->mu);

static void reap_locked(struct connections *connections, rn_time now)
{
    struct connection *connection = NULL;

    DL_FOREACH (connections->all, connection) {
        if (atomic_load_explicit(&connection->deadline, memory_order_relaxed) > now)
            continue;
        int offered = TURN_OFFERED;
        if (atomic_compare_exchange_strong(&connection->turn, &offered, TURN_EXPIRED)) {
            // Its route was found before it was offered, and stays while the turn is ours.
            server_answered(connection->server, &connection->request, MHD_HTTP_REQUEST_TIMEOUT);
            send_timeout(connection);
        }
        atomic_store(&connection->is_expired, true);
        // libmicrohttpd reads the end of the connection and closes it.
        (void)shutdown(connection->fd, SHUT_RDWR);
        connection_no_deadline(connection);
    }
    for (size_t i = 0; i < LINGERING_MAX && connections->lingering_count > 0; i++) {
        struct lingering *lingering = &connections->lingering[i];
        if (lingering->fd >= 0 && lingering->until <= now)
            close_lingering_locked(connections, lingering);
    }
}

/* Shuts down what is past its deadline, twice a second. Returns how long epoll_wait may take.
 *
 * A thread of libmicrohttpd that has no memory for its poll set forgets that a connection was
 * resumed, and sleeps until another one has something: so there is always another one. */
static int reap(struct server *server, rn_time *next_tick)
{
    struct connections *connections = &server->connections;
    rn_time now = rn_now();
    bool is_tick = now >= *next_tick;

    rn_mutex_lock(&connections->mu);
    if (is_tick) {
        *next_tick = now + TICK;
        reap_locked(connections, now);
        accept_tick_locked(connections, server, now);
    }
    bool is_quiet = connections->count == 0 && connections->lingering_count == 0 &&
                    !accept_is_waiting_locked(connections);
    rn_mutex_unlock(&connections->mu);
    if (is_tick && atomic_load(&server->open_requests) > 0)
        (void)server_beat(server);
    return is_quiet ? -1 : (int)((*next_tick - now) / RN_MILLISECOND) + 1;
}

int connections_run(rn_context *ctx, void *arg)
{
    struct server *server = arg;
    struct connections *connections = &server->connections;
    struct epoll_event events[EVENTS_MAX];
    rn_time next_tick = 0;

    while (rn_context_err(ctx) == 0) {
        int count = epoll_wait(connections->epoll_fd, events, EVENTS_MAX, reap(server, &next_tick));
        for (int i = 0; i < count; i++) {
            uint64_t data = events[i].data.u64;
            eventfd_t value = 0;
            if (data == 0)
                (void)!eventfd_read(connections->wake_fd, &value);
            else if ((data & lingering_mark) != 0)
                drain_lingering(connections, (size_t)(data & ~lingering_mark));
            else if ((data & accept_mark) != 0)
                accept_ready(server, (size_t)(data & ~accept_mark));
            else
                hang_up(connections, data);
        }
    }
    return 0;
}

/* Before the handshake: libmicrohttpd tells of a connection first. */
static void take_certificate(struct connection *connection)
{
    struct server *server = connection->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    rn_mutex_lock(&server->mu);
    connection->certificate = certificate_ref(server->certificate);
    rn_mutex_unlock(&server->mu);
    // Without them the handshake fails.
    if (info != NULL)
        (void)gnutls_credentials_set((gnutls_session_t)info->tls_session, GNUTLS_CRD_CERTIFICATE,
                                     certificate_credentials(connection->certificate));
}

static void connection_started(struct listener *listener, struct MHD_Connection *mhd,
                               void **socket_context)
{
    struct server *server = listener->server;
    struct connections *connections = &server->connections;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || info == NULL) {
        free(connection);
        connection = NULL; // its requests get the prepared 503
    } else {
        connection->server = server;
        connection->listener = listener;
        connection->mhd = mhd;
        connection->fd = info->connect_fd;
        const struct config *config = engine_config_ref(server->engine);
        connection_deadline(connection, config->limits.header_timeout);
        config_unref(config);
        if (listener->is_tls)
            take_certificate(connection);
    }

    rn_mutex_lock(&connections->mu);
    accept_started_locked(connections);
    if (connection != NULL) {
        connection->serial = ++connections->next_serial;
        DL_APPEND(connections->all, connection);
    }
    rn_mutex_unlock(&connections->mu);
    *socket_context = connection;
}

static void connection_closed(struct server *server, struct connection *connection)
{
    struct connections *connections = &server->connections;

    rn_mutex_lock(&connections->mu);
    if (connection != NULL)
        DL_DELETE(connections->all, connection);
    accept_ended_locked(connections, server);
    rn_mutex_unlock(&connections->mu);
    if (connection == NULL || connection->request_count == 0)
        server_fall(server, &server->unasked);
    if (connection == NULL)
        return;
    if (connection->is_watched) // a lingering duplicate would keep it in the set
        (void)epoll_ctl(connections->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    request_fini(&connection->request);
    buffer_fini(&connection->request.body);
    certificate_unref(connection->certificate); // its session has gone before
    free(connection);
}

void connections_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                        enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = cls;

    if (pulse_owns(&listener->pulse, mhd)) {
        if (code != MHD_CONNECTION_NOTIFY_STARTED)
            pulse_closed(&listener->pulse);
    } else if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_started(listener, mhd, socket_context);
    } else {
        connection_closed(listener->server, *socket_context);
    }
}

struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

void connection_deadline(struct connection *connection, rn_duration length)
{
    atomic_store_explicit(&connection->deadline, rn_after(length), memory_order_relaxed);
}

void connection_deadline_again(struct connection *connection, rn_duration length)
{
    if (atomic_load_explicit(&connection->deadline, memory_order_relaxed) == RN_NEVER)
        connection_deadline(connection, length);
}

void connection_pace(struct connection *connection, rn_duration length, uint64_t bytes,
                     uint64_t *at)
{
    uint64_t least = (uint64_t)length / (uint64_t)RN_MILLISECOND * PACE_BYTES / 1000;

    if (bytes - *at < least)
        return;
    *at = bytes;
    connection_deadline(connection, length);
}

void connection_no_deadline(struct connection *connection)
{
    atomic_store_explicit(&connection->deadline, RN_NEVER, memory_order_relaxed);
}

void connection_offer(struct connection *connection)
{
    atomic_store(&connection->turn, TURN_OFFERED);
}

bool connection_take(struct connection *connection)
{
    return atomic_exchange(&connection->turn, TURN_NONE) != TURN_EXPIRED;
}

int connection_watch(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,
                                .data.u64 = connection->serial};
    int operation = connection->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (epoll_ctl(connection->server->connections.epoll_fd, operation, connection->fd, &event) < 0)
        return -errno;
    connection->is_watched = true;
    return 0;
}

void connection_linger(struct connection *connection)
{
    struct connections *connections = &connection->server->connections;
    int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return;

    rn_mutex_lock(&connections->mu);
    size_t index = 0;
    while (index < LINGERING_MAX && connections->lingering[index].fd >= 0)
        index++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = lingering_mark | index};
    if (index == LINGERING_MAX || epoll_ctl(connections->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        (void)close(fd);
    } else {
        connections->lingering[index] =
            (struct lingering){.fd = fd, .until = rn_after(LINGER_TIMEOUT)};
        connections->lingering_count++;
    }
    rn_mutex_unlock(&connections->mu);
}
