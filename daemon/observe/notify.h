/** \file What systemd is told (sd_notify). Without NOTIFY_SOCKET nothing is sent. A message that
 * can't be sent is no error of ours. */
#ifndef OBSERVE_NOTIFY_H
#define OBSERVE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <runnel/clock.h>

/** Whether somebody listens: what costs something need not be made for nobody. */
bool notify_is_on(void);
/** READY=1: tasks are accepted, or the reload that notify_reloading announced is over. */
void notify_ready(void);
/** RELOADING=1, with the instant that systemd 253 and later (Type=notify-reload) wants beside it.
 */
void notify_reloading(void);
/** STATUS=: one line; control characters of the text are left out. */
void notify_status(const char *text);
/** STATUS and EXTEND_TIMEOUT_USEC of a start that takes long: `what` is under way, done of total
 * (0: nobody knows). Called again at least every minute. */
void notify_starting(const char *what, uint64_t done, uint64_t total);
/** How often systemd wants notify_alive at least (WATCHDOG_USEC, for this process); 0: it does not.
 */
rn_duration notify_watchdog(void);
/** WATCHDOG=1. */
void notify_alive(void);
/** STOPPING=1 with a STATUS line that names how many tasks still run. */
void notify_stopping(unsigned running);
/** EXTEND_TIMEOUT_USEC: the stop may take this much longer. */
void notify_extend(rn_duration length);
/** Waits until systemd has read what was sent (sd_notify_barrier), at most a second; before the
 * process ends. */
void notify_barrier(void);

#endif
