/* Pipelines: what comes out, in which order, and what bounds them. */
#include <runnel/pipeline.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <runnel/group.h>

#include "stages.h"
#include "unit.h"

static int square(rn_context *ctx, void *arg, const void *in, void *out)
{
    int number = *(const int *)in;

    (void)ctx;
    (void)arg;
    *(int *)out = number * number;
    return 0;
}

static int keep_even_unevenly(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    (void)ctx;
    (void)arg;
    dawdle(*(const int *)in);
    *ret_keep = *(const int *)in % 2 == 0;
    return 0;
}

static void squares_of_primes_come_in_order(void **state)
{
    static const int wanted[] = {4, 9, 25, 49, 121, 169, 289, 361};
    int limit = 21;
    struct list list = {0};
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "generate", sizeof(int), count_up, &limit);
    rn_pipeline_filter(pipeline, "primes", keep_prime, NULL, NULL);
    rn_pipeline_map(pipeline, "square", sizeof(int), square, NULL, NULL);
    rn_pipeline_sink(pipeline, "print", append, &list, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    assert_null(rn_pipeline_failed_stage(pipeline));
    rn_pipeline_free(pipeline);
    assert_int_equal(list.count, 8);
    assert_memory_equal(list.items, wanted, sizeof(wanted));
    rn_pipeline_free(NULL);
}

static void a_source_of_nothing_ends_it(void **state)
{
    int limit = 0;
    struct list list = {0};
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "none", sizeof(int), count_up, &limit);
    rn_pipeline_map(pipeline, "copy", sizeof(int), copy, NULL,
                    &(struct rn_stage_options){.width = 3});
    rn_pipeline_sink(pipeline, "list", append, &list, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    assert_int_equal(list.count, 0);
    rn_pipeline_free(pipeline);
}

static void order_is_kept_whatever_the_width(void **state)
{
    static const struct rn_stage_options rows[] = {
        {.width = 1},
        {.width = 2},
        {.width = 3, .buffer = 1},
        {.width = 5, .buffer = 7},
        {.width = 2, .buffer = 100},
    };
    int limit = 1200;
    static struct list list;
    (void)state;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        list.count = 0;
        rn_pipeline *pipeline = new_pipeline();
        rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
        rn_pipeline_map(pipeline, "map", sizeof(int), copy_unevenly, NULL, &rows[row]);
        rn_pipeline_filter(pipeline, "filter", keep_even_unevenly, NULL, &rows[row]);
        rn_pipeline_flat_map(pipeline, "flat", sizeof(int), repeat_unevenly, NULL, &rows[row]);
        rn_pipeline_sink(pipeline, "sink", append, &list, NULL);
        assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);
        rn_pipeline_free(pipeline);

        size_t count = 0;
        for (int number = 0; number < limit; number += 2) {
            for (int i = 0; i < number % 4; i++)
                assert_int_equal(list.items[count++], number);
        }
        assert_int_equal(list.count, count);
    }
}

static void without_order_every_element_comes_once(void **state)
{
    const struct rn_stage_options wide = {.width = 4, .unordered = true, .buffer = 3};
    int limit = 1000;
    static struct list list;
    static int seen[1000];
    (void)state;

    memset(seen, 0, sizeof(seen));
    list.count = 0;
    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_map(pipeline, "map", sizeof(int), copy_unevenly, NULL, &wide);
    rn_pipeline_filter(pipeline, "filter", keep_even_unevenly, NULL, &wide);
    rn_pipeline_flat_map(pipeline, "flat", sizeof(int), repeat_unevenly, NULL, &wide);
    rn_pipeline_sink(pipeline, "sink", append, &list, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);
    rn_pipeline_free(pipeline);

    for (size_t i = 0; i < list.count; i++)
        seen[list.items[i]]++;
    for (int number = 0; number < limit; number++)
        assert_int_equal(seen[number], number % 2 == 0 ? number % 4 : 0);
}

// ---- Widths and bounds

/* Threads that wait for each other inside a function. */
struct meeting {
    _Atomic int inside;
    _Atomic int most;
    int wanted;
};

static int meet(rn_context *ctx, struct meeting *meeting)
{
    int now = atomic_fetch_add(&meeting->inside, 1) + 1;
    int most = atomic_load(&meeting->most);

    while (now > most && !atomic_compare_exchange_weak(&meeting->most, &most, now))
        continue;
    while (atomic_load(&meeting->most) < meeting->wanted && rn_context_err(ctx) == 0)
        (void)sched_yield();
    dawdle(now);
    atomic_fetch_sub(&meeting->inside, 1);
    return rn_context_err(ctx);
}

