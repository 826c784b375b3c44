/* POST /v1/tasks with one task or an array: read, put (suspended), answered. A stream stands in
 * stream.c.
 *
 * The answer of a single task is written before the put, all but its id: once it is stored the
 * record belongs to its queue, and may be running or gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/body.h"
#include "api/calls.h"
#include "api/fields.h"
#include "api/key.h"
#include "api/request.h"
#include "api/stream.h"
#include "api/wait.h"
#include "config/units.h"

enum {
    YIELD_BYTES = 256 << 10, // of an array are read at once; then others are served
    HEAD_ROOM = 32,          // for {"id": and the digits
};

/* A submit under way: the request's work. */
struct submission {
    struct request *request;
    struct fields fields;
    struct faults faults;
    bool is_array;
    bool has_fields;
    size_t at;            // in the body: behind the array's last element that was read
    size_t element_count; // read so far
    struct record *one;
    struct record **records; // &one, or an array
    size_t count, capacity;
    struct store_key key;
    struct buffer answer; // of a single task: HEAD_ROOM bytes, then what follows the id
};

static request_fn read_array, stored;

static void submission_free(void *work)
{
    struct submission *submission = work;

    for (size_t i = 0; i < submission->count; i++)
        record_free(submission->records[i]); // NULL where a queue has taken it
    if (submission->records != &submission->one)
        free(submission->records);
    if (submission->has_fields)
        fields_fini(&submission->fields);
    faults_fini(&submission->faults);
    buffer_fini(&submission->answer);
    free(submission);
}

/* Answers what body_parse or fields_task found. */
static void answer_fault(struct request *request, int error, const struct body_fault *fault)
{
    if (error == -EBADMSG)
        body_problem(request, request->body.bytes, fault);
    else if (error == -EMSGSIZE)
        request_problem(request, PROBLEM_TOO_LARGE,
                        "the task has more values than max_request_memory allows");
    else
        request_problem_error(request, error);
}

/* One task, parsed from the body at [from, to). 0: it was added, or its faults were. */
static int read_task(struct submission *submission, size_t from, size_t to, unsigned depth_max,
                     struct body_fault *ret_fault)
{
    struct request *request = submission->request;
    const struct body_text place = {
        .text = request->body.bytes, .from = from, .to = to, .depth_max = depth_max};
    struct body_value task;
    struct record *record = NULL;

    int r = body_parse(request, &place, &task, ret_fault);
    if (r < 0)
        return r;
    r = fields_task(&submission->fields, task.value, place.text, &task.scan, &submission->faults,
                    &record);
    body_done(request, &task);
    if (r == -EBADMSG) {
        ret_fault->offset = task.scan.begin;
        (void)snprintf(ret_fault->text, sizeof(ret_fault->text),
                       "the key args must be written without escapes");
    }
    if (r == -EINVAL)
        return 0;
    if (r < 0)
        return r;
    if (!request_charge(request, record_bytes(record))) {
        record_free(record);
        return -ENOMEM;
    }
    submission->records[submission->count++] = record;
    return 0;
}

static void submit(struct request *request)
{
    struct submission *submission = request->work;
    struct store_op *op = &request->op;

    *op = (struct store_op){.type = STORE_PUT, .now_ms = submission->fields.now_ms};
    op->put.records = submission->records;
    op->put.count = submission->count;
    if (request->has_key) {
        memcpy(submission->key.text, request->key, sizeof(submission->key.text));
        key_hash(request, request->body.bytes, request->body.length, submission->key.hash);
        op->put.key = &submission->key;
    }
    request_drop_body(request);
    request_submit(request, stored);
}

/* ---- one task ---- */

static void read_single(struct request *request)
{
    struct submission *submission = request->work;
    struct body_fault fault = {.offset = 0};

    int r = read_task(submission, 0, request->body.length, request->limits.max_json_depth, &fault);
    if (r < 0) {
        answer_fault(request, r, &fault);
        return;
    }
    if (submission->faults.count > 0) {
        request_problem_faults(request, PROBLEM_INVALID_TASK, &submission->faults);
        return;
    }
    if (buffer_reserve(&submission->answer, HEAD_ROOM) != NULL)
        submission->answer.length = HEAD_ROOM;
    answer_task_rest(&submission->answer, request, submission->one, TASK_JSON_FULL);
    submit(request);
}

