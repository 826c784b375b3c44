/* The calls on many tasks: POST /v1/tasks/actions, and the purge of a queue, which is a cancel of
 * what waits in it. The engine does it; the request waits for its end and for nothing else, so that
 * it is done to the end whoever still listens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/calls.h"
#include "api/filter.h"
#include "api/members.h"
#include "api/request.h"
#include "config/units.h"

/* An action under way: the request's work. */
struct many {
    struct request *request;
    struct filter filter;
    json_t *body; // whose strings the filter borrows
    const char *name;
    struct engine_action action;
};

static const struct {
    const char *name;
    enum store_op_type type;
} actions[] = {{"retry", STORE_RETRY}, {"cancel", STORE_CANCEL}, {"delete", STORE_DELETE}};
enum { ACTION_COUNT = sizeof(actions) / sizeof(actions[0]) };

static void many_free(void *work)
{
    struct many *many = work;

    filter_fini(&many->filter);
    json_decref(many->body);
    free(many);
}

/* The request's work; takes body. NULL: answered. */
static struct many *many_new(struct request *request, json_t *body)
{
    struct many *many = request_work_new(request, sizeof(*many), many_free);

    if (many == NULL) {
        json_decref(body);
        return NULL;
    }
    many->request = request;
    many->body = body;
    return many;
}

/* ---- out ---- */

static void add_counts(struct buffer *text, const struct engine_action *action)
{
    BUFFER_LITERAL(text, "\"matched\":");
    buffer_unsigned(text, action->matched);
    BUFFER_LITERAL(text, ",\"changed\":");
    buffer_unsigned(text, action->changed);
    BUFFER_LITERAL(text, ",\"skipped\":");
    buffer_unsigned(text, action->skipped);
}

/* It ended before its end: with what was done so far. */
static void answer_cut_short(struct request *request, const struct many *many)
{
    const struct engine_action *action = &many->action;
    enum problem problem = problem_of_error(action->result);
    struct buffer text = {.bytes = NULL};
    char detail[200];

    (void)snprintf(detail, sizeof(detail),
                   "%s; %llu tasks were looked at so far, %llu changed: send it again for the rest",
                   problem_row(problem)->title, (unsigned long long)action->matched,
                   (unsigned long long)(action->is_dry ? 0 : action->changed));
    problem_begin(&text, problem, detail);
    BUFFER_LITERAL(&text, ",");
    add_counts(&text, action);
    request_problem_text(request, problem, &text);
}

static void answer_many(struct request *request)
{
    const struct many *many = request->work;
    const struct engine_action *action = &many->action;
    struct buffer text = {.bytes = NULL};

    request->has_effect = !action->is_dry && action->changed > 0;
    if (action->result < 0) {
        answer_cut_short(request, many);
        return;
    }
    buffer_printf(&text, "{\"action\":\"%s\",\"dry_run\":", many->name);
    buffer_json_bool(&text, action->is_dry);
    BUFFER_LITERAL(&text, ",");
    add_counts(&text, action);
    BUFFER_LITERAL(&text, "}");
    request_answer_json(request, 200, &text);
}

static void refused(struct request *request)
{
    const struct many *many = request->work;

    if (many->action.result == -EAGAIN)
        request_problem(request, PROBLEM_BUSY, "%d actions on many tasks are under way already",
                        ENGINE_ACTIONS_MAX);
    else
        request_problem_error(request, many->action.result);
}

/* ---- in ---- */

static void action_done(struct engine_action *action, void *arg)
{
    (void)action;
    (void)request_resume(arg, REQUEST_WAITS_STORE);
}

static void start(struct request *request, struct many *many)
{
    struct engine_action *action = &many->action;

    action->filter = many->filter.store;
    action->done_fn = action_done;
    action->arg = request;
    if (!request_suspend(request, REQUEST_WAITS_STORE, answer_many)) {
        request_problem_error(request, -EPIPE);
        return;
    }
    int r = engine_action_start(request->server->engine, action);
    if (r < 0) {
        action->result = r;
        request->next_fn = refused;
        (void)request_resume(request, REQUEST_WAITS_STORE);
    }
}

