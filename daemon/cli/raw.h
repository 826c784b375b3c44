/** \file A member of a JSON object as it was sent: its numbers keep all their digits. */
#ifndef CLI_RAW_H
#define CLI_RAW_H

#include <stddef.h>

/** The bytes of the value of an object's own member; NULL: it has none. The text is JSON that has
 * been parsed before. */
const char *raw_member(const char *text, size_t length, const char *name, size_t *ret_length);

#endif
