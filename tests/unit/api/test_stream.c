/* Streams of tasks through a real server: slices, errors in the middle, keys, drains, clients that
 * leave. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/key.h"
#include "store/buffer.h"

#define NDJSON "Content-Type: application/x-ndjson\r\n"

/* Lines {"kind":"echo","args":from} … */
static char *lines(int from, int count)
{
    struct buffer text = {.bytes = NULL};

    for (int i = 0; i < count; i++)
        buffer_printf(&text, "{\"kind\":\"echo\",\"args\":%d}\n", from + i);
    buffer_add(&text, "", 1);
    return text.bytes;
}

static void a_stream_is_stored_in_slices(void **state)
{
    struct rig *rig = *state;
    char *body = lines(1, 2500);

    struct reply reply = request(rig, "POST", "/v1/tasks", NDJSON, body);

    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.body, "{\"count\":2500,\"first_id\":1,\"last_id\":2500}\n");
    assert_true(fake_put_count(rig->engine) >= 3);
    assert_true(fake_largest_put(rig->engine) <= 1000);
    assert_string_equal(fake_task(rig->engine, 1)->args.bytes, "1");
    assert_string_equal(fake_task(rig->engine, 2500)->args.bytes, "2500");
    reply_fini(&reply);
    free(body);
}

static void blank_lines_and_a_missing_last_newline_do_not_matter(void **state)
{
    struct rig *rig = *state;

    struct reply reply = request(rig, "POST", "/v1/tasks", NDJSON,
                                 "\n{\"kind\":\"echo\"}\r\n  \r\n\n{\"kind\":\"echo\",\"args\":2}");
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), 2);
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/tasks", NDJSON, "");
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.body, "{\"count\":0,\"first_id\":null,\"last_id\":null}\n");
    reply_fini(&reply);
    reply = request(rig, "POST", "/v1/tasks", NDJSON, NULL);
    assert_int_equal(reply.status, 201);
    reply_fini(&reply);
    assert_int_equal(fake_task_count(rig->engine), 2);
}

static void chunks_may_end_anywhere(void **state)
{
    struct rig *rig = *state;
    char *body = lines(1, 300);
    size_t length = strlen(body);
    int fd = client_connect(rig);

    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" NDJSON
                 "Transfer-Encoding: chunked\r\n\r\n",
                 rig->port);
    for (size_t at = 0, size = 1; at < length; at += size, size = size % 97 + 1) {
        if (size > length - at)
            size = length - at;
        client_textf(fd, "%zx\r\n", size);
        client_send(fd, body + at, size);
        client_text(fd, "\r\n");
    }
    client_text(fd, "0\r\n\r\n");
    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), 300);
    assert_false(reply.closed);
    reply_fini(&reply);
    (void)close(fd);
    free(body);
}

struct bad_line {
    const char *line;
    int status;
    const char *code, *pointer;
};

static const struct bad_line bad_lines[] = {
    {"{\"kind\":\"echo\",}", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\"}{}", 400, "invalid-json", NULL},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 400, "invalid-json", NULL},
    {"{\"kind\":\"echo\",\"\\u0061rgs\":1}", 400, "invalid-json", NULL},
    {"{\"kind\":\"none\"}", 422, "invalid-task", "#/kind"},
    {"[{\"kind\":\"echo\"}]", 422, "invalid-task", "#"},
    {"5", 422, "invalid-task", "#"},
    {"{\"kind\":\"copy\",\"args\":{}}", 422, "invalid-task", "#/args/path"},
};

static void a_bad_line_ends_it_and_what_came_before_stays(void **state)
{
    struct rig *rig = *state;
    unsigned stored = 0;

    for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
        struct buffer body = {.bytes = NULL};
        char *before = lines(0, 1100);
        buffer_text(&body, before);
        buffer_printf(&body, "\n%s\n", bad_lines[i].line);
        buffer_text(&body, before);
        buffer_add(&body, "", 1);
        free(before);

        struct reply reply = request(rig, "POST", "/v1/tasks", NDJSON, body.bytes);

        stored += 1100;
        assert_int_equal(json_int_at(&reply, "count"), 1100);
        assert_int_equal(json_int_at(&reply, "line"), 1102);
        expect_problem(reply, bad_lines[i].status, bad_lines[i].code, bad_lines[i].pointer);
        assert_int_equal(fake_task_count(rig->engine), stored);
        buffer_fini(&body);
    }
}

static void a_line_has_a_limit(void **state)
{
    struct rig *rig = *state;
    struct buffer body = {.bytes = NULL};
    const size_t length = (2 << 20) + 1;

    buffer_text(&body, "{\"kind\":\"echo\"}\n");
    char *line = buffer_reserve(&body, length + 2);
    memset(line, 'x', length);
    line[length] = '\n';
    line[length + 1] = '\0';
    struct reply reply = request(rig, "POST", "/v1/tasks", NDJSON, body.bytes);
    assert_int_equal(json_int_at(&reply, "count"), 1);
    assert_int_equal(json_int_at(&reply, "line"), 2);
    expect_problem(reply, 413, "too-large", NULL);
    buffer_fini(&body);
}

