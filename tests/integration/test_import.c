/** \file
 * POST /v1/import: what comes of an export's lines in a store that goes on, and that it is all of
 * them or none. What is refused: test_import_refused.c.
 */
#include <signal.h>
#include <string.h>

#include "imports.h"
#include "load.h"
#include "stores.h"

static const char config[] =
    "queue: { default: { workers = 2 }; side: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' };\n"
    "        once: { builtin = 'sleep'; if_interrupted = 'fail'; on_failure = 'echo' };\n"
    "        noop: { builtin = 'noop'; queue = 'side' }; };\n";

static char *exported(struct daemon *daemon)
{
    return expect_status(call(daemon, "POST", "/v1/export", NULL), 200)->body;
}

/* ---- what comes of it ---- */

static void into_an_empty_store_it_is_as_it_was(void)
{
    struct daemon *from = daemon_new(stores_config);
    stores_unpack(from, "v1");
    struct daemon *daemon = daemon_started(stores_config);

    json_t *answer = imports_done(daemon, stores_exported(from));

    assert_int_equal(number_at(answer, "queues"), 3);
    assert_int_equal(number_at(answer, "tasks"), 17);
    assert_int_equal(number_at(answer, "keys"), 3);
    assert_int_equal(number_at(answer, "first_id"), 1);
    assert_int_equal(number_at(answer, "last_id"), 17);
    assert_true(json_is_true(at(answer, "ids_kept")));
    assert_true(json_is_false(at(answer, "replayed")));
    assert_true(json_is_false(at(answer, "dry_run")));
    stores_expect_tasks(daemon, "v1");
    stores_expect_nothing_beside(daemon);
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
}

static void an_export_of_it_is_the_same_but_for_the_store(void)
{
    const char *later = ",\"due_at_ms\":4102444800000";
    const char *large = plain_text(",\"args\":\"%s\"", repeated('a', 3000));
    const char *lines = imports_lines(
        2, 9, 2,
        plain_text(
            "{'name':'elsewhere','workers':3,'rate':'5/s','burst':7,'paused':true}\n"
            "{'name':'nowhere'}\n%s%s%s%s%s%s%s%s%s"
            "{'key':'a','hash':'%s','first_id':2,'last_id':3,'count':2,'created_at_ms':1}\n"
            "{'key':'b','is_stream':true,'hash':'%s','first_id':0,'last_id':0,'count':0,"
            "'created_at_ms':1}\n",
            imports_task(2, "queued", "elsewhere", "gone", ",\"expires_at_ms\":4102444800000"),
            imports_task(3, "scheduled", "elsewhere", "gone", later),
            imports_task(4, "retrying", "nowhere", "gone", later),
            imports_task(5, "held", "nowhere", "gone", large),
            imports_task(6, "succeeded", "nowhere", "gone",
                         ",\"finished_at_ms\":4102444800000,\"result\":[1.50]"),
            imports_task(
                7, "failed", "nowhere", "gone",
                ",\"finished_at_ms\":4102444800000,\"parent\":6,\"links\":1,\"error_code\":\"x\""),
            imports_task(8, "cancelled", "nowhere", "gone",
                         plain_text(",\"finished_at_ms\":4102444800000%s", large)),
            imports_task(9, "queued", "nowhere", "gone", large),
            imports_task(90, "queued", "nowhere", "gone", ""), repeated('0', 64),
            repeated('f', 64)));
    struct daemon *daemon = daemon_started(config);
    json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    const char *id = text_at(info, "store_id");

    imports_done(daemon, lines);

    char *after = exported(daemon);
    char *own = strstr(after, id);
    assert_non_null(own);
    memcpy(own, "0123456789abcdef", 16);
    assert_string_equal(after, lines);
    expect_text(expect_status(get(daemon, "/v1/info"), 200)->json, "store_id", id);
    // Counts, settings and metrics at once.
    json_t *there = queue(daemon, "elsewhere");
    assert_int_equal(number_at(there, "states.queued"), 1);
    assert_int_equal(number_at(there, "states.scheduled"), 1);
    assert_true(json_is_true(at(there, "paused")));
    assert_non_null(
        strstr(expect_status(get(daemon, "/metrics"), 200)->body, text("queue='nowhere'")));
    // Ids go on behind the highest that was given.
    assert_int_equal(submit(daemon, "{'kind':'echo'}"), 100);
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
}

