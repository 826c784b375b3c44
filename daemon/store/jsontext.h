/** \file JSON as a text, read so that a lack of memory is told from a fault of the text. */
#ifndef STORE_JSONTEXT_H
#define STORE_JSONTEXT_H

#include <jansson.h>

/**
 * json_loadb, whose error has the code json_error_out_of_memory whenever an allocation failed:
 * jansson by itself often says that a token is wrong then.
 *
 * **Ownership:** new. **Threads:** any.
 */
json_t *jsontext_read(const char *bytes, size_t length, size_t flags, json_error_t *ret_error);

#endif
