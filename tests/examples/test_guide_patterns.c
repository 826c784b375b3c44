/*
 * The guide's code about threads and the patterns. What stands in
 * lib/README.md stands here between [guide: NAME] and [end], and is run;
 * that both are the same is what test_guide_text.sh looks at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <runnel/runnel.h>

enum { PAGES = 20 };

struct page {
    int number;
    bool bad;
    _Atomic bool fetched;
};

static int fetch(rn_context *ctx, void *arg)
{
    struct page *page = arg;
    int r = rn_sleep(ctx, RN_MILLISECOND);

    if (r == 0 && page->bad)
        r = -ENOENT;
    if (r == 0)
        page->fetched = true;
    return r;
}

static size_t fetched(const struct page *pages)
{
    size_t count = 0;

    for (size_t i = 0; i < PAGES; i++)
        count += pages[i].fetched ? 1 : 0;
    return count;
}

// ---- Threads

// [guide: group]
static int fetch_all(rn_context *ctx, struct page *pages, size_t count)
{
    rn_group *group;
    int r = rn_group_new(ctx, &group);

    if (r < 0)
        return r;
    rn_group_set_limit(group, 4);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = rn_group_go(group, "fetch", fetch, &pages[i]);
    int first = rn_group_wait(group);
    rn_group_free(group);
    return r < 0 ? r : first;
}
// [end]

static void a_group_fetches_all_or_ends_at_the_first_error(void **state)
{
    struct page pages[PAGES] = {0};

    (void)state;
    assert_int_equal(fetch_all(NULL, pages, PAGES), 0);
    assert_int_equal(fetched(pages), PAGES);

    pages[3].bad = true;
    assert_int_equal(fetch_all(NULL, pages, PAGES), -ENOENT);
}

struct item {
    rn_waitgroup *wg;
    _Atomic int done;
};

// [guide: waitgroup]
static int work(rn_context *ctx, void *arg)
{
    struct item *item = arg;

    item->done = rn_context_err(ctx) == 0;
    rn_waitgroup_done(item->wg);
    return 0;
}

static int work_on_both(rn_context *ctx, rn_pool *pool,
                        struct item items[2])
{
    rn_waitgroup wg;
    int r = 0;

    rn_waitgroup_init(&wg);
    for (int i = 0; r == 0 && i < 2; i++) {
        items[i].wg = &wg;
        rn_waitgroup_add(&wg, 1);
        r = rn_pool_submit(ctx, pool, work, &items[i]);
        if (r < 0)
            rn_waitgroup_done(&wg);
    }
    // Without a context: wg is needed until all have done with it.
    int waited = rn_waitgroup_wait(NULL, &wg);
    rn_waitgroup_fini(&wg);
    return r < 0 ? r : waited;
}
// [end]

static void a_wait_group_waits_for_what_a_pool_does(void **state)
{
    const struct rn_pool_options options = {.workers = 2, .backlog = 2};
    struct item items[2] = {0};
    rn_pool *pool;

    (void)state;
    assert_int_equal(rn_pool_new(NULL, &options, &pool), 0);

    assert_int_equal(work_on_both(NULL, pool, items), 0);
    assert_true(items[0].done && items[1].done);

    rn_pool_shutdown(pool, 0);
    rn_pool_free(pool);
}

// [guide: limiter]
static int fetch_slowly(rn_context *ctx, struct page *pages, size_t count)
{
    rn_limiter *limiter;
    int r = rn_limiter_new(rn_rate_every(5 * RN_MILLISECOND), 3, &limiter);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = rn_limiter_wait(ctx, limiter);
        if (r == 0)
            r = fetch(ctx, &pages[i]);
    }
    rn_limiter_free(limiter);
    return r;
}
// [end]

static void a_limiter_lets_a_burst_through_and_then_a_rate(void **state)
{
    struct page pages[PAGES] = {0};
    rn_context *ctx;
    rn_time begin = rn_now();

    (void)state;
    assert_int_equal(fetch_slowly(NULL, pages, 9), 0);
    assert_int_equal(fetched(pages), 9);
    assert_true(rn_now() - begin >= 6 * 5 * RN_MILLISECOND);

    // The fourth token can't come before the deadline.
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx),
                     0);
    assert_int_equal(fetch_slowly(ctx, pages, 9), -ETIMEDOUT);
    rn_context_unref(ctx);
}

// ---- The patterns

// [guide: pool]
static int fetch_in_pool(rn_context *ctx, struct page *pages, size_t count,
                         size_t *ret_failed)
{
    const struct rn_pool_options options = {
        .workers = 3,
        .backlog = count,
        .results = count, // each has a place: nobody need read yet
    };
    struct rn_pool_result result;
    rn_pool *pool;
    int r = rn_pool_new(ctx, &options, &pool);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = rn_pool_submit(ctx, pool, fetch, &pages[i]);
    rn_pool_close(pool);

    size_t failed = 0;
    while (rn_chan_recv(NULL, rn_pool_results(pool), &result) == 0)
        if (result.outcome != RN_TASK_DONE)
            failed++;
    rn_pool_shutdown(pool, 0);
    rn_pool_free(pool);
    *ret_failed = failed;
    return r;
}
// [end]

static void a_pool_has_a_result_for_each_task(void **state)
{
    struct page pages[PAGES] = {[3] = {.bad = true}, [7] = {.bad = true}};
    size_t failed;

    (void)state;
    assert_int_equal(fetch_in_pool(NULL, pages, PAGES, &failed), 0);
    assert_int_equal(failed, 2);
    assert_int_equal(fetched(pages), PAGES - 2);
}

// [guide: service]
static int fetch_page(rn_context *ctx, void *arg, unsigned worker,
                      void *task)
{
    (void)arg, (void)worker;
    return fetch(ctx, task);
}

static void count_outcome(void *arg, const struct rn_service_result *result)
{
    unsigned *counts = arg;

    counts[result->outcome]++; // done, failed, cancelled, never started
}

static int serve(rn_context *ctx, struct page *pages, size_t count,
                 unsigned counts[4])
{
    const struct rn_service_options options = {
        .workers = 3,
        .backlog = 10,
        .results = 20,
        .run_fn = fetch_page,
        .result_fn = count_outcome,
        .arg = counts,
    };
    rn_service *service;
    int r = rn_service_new(ctx, &options, &service);

    if (r < 0)
        return r;
    r = rn_service_start(service);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = rn_service_submit(ctx, service, &pages[i]);
    rn_service_shutdown(service, 5 * RN_SECOND); // to drain; 0: cancel
    rn_service_free(service);
    return r;
}
// [end]

static void a_service_drains(void **state)
{
    struct page pages[PAGES] = {[3] = {.bad = true}};
    unsigned counts[4] = {0};

    (void)state;
    assert_int_equal(serve(NULL, pages, PAGES, counts), 0);
    assert_int_equal(counts[RN_TASK_DONE], PAGES - 1);
    assert_int_equal(counts[RN_TASK_FAILED], 1);
}

// [guide: pipeline]
static int count_up(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    const int *limit = arg;
    int r = 0;

    (void)ctx;
    for (int i = 2; r == 0 && i <= *limit; i++)
        r = rn_emit(emitter, &i);
    return r;
}

static int keep_odd(rn_context *ctx, void *arg, const void *in,
                    bool *ret_keep)
{
    (void)ctx, (void)arg;
    *ret_keep = *(const int *)in % 2 != 0;
    return 0;
}

static int square(rn_context *ctx, void *arg, const void *in, void *out)
{
    int number = *(const int *)in;

    (void)ctx, (void)arg;
    *(int *)out = number * number;
    return 0;
}

static int add(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    *(int *)arg += *(const int *)in;
    return 0;
}

static int sum_of_odd_squares(rn_context *ctx, int limit, int *total)
{
    const struct rn_stage_options wide = {.width = 4};
    rn_pipeline *pipeline;
    int r = rn_pipeline_new(&pipeline);

    if (r < 0)
        return r;
    rn_pipeline_source(pipeline, "count", sizeof(int), count_up, &limit);
    rn_pipeline_filter(pipeline, "odd", keep_odd, NULL, NULL);
    rn_pipeline_map(pipeline, "square", sizeof(int), square, NULL, &wide);
    rn_pipeline_sink(pipeline, "add", add, total, NULL);
    r = rn_pipeline_run(ctx, pipeline);
    rn_pipeline_free(pipeline);
    return r;
}
// [end]

static void a_pipeline_puts_stages_together(void **state)
{
    int total = 0;

    (void)state;
    assert_int_equal(sum_of_odd_squares(NULL, 8, &total), 0);
    assert_int_equal(total, 9 + 25 + 49);
}

// [guide: fan]
static int fetch_one(rn_context *ctx, void *arg, unsigned processor,
                     const void *in, void *out)
{
    struct page *page = *(struct page *const *)in;

    (void)arg, (void)processor;
    *(int *)out = page->number;
    return fetch(ctx, page);
}

static int add_up(rn_context *ctx, void *arg,
                  const struct rn_fan_result *result)
{
    (void)ctx;
    if (result->error == 0)
        *(int *)arg += *(const int *)result->value;
    return 0; // goes on; result->error: the first error ends it
}

static int fetch_fanned(rn_context *ctx, rn_chan *pages,
                        struct rn_fan_counts *counts, int *total)
{
    const struct rn_fan_options options = {
        .in_size = sizeof(struct page *),
        .out_size = sizeof(int),
        .inputs = pages, // until it is closed
        .processors = 3,
        .process_fn = fetch_one,
        .result_fn = add_up,
        .arg = total,
    };

    return rn_fan_run(ctx, &options, counts);
}
// [end]

static void a_fan_counts_all(void **state)
{
    struct page pages[PAGES];
    struct rn_fan_counts counts;
    rn_chan *chan;
    int total = 0;

    (void)state;
    assert_int_equal(rn_chan_new(sizeof(struct page *), PAGES, &chan), 0);
    for (int i = 0; i < PAGES; i++) {
        struct page *page = &pages[i];
        pages[i] = (struct page){.number = 1, .bad = i % 10 == 0};
        assert_int_equal(rn_chan_try_send(chan, &page), 0);
    }
    rn_chan_close(chan);

    assert_int_equal(fetch_fanned(NULL, chan, &counts, &total), 0);
    assert_int_equal(counts.processed, PAGES - 2);
    assert_int_equal(counts.failed, 2);
    assert_int_equal(counts.not_processed, 0);
    assert_int_equal(total, PAGES - 2);

    rn_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_fetches_all_or_ends_at_the_first_error),
        cmocka_unit_test(a_wait_group_waits_for_what_a_pool_does),
        cmocka_unit_test(a_limiter_lets_a_burst_through_and_then_a_rate),
        cmocka_unit_test(a_pool_has_a_result_for_each_task),
        cmocka_unit_test(a_service_drains),
        cmocka_unit_test(a_pipeline_puts_stages_together),
        cmocka_unit_test(a_fan_counts_all),
    };

    return cmocka_run_group_tests_name("guide: threads, patterns", tests,
                                       NULL, NULL);
}