static int meet_in_map(rn_context *ctx, void *arg, const void *in, void *out)
{
    *(int *)out = *(const int *)in;
    return meet(ctx, arg);
}

static int meet_in_filter(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    (void)in;
    *ret_keep = true;
    return meet(ctx, arg);
}

static int meet_in_sink(rn_context *ctx, void *arg, const void *in)
{
    (void)in;
    return meet(ctx, arg);
}

static void width_is_how_many_are_in_work_at_once(void **state)
{
    struct meeting in_map = {.wanted = 3};
    struct meeting in_filter = {.wanted = 2};
    struct meeting in_sink = {.wanted = 4};
    int limit = 200;
    rn_context *ctx = NULL;
    (void)state;

    assert_int_equal(rn_context_with_timeout(NULL, RN_MINUTE, &ctx), 0);
    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_map(pipeline, "map", sizeof(int), meet_in_map, &in_map,
                    &(struct rn_stage_options){.width = 3});
    rn_pipeline_filter(pipeline, "filter", meet_in_filter, &in_filter,
                       &(struct rn_stage_options){.width = 2, .unordered = true});
    rn_pipeline_sink(pipeline, "sink", meet_in_sink, &in_sink,
                     &(struct rn_stage_options){.width = 4});
    assert_int_equal(rn_pipeline_run(ctx, pipeline), 0);

    assert_int_equal(atomic_load(&in_map.most), 3);
    assert_int_equal(atomic_load(&in_filter.most), 2);
    assert_int_equal(atomic_load(&in_sink.most), 4);
    rn_pipeline_free(pipeline);
    rn_context_unref(ctx);
}

/* A map whose element 0 waits until the gate opens. */
struct gate {
    _Atomic bool is_open;
    _Atomic int begun;
    _Atomic int begun_before; // when the gate was opened
};

static int stop_at_the_gate(rn_context *ctx, void *arg, const void *in, void *out)
{
    struct gate *gate = arg;

    atomic_fetch_add(&gate->begun, 1);
    while (*(const int *)in == 0 && !atomic_load(&gate->is_open) && rn_context_err(ctx) == 0)
        (void)sched_yield();
    return copy(ctx, NULL, in, out);
}

/* Opens the gate when so many are begun, and others had time to follow. */
static int open_the_gate(struct gate *gate, int wanted)
{
    rn_time limit = rn_after(RN_MINUTE);

    while (atomic_load(&gate->begun) < wanted && rn_now() < limit)
        (void)sched_yield();
    for (int i = 0; i < 2000; i++)
        (void)sched_yield();
    atomic_store(&gate->begun_before, atomic_load(&gate->begun));
    atomic_store(&gate->is_open, true);
    return 0;
}

static int open_after_five(rn_context *ctx, void *arg)
{
    (void)ctx;
    return open_the_gate(arg, 5);
}

static int open_after_three(rn_context *ctx, void *arg)
{
    (void)ctx;
    return open_the_gate(arg, 3);
}

static void a_slow_element_holds_back_the_window_and_no_more(void **state)
{
    static const struct {
        struct rn_stage_options options;
        int (*open_fn)(rn_context *ctx, void *arg);
        int window;
    } rows[] = {
        {{.width = 2, .buffer = 5}, open_after_five, 5},
        {{.width = 3, .buffer = 2}, open_after_three, 3},
    };
    int limit = 300;
    static struct list list;
    (void)state;

    for (size_t row = 0; row < 2; row++) {
        struct gate gate = {.is_open = false};
        rn_group *group = NULL;
        list.count = 0;
        rn_pipeline *pipeline = new_pipeline();
        rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
        rn_pipeline_map(pipeline, "gate", sizeof(int), stop_at_the_gate, &gate, &rows[row].options);
        rn_pipeline_sink(pipeline, "sink", append, &list, NULL);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        assert_int_equal(rn_group_go(group, "opener", rows[row].open_fn, &gate), 0);
        assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);
        assert_int_equal(rn_group_wait(group), 0);

        assert_int_equal(atomic_load(&gate.begun_before), rows[row].window);
        assert_int_equal(list.count, limit);
        for (int i = 0; i < limit; i++)
            assert_int_equal(list.items[i], i);
        rn_group_free(group);
        rn_pipeline_free(pipeline);
    }
}

/* Waits, as a sink, until the stages before it cannot go on. */
struct dam {
    rn_pipeline *pipeline;
    bool passed;
    struct rn_stage_progress before[4];
};

