/* Channels of int for tests: see chans.h. */
#include "chans.h"

#include <sched.h>

#include "unit.h"

rn_chan *new_chan(size_t capacity)
{
    rn_chan *chan = NULL;
    assert_int_equal(rn_chan_new(sizeof(int), capacity, &chan), 0);
    return chan;
}

void send_to_waiting(rn_chan *chan, int number)
{
    int r;
    while ((r = rn_chan_try_send(chan, &number)) == -EAGAIN)
        (void)sched_yield();
    assert_int_equal(r, 0);
}

int recv_from_waiting(rn_chan *chan)
{
    int r;
    int number = -1;
    while ((r = rn_chan_try_recv(chan, &number)) == -EAGAIN)
        (void)sched_yield();
    assert_int_equal(r, 0);
    return number;
}

rn_chan *chan_of_numbers(size_t capacity, int below)
{
    rn_chan *chan = new_chan(capacity);

    for (int i = 0; i < below; i++)
        assert_int_equal(rn_chan_try_send(chan, &i), 0);
    return chan;
}
