/** \file Tokens as their owner makes them, and the file of a daemon that has them. */
#ifndef INTEGRATION_TOKENS_H
#define INTEGRATION_TOKENS_H

#include "harness.h"

/** What a shell script makes of --new-token: the first line is the token, the second one, with its
 * newline, is for the file. Kept. */
struct made_token {
    char *token, *line;
};
/** option, value: a further option, such as "--queue"; NULL: none. */
struct made_token tokens_make(const char *name, const char *scope, const char *option,
                              const char *value);
/** Writes the file `tokens` beside the daemon's configuration, so that its owner alone may read it.
 */
void tokens_write(const struct daemon *daemon, const char *lines);

#endif
