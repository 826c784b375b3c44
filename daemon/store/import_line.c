/* SQLite reads the JSON: what it gives of a value inside a line is the text that stands there, so
 * that args and results come back byte for byte. */
#include "store/import_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/buffer.h"

// NULL: no JSON; -1: no line of an export; else enum exchange_line.
static const char sort_sql[] =
    "SELECT CASE WHEN NOT json_valid(?1) THEN NULL WHEN json_type(?1) <> 'object' THEN -1 "
    "WHEN json_type(?1, '$.runnel_export') IS NOT NULL THEN 0 "
    "WHEN json_type(?1, '$.name') IS NOT NULL THEN 1 WHEN json_type(?1, '$.id') IS NOT NULL THEN 2 "
    "WHEN json_type(?1, '$.key') IS NOT NULL THEN 3 ELSE -1 END";
static const char members_sql[] =
    "SELECT key, type, CASE WHEN key = 'args' OR key = 'result' THEN ?1 -> fullkey ELSE value END "
    "FROM json_each(?1)";

enum { COLUMN_KEY, COLUMN_TYPE, COLUMN_VALUE };

static int broken(struct import_lines *lines, const char *format, ...) RN_PRINTF(2, 3);

static int broken(struct import_lines *lines, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(lines->fault, sizeof(lines->fault), format, list);
    va_end(list);
    return -EBADMSG;
}

static int prepare(struct sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement)
{
    return sqlite_error(sqlite, sqlite3_prepare_v3(sqlite->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                                   ret_statement, NULL));
}

static int prepare_table(struct import_lines *lines, enum exchange_line line)
{
    const struct exchange_table *table = &exchange_tables[line];
    char name[64];
    int r = 0;

    for (unsigned i = 0; i < EXCHANGE_STATEMENTS_MAX && table->statements[i] != NULL; i++) {
        r = prepare(lines->sqlite, table->statements[i], &lines->tables[line].statements[i]);
        if (r < 0)
            return r;
        for (size_t j = 0; j < table->member_count; j++) {
            (void)snprintf(name, sizeof(name), ":%s", table->members[j].name);
            lines->tables[line].parameters[i][j] =
                sqlite3_bind_parameter_index(lines->tables[line].statements[i], name);
        }
    }
    return 0;
}

int import_lines_init(struct import_lines *lines, struct sqlite *sqlite)
{
    memset(lines, 0, sizeof(*lines));
    lines->sqlite = sqlite;
    int r = prepare(sqlite, sort_sql, &lines->sort);
    if (r == 0)
        r = prepare(sqlite, members_sql, &lines->members);
    for (unsigned line = 0; line < EXCHANGE_LINE_COUNT && r == 0; line++)
        r = prepare_table(lines, (enum exchange_line)line);
    return r;
}

static void forget_values(struct import_lines *lines)
{
    for (size_t i = 0; i < EXCHANGE_MEMBERS_MAX; i++)
        sqlite3_value_free(lines->values[i].value);
    memset(lines->values, 0, sizeof(lines->values));
}

void import_lines_fini(struct import_lines *lines)
{
    forget_values(lines);
    // Each tells its last run's error again.
    (void)sqlite3_finalize(lines->sort);
    (void)sqlite3_finalize(lines->members);
    for (unsigned line = 0; line < EXCHANGE_LINE_COUNT; line++) {
        for (unsigned i = 0; i < EXCHANGE_STATEMENTS_MAX; i++)
            (void)sqlite3_finalize(lines->tables[line].statements[i]);
    }
}

/* ---- what may stand in a member ---- */

static bool hash_from_text(const char *text, size_t length, unsigned char *ret_hash)
{
    static const char digits[] = "0123456789abcdef";

    if (length != (size_t)EXCHANGE_HASH_BYTES * 2)
        return false;
    for (size_t i = 0; i < length; i++) {
        const char *digit = memchr(digits, text[i], 16);
        if (digit == NULL)
            return false;
        ret_hash[i / 2] = (unsigned char)(ret_hash[i / 2] << 4 | (digit - digits));
    }
    return true;
}

