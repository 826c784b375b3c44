/* Channels, each property by itself. Everything at once: test_chan_storm.c. */
#include <runnel/chan.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <runnel/group.h>

#include "chans.h"
#include "fault.h"
#include "unit.h"

static void send(rn_chan *chan, int number)
{
    assert_int_equal(rn_chan_send(NULL, chan, &number), 0);
}

static int recv(rn_chan *chan)
{
    int number = -1;
    assert_int_equal(rn_chan_recv(NULL, chan, &number), 0);
    return number;
}

/* A thread that does one thing to a channel, with its own context. */
struct party {
    rn_group *group;
    rn_context *ctx;
    rn_chan *chan;
    int number;
    int result;
    rn_time deadline;
    _Atomic pid_t tid;
};

static int party_sends(rn_context *ctx, void *arg)
{
    struct party *party = arg;
    (void)ctx;
    atomic_store(&party->tid, gettid());
    party->result = rn_chan_send(party->ctx, party->chan, &party->number);
    return 0;
}

static int party_receives(rn_context *ctx, void *arg)
{
    struct party *party = arg;
    (void)ctx;
    atomic_store(&party->tid, gettid());
    party->result = rn_chan_recv_until(party->ctx, party->chan, party->deadline, &party->number);
    return 0;
}

static void party_begin(struct party *party, rn_chan *chan, int (*fn)(rn_context *, void *))
{
    party->chan = chan;
    party->result = 1;
    if (party->deadline == 0)
        party->deadline = RN_NEVER;
    assert_int_equal(rn_context_with_cancel(NULL, &party->ctx), 0);
    assert_int_equal(rn_group_new(NULL, &party->group), 0);
    assert_int_equal(rn_group_go(party->group, "party", fn, party), 0);
}

static int party_end(struct party *party)
{
    assert_int_equal(rn_group_wait(party->group), 0);
    rn_group_free(party->group);
    rn_context_unref(party->ctx);
    return party->result;
}

// ---- Order, capacity, close

static void elements_come_out_in_order(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(3);
    assert_int_equal(rn_chan_cap(chan), 3);

    // Around the end of the buffer, several times.
    for (int i = 0; i < 20; i += 2) {
        send(chan, i);
        send(chan, i + 1);
        assert_int_equal(rn_chan_len(chan), 2);
        assert_int_equal(recv(chan), i);
        assert_int_equal(recv(chan), i + 1);
    }
    assert_int_equal(rn_chan_len(chan), 0);
    rn_chan_free(chan);
}

static void elements_of_any_size_are_copied_whole(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 2, 3, 7, 8, 9, 24, 1000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char sent[1000];
        unsigned char received[1001];
        rn_chan *chan = NULL;
        assert_int_equal(rn_chan_new(sizes[i], 2, &chan), 0);
        for (int round = 0; round < 5; round++) {
            memset(sent, 'a' + round, sizeof(sent));
            memset(received, '#', sizeof(received));
            assert_int_equal(rn_chan_send(NULL, chan, sent), 0);
            assert_int_equal(rn_chan_recv(NULL, chan, received), 0);
            assert_memory_equal(sent, received, sizes[i]);
            assert_int_equal(received[sizes[i]], '#');
        }
        rn_chan_free(chan);
    }
}

static void elements_of_no_size_are_counted(void **state)
{
    (void)state;
    rn_chan *chan = NULL;
    assert_int_equal(rn_chan_new(0, 2, &chan), 0);
    assert_int_equal(rn_chan_send(NULL, chan, NULL), 0);
    assert_int_equal(rn_chan_send(NULL, chan, NULL), 0);
    assert_int_equal(rn_chan_try_send(chan, NULL), -EAGAIN);
    assert_int_equal(rn_chan_recv(NULL, chan, NULL), 0);
    assert_int_equal(rn_chan_recv(NULL, chan, NULL), 0);
    assert_int_equal(rn_chan_try_recv(chan, NULL), -EAGAIN);
    rn_chan_free(chan);
}

static void an_element_may_be_thrown_away(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(2);
    send(chan, 1);
    send(chan, 2);
    assert_int_equal(rn_chan_recv(NULL, chan, NULL), 0);
    assert_int_equal(recv(chan), 2);
    rn_chan_free(chan);
}

