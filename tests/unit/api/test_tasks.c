/* The calls on tasks and queues through a real server: get, result, cancel, retry, delete, list,
 * waits, hang-ups, stop. */
#include "unit.h"

#include "client.h"

#include <runnel/group.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JSON "Content-Type: application/json\r\n"

static void submit(struct rig *rig, const char *body)
{
    struct reply reply = post(rig, "/v1/tasks", body);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
}

static void get_tells_unknown_from_removed(void **state)
{
    struct rig *rig = *state;
    submit(rig, "{\"kind\":\"echo\",\"args\":5}");

    struct reply reply = request(rig, "GET", "/v1/tasks/1", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_int_at(&reply, "args"), 5);
    reply_fini(&reply);
    expect_problem(request(rig, "GET", "/v1/tasks/2", NULL, NULL), 404, "not-found", NULL);
    fake_set(rig->engine, 1, TASK_SUCCEEDED, "5", true);
    reply = request(rig, "DELETE", "/v1/tasks/1", NULL, NULL);
    assert_int_equal(reply.status, 204);
    assert_int_equal(reply.body_bytes, 0);
    reply_fini(&reply);
    expect_problem(request(rig, "GET", "/v1/tasks/1", NULL, NULL), 410, "task-removed", NULL);
    expect_problem(request(rig, "DELETE", "/v1/tasks/1", NULL, NULL), 410, "task-removed", NULL);
    expect_problem(request(rig, "POST", "/v1/tasks/1/cancel", NULL, NULL), 410, "task-removed",
                   NULL);
    expect_problem(request(rig, "POST", "/v1/tasks/7/retry", NULL, NULL), 404, "not-found", NULL);
}

static void a_finished_task_is_told_with_its_attempts(void **state)
{
    struct rig *rig = *state;
    submit(rig, "{\"kind\":\"echo\"}");
    fake_set(rig->engine, 1, TASK_SUCCEEDED, "done \xff\x01", false);

    struct reply reply = request(rig, "GET", "/v1/tasks/1", NULL, NULL);

    assert_int_equal(json_int_at(&reply, "duration_ms"), 20);
    assert_string_equal(json_text_at(&reply, "result"), "done \xef\xbf\xbd\x01");
    assert_int_equal(json_array_size(json_object_get(reply.json, "attempts")), 1);
    assert_non_null(json_text_at(&reply, "finished_at"));
    assert_int_equal(json_int_at(&reply, "worker"), 1);
    reply_fini(&reply);
}

static void the_result_is_given_as_it_is(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 4; i++)
        submit(rig, "{\"kind\":\"echo\"}");
    fake_set(rig->engine, 1, TASK_SUCCEEDED, "plain \"text\"", false);
    fake_set(rig->engine, 2, TASK_SUCCEEDED, "{\"a\":1.10}", true);
    fake_set(rig->engine, 3, TASK_FAILED, NULL, false);
    memcpy(fake_task(rig->engine, 3)->error_code, "exit", sizeof("exit"));

    struct reply reply = request(rig, "GET", "/v1/tasks/1/result", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "plain \"text\"\n");
    char *type = reply_field(&reply, "Content-Type");
    assert_string_equal(type, "text/plain; charset=utf-8");
    free(type);
    reply_fini(&reply);

    reply = request(rig, "GET", "/v1/tasks/2/result", NULL, NULL);
    assert_string_equal(reply.body, "{\"a\":1.10}\n");
    type = reply_field(&reply, "Content-Type");
    assert_string_equal(type, "application/json");
    free(type);
    reply_fini(&reply);

    reply = request(rig, "GET", "/v1/tasks/3/result", NULL, NULL);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(reply.json, "error"), "code")), "exit");
    expect_problem(reply, 409, "task-failed", NULL);

    reply = request(rig, "GET", "/v1/tasks/4/result", NULL, NULL);
    assert_int_equal(reply.status, 202);
    assert_string_equal(json_text_at(&reply, "state"), "queued");
    reply_fini(&reply);
    expect_problem(request(rig, "GET", "/v1/tasks/5/result", NULL, NULL), 404, "not-found", NULL);
}

