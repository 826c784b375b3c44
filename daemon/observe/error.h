/** \file
 * What a person reads when something failed: a sentence, and where it applies a place (a
 * configuration file's line, a JSON pointer). Made where the cause is known, passed up, never
 * parsed.
 */
#ifndef OBSERVE_ERROR_H
#define OBSERVE_ERROR_H

#include <runnel/error.h>

struct error {
    int code;       // the negative errno that error_set returned
    unsigned line;  // of the file that text names; 0: none
    char text[512]; // one sentence, no newline; cut when longer
};

/**
 * Fills error (NULL allowed) and returns code, so that a failure is one statement: `return
 * error_set(reterr, -errno, "…", …);`
 *
 * **Blocking:** never. **Threads:** any, error being the caller's.
 */
int error_set(struct error *error, int code, const char *format, ...) RN_PRINTF(3, 4);

#endif
