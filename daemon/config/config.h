/** \file
 * The configuration file (libconfig syntax) as the rest of the daemon sees it: parsed, checked,
 * with its defaults. Immutable once loaded, so any thread reads it without a lock; who uses it
 * holds a reference, since a reload puts another one in its place. The settings, with type, range,
 * default and text, stand in settings.def.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <regex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <runnel/clock.h>

#include "observe/error.h"
#include "observe/log.h"

enum {
    CONFIG_NAME_MAX = 64,
    CONFIG_WORKERS_MAX = 1024,
    CONFIG_BURST_MAX = 1000000, // of a queue, and of a token's requests
    CONFIG_LISTENERS_MAX = 16
};

enum config_listener_sort { CONFIG_LISTEN_TCP, CONFIG_LISTEN_UNIX };

/** An address of the HTTP API: one of `listen`, or a socket that systemd has passed in. */
struct config_listener {
    enum config_listener_sort sort;
    char host[64];    // TCP: a numeric address, without brackets
    uint16_t port;    // TCP; 0: any free one
    char path[108];   // unix: absolute, or an abstract socket's name behind '@'
    char text[128];   // as written: "localhost:7733"; unix: "unix:" and the absolute path
    bool is_loopback; // TCP that only this machine reaches; of unix sockets, which have a mode,
                      // false
};

/** Starts per second; a queue without a rate has per_s = RN_RATE_INFINITE. */
struct config_rate {
    double per_s;
    char text[32]; // as it was written: "2/s"
};

/** Kinds of the tasks that follow a finished one; "": none. */
struct config_follow {
    char on_success[CONFIG_NAME_MAX + 1];
    char on_failure[CONFIG_NAME_MAX + 1];
};

struct config_queue {
    char name[CONFIG_NAME_MAX + 1];
    unsigned line;    // in the file
    unsigned workers; // 1..1024
    struct config_rate rate;
    unsigned burst; // 1 without a setting
    struct config_follow follow;
};

enum config_runs { CONFIG_RUNS_BUILTIN, CONFIG_RUNS_COMMAND };
enum config_stdin {
    CONFIG_STDIN_ARGS, // all of them, as JSON
    CONFIG_STDIN_TEXT, // they are a string: its characters
    CONFIG_STDIN_NONE,
    CONFIG_STDIN_PLACEHOLDER,
};
enum config_output { CONFIG_OUTPUT_TEXT, CONFIG_OUTPUT_JSON };

/** `accept = { path = "/srv/.*" }`: the whole value of args.name must match. */
struct config_accept {
    char name[CONFIG_NAME_MAX + 1];
    char *pattern;
    regex_t regex; // REG_EXTENDED, anchored by the loader
};

struct config_kind {
    char name[CONFIG_NAME_MAX + 1];
    unsigned line;
    enum config_runs runs;
    char builtin[CONFIG_NAME_MAX + 1]; // its name in the runners' table; checked by the caller
                                       // through config_options.builtins
    char *queue;                       // NULL: the queue "default"
    rn_duration timeout;               // of one attempt
    unsigned max_attempts;
    rn_duration backoff_base, backoff_max;
    bool retry_if_interrupted; // if_interrupted = "retry", by default max_attempts > 1
    unsigned max_interruptions;
    rn_duration kill_grace; // the top level's unless the kind overrides it
    struct config_follow follow;
    // commands only
    char **command;       // argv, NULL-terminated; command[0] absolute
    size_t command_count; // without the NULL
    enum config_stdin stdin_from;
    char stdin_name[CONFIG_NAME_MAX + 1]; // CONFIG_STDIN_PLACEHOLDER: the name in "{name}"
    enum config_output output;
    size_t max_output; // bytes of stdout kept
    char *directory;   // NULL: an own empty one
    char **pass_env;   // names, NULL-terminated; NULL: none
    char **env; // "NAME=value", NULL-terminated, env_file's lines after the block's own; NULL: none
    size_t env_count; // without the NULL
    size_t env_own;   // how many of them stand in the configuration itself
    char *env_file;   // NULL: none
    int *retry_exit;  // exit codes that are retryable beside 75
    size_t retry_exit_count;
    bool retry_exit_set; // false: any failure is retryable
    struct config_accept *accept;
    size_t accept_count;
};