static void cancel_retry_and_delete_keep_to_the_states(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 3; i++)
        submit(rig, "{\"kind\":\"echo\"}");

    struct reply reply = request(rig, "POST", "/v1/tasks/1/cancel", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "state"), "cancelled");
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/tasks/1/cancel", JSON, "{}");
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    expect_problem(request(rig, "POST", "/v1/tasks/1/cancel", JSON, "{\"force\":true}"), 422,
                   "invalid-task", "#/force");
    expect_problem(request(rig, "POST", "/v1/tasks/1/cancel", JSON, "[]"), 422, "invalid-task",
                   "#");
    expect_problem(request(rig, "POST", "/v1/tasks/1/cancel", JSON, "{"), 400, "invalid-json",
                   NULL);

    fake_set(rig->engine, 2, TASK_RUNNING, NULL, false);
    reply = request(rig, "POST", "/v1/tasks/2/cancel", NULL, NULL);
    assert_int_equal(reply.status, 202);
    assert_string_equal(json_text_at(&reply, "state"), "running");
    reply_fini(&reply);

    fake_set(rig->engine, 3, TASK_SUCCEEDED, NULL, false);
    reply = request(rig, "POST", "/v1/tasks/3/cancel", NULL, NULL);
    assert_string_equal(json_text_at(&reply, "state"), "succeeded");
    expect_problem(reply, 409, "wrong-state", NULL);
    expect_problem(request(rig, "POST", "/v1/tasks/3/retry", NULL, NULL), 409, "wrong-state", NULL);
    expect_problem(request(rig, "DELETE", "/v1/tasks/2", NULL, NULL), 409, "wrong-state", NULL);
    reply = request(rig, "POST", "/v1/tasks/1/retry", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "state"), "queued");
    reply_fini(&reply);
}

static void an_action_says_how_many_it_was_done_to(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 3; i++)
        submit(rig, "{\"kind\":\"echo\"}");
    submit(rig, "{\"kind\":\"copy\",\"args\":{\"path\":\"/a\"}}");
    fake_set(rig->engine, 1, TASK_FAILED, NULL, false);
    fake_set(rig->engine, 2, TASK_SUCCEEDED, NULL, false);

    const char *all = "{\"action\":\"retry\",\"all\":true}";
    struct reply reply = request(rig, "POST", "/v1/tasks/actions", JSON, all);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "action"), "retry");
    assert_true(json_is_false(json_object_get(reply.json, "dry_run")));
    assert_int_equal(json_int_at(&reply, "matched"), 4);
    assert_int_equal(json_int_at(&reply, "changed"), 1);
    assert_int_equal(json_int_at(&reply, "skipped"), 3);
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/queues/mail/purge", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_int_at(&reply, "changed"), 1);
    assert_int_equal(fake_task(rig->engine, 4)->state, TASK_CANCELLED);
    reply_fini(&reply);

    // Cut short it says how far it came; when it was not begun, nothing.
    fake_refuse_op(rig->engine, -EPIPE);
    reply = request(rig, "POST", "/v1/tasks/actions", JSON, all);
    assert_int_equal(json_int_at(&reply, "matched"), 4);
    assert_int_equal(json_int_at(&reply, "changed"), 1); // the purged one
    expect_problem(reply, 503, "draining", NULL);
    fake_refuse_op(rig->engine, -ENOSPC);
    expect_problem(request(rig, "POST", "/v1/tasks/actions", JSON, all), 507, "store-full", NULL);
    fake_refuse_submit(rig->engine, -EAGAIN);
    reply = request(rig, "POST", "/v1/tasks/actions", JSON, all);
    assert_null(json_object_get(reply.json, "matched"));
    expect_problem(reply, 503, "busy", NULL);
}

