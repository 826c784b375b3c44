/** \file What a request must be before it is worked on: gate, route, query, what body may follow.
 */
#ifndef API_GATE_H
#define API_GATE_H

#include "api/core.h"

/** With the header alone: accepts the request (phase REQUEST_BODY) or answers it. */
void gate_begin(struct request *request, const char *url, const char *method, const char *version);
/** The part after framing and origin, for a request without a body once it is complete. false:
 * answered. */
bool gate_route(struct request *request, const char *url, const char *method) RN_MUST_CHECK;

#endif
