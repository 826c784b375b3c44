/* The calls on queues: all, one, change, pause, resume. How old a queue's oldest waiting task is
 * the store has to read; the reads of all queues go out together. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/calls.h"
#include "api/members.h"
#include "api/request.h"
#include "config/units.h"

enum { AGES_AT_ONCE = 64 };

/* What is read of queues for an answer: the request's work. */
struct view {
    struct request *request;
    struct engine_queue *queues;
    size_t count;
    bool is_one;
    int64_t *oldest_ms; // of each queue; 0: none waits, or it could not be read
    size_t asked;       // queues whose age was asked for
    struct store_read ages[AGES_AT_ONCE];
    _Atomic size_t left; // reads under way, and one while they are being submitted
};

static request_fn read_ages;

static void view_free(void *work)
{
    struct view *view = work;

    free(view->queues);
    free(view->oldest_ms);
    free(view);
}

/* ---- out ---- */

static void add_overrides(struct buffer *text, const struct store_queue_settings *overrides)
{
    BUFFER_LITERAL(text, ",\"overrides\":{\"workers\":");
    if (overrides->has_workers)
        buffer_unsigned(text, overrides->workers);
    else
        BUFFER_LITERAL(text, "null");
    BUFFER_LITERAL(text, ",\"rate\":");
    buffer_json_text(text, overrides->has_rate ? overrides->rate : NULL);
    BUFFER_LITERAL(text, ",\"burst\":");
    if (overrides->has_burst)
        buffer_unsigned(text, overrides->burst);
    else
        BUFFER_LITERAL(text, "null");
    BUFFER_LITERAL(text, "}");
}

static void add_queue(struct buffer *text, const struct engine_queue *queue, int64_t oldest_ms)
{
    int64_t age_ms = rn_wall_ms() - oldest_ms;

    BUFFER_LITERAL(text, "{\"name\":");
    buffer_json_text(text, queue->name);
    BUFFER_LITERAL(text, ",\"configured\":");
    buffer_json_bool(text, queue->is_configured);
    buffer_printf(text, ",\"workers\":%u,\"rate\":", queue->workers);
    buffer_json_text(text, queue->rate[0] != '\0' ? queue->rate : NULL);
    buffer_printf(text, ",\"burst\":%u,\"paused\":", queue->burst);
    buffer_json_bool(text, queue->paused);
    BUFFER_LITERAL(text, ",\"paused_until\":");
    buffer_json_instant(text, queue->paused ? queue->paused_until_ms : 0);
    add_overrides(text, &queue->overrides);
    buffer_printf(text, ",\"running\":%u,\"tokens\":", queue->running);
    if (queue->rate[0] != '\0' && isfinite(queue->tokens))
        buffer_printf(text, "%.3f", queue->tokens);
    else
        BUFFER_LITERAL(text, "null");
    BUFFER_LITERAL(text, ",\"oldest_waiting_age_ms\":");
    if (oldest_ms != 0)
        buffer_signed(text, age_ms > 0 ? age_ms : 0);
    else
        BUFFER_LITERAL(text, "null");
    buffer_printf(text, ",\"window\":%zu,\"states\":{", queue->window);
    for (unsigned state = 0; state < TASK_STATE_COUNT; state++) {
        buffer_text(text, state == 0 ? "" : ",");
        buffer_json_text(text, task_state_name((enum task_state)state));
        BUFFER_LITERAL(text, ":");
        buffer_unsigned(text, queue->states[state]);
    }
    BUFFER_LITERAL(text, "}}");
}

static void answer_view(struct request *request)
{
    const struct view *view = request->work;
    struct buffer text = {.bytes = NULL};

    if (!view->is_one)
        BUFFER_LITERAL(&text, "{\"queues\":[");
    for (size_t i = 0; i < view->count; i++) {
        buffer_text(&text, i == 0 ? "" : ",");
        add_queue(&text, &view->queues[i], view->oldest_ms[i]);
    }
    if (!view->is_one)
        BUFFER_LITERAL(&text, "]}");
    request_answer_json(request, 200, &text);
}

/* ---- how old the oldest waiting task is ---- */

static void fall(struct view *view)
{
    if (atomic_fetch_sub(&view->left, 1) == 1)
        (void)request_resume(view->request, REQUEST_WAITS_STORE);
}

static void age_is_read(struct store_read *read, void *arg)
{
    (void)read;
    fall(arg);
}

static void ages_are_read(struct request *request)
{
    struct view *view = request->work;
    size_t first = (view->asked - 1) / AGES_AT_ONCE * AGES_AT_ONCE;

    for (size_t i = first; i < view->asked; i++)
        view->oldest_ms[i] =
            view->ages[i - first].result == 0 ? view->ages[i - first].age.oldest_ms : 0;
    read_ages(request);
}