/** What a token may do; a set of these. */
enum config_scope {
    CONFIG_SCOPE_READ = 1,
    CONFIG_SCOPE_SUBMIT = 2,
    CONFIG_SCOPE_WORK = 4,
    CONFIG_SCOPE_ADMIN = 8, // and all the others
};
enum {
    CONFIG_TOKENS_MAX = 1000, // lines of the file, too
    CONFIG_TOKEN_NAMES_MAX = 16,
    CONFIG_TOKEN_HASH_BYTES = 32,
};

/** A line of token_file. */
struct config_token {
    char name[CONFIG_NAME_MAX + 1];
    unsigned line;                               // in its file
    unsigned char hash[CONFIG_TOKEN_HASH_BYTES]; // SHA-256 of the token
    unsigned scopes;                             // set of enum config_scope
    const char *queues[CONFIG_TOKEN_NAMES_MAX];  // the only ones that it may name; into queue_text
    size_t queue_count;                          // 0: all
    const char *kinds[CONFIG_TOKEN_NAMES_MAX];
    size_t kind_count;
    struct config_rate rate; // of requests
    unsigned burst;          // without a setting what comes in a second, at least 1
    char *queue_text, *kind_text;
};

/** What one request and one connection may be. Sizes are bytes. */
struct config_limits {
    size_t max_header, max_url; // first line and fields; the URL in it
    unsigned max_headers;       // fields
    rn_duration header_timeout; // from the connection, or the first line, to the header's end
    rn_duration body_timeout;   // for the body; of a stream for each line
    rn_duration answer_timeout; // until the client has read it
    rn_duration idle_timeout;   // between requests
    rn_duration max_wait;       // of wait=
    unsigned max_connection_requests;
    size_t max_task_body, max_array_body;
    unsigned max_array_tasks, max_json_depth;
    size_t max_args, max_string, max_tag;
    unsigned max_tags;
};

struct certificate; // certificate.h

struct config {
    char *path;                                             // of the file, as given
    struct config_listener listeners[CONFIG_LISTENERS_MAX]; // in the file's order
    size_t listener_count;                                  // 1..CONFIG_LISTENERS_MAX
    unsigned socket_mode;                                   // of unix sockets: permission bits
    char *socket_group;              // their group's name; NULL: that of the daemon
    gid_t socket_gid;                // its number
    char *tls_certificate, *tls_key; // paths; NULL: TCP without TLS
    struct certificate *certificate; // loaded from them; NULL: none
    char *token_file;                // absolute; NULL: nobody needs a token
    struct config_token *tokens;     // in their file's order
    size_t token_count;
    char **hosts; // further values of the Host header, NULL-terminated; NULL: none
    bool behind_proxy;
    char *store; // the database file's path, made absolute as the design says
    rn_duration drain_timeout, kill_grace;
    unsigned max_connections, max_waiting;
    uint64_t max_backlog;
    size_t max_request_memory; // bytes
    struct config_limits limits;
    rn_duration keep_succeeded, keep_failed, keep_cancelled;
    uint64_t keep_count;
    enum log_level log_level;
    enum log_format log_format;
    bool access_log;
    struct config_queue *queues; // in the file's order
    size_t queue_count;
    struct config_kind *kinds; // in the file's order
    size_t kind_count;
    struct config_kind **kinds_by_name;     // the same, in order, for config_kind_find
    const char **kind_names, **queue_names; // NULL-terminated, for "did you mean"
    int64_t loaded_at_ms;
    _Atomic unsigned references;
    struct config *self; // this one: who holds a reference may not write anything else of it
};

/** A fault of the file; config_load tells all of them. */
struct config_fault {
    unsigned line; // 0: of the file as a whole, or of -o
    char file[256];
    char text[512];
};

struct config_options {
    const char *path;
    const char *const *overrides; // -o name=value, NULL-terminated; NULL: none
    const char *const *builtins;  // the names of those there are, NULL-terminated
    bool check_commands; // that each command's program exists and may be run (always in -t and at
                         // start)
};

/**
 * Loads and checks a file.
 *
 * @param ret_faults  all that is wrong with it, freed with free(); also set on success, to warnings
 * there are (e.g. drain_timeout + kill_grace against the unit's stop time), then with count > 0 and
 * result 0
 *
 * **Ownership:** ret_config is new, with one reference: config_unref. **Errors:** -EINVAL:
 * ret_faults has at least one fault; -ENOMEM.
 */
int config_load(const struct config_options *options, struct config **ret_config,
                struct config_fault **ret_faults, size_t *ret_fault_count) RN_MUST_CHECK;