static void a_store_that_is_slow_slows_the_client_down(void **state)
{
    struct rig *rig = *state;
    char *body = lines(1, 2600);
    int fd = client_connect(rig);

    fake_hold(rig->engine);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" NDJSON
                 "Content-Length: %zu\r\n\r\n",
                 rig->port, strlen(body));
    client_send(fd, body, strlen(body));
    fake_wait_held(rig->engine, 1);
    // Others are served meanwhile, and no second slice is in flight.
    struct reply reply = request(rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    fake_wait_held(rig->engine, 1);
    fake_release(rig->engine);
    reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), 2600);
    reply_fini(&reply);
    (void)close(fd);
    free(body);
}

static void a_client_that_leaves_with_a_slice_in_flight_does_no_harm(void **state)
{
    struct rig *rig = *state;
    char *body = lines(1, 1500);
    int fd = client_connect(rig);

    fake_hold(rig->engine);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" NDJSON
                 "Content-Length: 1000000\r\n\r\n",
                 rig->port);
    client_send(fd, body, strlen(body));
    fake_wait_held(rig->engine, 1);
    (void)close(fd);
    // The server has seen the end when the connection is gone from its table.
    json_int_t connections = 2;
    while (connections > 1) {
        struct reply reply = request(rig, "GET", "/v1/stats", NULL, NULL);
        connections =
            json_integer_value(json_object_get(json_object_get(reply.json, "http"), "connections"));
        reply_fini(&reply);
    }
    fake_release(rig->engine);
    struct reply reply = post(rig, "/v1/tasks", "{\"kind\":\"echo\"}");
    assert_int_equal(reply.status, 201);
    // That slice, however much was in it, and nothing behind it.
    assert_int_equal(fake_put_count(rig->engine), 2);
    assert_int_equal(json_int_at(&reply, "id"), fake_largest_put(rig->engine) + 1);
    reply_fini(&reply);
    free(body);
}

static void what_the_store_refuses_ends_it_with_the_count(void **state)
{
    struct rig *rig = *state;
    char *body = lines(1, 2500);
    int fd = client_connect(rig);

    fake_hold(rig->engine);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" NDJSON
                 "Content-Length: 10000000\r\n\r\n",
                 rig->port);
    client_send(fd, body, strlen(body));
    fake_wait_held(rig->engine, 1);
    fake_refuse_submit(rig->engine, -EPIPE); // it begins to drain
    fake_release(rig->engine);
    struct reply reply = client_read(fd, false);
    assert_int_equal(json_int_at(&reply, "count"), fake_largest_put(rig->engine));
    assert_true(reply.closed);
    expect_problem(reply, 503, "draining", NULL);
    assert_int_equal(fake_put_count(rig->engine), 1);
    assert_int_equal(fake_task_count(rig->engine), fake_largest_put(rig->engine));
    (void)close(fd);

    fake_refuse_submit(rig->engine, 0);
    fake_refuse_op(rig->engine, -ENOSPC);
    reply = request(rig, "POST", "/v1/tasks", NDJSON, body);
    assert_int_equal(json_int_at(&reply, "count"), 0);
    expect_problem(reply, 507, "store-full", NULL);
    free(body);
}

/* ---- keys ---- */

#define KEYED NDJSON "Idempotency-Key: load-7\r\n"

static void sent_again_a_stream_goes_on_where_it_ended(void **state)
{
    struct rig *rig = *state;
    char *all = lines(1, 2500);
    int fd = client_connect(rig);

    // The first 1,000 are stored, then the daemon drains.
    fake_hold(rig->engine);
    client_textf(
        fd, "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" KEYED "Content-Length: %zu\r\n\r\n",
        rig->port, strlen(all));
    client_send(fd, all, strlen(all));
    fake_wait_held(rig->engine, 1); // the look at the key
    fake_refuse_submit(rig->engine, 0);
    fake_release(rig->engine);
    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 201);
    assert_int_equal(json_int_at(&reply, "count"), 2500);
    reply_fini(&reply);
    (void)close(fd);

    reply = request(rig, "POST", "/v1/tasks", KEYED, all);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.body, "{\"count\":2500,\"first_id\":1,\"last_id\":2500}\n");
    char *replayed = reply_field(&reply, "Idempotent-Replayed");
    assert_string_equal(replayed, "true");
    free(replayed);
    reply_fini(&reply);
    assert_int_equal(fake_task_count(rig->engine), 2500);

    // More lines behind the same ones are added; other ones, or fewer, are another stream.
    struct buffer more = {.bytes = NULL};
    buffer_text(&more, all);
    buffer_text(&more, "{\"kind\":\"echo\",\"args\":\"more\"}\n");
    buffer_add(&more, "", 1);
    reply = request(rig, "POST", "/v1/tasks", KEYED, more.bytes);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.body, "{\"count\":2501,\"first_id\":1,\"last_id\":2501}\n");
    reply_fini(&reply);
    buffer_fini(&more);
    char *other = lines(2, 2600);
    expect_problem(request(rig, "POST", "/v1/tasks", KEYED, other), 422, "idempotency-key-reused",
                   NULL);
    free(other);
    char *fewer = lines(1, 2000);
    expect_problem(request(rig, "POST", "/v1/tasks", KEYED, fewer), 422, "idempotency-key-reused",
                   NULL);
    free(fewer);
    expect_problem(request(rig, "POST", "/v1/tasks?queue=mail", KEYED, all), 422,
                   "idempotency-key-reused", NULL);
    expect_problem(request(rig, "POST", "/v1/tasks",
                           "Content-Type: application/json\r\nIdempotency-Key: load-7\r\n",
                           "{\"kind\":\"echo\"}"),
                   422, "idempotency-key-reused", NULL);
    assert_int_equal(fake_task_count(rig->engine), 2501);
    free(all);
}

