/* Fans: one result for each input, whatever happens. The merging of channels: test_fan_merge.c. */
#include <runnel/fan.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/group.h>

#include "chance.h"
#include "chans.h"
#include "crash.h"
#include "fault.h"
#include "stages.h"
#include "unit.h"

enum {
    INPUTS_MAX = 1000,
    PROCESSORS_MAX = 8,
};

/* A fan of numbers, and what its functions have seen. */
struct bench {
    // What the source does:
    int limit;        // emits 0, 1, … below it
    int source_error; // and then fails with it
    // What the processors do:
    int fails_every; // the multiples of it, but for 0; 0: none
    int waits_from;  // numbers from here on wait for the end of the context; 0: none
    bool dawdles;
    _Atomic int waiting;
    _Atomic int cut; // waits that were ended
    _Atomic unsigned busy[PROCESSORS_MAX + 1];
    _Atomic unsigned faults; // two at once with one number, or a number out of range
    // What result_fn does:
    int stops_at; // ends the fan with -EMSGSIZE at the result of this number; 0: never
    // Of result_fn alone:
    pthread_t thread;
    unsigned strangers; // calls on another thread
    uint64_t results;
    uint64_t wrong; // that contradict themselves
    uint64_t next_index;
    uint64_t out_of_order;
    uint64_t processed;
    uint64_t failed;
    int seen[INPUTS_MAX]; // results of each index
    int last_error;       // of an input that was not processed
};

static int emit_numbers(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    struct bench *bench = arg;
    int r = count_up(ctx, &bench->limit, emitter);

    return r == 0 ? bench->source_error : r;
}

static void use_processor(struct bench *bench, unsigned processor, bool begins)
{
    if (processor == 0 || processor > PROCESSORS_MAX ||
        atomic_exchange(&bench->busy[processor], begins ? 1 : 0) != (begins ? 0U : 1U))
        atomic_fetch_add(&bench->faults, 1);
}

static bool fails(const struct bench *bench, int number)
{
    return bench->fails_every != 0 && number != 0 && number % bench->fails_every == 0;
}

static int twice(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out)
{
    struct bench *bench = arg;
    int number = *(const int *)in;
    int r = fails(bench, number) ? -EIO : 0;

    use_processor(bench, processor, true);
    if (bench->dawdles)
        dawdle(number);
    if (bench->waits_from != 0 && number >= bench->waits_from) {
        atomic_fetch_add(&bench->waiting, 1);
        r = rn_sleep(ctx, RN_MINUTE) < 0 ? -EXDEV : 0;
        atomic_fetch_add(&bench->cut, 1);
    }
    *(int *)out = 2 * number;
    use_processor(bench, processor, false);
    return r;
}

/* Whether a result is one that can be. */
static bool fits(const struct bench *bench, const struct rn_fan_result *result)
{
    int number = *(const int *)result->input;

    if (result->processor > PROCESSORS_MAX || (uint64_t)number != result->index)
        return false;
    if (result->processor == 0)
        return result->error != 0 && result->value == NULL;
    if (result->error != 0)
        return result->value == NULL && result->error == -EIO && fails(bench, number);
    return *(const int *)result->value == 2 * number && !fails(bench, number);
}

static int note_result(rn_context *ctx, void *arg, const struct rn_fan_result *result)
{
    struct bench *bench = arg;

    (void)ctx;
    if (!pthread_equal(pthread_self(), bench->thread))
        bench->strangers++;
    bench->results++;
    if (!fits(bench, result))
        bench->wrong++;
    if (result->index != bench->next_index++)
        bench->out_of_order++;
    if (result->index < INPUTS_MAX)
        bench->seen[result->index]++;
    if (result->processor == 0)
        bench->last_error = result->error;
    else if (result->error == 0)
        bench->processed++;
    else
        bench->failed++;
    return bench->stops_at != 0 && *(const int *)result->input == bench->stops_at ? -EMSGSIZE : 0;
}

static struct rn_fan_options options_of(struct bench *bench, unsigned processors)
{
    bench->thread = pthread_self();
    return (struct rn_fan_options){
        .in_size = sizeof(int),
        .out_size = sizeof(int),
        .source_fn = emit_numbers,
        .processors = processors,
        .process_fn = twice,
        .result_fn = note_result,
        .arg = bench,
    };
}

