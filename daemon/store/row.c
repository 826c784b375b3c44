/*
 * Rows as records. What the file says is not trusted: each value is looked at here, where it is
 * read, so that nobody behind it meets one that runneld never writes.
 */
#include <stdlib.h>
#include <string.h>

#include "store/queues.h"
#include "store/sqlite.h"

/* The columns of a row statement, in their order. */
enum row_column {
    ROW_ID,
    ROW_STATE,
    ROW_QUEUE,
    ROW_PRIORITY,
    ROW_RUN,
    ROW_ATTEMPT,
    ROW_INTERRUPTIONS,
    ROW_FLAGS,
    ROW_CREATED_AT,
    ROW_QUEUED_AT,
    ROW_DUE_AT,
    ROW_EXPIRES_AT,
    ROW_STARTED_AT,
    ROW_FINISHED_AT,
    ROW_CANCEL_REQUESTED_AT,
    ROW_WORKER,
    ROW_KIND,
    ROW_TIMEOUT,
    ROW_MAX_ATTEMPTS,
    ROW_BACKOFF_BASE,
    ROW_BACKOFF_MAX,
    ROW_TAGS,
    ROW_ARGS,
    ROW_RESULT,
    ROW_ERROR_CODE,
    ROW_ERROR_MESSAGE,
    ROW_EXEC,
    ROW_HISTORY,
    ROW_TRACEPARENT,
    ROW_PARENT,
    ROW_LINKS,
    ROW_COLUMNS,
};

/* What a number may be. A value of another type is none. */
static const struct {
    enum row_column column;
    bool is_needed; // not NULL
    int64_t least, most;
} numbers[] = {
    {ROW_ID, true, 1, RECORD_ID_MAX},
    {ROW_STATE, true, 0, TASK_STATE_COUNT - 1},
    {ROW_QUEUE, true, 1, UINT32_MAX},
    {ROW_PRIORITY, true, -RECORD_PRIORITY_MAX, RECORD_PRIORITY_MAX},
    // These count up: twice what the check lets through, so that they never get there.
    {ROW_RUN, true, 0, 2 * RECORD_ID_MAX},
    {ROW_ATTEMPT, true, 0, 2 * RECORD_COUNT_MAX},
    {ROW_INTERRUPTIONS, true, 0, 2 * RECORD_COUNT_MAX},
    {ROW_FLAGS, true, 0, FLAGS_ALL},
    {ROW_CREATED_AT, true, 0, RECORD_CLOCK_MS_MAX},
    {ROW_QUEUED_AT, false, 0, RECORD_CLOCK_MS_MAX},
    {ROW_DUE_AT, false, RECORD_INSTANT_MS_MIN, RECORD_INSTANT_MS_MAX},
    {ROW_EXPIRES_AT, false, RECORD_INSTANT_MS_MIN, RECORD_INSTANT_MS_MAX},
    {ROW_STARTED_AT, false, 0, RECORD_CLOCK_MS_MAX},
    {ROW_FINISHED_AT, false, 0, RECORD_CLOCK_MS_MAX},
    {ROW_CANCEL_REQUESTED_AT, false, 0, RECORD_CLOCK_MS_MAX},
    {ROW_WORKER, false, 0, RECORD_COUNT_MAX},
    {ROW_TIMEOUT, false, 0, RECORD_LENGTH_MS_MAX},
    {ROW_MAX_ATTEMPTS, false, 0, RECORD_COUNT_MAX},
    {ROW_BACKOFF_BASE, false, 0, RECORD_LENGTH_MS_MAX},
    {ROW_BACKOFF_MAX, false, 0, RECORD_LENGTH_MS_MAX},
    {ROW_PARENT, false, 0, RECORD_ID_MAX},
    {ROW_LINKS, false, 0, RECORD_LINKS_MAX},
};

