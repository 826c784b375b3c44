/** \file Which tasks a call is about: the filters of a list, from its query or from a JSON object.
 */
#ifndef API_FILTER_H
#define API_FILTER_H

#include <jansson.h>

#include "api/core.h"

enum { FILTER_TEXTS = 4 };

struct filter {
    struct store_list_filter store; // points into texts, or into the JSON
    char *texts[FILTER_TEXTS];      // new
};

/** Reads the query's parameters. 0, or answered. */
int filter_query(struct request *request, struct filter *filter) RN_MUST_CHECK;
/**
 * Reads the members of an object, each a string or an array of strings; null is as if left out.
 *
 * @param base  the object's own pointer, for the faults
 *
 * **Ownership:** the filter borrows the object's strings.
 *
 * @return whether it has any member that filters
 */
bool filter_json(json_t *object, const char *base, struct filter *filter, struct faults *faults);
/** Of a token for some queues and kinds: the filter becomes one for these alone, all of them or
 * what it names of them. 0; or answered: it names others. */
int filter_limit(struct request *request, struct filter *filter) RN_MUST_CHECK;
void filter_fini(struct filter *filter);

#endif
