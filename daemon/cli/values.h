/** \file What the words behind a kind become: a task's args, and the body of a submit. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/error.h"

/**
 * Makes a JSON object of words: name=value a string, name:=value any JSON.
 *
 * **Ownership:** a new text. **Errors:** -EINVAL with a sentence, -ENOMEM.
 */
int values_object(char *const *words, size_t count, char **ret_json, struct error *reterr)
    RN_MUST_CHECK;

/** A JSON string, with its quotes. **Errors:** -EINVAL no UTF-8; -ENOMEM. */
int values_text(const char *text, char **ret_json) RN_MUST_CHECK;

/** Whether a text is one JSON value, without a number that no double can hold. */
bool values_is_json(const char *text, size_t length);

/** An instant of the command line as RFC 3339: that, or local time as "2026-11-28 18:30" or
 * "18:30", which is the next one after now_ms. text: UNITS_INSTANT_BYTES. **Errors:** -EINVAL. */
int values_instant(const char *word, int64_t now_ms, char *text) RN_MUST_CHECK;

#endif
