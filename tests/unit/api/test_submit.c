/* Single tasks and arrays through a real server: answers, faults, keys, waits. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/buffer.h"

static void a_task_is_stored_and_answered_whole(void **state)
{
    struct rig *rig = *state;

    struct reply reply =
        post(rig, "/v1/tasks",
             "{\"kind\": \"echo\", \"args\": {\"n\": 1.10, \"big\": 123456789012345678}}");

    assert_int_equal(reply.status, 201);
    char *location = reply_field(&reply, "Location");
    assert_string_equal(location, "/v1/tasks/1");
    free(location);
    assert_int_equal(json_int_at(&reply, "id"), 1);
    assert_string_equal(json_text_at(&reply, "state"), "queued");
    assert_string_equal(json_text_at(&reply, "queue"), "default");
    assert_int_equal(json_int_at(&reply, "max_attempts"), 3);
    assert_string_equal(json_text_at(&reply, "timeout"), "1h");
    assert_non_null(strstr(reply.body, "\"args\":{\"n\":1.10,\"big\":123456789012345678}"));
    assert_int_equal(reply.body[reply.body_bytes - 1], '\n');
    static const char *const fields[] = {
        "id",          "state",       "kind",       "queue",        "priority",
        "args",        "result",      "error",      "exec",         "tags",
        "attempt",     "attempts",    "worker",     "max_attempts", "timeout",
        "backoff",     "waiting_for", "created_at", "queued_at",    "started_at",
        "finished_at", "run_at",      "expires_at", "duration_ms",  "interruptions"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_object_get(reply.json, fields[i]) == NULL)
            fail_msg("%s is not there", fields[i]);
    }
    reply_fini(&reply);
}

struct bad {
    const char *body;
    int status;
    const char *code;
    const char *pointer; // NULL: none
};

static const struct bad bad_tasks[] = {
    {"", 400, "invalid-json", NULL},
    {" ", 400, "invalid-json", NULL},
    {"{", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\"", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\"} x", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\"}{}", 400, "invalid-json", NULL},
    {"{kind:\"echo\"}", 400, "invalid-json", NULL},
    {"{\"kind\":'echo'}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"kind\":\"echo\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":{\"a\":1,\"a\":2}}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"\xff\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"\xc0\xaf\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"\xed\xa0\x80\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"\\ud800\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"\\u0000\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":\"a\nb\"}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":1e400}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":18446744073709551616}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":01}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":NaN}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"\\u0061rgs\":1}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"args\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
     "}",
     400, "invalid-json", NULL},
    {"nul", 400, "invalid-json", NULL},
    {"5", 422, "invalid-task", "#"},
    {"null", 422, "invalid-task", "#"},
    {"\"echo\"", 422, "invalid-task", "#"},
    {"true", 422, "invalid-task", "#"},
    {"[]", 422, "invalid-task", "#"},
    {"[5]", 422, "invalid-task", "#/0"},
    {"[{\"kind\":\"echo\"},[]]", 422, "invalid-task", "#/1"},
    {"[{\"kind\":\"echo\"},{\"kind\":\"echo\",\"priority\":101}]", 422, "invalid-task",
     "#/1/priority"},
    {"[{\"kind\":\"echo\"},]", 400, "invalid-json", NULL},
    {"[,{\"kind\":\"echo\"}]", 400, "invalid-json", NULL},
    {"[{\"kind\":\"echo\"} {\"kind\":\"echo\"}]", 400, "invalid-json", NULL},
    {"[{\"kind\":\"echo\"}", 400, "invalid-json", NULL},
    {"[{\"kind\":\"echo\"]]", 400, "invalid-json", NULL},
    {"[{\"kind\":\"echo\"}]]", 400, "invalid-json", NULL},
    {"{}", 422, "invalid-task", "#/kind"},
    {"{\"kind\":null}", 422, "invalid-task", "#/kind"},
    {"{\"kind\":5}", 422, "invalid-task", "#/kind"},
    {"{\"kind\":\"\"}", 422, "invalid-task", "#/kind"},
    {"{\"kind\":\"ecco\"}", 422, "invalid-task", "#/kind"},
    {"{\"kind\":\"echo\",\"queue\":\"none\"}", 422, "invalid-task", "#/queue"},
    {"{\"kind\":\"echo\",\"queue\":[]}", 422, "invalid-task", "#/queue"},
    {"{\"kind\":\"echo\",\"priority\":-101}", 422, "invalid-task", "#/priority"},
    {"{\"kind\":\"echo\",\"priority\":1.0}", 422, "invalid-task", "#/priority"},
    {"{\"kind\":\"echo\",\"priority\":\"1\"}", 422, "invalid-task", "#/priority"},
    {"{\"kind\":\"echo\",\"priority\":4294967297}", 422, "invalid-task", "#/priority"},
    {"{\"kind\":\"echo\",\"delay\":-1}", 422, "invalid-task", "#/delay"},
    {"{\"kind\":\"echo\",\"delay\":\"soon\"}", 422, "invalid-task", "#/delay"},
    {"{\"kind\":\"echo\",\"delay\":1e300}", 422, "invalid-task", "#/delay"},
    {"{\"kind\":\"echo\",\"delay\":\"1s\",\"run_at\":\"2030-01-01T00:00:00Z\"}", 422,
     "invalid-task", "#/delay"},
    {"{\"kind\":\"echo\",\"run_at\":\"tomorrow\"}", 422, "invalid-task", "#/run_at"},
    {"{\"kind\":\"echo\",\"run_at\":1764000000}", 422, "invalid-task", "#/run_at"},
    {"{\"kind\":\"echo\",\"expires_at\":\"2001-01-01T00:00:00Z\"}", 422, "invalid-task",
     "#/expires_at"},
    {"{\"kind\":\"echo\",\"run_at\":\"2999-01-01T00:00:00Z\",\"expires_at\":\"2998-01-01T00:00:"
     "00Z\"}",
     422, "invalid-task", "#/expires_at"},
    {"{\"kind\":\"echo\",\"timeout\":0}", 422, "invalid-task", "#/timeout"},
    {"{\"kind\":\"echo\",\"timeout\":\"366d\"}", 422, "invalid-task", "#/timeout"},
    {"{\"kind\":\"echo\",\"timeout\":true}", 422, "invalid-task", "#/timeout"},
    {"{\"kind\":\"echo\",\"max_attempts\":0}", 422, "invalid-task", "#/max_attempts"},
    {"{\"kind\":\"echo\",\"max_attempts\":1001}", 422, "invalid-task", "#/max_attempts"},
    {"{\"kind\":\"echo\",\"backoff\":5}", 422, "invalid-task", "#/backoff"},
    {"{\"kind\":\"echo\",\"backoff\":{\"base\":\"x\"}}", 422, "invalid-task", "#/backoff/base"},
    {"{\"kind\":\"echo\",\"backoff\":{\"max\":0}}", 422, "invalid-task", "#/backoff/max"},
    {"{\"kind\":\"echo\",\"backoff\":{\"bas\":1}}", 422, "invalid-task", "#/backoff/bas"},
    {"{\"kind\":\"echo\",\"backoff\":{\"base\":\"2h\",\"max\":\"1h\"}}", 422, "invalid-task",
     "#/backoff"},
    {"{\"kind\":\"echo\",\"tags\":\"a\"}", 422, "invalid-task", "#/tags"},
    {"{\"kind\":\"echo\",\"tags\":[\"a\",5]}", 422, "invalid-task", "#/tags/1"},
    {"{\"kind\":\"echo\",\"tags\":[\"\"]}", 422, "invalid-task", "#/tags/0"},
    {"{\"kind\":\"echo\",\"tags\":[\"a,b\"]}", 422, "invalid-task", "#/tags/0"},
    {"{\"kind\":\"echo\",\"priorty\":1}", 422, "invalid-task", "#/priorty"},
    {"{\"kind\":\"echo\",\"a/b~c\":1}", 422, "invalid-task", "#/a~1b~0c"},
    {"{\"kind\":\"echo\",\"id\":1}", 422, "invalid-task", "#/id"},
    {"{\"kind\":\"copy\"}", 422, "invalid-task", "#/args/path"},
    {"{\"kind\":\"copy\",\"args\":{\"path\":[]}}", 422, "invalid-task", "#/args/path"},
};

static void a_bad_task_is_named_and_nothing_is_stored(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(bad_tasks) / sizeof(bad_tasks[0]); i++) {
        const struct bad *bad = &bad_tasks[i];
        struct reply reply = post(rig, "/v1/tasks", bad->body);
        if (reply.status != bad->status)
            fail_msg("%s: answered %d %s", bad->body, reply.status, reply.body);
        expect_problem(reply, bad->status, bad->code, bad->pointer);
    }
    assert_int_equal(fake_task_count(rig->engine), 0);
}

static void all_faults_are_told_at_once_with_what_was_meant(void **state)
{
    struct rig *rig = *state;

    struct reply reply = post(
        rig, "/v1/tasks",
        "{\"kind\":\"ecco\",\"priorty\":5,\"max_attempts\":0,\"tags\":[1],\"queue\":\"mial\"}");

    assert_int_equal(reply.status, 422);
    assert_int_equal(json_array_size(json_object_get(reply.json, "errors")), 5);
    assert_non_null(strstr(reply.body, "did you mean 'echo'?"));
    assert_non_null(strstr(reply.body, "did you mean 'priority'?"));
    assert_non_null(strstr(reply.body, "did you mean 'mail'?"));
    reply_fini(&reply);
}

static void bad_json_is_told_with_line_and_column(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *body;
        int line, column;
    } cases[] = {
        {"{\"kind\":}", 1, 9},
        {"{\n  \"kind\": \"echo\",\n  \"args\": {\"a\": tru}\n}", 3, 19},
        {"[{\"kind\":\"echo\"},\n {\"kind\":\"echo\",}]", 2, 17},
        {"{\"kind\":\"\xc3\xa4\xc3\xa4\",x", 1, 14},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply reply = post(rig, "/v1/tasks", cases[i].body);
        if (json_int_at(&reply, "line") != cases[i].line ||
            json_int_at(&reply, "column") != cases[i].column)
            fail_msg("%s: %s", cases[i].body, reply.body);
        expect_problem(reply, 400, "invalid-json", NULL);
    }
    // A NUL is no end of what stands before it.
    char text[300];
    int fd = client_connect(rig);
    int length =
        snprintf(text, sizeof(text),
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                 "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"kind\":\"echo\"}",
                 rig->port);
    client_send(fd, text, (size_t)length + 1);
    expect_problem(client_read(fd, false), 400, "invalid-json", NULL);
    (void)close(fd);
}

static void every_field_is_kept(void **state)
{
    struct rig *rig = *state;

    struct reply reply =
        post(rig, "/v1/tasks",
             "{\"kind\":\"echo\",\"queue\":\"mail\",\"priority\":-100,\"run_at\":\"2999-01-01T01:"
             "00:00+01:00\","
             "\"expires_at\":\"2999-01-02T00:00:00Z\",\"timeout\":1.5,\"max_attempts\":1000,"
             "\"backoff\":{\"base\":\"1s\",\"max\":60},\"tags\":[\"a\",\"\\u00e4\\\"\"],\"args\":["
             "1, \"a b\", {\"x\" : null}]}");

    assert_int_equal(reply.status, 201);
    assert_string_equal(json_text_at(&reply, "state"), "scheduled");
    assert_string_equal(json_text_at(&reply, "run_at"), "2999-01-01T00:00:00.000Z");
    assert_string_equal(json_text_at(&reply, "expires_at"), "2999-01-02T00:00:00.000Z");
    assert_string_equal(json_text_at(&reply, "timeout"), "1s500ms");
    assert_true(json_is_null(json_object_get(reply.json, "queued_at")));
    assert_non_null(strstr(reply.body, "\"args\":[1,\"a b\",{\"x\":null}]"));
    assert_non_null(strstr(reply.body, "\"backoff\":{\"base\":\"1s\",\"max\":\"1m\"}"));
    assert_non_null(strstr(reply.body, "\"tags\":[\"a\",\"\xc3\xa4\\\"\"]"));
    assert_non_null(strstr(reply.body, "\"waiting_for\":{\"code\":\"time\""));
    const struct record *record = fake_task(rig->engine, 1);
    assert_int_equal(record->priority, -100);
    assert_int_equal(record->timeout_ms, 1500);
    assert_int_equal(record->max_attempts, 1000);
    reply_fini(&reply);

    reply = post(rig, "/v1/tasks",
                 "{\"kind\":\"copy\",\"args\":{\"path\":\"/"
                 "x\"},\"priority\":null,\"run_at\":\"2001-01-01T00:00:00Z\"}");
    assert_string_equal(json_text_at(&reply, "state"), "queued");
    assert_string_equal(json_text_at(&reply, "queue"), "mail");
    reply_fini(&reply);
}

static void the_query_gives_what_the_body_leaves_out(void **state)
{
    struct rig *rig = *state;

    struct reply reply =
        post(rig, "/v1/tasks?queue=mail&priority=-5&delay=1h&max_attempts=7&tags=a,b&timeout=90",
             "{\"kind\":\"echo\",\"priority\":3}");
    assert_int_equal(reply.status, 201);
    assert_string_equal(json_text_at(&reply, "queue"), "mail");
    assert_int_equal(json_int_at(&reply, "priority"), 3);
    assert_int_equal(json_int_at(&reply, "max_attempts"), 7);
    assert_string_equal(json_text_at(&reply, "state"), "scheduled");
    assert_string_equal(json_text_at(&reply, "timeout"), "1m30s");
    assert_int_equal(json_array_size(json_object_get(reply.json, "tags")), 2);
    reply_fini(&reply);

    reply = post(rig, "/v1/tasks?kind=echo&delay=1h", "{\"run_at\":\"2001-01-01T00:00:00Z\"}");
    assert_string_equal(json_text_at(&reply, "state"), "queued");
    reply_fini(&reply);
    reply = post(rig, "/v1/tasks?run_at=2999-01-01T00:00:00+02:00", "{\"kind\":\"echo\"}");
    assert_string_equal(json_text_at(&reply, "run_at"), "2998-12-31T22:00:00.000Z");
    reply_fini(&reply);
    expect_problem(post(rig, "/v1/tasks?priority=high", "{\"kind\":\"echo\"}"), 400,
                   "invalid-query", NULL);
    expect_problem(post(rig, "/v1/tasks?queue=none", "{\"kind\":\"echo\"}"), 400, "invalid-query",
                   NULL);
    expect_problem(
        post(rig, "/v1/tasks?delay=1&run_at=2999-01-01T00:00:00Z", "{\"kind\":\"echo\"}"), 400,
        "invalid-query", NULL);
    expect_problem(post(rig, "/v1/tasks?args=1", "{\"kind\":\"echo\"}"), 400, "invalid-query",
                   NULL);
}

static void args_have_a_limit(void **state)
{
    struct rig *rig = *state;
    char *body = task_with_args(1 << 20);

    struct reply reply = post(rig, "/v1/tasks", body);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
    free(body);
    body = task_with_args((1 << 20) + 1);
    expect_problem(post(rig, "/v1/tasks", body), 413, "too-large", "#/args");
    free(body);
}

static void hostile_json_ends_soon(void **state)
{
    struct rig *rig = *state;
    const size_t length = 1 << 20;
    char *body = malloc(length + 1);

    memset(body, '[', length);
    body[length] = '\0';
    expect_problem(post(rig, "/v1/tasks", body), 400, "invalid-json", NULL);
    memset(body, '{', length);
    expect_problem(post(rig, "/v1/tasks", body), 400, "invalid-json", NULL);
    memset(body, '"', length);
    expect_problem(post(rig, "/v1/tasks", body), 400, "invalid-json", NULL);
    memset(body, '\\', length);
    body[0] = '"';
    expect_problem(post(rig, "/v1/tasks", body), 400, "invalid-json", NULL);
    free(body);
    // Its tree would be eighty times as large.
    struct buffer text = {.bytes = NULL};
    buffer_text(&text, "{\"kind\":\"echo\",\"args\":[");
    while (text.length < length - 8)
        buffer_text(&text, "{},");
    buffer_text(&text, "{}]}");
    buffer_add(&text, "", 1);
    expect_problem(post(rig, "/v1/tasks", text.bytes), 413, "too-large", NULL);
    buffer_fini(&text);
    assert_int_equal(fake_task_count(rig->engine), 0);
}

static void an_array_is_stored_as_one(void **state)
{
    struct rig *rig = *state;
    struct buffer body = {.bytes = NULL};

    struct reply reply = post(
        rig, "/v1/tasks",
        " [ {\"kind\":\"echo\"} , {\"kind\":\"echo\",\"args\":[1,2]},{\"kind\":\"echo\"}\n]\n");
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.body, "{\"count\":3,\"ids\":[1,2,3]}\n");
    reply_fini(&reply);
    assert_int_equal(fake_put_count(rig->engine), 1);
    assert_string_equal(fake_task(rig->engine, 2)->args.bytes, "[1,2]");

    for (int i = 0; i < 10000; i++)
        buffer_printf(&body, "%c{\"kind\":\"echo\",\"args\":{\"number\":%d}}", i == 0 ? '[' : ',',
                      i);
    buffer_add(&body, "]", 2);
    reply = post(rig, "/v1/tasks", body.bytes);
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), 10000);
    reply_fini(&reply);
    assert_int_equal(fake_put_count(rig->engine), 2);
    assert_string_equal(fake_task(rig->engine, 10003)->args.bytes, "{\"number\":9999}");

    body.length -= 2;
    buffer_text(&body, ",{\"kind\":\"echo\"}]");
    buffer_add(&body, "", 1);
    expect_problem(post(rig, "/v1/tasks", body.bytes), 413, "too-large", NULL);
    assert_int_equal(fake_task_count(rig->engine), 10003);
    buffer_fini(&body);
    expect_problem(post(rig, "/v1/tasks?wait=1s", "[{\"kind\":\"echo\"}]"), 400, "invalid-query",
                   NULL);
}

static void what_the_store_refuses_is_told_with_its_code(void **state)
{
    struct rig *rig = *state;
    static const struct {
        int error, status;
        const char *code;
    } cases[] = {
        {-ENOSPC, 507, "store-full"}, {-ENOBUFS, 503, "backlog-full"}, {-EAGAIN, 503, "busy"},
        {-ENOMEM, 503, "busy"},       {-EPIPE, 503, "draining"},       {-EIO, 500, "internal"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_refuse_submit(rig->engine, cases[i].error);
        expect_problem(post(rig, "/v1/tasks", "{\"kind\":\"echo\"}"), cases[i].status,
                       cases[i].code, NULL);
        fake_refuse_submit(rig->engine, 0);
        fake_refuse_op(rig->engine, cases[i].error);
        struct reply reply = post(rig, "/v1/tasks", "[{\"kind\":\"echo\"}]");
        char *after = reply_field(&reply, "Retry-After");
        assert_int_equal(after != NULL, cases[i].status != 500);
        free(after);
        expect_problem(reply, cases[i].status, cases[i].code, NULL);
        fake_refuse_op(rig->engine, 0);
    }
    assert_int_equal(fake_task_count(rig->engine), 0);
}

/* ---- keys ---- */

