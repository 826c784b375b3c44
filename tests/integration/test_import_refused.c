/** \file
 * POST /v1/import: what is refused, and that nothing of it is stored or left.
 */
#include <string.h>

#include "imports.h"
#include "stores.h"

static const char config[] = "queue: { default: { workers = 2 }; };\n"
                             "kind: { echo: { builtin = 'echo' }; };\n";

/* ---- what is in the lines ---- */

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
        const char *lines =
            imports_lines(1, 1, 0, plain_text("{'name':'fresh'}\n%s", rows[i].third));
        struct reply *reply =
            expect_problem(imports_send(daemon, "", NULL, lines), 422, "invalid-export");
        assert_int_equal(number_at(reply->json, "line"), rows[i].line);
        if (strstr(text_at(reply->json, "detail"), rows[i].says) == NULL)
            fail_msg("%s", reply->body);
        stores_expect_nothing_beside(daemon);
    }
    // Nothing at all; and a queue that nobody knows now.
    expect_number(expect_problem(imports_send(daemon, "", NULL, ""), 422, "invalid-export")->json,
                  "line", 1);
    assert_int_equal(count_tasks(daemon, ""), 0);
    expect_problem(get(daemon, "/v1/queues/fresh"), 404, "not-found");
    struct reply *none =
        expect_status(imports_send(daemon, "?pretty", NULL, imports_lines(0, 0, 0, "")), 200);
    json_t *answer = none->json;
    assert_non_null(strstr(none->body, "\n  "));
    assert_int_equal(number_at(answer, "first_id"), -1);
    assert_int_equal(number_at(answer, "last_id"), -1);
    daemon_stop(daemon);
}

static void only_lines_are_taken(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_problem(call(daemon, "POST", "/v1/import", "{}"), 415, "unsupported-media-type");
    expect_problem(imports_send(daemon, "?wait=1s", NULL, "{}"), 400, "invalid-query");
    expect_problem(call(daemon, "GET", "/v1/import", NULL), 405, "method-not-allowed");
    daemon_stop(daemon);
}

/* ---- limits ---- */

static void what_is_too_much_is_refused(void)
{
    struct daemon *daemon = daemon_started(plain_text("max_backlog = 10;\n%s", config));
    struct wire *wire = imports_begin(daemon, (512U << 20) + 1);
    struct reply *reply = expect_problem(wire_reply(wire, 20000), 413, "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "runneld --import"));
    reply = expect_problem(imports_send(daemon, "", NULL, imports_lines(0, 1000001, 0, "")), 413,
                           "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "runneld --import"));

    expect_problem(imports_send(daemon, "", NULL, imports_waiting("elsewhere", "echo", 11, 0)), 503,
                   "backlog-full");
    assert_int_equal(count_tasks(daemon, ""), 0);
    imports_done(daemon, imports_waiting("elsewhere", "echo", 10, 0));
    expect_problem(imports_send(daemon, "", NULL, imports_waiting("elsewhere", "echo", 1, 0)), 503,
                   "backlog-full");
    // What has ended does not count.
    imports_done(daemon,
                 imports_lines(1, 1, 0,
                               plain_text("{'name':'default'}\n%s",
                                          imports_task(7, "succeeded", "default", "echo", ""))));
    assert_int_equal(count_tasks(daemon, ""), 11);

    // Ids would be larger than a number of JSON can be.
    const char *high = quoted("{'runnel_export':1,'store_id':'0123456789abcdef','last_id':"
                              "9007199254740991,'queues':0,'tasks':0,'keys':0}\n");
    reply = expect_problem(imports_send(daemon, "", NULL, high), 413, "too-large");
    assert_non_null(strstr(text_at(reply->json, "detail"), "ids"));
    daemon_stop(daemon);
}

static void one_at_a_time_and_who_leaves_before_its_end_has_done_nothing(void)
{
    const char *lines = imports_lines(
        1, 1, 0,
        plain_text("{'name':'fresh'}\n%s", imports_task(7, "queued", "fresh", "echo", "")));
    struct daemon *daemon = daemon_started(config);
    size_t length = strlen(lines);
    struct wire *wire = imports_begin(daemon, length);
    wire_send(wire, lines, length - 1);
    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 503, 20000);
    struct reply *reply = expect_problem(imports_send(daemon, "", NULL, lines), 503, "busy");
    assert_non_null(strstr(text_at(reply->json, "detail"), "one at a time"));
    expect_problem(call(daemon, "POST", "/v1/backup", NULL), 503, "busy");

    wire_reset(wire);

    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    assert_int_equal(count_tasks(daemon, ""), 0);
    stores_expect_nothing_beside(daemon);
    daemon_stop(daemon);
}

static void a_body_that_does_not_come_is_not_waited_for(void)
{
    struct daemon *daemon = daemon_started(plain_text("body_timeout = '300ms';\n%s", config));
    struct wire *wire = imports_begin(daemon, 1000);
    wire_send(wire, "{", 1);

    expect_problem(wire_reply(wire, 20000), 408, "request-timeout");

    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_broken_line_is_named_and_nothing_is_stored), SCENARIO(only_lines_are_taken),
             SCENARIO(what_is_too_much_is_refused),
             SCENARIO(one_at_a_time_and_who_leaves_before_its_end_has_done_nothing),
             SCENARIO(a_body_that_does_not_come_is_not_waited_for))
