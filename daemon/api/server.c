/* Start and stop of the HTTP server. */
#include "api/server.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "api/accept.h"
#include "api/activation.h"
#include "api/connections.h"
#include "api/core.h"
#include "api/listeners.h"
#include "observe/log.h"
#include "observe/notify.h"

enum {
    DESCRIPTORS_KEPT = 64, // for store and commands
    CONNECTIONS_MIN = 8,
};
#define STOP_TIMEOUT (1 * RN_SECOND)
#define UNASKED_TIMEOUT (200 * RN_MILLISECOND)

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

/* listeners: how many of them, each of which has two descriptors of its own. */
static unsigned connection_limit(const struct config *config, size_t listeners)
{
    const rlim_t kept = DESCRIPTORS_KEPT + 2 * listeners;
    struct rlimit limit;
    unsigned most = config->max_connections;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return most;
    rlim_t left = limit.rlim_cur > kept + CONNECTIONS_MIN ? limit.rlim_cur - kept : CONNECTIONS_MIN;
    return left < most ? (unsigned)left : most;
}

/* ---- start ---- */

/* Everything but the address. */
static int make(struct server *server)
{
    server->alive = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    int r = server->alive != NULL ? make_no_memory(server) : -ENOMEM;
    if (r == 0)
        r = access_load(&server->access, server->config);
    if (r == 0)
        r = rn_group_new(NULL, &server->group);
    if (r == 0)
        r = rn_group_go(server->group, "http-watch", connections_run, server);
    if (r == 0)
        r = listeners_start(server);
    // Before the daemon is ready its own addresses answer 503 `starting`. Who has found a socket of
    // systemd's waits: that is what it is for.
    if (r == 0 && !server->listeners[0].is_passed)
        r = accept_start(server);
    return r;
}

int server_ready(struct server *server)
{
    return server->listeners[0].is_passed ? accept_start(server) : 0;
}

int server_start(struct engine *engine, struct server_sockets *sockets, struct server **ret_server,
                 struct error *reterr)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        if (sockets != NULL)
            activation_close(sockets);
        return error_set(reterr, -ENOMEM, "no memory for the HTTP server");
    }

    MHD_set_panic_func(panic, NULL);
    server->engine = engine;
    server->config = engine_config_ref(engine);
    server->started_at_ms = rn_wall_ms();
    access_init(&server->access);
    rn_mutex_init(&server->mu, 16);
    rn_mutex_init(&server->pulse_mu, 18);
    rn_cond_init(&server->changed);
    if (server->config->certificate != NULL) {
        rn_mutex_lock(&server->mu);
        server->certificate = certificate_ref(server->config->certificate);
        rn_mutex_unlock(&server->mu);
    }
    size_t listeners =
        sockets != NULL && sockets->count > 0 ? sockets->count : server->config->listener_count;
    int r = connections_init(&server->connections, connection_limit(server->config, listeners));
    if (r < 0) {
        (void)error_set(reterr, r, "cannot watch connections: %s", rn_strerror(r));
    } else {
        r = listeners_open(server, sockets, reterr);
        if (r == 0) {
            r = make(server);
            if (r < 0)
                (void)error_set(reterr, r, "cannot start the HTTP server: %s", rn_strerror(r));
        }
    }
    if (sockets != NULL)
        activation_close(sockets); // those that no listener has taken
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
    if (r == 0) {
        access_commit(&server->access, config, &rates);
        if (config->certificate != NULL)
            server_set_certificate(server, config->certificate);
    }
    access_rates_fini(&rates);
    return r;
}

void server_set_certificate(struct server *server, struct certificate *certificate)
{
    RN_ASSERT(certificate != NULL);
    rn_mutex_lock(&server->mu);
    struct certificate *before = server->certificate;
    if (before != NULL)
        server->certificate = certificate_ref(certificate);
    rn_mutex_unlock(&server->mu);
    certificate_unref(before);
}

uint64_t server_beat(struct server *server)
{
    uint64_t least = UINT64_MAX;

    rn_mutex_lock(&server->pulse_mu);
    for (size_t i = 0; i < server->listener_count; i++) {
        uint64_t count = pulse_beat(&server->listeners[i].pulse);
        least = count < least ? count : least;
    }
    rn_mutex_unlock(&server->pulse_mu);
    return least;
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

    // From here on no request begins to wait for anything; those that wait for an end are answered
    // with the task as it is.
    atomic_store(&server->stopping, true);
    connections_end_waits(&server->connections);
    // Who finds a socket of systemd's from here on waits for the next daemon; who was let in a
    // moment ago and is about to ask is answered.
    if (server->listener_count > 0 && server->listeners[0].is_passed) {
        accept_stop(server);
        wait_for(server, &server->unasked, rn_after(UNASKED_TIMEOUT));
    }
    wait_for(server, &server->open_requests, deadline);
    if (atomic_load(&server->open_requests) > 0)
        log_event(LOG_LEVEL_WARN, "http_stop",
                  LOG_UINT("open_requests", atomic_load(&server->open_requests)));
    // libmicrohttpd must not be stopped while a connection is suspended, and the store still has
    // its operation: it always answers.
    wait_for(server, &server->busy, RN_NEVER);
    accept_stop(server);
    listeners_close(server);
    listeners_stop(server);
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
    connections_fini(&server->connections);
    if (server->alive != NULL)
        MHD_destroy_response(server->alive);
    access_fini(&server->access);
    if (server->no_memory != NULL)
        MHD_destroy_response(server->no_memory);
    rn_mutex_lock(&server->mu);
    struct certificate *certificate = RN_TAKE(server->certificate);
    rn_mutex_unlock(&server->mu);
    certificate_unref(certificate);
    config_unref(server->config);
    rn_cond_fini(&server->changed);
    rn_mutex_fini(&server->mu);
    rn_mutex_fini(&server->pulse_mu);
    free(server);
}
