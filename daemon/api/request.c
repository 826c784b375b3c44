/* The life of a request: reset at its first line, begun by the gate, fed with its body, at work
 * (perhaps suspended), answered, completed. libmicrohttpd calls the handler once for the header,
 * then for each piece of the body, then once with no data, and once more after each suspension. All
 * on its connection's HTTP thread. */
#include "api/request.h"

#include <stdlib.h>
#include <string.h>

#include "api/connections.h"
#include "api/gate.h"
#include "api/routes.h"
#include "api/scan.h"
#include "config/units.h"

static const uint32_t request_magic = 0x72657173; // "reqs"

static struct request *request_cast(void *context)
{
    struct request *request = context;
    RN_ASSERT(request == NULL || request->magic == request_magic);
    return request;
}

/* ---- memory ---- */

bool request_charge(struct request *request, size_t bytes)
{
    struct server *server = request->server;
    size_t before = atomic_fetch_add_explicit(&server->memory, bytes, memory_order_relaxed);
    if (before + bytes > server->config->max_request_memory) {
        atomic_fetch_sub_explicit(&server->memory, bytes, memory_order_relaxed);
        return false;
    }
    request->memory += bytes;
    return true;
}

void request_discharge(struct request *request, size_t bytes)
{
    RN_ASSERT(bytes <= request->memory);
    request->memory -= bytes;
    atomic_fetch_sub_explicit(&request->server->memory, bytes, memory_order_relaxed);
}

void request_drop_body(struct request *request)
{
    request->body.length = 0;
    if (request->body.capacity <= BODY_KEPT_MAX)
        return;
    buffer_fini(&request->body);
    request_discharge(request, request->body_charged);
    request->body_charged = 0;
}

/* ---- suspension ---- */

void server_fall(struct server *server, _Atomic unsigned *counter)
{
    atomic_fetch_sub(counter, 1);
    if (!atomic_load(&server->stopping))
        return;
    rn_mutex_lock(&server->mu);
    rn_cond_broadcast(&server->changed);
    rn_mutex_unlock(&server->mu);
}

void server_release(struct server *server)
{
    rn_mutex_lock(&server->mu);
    atomic_fetch_sub(&server->busy, 1);
    rn_cond_broadcast(&server->changed);
    rn_mutex_unlock(&server->mu);
}

void request_idle(struct request *request)
{
    if (!request->is_busy)
        return;
    request->is_busy = false;
    server_fall(request->server, &request->server->busy);
}

bool request_suspend(struct request *request, enum request_waits waits, request_fn *next_fn)
{
    struct server *server = request->server;

    if (!request->is_busy) {
        // In this order: server_stop sets stopping and then looks at busy.
        atomic_fetch_add(&server->busy, 1);
        request->is_busy = true;
        if (atomic_load(&server->stopping)) {
            request_idle(request);
            return false;
        }
    }
    request->next_fn = next_fn;
    connection_no_deadline(request->connection);
    MHD_suspend_connection(request->mhd);
    // Only now may another thread find it.
    atomic_store(&request->waits_for, waits);
    return true;
}

bool request_resume(struct request *request, enum request_waits waits)
{
    int expected = (int)waits;

    // The winner's connection stays suspended, and so alive, until the call below; afterwards
    // nothing of it is touched.
    if (!atomic_compare_exchange_strong(&request->waits_for, &expected, REQUEST_RUNS))
        return false;
    MHD_resume_connection(request->mhd);
    return true;
}

static void op_done(struct store_op *op, void *arg)
{
    (void)op;
    (void)request_resume(arg, REQUEST_WAITS_STORE);
}

static void read_done(struct store_read *read, void *arg)
{
    (void)read;
    (void)request_resume(arg, REQUEST_WAITS_STORE);
}

/* Its end resumes the request. */
static void submit(struct request *request)
{
    request->op.done_fn = op_done;
    request->op.arg = request;
    request->op.result = 0;
    int r = engine_submit(request->server->engine, &request->op);
    if (r < 0) {
        request->op.result = r;
        (void)request_resume(request, REQUEST_WAITS_STORE);
    }
}

void request_submit(struct request *request, request_fn *next_fn)
{
    if (request_suspend(request, REQUEST_WAITS_STORE, next_fn))
        submit(request);
    else
        request_problem_error(request, -EPIPE);
}

void request_read(struct request *request, request_fn *next_fn)
{
    request->read.done_fn = read_done;
    request->read.arg = request;
    request->read.result = 0;
    if (!request_suspend(request, REQUEST_WAITS_STORE, next_fn)) {
        request_problem_error(request, -EPIPE);
        return;
    }
    int r = engine_read(request->server->engine, &request->read);
    if (r < 0) {
        request->read.result = r;
        (void)request_resume(request, REQUEST_WAITS_STORE);
    }
}

static int run_aside(rn_context *ctx, void *arg)
{
    struct request *request = arg;

    (void)ctx; // what takes long looks at the server itself
    if (request->aside_fn(request))
        submit(request);
    else
        (void)request_resume(request, REQUEST_WAITS_STORE);
    return 0;
}

