/** \file
 * A look at JSON text before jansson parses it: depth, an estimate of what the tree will cost, and
 * where the raw value of the member `args` stands, so that numbers in it are kept as they were
 * written. It does not judge the grammar: jansson does.
 */
#ifndef API_SCAN_H
#define API_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/error.h>

struct scan {
    size_t begin, end;         // of the value
    size_t containers;         // arrays and objects
    size_t values;             // an upper bound of values and keys
    bool has_args;             // the value is an object with a member that is spelled `args`
    size_t args_from, args_to; // its value, white space around it left out
};

/**
 * Scans one value.
 *
 * @param from       where it begins; white space before it is skipped
 * @param depth_max  of brackets in it
 *
 * **Errors:** -EMSGSIZE: nested too deeply, ret_scan->end is the place. A value without an end ends
 * at length.
 */
int scan_value(const char *text, size_t length, size_t from, unsigned depth_max,
               struct scan *ret_scan) RN_MUST_CHECK;

/** The memory that jansson's tree of it takes, roughly and rather more. */
size_t scan_tree_bytes(const struct scan *scan);

/** The first byte from `from` on that is no JSON white space; length: there is none. */
size_t scan_skip_space(const char *text, size_t length, size_t from);

/** Where the byte at offset stands, both from 1; columns count characters. */
void scan_place(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column);

/** Copies JSON text without the white space outside strings. to has room for length bytes. Returns
 * the length of the copy. */
size_t scan_compact(const char *text, size_t length, char *to);

#endif
