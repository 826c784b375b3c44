/** \file What the tests of POST /v1/backup and POST /v1/export share: a store of some size, and a
 * daemon in which copying it takes long. */
#ifndef INTEGRATION_COPIES_H
#define INTEGRATION_COPIES_H

#include "harness.h"

enum { COPIES_ARGS_BYTES = 100000, COPIES_ARRAY = 50 };

/** So many times COPIES_ARRAY tasks, 5 MiB, that wait in the queue `stopped`, which it pauses. */
void copies_fill(struct daemon *daemon, unsigned count);
/** A POST without a body, and nobody who reads its answer. */
struct wire *copies_ask(struct daemon *daemon, const char *path);
/** A daemon, filled six times, whose every call of that name (of the system) takes so long. Skips
 * the scenario where strace can't trace. */
struct daemon *copies_slow_daemon(const char *config, const char *name, unsigned delay_us);

#endif