static int read_numbers(sqlite3_stmt *row, struct record *record, unsigned *flags)
{
    int64_t values[ROW_COLUMNS] = {0};
    bool has = false;
    int r = 0;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == 0; i++)
        r = sqlite_number(row, (int)numbers[i].column, numbers[i].least, numbers[i].most,
                          numbers[i].is_needed ? NULL : &has, &values[numbers[i].column]);
    if (r < 0)
        return r;
    record->id = (uint64_t)values[ROW_ID];
    record->state = (enum task_state)values[ROW_STATE];
    record->priority = (int)values[ROW_PRIORITY];
    record->run = (uint64_t)values[ROW_RUN];
    record->attempt = (unsigned)values[ROW_ATTEMPT];
    record->interruptions = (unsigned)values[ROW_INTERRUPTIONS];
    *flags = (unsigned)values[ROW_FLAGS];
    record->args_in_store = (*flags & FLAG_ARGS_LARGE) != 0;
    record->result_is_json = (*flags & FLAG_RESULT_JSON) != 0;
    record->error_retryable = (*flags & FLAG_RETRYABLE) != 0;
    record->is_on_failure = (*flags & FLAG_ON_FAILURE) != 0;
    record->parent = (uint64_t)values[ROW_PARENT];
    record->links = (unsigned)values[ROW_LINKS];
    record->created_at_ms = values[ROW_CREATED_AT];
    record->queued_at_ms = sqlite3_column_type(row, ROW_QUEUED_AT) == SQLITE_NULL
                               ? record->created_at_ms
                               : values[ROW_QUEUED_AT];
    record->due_at_ms = values[ROW_DUE_AT];
    record->expires_at_ms = values[ROW_EXPIRES_AT];
    record->started_at_ms = values[ROW_STARTED_AT];
    record->finished_at_ms = values[ROW_FINISHED_AT];
    record->cancel_requested_at_ms = values[ROW_CANCEL_REQUESTED_AT];
    record->worker = (unsigned)values[ROW_WORKER];
    record->timeout_ms = values[ROW_TIMEOUT];
    record->max_attempts = (unsigned)values[ROW_MAX_ATTEMPTS];
    record->backoff_base_ms = values[ROW_BACKOFF_BASE];
    record->backoff_max_ms = values[ROW_BACKOFF_MAX];
    return 0;
}

/* Text borrowed from the row; NULL: no value. A blob is none that was written. */
static int read_text(sqlite3_stmt *row, int column, const char **ret_bytes, size_t *ret_length)
{
    int type = sqlite3_column_type(row, column);

    *ret_bytes = NULL;
    *ret_length = 0;
    if (type == SQLITE_NULL)
        return 0;
    if (type != SQLITE_TEXT)
        return -EBADMSG;
    *ret_bytes = (const char *)sqlite3_column_text(row, column);
    if (*ret_bytes == NULL)
        return -ENOMEM;
    *ret_length = (size_t)sqlite3_column_bytes(row, column);
    return 0;
}

/* Copies a short text of at most size - 1 bytes; NULL becomes "". */
static int read_short(sqlite3_stmt *row, int column, char *text, size_t size)
{
    const char *bytes = NULL;
    size_t length = 0;

    text[0] = '\0';
    int r = read_text(row, column, &bytes, &length);
    if (r < 0 || bytes == NULL)
        return r;
    if (length >= size || memchr(bytes, '\0', length) != NULL)
        return -EBADMSG;
    memcpy(text, bytes, length + 1);
    return 0;
}

/* Texts of any length. Of JSON, which is not read here but looked into elsewhere, the outermost
 * brackets. */
static const struct {
    enum row_column column;
    const char *brackets; // NULL: any text
    size_t place;         // of the struct text in the record
} texts[] = {
    {ROW_TAGS, "[]", offsetof(struct record, tags)},
    {ROW_ARGS, NULL, offsetof(struct record, args)},
    {ROW_RESULT, NULL, offsetof(struct record, result)},
    {ROW_ERROR_MESSAGE, NULL, offsetof(struct record, error_message)},
    {ROW_EXEC, "{}", offsetof(struct record, exec)},
    {ROW_HISTORY, "[]", offsetof(struct record, history)},
};

static int read_long(sqlite3_stmt *row, int column, const char *brackets, struct text *text)
{
    const char *bytes = NULL;
    size_t length = 0;

    int r = read_text(row, column, &bytes, &length);
    if (r < 0 || bytes == NULL)
        return r;
    if (brackets != NULL &&
        (length < 2 || bytes[0] != brackets[0] || bytes[length - 1] != brackets[1]))
        return -EBADMSG;
    return text_set(text, bytes, length);
}