/* What holds of every fan: each input that was taken in has come out once, and the counts agree. */
static void assert_nothing_lost(const struct bench *bench, const struct rn_fan_counts *counts,
                                uint64_t expected)
{
    uint64_t sum = counts->processed + counts->failed + counts->not_processed;

    assert_int_equal(atomic_load(&bench->faults), 0);
    assert_int_equal(bench->strangers, 0);
    assert_int_equal(bench->wrong, 0);
    assert_int_equal(counts->processed, bench->processed);
    assert_int_equal(counts->failed, bench->failed);
    if (expected == 0)
        assert_int_equal(sum, bench->results);
    else
        assert_int_equal(sum, expected);
    for (uint64_t i = 0; i < INPUTS_MAX; i++)
        assert_int_equal(bench->seen[i], i < bench->results ? 1 : 0);
}

static void every_input_has_a_value_or_an_error(void **state)
{
    struct bench bench = {.limit = 100, .fails_every = 10, .dawdles = true};
    struct rn_fan_options options = options_of(&bench, 3);
    struct rn_fan_counts counts = {0};
    (void)state;

    assert_int_equal(rn_fan_run(NULL, &options, &counts), 0);

    assert_int_equal(counts.processed, 91);
    assert_int_equal(counts.failed, 9);
    assert_int_equal(counts.not_processed, 0);
    assert_nothing_lost(&bench, &counts, 100);
}

static void results_come_in_the_order_of_the_inputs_if_wanted(void **state)
{
    (void)state;
    for (unsigned processors = 0; processors <= 5; processors++) {
        struct bench bench = {.limit = 500, .fails_every = 7, .dawdles = true};
        struct rn_fan_options options = options_of(&bench, processors);
        struct rn_fan_counts counts = {0};
        options.ordered = true;

        assert_int_equal(rn_fan_run(NULL, &options, &counts), 0);

        assert_int_equal(bench.out_of_order, 0);
        assert_int_equal(bench.results, 500);
        assert_nothing_lost(&bench, &counts, 500);
    }
}

/* Number 0 waits until another number is through. */
static int wait_for_another(rn_context *ctx, void *arg, unsigned processor, const void *in,
                            void *out)
{
    struct bench *bench = arg;

    while (*(const int *)in == 0 && atomic_load(&bench->waiting) == 0 && rn_context_err(ctx) == 0)
        (void)sched_yield();
    return twice(ctx, arg, processor, in, out);
}

static int let_number_0_go(rn_context *ctx, void *arg, const struct rn_fan_result *result)
{
    struct bench *bench = arg;

    if (result->index > 50)
        atomic_store(&bench->waiting, 1);
    return note_result(ctx, arg, result);
}

static void results_come_as_they_are_there(void **state)
{
    struct bench bench = {.limit = 100};
    struct rn_fan_options options = options_of(&bench, 2);
    rn_context *ctx = NULL;
    (void)state;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MINUTE, &ctx), 0);
    options.process_fn = wait_for_another;
    options.result_fn = let_number_0_go;

    assert_int_equal(rn_fan_run(ctx, &options, NULL), 0);

    assert_int_equal(bench.results, 100);
    assert_true(bench.out_of_order > 50);
    rn_context_unref(ctx);
}

static int wait_for_three(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out)
{
    struct bench *bench = arg;

    atomic_fetch_add(&bench->waiting, 1);
    while (atomic_load(&bench->waiting) < 3 && rn_context_err(ctx) == 0)
        (void)sched_yield();
    return twice(ctx, arg, processor, in, out);
}

static void the_processors_work_at_once_each_with_its_number(void **state)
{
    struct bench bench = {.limit = 3};
    struct rn_fan_options options = options_of(&bench, 3);
    rn_context *ctx = NULL;
    (void)state;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MINUTE, &ctx), 0);
    options.process_fn = wait_for_three;

    assert_int_equal(rn_fan_run(ctx, &options, NULL), 0);

    assert_int_equal(bench.processed, 3);
    assert_int_equal(atomic_load(&bench.faults), 0);
    rn_context_unref(ctx);
}

static void inputs_come_from_a_channel_until_it_is_closed(void **state)
{
    struct bench bench = {.fails_every = 3};
    struct rn_fan_options options = options_of(&bench, 2);
    struct rn_fan_counts counts = {0};
    (void)state;
    options.source_fn = NULL;
    options.inputs = chan_of_numbers(100, 100);
    rn_chan_close(options.inputs);

    assert_int_equal(rn_fan_run(NULL, &options, &counts), 0);

    assert_int_equal(counts.processed, 67);
    assert_int_equal(counts.failed, 33);
    assert_nothing_lost(&bench, &counts, 100);
    rn_chan_free(options.inputs);
}

static int nothing(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out)
{
    (void)ctx;
    (void)arg;
    (void)processor;
    (void)in;
    (void)out;
    return 0;
}

