/** \file Members of the JSON objects that calls take: unknown ones, and lengths of time. */
#ifndef API_MEMBERS_H
#define API_MEMBERS_H

#include <jansson.h>

#include "api/problem.h"

/** Adds a fault for each member that is none of names (NULL-terminated), with "did you mean"; base
 * is the object's own pointer. */
void members_unknown(json_t *object, const char *base, const char *const *names,
                     struct faults *faults);
/** A length of time of at most 100 years: a string or a number of seconds; in milliseconds, at
 * least 1 unless it is 0. -EINVAL. */
int members_duration(json_t *value, int64_t *ret_ms) RN_MUST_CHECK;

#endif
