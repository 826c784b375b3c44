/** \file
 * A connection to the database file with its prepared statements, and rows as records. A connection
 * belongs to one thread at a time (SQLITE_OPEN_NOMUTEX). Everything here returns negative errno:
 * sqlite_error says which.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/statements.h"
#include "store/store.h"

struct queues;

enum {
    SQLITE_PAGE_BYTES = 4096,
    SQLITE_FRAME_BYTES = SQLITE_PAGE_BYTES + 24, // of the write-ahead log
    SQLITE_BUSY_MS = 1000, // how long another process that has the file is waited for
};

/** Bits of tasks.flags: frozen, they are in the files. */
enum {
    FLAG_ARGS_LARGE = 1,
    FLAG_RESULT_LARGE = 2,
    FLAG_RESULT_JSON = 4,
    FLAG_RETRYABLE = 8,
    FLAG_ON_FAILURE = 16,
    FLAGS_ALL = 31,
};

struct sqlite {
    sqlite3 *db;
    int system_errno; // of the last fault of the disk
    struct {
        sqlite3_stmt *statement; // NULL: not of this role
        uint64_t bound; // parameters that are not NULL now: a NULL is bound only over a value
    } prepared[SQL_STATEMENT_COUNT];
};

/**
 * Of opening, recovery and the care of a file: an error that is none of the system's means that
 * SQLite can't do with this file what it does with every one that Runnel wrote. Gives -EBADMSG in
 * place of -EPROTO, in reterr too.
 */
int sqlite_judge(int r, struct error *reterr);

/** Opens the file, sets what holds for every connection, and prepares nothing. Opens what is there;
 * the writer makes it. */
int sqlite_open(struct sqlite *sqlite, const char *path, enum sqlite_role role,
                struct error *reterr) RN_MUST_CHECK;
/** Prepares the statements of the role; the schema is there. */
int sqlite_prepare(struct sqlite *sqlite, enum sqlite_role role, struct error *reterr)
    RN_MUST_CHECK;
/** Closes it. The writer's close checkpoints, a reader's does not. One that is not open is allowed.
 */
void sqlite_close(struct sqlite *sqlite);

/**
 * What an SQLite result means: 0 · -ENOMEM · -ENOSPC: the disk is full, the transaction can be
 * rolled back · -EIO: any other fault of the disk, a failed sync among them: what is on it is
 * unknown · -EBADMSG: corrupt · -EAGAIN: another process holds the file · -EINTR: the progress
 * handler ended it · -EPROTO: none of these: a fault of the program.
 */
int sqlite_error(struct sqlite *sqlite, int result);
/** sqlite_error and a sentence with SQLite's own words. */
int sqlite_error_set(struct sqlite *sqlite, int result, const char *what, struct error *reterr);

/** SQLite's words for the last error; where it saw none, that what is stored makes no sense. Until
 * the next call. */
const char *sqlite_message(struct sqlite *sqlite);

/** Runs statements without results or parameters. */
int sqlite_exec(struct sqlite *sqlite, const char *sql) RN_MUST_CHECK;
/** The one integer that a statement without parameters gives. */
int sqlite_value(struct sqlite *sqlite, const char *sql, int64_t *ret_value) RN_MUST_CHECK;

/** Binds a parameter, from 1. Texts are borrowed until the statement has run. 0 bytes pointer:
 * NULL. */
void sqlite_bind(struct sqlite *sqlite, enum sqlite_statement which, int parameter, int64_t value);
void sqlite_bind_text(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                      const char *bytes, size_t length);
void sqlite_bind_blob(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                      const void *bytes, size_t length);
void sqlite_bind_null(struct sqlite *sqlite, enum sqlite_statement which, int parameter);
/** 0 as NULL. */
void sqlite_bind_optional(struct sqlite *sqlite, enum sqlite_statement which, int parameter,
                          int64_t value);

/** Runs a statement that gives no row. */
int sqlite_run(struct sqlite *sqlite, enum sqlite_statement which) RN_MUST_CHECK;
/** The next row: 1; 0: there is none left, and the statement is reset. */
int sqlite_next(struct sqlite *sqlite, enum sqlite_statement which) RN_MUST_CHECK;
/** Before the last row. */
void sqlite_reset(struct sqlite *sqlite, enum sqlite_statement which);
int64_t sqlite_int(struct sqlite *sqlite, enum sqlite_statement which, int column);
/** A number of the current row from least to most; NULL: *ret_has is false and the number 0.
 * -EBADMSG: another number, no number, or NULL where ret_has is NULL. */
int sqlite_number(sqlite3_stmt *row, int column, int64_t least, int64_t most, bool *ret_has,
                  int64_t *ret_number) RN_MUST_CHECK;
/** A copy of a column's text; NULL stays no value. -ENOMEM. */
int sqlite_text(struct sqlite *sqlite, enum sqlite_statement which, int column, struct text *text)
    RN_MUST_CHECK;

/**
 * Reads the current row of SQL_ROW, SQL_CLAIM_… or SQL_DUE into an empty record. Large args and
 * results are not read: args_in_store is set, *ret_flags (NULL allowed) tells.
 *
 * **Errors:** -ENOMEM; -EBADMSG: no row that Runnel wrote. The record is empty then.
 */
int sqlite_record(struct sqlite *sqlite, enum sqlite_statement which, struct queues *queues,
                  struct record *record, unsigned *ret_flags) RN_MUST_CHECK;
/** The same into a new record. */
int sqlite_record_new(struct sqlite *sqlite, enum sqlite_statement which, struct queues *queues,
                      struct record **ret_record, unsigned *ret_flags) RN_MUST_CHECK;
/** The state under a key, SQL_KEY bound and run here; none: exists is false. */
int sqlite_key_state(struct sqlite *sqlite, const char *key, struct store_key_state *ret_state)
    RN_MUST_CHECK;

#endif
