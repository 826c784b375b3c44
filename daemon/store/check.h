/** \file The check of a store that no daemon has. It stands by itself since the client uses it too,
 * on a copy, and nothing else of the store. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include <stdint.h>

#include "observe/error.h"

/** A line of a report, without its newline. */
typedef void store_line_fn(void *arg, const char *line);

struct store_check_result {
    int version; // of the schema
    uint64_t tasks, keys;
    unsigned checks;
    uint64_t faults;
};

/**
 * Looks at all of a store: its pages, states, counts against rows, args and results that belong to
 * tasks, and texts. Changes nothing.
 *
 * @param line_fn  called with a line for each check, "counts: ok", or for each of its first faults
 *
 * **Blocking:** for as long as reading all of it takes. **Errors:** -EBUSY a daemon has it (exit
 * 73); -EBADMSG no store of Runnel's, of a newer version, or damaged so that nothing can be looked
 * at (65); -EIO (74); as realpath(3) and open(2). Faults that were found are no error.
 */
int store_check(const char *path, store_line_fn *line_fn, void *arg,
                struct store_check_result *ret_result, struct error *reterr) RN_MUST_CHECK;

#endif
