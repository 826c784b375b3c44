/** \file What an Idempotency-Key stands for: SHA-256 over the request, of a stream over its head
 * and then line by line. */
#ifndef API_KEY_H
#define API_KEY_H

#include "api/core.h"

enum { KEY_HASH_BYTES = 32 };

/** Over Content-Type, the query without wait and pretty, and the body. */
void key_hash(const struct request *request, const char *body, size_t length,
              unsigned char ret_hash[KEY_HASH_BYTES]);
/** h(i) = SHA-256(h(i-1) || line); h(0) is key_hash with an empty body. In place. */
void key_chain(unsigned char hash[KEY_HASH_BYTES], const char *line, size_t length);

#endif
