/** \file
 * The lines of an export (NDJSON): a head, then each queue, task and key. One table a sort of line
 * says its members, where they stand in the store, and what an import allows of them; export.c
 * writes by it, import.c reads by it.
 *
 * A member that has no value in the store (NULL, or false) is left out. Instants and durations are
 * milliseconds. JSON that the store keeps (args, results, tags, …) stands in the line as it is.
 */
#ifndef STORE_EXCHANGE_H
#define STORE_EXCHANGE_H

#include "store/buffer.h"
#include "store/sqlite.h"

enum {
    EXCHANGE_FORMAT = 1,       // of the lines: the head's member runnel_export
    EXCHANGE_MEMBERS_MAX = 40, // of a line
    EXCHANGE_STATEMENTS_MAX = 4,
    EXCHANGE_HASH_BYTES = 32,
};

enum exchange_sort {
    EXCHANGE_NUMBER, // least..most
    EXCHANGE_SWITCH, // true, or left out
    EXCHANGE_TEXT,   // least..most bytes
    EXCHANGE_NAME,   // of a queue or kind
    EXCHANGE_RATE,   // "10/s"
    EXCHANGE_TRACE,  // a traceparent
    EXCHANGE_STATE,  // its name
    EXCHANGE_JSON,   // any value
    EXCHANGE_ARRAY,
    EXCHANGE_OBJECT,
    EXCHANGE_HASH, // in hexadecimal digits
};

struct exchange_member {
    const char *name;
    const char *sql; // what it is in the export's SELECT
    enum exchange_sort sort;
    int since; // version of the schema that brought it
    bool is_required;
    int64_t least, most;
};

enum exchange_line {
    EXCHANGE_HEAD,
    EXCHANGE_QUEUE,
    EXCHANGE_TASK,
    EXCHANGE_KEY,
    EXCHANGE_LINE_COUNT,
};

struct exchange_table {
    const char *what; // "task"
    const struct exchange_member *members;
    size_t member_count;
    const char *from; // the rest of the SELECT: the rows in the export's order
    // Run for each line, the members as parameters of their names. The first one may give a
    // sentence: what is wrong with them together.
    const char *statements[EXCHANGE_STATEMENTS_MAX];
};

extern const struct exchange_table exchange_tables[EXCHANGE_LINE_COUNT];

/** Adds the SELECT of a table's rows, each member a column; one that is newer than the store's
 * version is NULL. */
void exchange_select(const struct exchange_table *table, int version, struct buffer *sql);
/** Whether a text of a name, a rate, a traceparent or any text is what the member may be. */
bool exchange_text_fits(const struct exchange_member *member, const char *text, size_t length);
/**
 * Whether what a store has in a column is what the member may be, as far as can be seen without
 * reading JSON: what an import would take.
 *
 * **Errors:** -EBADMSG: it is not; -ENOMEM.
 */
int exchange_fits(const struct exchange_member *member, sqlite3_stmt *row, int column)
    RN_MUST_CHECK;

#endif
