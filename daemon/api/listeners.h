/** \file The addresses that the server listens on, and libmicrohttpd's daemon of each. */
#ifndef API_LISTENERS_H
#define API_LISTENERS_H

#include "api/core.h"

/** Makes the listening sockets, or takes those that were passed in. */
int listeners_open(struct server *server, struct server_sockets *sockets, struct error *reterr)
    RN_MUST_CHECK;
/** Starts libmicrohttpd for each; connections come in by accept_start. */
int listeners_start(struct server *server) RN_MUST_CHECK;
/** Stops libmicrohttpd: no request may be suspended any more, and nobody may hand over a
 * connection.
 */
void listeners_stop(struct server *server);
/** Closes the listening sockets. Unix sockets' files go, but for those that were passed in. */
void listeners_close(struct server *server);

#endif
