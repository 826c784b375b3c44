/** \file The stores of released versions, from tests/integration/stores: what make.sh there made of
 * each version's own daemon; and what is asked of any store. */
#ifndef INTEGRATION_STORES_H
#define INTEGRATION_STORES_H

#include "harness.h"

/** The configuration that goes with them: as make.sh's second one, but kind `later` succeeds. */
extern const char stores_config[];

/** Puts the store of a version ("v1") where the daemon, which does not run, looks for its own. */
void stores_unpack(struct daemon *daemon, const char *version);
/** What its own daemon said of it: tasks, queues. Kept. */
json_t *stores_answers(const char *version);
/** All of its tasks are there as they were, or as the start of a daemon leaves them. */
void stores_expect_tasks(struct daemon *daemon, const char *version);
/** A daemon, not started, with a store of the present version in which there is a task of every
 * state, and a key. */
struct daemon *stores_every_state(void);

/** What runneld --export writes of the store of a daemon that does not run. */
char *stores_exported(const struct daemon *daemon);
/** runneld --check-store finds no fault in the store of a daemon that does not run, and says sum
 * (NULL: whatever). */
void stores_expect_sound(const struct daemon *daemon, const char *sum);
/** No copy and no body lies beside the store, whole or begun. */
void stores_expect_nothing_beside(const struct daemon *daemon);
/** One number by SQL from a database file. */
int64_t stores_query(const char *path, const char *sql);
/** Changes a database file that no daemon has. */
void stores_change(const char *path, const char *sql);

#endif
