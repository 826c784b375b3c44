/** \file
 * The HTTP server: libmicrohttpd in poll mode on one thread, with its own checks of framing, limits
 * and deadlines before any handler sees a request. HTTP threads never wait for the disk or for a
 * task: such requests are suspended and resumed exactly once.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "engine/engine.h"

struct server;

/** Makes the listening socket (SO_REUSEADDR; -EADDRINUSE, -EACCES …: reterr says who has it where
 * /proc tells) and starts to answer. Before the engine is READY, all but healthz answer 503
 * `starting`. */
int server_start(struct engine *engine, struct server **ret_server, struct error *reterr)
    RN_MUST_CHECK;
/**
 * Puts a configuration in force, for the engine (engine_reload, whose errors it has) and for the
 * tokens' rates: both or neither.
 *
 * **Ownership:** takes references of config. **Blocking:** never. **Threads:** as engine_reload.
 */
int server_reload(struct server *server, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr) RN_MUST_CHECK;
/** The port in use (of `listen = "127.0.0.1:0"`). */
uint16_t server_port(struct server *server);
/** Asks every HTTP thread for a sign of life, if the last one has been given. **Blocking:** never.
 * **Threads:** one, not while or after server_stop. @return how many each of them has given so far
 */
uint64_t server_beat(struct server *server);
/** After engine_drain: every waiting or suspended request is answered within 1 s, then all
 * connections are closed. */
void server_stop(struct server *server);
void server_free(struct server *server);

#endif