static void a_change_is_read_checked_and_told(void **state)
{
    struct rig *rig = *state;
    submit(rig, "{\"kind\":\"echo\",\"args\":{\"path\":5}}");

    struct reply reply = request(rig, "PATCH", "/v1/tasks/1", JSON,
                                 "{\"kind\":\"copy\",\"queue\":\"mail\",\"priority\":4}");
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_int_at(&reply, "priority"), 4);
    assert_string_equal(json_text_at(&reply, "queue"), "mail");
    reply_fini(&reply);
    expect_problem(request(rig, "PATCH", "/v1/tasks/2", JSON, "{\"priority\":4}"), 404, "not-found",
                   NULL);
    fake_refuse_op(rig->engine, -EDOM);
    expect_problem(request(rig, "PATCH", "/v1/tasks/1", JSON, "{\"run_at\":null}"), 422,
                   "invalid-task", "#/expires_at");
    fake_refuse_op(rig->engine, -ENOMEM);
    expect_problem(request(rig, "PATCH", "/v1/tasks/1", JSON, "{\"priority\":1}"), 503, "busy",
                   NULL);
    fake_refuse_op(rig->engine, -ENODATA); // removed between the read and the change
    expect_problem(request(rig, "PATCH", "/v1/tasks/1", JSON, "{\"priority\":1}"), 410,
                   "task-removed", NULL);
    fake_set(rig->engine, 1, TASK_SUCCEEDED, NULL, false);
    reply = request(rig, "PATCH", "/v1/tasks/1", JSON, "{\"priority\":1}");
    assert_string_equal(json_text_at(&reply, "state"), "succeeded");
    expect_problem(reply, 409, "wrong-state", NULL);
}

/* ---- waits ---- */

static void a_wait_is_answered_when_the_task_has_ended(void **state)
{
    struct rig *rig = *state;
    int post_fd = client_connect(rig);
    int get_fd = client_connect(rig);
    int result_fd = client_connect(rig);

    client_textf(post_fd,
                 "POST /v1/tasks?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
                 "Content-Length: 15\r\n\r\n{\"kind\":\"echo\"}",
                 rig->port);
    fake_wait_waiting(rig->engine, 1);
    client_textf(get_fd, "GET /v1/tasks/1?wait=2h HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                 rig->port);
    client_textf(result_fd, "GET /v1/tasks/1/result?wait=10 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                 rig->port);
    fake_wait_waiting(rig->engine, 3);
    fake_set(rig->engine, 1, TASK_SUCCEEDED, "end", false);

    struct reply reply = client_read(post_fd, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "state"), "succeeded");
    reply_fini(&reply);
    reply = client_read(get_fd, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "result"), "end");
    reply_fini(&reply);
    reply = client_read(result_fd, false);
    assert_string_equal(reply.body, "end\n");
    reply_fini(&reply);
    // The connections go on.
    reply = request_on(post_fd, rig, "GET", "/v1/tasks/1?wait=1s", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    (void)close(post_fd);
    (void)close(get_fd);
    (void)close(result_fd);
}

static void a_client_that_leaves_gives_its_wait_back(void **state)
{
    struct rig *rig = *state;
    char text[300];
    int fds[8];
    submit(rig, "{\"kind\":\"echo\"}");

    (void)snprintf(text, sizeof(text),
                   "GET /v1/tasks/1?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", rig->port);
    for (int i = 0; i < 8; i++) {
        fds[i] = client_connect(rig);
        client_text(fds[i], text);
    }
    fake_wait_waiting(rig->engine, 8);
    // max_waiting is 8.
    expect_problem(request(rig, "GET", "/v1/tasks/1?wait=60s", NULL, NULL), 503, "busy", NULL);
    expect_problem(post(rig, "/v1/tasks?wait=60s", "{\"kind\":\"echo\"}"), 503, "busy", NULL);
    assert_int_equal(fake_task_count(rig->engine), 1);

    for (int i = 1; i < 8; i++)
        (void)close(fds[i]);
    fake_wait_waiting(rig->engine, 1);
    // libmicrohttpd takes a closed half for the end.
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
    assert_true(client_is_closed(fds[0]));
    (void)close(fds[0]);
    fake_wait_waiting(rig->engine, 0);
}

static void the_stop_answers_who_waits(void **state)
{
    struct rig *rig = *state;
    char text[300];
    int fds[4];
    submit(rig, "{\"kind\":\"echo\"}");

    (void)snprintf(text, sizeof(text),
                   "GET /v1/tasks/1/result?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                   rig->port);
    for (int i = 0; i < 4; i++) {
        fds[i] = client_connect(rig);
        client_text(fds[i], text);
    }
    fake_wait_waiting(rig->engine, 4);
    while (fake_read_count(rig->engine) < 4)
        continue;
    rn_time begin = rn_now();
    server_stop(rig->server);
    assert_true(rn_now() - begin < 30 * RN_SECOND);

    for (int i = 0; i < 4; i++) {
        struct reply reply = client_read(fds[i], false);
        assert_int_equal(reply.status, 202);
        assert_true(reply.closed);
        reply_fini(&reply);
        (void)close(fds[i]);
    }
}

static int stop_server(rn_context *ctx, void *arg)
{
    (void)ctx;
    server_stop(((struct rig *)arg)->server);
    return 0;
}

static void the_stop_waits_for_what_the_store_has(void **state)
{
    struct rig *rig = *state;
    char text[300];
    rn_group *group = NULL;
    int fd = client_connect(rig);

    fake_hold(rig->engine);
    (void)snprintf(text, sizeof(text),
                   "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
                   "Content-Length: 15\r\n\r\n{\"kind\":\"echo\"}",
                   rig->port);
    client_text(fd, text);
    fake_wait_held(rig->engine, 1);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "stop", stop_server, rig), 0);
    // A client that came with half a body is not waited for.
    int half = client_connect(rig);
    text[strlen(text) - 5] = '\0';
    client_text(half, text);
    fake_release(rig->engine);

    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
    (void)rn_group_wait(group);
    rn_group_free(group);
    (void)close(fd);
    (void)close(half);
}

