/** \file A text table, fitted to the width of a terminal. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <runnel/error.h>

enum table_color {
    TABLE_PLAIN,
    TABLE_GREEN,
    TABLE_RED,
    TABLE_YELLOW,
    TABLE_BLUE,
    TABLE_DIM,
    TABLE_BOLD
};

enum { TABLE_COLUMNS_MAX = 12 };

struct table_column {
    const char *title;
    bool align_right;
    size_t least; // it may be cut to so many columns; 0: it is never cut
    int drop;     // where cutting is not enough, the highest go first; 0: it stays
};

struct table;

/** columns: an array that outlives the table. **Errors:** -ENOMEM. */
int table_new(const struct table_column *columns, size_t count, struct table **ret_table)
    RN_MUST_CHECK;
void table_free(struct table *table);

/** The next cell, row by row; the text (NULL counts as "") is copied and made safe. **Errors:**
 * -ENOMEM. */
int table_add(struct table *table, const char *text, enum table_color color) RN_MUST_CHECK;

/** Prints titles and rows. width: of the terminal; 0: as wide as it is, nothing is cut. */
void table_print(const struct table *table, FILE *out, size_t width, bool has_color);

/** The escape sequence that begins a colour, and the one that ends it. */
const char *table_color_begin(enum table_color color);
#define TABLE_COLOR_END "\033[0m"

#endif
