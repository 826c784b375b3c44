/** \file The task of request->id as it is, at once or, with ?wait, when it has ended. */
#ifndef API_WAIT_H
#define API_WAIT_H

#include "api/core.h"

/**
 * Reads the task; where request->wait_until is set, waits until it has ended, that instant has
 * come, the client has left, or a drain ends. finish_fn then finds it in request->record. Where it
 * does not exist that has been answered, unless missing_fn is there: it finds the error in
 * request->read.result.
 */
void wait_read(struct request *request, request_fn *finish_fn, request_fn *missing_fn);

#endif
