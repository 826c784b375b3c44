/** \file What is kept of a command's output: the beginning of stdout, the end of stderr, and both
 * as text that JSON can hold. */
#ifndef RUNNERS_OUTPUT_H
#define RUNNERS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/error.h>

enum { OUTPUT_TAIL_BYTES = 16 * 1024 };

/** The first bytes of a stream, up to a limit. */
struct output_head {
    char *bytes; // limit + 1, so that the byte too many is noticed
    size_t length;
    size_t limit;
    bool over; // there was more than limit
};

/** The last OUTPUT_TAIL_BYTES of a stream. */
struct output_tail {
    char *bytes; // twice as many: the older half is dropped when it is full
    size_t length;
    bool cut; // something was dropped
};

/** All memory is taken here: keeping what comes never fails. -ENOMEM. */
int output_head_init(struct output_head *head, size_t limit) RN_MUST_CHECK;
void output_head_fini(struct output_head *head);
int output_tail_init(struct output_tail *tail) RN_MUST_CHECK;
void output_tail_fini(struct output_tail *tail);

/**
 * Reads what fd has, once.
 *
 * @return bytes read; 0 at the end, or (head) when it is over its limit; -EAGAIN nothing there now;
 * another negative errno
 */
long output_head_read(struct output_head *head, int fd) RN_MUST_CHECK;
long output_tail_read(struct output_tail *tail, int fd) RN_MUST_CHECK;

/** The end of the stream, at most OUTPUT_TAIL_BYTES, not beginning within a character. Borrowed. */
const char *output_tail_text(const struct output_tail *tail, size_t *ret_length);

/** Whether it is valid UTF-8 (Unicode, table 3-7) without NUL. */
bool output_is_utf8(const char *bytes, size_t length);

/**
 * A copy with U+FFFD in place of NUL and of each part that is no UTF-8 (each the longest beginning
 * of a character that it could have been). NUL-terminated, new.
 */
int output_utf8(const char *bytes, size_t length, char **ret_text, size_t *ret_length)
    RN_MUST_CHECK;

/** How many brackets are open at once in valid JSON. */
size_t output_json_depth(const char *json, size_t length);

/** Takes the white space between the tokens out of valid JSON, in place; returns the new length. */
size_t output_json_compact(char *json, size_t length);

#endif