static void into_a_store_with_tasks_all_ids_move_and_what_waits_runs(void)
{
    const char *lines = imports_lines(
        2, 7, 1,
        plain_text(
            "{'name':'default','paused':true}\n{'name':'fresh','paused':true,'workers':2}\n"
            "%s%s%s%s%s%s%s"
            "{'key':'k','hash':'%s','first_id':1,'last_id':2,'count':2,'created_at_ms':%lld}\n",
            imports_task(1, "queued", "default", "echo", ",\"args\":\"first\""),
            imports_task(
                2, "scheduled", "default", "echo",
                plain_text(",\"due_at_ms\":%lld,\"args\":\"due\"", (long long)wall_ms() + 700)),
            imports_task(3, "held", "default", "echo", ",\"args\":\"held\""),
            imports_task(4, "held", "default", "gone", ""),
            imports_task(5, "queued", "fresh", "echo", ""),
            imports_task(6, "succeeded", "default", "echo",
                         plain_text(",\"parent\":1,\"links\":1,\"finished_at_ms\":%lld",
                                    (long long)wall_ms())),
            imports_task(7, "queued", "default", "echo",
                         plain_text(",\"args\":\"%s\"", repeated('z', 5000))),
            repeated('0', 64), (long long)wall_ms()));
    struct daemon *daemon = daemon_started(config);
    for (unsigned i = 0; i < 10; i++)
        expect_end(daemon, submit(daemon, "{'kind':'echo','args':1}"), "succeeded", NULL);

    json_t *answer = imports_done(daemon, lines);

    assert_true(daemon_logs(daemon, "event=queue_not_configured queue=fresh waiting=1", 1000));
    assert_int_equal(daemon_log_count(daemon, "event=queue_not_configured"), 1);
    assert_int_equal(number_at(answer, "first_id"), 11);
    assert_int_equal(number_at(answer, "last_id"), 17);
    assert_true(json_is_false(at(answer, "ids_kept")));
    expect_text(expect_end(daemon, 11, "succeeded", NULL), "result", "first");
    expect_text(expect_end(daemon, 12, "succeeded", NULL), "result", "due");
    expect_text(expect_end(daemon, 13, "succeeded", NULL), "result", "held"); // released
    expect_text(task(daemon, 14), "state", "held");
    expect_text(task(daemon, 15), "state", "queued");
    assert_int_equal(number_at(task(daemon, 16), "parent"), 11);
    assert_int_equal(strlen(text_at(expect_end(daemon, 17, "succeeded", NULL), "result")), 5000);
    // The queue that was there keeps its settings, the new one has the export's.
    assert_true(json_is_false(at(queue(daemon, "default"), "paused")));
    assert_true(json_is_true(at(queue(daemon, "fresh"), "paused")));
    // Ids go on behind all that the other store had given: 99.
    assert_int_equal(submit(daemon, "{'kind':'echo'}"), 110);
    assert_non_null(strstr(exported(daemon), text("'first_id':11,'last_id':12,'count':2")));
    // Twice: its key is there.
    struct reply *reply = expect_problem(imports_send(daemon, "", NULL, lines), 409, "key-taken");
    assert_non_null(strstr(text_at(reply->json, "detail"), "'k'"));
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
    daemon_start(daemon);
    expect_text(task(daemon, 15), "state", "queued");
    assert_true(json_is_true(at(queue(daemon, "fresh"), "paused")));
    daemon_stop(daemon);
}

static struct reply *submit_by(struct daemon *daemon, const char *key, const char *type,
                               const char *body)
{
    const char *headers[] = {plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .content_type = type,
                                                  .body = body,
                                                  .headers = headers});
}

static void its_keys_stand_for_the_moved_ids(void)
{
    static const char json[] = "application/json";
    static const char stream[] = "application/x-ndjson";
    const char *two = text("{'kind':'echo','args':1}\n{'kind':'echo','args':2}\n");
    const char *three = plain_text("%s%s", two, text("{'kind':'echo','args':3}\n"));
    struct daemon *daemon = daemon_started(config);
    expect_status(submit_by(daemon, "one", json, text("{'kind':'echo','args':'a'}")), 201);
    expect_status(submit_by(daemon, "some", stream, two), 201);
    for (uint64_t id = 1; id <= 3; id++)
        expect_end(daemon, id, "succeeded", NULL);
    const char *lines = exported(daemon);
    daemon_stop(daemon);
    daemon_forget(daemon);
    daemon_start(daemon);
    submit_many(daemon, 4, text("{'kind':'echo'}"));
    imports_done(daemon, lines);

    // The same again is what was stored; another body under the key is refused.
    struct reply *reply = submit_by(daemon, "one", json, text("{'kind':'echo','args':'a'}"));
    expect_number(expect_status(reply, 201)->json, "id", 5);
    expect_text(reply->json, "state", "succeeded");
    assert_non_null(reply_header(reply, "Idempotent-Replayed"));
    expect_problem(submit_by(daemon, "one", json, text("{'kind':'echo','args':'b'}")), 422,
                   "idempotency-key-reused");
    // A stream goes on where it ended.
    expect_status(submit_by(daemon, "some", stream, three), 201);
    assert_int_equal(count_tasks(daemon, ""), 4 + 3 + 1);
    expect_text(expect_end(daemon, 8, "succeeded", NULL), "kind", "echo");
    assert_int_equal(number_at(task(daemon, 8), "args"), 3);
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
}

