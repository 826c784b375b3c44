/** \file
 * How connections come in. One thread (http-watch) accepts for all listeners and hands each
 * connection to its listener's libmicrohttpd, so that one limit holds over all of them, and who
 * comes when it is reached waits in the backlog until another leaves (libmicrohttpd knows only a
 * limit of each of its daemons; what a policy callback refuses it closes).
 */
#ifndef API_ACCEPT_H
#define API_ACCEPT_H

#include "api/core.h"

/** How many more connections a daemon of libmicrohttpd is allowed than there can be: it counts one
 * down only after it has told of its end. */
enum { ACCEPT_SLACK = 16 };

/** Watches the listening sockets. Their events' data is accept_mark with the listener's index. */
int accept_start(struct server *server) RN_MUST_CHECK;
extern const uint64_t accept_mark;
/** A listening socket can be read from. On http-watch. */
void accept_ready(struct server *server, size_t index);
/** Twice a second while accept_is_waiting. On http-watch, or with it not there. */
void accept_tick_locked(struct connections *connections, const struct server *server, rn_time now)
    RN_REQUIRES(&connections->mu);
/** Whether something will have to be looked at again though no event comes. */
bool accept_is_waiting_locked(const struct connections *connections) RN_REQUIRES(&connections->mu);
/** libmicrohttpd's STARTED, and CLOSED. */
void accept_started_locked(struct connections *connections) RN_REQUIRES(&connections->mu);
void accept_ended_locked(struct connections *connections, const struct server *server)
    RN_REQUIRES(&connections->mu);
/** No more: afterwards nobody is inside libmicrohttpd to hand over a connection. **Blocking:** for
 * the one that is on its way. */
void accept_stop(struct server *server);

#endif
