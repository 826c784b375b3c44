/* Pipelines that end early: by an error, by their context, for want of memory; and what becomes of
 * the elements. */
#include <runnel/pipeline.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <runnel/group.h>

#include "chance.h"
#include "fault.h"
#include "stages.h"
#include "unit.h"

/* Where it fails, and with what; each stage knows itself by its letter. */
struct trouble {
    char stage;
    int number;
    int error;
};

static int trouble_of(const struct trouble *trouble, char stage, const void *in)
{
    return trouble->stage == stage && *(const int *)in == trouble->number ? trouble->error : 0;
}

static int troubled_source(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    (void)ctx;
    for (int i = 0;; i++) {
        int r = trouble_of(arg, 's', &i);
        if (r == 0)
            r = rn_emit(emitter, &i);
        if (r != 0)
            return r;
    }
}

static int troubled_map(rn_context *ctx, void *arg, const void *in, void *out)
{
    return trouble_of(arg, 'm', in) != 0 ? trouble_of(arg, 'm', in) : copy(ctx, NULL, in, out);
}

static int troubled_filter(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    (void)ctx;
    *ret_keep = *(const int *)in % 3 != 1;
    return trouble_of(arg, 'f', in);
}

static int troubled_flat_map(rn_context *ctx, void *arg, const void *in, rn_emitter *emitter)
{
    (void)ctx;
    int r = trouble_of(arg, 'x', in);
    for (int i = 0; r == 0 && i < 2; i++)
        r = rn_emit(emitter, in);
    return r;
}

static int troubled_sink(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    return trouble_of(arg, 'k', in);
}

static void the_first_error_ends_all_and_names_its_stage(void **state)
{
    static const struct {
        char stage;
        const char *name;
    } rows[] = {{'s', "source"}, {'m', "map"}, {'f', "filter"}, {'x', "flat map"}, {'k', "sink"}};
    static const struct rn_stage_options widths[] = {
        {.width = 1}, {.width = 3, .buffer = 2}, {.width = 3, .unordered = true, .buffer = 2}};
    (void)state;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        for (size_t width = 0; width < sizeof(widths) / sizeof(widths[0]); width++) {
            for (int number = 0; number < 60; number += 30) {
                const struct rn_stage_options *options = &widths[width];
                struct trouble trouble = {rows[row].stage, number, -EMSGSIZE};
                rn_pipeline *pipeline = new_pipeline();
                rn_pipeline_source(pipeline, "source", sizeof(int), troubled_source, &trouble);
                rn_pipeline_map(pipeline, "map", sizeof(int), troubled_map, &trouble, options);
                rn_pipeline_filter(pipeline, "filter", troubled_filter, &trouble, options);
                rn_pipeline_flat_map(pipeline, "flat map", sizeof(int), troubled_flat_map, &trouble,
                                     options);
                rn_pipeline_sink(pipeline, "sink", troubled_sink, &trouble, options);
                assert_int_equal(rn_pipeline_run(NULL, pipeline), -EMSGSIZE);
                assert_string_equal(rn_pipeline_failed_stage(pipeline), rows[row].name);
                rn_pipeline_free(pipeline);
            }
        }
    }
}

static int wait_for_the_end(rn_context *ctx, void *arg, const void *in, void *out)
{
    (void)in;
    (void)out;
    atomic_fetch_add((_Atomic int *)arg, 1);
    return rn_sleep(ctx, RN_MINUTE) != 0 ? -EIO : 0;
}

static int cancel_when_two_wait(rn_context *ctx, void *arg)
{
    void **both = arg;

    (void)ctx;
    while (atomic_load((_Atomic int *)both[0]) < 2)
        (void)sched_yield();
    rn_context_cancel(both[1], 77);
    return 0;
}

