/** \file What the harness's files share with each other. */
#ifndef INTEGRATION_HARNESS_OWN_H
#define INTEGRATION_HARNESS_OWN_H

#include "harness.h"

/** At the end of a failed scenario: shows the daemons' logs. */
void daemons_show(void);
/** In a child between fork and exec: dies with the test, takes the signals and the environment of
 * an ordinary start. */
void child_prepare(const char *const *environment);
/** Waits for the process's end without taking its status. false: not within so long. */
bool process_ends(pid_t pid, int64_t within_ms);
/** Exit code, or minus the signal. */
int process_status(int wait_status);

#endif
