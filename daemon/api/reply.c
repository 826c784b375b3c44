/* Answers. Most go through libmicrohttpd. Where a body has not been read to its end they can't:
 * libmicrohttpd 0.9.75 takes an answer only before the body (and for PATCH then waits for it for
 * ever) or behind it. Then the answer is written to the socket here, which has nothing else to
 * send, and the connection is closed. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "api/connections.h"
#include "api/request.h"
#include "observe/log.h"

enum { UNCHARGED_MAX = 64 << 10, READ_BLOCK_BYTES = 128 << 10 };

/* What an answer says in header fields, one after the other. */
struct fields {
    const char *names[12];
    const char *values[12];
    size_t count;
    char retry_after[16];
};

static void fields_add(struct fields *fields, const char *name, const char *value)
{
    RN_ASSERT(fields->count < sizeof(fields->names) / sizeof(fields->names[0]));
    fields->names[fields->count] = name;
    fields->values[fields->count] = value;
    fields->count++;
}

static void fields_fill(struct fields *fields, const struct request *request,
                        const struct answer *answer)
{
    if (answer->text != NULL || answer->read_fn != NULL)
        fields_add(fields, "Content-Type",
                   answer->type != NULL ? answer->type : "application/json");
    fields_add(fields, "Cache-Control", "no-store");
    if (answer->location != NULL)
        fields_add(fields, "Location", answer->location);
    if (answer->disposition != NULL)
        fields_add(fields, "Content-Disposition", answer->disposition);
    if (answer->allow != NULL && answer->allow[0] != '\0')
        fields_add(fields, "Allow", answer->allow);
    if (answer->retry_after_s > 0) {
        struct buffer text = {.bytes = fields->retry_after,
                              .capacity = sizeof(fields->retry_after) - 1};
        buffer_unsigned(&text, answer->retry_after_s);
        fields->retry_after[text.length] = '\0';
        fields_add(fields, "Retry-After", fields->retry_after);
    }
    if (request->challenge[0] != '\0')
        fields_add(fields, "WWW-Authenticate", request->challenge);
    if (request->rate_policy[0] != '\0') {
        fields_add(fields, "RateLimit-Policy", request->rate_policy);
        fields_add(fields, "RateLimit", request->rate_left);
    }
    if (answer->is_replayed)
        fields_add(fields, "Idempotent-Replayed", "true");
    if (request->must_close)
        fields_add(fields, "Connection", "close");
}

/* Through libmicrohttpd; takes the text. */
static enum MHD_Result queue(struct request *request, const struct answer *answer,
                             const struct fields *fields)
{
    struct MHD_Response *response = NULL;

    if (answer->read_fn != NULL) {
        response = MHD_create_response_from_callback(answer->read_bytes, READ_BLOCK_BYTES,
                                                     answer->read_fn, request, NULL);
    } else if (answer->text == NULL) {
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer(answer->text->length, answer->text->bytes,
                                                   MHD_RESPMEM_MUST_FREE);
        if (response != NULL)
            *answer->text = (struct buffer){.bytes = NULL};
    }
    if (response == NULL)
        return MHD_NO;
    for (size_t i = 0; i < fields->count; i++) {
        if (MHD_add_response_header(response, fields->names[i], fields->values[i]) == MHD_NO) {
            MHD_destroy_response(response);
            return MHD_NO;
        }
    }
    enum MHD_Result result = MHD_queue_response(request->mhd, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void add_date(struct buffer *text)
{
    char date[64];
    time_t now = time(NULL);
    struct tm parts;

    // The C locale's names: the daemon sets no other.
    if (gmtime_r(&now, &parts) != NULL &&
        strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts) > 0)
        buffer_text(text, date);
}

/* Into the TLS session, which libmicrohttpd does not use while it is in the handler. */
static ssize_t send_tls(struct MHD_Connection *mhd, const struct buffer *text)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    size_t sent = 0;

    if (info == NULL)
        return -1;
    gnutls_session_t session = (gnutls_session_t)info->tls_session;
    while (sent < text->length) {
        ssize_t n = gnutls_record_send(session, text->bytes + sent, text->length - sent);
        if (n <= 0)
            return -1; // as below
        sent += (size_t)n;
    }
    (void)gnutls_bye(session, GNUTLS_SHUT_WR);
    return (ssize_t)sent;
}

