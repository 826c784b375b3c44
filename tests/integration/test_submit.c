/** \file Submitting: single tasks, arrays, waiting for the end, and Idempotency-Key. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 4 }; other: { workers = 2 }; stopped: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; noop: { builtin = 'noop' };\n"
    "        sleep: { builtin = 'sleep' }; fail: { builtin = 'fail' }; };\n";

static struct daemon *started_with_paused(const char *paused)
{
    struct daemon *daemon = daemon_started(config);

    expect_status(call(daemon, "POST", plain_text("/v1/queues/%s/pause", paused), NULL), 200);
    return daemon;
}

static struct reply *submit_with_key(struct daemon *daemon, const char *path, const char *key,
                                     const char *body)
{
    const char *headers[] = {plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(
        daemon,
        &(struct request){.method = "POST", .path = path, .body = body, .headers = headers});
}

/* ---- one task ---- */

static void a_task_is_answered_with_201_its_location_and_all_its_fields(void)
{
    static const char *const fields[] = {
        "id",         "kind",        "args",        "queue",       "state",
        "priority",   "tags",        "timeout",     "backoff",     "result",
        "error",      "attempt",     "attempts",    "exec",        "max_attempts",
        "expires_at", "run_at",      "worker",      "created_at",  "queued_at",
        "started_at", "finished_at", "duration_ms", "waiting_for", "interruptions",
    };
    struct daemon *daemon = started_with_paused("stopped");

    struct reply *reply =
        call(daemon, "POST", "/v1/tasks", text("{'kind':'echo','args':{'a':1},'queue':'stopped'}"));

    expect_status(reply, 201);
    expect_number(reply->json, "id", 1);
    assert_string_equal(reply_header(reply, "Location"), "/v1/tasks/1");
    assert_string_equal(reply_header(reply, "Content-Type"), "application/json");
    assert_string_equal(reply_header(reply, "Cache-Control"), "no-store");
    assert_int_equal(reply->body[reply->body_bytes - 1], '\n');
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_object_get(reply->json, fields[i]) == NULL)
            fail_msg("the field %s is missing in %s", fields[i], reply->body);
    }
    expect_text(reply->json, "state", "queued");
    expect_text(reply->json, "kind", "echo");
    expect_text(reply->json, "queue", "stopped");
    expect_number(reply->json, "args.a", 1);
    expect_number(reply->json, "priority", 0);
    expect_number(reply->json, "attempt", 0);
    expect_text(reply->json, "waiting_for.code", "paused");
    assert_true(json_is_null(at(reply->json, "result")));
    assert_true(json_is_null(at(reply->json, "error")));
    assert_true(json_is_null(at(reply->json, "started_at")));
    assert_in_range(instant_at(reply->json, "created_at"), (uint64_t)wall_ms() - 60000,
                    (uint64_t)wall_ms());
}

static void a_task_keeps_what_was_asked_for(void)
{
    struct daemon *daemon = started_with_paused("other");
    uint64_t id = submit(
        daemon, "{'kind':'noop','queue':'other','priority':-7,'timeout':'90s','max_attempts':5,"
                "'backoff':{'base':'2s','max':'1h30m'},'tags':['a','b c'],'args':[1,null,'x']}");

    json_t *json = task(daemon, id);

    expect_number(json, "priority", -7);
    expect_text(json, "timeout", "1m30s");
    expect_number(json, "max_attempts", 5);
    expect_text(json, "backoff.base", "2s");
    expect_text(json, "backoff.max", "1h30m");
    expect_text(json, "tags.0", "a");
    expect_text(json, "tags.1", "b c");
    assert_int_equal(json_array_size(at(json, "args")), 3);
    expect_text(json, "args.2", "x");
}

static void defaults_come_from_the_kind(void)
{
    struct daemon *daemon = started_with_paused("default");

    json_t *json = task(daemon, submit(daemon, "{'kind':'noop'}"));

    expect_text(json, "queue", "default");
    expect_text(json, "timeout", "1h");
    expect_number(json, "max_attempts", 3);
    expect_text(json, "backoff.base", "5s");
    expect_text(json, "backoff.max", "1h");
    assert_true(json_is_null(at(json, "args")));
}

