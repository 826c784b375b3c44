/** \file What is made to follow a finished task, and that memory may run out at any point of it. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "fault.h"

static struct config_kind kinds[] = {
    {.name = "echo", .builtin = "echo", .follow = {.on_success = "echo", .on_failure = "sleep"}},
    {.name = "sleep", .builtin = "sleep", .follow = {.on_failure = "echo"}},
};
static struct config_kind *by_name[] = {&kinds[0], &kinds[1]};
static struct config_queue queues[] = {
    {.name = "default", .follow = {.on_success = "sleep", .on_failure = "echo"}}};
static struct config config = {.references = 1,
                               .self = &config,
                               .queues = queues,
                               .queue_count = 1,
                               .kinds = kinds,
                               .kind_count = 2,
                               .kinds_by_name = by_name};

/* An engine that knows its configuration, and no more. */
static void engine_init(struct engine *engine)
{
    memset(engine, 0, sizeof(*engine));
    rn_mutex_init(&engine->mu, 10);
    rn_mutex_lock(&engine->mu);
    engine->config = config_ref(&config);
    rn_mutex_unlock(&engine->mu);
}

static struct record ended(const char *kind, enum task_state state, const char *result)
{
    struct record record;
    record_init(&record);
    record.id = 7;
    record.state = state;
    (void)snprintf(record.kind, sizeof(record.kind), "%s", kind);
    (void)snprintf(record.queue, sizeof(record.queue), "default");
    if (result != NULL)
        assert_int_equal(text_set(&record.result, result, strlen(result)), 0);
    record.result_is_json = true;
    if (state == TASK_FAILED)
        (void)snprintf(record.error_code, sizeof(record.error_code), "exit");
    return record;
}

static void each_allocation_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct engine engine;
    engine_init(&engine);
    struct record of_success = ended("echo", TASK_SUCCEEDED, "{\"a\":[1,2]}");
    struct record of_failure = ended("echo", TASK_FAILED, NULL); // its note does not fit `sleep`
    struct record *const all[] = {&of_success, &of_failure};

    for (size_t i = 0; i < 2; i++) {
        int nth = 1;
        for (;; nth++) {
            struct record *follow = NULL;
            fault_fail_malloc(nth);
            int r = follow_make(&engine, all[i], &follow);
            if (!fault_reached()) {
                assert_int_equal(r, 0);
                assert_non_null(follow);
                record_free(follow);
                break;
            }
            if (r == 0) { // of what jansson can do without
                assert_non_null(follow);
                assert_int_equal(follow->state, i == 0 ? TASK_QUEUED : TASK_FAILED);
                record_free(follow);
                continue;
            }
            assert_int_equal(r, -ENOMEM);
            assert_null(follow);
        }
        assert_in_range(nth, 3, 100);
        record_fini(all[i]);
    }
    rn_mutex_fini(&engine.mu);
}

static void the_kind_is_asked_before_the_queue(void **state)
{
    (void)state;
    struct engine engine;
    engine_init(&engine);
    struct record record = ended("sleep", TASK_SUCCEEDED, "{\"duration\":\"1s\"}");
    struct record gone = ended("gone", TASK_FAILED, NULL);
    struct record *follow = NULL;

    assert_int_equal(follow_make(&engine, &record, &follow), 0);
    assert_string_equal(follow->kind, "sleep"); // the queue's: the kind has none
    assert_int_equal(follow->state, TASK_QUEUED);
    record_free(follow);
    assert_int_equal(follow_make(&engine, &gone, &follow), 0); // a kind that is not configured
    assert_string_equal(follow->kind, "echo");
    assert_true(follow->is_on_failure);
    record_free(follow);
    gone.is_on_failure = true;
    assert_false(follow_wanted(&config, &gone, TASK_FAILED));
    assert_int_equal(follow_make(&engine, &gone, &follow), 0);
    assert_null(follow);
    record_fini(&record);
    rn_mutex_fini(&engine.mu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_that_fails_leaves_nothing),
        cmocka_unit_test(the_kind_is_asked_before_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
