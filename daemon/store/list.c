/* The list of tasks: a walk down the ids, newest first, that looks at a few columns of each row and
 * reads in full what fits. It ends at the limit, at 10,000 rows examined, at 8 MiB of records, or
 * after a second; what is left is told by next_before. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "store/jsontext.h"
#include "store/reader.h"

enum { LIST_BYTES_MAX = 8 << 20 };

enum scan_column {
    SCAN_ID,
    SCAN_STATE,
    SCAN_QUEUE,
    SCAN_CREATED_AT,
    SCAN_FINISHED_AT,
    SCAN_KIND,
    SCAN_TAGS,
    SCAN_ERROR_CODE,
};

static bool is_among(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0)
            return true;
    return count == 0;
}

/* Whether a JSON array of strings holds any of the tags. */
static int has_tag(const char *json, size_t length, const struct store_list_filter *filter)
{
    size_t index = 0;
    const json_t *tag = NULL;
    int found = 0;

    json_error_t error;
    json_t *tags = jsontext_read(json, length, JSON_ALLOW_NUL, &error);
    if (tags == NULL) // what can't be read has none
        return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : 0;
    json_array_foreach (tags, index, tag) {
        const char *text = json_string_value(tag);
        if (text != NULL && is_among(text, filter->tags, filter->tag_count))
            found = 1;
    }
    json_decref(tags);
    return found;
}

/* Whether an instant lies between two, themselves not included; 0 is no bound. */
static bool is_between(int64_t ms, int64_t after_ms, int64_t before_ms)
{
    return (after_ms == 0 || ms > after_ms) && (before_ms == 0 || ms < before_ms);
}

/* The part of fits that is about numbers. */
static bool numbers_fit(sqlite3_stmt *row, const struct store_list_filter *filter)
{
    int64_t state = sqlite3_column_int64(row, SCAN_STATE);
    bool is_bound_by_end = filter->finished_after_ms != 0 || filter->finished_before_ms != 0;

    if (filter->states != 0 && (filter->states & (1u << (state & 31))) == 0)
        return false;
    if (!is_between(sqlite3_column_int64(row, SCAN_CREATED_AT), filter->created_after_ms,
                    filter->created_before_ms))
        return false;
    if (!is_bound_by_end)
        return true;
    // Of one that is tried again the column tells of its last attempt.
    return state >= 0 && state < TASK_STATE_COUNT && task_state_is_final((enum task_state)state) &&
           is_between(sqlite3_column_int64(row, SCAN_FINISHED_AT), filter->finished_after_ms,
                      filter->finished_before_ms);
}

/* Whether the text of a column is among the names: 1 or 0. */
static int text_fits(sqlite3_stmt *row, int column, const char *const *names, size_t count)
{
    if (count == 0)
        return 1;
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return 0;
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text == NULL ? -ENOMEM : is_among(text, names, count);
}

/* Whether the row that SQL_SCAN stands at fits the filter: 1 or 0. */
static int fits(struct reader *reader, const struct store_list_filter *filter)
{
    struct sqlite *sqlite = &reader->sqlite;
    sqlite3_stmt *row = sqlite->prepared[SQL_SCAN].statement;
    char queue[CONFIG_NAME_MAX + 1];

    if (!numbers_fit(row, filter))
        return 0;
    if (filter->queue_count > 0) {
        int r = queues_name(reader->readers->queues, sqlite3_column_int64(row, SCAN_QUEUE), queue);
        if (r < 0)
            return r;
        if (!is_among(queue, filter->queues, filter->queue_count))
            return 0;
    }
    int r = text_fits(row, SCAN_KIND, filter->kinds, filter->kind_count);
    if (r == 1)
        r = text_fits(row, SCAN_ERROR_CODE, filter->error_codes, filter->error_code_count);
    if (r <= 0)
        return r;
    if (filter->tag_count == 0)
        return 1;
    if (sqlite3_column_type(row, SCAN_TAGS) == SQLITE_NULL)
        return 0;
    const char *tags = (const char *)sqlite3_column_text(row, SCAN_TAGS);
    if (tags == NULL)
        return -ENOMEM;
    return has_tag(tags, (size_t)sqlite3_column_bytes(row, SCAN_TAGS), filter);
}

/* Walks; the last id that was looked at is *last, 0 when no row is left behind it. */
static int walk(struct reader *reader, struct store_read *read, uint64_t *last)
{
    struct sqlite *sqlite = &reader->sqlite;
    size_t bytes = 0;

    for (unsigned examined = 0; examined < STORE_LIST_EXAMINED_MAX; examined++) {
        int r = sqlite_next(sqlite, SQL_SCAN);
        if (r == 0)
            *last = 0;
        if (r <= 0)
            return r;
        uint64_t id = (uint64_t)sqlite_int(sqlite, SQL_SCAN, SCAN_ID);
        if (id == 0 || id >= *last)
            return -EBADMSG; // the table has another order: the pages would never end
        r = fits(reader, &read->list.filter);
        if (r == 1)
            r = reader_row(reader, id, read->list.with_bodies, &read->list.rows[read->list.count]);
        if (r < 0)
            return r;
        *last = id;
        if (r == 0)
            continue;
        bytes += record_bytes(read->list.rows[read->list.count]);
        read->list.count++;
        if (read->list.count == read->list.limit || bytes >= LIST_BYTES_MAX)
            break;
    }
    return 0;
}

int reader_list(struct reader *reader, struct store_read *read)
{
    struct sqlite *sqlite = &reader->sqlite;
    uint64_t before = read->list.before == 0 ? INT64_MAX : read->list.before;
    uint64_t last = before;

    RN_ASSERT(read->list.limit > 0);
    read->list.count = 0;
    read->list.next_before = 0;
    read->list.rows = calloc(read->list.limit, sizeof(struct record *));
    if (read->list.rows == NULL)
        return -ENOMEM;
    sqlite_bind(sqlite, SQL_SCAN, 1, (int64_t)before);
    int r = walk(reader, read, &last);
    sqlite_reset(sqlite, SQL_SCAN);
    if (r == -EINTR && last != before)
        r = 0; // its time is over: the rest is another page
    if (r < 0) {
        records_free(RN_TAKE(read->list.rows), read->list.count);
        read->list.count = 0;
        return r;
    }
    read->list.next_before = last;
    return 0;
}
