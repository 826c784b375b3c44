/** \file Every limit of a request and of a connection is a setting: each is set to something other
 * than its default, and tried at the limit and one above. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "harness.h"

static const char kinds[] = "queue: { default: { workers = 1 }; };\n"
                            "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' }; };\n";

static struct daemon *limited(const char *settings)
{
    return daemon_started(plain_text("%s\n%s", settings, kinds));
}

static struct reply *post(struct daemon *daemon, const char *body)
{
    return call(daemon, "POST", "/v1/tasks", body);
}

/* ---- the header ---- */

/* A request whose first line and fields have exactly so many bytes. */
static struct reply *header_of(struct daemon *daemon, size_t bytes)
{
    const char *first = plain_text("GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n", daemon->port);
    size_t used = strlen(first) + strlen("X: \r\n");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire, "%sX: %s\r\n\r\n", first, repeated('h', bytes - used));
    return wire_reply(wire, 10000);
}

static void a_header_ends_at_max_header(void)
{
    static const struct {
        const char *setting;
        size_t bytes;
    } rows[] = {{"max_header = '1KiB';", 1 << 10},
                {"max_header = 3000;", 3000},
                {"", 16 << 10},
                {"max_header = '64KiB'; max_headers = 256;", 64 << 10}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct daemon *daemon = limited(rows[i].setting);

        expect_status(header_of(daemon, rows[i].bytes), 200);
        struct reply *reply = header_of(daemon, rows[i].bytes + 1);
        expect_problem(reply, 431, "headers-too-large");
        assert_non_null(strstr(reply->body, "(max_header)"));
        daemon_stop(daemon);
    }
}

static void fields_end_at_max_headers(void)
{
    static const unsigned counts[] = {8, 256};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct daemon *daemon = limited(plain_text("max_headers = %u; max_url = 256;", counts[i]));
        for (unsigned more = 0; more < 2; more++) {
            struct wire *wire = wire_open(daemon->port);
            wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n", daemon->port);
            for (unsigned field = 1; field < counts[i] + more; field++)
                wire_sendf(wire, "X%u: y\r\n", field);
            wire_sendf(wire, "\r\n");
            struct reply *reply = wire_reply(wire, 10000);
            if (more == 0)
                expect_status(reply, 200);
            else
                assert_non_null(
                    strstr(expect_problem(reply, 431, "headers-too-large")->body, "(max_headers)"));
        }
        daemon_stop(daemon);
    }
}

static void a_url_ends_at_max_url(void)
{
    struct daemon *daemon = limited("max_url = 300;");
    const char *path = "/v1/tasks?tag=";

    for (size_t bytes = 300; bytes <= 301; bytes++) {
        struct reply *reply =
            get(daemon, plain_text("%s%s", path, repeated('u', bytes - strlen(path))));
        if (bytes == 300)
            expect_status(reply, 200);
        else
            assert_non_null(strstr(expect_problem(reply, 414, "url-too-long")->body, "max_url"));
    }
}

/* ---- bodies ---- */

static void bodies_end_at_their_limits(void)
{
    struct daemon *daemon = limited("max_task_body = 2000; max_array_body = 5000;");
    const char *task = "{'kind':'noop'%s}", *array = "[{'kind':'noop'}%s]";

    expect_status(post(daemon, text(task, repeated(' ', 2000 - 15))), 201);
    struct reply *reply = post(daemon, text(task, repeated(' ', 2001 - 15)));
    expect_problem(reply, 413, "too-large");
    assert_non_null(strstr(reply->body, "at most 2000"));
    expect_status(post(daemon, text(array, repeated(' ', 5000 - 17))), 201);
    expect_problem(post(daemon, text(array, repeated(' ', 5001 - 17))), 413, "too-large");
    // A task of an array is bounded too.
    expect_status(post(daemon, text("[{'kind':'noop'%s}]", repeated(' ', 2000 - 15))), 201);
    expect_problem(post(daemon, text("[{'kind':'noop'%s}]", repeated(' ', 2001 - 15))), 413,
                   "too-large");

    const struct request line = {
        .method = "POST", .path = "/v1/tasks", .content_type = "application/x-ndjson"};
    for (size_t bytes = 2000; bytes <= 2001; bytes++) {
        struct request request = line;
        request.body = plain_text("%s\n", text(task, repeated(' ', bytes - 15)));
        reply = call_request(daemon, &request);
        if (bytes == 2000)
            expect_status(reply, 201);
        else
            assert_non_null(strstr(expect_problem(reply, 413, "too-large")->body, "max_task_body"));
    }
}