/* ---- lists ---- */

static void a_list_has_pages_and_filters(void **state)
{
    struct rig *rig = *state;
    char path[200];
    char other[220];
    for (int i = 0; i < 25; i++)
        submit(rig, i % 2 == 0 ? "{\"kind\":\"echo\",\"tags\":[\"even\"],\"args\":1}"
                               : "{\"kind\":\"echo\",\"queue\":\"mail\"}");
    fake_set(rig->engine, 3, TASK_FAILED, NULL, false);

    struct reply reply = request(rig, "GET", "/v1/tasks?limit=10", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_array_size(json_object_get(reply.json, "tasks")), 10);
    json_t *first = json_array_get(json_object_get(reply.json, "tasks"), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "id")), 25);
    assert_null(json_object_get(first, "args"));
    assert_null(json_object_get(first, "result"));
    (void)snprintf(path, sizeof(path), "/v1/tasks?limit=20&cursor=%s",
                   json_text_at(&reply, "next"));
    (void)snprintf(other, sizeof(other), "%s&queue=mail", path);
    reply_fini(&reply);
    reply = request(rig, "GET", path, NULL, NULL);
    assert_int_equal(json_array_size(json_object_get(reply.json, "tasks")), 15);
    assert_true(json_is_null(json_object_get(reply.json, "next")));
    reply_fini(&reply);
    expect_problem(request(rig, "GET", other, NULL, NULL), 400, "invalid-query", NULL);

    static const struct {
        const char *path;
        size_t count;
    } cases[] = {
        {"/v1/tasks?state=failed", 1},
        {"/v1/tasks?state=failed,queued", 25},
        {"/v1/tasks?queue=mail", 12},
        {"/v1/tasks?queue=mail,default&tag=even", 13},
        {"/v1/tasks?kind=copy", 0},
        {"/v1/tasks?tag=odd", 0},
        {"/v1/tasks?created_before=2001-01-01T00:00:00Z", 0},
        {"/v1/tasks?created_after=2001-01-01T00:00:00+01:00", 25},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reply = request(rig, "GET", cases[i].path, NULL, NULL);
        assert_int_equal(reply.status, 200);
        assert_int_equal(json_array_size(json_object_get(reply.json, "tasks")), cases[i].count);
        reply_fini(&reply);
    }
    reply = request(rig, "GET", "/v1/tasks?view=full&limit=1", NULL, NULL);
    assert_non_null(
        json_object_get(json_array_get(json_object_get(reply.json, "tasks"), 0), "args"));
    reply_fini(&reply);
}

