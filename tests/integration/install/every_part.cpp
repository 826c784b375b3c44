// A C++17 program outside the tree that uses each part of librunnel as C++ would: with lambdas
// where a function is wanted, and smart pointers that give back what was made.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <poll.h>

#include <runnel/chan.h>
#include <runnel/clock.h>
#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/fan.h>
#include <runnel/group.h>
#include <runnel/limiter.h>
#include <runnel/pipeline.h>
#include <runnel/pool.h>
#include <runnel/runnel.h>
#include <runnel/semaphore.h>
#include <runnel/service.h>
#include <runnel/sync.h>
#include <runnel/ticker.h>
#include <runnel/waitgroup.h>

namespace
{

void expect(bool holds, const char *text, int line)
{
    if (!holds) {
        std::fprintf(stderr, "line %d: %s\n", line, text);
        std::exit(1);
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

template <auto free_fn> struct freed_by {
    template <typename T> void operator()(T *object) const
    {
        free_fn(object);
    }
};
template <typename T, auto free_fn> using owned = std::unique_ptr<T, freed_by<free_fn>>;

// Makes an object by a function whose last parameter is where it goes.
template <typename T, auto free_fn, typename Make> owned<T, free_fn> make(Make made_by)
{
    T *object = nullptr;
    EXPECT(made_by(&object) == 0);
    return owned<T, free_fn>(object);
}

using context = owned<rn_context, rn_context_unref>;
using channel = owned<rn_chan, rn_chan_free>;

context new_context(rn_context *parent = nullptr)
{
    return make<rn_context, rn_context_unref>(
        [=](rn_context **ret) { return rn_context_with_cancel(parent, ret); });
}

channel new_channel(std::size_t elem_size, std::size_t capacity)
{
    return make<rn_chan, rn_chan_free>(
        [=](rn_chan **ret) { return rn_chan_new(elem_size, capacity, ret); });
}

RN_CHAN_DEFINE(numbers, int);
using number_channel = owned<numbers, numbers_free>;

number_channel new_numbers(std::size_t capacity)
{
    return make<numbers, numbers_free>([=](numbers **ret) { return numbers_new(capacity, ret); });
}

void contexts()
{
    static const char key = 0;
    int value = 7;
    bool after = false;
    auto parent = new_context();
    auto timed = make<rn_context, rn_context_unref>(
        [&](rn_context **ret) { return rn_context_with_timeout(parent.get(), RN_HOUR, ret); });
    auto valued = make<rn_context, rn_context_unref>([&](rn_context **ret) {
        return rn_context_with_value(timed.get(), &key, &value, nullptr, ret);
    });
    rn_after_func *after_func = nullptr;
    EXPECT(rn_context_after_func(
               valued.get(), [](void *arg) { *static_cast<bool *>(arg) = true; }, &after,
               &after_func) == 0);
    pollfd readable = {rn_context_fd(valued.get()), POLLIN, 0};

    EXPECT(rn_context_deadline(valued.get()) != RN_NEVER);
    rn_context_cancel(parent.get(), 42);

    EXPECT(rn_context_err(valued.get()) == -ECANCELED && rn_context_cause(valued.get()) == 42);
    EXPECT(rn_context_value(valued.get(), &key) == &value);
    EXPECT(poll(&readable, 1, 0) == 1 && after && !rn_after_func_stop(after_func));
    EXPECT(rn_sleep(valued.get(), RN_HOUR) == -ECANCELED);
}

void signals()
{
    int signal = SIGUSR1;
    auto ctx = make<rn_context, rn_context_unref>(
        [&](rn_context **ret) { return rn_context_with_signals(nullptr, &signal, 1, ret); });

    EXPECT(std::raise(SIGUSR1) == 0);

    EXPECT(rn_sleep(ctx.get(), RN_HOUR) == -ECANCELED && rn_context_cause(ctx.get()) == SIGUSR1);
    rn_context_stop_signals(ctx.get());
}

void channels()
{
    auto chan = new_numbers(1);
    auto other = new_numbers(0);
    int number = 0;

    EXPECT(numbers_send(nullptr, chan.get(), 5) == 0);
    EXPECT(numbers_try_send(chan.get(), 6) == -EAGAIN && numbers_len(chan.get()) == 1);
    rn_case cases[] = {numbers_case_recv(other.get(), &number),
                       numbers_case_recv(chan.get(), &number)};
    EXPECT(rn_select(nullptr, cases, 2) == 1 && cases[1].result == 0 && number == 5);
    EXPECT(rn_try_select(cases, 2) == -EAGAIN);
    numbers_close(chan.get());
    EXPECT(numbers_recv(nullptr, chan.get(), &number) == -EPIPE);
}

void groups()
{
    auto group =
        make<rn_group, rn_group_free>([](rn_group **ret) { return rn_group_new(nullptr, ret); });

    EXPECT(rn_group_go(
               group.get(), "fails", [](rn_context *, void *) { return -ENOENT; }, nullptr) == 0);
    EXPECT(rn_group_go(
               group.get(), "waits", [](rn_context *ctx, void *) { return rn_sleep(ctx, RN_HOUR); },
               nullptr) == 0);

    EXPECT(rn_group_wait(group.get()) == -ENOENT);
}

void locks()
{
    static rn_mutex mutex = RN_MUTEX_INIT(0);
    static rn_cond cond = RN_COND_INIT;
    static struct rn_once once = RN_ONCE_INIT;
    static int calls = 0;
    rn_waitgroup left;

    rn_mutex_lock(&mutex);
    EXPECT(rn_cond_wait(nullptr, &cond, &mutex, rn_now()) == -ETIMEDOUT);
    EXPECT(!rn_cond_signal(&cond));
    rn_mutex_unlock(&mutex);

    rn_once(&once, [] { calls++; });
    rn_once(&once, [] { calls++; });
    EXPECT(calls == 1);

    rn_waitgroup_init(&left);
    rn_waitgroup_add(&left, 1);
    rn_waitgroup_done(&left);
    EXPECT(rn_waitgroup_wait(nullptr, &left) == 0);
    rn_waitgroup_fini(&left);
}

void bounds()
{
    auto semaphore = make<rn_semaphore, rn_semaphore_free>(
        [](rn_semaphore **ret) { return rn_semaphore_new(3, ret); });
    auto limiter = make<rn_limiter, rn_limiter_free>(
        [](rn_limiter **ret) { return rn_limiter_new(rn_rate_every(RN_HOUR), 1, ret); });

    EXPECT(rn_semaphore_acquire(nullptr, semaphore.get(), 2) == 0);
    EXPECT(rn_semaphore_try_acquire(semaphore.get(), 2) == -EAGAIN);
    rn_semaphore_release(semaphore.get(), 2);

    EXPECT(rn_limiter_allow(limiter.get()) && !rn_limiter_allow(limiter.get()));
    rn_limiter_set_limit(limiter.get(), RN_RATE_INFINITE);
    EXPECT(rn_limiter_wait(nullptr, limiter.get()) == 0);
}

void timers()
{
    auto fired = new_channel(0, 1);
    auto timer = make<rn_timer, rn_timer_free>([&](rn_timer **ret) {
        return rn_timer_new(
            [](void *arg) { EXPECT(rn_chan_try_send(static_cast<rn_chan *>(arg), nullptr) == 0); },
            fired.get(), ret);
    });
    auto ticker = make<rn_ticker, rn_ticker_free>(
        [](rn_ticker **ret) { return rn_ticker_new(RN_MILLISECOND, ret); });
    rn_time tick = 0;

    EXPECT(!rn_timer_start(timer.get(), rn_now()));
    EXPECT(rn_chan_recv(nullptr, fired.get(), nullptr) == 0);
    EXPECT(rn_chan_recv(nullptr, rn_ticker_chan(ticker.get()), &tick) == 0 && tick <= rn_now());
}

void pipelines()
{
    auto pipeline = make<rn_pipeline, rn_pipeline_free>(rn_pipeline_new);
    rn_stage_options wide = {};
    std::vector<int> squares;

    wide.width = 2;
    rn_pipeline_source(
        pipeline.get(), "count", sizeof(int),
        [](rn_context *, void *, rn_emitter *emitter) {
            int r = 0;
            for (int i = 1; i <= 5 && r == 0; i++)
                r = rn_emit(emitter, &i);
            return r;
        },
        nullptr);
    rn_pipeline_filter(
        pipeline.get(), "odd",
        [](rn_context *, void *, const void *in, bool *ret_keep) {
            *ret_keep = *static_cast<const int *>(in) % 2 != 0;
            return 0;
        },
        nullptr, nullptr);
    rn_pipeline_map(
        pipeline.get(), "square", sizeof(int),
        [](rn_context *, void *, const void *in, void *out) {
            int number = *static_cast<const int *>(in);
            *static_cast<int *>(out) = number * number;
            return 0;
        },
        nullptr, &wide);
    rn_pipeline_sink(
        pipeline.get(), "collect",
        [](rn_context *, void *arg, const void *in) {
            static_cast<std::vector<int> *>(arg)->push_back(*static_cast<const int *>(in));
            return 0;
        },
        &squares, nullptr);

    EXPECT(rn_pipeline_run(nullptr, pipeline.get()) == 0);
    EXPECT(squares == std::vector<int>({1, 9, 25}));
}

void fans()
{
    auto first = new_numbers(2);
    auto second = new_numbers(2);
    auto merged = new_numbers(4);
    rn_chan *inputs[] = {numbers_chan(first.get()), numbers_chan(second.get())};
    rn_fan_options options = {};
    rn_fan_counts counts;
    int sum = 0;

    EXPECT(numbers_send(nullptr, first.get(), 1) == 0 &&
           numbers_send(nullptr, second.get(), 2) == 0);
    numbers_close(first.get());
    numbers_close(second.get());
    EXPECT(rn_merge(nullptr, inputs, 2, numbers_chan(merged.get())) == 0);
    numbers_close(merged.get());

    options.in_size = sizeof(int);
    options.out_size = sizeof(int);
    options.inputs = numbers_chan(merged.get());
    options.processors = 2;
    options.process_fn = [](rn_context *, void *, unsigned, const void *in, void *out) {
        *static_cast<int *>(out) = 10 * *static_cast<const int *>(in);
        return 0;
    };
    options.result_fn = [](rn_context *, void *arg, const rn_fan_result *result) {
        *static_cast<int *>(arg) += *static_cast<const int *>(result->value);
        return 0;
    };
    options.arg = &sum;
    EXPECT(rn_fan_run(nullptr, &options, &counts) == 0 && counts.processed == 2 && sum == 30);
}

void pools()
{
    rn_pool_options options = {};
    rn_pool_result result;
    int task = 0;

    options.workers = 1;
    options.backlog = 1;
    options.results = 1;
    auto pool = make<rn_pool, rn_pool_free>(
        [&](rn_pool **ret) { return rn_pool_new(nullptr, &options, ret); });
    EXPECT(rn_pool_submit(
               nullptr, pool.get(),
               [](rn_context *, void *arg) { return ++*static_cast<int *>(arg); }, &task) == 0);
    EXPECT(rn_chan_recv(nullptr, rn_pool_results(pool.get()), &result) == 0);
    EXPECT(result.arg == &task && result.error == 1 && task == 1);
    EXPECT(rn_pool_shutdown(pool.get(), RN_SECOND) == 0);
}

void services()
{
    rn_service_options options = {};
    rn_service_result result;
    int task = 0;

    options.workers = 1;
    options.backlog = 1;
    options.results = 1;
    options.run_fn = [](rn_context *, void *, unsigned worker, void *arg) {
        *static_cast<int *>(arg) = static_cast<int>(worker);
        return 0;
    };
    auto service = make<rn_service, rn_service_free>(
        [&](rn_service **ret) { return rn_service_new(nullptr, &options, ret); });
    EXPECT(rn_service_start(service.get()) == 0);
    EXPECT(rn_service_submit(nullptr, service.get(), &task) == 0);
    EXPECT(rn_chan_recv(nullptr, rn_service_results(service.get()), &result) == 0);
    EXPECT(result.outcome == RN_TASK_DONE && task == 1);
    EXPECT(rn_service_shutdown(service.get(), RN_SECOND) == 0);
}

} // namespace

int main()
{
    int *taken = new int(1);
    std::unique_ptr<int> owner(RN_TAKE(taken));

    EXPECT(taken == nullptr && std::strcmp(rn_strerror(-EPIPE), rn_strerror(0)) != 0);
    contexts();
    signals();
    channels();
    groups();
    locks();
    bounds();
    timers();
    pipelines();
    fans();
    pools();
    services();
    std::puts(rn_version());
    return std::strcmp(rn_version(), RN_VERSION) == 0 ? 0 : 1;
}