/** Another reference of the same. **Ownership:** new: config_unref. **Blocking:** never.
 * **Threads:** any. */
const struct config *config_ref(const struct config *config);
/** Gives a reference back; the last one frees it. NULL is allowed. **Threads:** any. */
void config_unref(const struct config *config);

/** By name; NULL: not there. */
const struct config_queue *config_queue_find(const struct config *config, const char *name);
const struct config_kind *config_kind_find(const struct config *config, const char *name);

enum { CONFIG_RESTART_MAX = 64 };

/** What differs between two configurations, by name. */
enum config_change {
    CONFIG_KINDS_ADDED,
    CONFIG_KINDS_REMOVED,
    CONFIG_KINDS_CHANGED,
    CONFIG_QUEUES_ADDED,
    CONFIG_QUEUES_REMOVED,
    CONFIG_QUEUES_CHANGED,
    CONFIG_SETTINGS_CHANGED, // of the top level, reloadable ones
    CONFIG_CHANGE_COUNT,
};
struct config_changes {
    struct {
        unsigned count;
        char names[200]; // "a, b, c"; where they do not fit: "a, b and 17 more"
    } of[CONFIG_CHANGE_COUNT];
    const char *restart_needed[CONFIG_RESTART_MAX]; // settings that a reload can't change; static
    size_t restart_count;
};
/**
 * Compares what a reload replaces and brings.
 *
 * @param start   the configuration of the start: what no reload changes is as it says
 * @param before  the one in force
 * @param after   the one that is to be
 *
 * **Blocking:** never. **Threads:** any. **Errors:** -ENOMEM.
 */
int config_compare(const struct config *start, const struct config *before,
                   const struct config *after, struct config_changes *ret_changes) RN_MUST_CHECK;
/** Whether a token (NULL: who needs none) may have to do with a queue, a kind. */
bool config_token_has_queue(const struct config_token *token, const char *queue);
bool config_token_has_kind(const struct config_token *token, const char *kind);

/** What a new token is to be; each text as it stands in the file, NULL: left out. */
struct config_new_token {
    const char *name, *scope, *queue, *kind, *rate, *burst;
};
enum { CONFIG_TOKEN_BYTES = 47, CONFIG_TOKEN_LINE_BYTES = 4096 };
/**
 * Makes a token of 32 random bytes, and its line of token_file.
 *
 * @param ret_token  rn_ and 43 letters, digits, '-' and '_'
 *
 * **Blocking:** until the system has random bytes, which it has soon after its start.
 * **Errors:** -EINVAL: reterr says what can't stand in the line; -ENOMEM; as getrandom().
 */
int config_token_new(const struct config_new_token *wanted, char ret_token[CONFIG_TOKEN_BYTES],
                     char ret_line[CONFIG_TOKEN_LINE_BYTES], struct error *reterr) RN_MUST_CHECK;
/** Whether a numeric address is one of this machine's loopback addresses. */
bool config_host_is_loopback(const char *host);
/** "127.0.0.1:7733", "[::1]:7733", "unix:/run/x": as it is written in `listen`. */
void config_listener_text(const struct config_listener *listener, char *ret_text, size_t size);
/** Whether the daemon may listen there, wherever the address comes from: beyond loopback it needs
 * tokens, and TLS or a proxy. NULL: it may; else why not, to stand behind the address. */
const char *config_listener_fault(const struct config *config,
                                  const struct config_listener *listener);

/** -T: every setting in force, in the file's own syntax, defaults too. */
int config_print(const struct config *config, FILE *file) RN_MUST_CHECK;

/** The setting's names, for "did you mean": the nearest of names (NULL-terminated) from which at
 * most two letters differ, and at most a third of them, or NULL. */
const char *nearest_name(const char *word, const char *const *names);

/**
 * Whether an element of a command (or stdin's text) has a placeholder: is exactly {name}, or ends
 * in ={name}. A name has 1 to 64 letters, digits, '_' and '-', the first one a letter or '_'. Other
 * braces are literal.
 *
 * @param ret_prefix_bytes  of the element before the placeholder; 0: it is the whole element
 */
bool config_placeholder(const char *element, size_t *ret_prefix_bytes,
                        char ret_name[CONFIG_NAME_MAX + 1]);

/** Names of queues, kinds: [a-z][a-z0-9_-]{0,63}, not true or false. */
bool config_name_valid(const char *name);

#endif
