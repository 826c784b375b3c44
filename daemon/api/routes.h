/** \file The table of calls: method, path, what query parameters and what body it takes, and the
 * function that does it. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/core.h"

enum route_body {
    ROUTE_NO_BODY,
    ROUTE_SMALL_BODY, // JSON, may be left out
    ROUTE_TASKS,      // a task, an array, or a stream
    ROUTE_LINES,      // an export's lines
};

struct route {
    const char *method;
    const char *path; // with {id}, {name}
    request_fn *fn;   // once the body is complete
    enum route_body body;
    unsigned parameters; // set of PARAMETER_BIT
    bool while_starting; // answered before the engine is READY
    enum access_need access;
};

enum { ROUTES_ALLOW_BYTES = 64 };

/**
 * Finds the route and sets request->id and name.
 *
 * @param ret_allow  the methods of the path, as in Allow; set with -EOPNOTSUPP and for OPTIONS
 *
 * **Errors:** -ENOENT no such path; -EOPNOTSUPP the path has no such method; 0 with ret_route NULL:
 * OPTIONS.
 */
int routes_find(struct request *request, const char *method, const char *path,
                const struct route **ret_route, char ret_allow[ROUTES_ALLOW_BYTES]) RN_MUST_CHECK;

/** The routes in the table's order; index below routes_count(). */
size_t routes_count(void);
const struct route *routes_at(size_t index);

/** The nearest parameter that the route takes; NULL: none is near. */
const char *routes_near_parameter(const struct route *route, const char *name);
const char *parameter_name(enum parameter parameter);

#endif