static void read_ages(struct request *request)
{
    struct view *view = request->work;

    if (view->asked == view->count) {
        answer_view(request);
        return;
    }
    if (!request_suspend(request, REQUEST_WAITS_STORE, ages_are_read)) {
        request_problem_error(request, -EPIPE);
        return;
    }
    atomic_store(&view->left, 1);
    for (size_t i = 0; i < AGES_AT_ONCE && view->asked < view->count; i++, view->asked++) {
        struct store_read *read = &view->ages[i];
        *read = (struct store_read){.type = STORE_QUEUE_AGE, .done_fn = age_is_read, .arg = view};
        memcpy(read->age.queue, view->queues[view->asked].name, sizeof(read->age.queue));
        atomic_fetch_add(&view->left, 1);
        int r = engine_read(request->server->engine, read);
        if (r < 0) {
            read->result = r;
            fall(view);
        }
    }
    fall(view);
}

/* Takes queues. */
static void begin_view(struct request *request, struct engine_queue *queues, size_t count,
                       bool is_one)
{
    struct view *view = calloc(1, sizeof(*view));
    int64_t *oldest_ms = calloc(count + 1, sizeof(*oldest_ms));

    if (view == NULL || oldest_ms == NULL) {
        free(view);
        free(oldest_ms);
        free(queues);
        request_problem_error(request, -ENOMEM);
        return;
    }
    *view = (struct view){.request = request,
                          .queues = queues,
                          .count = count,
                          .is_one = is_one,
                          .oldest_ms = oldest_ms};
    request->work = view;
    request->work_free_fn = view_free;
    read_ages(request);
}

void call_queues(struct request *request)
{
    struct engine_queue *queues = NULL;
    size_t count = 0;

    int r = engine_queues(request->server->engine, &queues, &count);
    if (r < 0) {
        request_problem_error(request, r);
        return;
    }
    size_t seen = 0;
    for (size_t i = 0; i < count; i++)
        if (config_token_has_queue(request->token, queues[i].name))
            queues[seen++] = queues[i];
    begin_view(request, queues, seen, false);
}

void queue_not_found(struct request *request)
{
    const char *near = nearest_name(request->name, request->config->queue_names);

    if (near != NULL && config_token_has_queue(request->token, near))
        request_problem(request, PROBLEM_NOT_FOUND,
                        "there is no queue of this name; did you mean %s?", near);
    else
        request_problem(request, PROBLEM_NOT_FOUND,
                        "there is no queue of this name; GET /v1/queues lists them");
}

void call_queue(struct request *request)
{
    if (!config_token_has_queue(request->token, request->name)) {
        queue_not_found(request);
        return;
    }
    struct engine_queue *queue = calloc(1, sizeof(*queue));
    int r =
        queue == NULL ? -ENOMEM : engine_queue_get(request->server->engine, request->name, queue);
    if (r == 0) {
        begin_view(request, queue, 1, true);
        return;
    }
    free(queue);
    if (r == -ENOENT)
        queue_not_found(request);
    else
        request_problem_error(request, r);
}

/* ---- in ---- */

static void changed(struct request *request)
{
    if (request->op.result < 0) {
        request_problem_error(request, request->op.result);
        return;
    }
    request->has_effect = true;
    call_queue(request);
}

static void op_done(struct store_op *op, void *arg)
{
    (void)op;
    (void)request_resume(arg, REQUEST_WAITS_STORE);
}

/* The engine has refused the change before it was submitted. */
static void refused(struct request *request)
{
    struct faults faults = {.count = 0};

    if (request->op.result == -ENOENT) {
        queue_not_found(request);
    } else if (request->op.result == -EINVAL) {
        faults_add(&faults, "/workers", "all queues together have at most %d workers",
                   CONFIG_WORKERS_MAX);
        request_problem_faults(request, PROBLEM_INVALID_QUEUE, &faults);
        faults_fini(&faults);
    } else {
        request_problem_error(request, request->op.result);
    }
}

static void submit_change(struct request *request, struct engine_queue_change *change)
{
    if (!config_name_valid(request->name) ||
        !config_token_has_queue(request->token, request->name)) {
        queue_not_found(request);
        return;
    }
    memcpy(change->name, request->name, strlen(request->name) + 1); // a valid name fits
    request->op = (struct store_op){
        .type = STORE_QUEUE_SET, .now_ms = rn_wall_ms(), .done_fn = op_done, .arg = request};
    if (!request_suspend(request, REQUEST_WAITS_STORE, changed)) {
        request_problem_error(request, -EPIPE);
        return;
    }
    int r = engine_queue_change(request->server->engine, change, &request->op);
    if (r < 0) {
        request->op.result = r;
        request->next_fn = refused;
        (void)request_resume(request, REQUEST_WAITS_STORE);
    }
}

