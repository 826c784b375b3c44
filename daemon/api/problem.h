/** \file
 * Everything that can be wrong, as the API says it (RFC 9457). One table gives status, title and
 * the page that /problems/<code> answers with.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include <stddef.h>

#include "store/buffer.h"

// clang-format off
// X(symbol, code, status, seconds of Retry-After or 0, title, page)
#define PROBLEMS(X) \
    X(INVALID_JSON, "invalid-json", 400, 0, "The body is not valid JSON", \
      "The body could not be read as JSON (RFC 8259). `line` and `column` say where. Refused are also: a NUL byte, invalid UTF-8,\n" \
      "two members of the same name in one object, nesting deeper than 32, and numbers that could not be kept exactly.\n") \
    X(INVALID_QUERY, "invalid-query", 400, 0, "The URL's query, or a header field, is not valid", \
      "A query parameter is unknown to this call, stands there twice, or has a value that it can't have; or the Idempotency-Key is\n" \
      "not 1 to 255 visible characters. A cursor goes with the filters of the page that it came from.\n") \
    X(FRAMING, "framing", 400, 0, "The request's form is not sound HTTP", \
      "The request could be read in more than one way (two Content-Length headers, a malformed header name, an unknown transfer\n" \
      "coding, a NUL in the URL, a body where none belongs, …). The connection was closed.\n") \
    X(UNAUTHORIZED, "unauthorized", 401, 0, "A token is needed", \
      "The daemon has a file of tokens, and the request had none of them: send Authorization: Bearer and the token. Who may change the\n" \
      "configuration makes one with runneld --new-token.\n") \
    X(FORBIDDEN, "forbidden", 403, 0, "This request is not allowed", \
      "`detail` says which of these it is. The token has not the scope that the call needs, or is for other queues or kinds (`errors`\n" \
      "says where a task names one). Or the Host header is none of the daemon's names: 127.0.0.1, localhost or [::1], each with the\n" \
      "port, or one of the setting hosts. Or a web page sent the request: one with an Origin header, or with Sec-Fetch-Site other than\n" \
      "none, is refused.\n") \
    X(NOT_FOUND, "not-found", 404, 0, "There is no such thing", \
      "The path is not one of the API's, or the task or queue that it names has never existed.\n") \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, 0, "The method does not go with this path", \
      "The header Allow lists the methods that do.\n") \
    X(REQUEST_TIMEOUT, "request-timeout", 408, 0, "The request took too long to arrive", \
      "A body must be complete within body_timeout (30 seconds, unless the configuration says otherwise); a stream must bring a complete\n" \
      "line as often, an import 64 KiB a second over that time.\n") \
    X(WRONG_STATE, "wrong-state", 409, 0, "The task's state does not allow this", \
      "`state` says the state that the task is in. A task that has finished can't be cancelled; only failed and cancelled ones can be\n" \
      "retried; only finished ones can be deleted; only waiting ones can be changed.\n") \
    X(KEY_TAKEN, "key-taken", 409, 0, "The store has one of the import's Idempotency-Keys", \
      "A task was stored under that key, and the import has other ones under it: with both, a repeated request could not be answered\n" \
      "any more. Nothing was stored. A store keeps its keys for as long as keep_keys says.\n") \
    X(TASK_FAILED, "task-failed", 409, 0, "The task has no result: it did not succeed", \
      "`error` says why the task failed or was cancelled.\n") \
    X(TASK_REMOVED, "task-removed", 410, 0, "The task has been removed", \
      "The task existed; it was deleted, or its time of being kept after its end is over.\n") \
    X(TOO_LARGE, "too-large", 413, 0, "The request is too large", \
      "Limits, unless the configuration says otherwise: 1 MiB of args (max_args), 2 MiB of one task or line (max_task_body), 16 MiB and\n" \
      "10,000 tasks of an array (max_array_body, max_array_tasks). A stream (application/x-ndjson) has no limit on the whole. An\n" \
      "import has at most 1,000,000 tasks and 512 MiB: what is larger goes in by runneld --import.\n") \
    X(URL_TOO_LONG, "url-too-long", 414, 0, "The URL is too long", \
      "A URL has at most max_url bytes (2,048, unless the configuration says otherwise).\n") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", 415, 0, "The body's Content-Type is not supported", \
      "Send Content-Type: application/json; with curl use --json in place of -d. A stream of tasks, one a line, is\n" \
      "application/x-ndjson.\n") \
    X(INVALID_TASK, "invalid-task", 422, 0, "The task is not valid", \
      "`errors` lists everything that is wrong with it: each has a JSON pointer to the place and what must stand there.\n") \
    X(INVALID_QUEUE, "invalid-queue", 422, 0, "The change of the queue is not valid", \
      "`errors` lists everything that is wrong with it: each has a JSON pointer to the place and what must stand there.\n") \
    X(INVALID_ACTION, "invalid-action", 422, 0, "The action is not valid", \
      "`errors` lists everything that is wrong with it: each has a JSON pointer to the place and what must stand there. An action on\n" \
      "every task there is needs \"all\": true.\n") \
    X(INVALID_EXPORT, "invalid-export", 422, 0, "The lines are no export", \
      "`line` says which one is broken, `detail` what is wrong with it; without `line` all of them together make no sound store. Nothing\n" \
      "was stored.\n") \
    X(KEY_REUSED, "idempotency-key-reused", 422, 0, "The Idempotency-Key was used for another request", \
      "The same key goes with the same Content-Type, query and body only. A new task needs a new key.\n") \
    X(RATE_LIMITED, "rate-limited", 429, 1, "Too many requests", \
      "This token's rate is used up, or too many requests have come without a valid token. Try again after the seconds that\n" \
      "Retry-After names; RateLimit and RateLimit-Policy say how much a token may send.\n") \
    X(HEADERS_TOO_LARGE, "headers-too-large", 431, 0, "The header is too large", \
      "A request has at most 64 header fields, with its first line at most 16 KiB.\n") \
    X(INTERNAL, "internal", 500, 0, "Something went wrong inside the daemon", \
      "This is a fault of the daemon. Its log says more.\n") \
    X(BUSY, "busy", 503, 1, "The daemon is busy", \
      "Too many requests are being worked on or wait, or they take more memory than max_request_memory. Nothing was stored; try again\n" \
      "after the seconds that Retry-After names.\n") \
    X(DRAINING, "draining", 503, 5, "The daemon is stopping", \
      "It takes no new tasks and finishes what runs. Nothing was stored; send the request again when it is back. An action on many\n" \
      "tasks ends on the way: `matched`, `changed` and `skipped` tell how far it came, and sent again it does the rest.\n") \
    X(STARTING, "starting", 503, 1, "The daemon is starting", \
      "Try again after the seconds that Retry-After names.\n") \
    X(BACKLOG_FULL, "backlog-full", 503, 10, "Too many tasks are waiting", \
      "max_backlog tasks are waiting already. Nothing was stored; try again when some have run.\n") \
    X(STORE_FULL, "store-full", 507, 10, "The disk is full", \
      "There is no room for another task, or for the copy that a backup is. Nothing was stored; what is stored goes on. Tasks are taken again when there is space.\n")
// clang-format on

enum problem {
#define PROBLEM_ENUM(symbol, code, status, retry_after, title, page) PROBLEM_##symbol,
    PROBLEMS(PROBLEM_ENUM)
#undef PROBLEM_ENUM
        PROBLEM_COUNT
};

struct problem_row {
    const char *code;
    unsigned status;
    unsigned retry_after_s; // 0: the header is not sent
    const char *title;
    const char *page;
};

const struct problem_row *problem_row(enum problem problem);
/** By its code; NULL: none has it. */
const struct problem_row *problem_find(const char *code);
/** What the store's or the engine's error means for the client. */
enum problem problem_of_error(int error);