static void had_no_thread(struct request *request)
{
    request_problem_error(request, -EAGAIN);
}

void request_aside(struct request *request, request_aside_fn *aside_fn, request_fn *next_fn)
{
    request->aside_fn = aside_fn;
    if (!request_suspend(request, REQUEST_WAITS_STORE, next_fn)) {
        request_problem_error(request, -EPIPE);
        return;
    }
    if (rn_group_go(request->server->group, "http-aside", run_aside, request) < 0) {
        request->next_fn = had_no_thread;
        (void)request_resume(request, REQUEST_WAITS_STORE);
    }
}

void request_yield(struct request *request, request_fn *next_fn)
{
    if (request_suspend(request, REQUEST_WAITS_STORE, next_fn))
        (void)request_resume(request, REQUEST_WAITS_STORE);
    else
        request_problem_error(request, -EPIPE);
}

/* ---- life ---- */

/* What the last request has left behind goes; waits_for is never written here, since others may
 * look at it. */
static void reset(struct request *request, struct connection *connection)
{
    request->magic = request_magic;
    request->phase = REQUEST_LINE;
    request->server = connection->server;
    request->config = engine_config_ref(connection->server->engine);
    request->connection = connection;
    request->mhd = connection->mhd;
    request->limits = request->config->limits;
    // As large as the memory of a connection was made for: a reload does not change that.
    request->limits.max_header = connection->server->config->limits.max_header;
    request->limits.max_headers = connection->server->config->limits.max_headers;
    request->route = NULL;
    memset(&request->head, 0, sizeof(request->head) - sizeof(request->head.detail));
    request->head.limits = &request->limits;
    request->is_head = false;
    request->is_stream = false;
    request->allow[0] = '\0';
    request->must_close = false;
    request->id = 0;
    request->name[0] = '\0';
    memset(request->parameters, 0, sizeof(request->parameters));
    request->is_pretty = false;
    request->is_dry = false;
    request->wait_until = 0;
    request->has_key = false;
    request->token = NULL;
    request->challenge[0] = '\0';
    request->rate_policy[0] = '\0';
    request->rate_left[0] = '\0';
    request->has_effect = false;
    request->body_limit = 0;
    request->body_space = 0;
    request->body_is_settled = false;
    request->next_fn = NULL;
    request->data_fn = NULL;
    request->has_wait = false;
    atomic_store(&request->is_abandoned, false);
    request->work = NULL;
    request->work_free_fn = NULL;
}

void *request_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct server *server = ((struct listener *)cls)->server;
    struct connection *connection = connection_of(mhd);
    if (connection == NULL)
        return NULL;

    struct request *request = &connection->request;
    if (request->phase != REQUEST_NONE)
        request_fini(request);
    reset(request, connection);
    connection->request_count++;
    request_log_begin(request, uri);
    atomic_fetch_add_explicit(&server->request_count, 1, memory_order_relaxed);
    atomic_fetch_add(&server->open_requests, 1);
    if (connection->request_count == 1)
        server_fall(server, &server->unasked); // behind the other: it is never in neither
    connection_deadline(connection, request->limits.header_timeout);
    framing_url(&request->head, uri, strlen(uri));

    const char *query = strchr(uri, '?');
    if (query != NULL && query[1] != '\0') {
        request->raw_query = strdup(query + 1);
        if (request->raw_query == NULL)
            request->is_out_of_memory = true;
    }
    return request;
}

/* What a read has brought that nobody took: the client left between its end and the next step. */
static void drop_read(struct store_read *read)
{
    if (read->type == STORE_GET)
        record_free(RN_TAKE(read->get.record));
    if (read->type == STORE_LIST && read->list.rows != NULL)
        records_free(RN_TAKE(read->list.rows), read->list.count);
}

void *request_work_new(struct request *request, size_t bytes, void (*free_fn)(void *work))
{
    RN_ASSERT(request->work == NULL);
    request->work = calloc(1, bytes);
    if (request->work == NULL)
        request_problem_error(request, -ENOMEM);
    else
        request->work_free_fn = free_fn;
    return request->work;
}

void request_fini(struct request *request)
{
    if (request->phase == REQUEST_NONE)
        return;
    request_log_end(request);
    if (request->has_wait) {
        (void)engine_wait_stop(request->server->engine, &request->wait);
        request->has_wait = false;
    }
    if (request->work_free_fn != NULL)
        request->work_free_fn(RN_TAKE(request->work));
    drop_read(&request->read);
    record_free(RN_TAKE(request->record));
    free(RN_TAKE(request->raw_query));
    config_unref(RN_TAKE(request->config));
    request->is_out_of_memory = false;
    request_drop_body(request);
    request_discharge(request, request->memory);
    request->body_charged = 0;
    if (request->is_waiting)
        atomic_fetch_sub(&request->server->waiting, 1);
    request->is_waiting = false;
    request_idle(request);
    request->phase = REQUEST_NONE;
    server_fall(request->server, &request->server->open_requests);
}

