/** \file
 * The access log: one event for each request, when it has ended. What libmicrohttpd answers by
 * itself, before it calls anything of ours (a first line that is none, a header beyond its memory),
 * is not seen here.
 */
#ifndef API_REQUEST_LOG_H
#define API_REQUEST_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <runnel/clock.h>

struct request;

/** What is noted of a request for its event. */
struct request_log {
    bool is_on;      // noted at its first line
    bool is_sent;    // all of the answer
    char method[16]; // cut; "": its header was never complete
    char *url;       // new, with its query, cut; NULL: no memory for it
    rn_time begun_at;
    uint64_t bytes_in;  // of the body
    uint64_t bytes_out; // of the answer's body
    uint64_t tasks;     // stored by a stream or an array
};

enum { REQUEST_LOG_PEER_BYTES = 64 };
/** Who is at the other end: "127.0.0.1:40000", "[::1]:40000", or "unix:" and the user's id. fd: the
 * connection's. NULL: it can't be told. */
const char *request_log_peer(const struct sockaddr *address, int fd,
                             char text[static REQUEST_LOG_PEER_BYTES]);

/** At the first line; url as it came, before anything is decoded. */
void request_log_begin(struct request *request, const char *url);
/** At the end of the request, answered or not. Blocking: for the log's line. */
void request_log_end(struct request *request);

#endif