static void inputs_and_values_may_be_empty(void **state)
{
    int limit = 50;
    const struct rn_fan_options options = {
        .source_fn = count_up, .processors = 2, .process_fn = nothing, .arg = &limit};
    struct rn_fan_counts counts = {0};
    (void)state;

    assert_int_equal(rn_fan_run(NULL, &options, &counts), 0);

    assert_int_equal(counts.processed, 50);
}

// ---- The end before the end

static void result_fn_ends_it_early(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct bench bench = {.limit = 1000, .fails_every = 10, .stops_at = 30, .dawdles = true};
        struct rn_fan_options options = options_of(&bench, 3);
        struct rn_fan_counts counts = {0};
        options.ordered = ordered == 1;
        options.expected = 1000;

        assert_int_equal(rn_fan_run(NULL, &options, &counts), -EMSGSIZE);

        assert_true(counts.not_processed > 0);
        assert_in_range(counts.failed, 3, 100);
        assert_nothing_lost(&bench, &counts, 1000);
        if (bench.last_error != 0)
            assert_int_equal(bench.last_error, -ECANCELED);
        if (ordered == 1)
            assert_int_equal(bench.out_of_order, 0);
    }
}

static void what_was_begun_or_not_when_the_time_is_over_is_counted(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct bench bench = {.limit = 1000, .fails_every = 10, .waits_from = 40};
        struct rn_fan_options options = options_of(&bench, 3);
        struct rn_fan_counts counts = {0};
        rn_context *ctx = NULL;
        assert_int_equal(rn_context_with_timeout(NULL, 30 * RN_MILLISECOND, &ctx), 0);
        options.ordered = ordered == 1;
        options.expected = 1000;

        assert_int_equal(rn_fan_run(ctx, &options, &counts), -ETIMEDOUT);

        assert_nothing_lost(&bench, &counts, 1000);
        assert_int_equal(atomic_load(&bench.cut), atomic_load(&bench.waiting));
        // Only a machine that stands still gets less done in that time.
        if (atomic_load(&bench.waiting) == 3) {
            assert_int_equal(counts.processed, 37);
            assert_int_equal(counts.failed, 3);
        }
        rn_context_unref(ctx);
    }
}

static void what_waits_in_the_channel_is_not_processed(void **state)
{
    (void)state;
    for (int has_ended = 0; has_ended < 2; has_ended++) {
        struct bench bench = {.waits_from = 1};
        struct rn_fan_options options = options_of(&bench, 2);
        struct rn_fan_counts counts = {0};
        rn_context *ctx = NULL;
        assert_int_equal(rn_context_with_timeout(NULL, 20 * RN_MILLISECOND, &ctx), 0);
        if (has_ended == 1)
            rn_context_cancel(ctx, 5);
        options.source_fn = NULL;
        options.inputs = chan_of_numbers(200, 180);

        int r = rn_fan_run(ctx, &options, &counts);

        assert_int_equal(r, has_ended == 1 ? -ECANCELED : -ETIMEDOUT);
        assert_int_equal(bench.results, 180);
        assert_int_equal(rn_chan_len(options.inputs), 0);
        assert_int_equal(counts.processed, atomic_load(&bench.waiting) > 0 ? 1 : bench.processed);
        if (has_ended == 1)
            assert_int_equal(counts.not_processed, 180);
        assert_nothing_lost(&bench, &counts, 180);
        rn_chan_free(options.inputs);
        rn_context_unref(ctx);
    }
}

static void an_error_of_the_source_comes_out(void **state)
{
    struct bench bench = {.limit = 20, .source_error = -ENOSPC};
    struct rn_fan_options options = options_of(&bench, 2);
    struct rn_fan_counts counts = {0};
    (void)state;

    assert_int_equal(rn_fan_run(NULL, &options, &counts), -ENOSPC);

    assert_int_equal(bench.results, 20);
    assert_nothing_lost(&bench, &counts, 0);
}