#define KEYED(key) "Content-Type: application/json\r\nIdempotency-Key: " key "\r\n"

static void a_key_makes_one_task_however_often_it_comes(void **state)
{
    struct rig *rig = *state;

    struct reply first =
        request(rig, "POST", "/v1/tasks", KEYED("\"k1\""), "{\"kind\":\"echo\",\"args\":1}");
    assert_int_equal(first.status, 201);
    char *replayed = reply_field(&first, "Idempotent-Replayed");
    assert_null(replayed);
    reply_fini(&first);
    fake_set(rig->engine, 1, TASK_SUCCEEDED, "1", true);

    // Unquoted it is the same key; wait and pretty say nothing about the task.
    struct reply second =
        request(rig, "POST", "/v1/tasks?pretty", KEYED("k1"), "{\"kind\":\"echo\",\"args\":1}");
    assert_int_equal(second.status, 201);
    assert_int_equal(json_int_at(&second, "id"), 1);
    assert_string_equal(json_text_at(&second, "state"), "succeeded");
    replayed = reply_field(&second, "Idempotent-Replayed");
    assert_string_equal(replayed, "true");
    free(replayed);
    reply_fini(&second);
    second =
        request(rig, "POST", "/v1/tasks?wait=5s", KEYED("k1"), "{\"kind\":\"echo\",\"args\":1}");
    assert_int_equal(second.status, 200);
    reply_fini(&second);

    expect_problem(request(rig, "POST", "/v1/tasks", KEYED("k1"), "{\"kind\":\"echo\",\"args\":2}"),
                   422, "idempotency-key-reused", NULL);
    expect_problem(
        request(rig, "POST", "/v1/tasks?queue=mail", KEYED("k1"), "{\"kind\":\"echo\",\"args\":1}"),
        422, "idempotency-key-reused", NULL);
    assert_int_equal(fake_task_count(rig->engine), 1);

    struct reply gone = request(rig, "DELETE", "/v1/tasks/1", NULL, NULL);
    assert_int_equal(gone.status, 204);
    reply_fini(&gone);
    second = request(rig, "POST", "/v1/tasks", KEYED("k1"), "{\"kind\":\"echo\",\"args\":1}");
    assert_int_equal(second.status, 201);
    assert_string_equal(second.body, "{\"id\":1}\n");
    reply_fini(&second);
}