static void one_task_may_be_larger_than_an_array(void)
{
    struct daemon *daemon = limited("max_task_body = 5000; max_array_body = 2000;");

    expect_status(post(daemon, text("{'kind':'noop'%s}", repeated(' ', 4000))), 201);
    expect_problem(post(daemon, text("[{'kind':'noop'}%s]", repeated(' ', 4000))), 413,
                   "too-large");
}

static void arrays_end_at_max_array_tasks(void)
{
    struct daemon *daemon = limited("max_array_tasks = 2;");

    expect_status(post(daemon, text("[{'kind':'noop'},{'kind':'noop'}]")), 201);
    struct reply *reply = post(daemon, text("[{'kind':'noop'},{'kind':'noop'},{'kind':'noop'}]"));
    assert_non_null(strstr(expect_problem(reply, 413, "too-large")->body, "max_array_tasks"));
    assert_int_equal(count_tasks(daemon, ""), 2);
}

static void json_ends_at_max_json_depth(void)
{
    struct daemon *daemon = limited("max_json_depth = 5;");
    static const char *const forms[] = {"{'kind':'echo','args':%s}", "[{'kind':'echo','args':%s}]"};

    for (size_t i = 0; i < 2; i++) {
        // The task, and the array around it, are levels too.
        const char *at_limit = i == 0 ? "[[[[1]]]]" : "[[[1]]]";
        const char *above = i == 0 ? "[[[[[1]]]]]" : "[[[[1]]]]";
        expect_status(post(daemon, text(forms[i], at_limit)), 201);
        struct reply *reply = post(daemon, text(forms[i], above));
        expect_problem(reply, 400, "invalid-json");
        assert_non_null(strstr(reply->body, "at most 5 levels"));
    }
}

/* ---- fields ---- */

static void fields_of_a_task_end_at_their_limits(void)
{
    struct daemon *daemon = limited("max_args = 100; max_string = 64; max_tags = 2; max_tag = 5;");
    const struct {
        const char *right, *wrong, *pointer, *setting;
        int status;
    } rows[] = {
        {text("{'kind':'echo','args':'%s'}", repeated('a', 98)),
         text("{'kind':'echo','args':'%s'}", repeated('a', 99)), "#/args", "max_args", 413},
        {text("{'kind':'echo','tags':['a','b']}"), text("{'kind':'echo','tags':['a','b','c']}"),
         "#/tags", "max_tags", 422},
        {text("{'kind':'echo','tags':['12345']}"), text("{'kind':'echo','tags':['123456']}"),
         "#/tags/0", "max_tag", 422},
        {text("{'kind':'echo','queue':'default'}"),
         text("{'kind':'echo','queue':'%s'}", repeated('q', 65)), "#/queue", "max_string", 422},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_status(post(daemon, rows[i].right), 201);
        struct reply *reply = post(daemon, rows[i].wrong);
        expect_problem(reply, rows[i].status, rows[i].status == 413 ? "too-large" : "invalid-task");
        assert_true(has_pointer(reply->json, rows[i].pointer));
        assert_non_null(strstr(reply->body, rows[i].setting));
    }
    // At max_string itself the name is looked up.
    struct reply *reply = post(daemon, text("{'kind':'echo','queue':'%s'}", repeated('q', 64)));
    assert_non_null(strstr(reply->body, "unknown queue"));
}

/* ---- connections ---- */

static void a_connection_ends_after_max_connection_requests(void)
{
    struct daemon *daemon = limited("max_connection_requests = 3;");
    struct wire *wire = wire_open(daemon->port);

    for (unsigned i = 1; i <= 3; i++) {
        wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", daemon->port);
        struct reply *reply = expect_status(wire_reply(wire, 10000), 200);
        const char *connection = reply_header(reply, "Connection");
        assert_int_equal(connection != NULL && strcasecmp(connection, "close") == 0, i == 3);
    }
    assert_true(wire_closes(wire, 10000));
}

static void connections_end_at_max_connections(void)
{
    enum { MOST = 4 };
    struct daemon *daemon = limited("max_connections = 4;");
    struct wire *wires[MOST + 1];

    for (unsigned i = 0; i <= MOST; i++) {
        wires[i] = wire_open(daemon->port);
        wire_sendf(wires[i], "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", daemon->port);
        if (i < MOST)
            expect_status(wire_reply(wires[i], 10000), 200);
    }

    assert_false(wire_readable(wires[MOST], 200)); // it waits, and is not refused
    wire_close(wires[0]);
    expect_status(wire_reply(wires[MOST], 10000), 200);
}

