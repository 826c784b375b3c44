/* The calls on one task: get, result, cancel, retry, delete. */
#include <stdio.h>
#include <string.h>

#include "api/answer.h"
#include "api/body.h"
#include "api/calls.h"
#include "api/members.h"
#include "api/request.h"
#include "api/wait.h"

static void answer_record(struct request *request, unsigned status)
{
    struct buffer text = {.bytes = NULL};

    answer_task(&text, request, request->record, TASK_JSON_FULL);
    request_answer_json(request, status, &text);
}

static void answer_found(struct request *request)
{
    answer_record(request, 200);
}

void call_task(struct request *request)
{
    wait_read(request, answer_found, NULL);
}

/* ---- the result ---- */

static void answer_failed(struct request *request)
{
    const struct record *record = request->record;
    struct buffer text = {.bytes = NULL};
    char detail[200];

    (void)snprintf(detail, sizeof(detail), "task %llu has %s: it has no result",
                   (unsigned long long)record->id,
                   record->state == TASK_CANCELLED ? "been cancelled" : "failed");
    problem_begin(&text, PROBLEM_TASK_FAILED, detail);
    BUFFER_LITERAL(&text, ",\"state\":");
    buffer_json_text(&text, task_state_name(record->state));
    BUFFER_LITERAL(&text, ",\"error\":");
    task_json_error(&text, record);
    request_problem_text(request, PROBLEM_TASK_FAILED, &text);
}

static void answer_result(struct request *request)
{
    struct record *record = request->record;
    struct buffer text = {.bytes = NULL};

    if (!task_state_is_final(record->state)) {
        answer_record(request, 202);
        return;
    }
    if (record->state != TASK_SUCCEEDED) {
        answer_failed(request);
        return;
    }
    bool is_json = record->result_is_json || record->result.bytes == NULL;
    if (record->result.bytes == NULL)
        BUFFER_LITERAL(&text, "null");
    else
        buffer_add(&text, record->result.bytes, record->result.length);
    request_answer(request, &(struct answer){.status = 200,
                                             .type = is_json ? "application/json"
                                                             : "text/plain; charset=utf-8",
                                             .text = &text});
}

void call_result(struct request *request)
{
    wait_read(request, answer_result, NULL);
}

/* ---- cancel, retry, delete ---- */

/* Such a call has no body, or an empty object. false: answered. */
static bool has_empty_body(struct request *request)
{
    static const char *const none[] = {NULL};
    struct faults faults = {.count = 0};

    json_t *body = body_object(request, PROBLEM_INVALID_TASK);
    if (body == NULL)
        return false;
    members_unknown(body, "", none, &faults);
    json_decref(body);
    bool is_empty = faults.count == 0;
    if (!is_empty)
        request_problem_faults(request, PROBLEM_INVALID_TASK, &faults);
    faults_fini(&faults);
    return is_empty;
}

/* A token for some queues and kinds may have to do with the tasks that it sees only. */
static void when_seen(struct request *request, request_fn *next_fn)
{
    if (access_is_limited(request->token))
        wait_read(request, next_fn, NULL);
    else
        next_fn(request);
}

static void submit_one(struct request *request, enum store_op_type type, request_fn *next_fn)
{
    request->op = (struct store_op){.type = type, .now_ms = rn_wall_ms()};
    request->op.one.id = request->id;
    request_submit(request, next_fn);
}

/* false: answered. */
static bool is_done(struct request *request, const char *rule)
{
    const struct store_op *op = &request->op;
    struct buffer text = {.bytes = NULL};
    char detail[200];

    request->has_effect = op->result == 0;
    if (op->result == 0)
        return true;
    if (op->result != -ESTALE) {
        request_problem_error(request, op->result);
        return false;
    }
    (void)snprintf(detail, sizeof(detail), "task %llu is %s; %s", (unsigned long long)request->id,
                   task_state_name(op->one.state), rule);
    problem_begin(&text, PROBLEM_WRONG_STATE, detail);
    BUFFER_LITERAL(&text, ",\"state\":");
    buffer_json_text(&text, task_state_name(op->one.state));
    request_problem_text(request, PROBLEM_WRONG_STATE, &text);
    return false;
}

static void answer_cancel(struct request *request)
{
    answer_record(request, request->op.one.state == TASK_CANCELLED ? 200 : 202);
}

/* It was done, and the task has gone since. */
static void answer_gone(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    buffer_printf(&text, "{\"id\":%llu}", (unsigned long long)request->id);
    request_answer_json(request, 200, &text);
}

static void cancelled(struct request *request)
{
    if (is_done(request, "only tasks that have not finished can be cancelled"))
        wait_read(request, answer_cancel, answer_gone);
}

static void cancel_seen(struct request *request)
{
    submit_one(request, STORE_CANCEL, cancelled);
}

void call_cancel(struct request *request)
{
    if (has_empty_body(request))
        when_seen(request, cancel_seen);
}

static void retried(struct request *request)
{
    if (is_done(request, "only failed and cancelled tasks can be retried"))
        wait_read(request, answer_found, answer_gone);
}

static void retry_seen(struct request *request)
{
    submit_one(request, STORE_RETRY, retried);
}

void call_retry(struct request *request)
{
    if (has_empty_body(request))
        when_seen(request, retry_seen);
}

static void deleted(struct request *request)
{
    if (is_done(request, "only finished tasks can be deleted; cancel it first"))
        request_answer(request, &(struct answer){.status = 204});
}

static void delete_seen(struct request *request)
{
    submit_one(request, STORE_DELETE, deleted);
}

void call_delete(struct request *request)
{
    when_seen(request, delete_seen);
}
