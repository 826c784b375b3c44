/** \file
 * Text that grows: answers are appended to it. An allocation that fails makes the buffer failed:
 * all later appends do nothing, and who takes the text learns of it once, at the end.
 */
#ifndef STORE_BUFFER_H
#define STORE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/error.h>

struct buffer {
    char *bytes; // NULL while capacity is 0
    size_t length;
    size_t capacity;
    bool failed;
};

/** Frees what it holds and leaves it empty. */
void buffer_fini(struct buffer *buffer);
/** Room for `more` bytes behind what is there; NULL: failed. The caller adds what it has written to
 * length. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_add(struct buffer *buffer, const char *bytes, size_t length);
/** A NUL-terminated text. */
void buffer_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...) RN_PRINTF(2, 3);
void buffer_unsigned(struct buffer *buffer, uint64_t number);
void buffer_signed(struct buffer *buffer, int64_t number);

/** The bytes of a literal, without a call of strlen. */
#define BUFFER_LITERAL(buffer, literal) buffer_add((buffer), "" literal, sizeof(literal) - 1)

/** Whether all of it is UTF-8. */
bool buffer_is_utf8(const char *bytes, size_t length);

/* JSON values. */

/** A string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buffer_json_string(struct buffer *buffer, const char *bytes, size_t length);
/** The same of a NUL-terminated text; NULL: null. */
void buffer_json_text(struct buffer *buffer, const char *text);
/** "2026-11-24T22:25:46.123Z"; 0: null. */
void buffer_json_instant(struct buffer *buffer, int64_t ms);
/** "1h30m". */
void buffer_json_duration(struct buffer *buffer, int64_t ms);
void buffer_json_bool(struct buffer *buffer, bool value);

/** The same JSON text with indentation, numbers and strings as they are, in place. */
void buffer_json_indent(struct buffer *buffer);

#endif