/* The body has been read: the change is made, or its faults are told. They are freed. */
static void end_change(struct request *request, struct engine_queue_change *change,
                       struct faults *faults)
{
    if (faults->count > 0)
        request_problem_faults(request, PROBLEM_INVALID_QUEUE, faults);
    else
        submit_change(request, change);
    faults_fini(faults);
}

/* true: the value is to be set (or is faulty); false: it is null, back to the file's. */
static bool take_number(json_t *value, const char *pointer, unsigned max, struct faults *faults,
                        unsigned *to)
{
    if (json_is_null(value))
        return false;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > max)
        faults_add(faults, pointer, "must be an integer from 1 to %u, or null for the file's value",
                   max);
    else
        *to = (unsigned)json_integer_value(value);
    return true;
}

/* The same of a rate. */
static bool take_rate(json_t *value, struct faults *faults, char *to, size_t size)
{
    double per_s = 0;

    if (json_is_null(value))
        return false;
    if (!json_is_string(value) || json_string_length(value) >= size ||
        units_rate(json_string_value(value), &per_s) < 0)
        faults_add(
            faults, "/rate",
            "must be a rate such as \"10/s\", \"90/m\" or \"2.5/h\", or null for the file's value");
    else
        memcpy(to, json_string_value(value), json_string_length(value) + 1);
    return true;
}

void call_queue_change(struct request *request)
{
    static const char *const names[] = {"workers", "rate", "burst", NULL};
    struct engine_queue_change change = {.workers = 0};
    struct faults faults = {.count = 0};

    json_t *body = body_object(request, PROBLEM_INVALID_QUEUE);
    if (body == NULL)
        return;
    json_t *workers = json_object_get(body, "workers");
    json_t *rate = json_object_get(body, "rate");
    json_t *burst = json_object_get(body, "burst");
    if (workers != NULL)
        change.workers_do =
            take_number(workers, "/workers", CONFIG_WORKERS_MAX, &faults, &change.workers)
                ? ENGINE_SET
                : ENGINE_RESET;
    if (rate != NULL)
        change.rate_do =
            take_rate(rate, &faults, change.rate, sizeof(change.rate)) ? ENGINE_SET : ENGINE_RESET;
    if (burst != NULL)
        change.burst_do = take_number(burst, "/burst", CONFIG_BURST_MAX, &faults, &change.burst)
                              ? ENGINE_SET
                              : ENGINE_RESET;
    members_unknown(body, "", names, &faults);
    if (json_object_size(body) == 0)
        faults_add(&faults, "", "must have at least one of workers, rate and burst");
    json_decref(body);

    end_change(request, &change, &faults);
}

/* Until when a pause lasts; 0: until resume. */
static int64_t take_pause(json_t *body, struct faults *faults)
{
    json_t *length = json_object_get(body, "for");
    json_t *until = json_object_get(body, "until");
    int64_t now_ms = rn_wall_ms();
    int64_t ms = 0;

    if (length != NULL && !json_is_null(length)) {
        if (until != NULL && !json_is_null(until))
            faults_add(faults, "/for", "does not go together with until: use one of them");
        else if (members_duration(length, &ms) < 0 || ms < 1)
            faults_add(
                faults, "/for",
                "must be a length of time such as \"10m\", or a number of seconds, from 1ms on");
        return now_ms + ms;
    }
    if (until == NULL || json_is_null(until))
        return 0;
    if (!json_is_string(until) || units_instant(json_string_value(until), &ms) < 0 || ms <= now_ms)
        faults_add(
            faults, "/until",
            "must be an instant in the future as in RFC 3339, such as \"2030-01-31T08:00:00Z\"");
    return ms;
}

static void pause_or_resume(struct request *request, bool pause)
{
    static const char *const pause_names[] = {"for", "until", NULL};
    static const char *const resume_names[] = {NULL};
    struct engine_queue_change change = {.pause_do = pause ? ENGINE_SET : ENGINE_RESET};
    struct faults faults = {.count = 0};

    json_t *body = body_object(request, PROBLEM_INVALID_QUEUE);
    if (body == NULL)
        return;
    members_unknown(body, "", pause ? pause_names : resume_names, &faults);
    if (pause)
        change.paused_until_ms = take_pause(body, &faults);
    json_decref(body);
    end_change(request, &change, &faults);
}

void call_queue_pause(struct request *request)
{
    pause_or_resume(request, true);
}

void call_queue_resume(struct request *request)
{
    pause_or_resume(request, false);
}