static void a_full_list_ends_before_it_is_too_large(void **state)
{
    struct rig *rig = *state;
    char *body = task_with_args(256 << 10);

    for (int i = 0; i < 24; i++)
        submit(rig, body);
    free(body);

    size_t seen = 0;
    char path[200] = "/v1/tasks?view=full&limit=1000";
    for (int page = 0; page < 10 && path[0] != '\0'; page++) {
        struct reply reply = request(rig, "GET", path, NULL, NULL);
        assert_int_equal(reply.status, 200);
        assert_true(reply.body_bytes < 16 << 20);
        seen += json_array_size(json_object_get(reply.json, "tasks"));
        path[0] = '\0';
        if (json_text_at(&reply, "next") != NULL)
            (void)snprintf(path, sizeof(path), "/v1/tasks?view=full&limit=1000&cursor=%s",
                           json_text_at(&reply, "next"));
        reply_fini(&reply);
    }
    assert_int_equal(seen, 24);
}

/* ---- queues, stats, info ---- */

static void queues_are_told_and_changed(void **state)
{
    struct rig *rig = *state;

    struct reply reply = request(rig, "GET", "/v1/queues", NULL, NULL);
    assert_int_equal(json_array_size(json_object_get(reply.json, "queues")), 2);
    reply_fini(&reply);
    reply = request(rig, "PATCH", "/v1/queues/mail", JSON,
                    "{\"workers\":7,\"rate\":\"90/m\",\"burst\":null}");
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_int_at(&reply, "workers"), 7);
    assert_string_equal(json_text_at(&reply, "rate"), "90/m");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(reply.json, "overrides"), "workers")),
        7);
    assert_true(json_int_at(&reply, "oldest_waiting_age_ms") >= 1000);
    reply_fini(&reply);
    reply = request(rig, "PATCH", "/v1/queues/mail", JSON, "{\"workers\":null,\"rate\":null}");
    assert_int_equal(json_int_at(&reply, "workers"), 2);
    assert_string_equal(json_text_at(&reply, "rate"), "10/s");
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/queues/mail/pause", NULL, NULL);
    assert_true(json_is_true(json_object_get(reply.json, "paused")));
    assert_true(json_is_null(json_object_get(reply.json, "paused_until")));
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/queues/mail/pause", JSON, "{\"for\":\"10m\"}");
    assert_non_null(json_text_at(&reply, "paused_until"));
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/queues/mail/resume", NULL, NULL);
    assert_true(json_is_false(json_object_get(reply.json, "paused")));
    reply_fini(&reply);

    static const struct {
        const char *method, *path, *body;
        int status;
        const char *code, *pointer;
    } bad[] = {
        {"PATCH", "/v1/queues/mail", "{\"worker\":1}", 422, "invalid-queue", "#/worker"},
        {"PATCH", "/v1/queues/mail", "{}", 422, "invalid-queue", "#"},
        {"PATCH", "/v1/queues/mail", "[]", 422, "invalid-queue", "#"},
        {"PATCH", "/v1/queues/mail", "{\"workers\":0}", 422, "invalid-queue", "#/workers"},
        {"PATCH", "/v1/queues/mail", "{\"workers\":1025}", 422, "invalid-queue", "#/workers"},
        {"PATCH", "/v1/queues/mail", "{\"workers\":1024}", 422, "invalid-queue", "#/workers"},
        {"PATCH", "/v1/queues/mail", "{\"rate\":5}", 422, "invalid-queue", "#/rate"},
        {"PATCH", "/v1/queues/mail", "{\"rate\":\"0/s\"}", 422, "invalid-queue", "#/rate"},
        {"PATCH", "/v1/queues/mail", "{\"burst\":1000001}", 422, "invalid-queue", "#/burst"},
        {"PATCH", "/v1/queues/mial", "{\"workers\":1}", 404, "not-found", NULL},
        {"POST", "/v1/queues/none/pause", "{}", 404, "not-found", NULL},
        {"POST", "/v1/queues/mail/pause", "{\"for\":\"1m\",\"until\":\"2999-01-01T00:00:00Z\"}",
         422, "invalid-queue", "#/for"},
        {"POST", "/v1/queues/mail/pause", "{\"until\":\"2001-01-01T00:00:00Z\"}", 422,
         "invalid-queue", "#/until"},
        {"POST", "/v1/queues/mail/pause", "{\"for\":\"0s\"}", 422, "invalid-queue", "#/for"},
        {"POST", "/v1/queues/mail/resume", "{\"now\":1}", 422, "invalid-queue", "#/now"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_problem(request(rig, bad[i].method, bad[i].path, JSON, bad[i].body), bad[i].status,
                       bad[i].code, bad[i].pointer);
    expect_problem(request(rig, "GET", "/v1/queues/none", NULL, NULL), 404, "not-found", NULL);
}

static void stats_and_info_say_what_there_is(void **state)
{
    struct rig *rig = *state;

    struct reply reply = request(rig, "GET", "/v1/stats", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_int_at(&reply, "backlog"), 7);
    assert_non_null(json_object_get(json_object_get(reply.json, "store"), "commit_p99_us"));
    assert_non_null(json_object_get(json_object_get(reply.json, "http"), "connections"));
    reply_fini(&reply);
    reply = request(rig, "GET", "/v1/info", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(json_text_at(&reply, "store_id"), "0123456789abcdef");
    assert_int_equal(json_array_size(json_object_get(reply.json, "kinds")), 2);
    reply_fini(&reply);
    reply = request(rig, "GET", "/", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_non_null(reply.json);
    reply_fini(&reply);
}

static void metrics_are_told_as_text(void **state)
{
    struct rig *rig = *state;

    struct reply none = request(rig, "GET", "/v1/nothing", NULL, NULL);
    struct reply reply = request(rig, "GET", "/metrics", NULL, NULL);

    assert_int_equal(none.status, 404);
    assert_int_equal(reply.status, 200);
    char *type = reply_field(&reply, "Content-Type");
    assert_string_equal(type, "text/plain; version=0.0.4; charset=utf-8");
    free(type);
    static const char *const lines[] = {
        "\n# TYPE runnel_tasks gauge\nrunnel_tasks{queue=\"default\",state=\"scheduled\"} 0\n",
        "\nrunnel_backlog_tasks 7\n",
        "\nrunnel_attempts_started_total{kind=\"copy\"} 0\n",
        "\nrunnel_attempts_ended_total{kind=\"echo\",outcome=\"interrupted\"} 0\n",
        "\nrunnel_queue_rate_per_second{queue=\"mail\"} 10\n",
        "\nrunnel_store_commit_seconds_count 0\n",
        "\nrunnel_http_requests_total{method=\"none\",route=\"none\",code=\"4xx\"} 1\n",
        "\nprocess_start_time_seconds 1764000000.000000\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_non_null(strstr(reply.body, lines[i]));
    reply_fini(&none);
    reply_fini(&reply);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(get_tells_unknown_from_removed),
        ON_RIG(a_finished_task_is_told_with_its_attempts),
        ON_RIG(the_result_is_given_as_it_is),
        ON_RIG(cancel_retry_and_delete_keep_to_the_states),
        ON_RIG(an_action_says_how_many_it_was_done_to),
        ON_RIG(a_change_is_read_checked_and_told),
        ON_RIG(a_wait_is_answered_when_the_task_has_ended),
        ON_RIG(a_client_that_leaves_gives_its_wait_back),
        ON_RIG(the_stop_answers_who_waits),
        ON_RIG(the_stop_waits_for_what_the_store_has),
        ON_RIG(a_list_has_pages_and_filters),
        ON_RIG(a_full_list_ends_before_it_is_too_large),
        ON_RIG(queues_are_told_and_changed),
        ON_RIG(stats_and_info_say_what_there_is),
        ON_RIG(metrics_are_told_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
