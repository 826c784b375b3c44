/* Tokens for some queues and kinds: what they may name, and what is there for them. */
#include "unit.h"

#include "client.h"
#include "token_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

static void a_limited_token_submits_into_its_own_only(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *token, *path, *body, *pointer; // pointer NULL: taken; "": the query is refused
    } rows[] = {
        {"mail", "/v1/tasks", COPY, NULL},
        {"mail", "/v1/tasks", ECHO, "#/queue"}, // it would go into default
        {"mail", "/v1/tasks", "{\"kind\":\"echo\",\"queue\":\"mail\"}", NULL},
        {"mail", "/v1/tasks", "{\"kind\":\"echo\",\"queue\":\"default\"}", "#/queue"},
        {"mail", "/v1/tasks", "{\"kind\":\"echo\",\"queue\":\"nowhere\"}", "#/queue"},
        {"mail", "/v1/tasks", "[" COPY "," ECHO "]", "#/1/queue"},
        {"mail", "/v1/tasks", "[" COPY "," COPY "]", NULL},
        {"mail", "/v1/tasks?queue=mail", ECHO, NULL},
        {"mail", "/v1/tasks?queue=default", COPY, ""},
        {"echo", "/v1/tasks", ECHO, NULL},
        {"echo", "/v1/tasks", COPY, "#/kind"},
        {"echo", "/v1/tasks", "{\"kind\":\"nothing\"}", "#/kind"},
        {"echo", "/v1/tasks?kind=copy", "{}", ""},
        {"echo", "/v1/tasks?kind=echo", "{}", NULL},
    };
    unsigned stored = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply reply =
            request(rig, "POST", rows[i].path, bearer(rows[i].token), rows[i].body);
        if (rows[i].pointer == NULL) {
            stored += rows[i].body[0] == '[' ? 2 : 1;
            expect_status(reply, 201);
        } else {
            expect_problem(reply, 403, "forbidden",
                           rows[i].pointer[0] != '\0' ? rows[i].pointer : NULL);
        }
        assert_int_equal(fake_task_count(rig->engine), stored);
    }
    // Of names that it is not for it is told nothing, not even what is near.
    struct reply reply = request(rig, "POST", "/v1/tasks", bearer("echo"), "{\"kind\":\"copi\"}");
    assert_null(strstr(reply.body, "did you mean"));
    reply_fini(&reply);
}

static void a_limited_token_streams_into_its_own_only(void **state)
{
    struct rig *rig = *state;
    static const char fields[] =
        "Authorization: Bearer mail\r\nContent-Type: application/x-ndjson\r\n";

    struct reply reply =
        request(rig, "POST", "/v1/tasks", fields, COPY "\n" COPY "\n" ECHO "\n" COPY);
    assert_int_equal(json_int_at(&reply, "count"), 2);
    assert_int_equal(json_int_at(&reply, "line"), 3);
    expect_problem(reply, 403, "forbidden", "#/queue");
    assert_int_equal(fake_task_count(rig->engine), 2);
    expect_problem(request(rig, "POST", "/v1/tasks?queue=default", fields, COPY), 403, "forbidden",
                   NULL);
    expect_status(request(rig, "POST", "/v1/tasks?queue=mail", fields, ECHO), 201);
}

enum { OWN = 1, OTHER = 2 }; // of mail

static void submit_both(struct rig *rig)
{
    expect_status(request(rig, "POST", "/v1/tasks", bearer("admin"), COPY), 201);
    expect_status(request(rig, "POST", "/v1/tasks", bearer("admin"), ECHO), 201);
}

static void the_tasks_of_others_are_not_there_for_a_limited_token(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *method, *path, *body;
        int own; // the status of its own task
    } rows[] = {
        {"GET", "/v1/tasks/%d", NULL, 200},        {"GET", "/v1/tasks/%d?wait=0s", NULL, 200},
        {"GET", "/v1/tasks/%d/result", NULL, 202}, {"POST", "/v1/tasks/%d/retry", "", 409},
        {"DELETE", "/v1/tasks/%d", NULL, 409},     {"POST", "/v1/tasks/%d/cancel", "", 200},
        {"DELETE", "/v1/tasks/%d", NULL, 204},
    };
    char path[100];

    submit_both(rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        // A number that was never given is answered with the same words.
        static const int others[] = {OTHER, 77};
        char details[2][200];
        for (size_t n = 0; n < 2; n++) {
            (void)snprintf(path, sizeof(path), rows[i].path, others[n]);
            struct reply reply = request(rig, rows[i].method, path, bearer("mail"), rows[i].body);
            (void)snprintf(details[n], sizeof(details[n]), "%.*s",
                           (int)strcspn(json_text_at(&reply, "detail"), "0123456789"),
                           json_text_at(&reply, "detail"));
            expect_problem(reply, 404, "not-found", NULL);
        }
        assert_string_equal(details[0], details[1]);
        (void)snprintf(path, sizeof(path), rows[i].path, OTHER);
        expect_problem(request(rig, rows[i].method, path, bearer("mail"), rows[i].body), 404,
                       "not-found", NULL);
        (void)snprintf(path, sizeof(path), rows[i].path, OWN);
        expect_problem(request(rig, rows[i].method, path, bearer("echo"), rows[i].body), 404,
                       "not-found", NULL);
        expect_status(request(rig, rows[i].method, path, bearer("mail"), rows[i].body),
                      rows[i].own);
    }
    // What is removed may have been another's.
    expect_problem(request(rig, "GET", "/v1/tasks/1", bearer("mail"), NULL), 404, "not-found",
                   NULL);
    expect_problem(request(rig, "GET", "/v1/tasks/1", bearer("admin"), NULL), 410, "task-removed",
                   NULL);
    assert_int_equal(fake_task(rig->engine, OTHER)->state, TASK_QUEUED);
}

