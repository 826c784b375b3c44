/* Connections, results, bindings, and rows as records. */
#include "store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/queues.h"

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
};

static bool is_no_space(int system_errno)
{
    return system_errno == ENOSPC || system_errno == EDQUOT;
}

/*
 * An IOERR is a full disk only where the operation that failed can be taken back: never a sync.
 * SQLite keeps the system's error of a statement, but not that of a COMMIT; of that errno still
 * tells, which was 0 before.
 */
static int io_error(struct sqlite *sqlite, int result)
{
    sqlite->system_errno = errno != 0 ? errno : sqlite3_system_errno(sqlite->db);
    switch (result) {
    case SQLITE_IOERR_NOMEM:
        return -ENOMEM;
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_SHMSIZE:
    case SQLITE_IOERR_TRUNCATE:
        return is_no_space(sqlite->system_errno) ? -ENOSPC : -EIO;
    default:
        return -EIO;
    }
}

static int open_error(struct sqlite *sqlite)
{
    int system_errno = sqlite3_system_errno(sqlite->db);
    return system_errno > 0 ? -system_errno : -EACCES;
}

int sqlite_error(struct sqlite *sqlite, int result)
{
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_IOERR:
        return io_error(sqlite, result);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EAGAIN;
    case SQLITE_INTERRUPT:
        return -EINTR;
    case SQLITE_CANTOPEN:
        return open_error(sqlite);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return -EACCES;
    default:
        return -EPROTO;
    }
}

int sqlite_error_set(struct sqlite *sqlite, int result, const char *what, struct error *reterr)
{
    return error_set(reterr, sqlite_error(sqlite, result), "%s: %s", what,
                     sqlite->db == NULL ? sqlite3_errstr(result) : sqlite3_errmsg(sqlite->db));
}

const char *sqlite_message(struct sqlite *sqlite)
{
    int result = sqlite3_errcode(sqlite->db);
    return result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE
               ? "what is stored is not what runneld wrote (see runneld --check-store)"
               : sqlite3_errmsg(sqlite->db);
}

int sqlite_judge(int r, struct error *reterr)
{
    if (r != -EPROTO)
        return r;
    if (reterr != NULL)
        reterr->code = -EBADMSG;
    return -EBADMSG;
}