static void the_query_sets_what_the_body_leaves_out(void)
{
    struct daemon *daemon = started_with_paused("other");
    const char *path = "/v1/tasks?queue=other&priority=9&kind=noop";

    json_t *left_out = expect_status(call(daemon, "POST", path, "{}"), 201)->json;
    json_t *given =
        expect_status(call(daemon, "POST", path, text("{'kind':'echo','priority':3}")), 201)->json;

    expect_text(left_out, "kind", "noop");
    expect_text(left_out, "queue", "other");
    expect_number(left_out, "priority", 9);
    expect_text(given, "kind", "echo");
    expect_text(given, "queue", "other");
    expect_number(given, "priority", 3);
}

static void null_is_as_if_left_out(void)
{
    struct daemon *daemon = started_with_paused("default");

    uint64_t id =
        submit(daemon,
               "{'kind':'noop','priority':null,'delay':null,'run_at':null,'tags':null,'queue':null,"
               "'timeout':null,'max_attempts':null,'backoff':null,'expires_at':null,'args':null}");

    expect_text(task(daemon, id), "state", "queued");
    expect_text(task(daemon, id), "queue", "default");
}

static void args_come_back_as_they_were_sent(void)
{
    static const char *const values[] = {
        "null",
        "true",
        "0",
        "-1",
        "9007199254740993",
        "9223372036854775807",
        "1.10",
        "1e3",
        "-0.0",
        "\"\"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"\xc3\xa9\"",
        "[]",
        "{}",
        "[[[[[]]]]]",
        "{\"a\":{\"b\":[1,2.50]}}",
        "\"line\\nbreak \\\" quote \\\\ back\"",
    };
    struct daemon *daemon = daemon_started(config);

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const char *body = plain_text("{\"kind\":\"echo\",\"args\":%s}", values[i]);
        struct reply *reply = expect_status(call(daemon, "POST", "/v1/tasks?wait=30s", body), 200);
        json_t *sent = json_loads(values[i], JSON_DECODE_ANY, NULL);

        expect_text(reply->json, "state", "succeeded");
        assert_true(json_equal(keep_json(sent), at(reply->json, "args")));
        assert_true(json_equal(sent, at(reply->json, "result")));
    }
    // To the digit, which a parsed number would hide.
    struct reply *reply = call(daemon, "POST", "/v1/tasks",
                               text("{'kind':'noop','args':{'n':[1.10,9007199254740993]}}"));
    assert_non_null(strstr(expect_status(reply, 201)->body, "1.10"));
    assert_non_null(strstr(reply->body, "9007199254740993"));
}

static void large_args_and_results_are_kept(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *large = repeated('x', 900000);

    uint64_t id = submit(daemon, "{'kind':'echo','args':{'large':'%s'}}", large);

    json_t *json = expect_end(daemon, id, "succeeded", NULL);
    expect_text(json, "args.large", large);
    expect_text(json, "result.large", large);
    daemon_stop(daemon);
    daemon_start(daemon);
    expect_text(task(daemon, id), "result.large", large);
}

static void pretty_indents_and_head_answers_without_a_body(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop'}");
    const char *path = plain_text("/v1/tasks/%llu", (unsigned long long)id);

    await_end(daemon, id);
    struct reply *plain = expect_status(get(daemon, path), 200);
    struct reply *pretty = expect_status(get(daemon, plain_text("%s?pretty", path)), 200);
    struct reply *head = expect_status(call(daemon, "HEAD", path, NULL), 200);

    assert_ptr_equal(strchr(plain->body, '\n'), plain->body + plain->body_bytes - 1);
    assert_non_null(strstr(pretty->body, "\n  \"id\": "));
    assert_int_equal(pretty->body[pretty->body_bytes - 1], '\n');
    assert_int_equal(head->body_bytes, 0);
    assert_string_equal(reply_header(head, "Content-Length"), plain_text("%zu", plain->body_bytes));
}

/* ---- waiting ---- */

static void wait_answers_with_the_finished_task(void)
{
    struct daemon *daemon = daemon_started(config);

    struct reply *echoed =
        call(daemon, "POST", "/v1/tasks?wait=30s", text("{'kind':'echo','args':'hello'}"));
    struct reply *failed = call(daemon, "POST", "/v1/tasks?wait=30s",
                                text("{'kind':'fail','max_attempts':1,'args':{'message':'no'}}"));

    expect_status(echoed, 200);
    expect_text(echoed->json, "state", "succeeded");
    expect_text(echoed->json, "result", "hello");
    expect_number(echoed->json, "attempt", 1);
    assert_true(instant_at(echoed->json, "finished_at") >= instant_at(echoed->json, "started_at"));
    assert_true(number_at(echoed->json, "duration_ms") >= 0);
    expect_status(failed, 200);
    expect_text(failed->json, "state", "failed");
    expect_text(failed->json, "error.message", "no");
}

