/** \file Text for a terminal: what comes from tasks is made harmless, measured and cut in columns.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include <runnel/error.h>

/**
 * The text with each control character, each character that changes the direction of writing, and
 * each byte that is no UTF-8 as \u001b, as JSON would write it: no task's output reaches the
 * terminal as a command to it.
 *
 * @param keep  characters that stay as they are: "\n\t" or ""
 *
 * **Ownership:** a new text, for free(). **Errors:** -ENOMEM.
 */
int text_safe(const char *text, size_t length, const char *keep, char **ret_safe) RN_MUST_CHECK;

/** How many columns a safe text takes. */
size_t text_width(const char *text);

/** How many bytes of a safe text fit into so many columns. */
size_t text_fit(const char *text, size_t columns);

/** Prints a safe text in exactly so many columns: padded, or cut with an ellipsis as its last
 * one. */
void text_put(FILE *out, const char *text, size_t columns, int align_right);

#endif
