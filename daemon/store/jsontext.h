/** \file JSON as a text, read and written so that a lack of memory is told, and told as what it is.
 */
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

/**
 * json_dumps, which gives NULL whenever an allocation failed: by itself it leaves out the name of a
 * member for which there was no room, and goes on.
 *
 * **Ownership:** new (free). **Threads:** any.
 */
char *jsontext_write(const json_t *json, size_t flags);

#endif
