/*
 * The guide's code about channels, contexts and time. What stands in
 * lib/README.md stands here between [guide: NAME] and [end], and is run;
 * that both are the same is what test_guide_text.sh looks at.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <runnel/runnel.h>

// ---- Channels

// [guide: channel]
RN_CHAN_DEFINE(ints, int);

static int send_squares(rn_context *ctx, void *arg)
{
    ints *squares = arg;
    int r = 0;

    for (int i = 1; r == 0 && i <= 3; i++)
        r = ints_send(ctx, squares, i * i);
    ints_close(squares);
    return r;
}

static int sum(rn_context *ctx, ints *numbers, int *ret_sum)
{
    int number;
    int total = 0;
    int r;

    while ((r = ints_recv(ctx, numbers, &number)) == 0)
        total += number;
    if (r != -EPIPE) // the end of ctx, not of the channel
        return r;
    *ret_sum = total;
    return 0;
}
// [end]

static ints *ints_of_capacity(size_t capacity)
{
    ints *made = NULL;

    assert_int_equal(ints_new(capacity, &made), 0);
    return made;
}

static void a_channel_is_ranged_over_until_it_is_closed(void **state)
{
    ints *squares = ints_of_capacity(0);
    rn_group *group;
    rn_context *ended;
    int total;

    (void)state;
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "squares", send_squares, squares),
                     0);
    assert_int_equal(sum(NULL, squares, &total), 0);
    assert_int_equal(total, 14);
    assert_int_equal(rn_group_wait(group), 0);

    assert_int_equal(rn_context_with_cancel(NULL, &ended), 0);
    rn_context_cancel(ended, 0);
    assert_int_equal(sum(ended, squares, &total), -ECANCELED);

    rn_context_unref(ended);
    rn_group_free(group);
    ints_free(squares);
}

// ---- Select

// [guide: select]
static int either(rn_context *ctx, ints *in, ints *out, int *ret_number)
{
    int seven = 7;
    struct rn_case cases[] = {
        ints_case_recv(in, ret_number),
        ints_case_send(out, &seven),
    };
    int chosen = rn_select(ctx, cases, 2);

    if (chosen < 0) // ctx has ended
        return chosen;
    return cases[chosen].result; // 0, or -EPIPE: closed
}
// [end]

static void a_select_does_what_can_be_done(void **state)
{
    ints *in = ints_of_capacity(1);
    ints *out = ints_of_capacity(1);
    rn_context *ctx;
    int number = 0;

    (void)state;
    assert_int_equal(either(NULL, in, out, &number), 0);
    assert_int_equal(ints_len(out), 1);

    assert_int_equal(ints_try_send(in, 5), 0);
    assert_int_equal(either(NULL, in, out, &number), 0);
    assert_int_equal(number, 5);

    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx),
                     0);
    assert_int_equal(either(ctx, in, out, &number), -ETIMEDOUT);

    ints_close(in);
    assert_int_equal(either(NULL, in, out, &number), -EPIPE);

    rn_context_unref(ctx);
    ints_free(in);
    ints_free(out);
}

// [guide: select default]
static bool take_if_there(ints *a, ints *b, int *ret_number)
{
    struct rn_case cases[] = {
        ints_case_recv(a, ret_number),
        ints_case_recv(b, ret_number),
    };
    int chosen = rn_try_select(cases, 2);

    return chosen >= 0 && cases[chosen].result == 0; // -EAGAIN: default
}
// [end]

static void a_select_with_default_does_not_wait(void **state)
{
    ints *a = ints_of_capacity(1);
    ints *b = ints_of_capacity(1);
    int number;

    (void)state;
    assert_false(take_if_there(a, b, &number));
    assert_int_equal(ints_try_send(b, 5), 0);
    assert_true(take_if_there(a, b, &number));
    assert_int_equal(number, 5);

    ints_free(a);
    ints_free(b);
}

// [guide: select timeout]
static int receive_within(rn_context *parent, rn_duration timeout,
                          ints *numbers, int *ret_number)
{
    rn_context *ctx;
    int r = rn_context_with_timeout(parent, timeout, &ctx);

    if (r < 0)
        return r;
    r = ints_recv(ctx, numbers, ret_number); // -ETIMEDOUT
    rn_context_unref(ctx);
    return r;
}
// [end]

static void a_timeout_ends_a_receive(void **state)
{
    ints *numbers = ints_of_capacity(1);
    int number;

    (void)state;
    assert_int_equal(receive_within(NULL, RN_MILLISECOND, numbers, &number),
                     -ETIMEDOUT);
    assert_int_equal(ints_try_send(numbers, 5), 0);
    assert_int_equal(receive_within(NULL, RN_HOUR, numbers, &number), 0);
    assert_int_equal(number, 5);

    ints_free(numbers);
}

// [guide: select nil]
static int sum_of_both(rn_context *ctx, ints *a, ints *b, int *ret_sum)
{
    int number;
    int total = 0;
    struct rn_case cases[] = {
        ints_case_recv(a, &number),
        ints_case_recv(b, &number),
    };

    while (cases[0].chan != NULL || cases[1].chan != NULL) {
        int chosen = rn_select(ctx, cases, 2);
        if (chosen < 0)
            return chosen;
        if (cases[chosen].result == 0)
            total += number;
        else
            cases[chosen].chan = NULL; // closed: never ready again
    }
    *ret_sum = total;
    return 0;
}
// [end]

static void a_case_without_a_channel_is_never_ready(void **state)
{
    ints *a = ints_of_capacity(3);
    ints *b = ints_of_capacity(3);
    int total;

    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(ints_try_send(a, i), 0);
        assert_int_equal(ints_try_send(b, 10 * i), 0);
    }
    ints_close(a);
    ints_close(b);
    assert_int_equal(sum_of_both(NULL, a, b, &total), 0);
    assert_int_equal(total, 66);

    ints_free(a);
    ints_free(b);
}

// [guide: merge]
static int merge(rn_context *ctx, ints *a, ints *b, ints *out)
{
    rn_chan *const both[] = {ints_chan(a), ints_chan(b)};
    int r = rn_merge(ctx, both, 2, ints_chan(out));

    ints_close(out);
    return r;
}
// [end]

static void a_merge_makes_one_of_two(void **state)
{
    ints *a = ints_of_capacity(3);
    ints *b = ints_of_capacity(3);
    ints *out = ints_of_capacity(6);
    int total;

    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(ints_try_send(a, i), 0);
        assert_int_equal(ints_try_send(b, 10 * i), 0);
    }
    ints_close(a);
    ints_close(b);
    assert_int_equal(merge(NULL, a, b, out), 0);
    assert_int_equal(sum(NULL, out, &total), 0);
    assert_int_equal(total, 66);

    ints_free(a);
    ints_free(b);
    ints_free(out);
}

// ---- Contexts

// [guide: cancel]
static int end_of(rn_context *parent, int *ret_err, int *ret_cause)
{
    rn_context *ctx;
    int r = rn_context_with_cancel(parent, &ctx);

    if (r < 0)
        return r;
    rn_context_cancel(ctx, -ENOSPC);
    *ret_err = rn_context_err(ctx);     // -ECANCELED
    *ret_cause = rn_context_cause(ctx); // -ENOSPC
    rn_context_unref(ctx);
    return 0;
}
// [end]

static void a_context_has_a_cause(void **state)
{
    int err;
    int cause;

    (void)state;
    assert_int_equal(end_of(NULL, &err, &cause), 0);
    assert_int_equal(err, -ECANCELED);
    assert_int_equal(cause, -ENOSPC);
}

struct request {
    int number;
};

// [guide: value]
static const char request_key; // its address is the key

static int with_request(rn_context *parent, struct request *request,
                        rn_context **ret_ctx)
{
    return rn_context_with_value(parent, &request_key, request, NULL,
                                 ret_ctx);
}

static const struct request *request_of(rn_context *ctx)
{
    return rn_context_value(ctx, &request_key);
}
// [end]

static void a_value_is_found_below(void **state)
{
    struct request request = {.number = 5};
    rn_context *ctx;
    rn_context *below;

    (void)state;
    assert_int_equal(with_request(NULL, &request, &ctx), 0);
    assert_int_equal(rn_context_with_cancel(ctx, &below), 0);

    assert_int_equal(request_of(below)->number, 5);
    assert_null(request_of(NULL));

    rn_context_unref(below);
    rn_context_unref(ctx);
}

// [guide: signals]
static int run_until_ctrl_c(int (*run)(rn_context *ctx))
{
    static const int signals[] = {SIGINT, SIGTERM};
    rn_context *ctx;
    int r = rn_context_with_signals(NULL, signals, 2, &ctx);

    if (r < 0)
        return r;
    r = run(ctx);
    rn_context_stop_signals(ctx);
    rn_context_unref(ctx);
    return r;
}
// [end]

static int press_ctrl_c_and_sleep(rn_context *ctx)
{
    int r = raise(SIGINT) == 0 ? rn_sleep(ctx, RN_HOUR) : -EIO;

    return r == -ECANCELED ? rn_context_cause(ctx) : r;
}

static void ctrl_c_ends_a_context(void **state)
{
    (void)state;
    assert_int_equal(run_until_ctrl_c(press_ctrl_c_and_sleep), SIGINT);
}

// [guide: after func]
static void hang_up(void *arg)
{
    shutdown(*(int *)arg, SHUT_RDWR);
}

/* A read that knows nothing of contexts. */
static ssize_t read_under(rn_context *ctx, int fd, void *buffer,
                          size_t size)
{
    rn_after_func *after;
    int r = rn_context_after_func(ctx, hang_up, &fd, &after);

    if (r < 0)
        return r;
    ssize_t got = read(fd, buffer, size);
    rn_after_func_stop(after);
    return got;
}
// [end]

