/** \file POST /v1/tasks with application/x-ndjson: a task a line, stored in slices while it is
 * read. */
#ifndef API_STREAM_H
#define API_STREAM_H

#include "api/core.h"

/** From the header on: the body goes to the stream. */
void stream_begin(struct request *request);
/** The body has ended. */
void stream_end(struct request *request);

#endif