static void wait_answers_202_when_its_time_is_over(void)
{
    struct daemon *daemon = daemon_started(config);

    struct reply *reply = call(daemon, "POST", "/v1/tasks?wait=100ms",
                               text("{'kind':'sleep','args':{'duration':'1m'}}"));

    expect_status(reply, 202);
    assert_true(reply->took_ns >= 100000000);
    assert_false(is_final(text_at(reply->json, "state")));
    struct reply *seen = get(
        daemon, plain_text("/v1/tasks/%lld?wait=100ms", (long long)number_at(reply->json, "id")));
    expect_status(seen, 200);
    assert_true(seen->took_ns >= 100000000);
    expect_text(seen->json, "state", "running");
}

static void result_is_the_result_itself(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t json_id = submit(daemon, "{'kind':'echo','args':{'a':[1,2]}}");
    uint64_t sleep_id = submit(daemon, "{'kind':'sleep','args':{'duration':'1m'}}");
    uint64_t failed_id =
        submit(daemon, "{'kind':'fail','max_attempts':1,'args':{'message':'broken'}}");

    struct reply *json =
        get(daemon, plain_text("/v1/tasks/%llu/result?wait=30s", (unsigned long long)json_id));
    struct reply *running =
        get(daemon, plain_text("/v1/tasks/%llu/result", (unsigned long long)sleep_id));
    struct reply *failed =
        get(daemon, plain_text("/v1/tasks/%llu/result?wait=30s", (unsigned long long)failed_id));

    expect_status(json, 200);
    assert_string_equal(json->body, "{\"a\":[1,2]}\n");
    expect_status(running, 202);
    expect_problem(failed, 409, "task-failed");
    assert_non_null(strstr(failed->body, "broken"));
    expect_problem(get(daemon, "/v1/tasks/4711/result"), 404, "not-found");
}

static void a_task_goes_on_when_its_client_leaves(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *body = text("{'kind':'sleep','args':{'duration':'300ms'}}");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/tasks?wait=30s HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
               "application/json\r\n"
               "Content-Length: %zu\r\n\r\n%s",
               daemon->port, strlen(body), body);
    eventually(count_tasks(daemon, "") == 1, 20000);
    wire_reset(wire);

    expect_end(daemon, 1, "succeeded", NULL);
}

/* ---- arrays ---- */

static void an_array_is_stored_whole_with_ids_in_its_order(void)
{
    struct daemon *daemon = started_with_paused("default");

    struct reply *reply =
        call(daemon, "POST", "/v1/tasks",
             text("[{'kind':'echo','args':0},{'kind':'echo','args':1},{'kind':'noop','args':2}]"));

    expect_status(reply, 201);
    expect_number(reply->json, "count", 3);
    assert_int_equal(json_array_size(at(reply->json, "ids")), 3);
    for (unsigned i = 0; i < 3; i++) {
        int64_t id = number_at(reply->json, plain_text("ids.%u", i));
        expect_number(task(daemon, (uint64_t)id), "args", i);
    }
}

