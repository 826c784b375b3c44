/** \file A list's cursor: where the next page begins, bound to the filters of the page that it came
 * from. Opaque to clients. */
#ifndef API_CURSOR_H
#define API_CURSOR_H

#include "api/core.h"

enum { CURSOR_HASH_BYTES = 8, CURSOR_BYTES = 24 };

/** Of the filters: every parameter of a list but limit, cursor, view and pretty. */
void cursor_hash(const struct request *request, unsigned char ret_hash[CURSOR_HASH_BYTES]);
void cursor_text(uint64_t before, const unsigned char hash[CURSOR_HASH_BYTES],
                 char ret_text[CURSOR_BYTES]);
/** -EINVAL: no cursor; -ESTALE: of other filters. */
int cursor_parse(const char *text, const unsigned char hash[CURSOR_HASH_BYTES],
                 uint64_t *ret_before) RN_MUST_CHECK;

#endif
