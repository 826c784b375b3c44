/** \file
 * What the files of the API share: server, connection, request.
 *
 * **Threads.** Each listener has a daemon of libmicrohttpd with one thread, which runs every
 * handler and builds every answer of its connections; a connection and its request belong to that
 * thread, "its HTTP thread", from STARTED to CLOSED. What connections share is atomic, or stands in
 * the table of connections under its mutex. One more thread, http-watch, accepts connections for
 * all listeners and hands them over, and enforces deadlines. Other threads touch a request in one
 * way only: request_resume, which decides by a compare-and-swap on `waits_for` who of several (a
 * commit, the end of a task, its time, a hang-up, the stop) ends a wait, exactly once. A suspended
 * connection is never closed by libmicrohttpd, so the winner may still use it.
 *
 * **Busy.** server->busy counts requests between their first suspension and their answer, and
 * slices of streams in flight. server_stop sets `stopping`, then waits for busy to become 0; a
 * request raises busy before it looks at `stopping`. So no connection is suspended when
 * libmicrohttpd is stopped (it would abort), whichever listener's it is.
 */
#ifndef API_CORE_H
#define API_CORE_H

#include <stdatomic.h>

#include <microhttpd.h>
#include <runnel/group.h>
#include <runnel/sync.h>

#include "api/access.h"
#include "api/framing.h"
#include "api/listen.h"
#include "api/problem.h"
#include "api/pulse.h"
#include "api/request_log.h"
#include "api/server.h"
#include "config/certificate.h"
#include "store/buffer.h"

struct request;
struct route;

enum {
    SMALL_BODY_MAX = 64 << 10, // of what is no task
    BODY_KEPT_MAX = 8 << 10,   // a buffer up to this size stays with its connection
};

/** Query parameters: of each call those of its route's set are allowed. */
// clang-format off
#define PARAMETERS(X)                                                                                                              \
    X(PRETTY, "pretty") X(WAIT, "wait") X(STATE, "state") X(QUEUE, "queue") X(KIND, "kind") X(TAG, "tag")                          \
    X(CREATED_AFTER, "created_after") X(CREATED_BEFORE, "created_before") X(LIMIT, "limit") X(CURSOR, "cursor") X(VIEW, "view")    \
    X(PRIORITY, "priority") X(DELAY, "delay") X(RUN_AT, "run_at") X(EXPIRES_AT, "expires_at") X(TIMEOUT, "timeout")                \
    X(MAX_ATTEMPTS, "max_attempts") X(TAGS, "tags") X(ERROR_CODE, "error_code") X(FINISHED_AFTER, "finished_after")                \
    X(FINISHED_BEFORE, "finished_before") X(DRY_RUN, "dry_run")
// clang-format on
enum parameter {
#define PARAMETER_ENUM(symbol, name) PARAMETER_##symbol,
    PARAMETERS(PARAMETER_ENUM)
#undef PARAMETER_ENUM
        PARAMETER_COUNT
};
#define PARAMETER_BIT(symbol) (1U << PARAMETER_##symbol)

enum request_waits {
    REQUEST_RUNS,        // not suspended
    REQUEST_WAITS_STORE, // for an operation or a read: only that resumes it
    REQUEST_WAITS_END,   // for a task's end: that, the time, a hang-up, or the stop
};

enum request_phase {
    REQUEST_NONE,     // no request is open on this connection
    REQUEST_LINE,     // its first line has been read
    REQUEST_BODY,     // its header has been accepted; the body is being read
    REQUEST_AT_WORK,  // the body is complete
    REQUEST_ANSWERED, // an answer was given to libmicrohttpd, or written past it
};

typedef void request_fn(struct request *request);
/** On a thread of its own. true: request->op is to be submitted. */
typedef bool request_aside_fn(struct request *request);
/** Takes what it can of the body's next bytes; returns how many. Less than size only if it has
 * suspended the request. */
