/* The header field traceparent: what is taken, and by which tasks. */
#include "unit.h"

#include <string.h>

#include "api/trace.h"
#include "client.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define ZERO8 "00000000"
#define JSON "Content-Type: application/json\r\n"

static void a_value_is_taken_as_the_specification_says(void **state)
{
    static const struct {
        const char *value, *wanted; // NULL: malformed
    } cases[] = {
        {"00-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01"},
        {"00-" ID "-" PARENT "-00", "00-" ID "-" PARENT "-00"},
        {"00-" ID "-" PARENT "-ff", "00-" ID "-" PARENT "-ff"},
        // A later version is read as far as version 00 goes.
        {"01-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01"},
        {"cc-" ID "-" PARENT "-01-what-the-future-brings", "00-" ID "-" PARENT "-01"},
        {"cc-" ID "-" PARENT "-01-", "00-" ID "-" PARENT "-01"},
        {"cc-" ID "-" PARENT "-01.", NULL},
        {"cc-" ID "-" PARENT "-0", NULL},
        // Version 00 has no more.
        {"00-" ID "-" PARENT "-01-", NULL},
        {"00-" ID "-" PARENT "-01-00", NULL},
        {"00-" ID "-" PARENT "-1", NULL},
        {"ff-" ID "-" PARENT "-01", NULL},
        {"0x-" ID "-" PARENT "-01", NULL},
        {"0-" ID "-" PARENT "-001", NULL},
        {"00-" ZERO8 ZERO8 ZERO8 ZERO8 "-" PARENT "-01", NULL},
        {"00-" ID "-" ZERO8 ZERO8 "-01", NULL},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
        {"00-" ID "-00F067AA0BA902B7-01", NULL},
        {"00-" ID "-" PARENT "-0G", NULL},
        {"00_" ID "-" PARENT "-01", NULL},
        {"00-" ID "_" PARENT "-01", NULL},
        {"00-" ID "-" PARENT "_01", NULL},
        {"00-4bf92f3577b34da6a3ce929d0e0e473\x01-" PARENT "-01", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[RECORD_TRACE_BYTES] = "x";
        int r = trace_parse(cases[i].value, strlen(cases[i].value), text);

        assert_int_equal(r, cases[i].wanted == NULL ? -EINVAL : 0);
        assert_string_equal(text, cases[i].wanted == NULL ? "" : cases[i].wanted);
    }
}

/* One task with these fields: what it keeps, and what its answer says. */
static void expect_kept(struct rig *rig, const char *fields, const char *wanted)
{
    char all[512];
    (void)snprintf(all, sizeof(all), JSON "%s", fields == NULL ? "" : fields);
    struct reply reply = request(rig, "POST", "/v1/tasks", all, "{\"kind\":\"echo\"}");

    assert_int_equal(reply.status, 201);
    uint64_t id = (uint64_t)json_int_at(&reply, "id");
    assert_string_equal(fake_task(rig->engine, id)->traceparent, wanted == NULL ? "" : wanted);
    if (wanted == NULL)
        assert_true(json_is_null(json_object_get(reply.json, "traceparent")));
    else
        assert_string_equal(json_text_at(&reply, "traceparent"), wanted);
    reply_fini(&reply);
}

static void a_task_keeps_the_field_of_its_request(void **state)
{
    static const char value[] = "00-" ID "-" PARENT "-01";
    struct rig *rig = *state;

    expect_kept(rig, "traceparent: 00-" ID "-" PARENT "-01\r\n", value);
    expect_kept(rig, "TraceParent: \t00-" ID "-" PARENT "-01 \t\r\n", value);
    expect_kept(rig, "traceparent: 7f-" ID "-" PARENT "-01-more\r\n", value);
    expect_kept(rig, NULL, NULL);
    expect_kept(rig, "traceparent:\r\n", NULL);
    expect_kept(rig, "traceparent: 00-" ID "-" PARENT "\r\n", NULL);
    expect_kept(rig, "traceparents: 00-" ID "-" PARENT "-01\r\n", NULL);
    // Of two nobody knows which.
    expect_kept(rig,
                "traceparent: 00-" ID "-" PARENT "-01\r\n"
                "Traceparent: 00-" ID "-" PARENT "-01\r\n",
                NULL);
}

static void each_task_of_an_array_and_of_a_stream_keeps_it(void **state)
{
    static const char *const bodies[][2] = {
        {JSON, "[{\"kind\":\"echo\"},{\"kind\":\"echo\"}]"},
        {"Content-Type: application/x-ndjson\r\n", "{\"kind\":\"echo\"}\n{\"kind\":\"echo\"}\n"},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < 2; i++) {
        char fields[256];
        (void)snprintf(fields, sizeof(fields), "%straceparent: 00-" ID "-" PARENT "-01\r\n",
                       bodies[i][0]);
        struct reply reply = request(rig, "POST", "/v1/tasks", fields, bodies[i][1]);
        assert_int_equal(reply.status, 201);
        reply_fini(&reply);
        for (uint64_t id = 2 * i + 1; id <= 2 * i + 2; id++)
            assert_string_equal(fake_task(rig->engine, id)->traceparent, "00-" ID "-" PARENT "-01");
    }
}

static void the_field_is_no_part_of_what_a_key_stands_for(void **state)
{
    struct rig *rig = *state;
    struct reply first =
        request(rig, "POST", "/v1/tasks",
                JSON "Idempotency-Key: k\r\ntraceparent: 00-" ID "-" PARENT "-01\r\n",
                "{\"kind\":\"echo\"}");
    struct reply again =
        request(rig, "POST", "/v1/tasks", JSON "Idempotency-Key: k\r\n", "{\"kind\":\"echo\"}");

    assert_int_equal(first.status, 201);
    assert_int_equal(again.status, 201);
    assert_int_equal(json_int_at(&again, "id"), json_int_at(&first, "id"));
    assert_string_equal(json_text_at(&again, "traceparent"), "00-" ID "-" PARENT "-01");
    reply_fini(&first);
    reply_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_taken_as_the_specification_says),
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        RIG_TEST(a_task_keeps_the_field_of_its_request),
        RIG_TEST(each_task_of_an_array_and_of_a_stream_keeps_it),
        RIG_TEST(the_field_is_no_part_of_what_a_key_stands_for),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
