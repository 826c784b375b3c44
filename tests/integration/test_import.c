/** \file
 * POST /v1/import: what comes of an export's lines in a store that goes on, that it is all of them
 * or none, and what it refuses.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stores.h"

static const char config[] =
    "queue: { default: { workers = 2 }; side: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' };\n"
    "        once: { builtin = 'sleep'; if_interrupted = 'fail'; on_failure = 'echo' };\n"
    "        noop: { builtin = 'noop'; queue = 'side' }; };\n";

/* A task's line: id, state, queue, kind, and further members with a comma before them. */
static char *line(unsigned id, const char *state, const char *queue, const char *kind,
                  const char *more)
{
    return text("{'id':%u,'state':'%s','queue':'%s','kind':'%s','priority':0,'run':%d,'attempt':%d,"
                "'interruptions':0,'created_at_ms':1700000000000%s}\n",
                id, state, queue, kind, strcmp(state, "running") == 0,
                strcmp(state, "running") == 0, more);
}

/* A whole export: its last_id is 99. */
static char *lines_of(unsigned queues, unsigned tasks, unsigned keys, const char *lines)
{
    char *head = text("{'runnel_export':1,'store_id':'0123456789abcdef','last_id':99,'queues':%u,"
                      "'tasks':%u,'keys':%u}\n",
                      queues, tasks, keys);
    return plain_text("%s%s", head, quoted(lines));
}

static struct reply *import_by(struct daemon *daemon, const char *query, const char *key,
                               const char *lines)
{
    const char *headers[] = {key == NULL ? NULL : plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = plain_text("/v1/import%s", query),
                                                  .body = lines,
                                                  .content_type = "application/x-ndjson",
                                                  .headers = headers,
                                                  .within_ms = 120000});
}

static json_t *imported(struct daemon *daemon, const char *lines)
{
    return expect_status(import_by(daemon, "", NULL, lines), 200)->json;
}

static char *exported(struct daemon *daemon)
{
    return expect_status(call(daemon, "POST", "/v1/export", NULL), 200)->body;
}

