/** \file What systemd is told (sd_notify). Without NOTIFY_SOCKET nothing is sent. A message that
 * can't be sent is no error of ours. */
#ifndef OBSERVE_NOTIFY_H
#define OBSERVE_NOTIFY_H

#include <runnel/clock.h>

/** READY=1: tasks are accepted. */
void notify_ready(void);
/** STOPPING=1 with a STATUS line that names how many tasks still run. */
void notify_stopping(unsigned running);
/** EXTEND_TIMEOUT_USEC: the stop may take this much longer. */
void notify_extend(rn_duration length);
/** Waits until systemd has read what was sent (sd_notify_barrier), at most a second; before the
 * process ends. */
void notify_barrier(void);

#endif