typedef size_t request_data_fn(struct request *request, const char *data, size_t size);

/** One request. A connection has one, used again and again. */
struct request {
    uint32_t magic;
    enum request_phase phase;
    struct server *server;
    const struct config *config; // a reference of the one in force at its first line, until its end
    struct connection *connection;
    struct MHD_Connection *mhd;
    _Atomic int waits_for;   // enum request_waits
    _Atomic unsigned status; // of its answer; 0: there is none
    struct request_log log;

    // In force since its first line: a copy, since the reaper and the end of the request look at it
    // when the configuration has been given back.
    struct config_limits limits;
    const struct route *route;
    struct head head;
    bool is_head;            // HEAD: no body in the answer
    bool is_stream;          // application/x-ndjson
    bool must_close;         // after the answer
    bool has_effect;         // something was stored: then it is never answered as if nothing was
    bool is_out_of_memory;   // from its first line on
    bool is_busy;            // counted in server->busy
    char allow[64];          // methods of the path, for 405 and OPTIONS
    bool is_waiting;         // counted in server->waiting
    enum MHD_Result verdict; // of the handler call that is running

    uint64_t id;                             // {id} of the path
    char name[72];                           // {name} or {code} of the path, cut
    char *raw_query;                         // new; NULL: none
    const char *parameters[PARAMETER_COUNT]; // NULL: not there; borrowed from libmicrohttpd
    bool is_pretty, is_dry;
    rn_time wait_until; // 0: no wait
    bool has_key;
    char key[256];
    const struct config_token *token; // borrowed of the configuration; NULL: it may do everything
    char challenge[80];               // WWW-Authenticate of the answer; "": none
    char rate_policy[64], rate_left[64]; // RateLimit-Policy and RateLimit; "": none

    struct buffer body;
    size_t body_charged; // of memory below
    size_t body_limit;
    size_t body_space;    // leading white space that was looked at
    bool body_is_settled; // its first character has told its limit
    size_t memory;        // charged to server->memory

    request_fn *next_fn;        // goes on after a suspension
    request_aside_fn *aside_fn; // of request_aside
    request_data_fn *data_fn;   // takes the body instead of `body`
    struct store_op op;
    struct store_read read;
    struct engine_wait wait;
    bool has_wait;      // engine_wait_start was successful, engine_wait_stop still has to be called
    _Atomic bool ended; // wait's done_fn was called
    _Atomic bool is_abandoned; // its client has left while it was suspended, or the server stops
    struct record *record;     // what wait_read has read
    request_fn *finish_fn, *missing_fn; // of wait_read
    void *work;                         // the route's own
    void (*work_free_fn)(void *work);
};

/** One connection, between libmicrohttpd's STARTED and CLOSED. */
struct connection {
    struct connection *prev, *next; // in the table, covered by connections->mu
    struct server *server;
    struct listener *listener; // that it came in by
    struct MHD_Connection *mhd;
    struct certificate *certificate; // that it began with; NULL: no TLS
    int fd;                          // libmicrohttpd's
    uint64_t serial;                 // never used again
    _Atomic rn_time deadline;        // the reaper shuts it down then
    _Atomic int turn;                // enum connection_turn
    _Atomic bool is_expired;         // the reaper has shut it down
    unsigned request_count;          // owned by its HTTP thread
    bool is_watched;                 // owned by its HTTP thread: in the epoll set
    struct request request;
};

/** An address that is listened on, with the daemon of libmicrohttpd for what comes in there. */
struct listener {
    struct server *server;
    struct config_listener address; // with the port in use
    bool is_unix, is_tls, is_loopback;
    bool is_passed;              // systemd made it
    struct listen_socket socket; // owned by the server; http-watch accepts from it
    struct MHD_Daemon *daemon;
    struct pulse pulse; // of the daemon's thread
    struct framing_hosts hosts;
};

