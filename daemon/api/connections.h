/** \file
 * The connections that are open, their deadlines, and the thread that enforces them, accepts new
 * ones, and notices clients that leave while their request is suspended (libmicrohttpd does
 * neither).
 */
#ifndef API_CONNECTIONS_H
#define API_CONNECTIONS_H

#include "api/core.h"

/** limit: of connections at once. */
int connections_init(struct connections *connections, unsigned limit) RN_MUST_CHECK;
void connections_fini(struct connections *connections);
/** The thread; arg is the server. Ends when ctx does and connections_wake was called. */
int connections_run(rn_context *ctx, void *arg);
void connections_wake(struct connections *connections);
/** Resumes every request that waits for the end of a task. */
void connections_end_waits(struct connections *connections);

/** libmicrohttpd's notification of connections; cls is the listener. */
void connections_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);
/** NULL: there was no memory for it. */
struct connection *connection_of(struct MHD_Connection *mhd);
void connection_deadline(struct connection *connection, rn_duration length);
/** Sets it where there is none, after a suspension. */
void connection_deadline_again(struct connection *connection, rn_duration length);
/** Puts it off where of a long body or answer enough has gone since that was done last: at least
 * 64 KiB a second, so that who dawdles does not keep what others wait for. *at: the bytes then. */
void connection_pace(struct connection *connection, rn_duration length, uint64_t bytes,
                     uint64_t *at);
void connection_no_deadline(struct connection *connection);
/** The body is about to be read: from now on, and until connection_take, the reaper may answer 408.
 */
void connection_offer(struct connection *connection);
/** Before anything else is answered while the body is being read, and at its end. false: the reaper
 * was faster, the connection is shut down. */
bool connection_take(struct connection *connection);
/** From now on a hang-up ends the wait of the connection's request. -errno: it goes unnoticed. */
int connection_watch(struct connection *connection);
/** Keeps the socket for at most 2 s after libmicrohttpd has closed it, reading and dropping what
 * still comes, so that an answer that was given before the body was read is not lost to a reset. */
void connection_linger(struct connection *connection);

#endif
