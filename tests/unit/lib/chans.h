/** \file Channels of int for tests, and peers that are known to wait. */
#ifndef TESTS_LIB_CHANS_H
#define TESTS_LIB_CHANS_H

#include <stddef.h>

#include <runnel/chan.h>

/** A channel of int. */
rn_chan *new_chan(size_t capacity);

/** Sends as soon as a receiver waits on an unbuffered channel, or a full one has room. */
void send_to_waiting(rn_chan *chan, int number);

/** Receives as soon as a sender waits, or an element is there. */
int recv_from_waiting(rn_chan *chan);

/** A channel of int with the numbers below this one in it, open. */
rn_chan *chan_of_numbers(size_t capacity, int below);

#endif
