/* PATCH /v1/tasks/{id}: the task is read, since its args and kind say what may be changed, then the
 * store is told. Args never change, so nothing that was checked can be wrong by then; whether the
 * task still waits the store looks at again. */
#include <stdio.h>
#include <stdlib.h>

#include "api/answer.h"
#include "api/body.h"
#include "api/calls.h"
#include "api/fields.h"
#include "api/request.h"
#include "api/wait.h"

/* A change under way: the request's work. */
struct edit {
    json_t *body;
    struct record record; // what is to be set
};

static void edit_free(void *work)
{
    struct edit *edit = work;

    json_decref(edit->body);
    record_fini(&edit->record);
    free(edit);
}

static void answer_edited(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    answer_task(&text, request, request->record, TASK_JSON_FULL);
    request_answer_json(request, 200, &text);
}

/* It was changed, and has run and been removed since. */
static void answer_gone(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    buffer_printf(&text, "{\"id\":%llu}", (unsigned long long)request->id);
    request_answer_json(request, 200, &text);
}

static void answer_wrong_state(struct request *request, enum task_state state)
{
    struct buffer text = {.bytes = NULL};
    char detail[200];

    (void)snprintf(detail, sizeof(detail), "task %llu is %s; only tasks that wait can be changed",
                   (unsigned long long)request->id, task_state_name(state));
    problem_begin(&text, PROBLEM_WRONG_STATE, detail);
    BUFFER_LITERAL(&text, ",\"state\":");
    buffer_json_text(&text, task_state_name(state));
    request_problem_text(request, PROBLEM_WRONG_STATE, &text);
}

static void edited(struct request *request)
{
    const struct store_op *op = &request->op;
    struct faults faults = {.count = 0};

    request->has_effect = op->result == 0;
    if (op->result == 0) {
        wait_read(request, answer_edited, answer_gone);
    } else if (op->result == -ESTALE) {
        answer_wrong_state(request, op->edit.state);
    } else if (op->result == -EDOM) {
        faults_add(&faults, "/expires_at",
                   "must be later than the instant at which the task may start");
        request_problem_faults(request, PROBLEM_INVALID_TASK, &faults);
        faults_fini(&faults);
    } else {
        request_problem_error(request, op->result);
    }
}

static void submit(struct request *request)
{
    struct edit *edit = request->work;
    const struct fields fields = {.config = request->config,
                                  .limits = &request->limits,
                                  .now_ms = rn_wall_ms(),
                                  .token = request->token};
    struct faults faults = {.count = 0};
    unsigned set = 0;

    int r = fields_change(&fields, edit->body, request->record, &faults, &edit->record, &set);
    if (r == -EINVAL) {
        request_problem_faults(request, PROBLEM_INVALID_TASK, &faults);
    } else if (r < 0) {
        request_problem_error(request, r);
    } else {
        request->op = (struct store_op){.type = STORE_EDIT, .now_ms = fields.now_ms};
        request->op.edit.id = request->id;
        request->op.edit.record = &edit->record;
        request->op.edit.fields = set;
        request_submit(request, edited);
    }
    faults_fini(&faults);
}

static void task_is_read(struct request *request)
{
    enum task_state state = request->record->state;

    if (task_state_is_waiting(state))
        submit(request);
    else
        answer_wrong_state(request, state);
}

void call_edit(struct request *request)
{
    struct edit *edit = request_work_new(request, sizeof(*edit), edit_free);

    if (edit == NULL)
        return;
    edit->body = body_object(request, PROBLEM_INVALID_TASK);
    if (edit->body != NULL)
        wait_read(request, task_is_read, NULL);
}