static bool take_bool(json_t *body, const char *name, struct faults *faults)
{
    const json_t *value = json_object_get(body, name);
    char pointer[32];

    if (value == NULL || json_is_null(value))
        return false;
    if (!json_is_boolean(value))
        faults_add(faults, faults_pointer(name, pointer, sizeof(pointer)), "must be true or false");
    return json_is_true(value);
}

static void take_action(struct many *many, struct faults *faults)
{
    const char *names[ACTION_COUNT + 1] = {NULL};
    const char *name = json_string_value(json_object_get(many->body, "action"));

    for (size_t i = 0; i < ACTION_COUNT; i++) {
        names[i] = actions[i].name;
        if (name == NULL || strcmp(name, names[i]) != 0)
            continue;
        many->name = actions[i].name;
        many->action.type = actions[i].type;
        return;
    }
    const char *near = name == NULL ? NULL : nearest_name(name, names);
    if (near != NULL)
        faults_add(faults, "/action", "there is no action '%.40s': did you mean '%s'?", name, near);
    else
        faults_add(faults, "/action", "must be \"retry\", \"cancel\" or \"delete\"");
}

static void take_filter(struct many *many, bool is_all, struct faults *faults)
{
    json_t *object = json_object_get(many->body, "filter");
    bool has_any = false;

    if (object != NULL && !json_is_null(object) && !json_is_object(object)) {
        faults_add(faults, "/filter", "must be an object");
        return;
    }
    size_t faults_before = faults->count;
    if (json_is_object(object))
        has_any = filter_json(object, "/filter", &many->filter, faults);
    if (!has_any && !is_all && faults->count == faults_before)
        faults_add(faults, "/filter",
                   "is empty, which means every task: name some, or send \"all\": true");
}

void call_actions(struct request *request)
{
    static const char *const names[] = {"action", "filter", "dry_run", "all", NULL};
    struct faults faults = {.count = 0};

    json_t *body = body_object(request, PROBLEM_INVALID_ACTION);
    struct many *many = body == NULL ? NULL : many_new(request, body);
    if (many == NULL)
        return;
    take_action(many, &faults);
    many->action.is_dry = take_bool(body, "dry_run", &faults);
    take_filter(many, take_bool(body, "all", &faults), &faults);
    members_unknown(body, "", names, &faults);
    if (faults.count > 0)
        request_problem_faults(request, PROBLEM_INVALID_ACTION, &faults);
    else if (filter_limit(request, &many->filter) == 0)
        start(request, many);
    faults_fini(&faults);
}

/* ---- purge ---- */

/* false: answered. */
static bool is_queue(struct request *request)
{
    struct engine_queue queue;

    int r = config_token_has_queue(request->token, request->name)
                ? engine_queue_get(request->server->engine, request->name, &queue)
                : -ENOENT;
    if (r == -ENOENT)
        queue_not_found(request);
    else if (r < 0)
        request_problem_error(request, r);
    return r == 0;
}

void call_queue_purge(struct request *request)
{
    static const char *const names[] = {"dry_run", NULL};
    struct faults faults = {.count = 0};

    json_t *body = body_object(request, PROBLEM_INVALID_QUEUE);
    struct many *many = body == NULL ? NULL : many_new(request, body);
    if (many == NULL)
        return;
    many->name = "cancel";
    many->action.type = STORE_CANCEL;
    many->action.is_dry = take_bool(body, "dry_run", &faults);
    members_unknown(body, "", names, &faults);
    for (unsigned state = 0; state < TASK_STATE_COUNT; state++) {
        if (task_state_is_waiting((enum task_state)state))
            many->filter.store.states |= 1U << state;
    }
    many->filter.store.queues[0] = request->name;
    many->filter.store.queue_count = 1;
    if (faults.count > 0)
        request_problem_faults(request, PROBLEM_INVALID_QUEUE, &faults);
    else if (is_queue(request))
        start(request, many);
    faults_fini(&faults);
}
