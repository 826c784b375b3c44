/* Select: the rules of Go's language specification, "Select statements", and of its runtime. */
#include <runnel/chan.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/group.h>

#include "chans.h"
#include "unit.h"

static void put(rn_chan *chan, int number)
{
    assert_int_equal(rn_chan_try_send(chan, &number), 0);
}

/* A thread in a select over a send of 100 on one channel and a receive from another. */
struct party {
    rn_group *group;
    rn_context *ctx;
    rn_chan *to;   // NULL: never ready
    rn_chan *from; // NULL: never ready
    int number;    // received
    int chosen;    // 0 the send, 1 the receive
    int result;    // of the chosen
};

static int party_selects(rn_context *ctx, void *arg)
{
    struct party *party = arg;
    int sent = 100;
    struct rn_case cases[] = {rn_case_send(party->to, &sent),
                              rn_case_recv(party->from, &party->number)};

    (void)ctx;
    party->chosen = rn_select(party->ctx, cases, 2);
    party->result = party->chosen < 0 ? 0 : cases[party->chosen].result;
    return 0;
}

static void party_begin(struct party *party)
{
    assert_int_equal(rn_context_with_cancel(NULL, &party->ctx), 0);
    assert_int_equal(rn_group_new(NULL, &party->group), 0);
    assert_int_equal(rn_group_go(party->group, "party", party_selects, party), 0);
}

static void party_end(struct party *party)
{
    assert_int_equal(rn_group_wait(party->group), 0);
    rn_group_free(party->group);
    rn_context_unref(party->ctx);
}

// ---- Without waiting

static void the_one_that_is_ready_is_chosen(void **state)
{
    (void)state;
    rn_chan *empty = new_chan(1);
    rn_chan *filled = new_chan(1);
    int number = 0;
    put(filled, 5);
    struct rn_case cases[] = {rn_case_recv(empty, &number), rn_case_recv(filled, &number),
                              rn_case_send(filled, &number)};

    assert_int_equal(rn_select(NULL, cases, 3), 1);
    assert_int_equal(cases[1].result, 0);
    assert_int_equal(number, 5);

    // Now there is room, and the number goes back.
    assert_int_equal(rn_select(NULL, cases, 3), 2);
    assert_int_equal(rn_chan_len(filled), 1);
    rn_chan_free(empty);
    rn_chan_free(filled);
}

static void trying_does_not_wait(void **state)
{
    (void)state;
    rn_chan *buffered = new_chan(1);
    rn_chan *unbuffered = new_chan(0);
    int number = 1;
    struct rn_case cases[] = {rn_case_recv(buffered, &number), rn_case_recv(unbuffered, &number),
                              rn_case_send(unbuffered, &number)};

    assert_int_equal(rn_try_select(cases, 3), -EAGAIN);
    assert_int_equal(rn_try_select(cases, 1), -EAGAIN);
    assert_int_equal(rn_try_select(cases, 0), -EAGAIN);
    put(buffered, 2);
    assert_int_equal(rn_try_select(cases, 3), 0);
    assert_int_equal(number, 2);
    rn_chan_free(buffered);
    rn_chan_free(unbuffered);
}

static void a_case_without_a_channel_is_never_ready(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(1);
    int number = 7;
    struct rn_case cases[] = {rn_case_recv(NULL, &number), rn_case_send(NULL, &number),
                              rn_case_send(chan, &number)};

    for (int i = 0; i < 50; i++) {
        assert_int_equal(rn_select(NULL, cases, 3), 2);
        assert_int_equal(rn_chan_try_recv(chan, NULL), 0);
    }
    assert_int_equal(rn_try_select(cases, 2), -EAGAIN);
    rn_chan_free(chan);
}

static void a_closed_channel_is_ready(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 2; capacity++) {
        rn_chan *open = new_chan(0);
        rn_chan *closed = new_chan(capacity);
        int number = 3;
        rn_chan_close(closed);
        struct rn_case cases[] = {rn_case_recv(open, &number), rn_case_recv(closed, &number)};
        struct rn_case sends[] = {rn_case_recv(open, &number), rn_case_send(closed, &number)};

        assert_int_equal(rn_select(NULL, cases, 2), 1);
        assert_int_equal(cases[1].result, -EPIPE);
        assert_int_equal(rn_try_select(sends, 2), 1);
        assert_int_equal(sends[1].result, -EPIPE);
        assert_int_equal(number, 3);
        rn_chan_free(open);
        rn_chan_free(closed);
    }
}