static void an_after_func_ends_what_knows_no_context(void **state)
{
    char buffer[8];
    int ends[2];
    rn_context *ctx;

    (void)state;
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    assert_int_equal(read_under(NULL, ends[0], buffer, sizeof(buffer)), 5);

    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx),
                     0);
    assert_int_equal(read_under(ctx, ends[0], buffer, sizeof(buffer)), 0);

    rn_context_unref(ctx);
    close(ends[0]);
    close(ends[1]);
}

// ---- Time

// [guide: ticker]
static int three_ticks(rn_context *ctx, rn_duration period,
                       rn_time ticks[3])
{
    rn_ticker *ticker;
    int r = rn_ticker_new(period, &ticker);

    if (r < 0)
        return r;
    for (int i = 0; r == 0 && i < 3; i++)
        r = rn_chan_recv(ctx, rn_ticker_chan(ticker), &ticks[i]);
    rn_ticker_free(ticker);
    return r;
}
// [end]

static void a_ticker_ticks(void **state)
{
    rn_time ticks[3];

    (void)state;
    assert_int_equal(three_ticks(NULL, RN_MILLISECOND, ticks), 0);
    assert_true(ticks[0] < ticks[1] && ticks[1] < ticks[2]);
}

struct image {
    uint64_t bytes;
    bool decoded;
};

