/** \file The modes of runneld that look after a store while no daemon has it. */
#ifndef DAEMON_CARE_H
#define DAEMON_CARE_H

#include "observe/error.h"
#include "options.h"

/** --check-store, --compact, --export and --import: prints what comes out. Returns the exit code,
 * or a negative errno with reterr. */
int care_run(const char *store, const struct options *options, struct error *reterr) RN_MUST_CHECK;
/** -t: warns on standard error of a file system to which a store can't be trusted. */
void care_warn(const char *store);

#endif