static int dam_up(rn_context *ctx, void *arg, const void *in)
{
    struct dam *dam = arg;
    rn_time limit = rn_after(20 * RN_SECOND);
    int quiet = 0;

    (void)ctx;
    (void)in;
    while (!dam->passed && quiet < 500 && rn_now() < limit) {
        bool same = true;
        for (size_t i = 0; i < 4; i++) {
            struct rn_stage_progress now;
            if (rn_pipeline_progress(dam->pipeline, i, &now) < 0)
                return -ENOENT;
            same = same && now.in == dam->before[i].in && now.out == dam->before[i].out;
            dam->before[i] = now;
        }
        quiet = same && dam->before[0].out >= 14 ? quiet + 1 : 0;
        (void)sched_yield();
    }
    dam->passed = true;
    return 0;
}

static void buffers_are_bounded(void **state)
{
    const struct rn_stage_options narrow = {.buffer = 3};
    struct dam dam = {.passed = false};
    struct rn_stage_progress now;
    int limit = 400;
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    dam.pipeline = pipeline;
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_map(pipeline, "one", sizeof(int), copy, NULL, &narrow);
    rn_pipeline_map(pipeline, "two", sizeof(int), copy, NULL,
                    &(struct rn_stage_options){.buffer = 3, .width = 3});
    rn_pipeline_sink(pipeline, "dam", dam_up, &dam, &narrow);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    // One in the sink, three before it, three in the window, three before it, one in the map, three
    // before it.
    assert_int_equal(dam.before[3].in, 1);
    assert_int_equal(dam.before[2].out, 4);
    assert_int_equal(dam.before[2].in, 7);
    assert_int_equal(dam.before[1].out, 10);
    assert_int_equal(dam.before[1].in, 11);
    assert_int_equal(dam.before[0].out, 14);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(dam.before[i].waiting, 3);
    // The source is inside its function when it cannot emit, a map is not when it cannot send.
    assert_int_equal(dam.before[0].running, 1);
    assert_int_equal(dam.before[1].running, 0);
    assert_int_equal(dam.before[2].running, 0);
    assert_int_equal(dam.before[3].running, 1);
    assert_int_equal(rn_pipeline_progress(pipeline, 3, &now), 0);
    assert_int_equal(now.out, limit);
    rn_pipeline_free(pipeline);
}

static void progress_counts_what_went_in_and_out(void **state)
{
    static const char *const names[] = {"source", "primes", "repeat", "sink"};
    static const uint64_t in[] = {0, 100, 25, 39};
    static const uint64_t out[] = {100, 25, 39, 39};
    struct rn_stage_progress progress;
    int limit = 100;
    struct list list = {0};
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    assert_int_equal(rn_pipeline_progress(pipeline, 0, &progress), -ENOENT);
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_filter(pipeline, "primes", keep_prime, NULL,
                       &(struct rn_stage_options){.width = 2});
    rn_pipeline_flat_map(pipeline, "repeat", sizeof(int), repeat_unevenly, NULL,
                         &(struct rn_stage_options){.width = 2});
    rn_pipeline_sink(pipeline, "sink", append, &list, NULL);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rn_pipeline_progress(pipeline, i, &progress), 0);
        assert_int_equal(progress.in + progress.out + progress.running + progress.waiting, 0);
    }
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    size_t sum = 0;
    for (size_t i = 0; i < list.count; i++)
        sum += i == 0 || list.items[i] != list.items[i - 1] ? (size_t)list.items[i] % 4 : 0;
    assert_int_equal(sum, list.count);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rn_pipeline_progress(pipeline, i, &progress), 0);
        assert_string_equal(progress.name, names[i]);
        assert_int_equal(progress.in, i == 3 ? list.count : in[i]);
        assert_int_equal(progress.out, i >= 2 ? list.count : out[i]);
        assert_int_equal(progress.running, 0);
        assert_int_equal(progress.waiting, 0);
    }
    assert_int_equal(rn_pipeline_progress(pipeline, 4, &progress), -ENOENT);
    rn_pipeline_free(pipeline);
}

static int look_at_own_thread(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    (void)in;
    *(pthread_t *)arg = pthread_self();
    return 0;
}

static int name_of_own_thread(rn_context *ctx, void *arg, const void *in, void *out)
{
    (void)ctx;
    (void)in;
    (void)out;
    return pthread_getname_np(pthread_self(), arg, 16) == 0 ? 0 : -EINVAL;
}