static void the_end_of_the_context_ends_it_and_no_stage_has_failed(void **state)
{
    _Atomic int waiting = 0;
    rn_context *ctx = NULL;
    rn_group *group = NULL;
    (void)state;
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    void *both[] = {&waiting, ctx};
    assert_int_equal(rn_group_go(group, "cancel", cancel_when_two_wait, both), 0);

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_on, NULL);
    rn_pipeline_map(pipeline, "wait", sizeof(int), wait_for_the_end, &waiting,
                    &(struct rn_stage_options){.width = 2});
    rn_pipeline_sink(pipeline, "sink", ignore, NULL, NULL);
    assert_int_equal(rn_pipeline_run(ctx, pipeline), -ECANCELED);

    assert_null(rn_pipeline_failed_stage(pipeline));
    rn_pipeline_free(pipeline);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    rn_context_unref(ctx);

    assert_int_equal(rn_context_with_timeout(NULL, 5 * RN_MILLISECOND, &ctx), 0);
    pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_on, NULL);
    rn_pipeline_flat_map(pipeline, "flat", sizeof(int), repeat_unevenly, NULL,
                         &(struct rn_stage_options){.width = 2});
    rn_pipeline_map(pipeline, "wait", sizeof(int), wait_for_the_end, &waiting, NULL);
    rn_pipeline_sink(pipeline, "sink", ignore, NULL, &(struct rn_stage_options){.width = 2});
    assert_int_equal(rn_pipeline_run(ctx, pipeline), -ETIMEDOUT);
    assert_null(rn_pipeline_failed_stage(pipeline));
    rn_pipeline_free(pipeline);
    rn_context_unref(ctx);
}

static int note_call(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    (void)ctx;
    (void)emitter;
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

static void a_context_that_has_ended_wins(void **state)
{
    _Atomic int calls = 0;
    rn_context *ctx = NULL;
    (void)state;
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    rn_context_cancel(ctx, 0);

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), note_call, &calls);
    rn_pipeline_sink(pipeline, "sink", ignore, NULL, NULL);
    assert_int_equal(rn_pipeline_run(ctx, pipeline), -ECANCELED);

    assert_int_equal(atomic_load(&calls), 0);
    rn_pipeline_free(pipeline);
    rn_context_unref(ctx);
}

/* A filter that cancels at the first element, and what it was called for afterwards. */
struct canceller {
    rn_context *ctx;
    _Atomic int calls_after_the_end;
};

static int cancel_at_once(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    struct canceller *canceller = arg;

    if (rn_context_err(ctx) != 0)
        atomic_fetch_add(&canceller->calls_after_the_end, 1);
    if (*(const int *)in == 0)
        rn_context_cancel(canceller->ctx, 0);
    *ret_keep = false;
    return 0;
}

static void nothing_more_is_taken_after_the_end(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 3; width++) {
        struct canceller canceller = {.ctx = NULL};
        rn_chan *numbers = new_chan(500);
        for (int i = 0; i < 500; i++)
            assert_int_equal(rn_chan_try_send(numbers, &i), 0);
        rn_chan_close(numbers);
        assert_int_equal(rn_context_with_cancel(NULL, &canceller.ctx), 0);

        rn_pipeline *pipeline = new_pipeline();
        rn_pipeline_source_chan(pipeline, "source", numbers);
        rn_pipeline_filter(pipeline, "cancel", cancel_at_once, &canceller,
                           &(struct rn_stage_options){.width = width, .buffer = 400});
        rn_pipeline_sink(pipeline, "sink", ignore, NULL, NULL);
        (void)!rn_pipeline_run(canceller.ctx, pipeline);

        // What a thread had taken when the end came.
        assert_in_range(atomic_load(&canceller.calls_after_the_end), 0, width);
        rn_pipeline_free(pipeline);
        rn_chan_free(numbers);
        rn_context_unref(canceller.ctx);
    }
}

static int cancel_at_the_end(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    if (*(const int *)in == 9)
        rn_context_cancel(arg, 0);
    return 0;
}

