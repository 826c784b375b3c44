/** \file The SQL of the store's statements, by name. */
#ifndef STORE_STATEMENTS_H
#define STORE_STATEMENTS_H

/** Who prepares a statement: a set. */
enum sqlite_role { SQLITE_WRITER = 1, SQLITE_READER = 2 };

enum sqlite_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_PUT,
    SQL_PUT_ARGS,
    SQL_PUT_RESULT,
    SQL_PUT_FAILED, // of a follow-up whose args do not fit
    SQL_START,
    SQL_FINISH_END,   // to a final state
    SQL_FINISH_AGAIN, // to retrying, queued
    SQL_LOOK,
    SQL_ROW,
    SQL_HOLD,
    SQL_EDIT,
    SQL_CANCEL,
    SQL_CANCEL_RECORD,
    SQL_RETRY,
    SQL_DELETE,
    SQL_DELETE_ARGS,
    SQL_DELETE_RESULT,
    SQL_CLAIM_SAME,
    SQL_CLAIM_BELOW,
    SQL_EXPIRED,
    SQL_DUE,
    SQL_PROMOTE,
    SQL_NEXT_DUE,
    SQL_NEXT_EXPIRY,
    SQL_OLDEST,
    SQL_KEY,
    SQL_KEY_PUT,
    SQL_KEY_EXTEND,
    SQL_KEYS_OLD,
    SQL_KEY_DELETE,
    SQL_QUEUE_PUT,
    SQL_QUEUE_SETTINGS,
    SQL_COUNTS,
    SQL_LAST_ID,
    SQL_INTERRUPT,
    SQL_RUNNING,
    SQL_HELD_KINDS,
    SQL_HELD_COUNTS,
    SQL_RELEASE,
    SQL_HELD,
    SQL_FIRST,
    SQL_SCAN,
    SQL_LARGE_ARGS,
    SQL_LARGE_RESULT,
    SQL_CHILDREN,
    SQL_AGE_PRIORITY,
    SQL_AGE_ROWS,
    SQL_STATEMENT_COUNT,
};

struct statement_text {
    unsigned roles; // set of enum sqlite_role
    const char *sql;
};

extern const struct statement_text statement_texts[SQL_STATEMENT_COUNT];

#endif
