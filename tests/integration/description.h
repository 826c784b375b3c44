/** \file
 * Holds every answer that a test gets against the API's description, and notes what of the
 * description was seen.
 *
 * A difference fails the scenario in which it came up. What was seen is written into a file of the
 * folder RUNNEL_SEEN when the program ends; tests/openapi/test_seen looks at all of them. Its lines
 * name places of the description, as in description_place.
 */
#ifndef INTEGRATION_DESCRIPTION_H
#define INTEGRATION_DESCRIPTION_H

#include "harness.h"

/** Looks at the answer to a request. Threads: any. */
void description_look(const struct request *request, const struct reply *reply);
/** The same of an answer to bytes that the test has sent itself: as what it is a problem. Other
 * answers are not looked at. Threads: any. */
void description_look_bare(const struct reply *reply);
/** A scenario was skipped: then something may stay unseen. */
void description_skipped(void);
/** The first difference since the last call; NULL: there was none. The caller frees it. */
char *description_difference(void);
/** Writes what was seen, for a program of this name. */
void description_save(const char *name);

#endif
