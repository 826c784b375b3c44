/* What a request must be before it is worked on. In this order: framing (nothing else of an unsound
 * request is looked at), from where it may come, path and method, who may call, the daemon's state,
 * the body that is announced, the query. */
#include "api/gate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/calls.h"
#include "api/connections.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/stream.h"
#include "config/units.h"

static enum MHD_Result take_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_length, const char *value, size_t value_length)
{
    (void)kind;
    framing_field(cls, name, name_length, value != NULL ? value : "", value_length);
    return MHD_YES;
}

/* Whether a web page may have sent it. Nobody finds a unix socket by a name. */
static bool is_called_rightly(const struct request *request, struct head *head)
{
    const struct listener *listener = request->connection->listener;

    return (listener->is_unix || framing_host(head, &listener->hosts, request->config->hosts)) &&
           framing_origin(head);
}

/* Framing and origin. false: answered. */
static bool check_head(struct request *request, const char *method, const char *version)
{
    struct head *head = &request->head;

    (void)MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, take_field, head);
    if (!framing_check(head, method, version) || !is_called_rightly(request, head)) {
        request_problem(request, head->problem, "%s", head->detail);
        return false;
    }
    // Where a body may be left out, a header that hides its length from libmicrohttpd must not make
    // it the next request.
    if (head->content_length == NULL && !head->is_chunked && strcmp(method, "GET") != 0 &&
        strcmp(method, "HEAD") != 0)
        request->must_close = true;
    return true;
}

/* false: answered. */
static bool find_route(struct request *request, const char *method, const char *url)
{
    int r = routes_find(request, request->is_head ? "GET" : method, url, &request->route,
                        request->allow);
    // Before anything is told of what there is.
    if (!access_allows(request))
        return false;
    if (r == -ENOENT) {
        request_problem(request, PROBLEM_NOT_FOUND,
                        "there is nothing at this path; GET / lists what there is");
        return false;
    }
    if (r < 0) {
        request_problem(request, PROBLEM_METHOD_NOT_ALLOWED, "this path knows the methods %s",
                        request->allow);
        return false;
    }
    if (request->route == NULL) {
        request_answer(request, &(struct answer){.status = 204, .allow = request->allow});
        return false;
    }
    return true;
}

/* Starting, draining, stopping. false: answered. */
static bool check_phase(struct request *request)
{
    enum engine_phase phase = engine_phase(request->server->engine);

    if (phase == ENGINE_STARTING && !request->route->while_starting) {
        request_problem(request, PROBLEM_STARTING,
                        "the daemon reads its store; try again in a moment");
        return false;
    }
    bool stores = request->route->body == ROUTE_TASKS || request->route->body == ROUTE_LINES;
    if (atomic_load(&request->server->stopping) || (phase == ENGINE_DRAINING && stores)) {
        request_problem_error(request, -EPIPE);
        return false;
    }
    return true;
}

/* false: answered. */
static bool check_body(struct request *request)
{
    const struct head *head = &request->head;
    const struct route *route = request->route;

    if (route->body == ROUTE_NO_BODY) {
        if (head->has_body)
            request_problem(request, PROBLEM_FRAMING, "a %s request has no body", route->method);
        return !head->has_body;
    }
    enum framing_media media = framing_media(head->content_type);
    bool is_lines = route->body == ROUTE_LINES;
    bool is_known = (media == MEDIA_JSON && !is_lines) ||
                    (media == MEDIA_NDJSON && (is_lines || route->body == ROUTE_TASKS));
    if (!is_known && (head->has_body || media != MEDIA_NONE)) {
        request_problem(
            request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "%s",
            is_lines ? "send an export's lines as Content-Type: application/x-ndjson"
                     : "send Content-Type: application/json; with curl use --json in place of -d");
        return false;
    }
    request->is_stream = media == MEDIA_NDJSON;
    // Of tasks the larger one, until the first character tells what they are.
    request->body_limit = route->body != ROUTE_TASKS ? SMALL_BODY_MAX
                          : request->limits.max_array_body > request->limits.max_task_body
                              ? request->limits.max_array_body
                              : request->limits.max_task_body;
    if (!request->is_stream && !head->is_chunked && head->body_bytes > request->body_limit) {
        char most[32];
        request_problem(request, PROBLEM_TOO_LARGE,
                        "a body of this sort has at most %s, Content-Length says more",
                        units_bytes_text(request->body_limit, most, sizeof(most)));
        return false;
    }
    return true;
}

/* ---- the query ---- */

struct query {
    struct request *request;
    bool is_good;
};

static void bad_query(struct query *query, const char *format, ...) RN_PRINTF(2, 3);

static void bad_query(struct query *query, const char *format, ...)
{
    char detail[400];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(detail, sizeof(detail), format, list);
    va_end(list);
    query->is_good = false;
    request_problem(query->request, PROBLEM_INVALID_QUERY, "%s", detail);
}