static void an_array_with_one_bad_task_stores_nothing(void)
{
    struct daemon *daemon = started_with_paused("default");

    struct reply *reply =
        call(daemon, "POST", "/v1/tasks",
             text("[{'kind':'echo'},{'kind':'echo','priority':101},{'kind':'nope'}]"));

    expect_problem(reply, 422, "invalid-task");
    assert_true(has_pointer(reply->json, "#/1/priority"));
    assert_true(has_pointer(reply->json, "#/2/kind"));
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static void an_array_holds_ten_thousand_tasks_and_no_more(void)
{
    struct daemon *daemon = started_with_paused("default");
    char *most = repeated(' ', 10001 * 20 + 8);
    char *end = most;

    submit_many(daemon, 10000, "{'kind':'noop'}");
    assert_int_equal(count_tasks(daemon, ""), 10000);
    for (unsigned i = 0; i < 10001; i++)
        end = stpcpy(end, i == 0 ? "[{\"kind\":\"noop\"}" : ",{\"kind\":\"noop\"}");
    (void)stpcpy(end, "]");
    expect_problem(call(daemon, "POST", "/v1/tasks", most), 413, "too-large");
    assert_int_equal(count_tasks(daemon, ""), 10000);
}

static void ids_rise_and_are_never_given_twice(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t last = submit_many(daemon, 10, "{'kind':'noop'}") + 9;
    json_t *before = expect_status(get(daemon, "/v1/info"), 200)->json;

    await_end(daemon, last);
    expect_status(
        call(daemon, "DELETE", plain_text("/v1/tasks/%llu", (unsigned long long)last), NULL), 204);
    daemon_stop(daemon);
    daemon_start(daemon);

    assert_int_equal(submit(daemon, "{'kind':'noop'}"), last + 1);
    json_t *after = expect_status(get(daemon, "/v1/info"), 200)->json;
    assert_non_null(text_at(before, "store_id"));
    expect_text(after, "store_id", text_at(before, "store_id"));
}

/* ---- Idempotency-Key ---- */

static void the_same_key_and_request_make_one_task(void)
{
    struct daemon *daemon = started_with_paused("default");
    const char *body = text("{'kind':'echo','args':{'n':1}}");

    struct reply *first =
        expect_status(submit_with_key(daemon, "/v1/tasks", "order-17", body), 201);
    struct reply *second =
        expect_status(submit_with_key(daemon, "/v1/tasks", "order-17", body), 201);
    struct reply *quoted =
        expect_status(submit_with_key(daemon, "/v1/tasks?pretty", "\"order-17\"", body), 201);

    assert_null(reply_header(first, "Idempotent-Replayed"));
    assert_string_equal(reply_header(second, "Idempotent-Replayed"), "true");
    assert_string_equal(reply_header(quoted, "Idempotent-Replayed"), "true");
    assert_string_equal(reply_header(second, "Location"), reply_header(first, "Location"));
    expect_number(second->json, "id", number_at(first->json, "id"));
    expect_number(quoted->json, "id", number_at(first->json, "id"));
    assert_int_equal(count_tasks(daemon, ""), 1);
}

static void the_same_key_with_another_request_is_refused(void)
{
    struct daemon *daemon = started_with_paused("default");

    expect_status(submit_with_key(daemon, "/v1/tasks", "k", text("{'kind':'echo','args':1}")), 201);

    struct reply *other_body =
        submit_with_key(daemon, "/v1/tasks", "k", text("{'kind':'echo','args':2}"));
    struct reply *other_query =
        submit_with_key(daemon, "/v1/tasks?priority=1", "k", text("{'kind':'echo','args':1}"));
    expect_problem(other_body, 422, "idempotency-key-reused");
    expect_problem(other_query, 422, "idempotency-key-reused");
    assert_int_equal(count_tasks(daemon, ""), 1);
}

static void a_refused_request_uses_no_key_up(void)
{
    struct daemon *daemon = started_with_paused("default");

    expect_problem(submit_with_key(daemon, "/v1/tasks", "k", text("{'kind':'nope'}")), 422,
                   "invalid-task");

    struct reply *reply =
        expect_status(submit_with_key(daemon, "/v1/tasks", "k", text("{'kind':'noop'}")), 201);
    assert_null(reply_header(reply, "Idempotent-Replayed"));
}

static void a_replay_shows_the_task_as_it_is_now_and_can_wait(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *body = text("{'kind':'sleep','args':{'duration':'300ms'}}");

    expect_status(submit_with_key(daemon, "/v1/tasks", "k", body), 201);

    struct reply *reply =
        expect_status(submit_with_key(daemon, "/v1/tasks?wait=30s", "k", body), 200);
    expect_text(reply->json, "state", "succeeded");
    assert_string_equal(reply_header(reply, "Idempotent-Replayed"), "true");
    reply = expect_status(submit_with_key(daemon, "/v1/tasks", "k", body), 201);
    expect_text(reply->json, "state", "succeeded");
    assert_int_equal(count_tasks(daemon, ""), 1);
}

static void a_replay_of_an_array_has_the_same_ids_also_after_kill_9(void)
{
    struct daemon *daemon = started_with_paused("default");
    const char *body = text("[{'kind':'echo','args':1},{'kind':'echo','args':2}]");
    struct reply *first = expect_status(submit_with_key(daemon, "/v1/tasks", "k", body), 201);

    daemon_kill(daemon);
    daemon_start(daemon);

    struct reply *second = expect_status(submit_with_key(daemon, "/v1/tasks", "k", body), 201);
    assert_string_equal(reply_header(second, "Idempotent-Replayed"), "true");
    assert_true(json_equal(at(first->json, "ids"), at(second->json, "ids")));
    assert_int_equal(count_tasks(daemon, ""), 2);
}

static void a_replay_of_a_removed_task_gives_its_id(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *body = text("{'kind':'noop'}");
    struct reply *first =
        expect_status(submit_with_key(daemon, "/v1/tasks?wait=30s", "k", body), 200);
    int64_t id = number_at(first->json, "id");

    expect_status(call(daemon, "DELETE", plain_text("/v1/tasks/%lld", (long long)id), NULL), 204);

    struct reply *second = submit_with_key(daemon, "/v1/tasks", "k", body);
    assert_in_range(second->status, 200, 201);
    expect_number(second->json, "id", id);
    assert_int_equal(count_tasks(daemon, ""), 0);
}

/* One of 64 at once. */
struct racer {
    pthread_t thread;
    pthread_barrier_t *barrier;
    uint16_t port;
    int status;
    json_int_t id;
    bool replayed;
};

static void *race(void *arg)
{
    static const char *const headers[] = {"Idempotency-Key: race", NULL};
    struct racer *racer = arg;
    struct client *client = client_new(racer->port);
    struct request request = {.method = "POST",
                              .path = "/v1/tasks",
                              .body = "{\"kind\":\"noop\",\"args\":7}",
                              .headers = headers};

    (void)pthread_barrier_wait(racer->barrier);
    struct reply *reply = client_call(client, &request);
    racer->status = reply->status;
    racer->id = json_integer_value(json_object_get(reply->json, "id"));
    racer->replayed =
        reply->head != NULL && strcasestr(reply->head, "idempotent-replayed: true") != NULL;
    reply_free(reply);
    client_free(client);
    return NULL;
}

static void sixty_four_at_once_with_one_key_make_one_task(void)
{
    struct daemon *daemon = started_with_paused("default");
    struct racer racers[64];
    pthread_barrier_t barrier;
    unsigned firsts = 0;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, 64), 0);
    for (size_t i = 0; i < 64; i++) {
        racers[i] = (struct racer){.barrier = &barrier, .port = daemon->port};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
    (void)pthread_barrier_destroy(&barrier);

    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(racers[i].status, 201);
        assert_int_equal(racers[i].id, racers[0].id);
        firsts += !racers[i].replayed;
    }
    assert_int_equal(firsts, 1);
    assert_int_equal(count_tasks(daemon, ""), 1);
}

