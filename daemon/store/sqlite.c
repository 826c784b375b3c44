/* Connections, results and bindings. */
#include "store/sqlite.h"

#include <stdio.h>
#include <string.h>

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
    case SQLITE_CONSTRAINT: // what is new to those who write it is there already
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

int sqlite_number(sqlite3_stmt *row, int column, int64_t least, int64_t most, bool *ret_has,
                  int64_t *ret_number)
{
    int type = sqlite3_column_type(row, column);

    *ret_number = 0;
    if (ret_has != NULL)
        *ret_has = type != SQLITE_NULL;
    if (type == SQLITE_NULL)
        return ret_has == NULL ? -EBADMSG : 0;
    *ret_number = sqlite3_column_int64(row, column);
    return type == SQLITE_INTEGER && *ret_number >= least && *ret_number <= most ? 0 : -EBADMSG;
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
