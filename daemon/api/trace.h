/** \file
 * The caller's place in a trace: the header field traceparent of W3C's Trace Context (Level 1,
 * section 3.2), which a task keeps.
 */
#ifndef API_TRACE_H
#define API_TRACE_H

#include "api/core.h"
#include "store/record.h"

/**
 * What a value of the field says, in the form of version 00; a later version's is read as far as
 * version 00 goes (section 3.2.4).
 *
 * **Errors:** -EINVAL: malformed, all zero, or version ff; ret_traceparent is "".
 */
int trace_parse(const char *value, size_t length, char ret_traceparent[RECORD_TRACE_BYTES])
    RN_MUST_CHECK;

/** The request's own. Where there is none, it is malformed, or there are two: "", and nothing else
 * happens. */
void trace_of_request(const struct request *request, char ret_traceparent[RECORD_TRACE_BYTES]);

#endif