/* The id goes in front of what was written before the put. */
static void answer_single(struct request *request, uint64_t id)
{
    struct buffer *text = &((struct submission *)request->work)->answer;
    char location[48];

    (void)snprintf(location, sizeof(location), "/v1/tasks/%llu", (unsigned long long)id);
    if (!text->failed) {
        int length = snprintf(text->bytes, HEAD_ROOM, "{\"id\":%llu", (unsigned long long)id);
        RN_ASSERT(length > 0 && length < HEAD_ROOM);
        memmove(text->bytes + length, text->bytes + HEAD_ROOM, text->length - HEAD_ROOM);
        text->length -= (size_t)(HEAD_ROOM - length);
    }
    request_answer(request, &(struct answer){.status = 201, .text = text, .location = location});
}

/* Once the end has come, or as the task is. */
static void answer_waited(struct request *request)
{
    struct buffer text = {.bytes = NULL};
    char location[48];
    bool is_final = task_state_is_final(request->record->state);
    bool is_replayed = request->op.put.replayed;

    (void)snprintf(location, sizeof(location), "/v1/tasks/%llu", (unsigned long long)request->id);
    answer_task(&text, request, request->record, TASK_JSON_FULL);
    request_answer(request, &(struct answer){.status = request->wait_until == 0 ? 201
                                                       : is_final               ? 200
                                                                                : 202,
                                             .text = &text,
                                             .location = location,
                                             .is_replayed = is_replayed});
}

/* The task of a replayed key, or of one just stored, has been removed meanwhile: its id is all that
 * is left. */
static void answer_removed(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    buffer_printf(&text, "{\"id\":%llu}", (unsigned long long)request->id);
    request_answer(request, &(struct answer){.status = request->wait_until == 0 ? 201 : 200,
                                             .text = &text,
                                             .is_replayed = request->op.put.replayed});
}

/* ---- an array ---- */

static int add_room(struct submission *submission)
{
    if (submission->count < submission->capacity)
        return 0;
    size_t capacity = submission->capacity == 0 ? 64 : submission->capacity * 2;
    struct record **records = realloc(submission->records, capacity * sizeof(struct record *));
    if (records == NULL)
        return -ENOMEM;
    submission->records = records;
    submission->capacity = capacity;
    return 0;
}

static int bad_array(struct body_fault *fault, size_t offset, const char *text)
{
    fault->offset = offset;
    (void)snprintf(fault->text, sizeof(fault->text), "%s", text);
    return -EBADMSG;
}

/* Reads the next element. 1: there was one; 0: the array has ended. */
static int read_element(struct submission *submission, size_t index, struct body_fault *ret_fault)
{
    const struct buffer *body = &submission->request->body;
    const struct config_limits *limits = &submission->request->limits;
    struct scan scan;
    size_t at = scan_skip_space(body->bytes, body->length, submission->at);

    if (at < body->length && body->bytes[at] == ']') {
        if (scan_skip_space(body->bytes, body->length, at + 1) != body->length)
            return bad_array(ret_fault, at + 1, "something stands behind the array");
        return 0;
    }
    if (index > 0) {
        if (at == body->length || body->bytes[at] != ',')
            return bad_array(ret_fault, at, "',' or ']' expected");
        at++;
    }
    if (index == limits->max_array_tasks)
        return -E2BIG;
    if (add_room(submission) < 0)
        return -ENOMEM;
    (void)snprintf(submission->faults.prefix, sizeof(submission->faults.prefix), "/%zu", index);
    // Where it ends; body_parse looks at the depth itself.
    if (scan_value(body->bytes, body->length, at, limits->max_json_depth - 1, &scan) < 0)
        return body_too_deep(submission->request, scan.end, ret_fault);
    if (scan.end - scan.begin > limits->max_task_body)
        return -EMSGSIZE;
    int r = read_task(submission, at, scan.end, limits->max_json_depth - 1, ret_fault);
    submission->at = scan.end;
    return r < 0 ? r : 1;
}