static void trying_does_not_wait(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(1);
    int number = 5;
    assert_int_equal(rn_chan_try_recv(chan, &number), -EAGAIN);
    assert_int_equal(number, 5);
    assert_int_equal(rn_chan_try_send(chan, &number), 0);
    number = 6;
    assert_int_equal(rn_chan_try_send(chan, &number), -EAGAIN);
    assert_int_equal(rn_chan_try_recv(chan, &number), 0);
    assert_int_equal(number, 5);
    rn_chan_free(chan);
}

static void unbuffered_trying_needs_a_peer(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    int number = 1;
    assert_int_equal(rn_chan_cap(chan), 0);
    assert_int_equal(rn_chan_try_send(chan, &number), -EAGAIN);
    assert_int_equal(rn_chan_try_recv(chan, &number), -EAGAIN);
    assert_int_equal(rn_chan_len(chan), 0);
    rn_chan_free(chan);
}

static void recv_drains_the_buffer_after_close(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(3);
    int number = 9;
    send(chan, 1);
    send(chan, 2);

    rn_chan_close(chan);
    rn_chan_close(chan);

    assert_int_equal(rn_chan_send(NULL, chan, &number), -EPIPE);
    assert_int_equal(rn_chan_try_send(chan, &number), -EPIPE);
    assert_int_equal(recv(chan), 1);
    assert_int_equal(rn_chan_try_recv(chan, &number), 0);
    assert_int_equal(number, 2);
    assert_int_equal(rn_chan_recv(NULL, chan, &number), -EPIPE);
    assert_int_equal(rn_chan_try_recv(chan, &number), -EPIPE);
    assert_int_equal(number, 2);
    rn_chan_free(chan);
}

static void an_ended_context_wins_over_room_and_elements(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(2);
    rn_context *ctx = NULL;
    int number = 3;
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    send(chan, 1);
    rn_context_cancel(ctx, 0);

    assert_int_equal(rn_chan_send(ctx, chan, &number), -ECANCELED);
    assert_int_equal(rn_chan_recv(ctx, chan, &number), -ECANCELED);
    rn_chan_close(chan);
    assert_int_equal(rn_chan_send(ctx, chan, &number), -ECANCELED);
    assert_int_equal(rn_chan_recv(ctx, chan, &number), -ECANCELED);

    assert_int_equal(number, 3);
    assert_int_equal(rn_chan_len(chan), 1);
    rn_context_unref(ctx);
    rn_chan_free(chan);
}

static void recv_until_ends_at_its_deadline(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(1);
    int number = 3;
    rn_time deadline = rn_after(2 * RN_MILLISECOND);
    assert_int_equal(rn_chan_recv_until(NULL, chan, deadline, &number), -ETIMEDOUT);
    assert_true(rn_now() >= deadline);
    assert_int_equal(rn_chan_recv_until(NULL, chan, 0, &number), -ETIMEDOUT);
    assert_int_equal(number, 3);

    // What is there is received, however late.
    send(chan, 4);
    assert_int_equal(rn_chan_recv_until(NULL, chan, 0, &number), 0);
    assert_int_equal(number, 4);
    rn_chan_free(chan);
}

// ---- Waiting

static void an_unbuffered_send_meets_its_receiver(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    struct party sender = {.number = 7};
    party_begin(&sender, chan, party_sends);
    assert_int_equal(recv(chan), 7);
    assert_int_equal(party_end(&sender), 0);

    struct party receiver = {.number = 0};
    party_begin(&receiver, chan, party_receives);
    send(chan, 8);
    assert_int_equal(party_end(&receiver), 0);
    assert_int_equal(receiver.number, 8);
    rn_chan_free(chan);
}

static void waiting_parties_are_served_by_try(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    struct party receiver = {.number = 0};
    party_begin(&receiver, chan, party_receives);
    send_to_waiting(chan, 5);
    assert_int_equal(party_end(&receiver), 0);
    assert_int_equal(receiver.number, 5);

    struct party sender = {.number = 6};
    party_begin(&sender, chan, party_sends);
    assert_int_equal(recv_from_waiting(chan), 6);
    assert_int_equal(party_end(&sender), 0);
    rn_chan_free(chan);
}

