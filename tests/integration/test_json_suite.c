/* Hostile JSON over HTTP: each text of JSONTestSuite as the args of a task, and objects with very
 * many keys. Whatever it is, it is answered, the daemon is never at fault, and what is taken comes
 * back with the same meaning. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "suite.h"

static const char config[] = "queue: { default: { workers = 2; }; };\n"
                             "kind: { echo: { builtin = 'echo'; }; };\n";

static struct json_case cases[JSON_SUITE_COUNT];

static void free_cases(void *arg)
{
    json_suite_free(arg);
}

/* POST /v1/tasks?wait=… with the text between these two. */
static struct reply *post(struct daemon *daemon, const char *before, const struct json_case *json,
                          const char *after)
{
    size_t length = strlen(before) + json->length + strlen(after);
    char *body = keep(malloc(length + 1));
    char *at = stpcpy(body, before);

    memcpy(at, json->text, json->length);
    (void)stpcpy(at + json->length, after);
    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks?wait=30s",
                                                  .body = body,
                                                  .body_bytes = length});
}

/* The kind echo gives back its args. */
static void expect_meaning(const struct json_case *json, struct reply *reply)
{
    json_t *sent = keep_json(json_loadb(json->text, json->length, JSON_DECODE_ANY, NULL));

    expect_text(reply->json, "state", "succeeded");
    if (json_equal(at(reply->json, "args"), sent) && json_equal(at(reply->json, "result"), sent))
        return;
    harness_fail(__FILE__, __LINE__, "%s comes back as something else", json->name);
}

static void each_text_of_the_suite_is_answered_as_it_says(void)
{
    struct daemon *daemon = daemon_started(config);

    keep_with(free_cases, cases);
    assert_int_equal(json_suite_read(cases), JSON_SUITE_COUNT);
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++) {
        const struct json_case *json = &cases[i];
        struct reply *reply = post(daemon, "{\"kind\":\"echo\",\"args\":", json, "}");

        bool may_take = json->end != JSON_REFUSED;
        bool may_refuse = json->end != JSON_TAKEN;
        if (reply->status == 200 && may_take)
            expect_meaning(json, reply);
        else if (reply->status != 400 || !may_refuse)
            harness_fail(__FILE__, __LINE__, "%s is answered with %d", json->name, reply->status);
    }
    daemon_stop(daemon);
}

static void a_text_of_the_suite_that_is_the_body_is_refused(void)
{
    struct daemon *daemon = daemon_started(config);

    keep_with(free_cases, cases);
    assert_int_equal(json_suite_read(cases), JSON_SUITE_COUNT);
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++) {
        struct reply *reply = post(daemon, "", &cases[i], "");

        if (reply->status < 400 || reply->status > 422)
            harness_fail(__FILE__, __LINE__, "%s is answered with %d", cases[i].name,
                         reply->status);
    }
    assert_int_equal(count_tasks(daemon, ""), 0);
    daemon_stop(daemon);
}

/* As many keys as go into 1 MiB, of one length, which differ in few bits: jansson's hash is seeded,
 * so that nobody can make them collide. */
static void a_hundred_thousand_keys_that_look_alike_are_answered(void)
{
    enum { KEYS = 100000 };
    struct daemon *daemon = daemon_started(config);
    long before = daemon_memory_kib(daemon, "VmHWM:");
    char *body = repeated('\0', 2u << 20);
    char *end = stpcpy(body, "{\"kind\":\"echo\",\"args\":{");

    for (unsigned i = 0; i < KEYS; i++) {
        *end++ = i > 0 ? ',' : ' ';
        *end++ = '"';
        for (unsigned bit = 0; bit < 5; bit++) // 26^4 and more of them
            *end++ = (char)('a' + (i >> (4 * bit)) % 16);
        end = stpcpy(end, "\":1");
    }
    (void)stpcpy(end, "}}");
    struct reply *reply = call(daemon, "POST", "/v1/tasks?wait=30s", body);

    expect_status(reply, 200);
    assert_int_equal(json_object_size(at(reply->json, "result")), KEYS);
    print_message("100,000 keys: %lld ms, %ld KiB more at most\n",
                  (long long)reply->took_ns / 1000000,
                  daemon_memory_kib(daemon, "VmHWM:") - before);
    if (!is_sanitized())
        assert_in_range(daemon_memory_kib(daemon, "VmHWM:"), 1, 100000);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(each_text_of_the_suite_is_answered_as_it_says),
             SCENARIO(a_text_of_the_suite_that_is_the_body_is_refused),
             SCENARIO(a_hundred_thousand_keys_that_look_alike_are_answered))
