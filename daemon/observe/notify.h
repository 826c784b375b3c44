/** \file What systemd is told (sd_notify). Without NOTIFY_SOCKET nothing is sent. A message that
 * can't be sent is no error of ours. */
#ifndef OBSERVE_NOTIFY_H
#define OBSERVE_NOTIFY_H

#include <stdint.h>

#include <runnel/clock.h>

/** READY=1: tasks are accepted. */
void notify_ready(void);
/** STATUS and EXTEND_TIMEOUT_USEC of a start that takes long: `what` is under way, done of total
 * (0: nobody knows). Called again at least every minute. */
void notify_starting(const char *what, uint64_t done, uint64_t total);
/** STOPPING=1 with a STATUS line that names how many tasks still run. */
void notify_stopping(unsigned running);
/** EXTEND_TIMEOUT_USEC: the stop may take this much longer. */
void notify_extend(rn_duration length);
/** Waits until systemd has read what was sent (sd_notify_barrier), at most a second; before the
 * process ends. */
void notify_barrier(void);

#endif