static void an_end_at_the_last_element_is_an_end(void **state)
{
    int limit = 10;
    rn_context *ctx = NULL;
    struct rn_stage_progress progress;
    (void)state;
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_sink(pipeline, "sink", cancel_at_the_end, ctx, NULL);
    assert_int_equal(rn_pipeline_run(ctx, pipeline), -ECANCELED);

    // All are through, but the sink did not come to know that it was the last.
    assert_int_equal(rn_pipeline_progress(pipeline, 1, &progress), 0);
    assert_int_equal(progress.out, 10);
    rn_pipeline_free(pipeline);
    rn_context_unref(ctx);
}

// ---- Elements that own something

static _Atomic int alive;

static int emit_owned(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    (void)ctx;
    for (int i = 0; i < *(const int *)arg; i++) {
        int *owned = malloc(sizeof(int));
        if (owned == NULL)
            return -ENOMEM;
        *owned = i;
        atomic_fetch_add(&alive, 1);
        int r = rn_emit(emitter, &owned);
        if (r < 0) { // it is still ours
            free(owned);
            atomic_fetch_sub(&alive, 1);
            return r;
        }
    }
    return 0;
}

static void free_owned(int *owned)
{
    free(owned);
    atomic_fetch_sub(&alive, 1);
}

/* Passes its element on or frees it, and fails at the number in arg. */
static int keep_some_owned(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    int *owned = *(int *const *)in;
    int number = *owned;

    (void)ctx;
    dawdle(number);
    *ret_keep = number != *(const int *)arg && number % 5 != 0;
    if (!*ret_keep)
        free_owned(owned);
    return number == *(const int *)arg ? -EIO : 0;
}

static int map_owned(rn_context *ctx, void *arg, const void *in, void *out)
{
    int *owned = *(int *const *)in;

    (void)ctx;
    if (*owned == *(const int *)arg) {
        free_owned(owned);
        return -EIO;
    }
    dawdle(*owned);
    *(int **)out = owned;
    return 0;
}

static int sink_owned(rn_context *ctx, void *arg, const void *in)
{
    int *owned = *(int *const *)in;
    int number = *owned;

    (void)ctx;
    free_owned(owned);
    return number == *(const int *)arg ? -EIO : 0;
}

static void drop_owned(void *arg, void *elem)
{
    (void)arg;
    free_owned(*(int **)elem);
}

static void what_was_on_the_way_is_dropped(void **state)
{
    static const struct rn_stage_options widths[] = {
        {.width = 1, .buffer = 8, .drop_fn = drop_owned},
        {.width = 3, .buffer = 8, .drop_fn = drop_owned},
        {.width = 3, .unordered = true, .buffer = 2, .drop_fn = drop_owned}};
    int limit = 400;
    int never = -1;
    int number = 101;
    (void)state;

    for (size_t width = 0; width < 3; width++) {
        for (int failing = 0; failing < 4; failing++) {
            const struct rn_stage_options *options = &widths[width];
            rn_pipeline *pipeline = new_pipeline();
            rn_pipeline_source(pipeline, "source", sizeof(int *), emit_owned, &limit);
            rn_pipeline_filter(pipeline, "filter", keep_some_owned, failing == 0 ? &number : &never,
                               options);
            rn_pipeline_map(pipeline, "map", sizeof(int *), map_owned,
                            failing == 1 ? &number : &never, options);
            rn_pipeline_sink(pipeline, "sink", sink_owned, failing == 2 ? &number : &never,
                             options);
            assert_int_equal(rn_pipeline_run(NULL, pipeline), failing < 3 ? -EIO : 0);
            rn_pipeline_free(pipeline);
            assert_int_equal(atomic_load(&alive), 0);
        }
    }
}

