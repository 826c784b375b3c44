/** \file
 * What every integration test stands on: a scenario starts the real daemon on a free port and a
 * temporary store, talks to it over HTTP (libcurl) or over a bare socket, stops it in one way or
 * another, and looks at what is left.
 *
 * A scenario is a function without arguments, listed with SCENARIO in the program's HARNESS_MAIN.
 * All that it made here (daemons, connections, replies, texts) belongs to the scenario and is given
 * back when it ends; when it failed, the logs of its daemons are printed. Unless a function says
 * otherwise it is for the scenario's own thread, and what goes wrong fails the scenario.
 *
 * Nothing sleeps to let something happen: a wait is for a log event, an answer, or the end of a
 * process, each with a limit. Limits are for a loaded machine, and grow by slow() where the build
 * has a sanitizer, or by RUNNEL_TEST_SLOW.
 */
#ifndef INTEGRATION_HARNESS_H
#define INTEGRATION_HARNESS_H

// cmocka wants its headers in this order.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include <curl/curl.h>
#include <jansson.h>

/* ---- scenarios ---- */

struct scenario {
    void (*fn)(void);
};

void harness_run(void **state);
int harness_setup(void **state);
int harness_teardown(void **state);
/** An argument is a pattern of scenario names ("a_cancel*"): only those run. */
int harness_main(int argc, char **argv, const char *file, const struct CMUnitTest *tests,
                 size_t count);

// clang-format off
#define SCENARIO(function) {#function, harness_run, harness_setup, harness_teardown, &(struct scenario){function}}
#define HARNESS_MAIN(...)                                                                                              \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        const struct CMUnitTest scenarios[] = {__VA_ARGS__};                                                           \
        return harness_main(argc, argv, __FILE__, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));                \
    }
// clang-format on

/** Leaves the scenario as skipped, and says why. */
void harness_skip(const char *reason);
/** Many more rounds (RUNNEL_LONG=1). */
bool is_long(void);
/** How many times slower than usual this build may be: a factor of limits. */
int slow(void);
/** The build has a sanitizer, whose memory and speed are not the product's. */
bool is_sanitized(void);

/** Frees what the scenario keeps at its end; returns it. */
void *keep(void *memory);
json_t *keep_json(json_t *json);
/** free_fn is called with arg when the scenario ends; what was kept last comes first. */
void keep_with(void (*free_fn)(void *arg), void *arg);
/** A kept text. Each ' of format becomes ", so that JSON and configurations stay readable. */
char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** A kept copy with each ' as ". */
char *quoted(const char *text);
/** The same with neither: an exact format. */
char *plain_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** The digits at the beginning of text, spaces before them skipped; ret_end (may be NULL): what
 * stands behind them. 0: none. */
uint64_t number_in(const char *text, const char **ret_end);
/** count times c. */
char *repeated(char c, size_t count);

/** Monotonic. */
int64_t now_ns(void);
int64_t now_ms(void);
/** Since 1970. */
int64_t wall_ms(void);
/** RFC 3339 in UTC with milliseconds. */
char *instant(int64_t ms);
/** A breath between two looks at something that nobody announces; 5 ms. */
void breathe(void);
/** Lets time pass that is itself the subject: a fault that comes at a random instant, a rate. */
void pass_ms(int64_t ms);
/** `condition` becomes true within so many (unscaled) milliseconds; else the scenario fails.
 * Evaluated again and again. */
