/*
 * SQLite's own rate, in process: rows with a body of BODY bytes and an index on (state, priority,
 * run_at), BATCH rows a transaction (WAL, synchronous=FULL). First all ROWS rows are inserted, then
 * each is updated by its id to its end, with a result.
 *
 *   sqlite_rows FOLDER BATCH ROWS BODY
 *
 * Prints insert (rows a second), update, and both (rows by the time of both).
 */
#include <sqlite3.h>
#include <unistd.h>

#include "bench.h"
#include "sql.h"

enum { BODY_BYTES_MAX = 4096 };

static void open_database(const char *folder)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[4096];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s/rows.db%s", folder, suffixes[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/rows.db", folder);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        DIE("cannot open %s", path);
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA cache_size=-65536");
    execute("PRAGMA locking_mode=EXCLUSIVE");
    execute("PRAGMA temp_store=MEMORY");
    execute("PRAGMA synchronous=FULL");
    execute("CREATE TABLE jobs(id INTEGER PRIMARY KEY, state INT NOT NULL, priority INT NOT NULL,"
            " run_at INT NOT NULL, attempt INT NOT NULL, queue TEXT, kind TEXT, payload TEXT,"
            " result TEXT)");
    execute("CREATE INDEX jobs_ready ON jobs(state, priority, run_at)");
}

static uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

int main(int argc, char **argv)
{
    static char body[BODY_BYTES_MAX];

    if (argc != 5)
        DIE("usage: sqlite_rows FOLDER BATCH ROWS BODY");
    int64_t batch = (int64_t)number(argv[2], 1, 1000000);
    int64_t rows = (int64_t)number(argv[3], 1, 100000000);
    int body_length = (int)number(argv[4], 1, sizeof(body));
    memset(body, 'p', sizeof(body));

    open_database(argv[1]);
    sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE");
    sqlite3_stmt *commit = prepare("COMMIT");
    sqlite3_stmt *put = prepare("INSERT INTO jobs(state,priority,run_at,attempt,queue,kind,payload)"
                                " VALUES(0,?1,?2,0,'default','noop',?3)");
    sqlite3_stmt *end = prepare("UPDATE jobs SET state=2, result='{\"ok\":true}' WHERE id=?1");

    uint64_t started_at = now_ns();
    for (int64_t row = 0; row < rows; row++) {
        if (row % batch == 0)
            step(begin);
        sqlite3_bind_int64(put, 1, (sqlite3_int64)(random_next() % 4));
        sqlite3_bind_int64(put, 2, INT64_C(1764000000000) + row);
        sqlite3_bind_text(put, 3, body, body_length, SQLITE_STATIC);
        step(put);
        if (row % batch == batch - 1 || row == rows - 1)
            step(commit);
    }
    double insert_s = seconds_since(started_at);

    started_at = now_ns();
    for (int64_t row = 0; row < rows; row++) {
        if (row % batch == 0)
            step(begin);
        sqlite3_bind_int64(end, 1, row + 1);
        step(end);
        if (row % batch == batch - 1 || row == rows - 1)
            step(commit);
    }
    double update_s = seconds_since(started_at);

    printf("insert=%.0f update=%.0f both=%.0f\n", (double)rows / insert_s, (double)rows / update_s,
           (double)rows / (insert_s + update_s));
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    sqlite3_finalize(put);
    sqlite3_finalize(end);
    sqlite3_close(db);
    return 0;
}