int sqlite_open(struct sqlite *sqlite, const char *path, enum sqlite_role role,
                struct error *reterr)
{
    memset(sqlite, 0, sizeof(*sqlite));
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (role == SQLITE_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    int result = sqlite3_open_v2(path, &sqlite->db, flags, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_busy_timeout(sqlite->db, SQLITE_BUSY_MS);
    if (result == SQLITE_OK && role == SQLITE_READER)
        result = sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    // 16 MiB hold the pages that a busy store touches again and again; a reader needs the inner
    // pages of the trees alone.
    if (result == SQLITE_OK)
        result = sqlite3_exec(sqlite->db,
                              role == SQLITE_WRITER ? "PRAGMA cache_size = -16384"
                                                    : "PRAGMA cache_size = -2048",
                              NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(sqlite->db,
                              "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL;"
                              "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                              "PRAGMA secure_delete = OFF; PRAGMA journal_size_limit = 20971520",
                              NULL, NULL, NULL);
    if (result != SQLITE_OK) {
        char what[256];
        (void)snprintf(what, sizeof(what), "cannot open the store '%.200s'", path);
        int r = sqlite_error_set(sqlite, result, what, reterr);
        sqlite_close(sqlite);
        return r;
    }
    return 0;
}

int sqlite_prepare(struct sqlite *sqlite, enum sqlite_role role, struct error *reterr)
{
    for (unsigned i = 0; i < SQL_STATEMENT_COUNT; i++) {
        if ((statement_texts[i].roles & (unsigned)role) == 0)
            continue;
        int result =
            sqlite3_prepare_v3(sqlite->db, statement_texts[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &sqlite->prepared[i].statement, NULL);
        if (result != SQLITE_OK)
            return sqlite_error_set(sqlite, result, "cannot prepare the store's statements",
                                    reterr);
    }
    return 0;
}

void sqlite_close(struct sqlite *sqlite)
{
    for (unsigned i = 0; i < SQL_STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(sqlite->prepared[i].statement); // tells its last run's error again
    int result = sqlite3_close(sqlite->db);
    RN_ASSERT(result == SQLITE_OK); // nothing else uses the connection
    memset(sqlite, 0, sizeof(*sqlite));
}

int sqlite_exec(struct sqlite *sqlite, const char *sql)
{
    errno = 0;
    return sqlite_error(sqlite, sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL));
}

int sqlite_value(struct sqlite *sqlite, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;

    int result = sqlite3_prepare_v2(sqlite->db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    int r = result == SQLITE_DONE ? -EPROTO : sqlite_error(sqlite, result);
    (void)sqlite3_finalize(statement);
    if (r == 0)
        *ret_value = value;
    return r;
}

/* Marks a parameter as bound to a value, and gives the statement. */
static sqlite3_stmt *bound(struct sqlite *sqlite, enum sqlite_statement which, int parameter)
{
    sqlite->prepared[which].bound |= UINT64_C(1) << parameter;
    return sqlite->prepared[which].statement;
}

void sqlite_bind(struct sqlite *sqlite, enum sqlite_statement which, int parameter, int64_t value)
{
    int result = sqlite3_bind_int64(bound(sqlite, which, parameter), parameter, value);
    RN_ASSERT(result == SQLITE_OK); // a parameter that exists, of a statement that does not run
}

void sqlite_bind_text(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                      const char *bytes, size_t length)
{
    if (bytes == NULL) {
        sqlite_bind_null(sqlite, which, parameter);
        return;
    }
    int result = sqlite3_bind_text64(bound(sqlite, which, parameter), parameter, bytes, length,
                                     SQLITE_STATIC, SQLITE_UTF8);
    RN_ASSERT(result == SQLITE_OK);
}

void sqlite_bind_blob(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                      const void *bytes, size_t length)
{
    int result = sqlite3_bind_blob64(bound(sqlite, which, parameter), parameter, bytes, length,
                                     SQLITE_STATIC);
    RN_ASSERT(result == SQLITE_OK);
}

void sqlite_bind_null(struct sqlite *sqlite, enum sqlite_statement which, int parameter)
{
    uint64_t bit = UINT64_C(1) << parameter;
    if ((sqlite->prepared[which].bound & bit) == 0)
        return;
    int result = sqlite3_bind_null(sqlite->prepared[which].statement, parameter);
    RN_ASSERT(result == SQLITE_OK);
    sqlite->prepared[which].bound &= ~bit;
}

void sqlite_bind_optional(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                          int64_t value)
{
    if (value == 0)
        sqlite_bind_null(sqlite, which, parameter);
    else
        sqlite_bind(sqlite, which, parameter, value);
}

int sqlite_run(struct sqlite *sqlite, enum sqlite_statement which)
{
    errno = 0;
    int result = sqlite3_step(sqlite->prepared[which].statement);
    int r = result == SQLITE_ROW ? -EPROTO : sqlite_error(sqlite, result);
    (void)sqlite3_reset(sqlite->prepared[which].statement); // tells the same error again
    return r;
}

int sqlite_next(struct sqlite *sqlite, enum sqlite_statement which)
{
    errno = 0;
    int result = sqlite3_step(sqlite->prepared[which].statement);
    if (result == SQLITE_ROW)
        return 1;
    int r = sqlite_error(sqlite, result);
    (void)sqlite3_reset(sqlite->prepared[which].statement);
    return r;
}

void sqlite_reset(struct sqlite *sqlite, enum sqlite_statement which)
{
    (void)sqlite3_reset(sqlite->prepared[which].statement);
}

int64_t sqlite_int(struct sqlite *sqlite, enum sqlite_statement which, int column)
{
    return sqlite3_column_int64(sqlite->prepared[which].statement, column);
}

static int column_text(sqlite3_stmt *statement, int column, struct text *text)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return 0;
    const char *bytes = (const char *)sqlite3_column_text(statement, column);
    if (bytes == NULL)
        return -ENOMEM;
    return text_set(text, bytes, (size_t)sqlite3_column_bytes(statement, column));
}

int sqlite_text(struct sqlite *sqlite, enum sqlite_statement which, int column, struct text *text)
{
    return column_text(sqlite->prepared[which].statement, column, text);
}

/* Copies a short text of at most size - 1 bytes; NULL becomes "". */
static int column_short(sqlite3_stmt *statement, int column, char *text, size_t size)
{
    text[0] = '\0';
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return 0;
    const char *bytes = (const char *)sqlite3_column_text(statement, column);
    if (bytes == NULL)
        return -ENOMEM;
    size_t length = (size_t)sqlite3_column_bytes(statement, column);
    if (length >= size)
        return -EBADMSG;
    memcpy(text, bytes, length + 1);
    return 0;
}

static void read_numbers(sqlite3_stmt *row, struct record *record, unsigned *flags)
{
    record->id = (uint64_t)sqlite3_column_int64(row, ROW_ID);
    record->state = (enum task_state)sqlite3_column_int(row, ROW_STATE);
    record->priority = sqlite3_column_int(row, ROW_PRIORITY);
    record->run = (uint64_t)sqlite3_column_int64(row, ROW_RUN);
    record->attempt = (unsigned)sqlite3_column_int(row, ROW_ATTEMPT);
    record->interruptions = (unsigned)sqlite3_column_int(row, ROW_INTERRUPTIONS);
    *flags = (unsigned)sqlite3_column_int(row, ROW_FLAGS);
    record->args_in_store = (*flags & FLAG_ARGS_LARGE) != 0;
    record->result_is_json = (*flags & FLAG_RESULT_JSON) != 0;
    record->error_retryable = (*flags & FLAG_RETRYABLE) != 0;
    record->is_on_failure = (*flags & FLAG_ON_FAILURE) != 0;
    record->parent = (uint64_t)sqlite3_column_int64(row, ROW_PARENT);
    record->links = (unsigned)sqlite3_column_int(row, ROW_LINKS);
    record->created_at_ms = sqlite3_column_int64(row, ROW_CREATED_AT);
    record->queued_at_ms = sqlite3_column_type(row, ROW_QUEUED_AT) == SQLITE_NULL
                               ? record->created_at_ms
                               : sqlite3_column_int64(row, ROW_QUEUED_AT);
    record->due_at_ms = sqlite3_column_int64(row, ROW_DUE_AT);
    record->expires_at_ms = sqlite3_column_int64(row, ROW_EXPIRES_AT);
    record->started_at_ms = sqlite3_column_int64(row, ROW_STARTED_AT);
    record->finished_at_ms = sqlite3_column_int64(row, ROW_FINISHED_AT);
    record->cancel_requested_at_ms = sqlite3_column_int64(row, ROW_CANCEL_REQUESTED_AT);
    record->worker = (unsigned)sqlite3_column_int(row, ROW_WORKER);
    record->timeout_ms = sqlite3_column_int64(row, ROW_TIMEOUT);
    record->max_attempts = (unsigned)sqlite3_column_int(row, ROW_MAX_ATTEMPTS);
    record->backoff_base_ms = sqlite3_column_int64(row, ROW_BACKOFF_BASE);
    record->backoff_max_ms = sqlite3_column_int64(row, ROW_BACKOFF_MAX);
}

static int read_texts(sqlite3_stmt *row, struct record *record)
{
    int r = column_short(row, ROW_KIND, record->kind, sizeof(record->kind));
    if (r == 0)
        r = column_short(row, ROW_ERROR_CODE, record->error_code, sizeof(record->error_code));
    if (r == 0)
        r = column_text(row, ROW_TAGS, &record->tags);
    if (r == 0)
        r = column_text(row, ROW_ARGS, &record->args);
    if (r == 0)
        r = column_text(row, ROW_RESULT, &record->result);
    if (r == 0)
        r = column_text(row, ROW_ERROR_MESSAGE, &record->error_message);
    if (r == 0)
        r = column_text(row, ROW_EXEC, &record->exec);
    if (r == 0)
        r = column_text(row, ROW_HISTORY, &record->history);
    if (r == 0)
        r = column_short(row, ROW_TRACEPARENT, record->traceparent, sizeof(record->traceparent));
    return r;
}

int sqlite_record(struct sqlite *sqlite, enum sqlite_statement which, struct queues *queues,
                  struct record *record, unsigned *ret_flags)
{
    sqlite3_stmt *row = sqlite->prepared[which].statement;
    unsigned flags = 0;

    record_init(record);
    int state = sqlite3_column_int(row, ROW_STATE);
    if (state < 0 || state >= TASK_STATE_COUNT)
        return -EBADMSG;
    read_numbers(row, record, &flags);
    int r = queues_name(queues, sqlite3_column_int64(row, ROW_QUEUE), record->queue);
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

int sqlite_key_state(struct sqlite *sqlite, const char *key, struct store_key_state *ret_state)
{
    struct store_key_state state = {0};

    sqlite_bind_text(sqlite, SQL_KEY, 1, key, strlen(key));
    int r = sqlite_next(sqlite, SQL_KEY);
    if (r == 1) {
        sqlite3_stmt *row = sqlite->prepared[SQL_KEY].statement;
        const void *hash = sqlite3_column_blob(row, 1);
        r = hash == NULL || sqlite3_column_bytes(row, 1) != (int)sizeof(state.hash) ? -EBADMSG : 0;
        if (r == 0) {
            memcpy(state.hash, hash, sizeof(state.hash));
            state.exists = true;
            state.is_stream = sqlite3_column_int(row, 0) != 0;
            state.first_id = (uint64_t)sqlite3_column_int64(row, 2);
            state.last_id = (uint64_t)sqlite3_column_int64(row, 3);
            state.count = (uint64_t)sqlite3_column_int64(row, 4);
            state.created_at_ms = sqlite3_column_int64(row, 5);
        }
        sqlite_reset(sqlite, SQL_KEY);
    }
    if (r == 0)
        *ret_state = state;
    return r;
}
