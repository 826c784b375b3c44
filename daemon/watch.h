/** \file
 * What systemd is told of the daemon while it runs: STATUS=, and WATCHDOG=1 while store
 * and HTTP threads turn. For main's thread; without systemd it does nothing.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <runnel/clock.h>

#include "api/server.h"

enum { WATCH_NOTE_MAX = 640 };

struct watch {
    struct engine *engine;
    struct server *server;
    bool is_on;                          // somebody listens
    rn_duration watchdog;                // systemd's interval; 0: none
    rn_time next_status;                 // when the status is looked at again
    rn_time next_beat;                   // when the threads are
    uint64_t engine_beats, server_beats; // at the last WATCHDOG=1
    char status[256 + WATCH_NOTE_MAX];   // as told last
    char note[WATCH_NOTE_MAX];           // what stands behind the figures; "": nothing
    rn_time note_until;
};

void watch_init(struct watch *watch, struct engine *engine, struct server *server);
/** Does what is due: in a drain with_status is false, since that has a status of its own. */
void watch_turn(struct watch *watch, bool with_status);
/** How long poll may wait until something is due; -1: nothing will be. */
int watch_timeout_ms(const struct watch *watch);
/** Puts a text behind the figures, at once, for so long. */
void watch_note(struct watch *watch, const char *text, rn_duration length);

#endif