static void expect_nothing_left(const struct daemon *daemon)
{
    static const char *const names[] = {"lines.part", "import.part", "import.part-journal"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(file_exists(plain_text("%s-%s", daemon->store_path, names[i])));
}

static void expect_sound(const struct daemon *daemon)
{
    const char *argv[] = {daemon_program(), "-c", daemon->config_path, "--check-store", NULL};
    struct run run = run_program(argv, NULL, 60000 * slow());

    if (run.status != 0)
        fail_msg("%d\n%s%s", run.status, run.out, run.err);
}

/* So many waiting tasks of a queue that nobody has configured. */
static char *many(unsigned count)
{
    size_t room = 64 + (size_t)count * 200;
    char *lines = keep(malloc(room));
    size_t used = (size_t)snprintf(
        lines, room,
        "{\"runnel_export\":1,\"store_id\":\"0123456789abcdef\",\"last_id\":%u,\"queues\":1,"
        "\"tasks\":%u,\"keys\":0}\n{\"name\":\"elsewhere\"}\n",
        count, count);

    for (unsigned i = 1; i <= count; i++)
        used += (size_t)snprintf(lines + used, room - used,
                                 "{\"id\":%u,\"state\":\"queued\",\"queue\":\"elsewhere\",\"kind\":"
                                 "\"echo\",\"priority\":0,\"run\":0,\"attempt\":0,"
                                 "\"interruptions\":0,\"created_at_ms\":1700000000000}\n",
                                 i);
    assert_true(used < room);
    return lines;
}

/* ---- what comes of it ---- */

static void into_an_empty_store_it_is_as_it_was(void)
{
    struct daemon *from = daemon_new(stores_config);
    stores_unpack(from, "v1");
    struct run run = run_program(
        (const char *[]){daemon_program(), "-c", from->config_path, "--export", "-", NULL}, NULL,
        60000 * slow());
    assert_int_equal(run.status, 0);
    struct daemon *daemon = daemon_started(stores_config);

    json_t *answer = imported(daemon, run.out);

    assert_int_equal(number_at(answer, "queues"), 3);
    assert_int_equal(number_at(answer, "tasks"), 17);
    assert_int_equal(number_at(answer, "keys"), 3);
    assert_int_equal(number_at(answer, "first_id"), 1);
    assert_int_equal(number_at(answer, "last_id"), 17);
    assert_true(json_is_true(at(answer, "ids_kept")));
    assert_true(json_is_false(at(answer, "replayed")));
    assert_true(json_is_false(at(answer, "dry_run")));
    stores_expect_tasks(daemon, "v1");
    expect_nothing_left(daemon);
    daemon_stop(daemon);
    expect_sound(daemon);
}

static void an_export_of_it_is_the_same_but_for_the_store(void)
{
    const char *later = ",\"due_at_ms\":4102444800000";
    const char *large = plain_text(",\"args\":\"%s\"", repeated('a', 3000));
    const char *lines = lines_of(
        2, 9, 2,
        plain_text(
            "{'name':'elsewhere','workers':3,'rate':'5/s','burst':7,'paused':true}\n"
            "{'name':'nowhere'}\n%s%s%s%s%s%s%s%s%s"
            "{'key':'a','hash':'%s','first_id':2,'last_id':3,'count':2,'created_at_ms':1}\n"
            "{'key':'b','is_stream':true,'hash':'%s','first_id':0,'last_id':0,'count':0,"
            "'created_at_ms':1}\n",
            line(2, "queued", "elsewhere", "gone", ",\"expires_at_ms\":4102444800000"),
            line(3, "scheduled", "elsewhere", "gone", later),
            line(4, "retrying", "nowhere", "gone", later),
            line(5, "held", "nowhere", "gone", large),
            line(6, "succeeded", "nowhere", "gone",
                 ",\"finished_at_ms\":4102444800000,\"result\":[1.50]"),
            line(7, "failed", "nowhere", "gone",
                 ",\"finished_at_ms\":4102444800000,\"parent\":6,\"links\":1,\"error_code\":\"x\""),
            line(8, "cancelled", "nowhere", "gone",
                 plain_text(",\"finished_at_ms\":4102444800000%s", large)),
            line(9, "queued", "nowhere", "gone", large), line(90, "queued", "nowhere", "gone", ""),
            repeated('0', 64), repeated('f', 64)));
    struct daemon *daemon = daemon_started(config);
    json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    const char *id = text_at(info, "store_id");

    imported(daemon, lines);

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
    expect_sound(daemon);
}

static void into_a_store_with_tasks_all_ids_move_and_what_waits_runs(void)
{
    const char *lines = lines_of(
        2, 7, 1,
        plain_text(
            "{'name':'default','paused':true}\n{'name':'fresh','paused':true,'workers':2}\n"
            "%s%s%s%s%s%s%s"
            "{'key':'k','hash':'%s','first_id':1,'last_id':2,'count':2,'created_at_ms':%lld}\n",
            line(1, "queued", "default", "echo", ",\"args\":\"first\""),
            line(2, "scheduled", "default", "echo",
                 plain_text(",\"due_at_ms\":%lld,\"args\":\"due\"", (long long)wall_ms() + 700)),
            line(3, "held", "default", "echo", ",\"args\":\"held\""),
            line(4, "held", "default", "gone", ""), line(5, "queued", "fresh", "echo", ""),
            line(6, "succeeded", "default", "echo",
                 plain_text(",\"parent\":1,\"links\":1,\"finished_at_ms\":%lld",
                            (long long)wall_ms())),
            line(7, "queued", "default", "echo",
                 plain_text(",\"args\":\"%s\"", repeated('z', 5000))),
            repeated('0', 64), (long long)wall_ms()));
    struct daemon *daemon = daemon_started(config);
    for (unsigned i = 0; i < 10; i++)
        expect_end(daemon, submit(daemon, "{'kind':'echo','args':1}"), "succeeded", NULL);

    json_t *answer = imported(daemon, lines);

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
    struct reply *reply = expect_problem(import_by(daemon, "", NULL, lines), 409, "key-taken");
    assert_non_null(strstr(text_at(reply->json, "detail"), "'k'"));
    daemon_stop(daemon);
    expect_sound(daemon);
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
    imported(daemon, lines);

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
    expect_sound(daemon);
}

static void what_ran_counts_as_interrupted_and_is_followed(void)
{
    const char *lines = lines_of(
        1, 3, 0,
        plain_text("{'name':'default'}\n%s%s%s",
                   line(1, "running", "default", "echo", ",\"args\":\"again\""),
                   line(2, "running", "default", "once", ""),
                   line(3, "running", "default", "echo", ",\"cancel_requested_at_ms\":5")));
    struct daemon *daemon = daemon_started(config);
    expect_end(daemon, submit(daemon, "{'kind':'echo'}"), "succeeded", NULL);

    imported(daemon, lines);

    json_t *again = expect_end(daemon, 2, "succeeded", NULL);
    expect_text(again, "result", "again");
    assert_int_equal(number_at(again, "interruptions"), 1);
    expect_end(daemon, 3, "failed", "interrupted");
    json_t *followed = expect_end(daemon, 101, "succeeded", NULL); // behind the last id
    assert_int_equal(number_at(followed, "parent"), 3);
    expect_text(task(daemon, 4), "state", "cancelled");
    daemon_stop(daemon);
    expect_sound(daemon);
}

/* ---- all or nothing ---- */

static void a_broken_line_is_named_and_nothing_is_stored(void)
{
    static const struct {
        const char *third;
        int line;
        const char *says;
    } rows[] = {
        {"{'id':1,'colour':1}\n", 3, "a task has no colour"},
        {"{'id':1", 3, "it is no JSON"},
        {"", 2, "it is the last one, and 0 of the 1 tasks that the head names are there"},
        {"{'id':1,'state':'queued','queue':'none','kind':'echo','priority':0,'run':0,'attempt':0,"
         "'interruptions':0,'created_at_ms':1}\n",
         3, "there is no line before it for its queue"},
        {"{'key':'k','hash':'0000000000000000000000000000000000000000000000000000000000000000',"
         "'first_id':99,'last_id':100,'count':2,'created_at_ms':1}\n",
         3, "its last_id is above the last_id of the head"},
    };
    struct daemon *daemon = daemon_started(config);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *lines = lines_of(1, 1, 0, plain_text("{'name':'fresh'}\n%s", rows[i].third));
        struct reply *reply =
            expect_problem(import_by(daemon, "", NULL, lines), 422, "invalid-export");
        assert_int_equal(number_at(reply->json, "line"), rows[i].line);
        if (strstr(text_at(reply->json, "detail"), rows[i].says) == NULL)
            fail_msg("%s", reply->body);
        expect_nothing_left(daemon);
    }
    // Nothing at all, more running ones than there are workers, and a queue that nobody knows now.
    expect_number(expect_problem(import_by(daemon, "", NULL, ""), 422, "invalid-export")->json,
                  "line", 1);
    assert_int_equal(count_tasks(daemon, ""), 0);
    expect_problem(get(daemon, "/v1/queues/fresh"), 404, "not-found");
    struct reply *none =
        expect_status(import_by(daemon, "?pretty", NULL, lines_of(0, 0, 0, "")), 200);
    json_t *answer = none->json;
    assert_non_null(strstr(none->body, "\n  "));
    assert_int_equal(number_at(answer, "first_id"), -1);
    assert_int_equal(number_at(answer, "last_id"), -1);
    daemon_stop(daemon);
}

