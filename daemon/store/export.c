/* The export of a store that no daemon has, or of the copy of one: one read transaction, a line a
 * row, never more than a line in memory. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/buffer.h"
#include "store/copy.h"
#include "store/exchange.h"
#include "store/offline.h"

enum { WRITE_BYTES = 64 << 10 };

struct export
{
    struct sqlite *sqlite;
    const char *path;
    int version;
    int fd;
    const struct store_watch *watch; // NULL: nobody stops it
    struct buffer text;              // lines that are not written yet
    uint64_t rows[EXCHANGE_LINE_COUNT];
    struct error *reterr;
};

static int cannot_read(struct export *export, int r)
{
    return error_set(export->reterr, r, "cannot read the store '%s': %s", export->path,
                     r == -EBADMSG ? "it is damaged: see runneld --check-store"
                                   : sqlite_message(export->sqlite));
}

static int write_out(struct export *export)
{
    size_t written = 0;

    if (export->text.failed)
        return error_set(export->reterr, -ENOMEM, "no memory for a line of the export");
    int r = export->watch == NULL ? 0 : export->watch->fn(export->watch->arg);
    if (r < 0)
        return error_set(export->reterr, r, "the export was stopped: %s", rn_strerror(r));
    while (written < export->text.length) {
        ssize_t n = write(export->fd, export->text.bytes + written, export->text.length - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(export->reterr, -errno, "cannot write the export: %s",
                             strerror(errno));
        written += (size_t)n;
    }
    export->text.length = 0;
    return 0;
}

static void add_hash(struct buffer *text, const unsigned char *bytes, size_t length)
{
    BUFFER_LITERAL(text, "\"");
    for (size_t i = 0; i < length; i++)
        buffer_printf(text, "%02x", bytes[i]);
    BUFFER_LITERAL(text, "\"");
}

/* The value of a column that has one which fits. */
static void add_value(struct buffer *text, enum exchange_sort sort, sqlite3_stmt *row, int column)
{
    const char *bytes = (const char *)sqlite3_column_blob(row, column);
    size_t length = (size_t)sqlite3_column_bytes(row, column);
    int64_t number = sqlite3_column_int64(row, column);

    switch (sort) {
    case EXCHANGE_NUMBER:
        buffer_signed(text, number);
        break;
    case EXCHANGE_SWITCH:
        BUFFER_LITERAL(text, "true");
        break;
    case EXCHANGE_STATE:
        buffer_json_text(text, task_state_name((enum task_state)number));
        break;
    case EXCHANGE_TEXT:
    case EXCHANGE_NAME:
    case EXCHANGE_RATE:
    case EXCHANGE_TRACE:
        buffer_json_string(text, bytes == NULL ? "" : bytes, length);
        break;
    case EXCHANGE_HASH:
        add_hash(text, (const unsigned char *)bytes, length);
        break;
    case EXCHANGE_JSON:
    case EXCHANGE_ARRAY:
    case EXCHANGE_OBJECT:
        buffer_add(text, bytes, length);
        break;
    }
}

static int add_line(struct export *export, const struct exchange_table *table, sqlite3_stmt *row)
{
    struct buffer *text = &export->text;
    bool is_first = true;

    BUFFER_LITERAL(text, "{");
    for (size_t i = 0; i < table->member_count; i++) {
        const struct exchange_member *member = &table->members[i];
        int column = (int)i;
        bool is_none = sqlite3_column_type(row, column) == SQLITE_NULL ||
                       (member->sort == EXCHANGE_SWITCH && sqlite3_column_int64(row, column) == 0);
        int r = exchange_fits(member, row, column);
        if (r < 0)
            return cannot_read(export, r);
        if (is_none)
            continue;
        buffer_text(text, is_first ? "\"" : ",\"");
        buffer_text(text, member->name);
        BUFFER_LITERAL(text, "\":");
        is_first = false;
        add_value(text, member->sort, row, column);
    }
    BUFFER_LITERAL(text, "}\n");
    return text->length >= WRITE_BYTES || text->failed ? write_out(export) : 0;
}

/* The head names how many lines of the others there are. */
static void note_counts(struct store_exchange *counts, sqlite3_stmt *row)
{
    counts->queues = (uint64_t)sqlite3_column_int64(row, 3);
    counts->tasks = (uint64_t)sqlite3_column_int64(row, 4);
    counts->keys = (uint64_t)sqlite3_column_int64(row, 5);
}

static int add_lines(struct export *export, enum exchange_line line, struct store_exchange *counts)
{
    const struct exchange_table *table = &exchange_tables[line];
    struct sqlite *sqlite = export->sqlite;
    struct buffer sql = {.bytes = NULL};
    sqlite3_stmt *statement = NULL;
    int result = SQLITE_NOMEM;
    int r = 0;

    exchange_select(table, export->version, &sql);
    if (!sql.failed)
        result = sqlite3_prepare_v2(sqlite->db, sql.bytes, (int)sql.length, &statement, NULL);
    buffer_fini(&sql);
    if (result == SQLITE_OK) {
        while (r == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
            if (line == EXCHANGE_HEAD)
                note_counts(counts, statement);
            export->rows[line]++;
            r = add_line(export, table, statement);
        }
    }
    if (r == 0 && sqlite_error(sqlite, result) < 0)
        r = cannot_read(export, sqlite_error(sqlite, result));
    (void)sqlite3_finalize(statement); // tells the same error again
    return r;
}

static int write_all(struct export *export, struct store_exchange *ret_counts)
{
    struct store_exchange counts = {0};

    int r = sqlite_exec(export->sqlite, "BEGIN");
    if (r < 0)
        return cannot_read(export, r);
    for (unsigned line = 0; line < EXCHANGE_LINE_COUNT && r == 0; line++)
        r = add_lines(export, (enum exchange_line)line, &counts);
    // A task of a queue that is not there would be left out.
    if (r == 0 &&
        (export->rows[EXCHANGE_QUEUE] != counts.queues ||
         export->rows[EXCHANGE_TASK] != counts.tasks || export->rows[EXCHANGE_KEY] != counts.keys))
        r = cannot_read(export, -EBADMSG);
    if (r == 0)
        r = write_out(export);
    buffer_fini(&export->text);
    if (r == 0)
        *ret_counts = counts;
    return r;
}

int store_export(const char *path, int fd, struct store_exchange *ret_counts, struct error *reterr)
{
    struct offline offline;

    int r = offline_open(&offline, path, SQLITE_READER, reterr);
    if (r < 0)
        return r;
    struct export export = {.sqlite = &offline.sqlite,
                            .path = offline.path,
                            .version = offline.version,
                            .fd = fd,
                            .reterr = reterr};
    r = sqlite_judge(write_all(&export, ret_counts), reterr);
    offline_close(&offline);
    return r;
}

int store_export_copy(struct store_copy *copy, int fd, const struct store_watch *watch,
                      struct store_exchange *ret_counts, struct error *reterr)
{
    struct export export = {.sqlite = &copy->sqlite,
                            .path = "copy",
                            .version = SCHEMA_VERSION,
                            .fd = fd,
                            .watch = watch,
                            .reterr = reterr};

    return write_all(&export, ret_counts);
}
