/* Lines of an export: what is taken stands in the store as the line said it, by the statements that
 * write an export; what is refused says why and leaves nothing. Each line of the input goes into
 * the same store, in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/buffer.h"
#include "store/import_line.h"
#include "store/schema.h"

enum { LINES_MAX = 64 };

/* Whether the member, as the export reads it, is what the line had. */
static bool is_same(const struct exchange_member *member, const struct import_value *value,
                    sqlite3_stmt *row, int column)
{
    int bytes = sqlite3_column_bytes(row, column);
    const void *blob = sqlite3_column_blob(row, column);

    switch (member->sort) {
    case EXCHANGE_NUMBER:
    case EXCHANGE_STATE:
        // What the store has a 0 for may have been left out.
        return sqlite3_column_int64(row, column) == (value->value != NULL ? value->number : 0);
    case EXCHANGE_SWITCH:
        return (sqlite3_column_int64(row, column) != 0) ==
               (value->value != NULL && value->number != 0);
    case EXCHANGE_HASH:
        return bytes == EXCHANGE_HASH_BYTES && memcmp(blob, value->hash, (size_t)bytes) == 0;
    default:
        if (value->value == NULL || sqlite3_value_type(value->value) == SQLITE_NULL)
            return sqlite3_column_type(row, column) == SQLITE_NULL;
        return bytes == sqlite3_value_bytes(value->value) &&
               (bytes == 0 || memcmp(blob, sqlite3_value_blob(value->value), (size_t)bytes) == 0);
    }
}

/* Looks for the line's row among those that an export would write. */
static void expect_row(struct import_lines *lines, enum exchange_line line)
{
    const struct exchange_table *table = &exchange_tables[line];
    struct buffer sql = {.bytes = NULL};
    sqlite3_stmt *statement = NULL;
    bool is_found = false;

    exchange_select(table, SCHEMA_VERSION, &sql);
    HOLDS(!sql.failed);
    HOLDS(sqlite3_prepare_v2(lines->sqlite->db, sql.bytes, (int)sql.length, &statement, NULL) ==
          SQLITE_OK);
    while (!is_found && sqlite3_step(statement) == SQLITE_ROW) {
        is_found = true;
        // The head's counts are those of the whole: a single line does not make them true.
        for (size_t i = 0; i < (line == EXCHANGE_HEAD ? 2 : table->member_count) && is_found; i++)
            is_found = is_same(&table->members[i], &lines->values[i], statement, (int)i);
    }
    HOLDS(is_found);
    HOLDS(sqlite3_finalize(statement) == SQLITE_OK);
    buffer_fini(&sql);
}

static void take_line(struct import_lines *lines, const char *line, size_t length)
{
    int before = sqlite3_total_changes(lines->sqlite->db);
    enum exchange_line sort = EXCHANGE_LINE_COUNT;
    // As the import has it: the text alone, without anything behind it.
    char *copy = fuzz_copy(line, length);

    lines->fault[0] = '\0';
    int r = import_line(lines, copy, length, &sort);
    HOLDS(r == 0 || (r == -EBADMSG && lines->fault[0] != '\0'));
    if (r == 0) {
        HOLDS(sort < EXCHANGE_LINE_COUNT);
        expect_row(lines, sort);
    } else {
        HOLDS(sqlite3_total_changes(lines->sqlite->db) == before);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sqlite sqlite;
    static struct import_lines lines;
    const char *at = (const char *)data;
    const char *end = at + size;

    if (sqlite.db == NULL) {
        struct error error;
        HOLDS(schema_model(SCHEMA_VERSION, &sqlite, &error) == 0);
        HOLDS(import_lines_init(&lines, &sqlite) == 0);
    }
    HOLDS(sqlite_exec(&sqlite, "BEGIN") == 0);
    for (unsigned i = 0; i < LINES_MAX && at < end; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        take_line(&lines, at, (size_t)(line_end - at));
        at = newline != NULL ? newline + 1 : end;
    }
    HOLDS(sqlite_exec(&sqlite, "ROLLBACK") == 0);
    return 0;
}