#define eventually(condition, within_ms)                                                           \
    do {                                                                                           \
        int64_t until_ = now_ms() + (int64_t)(within_ms)*slow();                                   \
        while (!(condition)) {                                                                     \
            if (now_ms() >= until_)                                                                \
                harness_fail(__FILE__, __LINE__, "not within %lld ms: %s",                         \
                             (long long)(within_ms)*slow(), #condition);                           \
            breathe();                                                                             \
        }                                                                                          \
    } while (0)
_Noreturn void harness_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** An own temporary folder of the scenario, emptied and removed at its end. */
const char *scenario_folder(void);
char *file_read(const char *path);
void file_write(const char *path, const char *content);
bool file_exists(const char *path);

/* ---- other programs ---- */

struct run {
    int status; // exit code, or minus the signal
    char *out, *err;
};
/** Runs a program to its end. environment: "NAME=value" to set, NULL-terminated, or NULL. */
struct run run_program(const char *const *argv, const char *const *environment, int64_t within_ms);
/** There is a process of this id, and it is no zombie. */
bool is_running(pid_t pid);
/** The daemon's program: RUNNELD; the one with built-ins that misbehave: RUNNELD_TEST. */
const char *daemon_program(void);
const char *test_daemon_program(void);
/** The command line client. */
const char *runnel_program(void);
/** tests/integration/tools/ledger.c, built. */
const char *ledger_program(void);
/** tests/integration/tools/activate.c, built. */
const char *activate_program(void);

/* ---- the daemon ---- */

struct daemon {
    // May be changed before a start:
    const char *program;          // daemon_program()
    const char *const *prefix;    // words before it (strace, prlimit), NULL-terminated; NULL: none
    const char *const *arguments; // after -c FILE
    const char *const *environment; // "NAME=value"
    // To be read:
    char *folder, *config_path, *store_path;
    pid_t pid;     // 0: it does not run
    uint16_t port; // once it is ready
    int status;    // of the last run: exit code, or minus the signal
    int64_t ready_took_ms;
    struct client *client; // that call() uses

    // harness_daemon.c's own
    pthread_t reader;
    bool reading;
    int pipe;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    char *log;
    size_t log_bytes, log_capacity, log_run; // log_run: where the current run begins
    bool log_ended;
    struct daemon *next;
};

/** A daemon, not started, with a folder, store and configuration of its own. config: the file's
 * text, ' for "; `listen` on a free port and `store` are put before it. */
struct daemon *daemon_new(const char *config);
/** Writes another configuration, for the next start. */
void daemon_configure(struct daemon *daemon, const char *config);
/** Starts it and waits until it is ready. */
void daemon_start(struct daemon *daemon);
/** daemon_new and daemon_start. */
struct daemon *daemon_started(const char *config);
/** Starts it, and no more. */
void daemon_launch(struct daemon *daemon);
/** Until it is ready; false: it ended. */
bool daemon_await_ready(struct daemon *daemon);
void daemon_signal(struct daemon *daemon, int signal);
/** Until it has ended: its status. Fails when it still runs after so long (unscaled). */
int daemon_await_end(struct daemon *daemon, int64_t within_ms);
/** Whether it ends within so long (unscaled). */
bool daemon_ends(struct daemon *daemon, int64_t within_ms);
/** SIGTERM, and an orderly end (status 0) is expected. Returns how long it took. */
int64_t daemon_stop(struct daemon *daemon);
/** kill -9. */
void daemon_kill(struct daemon *daemon);
/** Until the log of this run has the text in one line. false: not within so long, or the daemon has
 * ended without it. */
bool daemon_logs(struct daemon *daemon, const char *part, int64_t within_ms);
/** How many lines of this run's log have it. */
unsigned daemon_log_count(struct daemon *daemon, const char *part);
/** From now on nobody reads its log: the pipe is closed on our side. */
void daemon_stop_reading(struct daemon *daemon);
/** This run's log, kept. */
char *daemon_log(struct daemon *daemon);
/** Resident memory now (VmRSS) or at most (VmHWM), KiB. */
long daemon_memory_kib(struct daemon *daemon, const char *field);
/** Removes the database and what lies beside it. Not while it runs. */
void daemon_forget(struct daemon *daemon);

/* ---- HTTP ---- */

struct request {
    const char *method, *path;  // "POST", "/v1/tasks?wait=1s"
    const char *body;           // NULL: none
    size_t body_bytes;          // 0: strlen
    const char *content_type;   // NULL: application/json where there is a body; "": none is sent
    const char *const *headers; // "Name: value", NULL-terminated
    size_t (*body_fn)(char *buffer, size_t size, size_t count,
                      void *arg); // in place of body, sent chunked, as CURLOPT_READFUNCTION
    void *body_arg;
    int64_t within_ms; // 0: 30 s; unscaled
    bool is_fresh; // on a connection of its own: libcurl sends a POST again by itself where a kept
                   // connection has died
};

struct reply {
    int status; // 0: no answer
    CURLcode curl;
    char *head; // all header lines
    char *body; // ends with a NUL beyond its length
    size_t body_bytes;
    json_t *json; // NULL: it is none
    int64_t took_ns;
    bool is_new_connection;
};

/** One connection (libcurl keeps it open), for one thread at a time. */
struct client;
struct client *client_new(uint16_t port);
void client_free(struct client *client); // not of one that belongs to a daemon
void client_port(struct client *client, uint16_t port);
/** From now on its calls have this token. */
void client_token(struct client *client, const char *token);
/** From now on by a unix socket; by TLS, trusting this file of certificates. The texts are kept by
 * the caller. */
void client_unix(struct client *client, const char *path);
void client_tls(struct client *client, const char *trusted_path);
/** From now on what it gets is not held against the API's description: it calls another program, or
 * a daemon whose store is damaged. */
void client_take_any(struct client *client);
/** Never fails the scenario by itself; any thread. An answer that is not as the API's description
 * says fails it at its end. */
struct reply *client_call(struct client *client, const struct request *request);
void reply_free(struct reply *reply);
/** The value of a header, kept; NULL: not there. Not for other threads. */
const char *reply_header(const struct reply *reply, const char *name);

/** body: NULL for none; sent as it is (see text). The reply is kept. */
struct reply *call(struct daemon *daemon, const char *method, const char *path, const char *body);
struct reply *call_request(struct daemon *daemon, const struct request *request);
struct reply *get(struct daemon *daemon, const char *path);
#define expect_status(reply, wanted) harness_expect_status(reply, wanted, __FILE__, __LINE__)
struct reply *harness_expect_status(struct reply *reply, int wanted, const char *file, int line);
/** A problem+json of this status and code. */
#define expect_problem(reply, status, code)                                                        \
    harness_expect_problem(reply, status, code, __FILE__, __LINE__)
struct reply *harness_expect_problem(struct reply *reply, int status, const char *code,
                                     const char *file, int line);
/** Whether the problem's errors have this pointer. */
bool has_pointer(const json_t *problem, const char *pointer);

/* ---- JSON ---- */

/** What stands at "error.code", "tasks.0.id"; NULL: nothing. */
json_t *at(const json_t *json, const char *path);
/** A string there; NULL: null, or something else. */
const char *text_at(const json_t *json, const char *path);
/** A number there; -1: null; anything else fails. */
int64_t number_at(const json_t *json, const char *path);
#define expect_text(json, path, wanted) harness_expect_text(json, path, wanted, __FILE__, __LINE__)
void harness_expect_text(const json_t *json, const char *path, const char *wanted, const char *file,
                         int line);
#define expect_number(json, path, wanted)                                                          \
    harness_expect_number(json, path, wanted, __FILE__, __LINE__)
void harness_expect_number(const json_t *json, const char *path, int64_t wanted, const char *file,
                           int line);
/** RFC 3339 at the path, in milliseconds since 1970; 0: null. */
int64_t instant_at(const json_t *json, const char *path);

/* ---- tasks ---- */

/** POST /v1/tasks with the body (as text()): 201, its id. */
uint64_t submit(struct daemon *daemon, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** So many at once, as an array: the first id; one put's ids follow each other. */
uint64_t submit_many(struct daemon *daemon, unsigned count, const char *body);
/** The task as it is. */
json_t *task(struct daemon *daemon, uint64_t id);
/** Waits for its end, at most a minute. */
json_t *await_end(struct daemon *daemon, uint64_t id);
json_t *await_state(struct daemon *daemon, uint64_t id, const char *state);
/** Ends in this state, with this error code (NULL: none). */
#define expect_end(daemon, id, state, code)                                                        \
    harness_expect_end(daemon, id, state, code, __FILE__, __LINE__)
json_t *harness_expect_end(struct daemon *daemon, uint64_t id, const char *state, const char *code,
                           const char *file, int line);
bool is_final(const char *state);
/** How many tasks GET /v1/tasks lists, all pages; query: "state=queued&", or "". */
unsigned count_tasks(struct daemon *daemon, const char *query);
/** GET /v1/queues/{name}. */
json_t *queue(struct daemon *daemon, const char *name);

/* ---- bare sockets ---- */

struct wire;
struct wire *wire_open(uint16_t port);
struct wire *wire_open_unix(const char *path);
void wire_send(struct wire *wire, const char *bytes, size_t count);
/** A request as plain_text makes it, sent whole. */
void wire_sendf(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The next answer (by Content-Length, chunked, or up to the end), kept; status 0: the connection
 * ended before one. */
struct reply *wire_reply(struct wire *wire, int64_t within_ms);
/** The same to a HEAD. */
struct reply *wire_reply_head(struct wire *wire, int64_t within_ms);
/** The other side has closed, or does so within so long. What still arrives is an answer that
 * nobody asked for: it fails. */
bool wire_closes(struct wire *wire, int64_t within_ms);
/** All that still arrives until the other side closes, kept. Fails where it does not within so
 * long. */
char *wire_rest(struct wire *wire, int64_t within_ms);
/** Something can be read (or the end) within so long, which is not scaled. */
bool wire_readable(struct wire *wire, int64_t within_ms);
void wire_reset(struct wire *wire); // ends with RST
void wire_close(struct wire *wire);
int wire_fd(struct wire *wire);

#endif