static void a_wait_is_shortened_to_max_wait(void)
{
    struct daemon *daemon = limited("max_wait = '1s';");
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");
    int64_t began = now_ms();

    struct reply *reply =
        get(daemon, plain_text("/v1/tasks/%llu?wait=50s", (unsigned long long)id));

    expect_text(expect_status(reply, 200)->json, "state", "scheduled");
    assert_in_range(now_ms() - began, 900, 20000 * slow());
    reply = get(daemon, "/v1/tasks/1?wait=soon");
    assert_non_null(strstr(expect_problem(reply, 400, "invalid-query")->body, "at most 1s"));
}

/* ---- deadlines: each client is slow in its own way, under one short deadline and long others ----
 */

static void a_slow_header_ends_at_header_timeout(void)
{
    struct daemon *daemon = limited("header_timeout = '400ms';");
    struct wire *wire = wire_open(daemon->port), *silent = wire_open(daemon->port);
    int64_t began = now_ms();

    wire_sendf(wire, "GET /healthz HTTP/1.1\r\n");
    // A trickle that an idle timeout would take for life.
    while (!wire_readable(wire, 50) && now_ms() - began < 20000LL * slow())
        wire_sendf(wire, "X: y\r\n");

    assert_true(wire_closes(wire, 0));
    assert_in_range(now_ms() - began, 390, 19000 * slow());
    assert_true(wire_closes(silent, 10000));
}

static void a_slow_body_ends_at_body_timeout(void)
{
    struct daemon *daemon = limited("body_timeout = '400ms';");
    static const char *const types[] = {"application/json", "application/x-ndjson"};

    for (size_t i = 0; i < 2; i++) {
        struct wire *wire = wire_open(daemon->port);
        wire_sendf(wire,
                   "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: %s\r\n"
                   "Content-Length: 1000000\r\n\r\n{",
                   daemon->port, types[i]);
        int64_t began = now_ms();
        while (!wire_readable(wire, 50) && now_ms() - began < 20000LL * slow())
            wire_send(wire, " ", 1);

        struct reply *reply = wire_reply(wire, 10000);
        expect_problem(reply, 408, "request-timeout");
        assert_non_null(strstr(reply->body, "400ms (body_timeout)"));
        assert_true(wire_closes(wire, 10000));
    }
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static unsigned connections(struct daemon *daemon)
{
    return (unsigned)number_at(expect_status(get(daemon, "/v1/stats"), 200)->json,
                               "http.connections");
}

static void a_slow_reader_ends_at_answer_timeout(void)
{
    struct daemon *daemon = limited("answer_timeout = '1s';");
    struct wire *wire = wire_open(daemon->port);
    const int small = 4096;

    for (unsigned i = 0; i < 8; i++)
        (void)submit(daemon, "{'kind':'noop','delay':'1h','args':'%s'}", repeated('r', 900000));
    assert_int_equal(setsockopt(wire_fd(wire), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    wire_sendf(wire, "GET /v1/tasks?view=full HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
               daemon->port);

    assert_true(wire_readable(wire, 10000 * slow())); // the answer has begun to come
    eventually(connections(daemon) == 1, 10000);
}

static void an_idle_connection_ends_at_idle_timeout(void)
{
    struct daemon *daemon = limited("idle_timeout = '400ms';");
    struct wire *wire = wire_open(daemon->port);
    int64_t began = now_ms();

    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", daemon->port);
    expect_status(wire_reply(wire, 10000), 200);

    assert_true(wire_closes(wire, 4000)); // header_timeout, five seconds, is not what ends it
    assert_in_range(now_ms() - began, 390, 20000 * slow());
}

HARNESS_MAIN(SCENARIO(a_header_ends_at_max_header), SCENARIO(fields_end_at_max_headers),
             SCENARIO(a_url_ends_at_max_url), SCENARIO(bodies_end_at_their_limits),
             SCENARIO(one_task_may_be_larger_than_an_array),
             SCENARIO(arrays_end_at_max_array_tasks), SCENARIO(json_ends_at_max_json_depth),
             SCENARIO(fields_of_a_task_end_at_their_limits),
             SCENARIO(a_connection_ends_after_max_connection_requests),
             SCENARIO(connections_end_at_max_connections),
             SCENARIO(a_wait_is_shortened_to_max_wait),
             SCENARIO(a_slow_header_ends_at_header_timeout),
             SCENARIO(a_slow_body_ends_at_body_timeout),
             SCENARIO(a_slow_reader_ends_at_answer_timeout),
             SCENARIO(an_idle_connection_ends_at_idle_timeout))