static void threads_have_the_names_of_stages_and_the_sink_is_the_callers(void **state)
{
    pthread_t thread;
    char name[16] = "";
    int limit = 1;
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_up, &limit);
    rn_pipeline_map(pipeline, "a-name-of-many-bytes", 0, name_of_own_thread, name, NULL);
    rn_pipeline_sink(pipeline, "sink", look_at_own_thread, &thread, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    assert_string_equal(name, "a-name-of-many-");
    assert_true(pthread_equal(thread, pthread_self()));
    rn_pipeline_free(pipeline);
}

// ---- Elements of any size, and channels at both ends

struct large {
    int number;
    unsigned char filled[3001];
};

static int emit_large(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    struct large large;
    int r = 0;

    (void)ctx;
    (void)arg;
    for (int i = 0; r == 0 && i < 100; i++) {
        large.number = i;
        memset(large.filled, i, sizeof(large.filled));
        r = rn_emit(emitter, &large);
    }
    return r;
}

static int check_large(rn_context *ctx, void *arg, const void *in, bool *ret_keep)
{
    const struct large *large = in;

    (void)ctx;
    (void)arg;
    for (size_t i = 0; i < sizeof(large->filled); i++) {
        if (large->filled[i] != (unsigned char)large->number)
            return -EINVAL;
    }
    *ret_keep = true;
    return 0;
}

static int to_nothing(rn_context *ctx, void *arg, const void *in, void *out)
{
    bool keep;

    (void)out;
    return check_large(ctx, arg, in, &keep);
}

static int count_nothing(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    (void)in;
    (*(int *)arg)++;
    return 0;
}

static void elements_may_be_large_or_empty(void **state)
{
    const struct rn_stage_options wide = {.width = 2, .buffer = 4};
    int count = 0;
    (void)state;

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(struct large), emit_large, NULL);
    rn_pipeline_filter(pipeline, "check", check_large, NULL, &wide);
    rn_pipeline_filter(pipeline, "again", check_large, NULL, NULL);
    rn_pipeline_map(pipeline, "nothing", 0, to_nothing, NULL, &wide);
    rn_pipeline_sink(pipeline, "count", count_nothing, &count, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);

    assert_int_equal(count, 100);
    rn_pipeline_free(pipeline);
}

static void channels_at_both_ends(void **state)
{
    rn_chan *from = new_chan(100);
    rn_chan *to = new_chan(100);
    int number;
    (void)state;
    for (number = 0; number < 100; number++)
        assert_int_equal(rn_chan_try_send(from, &number), 0);
    rn_chan_close(from);

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source_chan(pipeline, "from", from);
    rn_pipeline_map(pipeline, "copy", sizeof(int), copy_unevenly, NULL,
                    &(struct rn_stage_options){.width = 3});
    rn_pipeline_sink_chan(pipeline, "to", to, &(struct rn_stage_options){.width = 9});
    assert_int_equal(rn_pipeline_run(NULL, pipeline), 0);
    rn_pipeline_free(pipeline);

    for (int i = 0; i < 100; i++) {
        assert_int_equal(rn_chan_try_recv(to, &number), 0);
        assert_int_equal(number, i);
    }
    assert_int_equal(rn_chan_try_recv(to, &number), -EAGAIN); // open: the caller closes it
    rn_chan_free(from);
    rn_chan_free(to);
}

static void a_sink_channel_that_was_closed_is_an_error(void **state)
{
    rn_chan *to = new_chan(1);
    (void)state;
    rn_chan_close(to);

    rn_pipeline *pipeline = new_pipeline();
    rn_pipeline_source(pipeline, "source", sizeof(int), count_on, NULL);
    rn_pipeline_sink_chan(pipeline, "to", to, NULL);
    assert_int_equal(rn_pipeline_run(NULL, pipeline), -EPIPE);

    assert_string_equal(rn_pipeline_failed_stage(pipeline), "to");
    rn_pipeline_free(pipeline);
    rn_chan_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_of_primes_come_in_order),
        cmocka_unit_test(a_source_of_nothing_ends_it),
        cmocka_unit_test(order_is_kept_whatever_the_width),
        cmocka_unit_test(without_order_every_element_comes_once),
        cmocka_unit_test(width_is_how_many_are_in_work_at_once),
        cmocka_unit_test(a_slow_element_holds_back_the_window_and_no_more),
        cmocka_unit_test(buffers_are_bounded),
        cmocka_unit_test(progress_counts_what_went_in_and_out),
        cmocka_unit_test(threads_have_the_names_of_stages_and_the_sink_is_the_callers),
        cmocka_unit_test(elements_may_be_large_or_empty),
        cmocka_unit_test(channels_at_both_ends),
        cmocka_unit_test(a_sink_channel_that_was_closed_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