static void a_dry_run_stores_nothing(void)
{
    const char *lines = lines_of(
        1, 1, 0, plain_text("{'name':'fresh'}\n%s", line(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    submit(daemon, "{'kind':'echo'}");

    json_t *answer = expect_status(import_by(daemon, "?dry_run=true", "a", lines), 200)->json;

    assert_true(json_is_true(at(answer, "dry_run")));
    assert_int_equal(number_at(answer, "tasks"), 1);
    assert_int_equal(number_at(answer, "first_id"), 8);
    assert_int_equal(count_tasks(daemon, ""), 1);
    expect_problem(get(daemon, "/v1/queues/fresh"), 404, "not-found");
    expect_problem(import_by(daemon, "?dry_run=perhaps", NULL, lines), 400, "invalid-query");
    expect_problem(import_by(daemon, "?dry_run", NULL, "{}"), 422, "invalid-export");
    // Its key is not used up.
    answer = expect_status(import_by(daemon, "?dry_run=0", "a", lines), 200)->json;
    assert_true(json_is_false(at(answer, "dry_run")));
    assert_true(json_is_false(at(answer, "replayed")));
    assert_int_equal(number_at(answer, "first_id"), 8);
    daemon_stop(daemon);
}

static void the_same_import_with_its_key_is_done_once(void)
{
    const char *lines = lines_of(
        1, 1, 0, plain_text("{'name':'fresh'}\n%s", line(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    json_t *first = expect_status(import_by(daemon, "", "move", lines), 200)->json;
    assert_true(json_is_false(at(first, "replayed")));

    for (unsigned i = 0; i < 2; i++) {
        struct reply *reply = expect_status(import_by(daemon, "", "move", lines), 200);
        assert_true(json_is_true(at(reply->json, "replayed")));
        assert_string_equal(reply_header(reply, "Idempotent-Replayed"), "true");
        assert_int_equal(number_at(reply->json, "first_id"), 7);
        assert_true(json_is_true(at(reply->json, "ids_kept")));
        daemon_stop(daemon);
        daemon_start(daemon);
    }
    expect_problem(import_by(daemon, "", "move", lines_of(0, 0, 0, "")), 422,
                   "idempotency-key-reused");
    assert_int_equal(count_tasks(daemon, ""), 1);
    // Another key is another import, and the last one alone is remembered. An export has none.
    expect_status(import_by(daemon, "", "other", lines), 200);
    assert_int_equal(count_tasks(daemon, ""), 2);
    assert_null(strstr(exported(daemon), "other"));
    expect_problem(import_by(daemon, "", "a b", lines), 400, "invalid-query");
    daemon_stop(daemon);
}

static void a_kill_on_the_way_leaves_all_or_nothing(void)
{
    enum { TASKS = 20000 };
    struct daemon *daemon = daemon_new(config);
    const char *lines = many(TASKS);
    int64_t step_ms = 40 * slow();
    unsigned none = 0;

    for (int64_t at_ms = 0;; at_ms += step_ms) {
        daemon_start(daemon);
        struct wire *wire = wire_open(daemon->port);
        wire_sendf(wire,
                   "POST /v1/import HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
                   "application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
                   daemon->port, strlen(lines));
        wire_send(wire, lines, strlen(lines));
        bool is_answered = false;
        int64_t until = now_ms() + at_ms;
        while (now_ms() < until && !is_answered)
            is_answered = wire_readable(wire, 1);
        daemon_kill(daemon);
        expect_sound(daemon);
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
    expect_nothing_left(daemon);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), TASKS);
    daemon_stop(daemon);
}

/* ---- beside others ---- */

struct load {
    struct daemon *daemon;
    _Atomic bool is_over;
    _Atomic unsigned stored, refused;
};

static void *submit_on(void *arg)
{
    struct load *load = arg;
    struct client *client = client_new(load->daemon->port);

    while (!atomic_load(&load->is_over)) {
        struct reply *reply =
            client_call(client, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .body = "{\"kind\":\"echo\",\"args\":1}"});
        atomic_fetch_add(reply->status == 201 ? &load->stored : &load->refused, 1);
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void who_submits_meanwhile_loses_nothing(void)
{
    struct daemon *daemon = daemon_started(config);
    struct load load = {.daemon = daemon};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, submit_on, &load), 0);
    eventually(atomic_load(&load.stored) > 20, 20000);

    imported(daemon, many(3000));
    imported(daemon, many(3000));

    unsigned before = atomic_load(&load.stored);
    eventually(atomic_load(&load.stored) > before + 20, 20000);
    atomic_store(&load.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&load.refused), 0);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), 6000);
    eventually(number_at(queue(daemon, "default"), "states.succeeded") ==
                   (int64_t)atomic_load(&load.stored),
               20000);
    daemon_stop(daemon);
    expect_sound(daemon);
}

/* Its window is full, and what comes stands before all that is in it. */
static void what_comes_goes_before_what_waits_where_its_priority_is_higher(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(call(daemon, "POST", "/v1/queues/side/pause", NULL), 200);
    submit_many(daemon, 5000, text("{'kind':'noop'}"));
    char *urgent = line(1, "queued", "side", "echo", ",\"args\":\"urgent\"");
    memcpy(strstr(urgent, "\"priority\":0"), "\"priority\":9", 12);
    imported(daemon, lines_of(1, 1, 0, plain_text("{'name':'side'}\n%s", urgent)));

    expect_status(call(daemon, "POST", "/v1/queues/side/resume", NULL), 200);

    json_t *ended = expect_end(daemon, 5001, "succeeded", NULL);
    int64_t urgent_at = instant_at(ended, "started_at");
    for (uint64_t id = 1; id <= 5000; id += 1111)
        assert_true(instant_at(expect_end(daemon, id, "succeeded", NULL), "started_at") >=
                    urgent_at);
    daemon_stop(daemon);
}

static struct wire *begun(struct daemon *daemon, size_t length)
{
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/import HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
               "application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
               daemon->port, length);
    return wire;
}