/* Of a string. */
static int look_at_text(struct import_lines *lines, const struct exchange_member *member,
                        struct import_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value->value);
    int length = sqlite3_value_bytes(value->value);
    enum task_state state = TASK_STATE_COUNT;

    if (text == NULL)
        return -ENOMEM;
    bool fits = exchange_text_fits(member, text, (size_t)length);
    switch (member->sort) {
    case EXCHANGE_NAME:
        return fits ? 0 : broken(lines, "%s is no valid name", member->name);
    case EXCHANGE_RATE:
        return fits ? 0 : broken(lines, "%s is no rate", member->name);
    case EXCHANGE_TRACE:
        return fits ? 0 : broken(lines, "%s is none", member->name);
    case EXCHANGE_STATE:
        if (task_state_parse(text, &state) < 0)
            return broken(lines, "there is no such %s", member->name);
        value->number = state;
        return 0;
    case EXCHANGE_HASH:
        return hash_from_text(text, (size_t)length, value->hash)
                   ? 0
                   : broken(lines, "%s has to be %d hexadecimal digits", member->name,
                            2 * EXCHANGE_HASH_BYTES);
    default:
        return fits ? 0 : broken(lines, "%s has a length that it can't have", member->name);
    }
}

static bool is_type(enum exchange_sort sort, const char *type)
{
    switch (sort) {
    case EXCHANGE_NUMBER:
        return strcmp(type, "integer") == 0;
    case EXCHANGE_SWITCH:
        return strcmp(type, "true") == 0 || strcmp(type, "false") == 0;
    case EXCHANGE_TEXT:
    case EXCHANGE_NAME:
    case EXCHANGE_RATE:
    case EXCHANGE_TRACE:
    case EXCHANGE_STATE:
    case EXCHANGE_HASH:
        return strcmp(type, "text") == 0;
    case EXCHANGE_ARRAY:
        return strcmp(type, "array") == 0;
    case EXCHANGE_OBJECT:
        return strcmp(type, "object") == 0;
    case EXCHANGE_JSON:
        return true;
    }
    return false;
}

static int look_at_value(struct import_lines *lines, const struct exchange_member *member,
                         const char *type, struct import_value *value)
{
    static const char *const sorts[] = {
        [EXCHANGE_NUMBER] = "a whole number", [EXCHANGE_SWITCH] = "true or false",
        [EXCHANGE_TEXT] = "a string",         [EXCHANGE_NAME] = "a string",
        [EXCHANGE_RATE] = "a string",         [EXCHANGE_TRACE] = "a string",
        [EXCHANGE_STATE] = "a string",        [EXCHANGE_JSON] = "a value",
        [EXCHANGE_ARRAY] = "an array",        [EXCHANGE_OBJECT] = "an object",
        [EXCHANGE_HASH] = "a string"};

    if (!is_type(member->sort, type))
        return broken(lines, "%s has to be %s", member->name, sorts[member->sort]);
    if (strcmp(sorts[member->sort], "a string") == 0)
        return look_at_text(lines, member, value);
    value->number = sqlite3_value_int64(value->value);
    // One that is too large for an int64_t is no integer to SQLite.
    bool is_in_range = sqlite3_value_type(value->value) == SQLITE_INTEGER &&
                       value->number >= member->least && value->number <= member->most;
    if (member->sort == EXCHANGE_NUMBER && !is_in_range)
        return member->least == member->most
                   ? broken(lines, "%s has to be %lld: it is of another version", member->name,
                            (long long)member->least)
                   : broken(lines, "%s is a number that it can't be", member->name);
    return 0;
}

/* A member that the line has. */
static int take_member(struct import_lines *lines, const struct exchange_table *table)
{
    const char *name = (const char *)sqlite3_column_text(lines->members, COLUMN_KEY);
    const char *type = (const char *)sqlite3_column_text(lines->members, COLUMN_TYPE);
    size_t i = 0;

    if (name == NULL || type == NULL)
        return -ENOMEM;
    while (i < table->member_count && strcmp(table->members[i].name, name) != 0)
        i++;
    if (i == table->member_count)
        return broken(lines, "a %s has no %.64s", table->what, name);
    struct import_value *value = &lines->values[i];
    if (value->value != NULL)
        return broken(lines, "%s stands there twice", name);
    value->value = sqlite3_value_dup(sqlite3_column_value(lines->members, COLUMN_VALUE));
    if (value->value == NULL)
        return -ENOMEM;
    return look_at_value(lines, &table->members[i], type, value);
}

static int take_members(struct import_lines *lines, const struct exchange_table *table)
{
    int result = SQLITE_DONE;
    int r = 0;

    while (r == 0 && (result = sqlite3_step(lines->members)) == SQLITE_ROW)
        r = take_member(lines, table);
    if (r == 0)
        r = sqlite_error(lines->sqlite, result);
    for (size_t i = 0; i < table->member_count && r == 0; i++) {
        if (table->members[i].is_required && lines->values[i].value == NULL)
            r = broken(lines, "a %s needs %s", table->what, table->members[i].name);
    }
    return r;
}