/* The running hash behind the first `count` of the lines. */
static void hash_of(struct rig *rig, int count, unsigned char hash[KEY_HASH_BYTES])
{
    struct request *request = calloc(1, sizeof(*request));
    char line[64];

    (void)rig;
    request->head.content_type = "application/x-ndjson";
    key_hash(request, NULL, 0, hash);
    for (int i = 1; i <= count; i++) {
        int length = snprintf(line, sizeof(line), "{\"kind\":\"echo\",\"args\":%d}", i);
        key_chain(hash, line, (size_t)length);
    }
    free(request);
}

static void two_streams_at_once_store_each_line_once(void **state)
{
    struct rig *rig = *state;
    static const struct {
        int count;        // that the other stream has stored when the first slice arrives
        bool other_lines; // it was another stream
        int expected;     // of tasks stored here
    } cases[] = {{400, false, 2100}, {1000, false, 1500}, {1700, false, 800},
                 {2500, false, 0},   {400, true, 0},      {1700, true, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char hash[KEY_HASH_BYTES];
        char fields[200];
        char text[400];
        char key[16];
        char *body = lines(1, 2500);
        unsigned before = fake_task_count(rig->engine);
        int fd = client_connect(rig);

        (void)snprintf(key, sizeof(key), "race-%zu", i);
        (void)snprintf(fields, sizeof(fields), NDJSON "Idempotency-Key: %s\r\n", key);
        (void)snprintf(
            text, sizeof(text),
            "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%sContent-Length: %zu\r\n\r\n",
            rig->port, fields, strlen(body));
        // Stops between the look at the key and the first slice: the last line comes only when the
        // key has moved on.
        client_text(fd, text);
        client_send(fd, body, 10000);
        while (fake_read_count(rig->engine) < i + 1)
            continue;
        hash_of(rig, cases[i].count, hash);
        hash[0] ^= cases[i].other_lines;
        fake_move_key(rig->engine, key, (uint64_t)cases[i].count, hash);
        client_send(fd, body + 10000, strlen(body) - 10000);
        struct reply reply = client_read(fd, false);

        if (cases[i].other_lines) {
            expect_problem(reply, 422, "idempotency-key-reused", NULL);
        } else {
            assert_int_equal(reply.status, 201);
            assert_int_equal(json_int_at(&reply, "count"), 2500);
            assert_int_equal(json_int_at(&reply, "first_id"), 901);
            reply_fini(&reply);
        }
        assert_int_equal(fake_task_count(rig->engine) - before, cases[i].expected);
        (void)close(fd);
        free(body);
    }
}

static void wait_does_not_go_with_a_stream(void **state)
{
    struct rig *rig = *state;

    expect_problem(request(rig, "POST", "/v1/tasks?wait=1s", NDJSON, "{\"kind\":\"echo\"}\n"), 400,
                   "invalid-query", NULL);
    expect_problem(request(rig, "POST", "/v1/tasks?priority=x", NDJSON, "{\"kind\":\"echo\"}\n"),
                   400, "invalid-query", NULL);
    assert_int_equal(fake_task_count(rig->engine), 0);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(a_stream_is_stored_in_slices),
        ON_RIG(blank_lines_and_a_missing_last_newline_do_not_matter),
        ON_RIG(chunks_may_end_anywhere),
        ON_RIG(a_bad_line_ends_it_and_what_came_before_stays),
        ON_RIG(a_line_has_a_limit),
        ON_RIG(a_store_that_is_slow_slows_the_client_down),
        ON_RIG(a_client_that_leaves_with_a_slice_in_flight_does_no_harm),
        ON_RIG(what_the_store_refuses_ends_it_with_the_count),
        ON_RIG(sent_again_a_stream_goes_on_where_it_ended),
        ON_RIG(two_streams_at_once_store_each_line_once),
        ON_RIG(wait_does_not_go_with_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