/** Who may write to the socket past libmicrohttpd while a body is being read: one of HTTP thread
 * and reaper. Over TLS only the HTTP thread, through the session: the reaper closes without an
 * answer. */
enum connection_turn {
    TURN_NONE,
    TURN_OFFERED, // the reaper may take it, to answer 408
    TURN_EXPIRED, // it has
};

enum {
    ROUTES_MAX = 64,        // in the table of routes.c
    STATUS_CLASS_COUNT = 5, // 1xx to 5xx
};
/** How often a route was answered, for /metrics. */
struct answer_counts {
    _Atomic uint64_t of[STATUS_CLASS_COUNT];
    _Atomic uint64_t of_head[STATUS_CLASS_COUNT]; // of HEAD in place of the route's GET
};

enum { LINGERING_MAX = 64 };
/** A connection closed by us with unread data: held until the client has read the answer. */
struct lingering {
    int fd; // -1: free
    rn_time until;
};

/** How connections come in, for accept.c. */
struct accepting {
    unsigned pending;      // handed to libmicrohttpd, which has not told of them yet
    rn_time pending_since; // when the last one was
    bool is_watching;      // the listening sockets are in the epoll set, and looked at
    bool is_failing;       // the last accept failed for want of something; that was logged
    bool is_busy;          // http-watch is between accept and the end of its hand-over
    bool is_closed;        // not yet, or no more
};

/** The table of connections and the thread that looks after it. */
struct connections {
    rn_mutex mu; // rank 15
    struct connection *all RN_GUARDED_BY(mu);
    unsigned count RN_GUARDED_BY(mu);
    struct lingering lingering[LINGERING_MAX] RN_GUARDED_BY(mu);
    unsigned lingering_count RN_GUARDED_BY(mu);
    uint64_t next_serial RN_GUARDED_BY(mu);
    struct accepting accepting RN_GUARDED_BY(mu);
    rn_cond changed RN_GUARDED_BY(mu); // accepting.is_busy fell
    unsigned limit;                    // of `count`; set once
    int epoll_fd, wake_fd;             // set once
};

struct server {
    struct engine *engine;       // borrowed
    const struct config *config; // a reference of the start's: for what no reload changes
    struct access access;
    struct listener listeners[CONFIG_LISTENERS_MAX]; // set once
    size_t listener_count;
    struct MHD_Response *alive;     // the answer to a pulse
    struct MHD_Response *no_memory; // 503, for when nothing else can be made
    rn_group *group;
    struct connections connections;
    int64_t started_at_ms;

    _Atomic bool stopping;
    _Atomic size_t memory;          // of all requests together, at most config->max_request_memory
    _Atomic unsigned busy;          // see above
    _Atomic unsigned open_requests; // between their header and the end of their answer
    _Atomic unsigned unasked;       // accepted, and nothing asked yet: no first line, no hang-up;
                                    // more than accepting.pending, which ends as one has begun
    _Atomic uint64_t request_count;
    _Atomic bool has_exchange; // a backup or export is made or sent, or an import is taken
    struct answer_counts answers[ROUTES_MAX + 1];      // the last one: of requests without a route
    _Atomic unsigned waiting;                          // requests with wait
    rn_mutex mu;                                       // rank 16
    struct certificate *certificate RN_GUARDED_BY(mu); // of new connections; NULL: no TLS
    rn_cond changed RN_GUARDED_BY(mu);                 // busy or open_requests fell, while stopping
    rn_mutex pulse_mu; // rank 18: the listeners' pulses, but for what libmicrohttpd's threads see
};

/** Takes one from a counter and tells server_stop. On an HTTP thread, which outlives every such
 * call. */
void server_fall(struct server *server, _Atomic unsigned *counter);
/** Takes one from busy, for a slice of a stream. Threads: any: server_stop goes on only when this
 * has let go of the server. */
void server_release(struct server *server);
/** The request was answered with this status. Threads: any, one a request. */
void server_answered(struct server *server, struct request *request, unsigned status);

#endif