static void one_at_a_time_and_who_leaves_before_its_end_has_done_nothing(void)
{
    const char *lines = lines_of(
        1, 1, 0, plain_text("{'name':'fresh'}\n%s", line(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    size_t length = strlen(lines);
    struct wire *wire = begun(daemon, length);
    wire_send(wire, lines, length - 1);
    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 503, 20000);
    struct reply *reply = expect_problem(import_by(daemon, "", NULL, lines), 503, "busy");
    assert_non_null(strstr(text_at(reply->json, "detail"), "one at a time"));
    expect_problem(call(daemon, "POST", "/v1/backup", NULL), 503, "busy");

    wire_reset(wire);

    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    assert_int_equal(count_tasks(daemon, ""), 0);
    expect_nothing_left(daemon);
    daemon_stop(daemon);
}

static void who_leaves_after_its_end_has_done_all(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *lines = many(20000);
    struct wire *wire = begun(daemon, strlen(lines));
    wire_send(wire, lines, strlen(lines));
    // The body is whole once something is made of it.
    eventually(file_exists(plain_text("%s-import.part", daemon->store_path)), 20000);

    wire_reset(wire);

    eventually(daemon_log_count(daemon, "event=imported tasks=20000") == 1, 60000);
    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    assert_int_equal(number_at(queue(daemon, "elsewhere"), "states.queued"), 20000);
    expect_nothing_left(daemon);
    daemon_stop(daemon);
}

static void a_body_that_does_not_come_is_not_waited_for(void)
{
    struct daemon *daemon = daemon_started(plain_text("body_timeout = '300ms';\n%s", config));
    struct wire *wire = begun(daemon, 1000);
    wire_send(wire, "{", 1);

    expect_problem(wire_reply(wire, 20000), 408, "request-timeout");

    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    daemon_stop(daemon);
}

static void a_stop_gives_it_up_or_lets_it_end(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *lines = many(20000);
    struct wire *wire = begun(daemon, strlen(lines));
    wire_send(wire, lines, strlen(lines));

    daemon_signal(daemon, SIGTERM);

    struct reply *reply = wire_reply(wire, 60000);
    assert_int_equal(daemon_await_end(daemon, 60000), 0);
    bool is_done = reply->status == 200;
    if (!is_done && reply->status != 0)
        expect_problem(reply, 503, "draining");
    assert_int_equal(stores_query(daemon->store_path, "SELECT count(*) FROM tasks"),
                     is_done ? 20000 : 0);
    expect_nothing_left(daemon);
    expect_sound(daemon);
}

/* ---- refused ---- */

static void what_is_too_much_is_refused(void)
{
    struct daemon *daemon = daemon_started(plain_text("max_backlog = 10;\n%s", config));
    struct wire *wire = begun(daemon, (512U << 20) + 1);
    struct reply *reply = expect_problem(wire_reply(wire, 20000), 413, "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "runneld --import"));
    reply =
        expect_problem(import_by(daemon, "", NULL, lines_of(0, 1000001, 0, "")), 413, "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "runneld --import"));

    expect_problem(import_by(daemon, "", NULL, many(11)), 503, "backlog-full");
    assert_int_equal(count_tasks(daemon, ""), 0);
    imported(daemon, many(10));
    expect_problem(import_by(daemon, "", NULL, many(1)), 503, "backlog-full");
    // What has ended does not count.
    imported(daemon, lines_of(1, 1, 0,
                              plain_text("{'name':'default'}\n%s",
                                         line(7, "succeeded", "default", "echo", ""))));
    assert_int_equal(count_tasks(daemon, ""), 11);

    // Ids would be larger than a number of JSON can be.
    const char *high = quoted("{'runnel_export':1,'store_id':'0123456789abcdef','last_id':"
                              "9007199254740991,'queues':0,'tasks':0,'keys':0}\n");
    reply = expect_problem(import_by(daemon, "", NULL, high), 413, "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "ids"));
    daemon_stop(daemon);
}

static void only_lines_are_taken(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_problem(call(daemon, "POST", "/v1/import", "{}"), 415, "unsupported-media-type");
    expect_problem(import_by(daemon, "?wait=1s", NULL, "{}"), 400, "invalid-query");
    expect_problem(call(daemon, "GET", "/v1/import", NULL), 405, "method-not-allowed");
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(into_an_empty_store_it_is_as_it_was),
             SCENARIO(an_export_of_it_is_the_same_but_for_the_store),
             SCENARIO(into_a_store_with_tasks_all_ids_move_and_what_waits_runs),
             SCENARIO(its_keys_stand_for_the_moved_ids),
             SCENARIO(what_ran_counts_as_interrupted_and_is_followed),
             SCENARIO(a_broken_line_is_named_and_nothing_is_stored),
             SCENARIO(a_dry_run_stores_nothing),
             SCENARIO(the_same_import_with_its_key_is_done_once),
             SCENARIO(a_kill_on_the_way_leaves_all_or_nothing),
             SCENARIO(who_submits_meanwhile_loses_nothing),
             SCENARIO(what_comes_goes_before_what_waits_where_its_priority_is_higher),
             SCENARIO(one_at_a_time_and_who_leaves_before_its_end_has_done_nothing),
             SCENARIO(who_leaves_after_its_end_has_done_all),
             SCENARIO(a_body_that_does_not_come_is_not_waited_for),
             SCENARIO(a_stop_gives_it_up_or_lets_it_end), SCENARIO(what_is_too_much_is_refused),
             SCENARIO(only_lines_are_taken))
