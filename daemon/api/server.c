/* Start and stop of the HTTP server. */
#include "api/server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/connections.h"
#include "api/core.h"
#include "api/listen.h"
#include "api/request.h"
#include "observe/log.h"
#include "observe/notify.h"

enum {
    DESCRIPTORS_KEPT = 64,        // for store and commands
    CONNECTION_MEMORY = 24 << 10, // libmicrohttpd's, for each: header and read buffer
    CONNECTIONS_MIN = 8,
};
#define STOP_TIMEOUT (1 * RN_SECOND)

/* libmicrohttpd found itself broken. */
static void panic(void *cls, const char *file, unsigned int line, const char *reason)
{
    (void)cls;
    rn_assert_failed(reason != NULL ? reason : "libmicrohttpd", file, (int)line, "libmicrohttpd");
}

/* ---- what is made before ---- */

/* The answer for when there is no memory to make one. */
static int make_no_memory(struct server *server)
{
    struct buffer text = {.bytes = NULL};

    problem_begin(&text, PROBLEM_BUSY, "the daemon is out of memory; try again in a moment");
    problem_end(&text);
    BUFFER_LITERAL(&text, "\n");
    if (text.failed) {
        buffer_fini(&text);
        return -ENOMEM;
    }
    server->no_memory =
        MHD_create_response_from_buffer(text.length, text.bytes, MHD_RESPMEM_MUST_FREE);
    if (server->no_memory == NULL) {
        buffer_fini(&text);
        return -ENOMEM;
    }
    static const char *const fields[][2] = {{"Content-Type", "application/problem+json"},
                                            {"Cache-Control", "no-store"},
                                            {"Retry-After", "1"},
                                            {"Connection", "close"}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (MHD_add_response_header(server->no_memory, fields[i][0], fields[i][1]) == MHD_NO)
            return -ENOMEM;
    }
    return 0;
}

/* What the reaper sends when a body takes too long. */
static int make_timeout_answer(struct server *server)
{
    struct buffer text = {.bytes = NULL};

    problem_begin(
        &text, PROBLEM_REQUEST_TIMEOUT,
        "the body was not complete after 30 seconds, or a stream had no complete line for as long");
    problem_end(&text);
    buffer_printf(&server->timeout_answer,
                  "HTTP/1.1 408 Request Timeout\r\nContent-Type: "
                  "application/problem+json\r\nCache-Control: no-store\r\n"
                  "Connection: close\r\nContent-Length: %zu\r\n\r\n%.*s\n",
                  text.length + 1, (int)text.length, text.bytes != NULL ? text.bytes : "");
    bool failed = text.failed || server->timeout_answer.failed;
    buffer_fini(&text);
    return failed ? -ENOMEM : 0;
}

static unsigned connection_limit(const struct config *config)
{
    struct rlimit limit;
    unsigned most = config->max_connections;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return most;
    rlim_t left = limit.rlim_cur > DESCRIPTORS_KEPT + CONNECTIONS_MIN
                      ? limit.rlim_cur - DESCRIPTORS_KEPT
                      : CONNECTIONS_MIN;
    return left < most ? (unsigned)left : most;
}

/* ---- start ---- */

static int start_daemon(struct server *server)
{
    unsigned pulses = notify_watchdog() > 0 ? 1 : 0; // not to be had at the clients' cost

    // Poll: in epoll mode libmicrohttpd 0.9.75 stalls at 128 busy connections. Its own timeout is
    // of idleness only: see connections.c.
    server->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL,
        request_handle, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, connection_limit(server->config) + pulses,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, request_line, server, MHD_OPTION_NOTIFY_COMPLETED,
        request_completed, server, MHD_OPTION_NOTIFY_CONNECTION, connections_notify, server,
        MHD_OPTION_END);
    if (server->daemon == NULL)
        return errno != 0 ? -errno : -EAGAIN;
    server->listen_fd = -1;
    pulse_daemon(&server->pulse, server->daemon);
    return 0;
}

/* Everything but the address. */
static int make(struct server *server)
{
    server->alive = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    int r = server->alive != NULL ? make_no_memory(server) : -ENOMEM;
    if (r == 0)
        r = access_load(&server->access, server->config);
    if (r == 0)
        r = make_timeout_answer(server);
    if (r == 0)
        r = rn_group_new(NULL, &server->group);
    if (r == 0)
        r = rn_group_go(server->group, "http-watch", connections_run, server);
    if (r == 0)
        r = start_daemon(server);
    return r;
}