static void a_key_goes_with_an_array_too(void **state)
{
    struct rig *rig = *state;
    static const char body[] = "[{\"kind\":\"echo\"},{\"kind\":\"echo\"}]";

    for (int i = 0; i < 2; i++) {
        struct reply reply = request(rig, "POST", "/v1/tasks", KEYED("array"), body);
        assert_int_equal(reply.status, 201);
        assert_string_equal(reply.body, "{\"count\":2,\"ids\":[1,2]}\n");
        reply_fini(&reply);
    }
    assert_int_equal(fake_task_count(rig->engine), 2);
}

static void a_refused_request_uses_no_key_up(void **state)
{
    struct rig *rig = *state;

    expect_problem(request(rig, "POST", "/v1/tasks", KEYED("k"), "{\"kind\":\"none\"}"), 422,
                   "invalid-task", "#/kind");
    struct reply reply = request(rig, "POST", "/v1/tasks", KEYED("k"), "{\"kind\":\"echo\"}");
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
}

static void a_malformed_key_is_refused(void **state)
{
    struct rig *rig = *state;
    char field[400];
    static const char *const keys[] = {"", "\"\"", "\"a", "a b", "\"a\"b", "\"a\\b\"", "\xc3\xa4"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        (void)snprintf(field, sizeof(field),
                       "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", keys[i]);
        expect_problem(request(rig, "POST", "/v1/tasks", field, "{\"kind\":\"echo\"}"), 400,
                       "invalid-query", NULL);
    }
    char key[257];
    memset(key, 'k', sizeof(key));
    key[255] = '\0';
    (void)snprintf(field, sizeof(field),
                   "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", key);
    struct reply reply = request(rig, "POST", "/v1/tasks", field, "{\"kind\":\"echo\"}");
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
    key[255] = 'k';
    key[256] = '\0';
    (void)snprintf(field, sizeof(field),
                   "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", key);
    expect_problem(request(rig, "POST", "/v1/tasks", field, "{\"kind\":\"echo\"}"), 400,
                   "invalid-query", NULL);
}