static void array_is_read(struct request *request)
{
    struct submission *submission = request->work;

    submission->faults.prefix[0] = '\0';
    if (submission->element_count == 0)
        faults_add(&submission->faults, "", "must have at least one task");
    if (submission->faults.count > 0)
        request_problem_faults(request, PROBLEM_INVALID_TASK, &submission->faults);
    else
        submit(request);
}

static void read_array(struct request *request)
{
    struct submission *submission = request->work;
    struct body_fault fault = {.offset = 0};
    char most[32];
    size_t until = submission->at + YIELD_BYTES;
    int r = 1;

    while (r == 1 && submission->at < until) {
        r = read_element(submission, submission->element_count, &fault);
        if (r == 1)
            submission->element_count++;
    }
    if (r == 1)
        request_yield(request, read_array);
    else if (r == 0)
        array_is_read(request);
    else if (r == -E2BIG)
        request_problem(request, PROBLEM_TOO_LARGE,
                        "an array has at most %u tasks (max_array_tasks); send more as a stream "
                        "(application/x-ndjson)",
                        request->limits.max_array_tasks);
    else if (r == -EMSGSIZE)
        request_problem(
            request, PROBLEM_TOO_LARGE,
            "task %zu of the array is too large: at most %s are allowed (max_task_body)",
            submission->element_count,
            units_bytes_text(request->limits.max_task_body, most, sizeof(most)));
    else
        answer_fault(request, r, &fault);
}

static void answer_array(struct request *request, uint64_t first_id, uint64_t count)
{
    struct buffer text = {.bytes = NULL};

    request->log.tasks = count;
    BUFFER_LITERAL(&text, "{\"count\":");
    buffer_unsigned(&text, count);
    BUFFER_LITERAL(&text, ",\"ids\":[");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            BUFFER_LITERAL(&text, ",");
        buffer_unsigned(&text, first_id + i);
    }
    BUFFER_LITERAL(&text, "]}");
    request_answer(
        request,
        &(struct answer){.status = 201, .text = &text, .is_replayed = request->op.put.replayed});
}

/* ---- both ---- */

/* The put has been committed, or refused. */
static void stored(struct request *request)
{
    const struct submission *submission = request->work;
    const struct store_op *op = &request->op;

    if (op->result < 0) {
        request_problem_error(request, op->result);
        return;
    }
    request->has_effect = true;
    const struct store_key_state *first = &op->put.key_state;
    if (submission->is_array) {
        answer_array(request, op->put.replayed ? first->first_id : op->put.ids_first,
                     op->put.replayed ? first->count : submission->count);
        return;
    }
    request->id = op->put.replayed ? first->first_id : op->put.ids_first;
    if (op->put.replayed || request->wait_until != 0)
        wait_read(request, answer_waited, answer_removed);
    else
        answer_single(request, request->id);
}

void call_submit(struct request *request)
{
    char problem[512];

    if (request->is_stream) {
        stream_end(request);
        return;
    }
    struct submission *submission = request_work_new(request, sizeof(*submission), submission_free);
    if (submission == NULL)
        return;
    submission->request = request;
    submission->records = &submission->one;
    int r = fields_init(&submission->fields, request, problem);
    if (r == -EINVAL || r == -EACCES) {
        request_problem(request, r == -EACCES ? PROBLEM_FORBIDDEN : PROBLEM_INVALID_QUERY, "%s",
                        problem);
        return;
    }
    if (r < 0) {
        request_problem_error(request, r);
        return;
    }
    submission->has_fields = true;
    submission->is_array = request->body_space < request->body.length &&
                           request->body.bytes[request->body_space] == '[';
    if (!submission->is_array) {
        read_single(request);
        return;
    }
    if (request->wait_until != 0) {
        request_problem(request, PROBLEM_INVALID_QUERY,
                        "wait goes with a single task; of an array the ids are the answer");
        return;
    }
    submission->records = NULL;
    submission->at = request->body_space + 1;
    read_array(request);
}