static void what_ran_counts_as_interrupted_and_is_followed(void)
{
    const char *lines = imports_lines(
        1, 3, 0,
        plain_text("{'name':'default'}\n%s%s%s",
                   imports_task(1, "running", "default", "echo", ",\"args\":\"again\""),
                   imports_task(2, "running", "default", "once", ""),
                   imports_task(3, "running", "default", "echo", ",\"cancel_requested_at_ms\":5")));
    struct daemon *daemon = daemon_started(config);
    expect_end(daemon, submit(daemon, "{'kind':'echo'}"), "succeeded", NULL);

    imports_done(daemon, lines);

    json_t *again = expect_end(daemon, 2, "succeeded", NULL);
    expect_text(again, "result", "again");
    assert_int_equal(number_at(again, "interruptions"), 1);
    expect_end(daemon, 3, "failed", "interrupted");
    json_t *followed = expect_end(daemon, 101, "succeeded", NULL); // behind the last id
    assert_int_equal(number_at(followed, "parent"), 3);
    expect_text(task(daemon, 4), "state", "cancelled");
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
}

/* ---- all or nothing ---- */

static void a_dry_run_stores_nothing(void)
{
    const char *lines = imports_lines(
        1, 1, 0,
        plain_text("{'name':'fresh'}\n%s", imports_task(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    submit(daemon, "{'kind':'echo'}");

    json_t *answer = expect_status(imports_send(daemon, "?dry_run=true", "a", lines), 200)->json;

    assert_true(json_is_true(at(answer, "dry_run")));
    assert_int_equal(number_at(answer, "tasks"), 1);
    assert_int_equal(number_at(answer, "first_id"), 8);
    assert_int_equal(count_tasks(daemon, ""), 1);
    expect_problem(get(daemon, "/v1/queues/fresh"), 404, "not-found");
    expect_problem(imports_send(daemon, "?dry_run=perhaps", NULL, lines), 400, "invalid-query");
    expect_problem(imports_send(daemon, "?dry_run", NULL, "{}"), 422, "invalid-export");
    // Its key is not used up.
    answer = expect_status(imports_send(daemon, "?dry_run=0", "a", lines), 200)->json;
    assert_true(json_is_false(at(answer, "dry_run")));
    assert_true(json_is_false(at(answer, "replayed")));
    assert_int_equal(number_at(answer, "first_id"), 8);
    daemon_stop(daemon);
}

static void the_same_import_with_its_key_is_done_once(void)
{
    const char *lines = imports_lines(
        1, 1, 0,
        plain_text("{'name':'fresh'}\n%s", imports_task(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    json_t *first = expect_status(imports_send(daemon, "", "move", lines), 200)->json;
    assert_true(json_is_false(at(first, "replayed")));

    for (unsigned i = 0; i < 2; i++) {
        struct reply *reply = expect_status(imports_send(daemon, "", "move", lines), 200);
        assert_true(json_is_true(at(reply->json, "replayed")));
        assert_string_equal(reply_header(reply, "Idempotent-Replayed"), "true");
        assert_int_equal(number_at(reply->json, "first_id"), 7);
        assert_true(json_is_true(at(reply->json, "ids_kept")));
        daemon_stop(daemon);
        daemon_start(daemon);
    }
    expect_problem(imports_send(daemon, "", "move", imports_lines(0, 0, 0, "")), 422,
                   "idempotency-key-reused");
    assert_int_equal(count_tasks(daemon, ""), 1);
    // Another key is another import, and the last one alone is remembered. An export has none.
    expect_status(imports_send(daemon, "", "other", lines), 200);
    assert_int_equal(count_tasks(daemon, ""), 2);
    assert_null(strstr(exported(daemon), "other"));
    expect_problem(imports_send(daemon, "", "a b", lines), 400, "invalid-query");
    daemon_stop(daemon);
}

static void a_kill_on_the_way_leaves_all_or_nothing(void)
{
    enum { TASKS = 20000 };
    struct daemon *daemon = daemon_new(config);
    const char *lines = imports_waiting("elsewhere", "echo", TASKS, 0);
    int64_t step_ms = 40 * slow();
    unsigned none = 0;

    for (int64_t at_ms = 0;; at_ms += step_ms) {
        daemon_start(daemon);
        struct wire *wire = imports_begin(daemon, strlen(lines));
        wire_send(wire, lines, strlen(lines));
        bool is_answered = false;
        int64_t until = now_ms() + at_ms;
        while (now_ms() < until && !is_answered)
            is_answered = wire_readable(wire, 1);
        daemon_kill(daemon);
        stores_expect_sound(daemon, NULL);
        int64_t stored = stores_query(daemon->store_path, "SELECT count(*) FROM tasks");
        if (stored != TASKS)
            assert_int_equal(stored, 0);
        none += stored == 0;
        if (is_answered) {
            assert_int_equal(stored, TASKS);
            break;
        }
        if (stored != 0)
            daemon_forget(daemon);
    }
    assert_true(none > 0);
    daemon_start(daemon);
    stores_expect_nothing_beside(daemon);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), TASKS);
    daemon_stop(daemon);
}

/* ---- beside others ---- */

static void who_submits_meanwhile_loses_nothing(void)
{
    struct daemon *daemon = daemon_started(config);
    struct load *load = load_start(daemon);
    eventually(atomic_load(&load->stored) > 20, 20000);

    imports_done(daemon, imports_waiting("elsewhere", "echo", 3000, 0));
    imports_done(daemon, imports_waiting("elsewhere", "echo", 3000, 0));

    unsigned before = atomic_load(&load->stored);
    eventually(atomic_load(&load->stored) > before + 20, 20000);
    load_end(load);
    assert_int_equal(atomic_load(&load->refused), 0);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), 6000);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") ==
                   (int64_t)atomic_load(&load->stored),
               20000);
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
}

/* Its window is full, and what comes stands before all that is in it. */
static void what_comes_goes_before_what_waits_where_its_priority_is_higher(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(call(daemon, "POST", "/v1/queues/side/pause", NULL), 200);
    submit_many(daemon, 5000, text("{'kind':'noop'}"));
    char *urgent = imports_task(1, "queued", "side", "echo", ",\"args\":\"urgent\"");
    memcpy(strstr(urgent, "\"priority\":0"), "\"priority\":9", 12);
    imports_done(daemon, imports_lines(1, 1, 0, plain_text("{'name':'side'}\n%s", urgent)));

    expect_status(call(daemon, "POST", "/v1/queues/side/resume", NULL), 200);

    json_t *ended = expect_end(daemon, 5001, "succeeded", NULL);
    int64_t urgent_at = instant_at(ended, "started_at");
    for (uint64_t id = 1; id <= 5000; id += 1111)
        assert_true(instant_at(expect_end(daemon, id, "succeeded", NULL), "started_at") >=
                    urgent_at);
    daemon_stop(daemon);
}

static void who_leaves_after_its_end_has_done_all(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *lines = imports_waiting("elsewhere", "echo", 20000, 0);
    struct wire *wire = imports_begin(daemon, strlen(lines));
    wire_send(wire, lines, strlen(lines));
    // The body is whole once something is made of it.
    eventually(file_exists(plain_text("%s-import.part", daemon->store_path)), 20000);

    wire_reset(wire);

    eventually(daemon_log_count(daemon, "event=imported tasks=20000") == 1, 60000);
    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), 20000);
    stores_expect_nothing_beside(daemon);
    daemon_stop(daemon);
}