/* Runs from a channel to a full one until ctx ends. */
static void channel_ends_hold_what_they_own(void **state)
{
    const struct rn_stage_options options = {.width = 2, .buffer = 2, .drop_fn = drop_owned};
    rn_chan *from = NULL;
    rn_chan *to = NULL;
    rn_context *ctx = NULL;
    int never = -1;
    int *owned;
    (void)state;
    assert_int_equal(rn_context_with_timeout(NULL, 20 * RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_chan_new(sizeof(int *), 50, &from), 0);
    assert_int_equal(rn_chan_new(sizeof(int *), 1, &to), 0);
    for (int i = 1; i <= 50; i++) {
        owned = malloc(sizeof(int));
        assert_non_null(owned);
        *owned = i;
        atomic_fetch_add(&alive, 1);
        assert_int_equal(rn_chan_try_send(from, &owned), 0);
    }

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source_chan(pipeline, "from", from);
    rn_pipeline_map(pipeline, "map", sizeof(int *), map_owned, &never, &options);
    rn_pipeline_sink_chan(pipeline, "to", to, &options);
    assert_int_equal(rn_pipeline_run(ctx, pipeline), -ETIMEDOUT);
    rn_pipeline_free(pipeline);

    // What was not taken, and what went out, is where it belongs.
    int left = 0;
    for (; rn_chan_try_recv(from, &owned) == 0; left++)
        free_owned(owned);
    assert_in_range(left, 1, 49);
    for (left = 0; rn_chan_try_recv(to, &owned) == 0; left++)
        free_owned(owned);
    assert_int_equal(left, 1);
    assert_int_equal(atomic_load(&alive), 0);
    rn_chan_free(from);
    rn_chan_free(to);
    rn_context_unref(ctx);
}

// ---- Faults

static int build_and_run(bool *ret_made, int *ret_source_calls, struct list *list)
{
    const struct rn_stage_options wide = {.width = 2};
    _Atomic int calls = 0;
    rn_pipeline *pipeline = NULL;

    *ret_source_calls = 0;
    list->count = 0;
    int r = rn_pipeline_new(&pipeline);
    *ret_made = r == 0;
    if (r < 0) {
        assert_null(pipeline);
        return r;
    }
    rn_pipeline_source(pipeline, "source", sizeof(int), note_call, &calls);
    rn_pipeline_map(pipeline, "map", sizeof(int), copy, NULL, &wide);
    rn_pipeline_filter(pipeline, "filter", keep_prime, NULL, NULL);
    rn_pipeline_flat_map(pipeline, "flat", sizeof(int), repeat_unevenly, NULL, &wide);
    rn_pipeline_sink(pipeline, "sink", append, list, &wide);
    r = rn_pipeline_run(NULL, pipeline);
    assert_null(rn_pipeline_failed_stage(pipeline));
    rn_pipeline_free(pipeline);
    *ret_source_calls = atomic_load(&calls);
    return r;
}

static void every_failed_allocation_comes_out_of_run(void **state)
{
    static struct list list;
    bool made;
    int source_calls;
    (void)state;

    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = build_and_run(&made, &source_calls, &list);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_int_equal(source_calls, 1);
            assert_true(nth > 20);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(source_calls, 0);
        assert_int_equal(made, nth > 1);
    }
}

static void every_thread_that_cannot_start_comes_out_of_run(void **state)
{
    static struct list list;
    bool made;
    int source_calls;
    (void)state;

    for (int nth = 1;; nth++) {
        fault_fail_pthread_create(nth);
        int r = build_and_run(&made, &source_calls, &list);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_int_equal(nth, 9); // a source, 2, 1, 2, 2
            return;
        }
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(source_calls, 0);
    }
}

