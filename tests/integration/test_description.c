/* Every call of the API's description, with what the other tests do not ask of it. What an answer
 * has to be the harness knows from the description. */
#include "harness.h"

#include <string.h>

#include "api/openapi.h"

static const char config[] =
    "queue: { default: { workers = 2 }; still: { workers = 1 }; };\n"
    "kind: {\n"
    "  noop: { builtin = 'noop' };\n"
    "  fail: { builtin = 'fail' };\n"
    "  large: { command = ['/bin/dd', 'if=/dev/zero', 'of=/dev/null', 'bs=300M', 'count=1'] };\n"
    "};\n";

static void it_is_served_as_it_stands(void)
{
    struct daemon *daemon = daemon_started(config);
    size_t length = 0;
    const char *bytes = openapi_text(&length);

    struct reply *reply = expect_status(get(daemon, "/openapi.json"), 200);

    assert_string_equal(reply_header(reply, "Content-Type"), "application/json");
    assert_int_equal(reply->body_bytes, length);
    assert_memory_equal(reply->body, bytes, length);
    daemon_stop(daemon);
}

static void every_call_can_be_pretty(void)
{
    static const char *const calls[][2] = {
        {"GET", "/v1/tasks"},
        {"GET", "/v1/tasks/1"},
        {"GET", "/v1/tasks/1/result"},
        {"POST", "/v1/tasks/2/retry"},
        {"POST", "/v1/tasks/3/cancel"},
        {"DELETE", "/v1/tasks/1"},
        {"GET", "/v1/queues"},
        {"GET", "/v1/queues/still"},
        {"POST", "/v1/queues/still/pause"},
        {"POST", "/v1/queues/still/resume"},
        {"POST", "/v1/backup"},
        {"GET", "/v1/stats"},
        {"GET", "/v1/info"},
        {"GET", "/"},
        {"GET", "/healthz"},
        {"GET", "/readyz"},
        {"GET", "/problems"},
        {"GET", "/problems/busy"},
    };
    struct daemon *daemon = daemon_started(config);
    uint64_t succeeded = submit(daemon, "{'kind':'noop','args':[1]}");
    expect_end(daemon, succeeded, "succeeded", NULL);
    expect_end(daemon, submit(daemon, "{'kind':'fail','max_attempts':1}"), "failed", "failed");
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct reply *reply = call(daemon, calls[i][0], plain_text("%s?pretty", calls[i][1]), NULL);

        assert_in_range(reply->status, 200, 204);
        if (reply->json != NULL && !json_is_null(reply->json))
            assert_non_null(strstr(reply->body, "\n  \""));
    }
    struct reply *reply =
        expect_status(call(daemon, "PATCH", "/v1/queues/still?pretty", text("{'workers':2}")), 200);
    assert_non_null(strstr(reply->body, "\n  \"workers\": 2"));
    daemon_stop(daemon);
}

static void every_call_says_what_is_not_there_and_what_has_been_removed(void)
{
    static const char *const of_task[][2] = {
        {"GET", ""}, {"GET", "/result"}, {"POST", "/cancel"}, {"POST", "/retry"}, {"DELETE", ""}};
    static const char *const of_queue[][2] = {
        {"GET", ""}, {"PATCH", ""}, {"POST", "/pause"}, {"POST", "/resume"}};
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop'}");
    expect_end(daemon, id, "succeeded", NULL);
    expect_status(call(daemon, "DELETE", "/v1/tasks/1", NULL), 204);

    for (size_t i = 0; i < sizeof(of_task) / sizeof(of_task[0]); i++) {
        expect_problem(
            call(daemon, of_task[i][0], plain_text("/v1/tasks/999%s", of_task[i][1]), NULL), 404,
            "not-found");
        expect_problem(
            call(daemon, of_task[i][0], plain_text("/v1/tasks/1%s", of_task[i][1]), NULL), 410,
            "task-removed");
    }
    for (size_t i = 0; i < sizeof(of_queue) / sizeof(of_queue[0]); i++) {
        bool is_change = strcmp(of_queue[i][0], "PATCH") == 0;

        expect_problem(call(daemon, of_queue[i][0],
                            plain_text("/v1/queues/nowhere%s", of_queue[i][1]),
                            is_change ? text("{'workers':1}") : NULL),
                       404, "not-found");
    }
    expect_problem(get(daemon, "/problems/nowhere"), 404, "not-found");
    daemon_stop(daemon);
}

static void every_body_is_looked_at(void)
{
    static const char *const calls[][3] = {
        {"POST", "/v1/tasks/1/cancel", "invalid-task"},
        {"POST", "/v1/tasks/1/retry", "invalid-task"},
        {"PATCH", "/v1/queues/still", "invalid-queue"},
        {"POST", "/v1/queues/still/pause", "invalid-queue"},
        {"POST", "/v1/queues/still/resume", "invalid-queue"},
    };
    static const char *const keys[] = {"Idempotency-Key: a", "Idempotency-Key: b", NULL};
    struct daemon *daemon = daemon_started(config);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        expect_problem(call(daemon, calls[i][0], calls[i][1], text("{'nonsense':1}")), 422,
                       calls[i][2]);
        expect_problem(call(daemon, calls[i][0], calls[i][1], "{"), 400, "invalid-json");
    }
    expect_problem(call(daemon, "POST", "/v1/tasks/1/retry", "{}"), 409, "wrong-state");
    expect_status(call(daemon, "POST", "/v1/tasks/1/cancel", "{}"), 200);
    expect_status(call(daemon, "POST", "/v1/tasks/1/retry", "{}"), 200);
    expect_problem(call_request(daemon, &(struct request){.method = "POST",
                                                          .path = "/v1/tasks",
                                                          .body = text("{'kind':'noop'}"),
                                                          .headers = keys}),
                   400, "framing");
    daemon_stop(daemon);
}