/** Begins the object with type, code, title, status and detail, and leaves it open for more
 * members. */
void problem_begin(struct buffer *buffer, enum problem problem, const char *detail);
void problem_end(struct buffer *buffer);

/** What /problems/<code> answers. */
void problem_page(struct buffer *buffer, const struct problem_row *row);

/* ---- faults of a body's fields, all of them at once ---- */

enum { FAULTS_MAX = 100 };

/** Faults as the elements of the JSON array `errors`. */
struct faults {
    struct buffer text;
    size_t count;    // all, of which FAULTS_MAX at most are in text
    char prefix[32]; // "" or "/3": the element of an array that is looked at
    bool too_large;  // one of them is a size above its limit
    bool forbidden;  // one of them is a name that the token is not for
};
/** What they make of the problem that faults of this body are: forbidden, or too-large, where one
 * of them is. */
enum problem problem_of_faults(enum problem problem, const struct faults *faults);

/** Adds one. pointer is below the task: "/priority"; the `#` and the prefix are put before it. */
void faults_add(struct faults *faults, const char *pointer, const char *format, ...)
    RN_PRINTF(3, 4);
void faults_fini(struct faults *faults);

/** A key as a part of a pointer in a URI fragment (RFC 6901, 3 and 6): "/" and the key, escaped,
 * cut where size ends. Returns text. */
const char *faults_pointer(const char *key, char *text, size_t size);

#endif