static size_t listed(struct rig *rig, const char *token, const char *path, const char *key)
{
    struct reply reply = request(rig, "GET", path, bearer(token), NULL);
    assert_int_equal(reply.status, 200);
    size_t count = json_array_size(json_object_get(reply.json, key));
    reply_fini(&reply);
    return count;
}

static void a_limited_token_lists_its_own_only(void **state)
{
    struct rig *rig = *state;

    submit_both(rig);
    assert_int_equal(listed(rig, "admin", "/v1/tasks", "tasks"), 2);
    assert_int_equal(listed(rig, "mail", "/v1/tasks", "tasks"), 1);
    assert_int_equal(listed(rig, "mail", "/v1/tasks?queue=mail&state=queued", "tasks"), 1);
    assert_int_equal(listed(rig, "mail", "/v1/tasks?kind=echo", "tasks"), 0);
    assert_int_equal(listed(rig, "echo", "/v1/tasks", "tasks"), 1);
    assert_int_equal(listed(rig, "echo", "/v1/tasks?queue=default,mail", "tasks"), 1);
    static const struct {
        const char *token, *path;
    } refused[] = {{"mail", "/v1/tasks?queue=default"},
                   {"mail", "/v1/tasks?queue=mail,default"},
                   {"mail", "/v1/tasks?queue=nowhere"},
                   {"echo", "/v1/tasks?kind=copy"},
                   {"echo", "/v1/tasks?kind=echo,copy"}};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect_problem(request(rig, "GET", refused[i].path, bearer(refused[i].token), NULL), 403,
                       "forbidden", NULL);

    assert_int_equal(listed(rig, "admin", "/v1/queues", "queues"), 2);
    assert_int_equal(listed(rig, "mail", "/v1/queues", "queues"), 1);
    assert_int_equal(listed(rig, "echo", "/v1/queues", "queues"), 2);
    assert_int_equal(listed(rig, "mail", "/v1/info", "queues"), 1);
    assert_int_equal(listed(rig, "mail", "/v1/info", "kinds"), 2);
    assert_int_equal(listed(rig, "echo", "/v1/info", "kinds"), 1);
}

static void a_limited_token_changes_its_own_queues_only(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *method, *path, *body;
    } rows[] = {{"GET", "", NULL},
                {"PATCH", "", "{\"workers\":3}"},
                {"POST", "/pause", ""},
                {"POST", "/resume", ""}};
    static const char *const others[] = {"default", "defaul", "nowhere"};
    char path[100];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(path, sizeof(path), "/v1/queues/mail%s", rows[i].path);
        expect_status(request(rig, rows[i].method, path, bearer("mail"), rows[i].body), 200);
        // A queue has tasks of other kinds.
        struct reply reply = request(rig, rows[i].method, path, bearer("echo"), rows[i].body);
        if (strcmp(rows[i].method, "GET") == 0)
            expect_status(reply, 200);
        else
            expect_problem(reply, 403, "forbidden", NULL);
        for (size_t n = 0; n < sizeof(others) / sizeof(others[0]); n++) {
            (void)snprintf(path, sizeof(path), "/v1/queues/%s%s", others[n], rows[i].path);
            reply = request(rig, rows[i].method, path, bearer("mail"), rows[i].body);
            assert_null(strstr(reply.body, "did you mean"));
            expect_problem(reply, 404, "not-found", NULL);
        }
    }
    expect_problem(request(rig, "GET", "/v1/stats", bearer("mail"), NULL), 403, "forbidden", NULL);
    expect_problem(request(rig, "GET", "/metrics", bearer("echo"), NULL), 403, "forbidden", NULL);
}

/* Every allocation that fails in a request with a token is an answer or an end, never a way in. */
static void no_failed_allocation_lets_anybody_in(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *token, *method, *path, *body;
    } rows[] = {{"nobody", "POST", "/v1/tasks", ECHO},
                {"read", "POST", "/v1/tasks", ECHO},
                {"mail", "POST", "/v1/tasks", ECHO},
                {"mail", "POST", "/v1/tasks?queue=default", COPY},
                {"echo", "POST", "/v1/tasks/1/cancel", ""},
                {"mail", "GET", "/v1/tasks/2", NULL}};

    submit_both(rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int nth = 1;; nth++) {
            char text[1000];
            char reply[4096];
            bool has_body = rows[i].body != NULL;
            (void)snprintf(text, sizeof(text),
                           "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s%s%zu"
                           "\r\n\r\n%s",
                           rows[i].method, rows[i].path, rig->port, bearer(rows[i].token),
                           has_body ? "Content-Length: " : "X-Body: ",
                           has_body ? strlen(rows[i].body) : 0, has_body ? rows[i].body : "");
            int fd = client_connect(rig);
            fault_fail_malloc(nth);
            client_text(fd, text);
            client_read_all(fd, reply, sizeof(reply));
            bool reached = fault_reached();
            (void)close(fd);

            assert_true(reply[0] == '\0' || status_of(reply) >= 400);
            if (!reached) {
                assert_true(reply[0] != '\0' && status_of(reply) < 500);
                break;
            }
        }
    }
    assert_int_equal(fake_task_count(rig->engine), 2);
    assert_int_equal(fake_task(rig->engine, 1)->state, TASK_QUEUED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TOKENS(a_limited_token_submits_into_its_own_only),
        WITH_TOKENS(a_limited_token_streams_into_its_own_only),
        WITH_TOKENS(the_tasks_of_others_are_not_there_for_a_limited_token),
        WITH_TOKENS(a_limited_token_lists_its_own_only),
        WITH_TOKENS(a_limited_token_changes_its_own_queues_only),
        WITH_TOKENS(no_failed_allocation_lets_anybody_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