static void the_choice_among_the_ready_is_uniform(void **state)
{
    (void)state;
    enum { CHANNELS = 5, READY = 4, ROUNDS = 20000 };
    rn_chan *chans[CHANNELS];
    struct rn_case cases[CHANNELS];
    int chosen[CHANNELS] = {0};
    int number = 0;
    for (int i = 0; i < CHANNELS; i++) {
        chans[i] = new_chan(1);
        cases[i] = rn_case_recv(chans[i], &number);
        if (i != 2)
            put(chans[i], i);
    }

    for (int i = 0; i < ROUNDS; i++) {
        int index = rn_select(NULL, cases, CHANNELS);
        assert_in_range(index, 0, CHANNELS - 1);
        chosen[index]++;
        put(chans[index], index);
    }

    // Each 5,000 times; the deviation is 61, so this is 8 of it.
    for (int i = 0; i < CHANNELS; i++) {
        if (i == 2)
            assert_int_equal(chosen[i], 0);
        else
            assert_in_range(chosen[i], ROUNDS / READY - 500, ROUNDS / READY + 500);
        rn_chan_free(chans[i]);
    }
}

static void there_may_be_many_cases(void **state)
{
    (void)state;
    // The deadlock detector of the thread sanitizer has room for 64 locks at once.
#ifdef __SANITIZE_THREAD__
    enum { CHANNELS = 60 };
#else
    enum { CHANNELS = 1000 };
#endif
    rn_chan *chans[CHANNELS];
    struct rn_case cases[CHANNELS];
    int number = 0;
    for (int i = 0; i < CHANNELS; i++) {
        chans[i] = new_chan(1);
        cases[i] = rn_case_recv(chans[i], &number);
    }

    for (int i = 0; i < CHANNELS; i += 7) {
        put(chans[i], i);
        assert_int_equal(rn_select(NULL, cases, CHANNELS), i);
        assert_int_equal(number, i);
        assert_int_equal(rn_try_select(cases, CHANNELS), -EAGAIN);
    }
    for (int i = 0; i < CHANNELS; i++)
        rn_chan_free(chans[i]);
}

static void an_ended_context_wins(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(1);
    rn_context *ctx = NULL;
    int number = 0;
    put(chan, 1);
    assert_int_equal(rn_context_with_cancel(NULL, &ctx), 0);
    rn_context_cancel(ctx, 0);
    struct rn_case cases[] = {rn_case_recv(chan, &number)};

    assert_int_equal(rn_select(ctx, cases, 1), -ECANCELED);
    assert_int_equal(rn_select(ctx, NULL, 0), -ECANCELED);
    assert_int_equal(rn_chan_len(chan), 1);
    rn_context_unref(ctx);
    rn_chan_free(chan);
}

// ---- Waiting

static void a_waiting_select_is_served_by_either_case(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 2; capacity++) {
        struct party party = {.to = new_chan(capacity), .from = new_chan(0)};
        if (capacity > 0)
            put(party.to, 1); // full
        party_begin(&party);
        send_to_waiting(party.from, 9);
        party_end(&party);
        assert_int_equal(party.chosen, 1);
        assert_int_equal(party.result, 0);
        assert_int_equal(party.number, 9);
        assert_int_equal(rn_chan_len(party.to), capacity);

        // Nobody is left on the lists: an element that is put in stays.
        party_begin(&party);
        if (capacity > 0)
            assert_int_equal(recv_from_waiting(party.to), 1);
        int number = -1;
        assert_int_equal(rn_chan_recv(NULL, party.to, &number), 0);
        assert_int_equal(number, 100);
        party_end(&party);
        assert_int_equal(party.chosen, 0);
        assert_int_equal(rn_chan_try_send(party.from, &number), -EAGAIN);
        rn_chan_free(party.to);
        rn_chan_free(party.from);
    }
}

static void two_selects_meet(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    struct party sender = {.to = chan};
    struct party receiver = {.from = chan};

    party_begin(&sender);
    party_begin(&receiver);
    party_end(&sender);
    party_end(&receiver);
    assert_int_equal(sender.chosen, 0);
    assert_int_equal(receiver.chosen, 1);
    assert_int_equal(receiver.number, 100);
    rn_chan_free(chan);
}

static void a_select_does_not_meet_itself(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(0);
    struct party party = {.to = chan, .from = chan};
    party_begin(&party);

    // Whichever of its two cases is served first, it is by somebody else.
    assert_int_equal(recv_from_waiting(chan), 100);
    party_end(&party);
    assert_int_equal(party.chosen, 0);

    party_begin(&party);
    send_to_waiting(chan, 4);
    party_end(&party);
    assert_int_equal(party.chosen, 1);
    assert_int_equal(party.number, 4);
    rn_chan_free(chan);
}

