/* Channels, with everything at once: what was sent is received, once, in each sender's order. */
#include <runnel/chan.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/group.h>

#include "chans.h"
#include "unit.h"

enum {
    SENDERS = 3,
    RECEIVERS = 3,
    SENDS = 2000,
};

static struct {
    rn_chan *chan;
    rn_context *ctx;
    _Atomic long sent[SENDERS];                 // of each, how many sends succeeded
    _Atomic unsigned char seen[SENDERS][SENDS]; // how often each was received
    _Atomic long received;
} storm;

static int storm_send(rn_context *ctx, void *arg)
{
    int sender = *(const int *)arg;
    unsigned seed = (unsigned)sender + 1;

    for (int i = 0; i < SENDS; i++) {
        int number = sender * SENDS + i;
        rn_context *own = NULL;
        int r = 0;
        switch (rand_r(&seed) % 8) {
        case 0:
            r = rn_chan_try_send(storm.chan, &number);
            break;
        case 1:
            if (rn_context_with_timeout(ctx, rand_r(&seed) % 50 * RN_MICROSECOND, &own) < 0)
                return -ENOMEM;
            r = rn_chan_send(own, storm.chan, &number);
            rn_context_unref(own);
            break;
        default:
            r = rn_chan_send(storm.ctx, storm.chan, &number);
        }
        if (r == 0)
            atomic_fetch_add(&storm.sent[sender], 1);
        else if (r == -EPIPE || rn_context_err(storm.ctx) != 0)
            break;
    }
    return 0;
}

static int storm_recv(rn_context *ctx, void *arg)
{
    int last[SENDERS];
    unsigned seed = *(const unsigned *)arg + 100;

    memset(last, -1, sizeof(last));
    for (;;) {
        int number = -1;
        int r;
        if (rand_r(&seed) % 4 == 0)
            r = rn_chan_recv_until(ctx, storm.chan, rn_after(rand_r(&seed) % 50 * RN_MICROSECOND),
                                   &number);
        else
            r = rn_chan_recv(ctx, storm.chan, &number);
        if (r == -EPIPE)
            return 0;
        if (r == -ETIMEDOUT)
            continue;
        if (r < 0 || number < 0 || number >= SENDERS * SENDS)
            return -EINVAL;
        if (number % SENDS <= last[number / SENDS])
            return -EINVAL; // not in the sender's order
        last[number / SENDS] = number % SENDS;
        if (atomic_fetch_add(&storm.seen[number / SENDS][number % SENDS], 1) != 0)
            return -EINVAL; // a second time
        atomic_fetch_add(&storm.received, 1);
    }
}

/* stop: cancel (1) or close (2) in the midst of it; 0: let all be sent. */
static void run_storm(size_t capacity, int stop)
{
    rn_group *senders = NULL;
    rn_group *receivers = NULL;
    long sent = 0;
    int numbers[] = {0, 1, 2};

    memset(&storm, 0, sizeof(storm));
    storm.chan = new_chan(capacity);
    assert_int_equal(rn_context_with_cancel(NULL, &storm.ctx), 0);
    assert_int_equal(rn_group_new(NULL, &senders), 0);
    assert_int_equal(rn_group_new(NULL, &receivers), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(rn_group_go(senders, "send", storm_send, &numbers[i]), 0);
    for (int i = 0; i < RECEIVERS; i++)
        assert_int_equal(rn_group_go(receivers, "recv", storm_recv, &numbers[i]), 0);
    while (stop != 0 && atomic_load(&storm.received) < SENDS / 2)
        (void)sched_yield();
    if (stop == 1)
        rn_context_cancel(storm.ctx, 0);
    if (stop == 2)
        rn_chan_close(storm.chan);
    assert_int_equal(rn_group_wait(senders), 0);
    rn_chan_close(storm.chan);
    assert_int_equal(rn_group_wait(receivers), 0);

    for (int i = 0; i < SENDERS; i++)
        sent += atomic_load(&storm.sent[i]);
    assert_int_equal(atomic_load(&storm.received), sent);
    assert_int_equal(rn_chan_len(storm.chan), 0);
    rn_group_free(senders);
    rn_group_free(receivers);
    rn_context_unref(storm.ctx);
    rn_chan_free(storm.chan);
}

static void nothing_is_lost_or_doubled_buffered(void **state)
{
    (void)state;
    run_storm(1, 0);
    run_storm(16, 0);
}

static void nothing_is_lost_or_doubled_unbuffered(void **state)
{
    (void)state;
    run_storm(0, 0);
}

static void nothing_is_lost_or_doubled_by_a_cancel(void **state)
{
    (void)state;
    run_storm(0, 1);
    run_storm(4, 1);
}

static void nothing_is_lost_or_doubled_by_a_close(void **state)
{
    (void)state;
    run_storm(0, 2);
    run_storm(4, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_doubled_buffered),
        cmocka_unit_test(nothing_is_lost_or_doubled_unbuffered),
        cmocka_unit_test(nothing_is_lost_or_doubled_by_a_cancel),
        cmocka_unit_test(nothing_is_lost_or_doubled_by_a_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
