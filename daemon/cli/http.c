/* One libcurl handle, kept for its connection; each call sets all of its options anew. */
#include "cli/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include <runnel/clock.h>

#include "cli/interrupt.h"
#include "cli/probe.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    TIMEOUT_MS = 30000,
    URL_BYTES = 8192,
    REPLY_MAX = 256 << 20,
    HEADER_BYTES = 4400
};

struct http {
    CURL *curl;
    const struct settings *settings;
    bool has_answered; // ever
    char error[CURL_ERROR_SIZE];
};

struct call {
    CURL *curl;
    const struct http_request *request;
    struct http_reply *reply;
    size_t capacity;
    bool is_too_large;
    bool is_out_of_memory;
    bool is_given_up;
    struct curl_slist *headers;
};

json_t *json_from(const char *text, size_t length)
{
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    if (json == NULL && json_error_code(&error) == json_error_numeric_overflow)
        json = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
                          &error);
    return json;
}

int http_new(const struct settings *settings, struct http **ret_http)
{
    RN_ASSERT(settings != NULL);
    struct http *http = calloc(1, sizeof(*http));

    if (http == NULL)
        return -ENOMEM;
    http->settings = settings;
    http->curl = curl_easy_init();
    if (http->curl == NULL) {
        free(http);
        return -ENOMEM;
    }
    *ret_http = http;
    return 0;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    free(http);
}

const char *http_url(const struct http *http)
{
    return http->settings->url;
}

/* ---- callbacks of libcurl ---- */

/* The bytes of an answer that write_fn takes. */
static size_t hand_on(struct call *call, const char *bytes, size_t count)
{
    if (call->request->write_fn(bytes, count, call->request->arg) == 0)
        return count;
    call->is_given_up = true;
    return 0;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct call *call = arg;
    struct http_reply *reply = call->reply;
    size_t more = size * count;
    long status = 0;

    (void)curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
    if (call->request->write_fn != NULL && status / 100 == 2)
        return hand_on(call, bytes, more);
    if (more > REPLY_MAX - reply->length) {
        call->is_too_large = true;
        return 0;
    }
    if (reply->length + more + 1 > call->capacity) {
        size_t capacity = (reply->length + more + 1) * 2;
        char *body = realloc(reply->body, capacity);
        if (body == NULL) {
            call->is_out_of_memory = true;
            return 0;
        }
        reply->body = body;
        call->capacity = capacity;
    }
    memcpy(reply->body + reply->length, bytes, more);
    reply->length += more;
    reply->body[reply->length] = '\0';
    return more;
}

static size_t give_body(char *buffer, size_t size, size_t count, void *arg)
{
    struct call *call = arg;
    long given = call->request->read_fn(buffer, size * count, call->request->arg);

    if (given < 0) {
        call->is_given_up = true;
        return CURL_READFUNC_ABORT;
    }
    return (size_t)given;
}

static int tick(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                curl_off_t up)
{
    struct call *call = arg;

    (void)up_total;
    (void)up;
    if (call->request->tick_fn != NULL)
        call->request->tick_fn((uint64_t)down, (uint64_t)down_total, call->request->arg);
    return interrupt_seen();
}

/* ---- one call ---- */

static int add_header(struct call *call, const char *name, const char *before, const char *value,
                      const char *after)
{
    char line[HEADER_BYTES];
    int length = snprintf(line, sizeof(line), "%s:%s%s%s%s", name, value[0] == '\0' ? "" : " ",
                          before, value, after);

    if (length < 0 || (size_t)length >= sizeof(line))
        return -ENOMEM;
    struct curl_slist *headers = curl_slist_append(call->headers, line);
    if (headers == NULL)
        return -ENOMEM;
    call->headers = headers;
    return 0;
}

static int set_headers(struct http *http, struct call *call)
{
    const struct http_request *request = call->request;
    bool has_body = request->body != NULL || request->read_fn != NULL;
    const char *type = request->type == NULL ? "application/json" : request->type;

    // No "Expect: 100-continue", which would cost a round trip, and no type that nobody chose.
    int r = add_header(call, "Expect", "", "", "");
    if (r == 0)
        r = add_header(call, "Content-Type", "", has_body ? type : "", "");
    if (r == 0 && request->key != NULL)
        r = add_header(call, "Idempotency-Key", "\"", request->key, "\"");
    if (r == 0 && http->settings->token != NULL)
        r = add_header(call, "Authorization", "Bearer ", http->settings->token, "");
    return r;
}

static CURLcode set_place(struct http *http, const struct http_request *request)
{
    CURL *curl = http->curl;
    const char *url = http->settings->url;
    bool is_unix = strncmp(url, "unix:", 5) == 0;
    char whole[URL_BYTES];

    int length =
        snprintf(whole, sizeof(whole), "%s%s", is_unix ? "http://localhost" : url, request->path);
    if (length < 0 || (size_t)length >= sizeof(whole))
        return CURLE_URL_MALFORMAT;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, whole);
    if (code == CURLE_OK && is_unix)
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, url + 5);
    if (code == CURLE_OK && http->settings->ca_file != NULL)
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, http->settings->ca_file);
    // The daemon is near; a proxy that the environment names is for what is far.
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    return code;
}

static CURLcode set_body(struct http *http, struct call *call)
{
    const struct http_request *request = call->request;
    CURL *curl = http->curl;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);

    if (code != CURLE_OK)
        return code;
    if (request->read_fn != NULL) {
        code = curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        if (code == CURLE_OK)
            code = curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
        (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        (void)curl_easy_setopt(curl, CURLOPT_READDATA, call);
    } else if (request->body != NULL || strcmp(request->method, "POST") == 0) {
        const char *body = request->body == NULL ? "" : request->body;
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body); // not copied
    }
    return code;
}