/* Past libmicrohttpd, closing the connection. */
static void write_and_close(struct request *request, const struct answer *answer,
                            const struct fields *fields)
{
    struct buffer text = {.bytes = NULL};
    size_t body_bytes = answer->text == NULL ? 0 : answer->text->length;

    buffer_printf(&text, "HTTP/1.1 %u %s\r\n", answer->status,
                  MHD_get_reason_phrase_for(answer->status));
    add_date(&text);
    for (size_t i = 0; i < fields->count; i++)
        buffer_printf(&text, "%s: %s\r\n", fields->names[i], fields->values[i]);
    buffer_printf(&text, "Content-Length: %zu\r\n\r\n", body_bytes);
    if (body_bytes > 0 && !request->is_head)
        buffer_add(&text, answer->text->bytes, body_bytes);
    if (!text.failed) {
        // A few KiB into an empty send buffer; what does not fit is lost, as it is to a client that
        // does not read.
        ssize_t sent = request->connection->listener->is_tls
                           ? send_tls(request->mhd, &text)
                           : send(request->connection->fd, text.bytes, text.length,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
        request->log.is_sent = sent >= 0 && (size_t)sent == text.length;
        connection_linger(request->connection);
    }
    // What has come of the body stays unread: nothing of it is taken for a request.
    (void)shutdown(request->connection->fd, SHUT_WR);
    buffer_fini(&text);
    request->verdict = MHD_NO;
}

/* Whether bytes of the request may still come, or stand unread. */
static bool is_unread(const struct request *request)
{
    if (request->phase == REQUEST_BODY)
        return true;
    return request->phase == REQUEST_LINE && (request->head.has_body || request->head.has_fault);
}

static void finish_text(const struct request *request, const struct answer *answer)
{
    if (answer->text == NULL || answer->is_verbatim)
        return;
    if (request->is_pretty && (answer->type == NULL || strstr(answer->type, "json") != NULL))
        buffer_json_indent(answer->text);
    BUFFER_LITERAL(answer->text, "\n");
}

/* A large answer counts as memory of its request until it has been read. What has been done is told
 * in any case. */
static bool is_charged(struct request *request, const struct answer *answer)
{
    size_t bytes = answer->text == NULL ? 0 : answer->text->capacity;
    return bytes <= UNCHARGED_MAX || request->has_effect || request_charge(request, bytes);
}

void request_answer(struct request *request, const struct answer *answer)
{
    struct server *server = request->server;
    struct fields fields = {.count = 0};
    bool unread = is_unread(request);

    RN_ASSERT(request->phase != REQUEST_ANSWERED);
    finish_text(request, answer);
    record_free(RN_TAKE(request->record)); // what is told of it is in the text now
    if (!is_charged(request, answer)) {
        buffer_fini(answer->text);
        request_problem(
            request, PROBLEM_BUSY,
            "answers that have not been read yet take all memory that requests may take");
        return;
    }
    if (unread || atomic_load(&server->stopping) ||
        request->connection->request_count >= request->limits.max_connection_requests)
        request->must_close = true;
    fields_fill(&fields, request, answer);

    if (request->phase == REQUEST_BODY && request->head.has_body &&
        !connection_take(request->connection)) {
        request->verdict = MHD_NO; // it was answered 408
        if (answer->text != NULL)
            buffer_fini(answer->text);
        request->phase = REQUEST_ANSWERED;
        return;
    }

    if (answer->text != NULL && !request->is_head)
        request->log.bytes_out = answer->text->length;
    if (answer->read_fn != NULL)
        request->log.bytes_out = answer->read_bytes;
    bool failed = answer->text != NULL && answer->text->failed;
    if (unread && !failed) {
        write_and_close(request, answer, &fields);
    } else if (!unread) {
        request->verdict = failed ? MHD_NO : queue(request, answer, &fields);
        failed = request->verdict == MHD_NO;
        // Nothing was stored: then the prepared answer is the truth. Else the connection is closed
        // without one.
        if (failed && !request->has_effect) {
            request->verdict =
                MHD_queue_response(request->mhd, MHD_HTTP_SERVICE_UNAVAILABLE, server->no_memory);
            server_answered(server, request, MHD_HTTP_SERVICE_UNAVAILABLE);
        }
    } else {
        request->verdict = MHD_NO;
    }
    if (!failed)
        server_answered(server, request, answer->status);
    else
        log_event(LOG_LEVEL_ERR, "answer_failed", LOG_UINT("task", request->id),
                  LOG_TEXT("error", "out of memory"));
    if (answer->text != NULL)
        buffer_fini(answer->text);
    request->phase = REQUEST_ANSWERED;
    connection_deadline(request->connection, request->limits.answer_timeout);
}

void request_answer_json(struct request *request, unsigned status, struct buffer *text)
{
    request_answer(request, &(struct answer){.status = status, .text = text});
}

void request_problem_text(struct request *request, enum problem problem, struct buffer *text)
{
    const struct problem_row *row = problem_row(problem);

    problem_end(text);
    if (problem == PROBLEM_DRAINING || problem == PROBLEM_FRAMING)
        request->must_close = true;
    request_answer(request, &(struct answer){.status = row->status,
                                             .type = "application/problem+json",
                                             .text = text,
                                             .allow = request->allow,
                                             .retry_after_s = row->retry_after_s});
}

void request_problem(struct request *request, enum problem problem, const char *format, ...)
{
    struct buffer text = {.bytes = NULL};
    char detail[512];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(detail, sizeof(detail), format, list);
    va_end(list);
    problem_begin(&text, problem, detail);
    request_problem_text(request, problem, &text);
}

int request_bad_query(struct request *request, const char *format, ...)
{
    char detail[400];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(detail, sizeof(detail), format, list);
    va_end(list);
    request_problem(request, PROBLEM_INVALID_QUERY, "%s", detail);
    return -EINVAL;
}

void request_problem_error(struct request *request, int error)
{
    static const char *const details[PROBLEM_COUNT] = {
        [PROBLEM_STORE_FULL] = "the disk is full; make room, the daemon notices within a second",
        [PROBLEM_BACKLOG_FULL] = "max_backlog tasks are waiting; send it again later",
        [PROBLEM_DRAINING] = "the daemon is stopping; send it again when it is back",
        [PROBLEM_BUSY] = "too much is being worked on; send it again in a moment",
        [PROBLEM_KEY_REUSED] = "the Idempotency-Key was used with another body, query or "
                               "Content-Type; a new task needs a new key",
    };
    enum problem problem = problem_of_error(error);

    if (problem == PROBLEM_INTERNAL)
        log_event(LOG_LEVEL_ERR, "request_failed", LOG_UINT("task", request->id),
                  LOG_TEXT("error", rn_strerror(error)));
    if (problem == PROBLEM_NOT_FOUND && request->id != 0 && access_is_limited(request->token))
        request_problem(request, problem,
                        "no task of this token's queues and kinds has the id %" PRIu64,
                        request->id);
    else if (problem == PROBLEM_NOT_FOUND && request->id != 0)
        request_problem(request, problem, "no task has ever had the id %" PRIu64, request->id);
    else if (problem == PROBLEM_TASK_REMOVED)
        request_problem(request, problem,
                        "task %" PRIu64 " existed and has been removed: it was deleted, or kept "
                        "as long as the configuration says",
                        request->id);
    else
        request_problem(request, problem, "%s",
                        details[problem] != NULL ? details[problem] : problem_row(problem)->title);
}

void request_problem_faults(struct request *request, enum problem problem, struct faults *faults)
{
    struct buffer text = {.bytes = NULL};
    char detail[200];

    RN_ASSERT(faults->count > 0);
    (void)snprintf(detail, sizeof(detail), "%zu %s to be put right: see errors", faults->count,
                   faults->count == 1 ? "thing is" : "things are");
    problem = problem_of_faults(problem, faults);
    problem_begin(&text, problem, detail);
    BUFFER_LITERAL(&text, ",\"errors\":[");
    buffer_add(&text, faults->text.bytes, faults->text.length);
    BUFFER_LITERAL(&text, "]");
    if (faults->text.failed)
        text.failed = true;
    request_problem_text(request, problem, &text);
}
