/* Listeners: opened all or none, each with a daemon and thread of libmicrohttpd, which does not
 * know the listening socket (see accept.h). */
#include "api/listeners.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/abstract.h>

#include "api/accept.h"
#include "api/activation.h"
#include "api/connections.h"
#include "api/request.h"
#include "observe/log.h"

enum {
    FIELD_MEMORY = 64,      // what libmicrohttpd keeps of a header field beside its text
    ANSWER_MEMORY = 4 << 10 // for the head of the answer
};

/* ---- the sockets ---- */

static struct listener *add(struct server *server, const struct config_listener *address,
                            const struct listen_socket *socket)
{
    struct listener *listener = &server->listeners[server->listener_count++];

    *listener = (struct listener){.server = server,
                                  .address = *address,
                                  .is_unix = address->sort == CONFIG_LISTEN_UNIX,
                                  .is_tls = address->sort == CONFIG_LISTEN_TCP &&
                                            server->config->certificate != NULL,
                                  .is_loopback = address->is_loopback,
                                  .socket = *socket};
    pulse_init(&listener->pulse, listener->is_tls); // its thread looks at it from its beginning
    if (!listener->is_unix)
        listener->address.port = socket->port;
    if (!listener->is_unix) // on which any name is right: nobody finds it by one
        framing_hosts(&listener->hosts, address->host, listener->address.port);
    return listener;
}

/* Those of the configuration say nothing then: a log line tells. */
static void take_passed(struct server *server, struct server_sockets *sockets)
{
    char text[1024];

    for (size_t i = 0; i < sockets->count; i++) {
        struct listen_socket socket = {.fd = sockets->fds[i], .port = sockets->listeners[i].port};
        add(server, &sockets->listeners[i], &socket)->is_passed = true;
        sockets->fds[i] = -1;
    }
    server_addresses(server, text, sizeof(text));
    log_event(LOG_LEVEL_NOTICE, "sockets_passed_in", LOG_TEXT("listen", text),
              LOG_TEXT("note", "systemd made the sockets, so the setting listen is not used"));
}

int listeners_open(struct server *server, struct server_sockets *sockets, struct error *reterr)
{
    const struct config *config = server->config;
    const struct listen_access access = {.mode = config->socket_mode,
                                         .has_group = config->socket_group != NULL,
                                         .gid = config->socket_gid};

    if (sockets != NULL && sockets->count > 0) {
        take_passed(server, sockets);
        return 0;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        struct listen_socket socket = {.fd = -1};
        int r = listen_open(&config->listeners[i], &access, &socket, reterr);
        if (r < 0)
            return r;
        (void)add(server, &config->listeners[i], &socket);
    }
    return 0;
}

void listeners_close(struct server *server)
{
    for (size_t i = 0; i < server->listener_count; i++)
        listen_close(&server->listeners[i].address, &server->listeners[i].socket);
}

/* ---- libmicrohttpd ---- */

/* What libmicrohttpd may use for each connection: for the header, which is later room for the
 * body's bytes, and the answer's head. */
static size_t connection_memory(const struct config_limits *limits)
{
    return limits->max_header + (size_t)limits->max_headers * FIELD_MEMORY + ANSWER_MEMORY;
}

/* A session gets its certificate when it begins (connections.c): then what it uses can be counted,
 * and lives as long as it. libmicrohttpd asks this function only of a session that got none. */
// GnuTLS's callback has so many parameters. NOLINTNEXTLINE(readability-function-size)
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **chain, unsigned *chain_count, gnutls_privkey_t *key)
{
    (void)session;
    (void)authorities;
    (void)count;
    (void)algorithms;
    (void)algorithm_count;
    (void)chain;
    (void)chain_count;
    (void)key;
    return -1;
}

static int start(struct listener *listener)
{
    struct server *server = listener->server;
    static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)no_certificate},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem *options = listener->is_tls ? tls : &tls[2];

    // Poll: in epoll mode libmicrohttpd 0.9.75 stalls at 128 busy connections. Its own timeout is
    // of idleness only: see connections.c.
    errno = 0;
    listener->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
            MHD_USE_NO_LISTEN_SOCKET | (listener->is_tls ? (unsigned)MHD_USE_TLS : 0),
        0, NULL, NULL, request_handle, listener, MHD_OPTION_CONNECTION_LIMIT,
        server->connections.limit + ACCEPT_SLACK, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        connection_memory(&server->config->limits), MHD_OPTION_CONNECTION_TIMEOUT, 0U,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, request_line, listener,
        MHD_OPTION_NOTIFY_COMPLETED, request_completed, listener, MHD_OPTION_NOTIFY_CONNECTION,
        connections_notify, listener, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (listener->daemon == NULL)
        return errno != 0 ? -errno : -EAGAIN;
    rn_mutex_lock(&server->pulse_mu);
    pulse_daemon(&listener->pulse, listener->daemon);
    rn_mutex_unlock(&server->pulse_mu);
    return 0;
}

int listeners_start(struct server *server)
{
    int r = 0;

    for (size_t i = 0; i < server->listener_count && r == 0; i++)
        r = start(&server->listeners[i]);
    return r;
}

void listeners_stop(struct server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        rn_mutex_lock(&server->pulse_mu);
        pulse_fini(&server->listeners[i].pulse);
        rn_mutex_unlock(&server->pulse_mu);
        if (server->listeners[i].daemon != NULL)
            MHD_stop_daemon(server->listeners[i].daemon);
        server->listeners[i].daemon = NULL;
    }
}

/* ---- what others ask ---- */

uint16_t server_port(const struct server *server)
{
    for (size_t i = 0; i < server->listener_count; i++)
        if (!server->listeners[i].is_unix)
            return server->listeners[i].address.port;
    return 0;
}

void server_addresses(const struct server *server, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (size_t i = 0; i < server->listener_count && used + 2 < size; i++) {
        if (i > 0)
            ret_text[used++] = ',';
        config_listener_text(&server->listeners[i].address, ret_text + used, size - used);
        used += strlen(ret_text + used);
    }
}
