/* Pipelines that are not built as they must be. */
#include <runnel/pipeline.h>

#include "crash.h"
#include "stages.h"
#include "unit.h"

static void begin_without_a_source(void *arg)
{
    rn_pipeline_map(arg, "map", sizeof(int), copy, NULL, NULL);
}

static void begin_twice(void *arg)
{
    static int limit;
    rn_pipeline_source(arg, "first", sizeof(int), count_up, &limit);
    rn_pipeline_source(arg, "second", sizeof(int), count_up, &limit);
}

static void run_without_a_sink(void *arg)
{
    static int limit;
    rn_pipeline_source(arg, "source", sizeof(int), count_up, &limit);
    (void)!rn_pipeline_run(NULL, arg);
}

static void run_twice(void *arg)
{
    static int limit;
    rn_context *ended = NULL;
    if (rn_context_with_cancel(NULL, &ended) < 0)
        return;
    rn_context_cancel(ended, 0);
    rn_pipeline_source(arg, "source", sizeof(int), count_up, &limit);
    rn_pipeline_sink(arg, "sink", ignore, NULL, NULL);
    (void)!rn_pipeline_run(ended, arg); // no threads in this child
    (void)!rn_pipeline_run(ended, arg);
}

static void go_on_behind_the_sink(void *arg)
{
    static int limit;
    rn_pipeline_source(arg, "source", sizeof(int), count_up, &limit);
    rn_pipeline_sink(arg, "sink", ignore, NULL, NULL);
    rn_pipeline_map(arg, "map", sizeof(int), copy, NULL, NULL);
}

static void misuse_aborts(void **state)
{
    void (*const rows[])(void *arg) = {begin_without_a_source, begin_twice, run_without_a_sink,
                                       run_twice, go_on_behind_the_sink};
    (void)state;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        rn_pipeline *pipeline = new_pipeline();
        assert_true(aborts_with("pipeline", rows[row], pipeline));
        rn_pipeline_free(pipeline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
