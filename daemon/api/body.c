/* JSON bodies. jansson is strict by itself; beyond it are refused a NUL (which it takes for the end
 * of what stands before it), more than max_json_depth levels, and trees that take more memory than
 * requests may: of [{},{},…] a tree is eighty times as large as its text. */
#include "api/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "store/jsontext.h"

enum {
    UNCHARGED_MAX = 64 << 10
}; // a tree of at most this size lives within one call of the handler

static size_t charge_of(const struct scan *scan)
{
    size_t bytes = scan_tree_bytes(scan);
    return bytes <= UNCHARGED_MAX ? 0 : bytes;
}

/* A number, string or word is no JSON text for jansson as we call it (with JSON_DECODE_ANY it
 * overlooks what follows): put it into an array. ret_error->position is then one too high. */
static json_t *parse_scalar(const char *text, size_t length, json_error_t *ret_error)
{
    char *wrapped = malloc(length + 2);
    if (wrapped == NULL)
        return NULL;
    wrapped[0] = '[';
    memcpy(wrapped + 1, text, length);
    wrapped[length + 1] = ']';
    json_t *array = jsontext_read(wrapped, length + 2, JSON_REJECT_DUPLICATES, ret_error);
    free(wrapped);
    if (array == NULL)
        return NULL;
    json_t *value = json_array_size(array) == 1 ? json_incref(json_array_get(array, 0)) : NULL;
    json_decref(array);
    if (value == NULL)
        (void)snprintf(ret_error->text, sizeof(ret_error->text), "one value expected");
    return value;
}

static int bad_at(struct body_fault *fault, size_t offset, const char *text)
{
    fault->offset = offset;
    (void)snprintf(fault->text, sizeof(fault->text), "%s", text);
    return -EBADMSG;
}

int body_too_deep(const struct request *request, size_t offset, struct body_fault *ret_fault)
{
    ret_fault->offset = offset;
    (void)snprintf(ret_fault->text, sizeof(ret_fault->text),
                   "nested too deeply, at most %u levels are allowed (max_json_depth)",
                   request->limits.max_json_depth);
    return -EBADMSG;
}

int body_parse(struct request *request, const struct body_text *place, struct body_value *ret_value,
               struct body_fault *ret_fault)
{
    const char *text = place->text;
    const size_t from = place->from;
    const size_t to = place->to;
    json_error_t error = {.position = 0};
    struct scan scan = {.begin = 0};

    if (from == to)
        return bad_at(ret_fault, to, "a JSON value expected, there is nothing");
    const char *nul = memchr(text + from, '\0', to - from);
    if (nul != NULL)
        return bad_at(ret_fault, (size_t)(nul - text), "a NUL byte");
    if (scan_value(text, to, from, place->depth_max, &scan) < 0)
        return body_too_deep(request, scan.end, ret_fault);
    if (scan.begin == to)
        return bad_at(ret_fault, to, "a JSON value expected, there is nothing");
    const size_t charge = charge_of(&scan);
    if (charge > request->server->config->max_request_memory)
        return -EMSGSIZE;
    if (charge > 0 && !request_charge(request, charge))
        return -ENOMEM;

    const bool is_scalar = text[scan.begin] != '{' && text[scan.begin] != '[';
    json_t *value = is_scalar
                        ? parse_scalar(text + from, to - from, &error)
                        : jsontext_read(text + from, to - from, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        if (charge > 0)
            request_discharge(request, charge);
        if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory)
            return -ENOMEM;
        // The position is behind the byte that jansson could not take.
        size_t behind = error.position > 0 ? (size_t)error.position - is_scalar : 0;
        size_t offset = from + (behind > 0 ? behind - 1 : 0);
        return bad_at(ret_fault, offset < to ? offset : to, error.text);
    }
    *ret_value = (struct body_value){.scan = scan, .value = value};
    return 0;
}

void body_done(struct request *request, struct body_value *value)
{
    const size_t charge = charge_of(&value->scan);

    json_decref(value->value);
    if (charge > 0)
        request_discharge(request, charge);
}

void body_problem(struct request *request, const char *text, const struct body_fault *fault)
{
    struct buffer problem = {.bytes = NULL};
    char detail[400];
    unsigned line = 0;
    unsigned column = 0;

    scan_place(text, fault->offset, &line, &column);
    (void)snprintf(detail, sizeof(detail), "line %u, column %u: %s", line, column, fault->text);
    problem_begin(&problem, PROBLEM_INVALID_JSON, detail);
    buffer_printf(&problem, ",\"line\":%u,\"column\":%u", line, column);
    request_problem_text(request, PROBLEM_INVALID_JSON, &problem);
}

json_t *body_object(struct request *request, enum problem problem)
{
    const struct body_text place = {.text = request->body.bytes,
                                    .to = request->body.length,
                                    .depth_max = request->limits.max_json_depth};
    struct body_value body = {.value = NULL};
    struct body_fault fault = {.offset = 0};
    int r = 0;

    if (request->body.length == 0)
        body.value = json_object();
    else
        r = body_parse(request, &place, &body, &fault);
    if (r == -EBADMSG) {
        body_problem(request, place.text, &fault);
        return NULL;
    }
    if (r < 0 || body.value == NULL) {
        request_problem_error(request, -ENOMEM);
        return NULL;
    }
    if (!json_is_object(body.value)) {
        struct faults faults = {.count = 0};
        body_done(request, &body);
        faults_add(&faults, "", "must be an object");
        request_problem_faults(request, problem, &faults);
        faults_fini(&faults);
        return NULL;
    }
    // What is left of a small body's tree is small too.
    json_incref(body.value);
    body_done(request, &body);
    return body.value;
}
