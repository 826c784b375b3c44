/** \file What the tests of POST /v1/import share: an export's lines, and how they are sent. */
#ifndef INTEGRATION_IMPORTS_H
#define INTEGRATION_IMPORTS_H

#include "harness.h"

/** A task's line; more: further members, with a comma before them and ' for ". */
char *imports_task(unsigned id, const char *state, const char *queue, const char *kind,
                   const char *more);
/** A whole export, whose last_id is 99. lines: what stands below its head, ' for ". */
char *imports_lines(unsigned queues, unsigned tasks, unsigned keys, const char *lines);
/** A whole export of so many waiting tasks of one queue, each with so many bytes of args (0: it has
 * none). */
char *imports_waiting(const char *queue, const char *kind, unsigned count, size_t args_bytes);

/** query: "?dry_run", or ""; key: NULL for none. */
struct reply *imports_send(struct daemon *daemon, const char *query, const char *key,
                           const char *lines);
/** It is taken: the answer. */
json_t *imports_done(struct daemon *daemon, const char *lines);
/** The head of a request with a body of so many bytes, which are still to be sent. */
struct wire *imports_begin(struct daemon *daemon, size_t body_bytes);

#endif
