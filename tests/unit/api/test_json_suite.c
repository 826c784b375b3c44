/* JSONTestSuite: each text as the args of a task, as far as the record. Over HTTP that is in
 * tests/integration. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/fields.h"
#include "fake_engine.h"
#include "suite.h"

enum { CASES_MAX = JSON_SUITE_COUNT };

static struct json_case cases[CASES_MAX];
static struct engine *engine;

static int setup(void **state)
{
    (void)state;
    return json_suite_read(cases) == JSON_SUITE_COUNT ? fake_new(&engine) : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_suite_free(cases);
    fake_free(engine);
    return 0;
}

/* The record of {"kind":"echo","args":TEXT}. */
static int read_task(const struct json_case *json, struct record **ret_record)
{
    struct config *config = fake_config(engine);
    struct server server = {.config = config};
    struct request request = {.server = &server, .config = config, .limits = config->limits};
    const struct fields fields = {.config = config, .limits = &request.limits};
    struct faults faults = {.count = 0};
    struct body_fault fault;
    struct body_value body;
    struct buffer text = {.bytes = NULL};

    buffer_text(&text, "{\"kind\":\"echo\",\"args\":");
    buffer_add(&text, json->text, json->length);
    buffer_text(&text, "}");
    assert_false(text.failed);
    const struct body_text place = {
        .text = text.bytes, .to = text.length, .depth_max = config->limits.max_json_depth};
    int r = body_parse(&request, &place, &body, &fault);
    if (r == 0) {
        r = fields_task(&fields, body.value, text.bytes, &body.scan, &faults, ret_record);
        body_done(&request, &body);
    }
    faults_fini(&faults);
    buffer_fini(&text);
    assert_int_equal(request.memory, 0);
    return r;
}

static void each_text_is_taken_or_refused_as_the_suite_says(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < CASES_MAX; i++) {
        struct record *record = NULL;
        int r = read_task(&cases[i], &record);
        bool is_right = cases[i].end == JSON_TAKEN     ? r == 0
                        : cases[i].end == JSON_REFUSED ? r == -EBADMSG
                                                       : r == 0 || r == -EBADMSG;
        if (!is_right)
            print_error("%s: %d\n", cases[i].name, r);
        wrong += !is_right;
        record_free(record);
    }
    assert_int_equal(wrong, 0);
}

static void what_is_taken_is_kept_but_for_white_space(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_MAX; i++) {
        struct record *record = NULL;
        if (read_task(&cases[i], &record) < 0)
            continue;
        json_t *sent = json_loadb(cases[i].text, cases[i].length, JSON_DECODE_ANY, NULL);
        char *compact = malloc(cases[i].length);

        assert_non_null(compact);
        size_t length = scan_compact(cases[i].text, cases[i].length, compact);
        if (json_is_null(sent)) {
            assert_null(record->args.bytes);
        } else {
            assert_int_equal(record->args.length, length);
            assert_memory_equal(record->args.bytes, compact, length);
            json_t *kept =
                json_loadb(record->args.bytes, record->args.length, JSON_DECODE_ANY, NULL);
            assert_true(json_equal(kept, sent));
            json_decref(kept);
        }
        json_decref(sent);
        free(compact);
        record_free(record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_taken_or_refused_as_the_suite_says),
        cmocka_unit_test(what_is_taken_is_kept_but_for_white_space),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