void request_completed(void *cls, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode code)
{
    struct listener *listener = cls;
    struct request *request = *context == &listener->pulse ? NULL : request_cast(*context);

    (void)mhd;
    *context = NULL;
    if (request == NULL)
        return;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        request->log.is_sent = true;
    request_fini(request);
    connection_deadline(request->connection, request->limits.idle_timeout);
}

/* ---- the body ---- */

/* The size that a body's buffer is to have for `needed` bytes: growing by doubling, but not beyond
 * what the body will be. */
static size_t body_capacity(const struct request *request, size_t needed)
{
    size_t capacity = request->body.capacity * 2;
    size_t most = request->head.is_chunked ? request->body_limit : (size_t)request->head.body_bytes;

    if (capacity < BODY_KEPT_MAX / 8)
        capacity = BODY_KEPT_MAX / 8;
    if (capacity > most)
        capacity = most;
    return capacity < needed ? needed : capacity;
}

static bool body_is_too_large(struct request *request, uint64_t bytes)
{
    if (bytes <= request->body_limit)
        return false;
    char most[32];
    request_problem(request, PROBLEM_TOO_LARGE, "a body of this sort has at most %s",
                    units_bytes_text(request->body_limit, most, sizeof(most)));
    return true;
}

/* Of a body of tasks only its first character tells whether it is one task or an array. */
static void settle_limit(struct request *request)
{
    const struct buffer *body = &request->body;

    request->body_space = scan_skip_space(body->bytes, body->length, request->body_space);
    if (request->body_space == body->length)
        return;
    request->body_is_settled = true;
    request->body_limit = body->bytes[request->body_space] == '[' ? request->limits.max_array_body
                                                                  : request->limits.max_task_body;
}

static void take_data(struct request *request, const char *data, size_t size)
{
    struct buffer *body = &request->body;
    size_t needed = body->length + size;

    if (body_is_too_large(request, needed))
        return;
    if (needed > body->capacity) {
        size_t capacity = body_capacity(request, needed);
        char *bytes = NULL;
        if (request_charge(request, capacity - body->capacity))
            bytes = realloc(body->bytes, capacity);
        if (bytes == NULL) {
            request_problem(request, PROBLEM_BUSY,
                            "the requests that are being read take all memory that they may take");
            return;
        }
        request->body_charged += capacity - body->capacity;
        body->bytes = bytes;
        body->capacity = capacity;
    }
    memcpy(body->bytes + body->length, data, size);
    body->length = needed;
    if (request->route->body == ROUTE_TASKS && !request->body_is_settled) {
        settle_limit(request);
        (void)body_is_too_large(request,
                                request->head.is_chunked ? needed : request->head.body_bytes);
    }
}

/* The request is complete. */
static void work(struct request *request, const char *url, const char *method)
{
    if (request->head.has_body && !connection_take(request->connection)) {
        request->verdict = MHD_NO;
        return;
    }
    request->phase = REQUEST_AT_WORK;
    connection_no_deadline(request->connection);
    if (request->route != NULL || gate_route(request, url, method))
        request->route->fn(request);
}

static void take_body(struct request *request, const char *data, size_t *size)
{
    size_t taken = *size;

    if (request->data_fn != NULL)
        taken = request->data_fn(request, data, *size);
    else
        take_data(request, data, *size);
    *size -= taken;
    request->log.bytes_in += taken;
}

/* At its second call: what is answered at the first one is the last on its connection. */
static enum MHD_Result answer_pulse(struct listener *listener, struct MHD_Connection *mhd,
                                    void **context)
{
    if (*context != NULL)
        return MHD_queue_response(mhd, MHD_HTTP_NO_CONTENT, listener->server->alive);
    *context = &listener->pulse;
    return MHD_YES;
}

// libmicrohttpd's callback has so many parameters. NOLINTNEXTLINE(readability-function-size)
enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **context)
{
    struct listener *listener = cls;
    struct server *server = listener->server;

    if ((*context == NULL && pulse_owns(&listener->pulse, mhd)) || *context == &listener->pulse)
        return answer_pulse(listener, mhd, context);
    struct request *request = request_cast(*context);
    if (request != NULL && request->is_out_of_memory)
        server_answered(server, request, MHD_HTTP_SERVICE_UNAVAILABLE);
    if (request == NULL || request->is_out_of_memory)
        return MHD_queue_response(mhd, MHD_HTTP_SERVICE_UNAVAILABLE, server->no_memory);
    // More of a chunked body, while it is suspended: it stays where it is.
    if (atomic_load(&request->waits_for) != REQUEST_RUNS)
        return MHD_YES;

    request->verdict = MHD_YES;
    switch (request->phase) {
    case REQUEST_LINE:
        gate_begin(request, url, method, version);
        break;
    case REQUEST_BODY:
        if (*size > 0)
            take_body(request, data, size);
        else
            work(request, url, method);
        break;
    case REQUEST_AT_WORK:
        RN_ASSERT(request->next_fn != NULL);
        request->next_fn(request);
        break;
    default:
        *size = 0;
        break;
    }
    return request->verdict;
}