static void sizes_out_of_range_are_no_memory(void **state)
{
    struct list list = {0};
    int limit = 1;
    static const struct {
        size_t out_size;
        struct rn_stage_options options;
    } rows[] = {
        {SIZE_MAX, {.width = 1}},
        {SIZE_MAX - 100, {.width = 1}},
        {SIZE_MAX / 4, {.width = 2, .buffer = 8}},
        {SIZE_MAX, {.width = 2}},
        {sizeof(int), {.buffer = SIZE_MAX}},
        {0, {.width = 2, .buffer = SIZE_MAX / 8}},
    };
    (void)state;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        rn_pipeline *pipeline = new_pipeline();
        rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
        rn_pipeline_map(pipeline, "map", rows[row].out_size, copy, NULL, &rows[row].options);
        rn_pipeline_map(pipeline, "map", sizeof(int), copy, NULL, NULL);
        rn_pipeline_sink(pipeline, "sink", append, &list, NULL);
        assert_int_equal(rn_pipeline_run(NULL, pipeline), -ENOMEM);
        rn_pipeline_free(pipeline);
    }
}

// ---- Everything at random

static void random_pipelines_end_in_order(void **state)
{
    int rounds = getenv("RUNNEL_VALGRIND") != NULL ? 8 : 60;
    unsigned seed = 4711;
    (void)state;

    for (int round = 0; round < rounds; round++) {
        int limit = (int)random_below(&seed, 500);
        int fails[3];
        struct some_time some_time = {.yields = random_below(&seed, 3000)};
        bool cancels = random_below(&seed, 3) == 0;
        struct rn_stage_options options[3];
        for (int i = 0; i < 3; i++) {
            fails[i] = random_below(&seed, 3) == 0 ? (int)random_below(&seed, 600) : -1;
            options[i] = (struct rn_stage_options){.width = 1 + random_below(&seed, 4),
                                                   .unordered = random_below(&seed, 3) == 0,
                                                   .buffer = 1 + random_below(&seed, 20),
                                                   .drop_fn = drop_owned};
        }
        rn_context *ctx = NULL;
        rn_group *group = NULL;
        assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        some_time.ctx = ctx;
        if (cancels)
            assert_int_equal(rn_group_go(group, "cancel", cancel_at_some_time, &some_time), 0);

        rn_pipeline *pipeline = new_pipeline();
        rn_pipeline_source(pipeline, "source", sizeof(int *), emit_owned, &limit);
        rn_pipeline_filter(pipeline, "filter", keep_some_owned, &fails[0], &options[0]);
        rn_pipeline_map(pipeline, "map", sizeof(int *), map_owned, &fails[1], &options[1]);
        rn_pipeline_sink(pipeline, "sink", sink_owned, &fails[2], &options[2]);
        int r = rn_pipeline_run(ctx, pipeline);

        assert_true(r == 0 || r == -EIO || (cancels && r == -ECANCELED));
        assert_int_equal(r == -EIO, rn_pipeline_failed_stage(pipeline) != NULL);
        assert_int_equal(atomic_load(&alive), 0);
        struct rn_stage_progress progress;
        if (r == 0) {
            assert_int_equal(rn_pipeline_progress(pipeline, 3, &progress), 0);
            assert_int_equal(progress.out, limit - (limit + 4) / 5);
        }
        rn_pipeline_free(pipeline);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
        rn_context_unref(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_ends_all_and_names_its_stage),
        cmocka_unit_test(the_end_of_the_context_ends_it_and_no_stage_has_failed),
        cmocka_unit_test(a_context_that_has_ended_wins),
        cmocka_unit_test(nothing_more_is_taken_after_the_end),
        cmocka_unit_test(an_end_at_the_last_element_is_an_end),
        cmocka_unit_test(what_was_on_the_way_is_dropped),
        cmocka_unit_test(channel_ends_hold_what_they_own),
        cmocka_unit_test(every_failed_allocation_comes_out_of_run),
        cmocka_unit_test(every_thread_that_cannot_start_comes_out_of_run),
        cmocka_unit_test(sizes_out_of_range_are_no_memory),
        cmocka_unit_test(random_pipelines_end_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