static void the_same_channel_may_stand_twice(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(2);
    int first = 0;
    int second = 0;
    struct rn_case cases[] = {rn_case_recv(chan, &first), rn_case_recv(chan, &second)};
    put(chan, 1);
    put(chan, 2);

    int chosen = rn_select(NULL, cases, 2);
    assert_int_equal(chosen == 0 ? first : second, 1);
    chosen = rn_select(NULL, cases, 2);
    assert_int_equal(chosen == 0 ? first : second, 2);
    assert_int_equal(rn_try_select(cases, 2), -EAGAIN);
    rn_chan_free(chan);
}

static void closing_ends_a_waiting_select(void **state)
{
    (void)state;
    for (int closes_to = 0; closes_to < 2; closes_to++) {
        struct party party = {.to = new_chan(0), .from = new_chan(0)};
        rn_chan *other = new_chan(0);
        party_begin(&party);
        rn_chan_close(closes_to ? party.to : party.from);
        party_end(&party);
        assert_int_equal(party.chosen, closes_to ? 0 : 1);
        assert_int_equal(party.result, -EPIPE);
        rn_chan_free(other);
        rn_chan_free(party.to);
        rn_chan_free(party.from);
    }
}

static void the_end_of_the_context_ends_a_waiting_select(void **state)
{
    (void)state;
    struct party party = {.to = new_chan(0), .from = new_chan(0)};
    party_begin(&party);
    rn_context_cancel(party.ctx, 0);
    party_end(&party);
    assert_int_equal(party.chosen, -ECANCELED);
    assert_int_equal(rn_chan_try_recv(party.to, NULL), -EAGAIN);
    rn_chan_free(party.to);
    rn_chan_free(party.from);

    // Without any case it is all that there is to wait for.
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(rn_select(ctx, NULL, 0), -ETIMEDOUT);
    rn_context_unref(ctx);
}

// ---- Two at once

enum { MEETINGS = 20000 };

static int meetings(void)
{
    return getenv("RUNNEL_VALGRIND") != NULL ? MEETINGS / 20 : MEETINGS;
}

struct pair {
    rn_chan *first;
    rn_chan *second;
};

static int try_both(rn_context *ctx, void *arg)
{
    struct pair *pair = arg;
    struct rn_case cases[] = {rn_case_recv(pair->first, NULL), rn_case_recv(pair->second, NULL)};

    (void)ctx;
    for (int i = 0; i < meetings(); i++) {
        if (rn_try_select(cases, 2) != -EAGAIN)
            return -EINVAL;
    }
    return 0;
}

static void selects_over_the_same_channels_in_any_order_do_not_lock_each_other_out(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_chan *a = new_chan(0);
    rn_chan *b = new_chan(1);
    struct pair pairs[] = {{a, b}, {b, a}};

    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rn_group_go(group, "pair", try_both, &pairs[i]), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    rn_chan_free(a);
    rn_chan_free(b);
}

static int send_many(rn_context *ctx, void *arg)
{
    int r = 0;

    for (int i = 0; i < meetings() && r == 0; i++)
        r = rn_chan_send(ctx, arg, &i);
    return r;
}

static void an_element_that_comes_just_before_the_wait_is_found(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_chan *chan = new_chan(1);
    rn_chan *silent = new_chan(0);
    int number = -1;
    struct rn_case cases[] = {rn_case_recv(silent, NULL), rn_case_recv(chan, &number)};

    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "send", send_many, chan), 0);
    for (int i = 0; i < meetings(); i++) {
        assert_int_equal(rn_select(NULL, cases, 2), 1);
        assert_int_equal(number, i);
    }
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    rn_chan_free(silent);
    rn_chan_free(chan);
}

// ---- Everything at once: tokens go around between channels and never get more or fewer.

enum {
    ROOMS = 4,
    MOVERS = 4,
    TOKENS = 6,
};

static struct {
    rn_chan *rooms[ROOMS];
    rn_context *ctx;
    int moves; // of each mover
} hall;

/* Takes a token from whichever room has one, and puts it into whichever takes it. */
static int move_tokens(rn_context *ctx, void *arg)
{
    unsigned seed = *(const unsigned *)arg;

    (void)ctx;
    for (int i = 0; i < hall.moves; i++) {
        struct rn_case cases[ROOMS + 1];
        int token = -1;
        for (int j = 0; j < ROOMS; j++)
            cases[j] = rn_case_recv(hall.rooms[j], &token);
        int chosen;
        if (rand_r(&seed) % 3 == 0) {
            rn_context *own = NULL;
            if (rn_context_with_timeout(hall.ctx, rand_r(&seed) % 30 * RN_MICROSECOND, &own) < 0)
                return -ENOMEM;
            chosen = rn_select(own, cases, ROOMS);
            rn_context_unref(own);
        } else {
            chosen = rn_try_select(cases, ROOMS);
        }
        if (chosen < 0)
            continue;
        if (cases[chosen].result != 0 || token < 0 || token >= TOKENS)
            return -EINVAL;
        for (int j = 0; j < ROOMS; j++)
            cases[j] = rn_case_send(hall.rooms[j], &token);
        // There are fewer tokens than places: this always ends.
        chosen = rn_select(NULL, cases, ROOMS);
        if (chosen < 0 || cases[chosen].result != 0)
            return -EINVAL;
    }
    return 0;
}