/* ---- bodies as they come ---- */

static void a_body_may_come_in_any_pieces(void **state)
{
    struct rig *rig = *state;
    static const char task[] = "{\"kind\":\"echo\",\"args\":[1,2,3]}";
    char text[512];
    int fd = client_connect(rig);

    // Byte by byte, with a length.
    (void)snprintf(text, sizeof(text),
                   "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                   "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   rig->port, strlen(task), task);
    for (size_t i = 0; text[i] != '\0'; i++)
        client_send(fd, text + i, 1);
    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_false(reply.closed);
    reply_fini(&reply);

    // In chunks of one byte.
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                 "application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                 rig->port);
    for (size_t i = 0; task[i] != '\0'; i++) {
        client_textf(fd, "1\r\n%c\r\n", task[i]);
    }
    client_text(fd, "0\r\n\r\n");
    reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_string_equal(fake_task(rig->engine, 2)->args.bytes, "[1,2,3]");
    reply_fini(&reply);
    (void)close(fd);
}

static void requests_may_be_pipelined(void **state)
{
    struct rig *rig = *state;
    char text[512];
    int fd = client_connect(rig);

    (void)snprintf(text, sizeof(text),
                   "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                   "application/json\r\nContent-Length: 15\r\n\r\n{\"kind\":\"echo\"}",
                   rig->port);
    for (int i = 0; i < 20; i++)
        client_text(fd, text);
    for (int i = 1; i <= 20; i++) {
        struct reply reply = client_read(fd, false);
        assert_int_equal(reply.status, 201);
        assert_int_equal(json_int_at(&reply, "id"), i);
        reply_fini(&reply);
    }
    (void)close(fd);
}

static void pretty_indents_and_changes_no_number(void **state)
{
    struct rig *rig = *state;

    struct reply reply =
        post(rig, "/v1/tasks?pretty",
             "{\"kind\":\"echo\",\"args\":{\"n\":1.10,\"e\":[],\"s\":\"a{,}\\\"\"}}");
    assert_int_equal(reply.status, 201);
    assert_non_null(strstr(
        reply.body,
        "\n  \"args\": {\n    \"n\": 1.10,\n    \"e\": [],\n    \"s\": \"a{,}\\\"\"\n  },\n"));
    reply_fini(&reply);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(a_task_is_stored_and_answered_whole),
        ON_RIG(a_bad_task_is_named_and_nothing_is_stored),
        ON_RIG(all_faults_are_told_at_once_with_what_was_meant),
        ON_RIG(bad_json_is_told_with_line_and_column),
        ON_RIG(every_field_is_kept),
        ON_RIG(the_query_gives_what_the_body_leaves_out),
        ON_RIG(args_have_a_limit),
        ON_RIG(hostile_json_ends_soon),
        ON_RIG(an_array_is_stored_as_one),
        ON_RIG(what_the_store_refuses_is_told_with_its_code),
        ON_RIG(a_key_makes_one_task_however_often_it_comes),
        ON_RIG(a_key_goes_with_an_array_too),
        ON_RIG(a_refused_request_uses_no_key_up),
        ON_RIG(a_malformed_key_is_refused),
        ON_RIG(a_body_may_come_in_any_pieces),
        ON_RIG(requests_may_be_pipelined),
        ON_RIG(pretty_indents_and_changes_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