HARNESS_MAIN(SCENARIO(a_task_is_answered_with_201_its_location_and_all_its_fields),
             SCENARIO(a_task_keeps_what_was_asked_for), SCENARIO(defaults_come_from_the_kind),
             SCENARIO(the_query_sets_what_the_body_leaves_out), SCENARIO(null_is_as_if_left_out),
             SCENARIO(args_come_back_as_they_were_sent), SCENARIO(large_args_and_results_are_kept),
             SCENARIO(pretty_indents_and_head_answers_without_a_body),
             SCENARIO(wait_answers_with_the_finished_task),
             SCENARIO(wait_answers_202_when_its_time_is_over),
             SCENARIO(result_is_the_result_itself), SCENARIO(a_task_goes_on_when_its_client_leaves),
             SCENARIO(an_array_is_stored_whole_with_ids_in_its_order),
             SCENARIO(an_array_with_one_bad_task_stores_nothing),
             SCENARIO(an_array_holds_ten_thousand_tasks_and_no_more),
             SCENARIO(ids_rise_and_are_never_given_twice),
             SCENARIO(the_same_key_and_request_make_one_task),
             SCENARIO(the_same_key_with_another_request_is_refused),
             SCENARIO(a_refused_request_uses_no_key_up),
             SCENARIO(a_replay_shows_the_task_as_it_is_now_and_can_wait),
             SCENARIO(a_replay_of_an_array_has_the_same_ids_also_after_kill_9),
             SCENARIO(a_replay_of_a_removed_task_gives_its_id),
             SCENARIO(sixty_four_at_once_with_one_key_make_one_task))