static void tokens_are_neither_lost_nor_doubled(void **state)
{
    (void)state;
    static const size_t capacities[ROOMS] = {0, 1, 3, 8};
    rn_group *group = NULL;
    unsigned seeds[MOVERS] = {1, 2, 3, 4};
    int seen[TOKENS] = {0};
    int token;
    hall.moves = getenv("RUNNEL_VALGRIND") != NULL ? 200 : 4000;
    assert_int_equal(rn_context_with_cancel(NULL, &hall.ctx), 0);
    for (int i = 0; i < ROOMS; i++)
        hall.rooms[i] = new_chan(capacities[i]);
    for (token = 0; token < TOKENS; token++)
        put(hall.rooms[3], token);

    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (int i = 0; i < MOVERS; i++)
        assert_int_equal(rn_group_go(group, "mover", move_tokens, &seeds[i]), 0);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);

    for (int i = 0; i < ROOMS; i++) {
        while (rn_chan_try_recv(hall.rooms[i], &token) == 0)
            seen[token]++;
        rn_chan_free(hall.rooms[i]);
    }
    for (int i = 0; i < TOKENS; i++)
        assert_int_equal(seen[i], 1);
    rn_context_unref(hall.ctx);
}

// ---- The descriptor

static bool is_readable(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0) == 1;
}

static void the_descriptor_is_readable_while_a_receive_would_not_wait(void **state)
{
    (void)state;
    rn_chan *chan = new_chan(2);
    put(chan, 1);
    int fd = rn_chan_fd(chan);
    assert_true(fd >= 0);
    assert_int_equal(rn_chan_fd(chan), fd);

    assert_true(is_readable(fd));
    put(chan, 2);
    assert_int_equal(rn_chan_try_recv(chan, NULL), 0);
    assert_true(is_readable(fd));
    assert_int_equal(rn_chan_recv(NULL, chan, NULL), 0);
    assert_false(is_readable(fd));
    put(chan, 3);
    assert_true(is_readable(fd));
    assert_int_equal(rn_chan_try_recv(chan, NULL), 0);
    rn_chan_close(chan);
    assert_true(is_readable(fd));
    assert_int_equal(rn_chan_try_recv(chan, NULL), -EPIPE);
    assert_true(is_readable(fd));
    rn_chan_free(chan);
}

static void the_descriptor_tells_of_a_waiting_sender(void **state)
{
    (void)state;
    struct party party = {.to = new_chan(0)};
    int fd = rn_chan_fd(party.to);
    struct pollfd one = {.fd = fd, .events = POLLIN};
    assert_true(fd >= 0);
    assert_false(is_readable(fd));

    party_begin(&party);
    assert_int_equal(poll(&one, 1, 60000), 1);
    assert_int_equal(recv_from_waiting(party.to), 100);
    assert_false(is_readable(fd));
    party_end(&party);

    // Nor of one that has left.
    party_begin(&party);
    assert_int_equal(poll(&one, 1, 60000), 1);
    rn_context_cancel(party.ctx, 0);
    party_end(&party);
    assert_int_equal(party.chosen, -ECANCELED);
    assert_false(is_readable(fd));
    rn_chan_free(party.to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_that_is_ready_is_chosen),
        cmocka_unit_test(trying_does_not_wait),
        cmocka_unit_test(a_case_without_a_channel_is_never_ready),
        cmocka_unit_test(a_closed_channel_is_ready),
        cmocka_unit_test(the_choice_among_the_ready_is_uniform),
        cmocka_unit_test(there_may_be_many_cases),
        cmocka_unit_test(an_ended_context_wins),
        cmocka_unit_test(a_waiting_select_is_served_by_either_case),
        cmocka_unit_test(two_selects_meet),
        cmocka_unit_test(a_select_does_not_meet_itself),
        cmocka_unit_test(the_same_channel_may_stand_twice),
        cmocka_unit_test(closing_ends_a_waiting_select),
        cmocka_unit_test(the_end_of_the_context_ends_a_waiting_select),
        cmocka_unit_test(selects_over_the_same_channels_in_any_order_do_not_lock_each_other_out),
        cmocka_unit_test(an_element_that_comes_just_before_the_wait_is_found),
        cmocka_unit_test(tokens_are_neither_lost_nor_doubled),
        cmocka_unit_test(the_descriptor_is_readable_while_a_receive_would_not_wait),
        cmocka_unit_test(the_descriptor_tells_of_a_waiting_sender),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
