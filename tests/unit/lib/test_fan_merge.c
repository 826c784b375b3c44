/* The merging of channels. Fans: test_fan.c. */
#include <runnel/fan.h>

#include <pthread.h>
#include <sched.h>

#include <runnel/group.h>

#include "chans.h"
#include "fault.h"
#include "stages.h"
#include "unit.h"

/* A number with the channel that it came from. */
struct sample {
    int chan;
    int number;
};

enum {
    CHANS = 5,
    SAMPLES = 200,
};

struct sender {
    rn_chan *chan;
    int number;
};

static int send_samples(rn_context *ctx, void *arg)
{
    const struct sender *sender = arg;
    struct sample sample = {.chan = sender->number};
    int r = 0;

    for (sample.number = 0; r == 0 && sample.number < SAMPLES; sample.number++) {
        dawdle(sample.number);
        r = rn_chan_send(ctx, sender->chan, &sample);
    }
    rn_chan_close(sender->chan);
    return r;
}

struct merger {
    rn_chan *chans[CHANS];
    rn_chan *out;
};

static int merge_and_close(rn_context *ctx, void *arg)
{
    struct merger *merger = arg;
    int r = rn_merge(ctx, merger->chans, CHANS, merger->out);

    rn_chan_close(merger->out);
    return r;
}

static void merge_passes_on_all_of_each_in_its_order(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 3; capacity++) {
        struct merger merger = {.out = NULL};
        struct sender senders[CHANS];
        struct sample sample;
        int next[CHANS] = {0};
        rn_group *group = NULL;
        assert_int_equal(rn_group_new(NULL, &group), 0);
        assert_int_equal(rn_chan_new(sizeof(sample), capacity, &merger.out), 0);
        for (int i = 0; i < CHANS; i++) {
            assert_int_equal(rn_chan_new(sizeof(sample), capacity * 2, &merger.chans[i]), 0);
            senders[i] = (struct sender){merger.chans[i], i};
            assert_int_equal(rn_group_go(group, "sender", send_samples, &senders[i]), 0);
        }
        assert_int_equal(rn_group_go(group, "merger", merge_and_close, &merger), 0);

        int count = 0;
        for (; rn_chan_recv(NULL, merger.out, &sample) == 0; count++) {
            assert_in_range(sample.chan, 0, CHANS - 1);
            assert_int_equal(sample.number, next[sample.chan]++);
        }

        assert_int_equal(count, CHANS * SAMPLES);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
        for (int i = 0; i < CHANS; i++)
            rn_chan_free(merger.chans[i]);
        rn_chan_free(merger.out);
    }
}

static void merge_of_nothing_is_done(void **state)
{
    rn_chan *out = new_chan(4);
    rn_chan *one = chan_of_numbers(3, 3);
    rn_chan *const none[] = {NULL, NULL};
    rn_chan *const one_of_three[] = {NULL, one, NULL};
    (void)state;
    rn_chan_close(one);

    assert_int_equal(rn_merge(NULL, none, 2, out), 0);
    assert_int_equal(rn_merge(NULL, NULL, 0, out), 0);
    assert_int_equal(rn_chan_len(out), 0);
    assert_int_equal(rn_merge(NULL, one_of_three, 3, out), 0);

    assert_int_equal(rn_chan_len(out), 3);
    rn_chan_free(one);
    rn_chan_free(out);
}

static void merge_ends_with_its_context_and_when_out_is_closed(void **state)
{
    rn_context *ctx = NULL;
    rn_chan *open = new_chan(1);
    rn_chan *full = chan_of_numbers(3, 3);
    rn_chan *out = new_chan(1);
    rn_chan *const both[] = {open, full};
    (void)state;

    // Nothing comes any more, then: there is no room.
    assert_int_equal(rn_context_with_timeout(NULL, 5 * RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_merge(ctx, both, 1, out), -ETIMEDOUT);
    rn_context_unref(ctx);
    assert_int_equal(rn_context_with_timeout(NULL, 5 * RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_merge(ctx, both, 2, out), -ETIMEDOUT);
    assert_int_equal(rn_chan_len(out), 1);
    assert_int_equal(rn_chan_len(full), 1);

    // One that has ended wins.
    rn_chan_close(open);
    rn_chan_close(full);
    assert_int_equal(rn_merge(ctx, both, 2, out), -ETIMEDOUT);
    assert_int_equal(rn_merge(ctx, both, 0, out), -ETIMEDOUT);
    assert_int_equal(rn_chan_len(full), 1);
    rn_context_unref(ctx);

    rn_chan_close(out);
    assert_int_equal(rn_merge(NULL, both, 2, out), -EPIPE);
    rn_chan_free(open);
    rn_chan_free(full);
    rn_chan_free(out);
}

static void merge_survives_every_failed_allocation(void **state)
{
    rn_chan *from = chan_of_numbers(3, 3);
    rn_chan *out = new_chan(4);
    rn_chan *const one[] = {from};
    (void)state;
    rn_chan_close(from);

    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = rn_merge(NULL, one, 1, out);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(rn_chan_len(from), 3);
    }
    assert_int_equal(rn_chan_len(out), 3);
    rn_chan_free(from);
    rn_chan_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_passes_on_all_of_each_in_its_order),
        cmocka_unit_test(merge_of_nothing_is_done),
        cmocka_unit_test(merge_ends_with_its_context_and_when_out_is_closed),
        cmocka_unit_test(merge_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