static int decode(rn_context *ctx, struct image *image)
{
    image->decoded = true;
    return rn_context_err(ctx);
}

// [guide: semaphore]
static int load(rn_context *ctx, rn_semaphore *memory, struct image *image)
{
    int r = rn_semaphore_acquire(ctx, memory, image->bytes);

    if (r < 0)
        return r;
    r = decode(ctx, image);
    rn_semaphore_release(memory, image->bytes);
    return r;
}
// [end]

static void a_semaphore_bounds_what_is_used_at_once(void **state)
{
    struct image image = {.bytes = 64 << 20};
    rn_semaphore *memory;
    rn_context *ctx;

    (void)state;
    assert_int_equal(rn_semaphore_new(64 << 20, &memory), 0);
    assert_int_equal(load(NULL, memory, &image), 0);
    assert_true(image.decoded);

    assert_int_equal(rn_semaphore_acquire(NULL, memory, 1), 0);
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx),
                     0);
    assert_int_equal(load(ctx, memory, &image), -ETIMEDOUT);

    rn_semaphore_release(memory, 1);
    rn_semaphore_free(memory);
    rn_context_unref(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_is_ranged_over_until_it_is_closed),
        cmocka_unit_test(a_select_does_what_can_be_done),
        cmocka_unit_test(a_select_with_default_does_not_wait),
        cmocka_unit_test(a_timeout_ends_a_receive),
        cmocka_unit_test(a_case_without_a_channel_is_never_ready),
        cmocka_unit_test(a_merge_makes_one_of_two),
        cmocka_unit_test(a_context_has_a_cause),
        cmocka_unit_test(a_value_is_found_below),
        cmocka_unit_test(ctrl_c_ends_a_context),
        cmocka_unit_test(an_after_func_ends_what_knows_no_context),
        cmocka_unit_test(a_ticker_ticks),
        cmocka_unit_test(a_semaphore_bounds_what_is_used_at_once),
    };

    return cmocka_run_group_tests_name("guide: channels, contexts, time",
                                       tests, NULL, NULL);
}