static void actions_and_changes_say_what_is_wrong(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit(daemon, "{'kind':'noop','queue':'still','delay':'1h'}");
    (void)submit(daemon, "{'kind':'noop'}");
    (void)await_end(daemon, 2);
    expect_status(call(daemon, "DELETE", "/v1/tasks/2", NULL), 204);

    expect_problem(call(daemon, "POST", "/v1/tasks/actions", text("{'action':'retry'}")), 422,
                   "invalid-action");
    expect_problem(call(daemon, "PATCH", "/v1/tasks/1", text("{'priority':900}")), 422,
                   "invalid-task");
    expect_problem(call(daemon, "PATCH", "/v1/tasks/2", text("{'priority':9}")), 410,
                   "task-removed");
    expect_problem(call(daemon, "POST", "/v1/queues/still/purge", text("{'dry_run':1}")), 422,
                   "invalid-queue");
    expect_status(call(daemon, "PATCH", "/v1/tasks/1?pretty", text("{'priority':9}")), 200);
    expect_status(call(daemon, "POST", "/v1/tasks/actions?pretty",
                       text("{'action':'cancel','all':true,'dry_run':true}")),
                  200);
    expect_status(call(daemon, "POST", "/v1/queues/still/purge?pretty", NULL), 200);
    daemon_stop(daemon);
}

static void the_query_gives_every_field(void)
{
    struct daemon *daemon = daemon_started(config);

    json_t *task =
        expect_status(call(daemon, "POST",
                           "/v1/tasks?kind=noop&queue=still&priority=-3&delay=1h&timeout=90s"
                           "&max_attempts=4&tags=a,b&expires_at=2130-01-31T08:00:00Z",
                           "{}"),
                      201)
            ->json;
    expect_text(task, "queue", "still");
    expect_number(task, "priority", -3);
    expect_text(task, "state", "scheduled");
    expect_text(task, "timeout", "1m30s");
    expect_number(task, "max_attempts", 4);
    expect_text(task, "tags.1", "b");
    expect_text(task, "expires_at", "2130-01-31T08:00:00.000Z");
    task = expect_status(
               call(daemon, "POST", "/v1/tasks?kind=noop&run_at=2130-01-31T08:00:00Z", "{}"), 201)
               ->json;
    expect_text(task, "run_at", "2130-01-31T08:00:00.000Z");
    daemon_stop(daemon);
}

static void of_a_removed_task_its_key_knows_the_id(void)
{
    static const char *const key[] = {"Idempotency-Key: once", NULL};
    const struct request request = {.method = "POST",
                                    .path = "/v1/tasks?wait=10s",
                                    .body = text("{'kind':'noop'}"),
                                    .headers = key};
    struct daemon *daemon = daemon_started(config);
    struct reply *first = expect_status(call_request(daemon, &request), 200);
    expect_status(call(daemon, "DELETE", "/v1/tasks/1", NULL), 204);

    struct reply *again = expect_status(call_request(daemon, &request), 200);

    assert_int_equal(number_at(again->json, "id"), number_at(first->json, "id"));
    assert_null(at(again->json, "state"));
    assert_string_equal(reply_header(again, "Idempotent-Replayed"), "true");
    daemon_stop(daemon);
}

static void the_memory_of_a_large_command_is_told(void)
{
    struct daemon *daemon = daemon_started(config);

    json_t *task = expect_end(daemon, submit(daemon, "{'kind':'large'}"), "succeeded", NULL);

    assert_true(number_at(task, "exec.max_rss_kib") > 200 << 10);
    daemon_stop(daemon);
}

static void problems_are_listed_with_their_pages(void)
{
    struct daemon *daemon = daemon_started(config);
    json_t *problems = at(expect_status(get(daemon, "/problems"), 200)->json, "problems");
    json_t *problem = NULL;
    size_t i = 0;

    assert_true(json_array_size(problems) > 20);
    json_array_foreach (problems, i, problem) {
        struct reply *page = expect_status(get(daemon, text_at(problem, "type")), 200);

        assert_non_null(strstr(page->body, text_at(problem, "code")));
        assert_non_null(strstr(page->body, text_at(problem, "title")));
    }
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(it_is_served_as_it_stands), SCENARIO(every_call_can_be_pretty),
             SCENARIO(every_call_says_what_is_not_there_and_what_has_been_removed),
             SCENARIO(every_body_is_looked_at), SCENARIO(actions_and_changes_say_what_is_wrong),
             SCENARIO(the_query_gives_every_field),
             SCENARIO(of_a_removed_task_its_key_knows_the_id),
             SCENARIO(the_memory_of_a_large_command_is_told),
             SCENARIO(problems_are_listed_with_their_pages))