int server_start(struct engine *engine, struct server **ret_server, struct error *reterr)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return error_set(reterr, -ENOMEM, "no memory for the HTTP server");

    MHD_set_panic_func(panic, NULL);
    server->engine = engine;
    server->config = engine_config_ref(engine);
    server->started_at_ms = rn_wall_ms();
    atomic_init(&server->timeouts.head, 5 * RN_SECOND);
    atomic_init(&server->timeouts.body, 30 * RN_SECOND);
    atomic_init(&server->timeouts.answer, 30 * RN_SECOND);
    atomic_init(&server->timeouts.idle, 15 * RN_SECOND);
    server->listen_fd = -1;
    pulse_init(&server->pulse, false); // its thread looks at it from its beginning
    access_init(&server->access);
    rn_mutex_init(&server->mu, 16);
    rn_cond_init(&server->changed);
    int r = connections_init(&server->connections);
    if (r < 0) {
        (void)error_set(reterr, r, "cannot watch connections: %s", rn_strerror(r));
    } else {
        r = listen_open(server->config->listen_host, server->config->listen_port,
                        &server->listen_fd, &server->port, reterr);
        if (r == 0) {
            framing_hosts(&server->hosts, server->config->listen_host, server->port);
            r = make(server);
            if (r < 0)
                (void)error_set(reterr, r, "cannot start the HTTP server: %s", rn_strerror(r));
        }
    }
    if (r < 0) {
        server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

int server_reload(struct server *server, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr)
{
    struct access_rates rates = {.buckets = NULL};

    int r = access_prepare(config, &rates);
    if (r < 0) {
        (void)error_set(reterr, r, "no memory for the tokens' rates");
        engine_reload_refused(server->engine, "no memory for the tokens' rates");
        return r;
    }
    r = engine_reload(server->engine, config, ret_changes, reterr);
    if (r == 0)
        access_commit(&server->access, config, &rates);
    access_rates_fini(&rates);
    return r;
}

uint16_t server_port(struct server *server)
{
    return server->port;
}

uint64_t server_beat(struct server *server)
{
    return pulse_beat(&server->pulse);
}

/* ---- stop ---- */

/* Until a counter is 0 or the deadline has passed. */
static void wait_for(struct server *server, _Atomic unsigned *counter, rn_time deadline)
{
    rn_mutex_lock(&server->mu);
    while (atomic_load(counter) > 0) {
        if (rn_cond_wait(NULL, &server->changed, &server->mu, deadline) == -ETIMEDOUT)
            break;
    }
    rn_mutex_unlock(&server->mu);
}

void server_stop(struct server *server)
{
    rn_time deadline = rn_after(STOP_TIMEOUT);

    if (server->daemon == NULL)
        return;
    // From here on no request begins to wait for anything; those that wait for an end are answered
    // with the task as it is.
    atomic_store(&server->stopping, true);
    connections_end_waits(&server->connections);
    wait_for(server, &server->open_requests, deadline);
    if (atomic_load(&server->open_requests) > 0)
        log_event(LOG_LEVEL_WARN, "http_stop",
                  LOG_UINT("open_requests", atomic_load(&server->open_requests)));
    // libmicrohttpd must not be stopped while a connection is suspended, and the store still has
    // its operation: it always answers.
    wait_for(server, &server->busy, RN_NEVER);
    pulse_fini(&server->pulse);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    server_stop(server);
    if (server->group != NULL) {
        rn_context_cancel(rn_group_context(server->group), 0);
        connections_wake(&server->connections);
        (void)rn_group_wait(server->group);
        rn_group_free(server->group);
    }
    // Whether libmicrohttpd closes a socket that it could not start with differs between its
    // versions.
    if (server->listen_fd >= 0 && fcntl(server->listen_fd, F_GETFD) >= 0)
        (void)close(server->listen_fd);
    connections_fini(&server->connections);
    if (server->alive != NULL)
        MHD_destroy_response(server->alive);
    access_fini(&server->access);
    if (server->no_memory != NULL)
        MHD_destroy_response(server->no_memory);
    buffer_fini(&server->timeout_answer);
    config_unref(server->config);
    rn_cond_fini(&server->changed);
    rn_mutex_fini(&server->mu);
    free(server);
}