static CURLcode set_up(struct http *http, struct call *call)
{
    CURL *curl = http->curl;
    int64_t timeout_ms = call->request->timeout_ms;

    curl_easy_reset(curl);
    http->error[0] = '\0';
    CURLcode code = set_place(http, call->request);
    if (code == CURLE_OK)
        code = set_body(http, call);
    if (code == CURLE_OK && set_headers(http, call) < 0)
        code = CURLE_OUT_OF_MEMORY;
    if (code != CURLE_OK)
        return code;
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tick);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    if (timeout_ms >= 0)
        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                               timeout_ms == 0 ? (long)TIMEOUT_MS : (long)timeout_ms);
    return CURLE_OK;
}

static int told_unreachable(struct http *http, CURLcode code, struct error *reterr)
{
    long system_error = 0;
    char why[CURL_ERROR_SIZE] = "";

    (void)curl_easy_getinfo(http->curl, CURLINFO_OS_ERRNO, &system_error);
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        (void)snprintf(why, sizeof(why), "there is no such host");
    else
        (void)snprintf(why, sizeof(why), "%s",
                       system_error > 0 ? strerror((int)system_error) : "no connection in time");
    if (why[0] >= 'A' && why[0] <= 'Z')
        why[0] = (char)(why[0] - 'A' + 'a');
    // A socket in the file system; a firewall may say the same of an address.
    if (system_error == EACCES && strncmp(http_url(http), "unix:", 5) == 0)
        return error_set(reterr, -ENOTCONN, "%s can't be used (%s): the daemon's socket_group may",
                         http_url(http), why);
    return error_set(reterr, -ENOTCONN, "no daemon answers at %s (%s); is runneld running?",
                     http_url(http), why);
}

/* Whether it looks as if http was written for https, or the other way: how such a connection ends
 * is the other side's affair. */
static bool is_other_scheme(const struct http *http, CURLcode code)
{
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL: // HTTP/0.9, which any bytes are
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return !http->has_answered && probe_other_scheme(http_url(http));
    default:
        return false;
    }
}

/* What a failure of libcurl means here. */
static int told(struct http *http, const struct call *call, CURLcode code, struct error *reterr)
{
    const char *url = http_url(http);
    const char *why = http->error[0] == '\0' ? curl_easy_strerror(code) : http->error;

    if (call->is_too_large)
        return error_set(reterr, -EFBIG, "the answer is larger than %d MiB", REPLY_MAX >> 20);
    if (call->is_out_of_memory || code == CURLE_OUT_OF_MEMORY)
        return error_set(reterr, -ENOMEM, "out of memory");
    if (call->is_given_up || interrupt_seen())
        return error_set(reterr, -ECANCELED, "interrupted");
    if (is_other_scheme(http, code))
        return error_set(reterr, -EPROTO, "what answers at %s speaks %s: write %s://", url,
                         url[4] == 's' ? "HTTP without TLS" : "TLS",
                         url[4] == 's' ? "http" : "https");
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return told_unreachable(http, code, reterr);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(reterr, -ETIMEDOUT, "no answer in time from %s", url);
    case CURLE_URL_MALFORMAT:
        return error_set(reterr, -ENOTCONN, "%s is no address of a daemon", url);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(reterr, -ENOTCONN, "no safe connection to %s (%s); see --ca-file", url,
                         why);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return error_set(reterr, -EPROTO, "what answers at %s is no runneld (%s)", url, why);
    default:
        return error_set(reterr, -ECONNRESET, "the connection to %s broke (%s)", url, why);
    }
}

/* The handshake of TLS does not count. */
static bool has_sent(const struct http *http)
{
    long bytes = 0;

    return curl_easy_getinfo(http->curl, CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK && bytes > 0;
}

static void take_reply(struct http *http, struct http_reply *reply)
{
    const char *type = NULL;
    curl_off_t retry_after_s = 0;
    curl_off_t expected = -1;

    (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &reply->status);
    (void)curl_easy_getinfo(http->curl, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    (void)curl_easy_getinfo(http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    reply->retry_after_ms = (int64_t)retry_after_s * 1000;
    reply->expected_bytes = (int64_t)expected;
    if (type != NULL)
        (void)snprintf(reply->type, sizeof(reply->type), "%.*s", (int)strcspn(type, "; "), type);
    bool is_json = strcasecmp(reply->type, "application/json") == 0 ||
                   strcasecmp(reply->type, "application/problem+json") == 0;
    if (is_json && reply->body != NULL)
        reply->json = json_from(reply->body, reply->length);
}

int http_call(struct http *http, const struct http_request *request, struct http_reply *reply,
              struct error *reterr)
{
    RN_ASSERT(http != NULL);
    RN_ASSERT(request != NULL && request->method != NULL && request->path != NULL);
    RN_ASSERT(reply != NULL);
    struct call call = {.curl = http->curl, .request = request, .reply = reply};

    *reply = (struct http_reply){.status = 0};
    CURLcode code = set_up(http, &call);
    if (code == CURLE_OK)
        code = curl_easy_perform(http->curl);
    int r = 0;
    reply->is_sent = has_sent(http);
    if (code == CURLE_OK) {
        http->has_answered = true;
        take_reply(http, reply);
    } else {
        r = told(http, &call, code, reterr);
    }
    curl_slist_free_all(call.headers);
    return r;
}

void http_reply_fini(struct http_reply *reply)
{
    free(reply->body);
    json_decref(reply->json);
    *reply = (struct http_reply){.status = 0};
}