static void a_waiting_sender_comes_after_what_is_in_the_buffer(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(2);
    struct party sender = {.number = 3};
    send(chan, 1);
    send(chan, 2);
    party_begin(&sender, chan, party_sends);

    assert_int_equal(recv(chan), 1);
    assert_int_equal(recv(chan), 2);
    assert_int_equal(recv(chan), 3);

    assert_int_equal(party_end(&sender), 0);
    assert_int_equal(rn_chan_len(chan), 0);
    rn_chan_free(chan);
}

static void closing_ends_those_who_wait(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        rn_chan *chan = new_chan(1);
        struct party receivers[2] = {{.number = 1}, {.number = 1}};
        for (int i = 0; i < 2; i++)
            party_begin(&receivers[i], chan, party_receives);
        rn_chan_close(chan);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(party_end(&receivers[i]), -EPIPE);
            assert_int_equal(receivers[i].number, 1);
        }
        rn_chan_free(chan);

        chan = new_chan(1);
        send(chan, 0);
        struct party senders[2] = {{.number = 1}, {.number = 2}};
        for (int i = 0; i < 2; i++)
            party_begin(&senders[i], chan, party_sends);
        rn_chan_close(chan);
        for (int i = 0; i < 2; i++)
            assert_int_equal(party_end(&senders[i]), -EPIPE);
        assert_int_equal(recv(chan), 0);
        assert_int_equal(rn_chan_recv(NULL, chan, NULL), -EPIPE);
        rn_chan_free(chan);
    }
}

static void the_end_of_the_context_ends_the_wait_of_one(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    struct party first = {.number = 1};
    struct party second = {.number = 1};
    party_begin(&first, chan, party_receives);
    party_begin(&second, chan, party_receives);

    rn_context_cancel(first.ctx, 12);
    assert_int_equal(party_end(&first), -ECANCELED);
    assert_int_equal(first.number, 1);

    send(chan, 2);
    assert_int_equal(party_end(&second), 0);
    assert_int_equal(second.number, 2);

    struct party sender = {.number = 1};
    party_begin(&sender, chan, party_sends);
    rn_context_cancel(sender.ctx, 0);
    assert_int_equal(party_end(&sender), -ECANCELED);
    assert_int_equal(rn_chan_try_recv(chan, NULL), -EAGAIN);
    rn_chan_free(chan);
}

static void a_deadline_ends_the_wait(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    rn_context *ctx = NULL;
    int number = 1;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_chan_send(ctx, chan, &number), -ETIMEDOUT);
    assert_int_equal(rn_chan_recv(ctx, chan, &number), -ETIMEDOUT);
    rn_context_unref(ctx);
    rn_chan_free(chan);
}

// ---- Failures

static void new_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        rn_chan *chan = NULL;
        fault_fail_malloc(nth);
        int r = rn_chan_new(sizeof(int), 8, &chan);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            rn_chan_free(chan);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(chan);
    }
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    rn_chan *chan = NULL;
    assert_int_equal(rn_chan_new(SIZE_MAX, 2, &chan), -ENOMEM);
    assert_int_equal(rn_chan_new(2, SIZE_MAX, &chan), -ENOMEM);
    assert_int_equal(rn_chan_new(SIZE_MAX - 8, 1, &chan), -ENOMEM);
    assert_null(chan);
    rn_chan_free(NULL);
}

// ---- The end of a channel

static int one_shot_sends(rn_context *ctx, void *arg)
{
    int number = 9;

    (void)ctx;
    return rn_chan_send(NULL, arg, &number);
}

static int one_shot_closes(rn_context *ctx, void *arg)
{
    (void)ctx;
    rn_chan_close(arg);
    return 0;
}

/* What the sender does last with the channel is what lets the receiver go. */
static void who_received_the_last_may_free_the_channel(void **state)
{
    (void)state;
    for (int i = 0; i < 600; i++) {
        rn_group *group = NULL;
        bool closes = i % 3 == 2;
        rn_chan *chan = new_chan((size_t)i % 3);
        assert_int_equal(rn_group_new(NULL, &group), 0);
        assert_int_equal(rn_group_go(group, "one", closes ? one_shot_closes : one_shot_sends, chan),
                         0);
        assert_int_equal(rn_chan_recv(NULL, chan, NULL), closes ? -EPIPE : 0);
        rn_chan_free(chan);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);
    }
}

// ---- Who waits is served in the order in which he came.

