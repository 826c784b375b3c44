/** \file A store with something of everything, as a daemon left it that was killed: for tests that
 * damage it again and again. */
#ifndef INTEGRATION_RICH_H
#define INTEGRATION_RICH_H

#include "harness.h"

/** A daemon, not started, in whose folder it lies: rich.db and rich.running, and rich.lines, its
 * export. */
struct daemon *rich_new(void);
/** Puts it where the daemon, which does not run, looks for its own. */
void rich_unpack(struct daemon *daemon);
/** A path with more behind it. Kept as plain_text() keeps it. */
const char *rich_beside(const char *path, const char *suffix);

#endif
