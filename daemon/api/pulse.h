/** \file
 * A sign of life of a thread of libmicrohttpd: a connection of our own, one end of a socket pair
 * given to the daemon, on which a short request is written now and then. That it is answered proves
 * that the thread polls, reads, calls us and writes. It is no connection of the table, has no
 * deadline, and passes neither gate nor counters.
 *
 * The connection stays open, so that it is there when all others are taken too. Where the thread
 * wants TLS, of which we are no client, each sign is a connection of its own that is closed at
 * once: that the thread closes it too proves as much.
 */
#ifndef API_PULSE_H
#define API_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

struct pulse {
    bool is_tls;        // set once
    _Atomic int theirs; // libmicrohttpd's end, until it closes it; -1: none
    // Of the callers of all but pulse_owns and pulse_closed, one at a time:
    struct MHD_Daemon *daemon; // NULL: not yet, or not any more
    int ours;                  // -1: not connected
    bool asked;
    uint64_t count; // of answers
};

void pulse_init(struct pulse *pulse, bool is_tls);
/** Beats before it do nothing. */
void pulse_daemon(struct pulse *pulse, struct MHD_Daemon *daemon);
/** Closes our end; the daemon, where it still runs, closes its own. Beats after it do nothing. */
void pulse_fini(struct pulse *pulse);
/** Asks for a sign of life if the last one has been given. **Blocking:** never.
 * @return how many have been given */
uint64_t pulse_beat(struct pulse *pulse);
/** Whether this connection is the pulse's. On the daemon's thread, until it is closed. */
bool pulse_owns(const struct pulse *pulse, struct MHD_Connection *mhd);
/** It is being closed. */
void pulse_closed(struct pulse *pulse);

#endif
