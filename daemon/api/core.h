/** \file
 * What the files of the API share: server, connection, request.
 *
 * **Threads.** libmicrohttpd's one thread runs every handler and builds every answer; a request
 * belongs to it. Other threads touch a request in one way only: request_resume, which decides by a
 * compare-and-swap on `waits_for` who of several (a commit, the end of a task, its time, a hang-up,
 * the stop) ends a wait, exactly once. A suspended connection is never closed by libmicrohttpd, so
 * the winner may still use it.
 *
 * **Busy.** server->busy counts requests between their first suspension and their answer, and
 * slices of streams in flight. server_stop sets `stopping`, then waits for busy to become 0; a
 * request raises busy before it looks at `stopping`. So no connection is suspended when
 * libmicrohttpd is stopped (it would abort).
 */
#ifndef API_CORE_H
#define API_CORE_H

#include <stdatomic.h>

#include <microhttpd.h>
#include <runnel/group.h>
#include <runnel/sync.h>

#include "api/access.h"
#include "store/buffer.h"
#include "api/framing.h"
#include "api/problem.h"
#include "api/pulse.h"
#include "api/request_log.h"
#include "api/server.h"

struct request;
struct route;

enum {
    TASK_BODY_MAX = 2 << 20,   // bytes of one task or line
    ARRAY_BODY_MAX = 16 << 20, // of an array
    ARRAY_TASKS_MAX = 10000,
    SMALL_BODY_MAX = 64 << 10, // of what is no task
    ARGS_MAX = 1 << 20,
    BODY_KEPT_MAX = 8 << 10, // a buffer up to this size stays with its connection
};

#define WAIT_MAX (60 * RN_SECOND)
enum { CONNECTION_REQUESTS_MAX = 1000 };

/** Query parameters: of each call those of its route's set are allowed. */
// clang-format off
#define PARAMETERS(X)                                                                                                              \
    X(PRETTY, "pretty") X(WAIT, "wait") X(STATE, "state") X(QUEUE, "queue") X(KIND, "kind") X(TAG, "tag")                          \
    X(CREATED_AFTER, "created_after") X(CREATED_BEFORE, "created_before") X(LIMIT, "limit") X(CURSOR, "cursor") X(VIEW, "view")    \
    X(PRIORITY, "priority") X(DELAY, "delay") X(RUN_AT, "run_at") X(EXPIRES_AT, "expires_at") X(TIMEOUT, "timeout")                \
    X(MAX_ATTEMPTS, "max_attempts") X(TAGS, "tags")
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
    bool is_pretty;
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

    request_fn *next_fn;      // goes on after a suspension
    request_data_fn *data_fn; // takes the body instead of `body`
    struct store_op op;
    struct store_read read;
    struct engine_wait wait;
    bool has_wait;      // engine_wait_start was successful, engine_wait_stop still has to be called
    _Atomic bool ended; // wait's done_fn was called
    struct record *record;              // what wait_read has read
    request_fn *finish_fn, *missing_fn; // of wait_read
    void *work;                         // the route's own
    void (*work_free_fn)(void *work);
};

/** One connection, between libmicrohttpd's STARTED and CLOSED. */
struct connection {
    struct connection *prev, *next; // in the table, covered by connections->mu
    struct server *server;
    struct MHD_Connection *mhd;
    int fd;                   // libmicrohttpd's
    bool is_unix;             // set once: a unix socket
    uint64_t serial;          // never used again
    _Atomic rn_time deadline; // the reaper shuts it down then
    _Atomic int turn;         // enum connection_turn
    _Atomic bool is_expired;  // the reaper has shut it down
    unsigned request_count;   // owned by the HTTP thread
    bool is_watched;          // owned by the HTTP thread: in the epoll set
    struct request request;
};

/** Who may write to the socket past libmicrohttpd while a body is being read: one of HTTP thread
 * and reaper. */
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

/** The table of connections and the thread that looks after it. */
struct connections {
    rn_mutex mu; // rank 15
    struct connection *all RN_GUARDED_BY(mu);
    unsigned count RN_GUARDED_BY(mu);
    struct lingering lingering[LINGERING_MAX] RN_GUARDED_BY(mu);
    unsigned lingering_count RN_GUARDED_BY(mu);
    bool stopped RN_GUARDED_BY(mu);
    uint64_t next_serial;  // owned by the HTTP thread
    int epoll_fd, wake_fd; // set once
};

/** How long each part of a request may take, by the clock and not since the last byte; what is
 * suspended counts for none of them. */
struct timeouts {
    _Atomic rn_duration head;   // from the connection, or the first line, to the end of the header
    _Atomic rn_duration body;   // the body; of a stream each line
    _Atomic rn_duration answer; // until the client has read it
    _Atomic rn_duration idle;   // between requests
};

struct server {
    struct engine *engine;       // borrowed
    const struct config *config; // a reference of the start's: for what no reload changes
    struct framing_hosts hosts;  // set once
    struct access access;
    int listen_fd; // libmicrohttpd's once it runs
    uint16_t port;
    struct MHD_Daemon *daemon;
    struct pulse pulse;             // of the daemon's thread
    struct MHD_Response *alive;     // the answer to it
    struct MHD_Response *no_memory; // 503, for when nothing else can be made
    struct buffer timeout_answer;   // the whole 408
    rn_group *group;
    struct connections connections;
    int64_t started_at_ms;
    struct timeouts timeouts; // set once

    _Atomic bool stopping;
    _Atomic size_t memory;          // of all requests together, at most config->max_request_memory
    _Atomic unsigned busy;          // see above
    _Atomic unsigned open_requests; // between their header and the end of their answer
    _Atomic uint64_t request_count;
    struct answer_counts answers[ROUTES_MAX + 1]; // the last one: of requests without a route
    unsigned waiting;                             // owned by the HTTP thread: requests with wait
    rn_mutex mu;                                  // rank 16; for `changed` alone
    rn_cond changed RN_GUARDED_BY(mu);            // busy or open_requests fell, while stopping
};

/** Takes one from a counter and tells server_stop. On the HTTP thread, which outlives every such
 * call. */
void server_fall(struct server *server, _Atomic unsigned *counter);
/** Takes one from busy, for a slice of a stream. Threads: any: server_stop goes on only when this
 * has let go of the server. */
void server_release(struct server *server);
/** The request was answered with this status. Threads: any, one a request. */
void server_answered(struct server *server, struct request *request, unsigned status);

#endif
