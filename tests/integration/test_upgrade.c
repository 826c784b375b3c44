/** \file
 * Stores of released versions under this daemon: what was in them is there, and runs.
 */
#include <string.h>

#include "stores.h"

static void a_store_of_version_1_has_all_its_tasks(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");

    daemon_start(daemon);

    stores_expect_tasks(daemon, "v1");
    const json_t *queues = at(stores_answers("v1"), "queues");
    size_t i = 0;
    json_t *was = NULL;
    json_array_foreach (queues, i, was) {
        const json_t *is = queue(daemon, text_at(was, "name"));
        assert_true(json_equal(at(is, "overrides"), at(was, "overrides")));
        assert_true(json_equal(at(is, "paused"), at(was, "paused")));
    }
    assert_int_equal(i, 3);
    daemon_stop(daemon);
}

static void what_waited_in_a_store_of_version_1_runs(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    const json_t *tasks = at(stores_answers("v1"), "tasks");
    unsigned queued = 0;

    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", "{}"), 200);

    size_t i = 0;
    json_t *was = NULL;
    json_array_foreach (tasks, i, was) {
        if (strcmp(text_at(was, "state"), "queued") != 0)
            continue;
        json_t *is = expect_end(daemon, (uint64_t)number_at(was, "id"), "succeeded", NULL);
        assert_true(json_equal(at(is, "result"), at(was, "args"))); // it echoes
        queued++;
    }
    assert_int_equal(queued, 2);
    uint64_t next = submit(daemon, "{'kind':'echo'}");
    assert_int_equal(next, json_array_size(tasks) + 1);
    daemon_stop(daemon);

    // What was held goes on where its kind is back.
    daemon_configure(daemon, text("queue: { side: {}; };\n"
                                  "kind: { gone: { builtin = 'echo'; queue = 'side' } };\n"));
    daemon_start(daemon);
    expect_text(expect_end(daemon, 1, "succeeded", NULL), "result", "its kind is no more");
    daemon_stop(daemon);
}

static struct reply *submit_again(struct daemon *daemon, const char *key, const char *body,
                                  const char *type)
{
    const char *headers[] = {plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .body = body,
                                                  .content_type = type,
                                                  .headers = headers});
}

static void the_keys_of_a_store_of_version_1_are_known(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    stores_change(daemon->store_path, "UPDATE keys SET created_at = unixepoch() * 1000");
    daemon_start(daemon);

    struct reply *one =
        submit_again(daemon, "one", text("{'kind': 'echo', 'args': 'once'}"), "application/json");
    struct reply *two = submit_again(
        daemon, "two", text("[{'kind': 'echo', 'args': 1}, {'kind': 'echo', 'args': 2}]"),
        "application/json");
    struct reply *three = submit_again(daemon, "three",
                                       text("{'kind': 'echo', 'args': 1}\n"
                                            "{'kind': 'echo', 'args': 2}\n"
                                            "{'kind': 'echo', 'args': 3}\n"),
                                       "application/x-ndjson");

    expect_number(expect_status(one, 201)->json, "id", 6);
    assert_non_null(reply_header(one, "Idempotent-Replayed"));
    expect_number(expect_status(two, 201)->json, "ids.1", 8);
    expect_number(expect_status(three, 201)->json, "first_id", 9);
    expect_number(three->json, "last_id", 11);
    expect_problem(submit_again(daemon, "one", text("{'kind':'echo'}"), "application/json"), 422,
                   "idempotency-key-reused");
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_store_of_version_1_has_all_its_tasks),
             SCENARIO(what_waited_in_a_store_of_version_1_runs),
             SCENARIO(the_keys_of_a_store_of_version_1_are_known))
