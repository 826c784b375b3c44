/* The database of a benchmark program, and what ends it when SQLite refuses. */
#ifndef BENCH_SQL_H
#define BENCH_SQL_H

#include <sqlite3.h>

#include "bench.h"

static sqlite3 *db;

static inline void execute(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        DIE("%s: %s", sql, sqlite3_errmsg(db));
}

static inline sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        DIE("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

static inline void step(sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        DIE("%s", sqlite3_errmsg(db));
    sqlite3_reset(statement);
}

#endif
