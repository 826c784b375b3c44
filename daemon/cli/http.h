/** \file The daemon's HTTP API, one call at a time over one kept connection. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "cli/settings.h"

struct http;

struct http_request {
    const char *method, *path; // "POST", "/v1/tasks?wait=60s"
    const char *body;          // NULL: none
    const char *type;          // of the body; NULL: application/json
    const char *key;           // Idempotency-Key; NULL: none
    int64_t timeout_ms;        // for all of it; 0: 30 s; below 0: no limit
    /** In place of body, sent as it comes: gives up to size bytes; 0: the end; below 0: gives up.
     */
    long (*read_fn)(char *buffer, size_t size, void *arg);
    /** Takes what an answer of 2xx has as it comes, in place of the reply's body; below 0: gives
     * up.
     */
    int (*write_fn)(const char *bytes, size_t count, void *arg);
    /** Called now and then while it goes on, with the bytes of the answer so far and in all (0: not
     * known); may be NULL. */
    void (*tick_fn)(uint64_t received, uint64_t expected, void *arg);
    void *arg; // of these three
};

struct http_reply {
    long status; // 0: there was no answer
    char *body;  // ends with a NUL beyond its length
    size_t length;
    char type[64];          // of the body, without parameters
    int64_t retry_after_ms; // 0: it has none
    int64_t expected_bytes; // its Content-Length; below 0: it has none
    bool is_sent;           // something of the request went out, so that it may have arrived
    json_t *json;           // NULL: the body is none
};

/** **Errors:** -ENOMEM. **Ownership:** borrows the settings. */
int http_new(const struct settings *settings, struct http **ret_http) RN_MUST_CHECK;
void http_free(struct http *http);

/**
 * Makes one call. Whatever it returns, the reply is to be given to http_reply_fini().
 *
 * **Blocking:** until the answer is whole, the timeout, or interrupt_seen().
 * **Errors:** with a sentence: -ENOTCONN nobody answers there; -ECONNRESET the connection broke,
 * and what became of the request is not known; -ETIMEDOUT; -ECANCELED interrupted, or read_fn or
 * write_fn gave up; -EFBIG the answer is too large; -ENOMEM; -EPROTO it is not the daemon that
 * answers.
 */
int http_call(struct http *http, const struct http_request *request, struct http_reply *reply,
              struct error *reterr) RN_MUST_CHECK;
void http_reply_fini(struct http_reply *reply);

/** Where the daemon is, as the user wrote it. */
const char *http_url(const struct http *http);

/** JSON of any sort; integers beyond 64 bits become reals. NULL: it is none. */
json_t *json_from(const char *text, size_t length);

#endif
