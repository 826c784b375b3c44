/** \file A line of an export, checked and stored. */
#ifndef STORE_IMPORT_LINE_H
#define STORE_IMPORT_LINE_H

#include "store/exchange.h"

/** A member's value, as it is bound. */
struct import_value {
    sqlite3_value *value;                    // new; NULL: the member is not there
    int64_t number;                          // of a number, switch or state
    unsigned char hash[EXCHANGE_HASH_BYTES]; // of a hash
};

/** The statements that lines go through. */
struct import_lines {
    struct sqlite *sqlite; // borrowed: of the store that is made
    sqlite3_stmt *sort;    // which sort of line it is
    sqlite3_stmt *members; // what is in it
    struct {
        sqlite3_stmt *statements[EXCHANGE_STATEMENTS_MAX];
        int parameters[EXCHANGE_STATEMENTS_MAX][EXCHANGE_MEMBERS_MAX]; // 0: it has none
    } tables[EXCHANGE_LINE_COUNT];
    struct import_value values[EXCHANGE_MEMBERS_MAX]; // of the last line
    char fault[256];                                  // what is wrong with it
};

/** The tables are there. As sqlite_error; import_lines_fini in any case. */
int import_lines_init(struct import_lines *lines, struct sqlite *sqlite) RN_MUST_CHECK;
void import_lines_fini(struct import_lines *lines);

/**
 * Stores a line.
 *
 * @param ret_sort  what it was; its members stay in values until the next one
 *
 * **Errors:** -EBADMSG: lines->fault says what is wrong with it; else as sqlite_error.
 */
int import_line(struct import_lines *lines, const char *line, size_t length,
                enum exchange_line *ret_sort) RN_MUST_CHECK;

#endif