static void a_stop_gives_it_up_or_lets_it_end(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *lines = imports_waiting("elsewhere", "echo", 20000, 0);
    struct wire *wire = imports_begin(daemon, strlen(lines));
    wire_send(wire, lines, strlen(lines));

    daemon_signal(daemon, SIGTERM);

    struct reply *reply = wire_reply(wire, 60000);
    assert_int_equal(daemon_await_end(daemon, 60000), 0);
    bool is_done = reply->status == 200;
    if (!is_done && reply->status != 0)
        expect_problem(reply, 503, "draining");
    assert_int_equal(stores_query(daemon->store_path, "SELECT count(*) FROM tasks"),
                     is_done ? 20000 : 0);
    stores_expect_nothing_beside(daemon);
    stores_expect_sound(daemon, NULL);
}

HARNESS_MAIN(SCENARIO(into_an_empty_store_it_is_as_it_was),
             SCENARIO(an_export_of_it_is_the_same_but_for_the_store),
             SCENARIO(into_a_store_with_tasks_all_ids_move_and_what_waits_runs),
             SCENARIO(its_keys_stand_for_the_moved_ids),
             SCENARIO(what_ran_counts_as_interrupted_and_is_followed),
             SCENARIO(a_dry_run_stores_nothing),
             SCENARIO(the_same_import_with_its_key_is_done_once),
             SCENARIO(a_kill_on_the_way_leaves_all_or_nothing),
             SCENARIO(who_submits_meanwhile_loses_nothing),
             SCENARIO(what_comes_goes_before_what_waits_where_its_priority_is_higher),
             SCENARIO(who_leaves_after_its_end_has_done_all),
             SCENARIO(a_stop_gives_it_up_or_lets_it_end))
