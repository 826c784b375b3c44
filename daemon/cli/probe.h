/** \file What else answers at an address: for the hint that http was written where https is spoken.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdbool.h>

/**
 * Whether the other one of http and https is spoken at a URL. Nothing of the user's is sent.
 *
 * **Blocking:** for a connection and an answer, two seconds at most.
 */
bool probe_other_scheme(const char *url);

#endif