/* ---- into the store ---- */

static int bind(struct import_lines *lines, enum exchange_line line, unsigned which)
{
    const struct exchange_table *table = &exchange_tables[line];
    sqlite3_stmt *statement = lines->tables[line].statements[which];
    int result = sqlite3_clear_bindings(statement);

    for (size_t i = 0; i < table->member_count && result == SQLITE_OK; i++) {
        int parameter = lines->tables[line].parameters[which][i];
        const struct import_value *value = &lines->values[i];
        enum exchange_sort sort = table->members[i].sort;
        if (parameter == 0 || value->value == NULL)
            continue;
        if (sort == EXCHANGE_NUMBER || sort == EXCHANGE_SWITCH || sort == EXCHANGE_STATE)
            result = sqlite3_bind_int64(statement, parameter, value->number);
        else if (sort == EXCHANGE_HASH)
            result = sqlite3_bind_blob(statement, parameter, value->hash, EXCHANGE_HASH_BYTES,
                                       SQLITE_STATIC);
        else
            result = sqlite3_bind_value(statement, parameter, value->value);
    }
    return sqlite_error(lines->sqlite, result);
}

/* The first statement may have a word to say. */
static int run(struct import_lines *lines, enum exchange_line line, unsigned which)
{
    sqlite3_stmt *statement = lines->tables[line].statements[which];

    int r = bind(lines, line, which);
    if (r < 0)
        return r;
    errno = 0;
    int result = sqlite3_step(statement);
    const char *fault =
        result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (fault != NULL)
        r = broken(lines, "%s", fault);
    else if ((result & 0xff) == SQLITE_CONSTRAINT)
        r = broken(lines, "there was a line for this %s before", exchange_tables[line].what);
    else
        r = sqlite_error(lines->sqlite, result);
    (void)sqlite3_reset(statement); // tells the same error again
    return r;
}

/* -EBADMSG: it is none of an export's. */
static int find_sort(struct import_lines *lines, enum exchange_line *ret_sort)
{
    int result = sqlite3_step(lines->sort);

    // What SQLite had no memory for it calls invalid too: then it may have some now.
    if (result == SQLITE_ROW && sqlite3_column_type(lines->sort, 0) == SQLITE_NULL) {
        (void)sqlite3_reset(lines->sort); // it had a row
        result = sqlite3_step(lines->sort);
    }
    int r = sqlite_error(lines->sqlite, result);

    if (result == SQLITE_ROW && sqlite3_column_type(lines->sort, 0) == SQLITE_NULL)
        r = broken(lines, "it is no JSON");
    else if (result == SQLITE_ROW && sqlite3_column_int(lines->sort, 0) < 0)
        r = broken(lines, "it is no line of an export");
    else if (result == SQLITE_ROW)
        *ret_sort = (enum exchange_line)sqlite3_column_int(lines->sort, 0);
    (void)sqlite3_reset(lines->sort); // tells the same error again
    return r;
}

static int store_line(struct import_lines *lines, enum exchange_line *ret_sort)
{
    int r = find_sort(lines, ret_sort);
    if (r == 0)
        r = take_members(lines, &exchange_tables[*ret_sort]);
    (void)sqlite3_reset(lines->members); // tells the same error again
    for (unsigned i = 0; i < EXCHANGE_STATEMENTS_MAX && r == 0; i++) {
        if (lines->tables[*ret_sort].statements[i] != NULL)
            r = run(lines, *ret_sort, i);
    }
    return r;
}

int import_line(struct import_lines *lines, const char *line, size_t length,
                enum exchange_line *ret_sort)
{
    static const char gzip[] = {'\x1f', '\x8b'};

    forget_values(lines);
    // As it is kept, more often than not.
    if (length >= sizeof(gzip) && memcmp(line, gzip, sizeof(gzip)) == 0)
        return broken(lines, "it is compressed by gzip, and has to be unpacked first");
    if (length > INT32_MAX || memchr(line, '\0', length) != NULL || !buffer_is_utf8(line, length))
        return broken(lines, "it is no UTF-8 text");
    int result = sqlite3_bind_text(lines->sort, 1, line, (int)length, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_bind_text(lines->members, 1, line, (int)length, SQLITE_STATIC);
    int r = sqlite_error(lines->sqlite, result);
    return r == 0 ? store_line(lines, ret_sort) : r;
}
