/** \file
 * A task on its way in: from its JSON object to a record, with everything that is wrong with it
 * told at once.
 */
#ifndef API_FIELDS_H
#define API_FIELDS_H

#include <jansson.h>

#include "api/core.h"
#include "api/problem.h"
#include "api/scan.h"
#include "store/record.h"

/** What tasks of one request have in common. */
struct fields {
    const struct config *config; // the request's
    const struct config_limits *limits;
    int64_t now_ms;
    const struct config_token *token;     // of the request
    json_t *defaults;                     // an object of what the query gives; NULL: nothing
    char traceparent[RECORD_TRACE_BYTES]; // of the request; "": none
};

/** Reads the query's task parameters. -EINVAL: problem_text (512 bytes) names the first bad one;
 * -EACCES: the same of a name that the token is not for; -ENOMEM. */
int fields_init(struct fields *fields, const struct request *request, char *ret_problem)
    RN_MUST_CHECK;
void fields_fini(struct fields *fields);

/**
 * Makes the record of one task.
 *
 * @param text        the JSON text that task was parsed from, for the exact spelling of args
 * @param scan        of it; offsets into text
 *
 * **Ownership:** ret_record is new. **Errors:** -EINVAL: faults has grown; -EBADMSG: args is there
 * but not found in the text (its key was written with escapes); -ENOMEM.
 */
int fields_task(const struct fields *fields, json_t *task, const char *text,
                const struct scan *scan, struct faults *faults, struct record **ret_record)
    RN_MUST_CHECK;

/**
 * Reads the change of a waiting task; null sets a field back to what its kind, or nobody, says.
 *
 * @param task        as it is, with its args
 * @param ret_record  empty; its fields that *ret_fields (a set of store_edit_field) names are set
 *
 * **Errors:** -EINVAL: faults has grown; -ENOMEM.
 */
int fields_change(const struct fields *fields, json_t *change, const struct record *task,
                  struct faults *faults, struct record *ret_record, unsigned *ret_fields)
    RN_MUST_CHECK;

#endif