static int read_texts(sqlite3_stmt *row, struct record *record)
{
    int r = read_short(row, ROW_KIND, record->kind, sizeof(record->kind));
    if (r == 0 && !config_name_valid(record->kind))
        r = -EBADMSG;
    if (r == 0)
        r = read_short(row, ROW_ERROR_CODE, record->error_code, sizeof(record->error_code));
    if (r == 0)
        r = read_short(row, ROW_TRACEPARENT, record->traceparent, sizeof(record->traceparent));
    if (r == 0 && record->traceparent[0] != '\0' &&
        !record_trace_valid(record->traceparent, strlen(record->traceparent)))
        r = -EBADMSG;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && r == 0; i++)
        r = read_long(row, (int)texts[i].column, texts[i].brackets,
                      (struct text *)(void *)((char *)record + texts[i].place));
    return r;
}

int sqlite_record(struct sqlite *sqlite, enum sqlite_statement which, struct queues *queues,
                  struct record *record, unsigned *ret_flags)
{
    sqlite3_stmt *row = sqlite->prepared[which].statement;
    unsigned flags = 0;

    record_init(record);
    int r = read_numbers(row, record, &flags);
    if (r == 0)
        r = queues_name(queues, sqlite3_column_int64(row, ROW_QUEUE), record->queue);
    if (r == 0)
        r = read_texts(row, record);
    if (r < 0) {
        record_fini(record);
        return r;
    }
    if (ret_flags != NULL)
        *ret_flags = flags;
    return 0;
}

int sqlite_record_new(struct sqlite *sqlite, enum sqlite_statement which, struct queues *queues,
                      struct record **ret_record, unsigned *ret_flags)
{
    struct record *record = malloc(sizeof(*record));
    if (record == NULL)
        return -ENOMEM;
    int r = sqlite_record(sqlite, which, queues, record, ret_flags);
    if (r < 0) {
        free(record);
        return r;
    }
    *ret_record = record;
    return 0;
}

/* The columns of SQL_KEY. */
enum key_column {
    KEY_IS_STREAM,
    KEY_HASH,
    KEY_FIRST_ID,
    KEY_LAST_ID,
    KEY_COUNT,
    KEY_CREATED_AT,
};

static int read_key(sqlite3_stmt *row, struct store_key_state *state)
{
    const void *hash = sqlite3_column_blob(row, KEY_HASH);
    int64_t first = 0;
    int64_t last = 0;
    int64_t count = 0;

    if (sqlite3_column_type(row, KEY_HASH) != SQLITE_BLOB ||
        sqlite3_column_bytes(row, KEY_HASH) != (int)sizeof(state->hash))
        return -EBADMSG;
    if (hash == NULL)
        return -ENOMEM;
    int r = sqlite_number(row, KEY_FIRST_ID, 0, RECORD_ID_MAX, NULL, &first);
    if (r == 0)
        r = sqlite_number(row, KEY_LAST_ID, 0, RECORD_ID_MAX, NULL, &last);
    if (r == 0)
        r = sqlite_number(row, KEY_COUNT, 0, RECORD_ID_MAX, NULL, &count);
    if (r == 0)
        r = sqlite_number(row, KEY_CREATED_AT, 0, RECORD_CLOCK_MS_MAX, NULL, &state->created_at_ms);
    if (r < 0)
        return r;
    state->is_stream = sqlite3_column_int(row, KEY_IS_STREAM) != 0;
    // Its ids are counted off; those of an array are all told.
    bool are_ids = count == 0 || (first >= 1 && last - first + 1 >= count);
    if (!are_ids || (!state->is_stream && count > STORE_KEY_ARRAY_MAX))
        return -EBADMSG;
    memcpy(state->hash, hash, sizeof(state->hash));
    state->exists = true;
    state->first_id = (uint64_t)first;
    state->last_id = (uint64_t)last;
    state->count = (uint64_t)count;
    return 0;
}

int sqlite_key_state(struct sqlite *sqlite, const char *key, struct store_key_state *ret_state)
{
    struct store_key_state state = {0};

    sqlite_bind_text(sqlite, SQL_KEY, 1, key, strlen(key));
    int r = sqlite_next(sqlite, SQL_KEY);
    if (r == 1) {
        r = read_key(sqlite->prepared[SQL_KEY].statement, &state);
        sqlite_reset(sqlite, SQL_KEY);
    }
    if (r == 0)
        *ret_state = state;
    return r;
}
