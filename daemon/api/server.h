/** \file
 * The HTTP server: libmicrohttpd in poll mode, one thread a listener, with its own checks of
 * framing, limits and deadlines before any handler sees a request. HTTP threads never wait for the
 * disk or for a task: such requests are suspended and resumed exactly once.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "engine/engine.h"

struct server;

/** Listening sockets that systemd has passed in. */
struct server_sockets {
    int fds[CONFIG_LISTENERS_MAX];
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    size_t count; // 0: none, the configuration says where to listen
};

/** Takes the sockets of LISTEN_FDS, if there are any, and clears that from the environment: once,
 * before a thread is started. Each must be a listening stream socket, TCP or unix, where the daemon
 * may listen. **Ownership:** the sockets are the caller's until server_start. **Errors:** -EINVAL,
 * -E2BIG …, with reterr. */
int server_sockets_take(const struct config *config, struct server_sockets *ret_sockets,
                        struct error *reterr) RN_MUST_CHECK;

/**
 * Makes the listening sockets (SO_REUSEADDR) and starts to answer. Before the engine is READY, all
 * but healthz answer 503 `starting`.
 *
 * @param sockets  listened on in place of the configuration's addresses; NULL or none of them:
 * those
 *
 * **Ownership:** takes the sockets, also when it fails. **Errors:** -EADDRINUSE, -EACCES …: reterr
 * says which address, and who has it where /proc tells.
 */
int server_start(struct engine *engine, struct server_sockets *sockets, struct server **ret_server,
                 struct error *reterr) RN_MUST_CHECK;
/** The engine is READY: takes what waits at the sockets that systemd has passed in. Negative errno:
 * nothing can be taken. */
int server_ready(struct server *server) RN_MUST_CHECK;
/**
 * Puts a configuration in force, for the engine (engine_reload, whose errors it has), for the
 * tokens' rates and for the certificate of new connections: all or nothing.
 *
 * **Ownership:** takes references of config. **Blocking:** never. **Threads:** as engine_reload.
 */
int server_reload(struct server *server, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr) RN_MUST_CHECK;
/** The port in use (of `listen = "127.0.0.1:0"`) of the first TCP listener; 0: there is none. */
uint16_t server_port(const struct server *server);
/** All addresses that are listened on, with the ports in use and commas between them. */
void server_addresses(const struct server *server, char *ret_text, size_t size);
/** Serves connections that come in from now on with another certificate (of a configuration that
 * was loaded again); no TLS listener: does nothing. Takes a reference of its own. Threads: any. */
void server_set_certificate(struct server *server, struct certificate *certificate);
/** Asks every HTTP thread for a sign of life, if the last one has been given. **Blocking:** never.
 * **Threads:** any. @return how many each of them has given so far,
 * the least */
uint64_t server_beat(struct server *server);
/** After engine_drain: every waiting or suspended request is answered within 1 s, then all
 * connections are closed. */
void server_stop(struct server *server);
void server_free(struct server *server);

#endif