static void every_fault_leaves_the_inputs_where_they_are(void **state)
{
    void (*const faults[])(int nth) = {fault_fail_malloc, fault_fail_pthread_create};
    static const int errors[] = {-ENOMEM, -EAGAIN};
    (void)state;

    for (int kind = 0; kind < 2; kind++) {
        for (int nth = 1;; nth++) {
            struct bench bench = {.dawdles = true};
            struct rn_fan_options options = options_of(&bench, 2);
            struct rn_fan_counts counts = {0};
            options.ordered = true;
            options.source_fn = NULL;
            options.inputs = chan_of_numbers(10, 10);
            options.expected = 10;
            rn_chan_close(options.inputs);

            faults[kind](nth);
            int r = rn_fan_run(NULL, &options, &counts);
            bool reached = fault_reached();
            size_t left = rn_chan_len(options.inputs);
            rn_chan_free(options.inputs);
            assert_nothing_lost(&bench, &counts, 10);
            if (!reached) {
                assert_int_equal(r, 0);
                assert_int_equal(left, 0);
                break;
            }
            assert_int_equal(r, errors[kind]);
            assert_int_equal(left, 10);
            assert_int_equal(counts.not_processed, 10);
        }
    }

    struct bench bench = {.limit = 1};
    struct rn_fan_options options = options_of(&bench, 1);
    options.in_size = SIZE_MAX - 4;
    assert_int_equal(rn_fan_run(NULL, &options, NULL), -ENOMEM);
    options.in_size = SIZE_MAX / 2;
    options.out_size = SIZE_MAX / 2;
    assert_int_equal(rn_fan_run(NULL, &options, NULL), -ENOMEM);
}

static void random_fans_lose_nothing(void **state)
{
    int rounds = getenv("RUNNEL_VALGRIND") != NULL ? 15 : 100;
    unsigned seed = 815;
    (void)state;

    for (int round = 0; round < rounds; round++) {
        struct bench bench = {
            .limit = (int)random_below(&seed, 300),
            .fails_every = (int)random_below(&seed, 20),
            .stops_at = random_below(&seed, 3) == 0 ? (int)random_below(&seed, 300) : 0,
            .source_error = random_below(&seed, 4) == 0 ? -ENOSPC : 0,
            .dawdles = true,
        };
        struct some_time some_time = {.yields = random_below(&seed, 2000)};
        bool cancels = random_below(&seed, 3) == 0;
        struct rn_fan_options options = options_of(&bench, random_below(&seed, PROCESSORS_MAX + 1));
        struct rn_fan_counts counts = {0};
        options.ordered = random_below(&seed, 2) == 0;
        if (random_below(&seed, 2) == 0) {
            options.source_fn = NULL;
            options.inputs = chan_of_numbers(300, bench.limit);
            rn_chan_close(options.inputs);
        }
        rn_context *ctx = NULL;
        rn_group *group = NULL;
        assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        some_time.ctx = ctx;
        if (cancels)
            assert_int_equal(rn_group_go(group, "cancel", cancel_at_some_time, &some_time), 0);

        int r = rn_fan_run(ctx, &options, &counts);

        assert_nothing_lost(&bench, &counts, 0);
        if (r == 0 || options.inputs != NULL)
            assert_int_equal(bench.results, bench.limit);
        if (r == 0)
            assert_int_equal(counts.not_processed, 0);
        if (options.ordered)
            assert_int_equal(bench.out_of_order, 0);
        assert_true(r == 0 || r == -EMSGSIZE || r == -ENOSPC || (cancels && r == -ECANCELED));
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
        rn_context_unref(ctx);
        rn_chan_free(options.inputs);
    }
}

static void run_without_a_source(void *arg)
{
    struct rn_fan_options options = options_of(arg, 1);
    options.source_fn = NULL;
    (void)!rn_fan_run(NULL, &options, NULL);
}

static void run_without_a_function(void *arg)
{
    struct rn_fan_options options = options_of(arg, 1);
    options.process_fn = NULL;
    (void)!rn_fan_run(NULL, &options, NULL);
}

static void misuse_aborts(void **state)
{
    struct bench bench = {.limit = 1};
    (void)state;
    assert_true(aborts_with("source_fn", run_without_a_source, &bench));
    assert_true(aborts_with("process_fn", run_without_a_function, &bench));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_has_a_value_or_an_error),
        cmocka_unit_test(results_come_in_the_order_of_the_inputs_if_wanted),
        cmocka_unit_test(results_come_as_they_are_there),
        cmocka_unit_test(the_processors_work_at_once_each_with_its_number),
        cmocka_unit_test(inputs_come_from_a_channel_until_it_is_closed),
        cmocka_unit_test(inputs_and_values_may_be_empty),
        cmocka_unit_test(result_fn_ends_it_early),
        cmocka_unit_test(what_was_begun_or_not_when_the_time_is_over_is_counted),
        cmocka_unit_test(what_waits_in_the_channel_is_not_processed),
        cmocka_unit_test(an_error_of_the_source_comes_out),
        cmocka_unit_test(every_fault_leaves_the_inputs_where_they_are),
        cmocka_unit_test(random_fans_lose_nothing),
        cmocka_unit_test(misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