static enum MHD_Result take_parameter(void *cls, enum MHD_ValueKind kind, const char *name,
                                      size_t name_length, const char *value, size_t value_length)
{
    struct query *query = cls;
    struct request *request = query->request;

    (void)kind;
    (void)name_length;
    (void)value_length;
    for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
        if ((request->route->parameters & (1U << i)) == 0 ||
            strcmp(name, parameter_name((enum parameter)i)) != 0)
            continue;
        if (request->parameters[i] != NULL) {
            bad_query(query, "the query parameter %s stands there twice",
                      parameter_name((enum parameter)i));
            return MHD_NO;
        }
        request->parameters[i] = value != NULL ? value : "";
        return MHD_YES;
    }
    const char *near = routes_near_parameter(request->route, name);
    if (near != NULL)
        bad_query(query, "unknown query parameter '%.80s': did you mean %s?", name, near);
    else
        bad_query(query, "unknown query parameter '%.80s'", name);
    return MHD_NO;
}

/* One that is true or false. */
static void check_switch(struct query *query, enum parameter parameter, bool *ret_is_on)
{
    const char *value = query->request->parameters[parameter];

    if (value == NULL || !query->is_good)
        return;
    *ret_is_on = value[0] == '\0' || strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
    if (!*ret_is_on && strcmp(value, "0") != 0 && strcmp(value, "false") != 0)
        bad_query(query, "%s must be true or false, or stand there alone",
                  parameter_name(parameter));
}

static void check_wait(struct query *query)
{
    struct request *request = query->request;
    const char *value = request->parameters[PARAMETER_WAIT];
    rn_duration length = 0;
    uint64_t seconds = 0;

    if (value == NULL)
        return;
    int r = units_duration(value, &length);
    if (r < 0 && units_unsigned(value, INT32_MAX, &seconds) == 0) {
        length = (rn_duration)seconds * RN_SECOND;
        r = 0;
    }
    if (r < 0 && r != -ERANGE) {
        char most[48];
        bad_query(query,
                  "wait must be a length of time such as 30s (at most %s count), not '%.80s'",
                  units_duration_text(request->limits.max_wait, most, sizeof(most)), value);
        return;
    }
    if (r == -ERANGE || length > request->limits.max_wait)
        length = request->limits.max_wait;
    if (length > 0)
        request->wait_until = rn_after(length);
}

/* false: answered. */
static bool check_query(struct request *request)
{
    struct query query = {.request = request, .is_good = true};

    if (request->raw_query == NULL)
        return true;
    (void)MHD_get_connection_values_n(request->mhd, MHD_GET_ARGUMENT_KIND, take_parameter, &query);
    check_switch(&query, PARAMETER_PRETTY, &request->is_pretty);
    check_switch(&query, PARAMETER_DRY_RUN, &request->is_dry);
    if (query.is_good)
        check_wait(&query);
    return query.is_good;
}

/* false: answered. */
static bool check_key(struct request *request)
{
    enum route_body body = request->route->body;

    if ((body != ROUTE_TASKS && body != ROUTE_LINES) || request->head.key == NULL)
        return true;
    if (framing_key(request->head.key, request->key) < 0) {
        request_problem(request, PROBLEM_INVALID_QUERY,
                        "Idempotency-Key must be 1 to 255 visible characters, in double quotes or "
                        "without them");
        return false;
    }
    request->has_key = true;
    return true;
}

/* Requests that wait are bounded, and looked at before anything is stored: a 503 then says the
 * truth. false: answered. */
static bool check_waiting(struct request *request)
{
    struct server *server = request->server;

    if (request->wait_until == 0)
        return true;
    if (request->is_stream) {
        request_problem(request, PROBLEM_INVALID_QUERY,
                        "wait goes with a single task; a stream is answered when it is stored");
        return false;
    }
    unsigned before = atomic_fetch_add(&server->waiting, 1);
    if (before >= request->config->max_waiting) {
        atomic_fetch_sub(&server->waiting, 1);
        request_problem(request, PROBLEM_BUSY,
                        "%u requests wait already (max_waiting); ask again without wait",
                        request->config->max_waiting);
        return false;
    }
    request->is_waiting = true;
    return true;
}

bool gate_route(struct request *request, const char *url, const char *method)
{
    return find_route(request, method, url) && check_phase(request) && check_body(request) &&
           check_query(request) && check_key(request) && check_waiting(request);
}

void gate_begin(struct request *request, const char *url, const char *method, const char *version)
{
    request->is_head = strcmp(method, "HEAD") == 0;
    (void)snprintf(request->log.method, sizeof(request->log.method), "%s", method);
    if (!check_head(request, method, version))
        return;
    // libmicrohttpd closes the connection after every answer that is given now. So where there is
    // no body, the rest of the gate comes with its next call.
    if (request->head.has_body && !gate_route(request, url, method))
        return;

    request->phase = REQUEST_BODY;
    connection_deadline(request->connection, request->limits.body_timeout);
    // Over TLS the reaper can't answer: the session is its HTTP thread's.
    if (request->head.has_body && !request->connection->listener->is_tls)
        connection_offer(request->connection);
    if (request->is_stream && request->route->body == ROUTE_LINES)
        import_begin(request);
    else if (request->is_stream)
        stream_begin(request);
}