/* Waits until the thread of a party, which has nothing else to wait for, sleeps. */
static void wait_until_asleep(struct party *party)
{
    char path[64];
    char text[256];
    pid_t tid;
    char thread_state = 'R';

    while ((tid = atomic_load(&party->tid)) == 0)
        (void)sched_yield();
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    while (thread_state != 'S') {
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        assert_int_equal(fclose(file), 0);
        thread_state = strrchr(text, ')')[2];
        (void)sched_yield();
    }
}

static void those_who_wait_are_served_in_order(void **state)
{
    (void)state;
    enum { PARTIES = 4 };
    struct party parties[PARTIES];

    for (size_t capacity = 0; capacity < 2; capacity++) {
        rn_chan *chan = new_chan(capacity);
        if (capacity > 0)
            send(chan, 100);
        for (int i = 0; i < PARTIES; i++) {
            parties[i] = (struct party){.number = i};
            party_begin(&parties[i], chan, party_sends);
            wait_until_asleep(&parties[i]);
        }
        if (capacity > 0)
            assert_int_equal(recv(chan), 100);
        for (int i = 0; i < PARTIES; i++)
            assert_int_equal(recv(chan), i);
        for (int i = 0; i < PARTIES; i++)
            assert_int_equal(party_end(&parties[i]), 0);

        for (int i = 0; i < PARTIES; i++) {
            parties[i] = (struct party){.number = -1};
            party_begin(&parties[i], chan, party_receives);
            wait_until_asleep(&parties[i]);
        }
        for (int i = 0; i < PARTIES; i++)
            send(chan, i);
        for (int i = 0; i < PARTIES; i++) {
            assert_int_equal(party_end(&parties[i]), 0);
            assert_int_equal(parties[i].number, i);
        }
        rn_chan_free(chan);
    }
}

// ---- A type of one's own

RN_CHAN_DEFINE(ints, int);

static void a_typed_channel_takes_and_gives_its_type(void **state)
{
    (void)state;
    ints *chan = NULL;
    int number = 0;
    int other = 12;
    assert_int_equal(ints_new(2, &chan), 0);
    assert_int_equal(ints_cap(chan), 2);

    assert_int_equal(ints_send(NULL, chan, 10), 0);
    assert_int_equal(ints_try_send(chan, 11), 0);
    assert_int_equal(ints_try_send(chan, 12), -EAGAIN);
    assert_int_equal(ints_len(chan), 2);
    assert_int_equal(rn_chan_elem_size(ints_chan(chan)), sizeof(int));
    assert_int_equal(ints_recv(NULL, chan, &number), 0);
    assert_int_equal(number, 10);
    struct rn_case cases[] = {ints_case_send(chan, &other), ints_case_recv(NULL, &number)};
    assert_int_equal(rn_select(NULL, cases, 2), 0);
    ints_close(chan);
    int sum = 0;
    while (ints_recv(NULL, chan, &number) == 0)
        sum += number;
    assert_int_equal(sum, 23);
    assert_int_equal(ints_try_recv(chan, &number), -EPIPE);
    ints_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_come_out_in_order),
        cmocka_unit_test(elements_of_any_size_are_copied_whole),
        cmocka_unit_test(elements_of_no_size_are_counted),
        cmocka_unit_test(an_element_may_be_thrown_away),
        cmocka_unit_test(trying_does_not_wait),
        cmocka_unit_test(unbuffered_trying_needs_a_peer),
        cmocka_unit_test(recv_drains_the_buffer_after_close),
        cmocka_unit_test(an_ended_context_wins_over_room_and_elements),
        cmocka_unit_test(recv_until_ends_at_its_deadline),
        cmocka_unit_test(an_unbuffered_send_meets_its_receiver),
        cmocka_unit_test(waiting_parties_are_served_by_try),
        cmocka_unit_test(a_waiting_sender_comes_after_what_is_in_the_buffer),
        cmocka_unit_test(closing_ends_those_who_wait),
        cmocka_unit_test(the_end_of_the_context_ends_the_wait_of_one),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(new_survives_every_failed_allocation),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(who_received_the_last_may_free_the_channel),
        cmocka_unit_test(those_who_wait_are_served_in_order),
        cmocka_unit_test(a_typed_channel_takes_and_gives_its_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
