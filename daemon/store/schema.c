/* The schema. What is in it is frozen by the files that exist: a change is a new version and a
 * step. */
#include "store/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/log.h"
#include "store/aside.h"

// Of SQLite's virtual machine, between two calls of progress_fn: a few milliseconds.
enum { SCHEMA_PROGRESS_STEPS = 100000 };

/*
 * Columns that a search needs stand first, long ones last, so that a look at a row does not follow
 * its overflow pages. Zeros take no room in a row, so 0 is used where it says enough; NULL in
 * queued_at means created_at.
 *
 * Each partial index holds the few rows that its search is for: a queued task is in tasks_queued
 * alone, a finished one in tasks_finished alone, so that a put and a finish touch one or two trees
 * beside the table. Their conditions are comparisons, never IN (…) with three or more values, for
 * which SQLite would build a table at each row.
 */
static const char tables[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE queues(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " scheduled INTEGER NOT NULL DEFAULT 0, queued INTEGER NOT NULL DEFAULT 0,"
    " retrying INTEGER NOT NULL DEFAULT 0, running INTEGER NOT NULL DEFAULT 0,"
    " succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,"
    " cancelled INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0,"
    " workers INTEGER, rate TEXT, burst INTEGER, paused INTEGER NOT NULL DEFAULT 0,"
    " paused_until INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE tasks(id INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue INTEGER NOT NULL,"
    " priority INTEGER NOT NULL, run INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " interruptions INTEGER NOT NULL, flags INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " queued_at INTEGER, due_at INTEGER, expires_at INTEGER, started_at INTEGER,"
    " finished_at INTEGER, cancel_requested_at INTEGER, worker INTEGER, kind TEXT NOT NULL,"
    " timeout INTEGER, max_attempts INTEGER, backoff_base INTEGER, backoff_max INTEGER, tags TEXT,"
    " args TEXT, result TEXT, error_code TEXT, error_message TEXT, exec TEXT, history TEXT);"
    "CREATE TABLE large_args(id INTEGER PRIMARY KEY, args TEXT NOT NULL);"
    "CREATE TABLE large_results(id INTEGER PRIMARY KEY, result TEXT NOT NULL);"
    "CREATE INDEX tasks_queued ON tasks(queue, priority DESC) WHERE state = 1;"
    "CREATE INDEX tasks_due ON tasks(due_at) WHERE (state = 0 OR state = 2);"
    "CREATE INDEX tasks_expiry ON tasks(expires_at)"
    " WHERE expires_at > 0 AND run = 0 AND (state < 3 OR state = 7);"
    "CREATE INDEX tasks_finished ON tasks(queue, state, finished_at) WHERE (state = 4 OR state = 5 "
    "OR state = 6);"
    "CREATE INDEX tasks_parked ON tasks(state, kind) WHERE (state = 3 OR state = 7);"
    "CREATE TABLE keys(key TEXT PRIMARY KEY, is_stream INTEGER NOT NULL, hash BLOB NOT NULL,"
    " first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, count INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX keys_created ON keys(created_at);"
    "INSERT INTO meta(name, value)"
    " VALUES('store_id', lower(hex(randomblob(8)))), ('last_id', 0);";

/* What came with traces and follow-up tasks. Behind all other columns: ADD COLUMN rewrites no row.
 */
static const char traces_and_relatives[] =
    // As W3C's Trace Context writes it, version 00.
    "ALTER TABLE tasks ADD COLUMN traceparent TEXT;"
    "ALTER TABLE tasks ADD COLUMN parent INTEGER;"
    "ALTER TABLE tasks ADD COLUMN links INTEGER;"
    "CREATE INDEX tasks_parent ON tasks(parent) WHERE parent > 0;";

static const struct schema_step all_steps[] = {
    {.to = 1, .sql = tables},
    {.to = 2, .sql = traces_and_relatives},
};
_Static_assert(sizeof(all_steps) / sizeof(all_steps[0]) == SCHEMA_VERSION, "one step a version");

static int rolled_back(struct sqlite *sqlite, int r, const char *what, struct error *reterr)
{
    (void)error_set(reterr, r, "%s: %s", what, sqlite3_errmsg(sqlite->db));
    (void)sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL,
                       NULL); // fails where SQLite has rolled back by itself
    return r;
}

static int set_version(struct sqlite *sqlite, int version)
{
    char sql[128];
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   SCHEMA_APPLICATION_ID, version);
    return sqlite_exec(sqlite, sql);
}

void schema_tell(struct schema_upgrade *upgrade, const char *what, uint64_t done, uint64_t total)
{
    rn_time now = rn_now();

    if (upgrade->progress_fn == NULL || now < upgrade->told_at + RN_SECOND / 2)
        return;
    upgrade->told_at = now;
    upgrade->progress_fn(upgrade->arg, what, done, total);
}

/* A step that takes long is still alive. How far it is nobody knows. */
static int tell_alive(void *arg)
{
    schema_tell(arg, "upgrading the store", 0, 0);
    return 0; // go on
}

static int run_steps(struct sqlite *sqlite, const struct schema_upgrade *upgrade)
{
    int version = upgrade->from;
    int r = 0;

    for (size_t i = 0; i < upgrade->count && r == 0; i++) {
        if (upgrade->steps[i].to <= upgrade->from)
            continue;
        RN_ASSERT(upgrade->steps[i].to == version + 1);
        r = sqlite_exec(sqlite, upgrade->steps[i].sql);
        version = upgrade->steps[i].to;
    }
    RN_ASSERT(r < 0 || version == upgrade->to);
    return r == 0 ? set_version(sqlite, version) : r;
}

/* The log tells of it where there was something to upgrade. */
static int kept(const struct schema_upgrade *upgrade, rn_time begun, struct error *reterr)
{
    char *backup = NULL;

    int r = aside_keep(upgrade->path, upgrade->from, &backup, reterr);
    if (r == 0)
        log_event(LOG_LEVEL_NOTICE, "store_migrated", LOG_INT("from", upgrade->from),
                  LOG_INT("to", upgrade->to),
                  LOG_INT("took_ms", (rn_now() - begun) / RN_MILLISECOND),
                  LOG_TEXT("backup", backup));
    free(backup);
    return r;
}

int schema_upgrade(struct sqlite *sqlite, struct schema_upgrade *upgrade, struct error *reterr)
{
    rn_time begun = rn_now();
    bool has_copy = upgrade->from > 0;

    int r = has_copy ? aside_make(sqlite, upgrade, reterr) : 0;
    if (r < 0)
        return r;
    r = sqlite_exec(sqlite, "BEGIN IMMEDIATE");
    if (r < 0) {
        (void)error_set(reterr, r, "cannot write the store: %s", sqlite3_errmsg(sqlite->db));
    } else {
        sqlite3_progress_handler(sqlite->db, SCHEMA_PROGRESS_STEPS, tell_alive, upgrade);
        r = run_steps(sqlite, upgrade);
        if (r == 0)
            r = sqlite_exec(sqlite, "COMMIT");
        sqlite3_progress_handler(sqlite->db, 0, NULL, NULL);
        if (r < 0)
            (void)rolled_back(sqlite, r, "cannot write the store's tables", reterr);
    }
    // After a commit whose sync failed nobody knows what is on the disk: then the copy stays.
    if (r < 0 && r != -EIO && has_copy)
        aside_drop(upgrade->path, upgrade->from);
    return r == 0 && has_copy ? kept(upgrade, begun, reterr) : r;
}

static int use_log(struct sqlite *sqlite, struct error *reterr)
{
    sqlite3_stmt *statement = NULL;
    bool is_on = false;

    int result = sqlite3_prepare_v2(sqlite->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(statement, 0);
        is_on = mode != NULL && strcmp(mode, "wal") == 0;
    }
    int r = sqlite_error(sqlite, result);
    (void)sqlite3_finalize(statement);
    if (r < 0)
        return error_set(reterr, r, "cannot start the store's log: %s", sqlite3_errmsg(sqlite->db));
    if (!is_on)
        return error_set(reterr, -ENOTSUP,
                         "the store's file system has no shared memory for a write-ahead log");
    return 0;
}

/* What to do with a store that a newer daemon has upgraded. */
static int too_new(const char *path, int64_t version, struct error *reterr)
{
    char *copy = aside_find(path, SCHEMA_VERSION);
    int r = error_set(reterr, -EBADMSG,
                      "the store '%s' has version %lld, this runneld knows versions up to %d: "
                      "install the newer runneld again%s%s%s",
                      path, (long long)version, SCHEMA_VERSION,
                      copy == NULL ? "" : ", or go back to '", copy == NULL ? "" : copy,
                      copy == NULL ? "" : "', the copy from before the upgrade");
    free(copy);
    return r;
}

/*
 * What is the same in the header of every file of Runnel's (sqlite.org/fileformat2.html, 1.3), and
 * what SQLite makes something else of in silence: with a higher version for writing it reads only;
 * of the schema's format it looks at the last byte, until an upgrade that adds a column takes the
 * whole for an older one, which knows no descending index. What is not yet written is 0.
 */
static bool is_header_sound(const unsigned char *header)
{
    static const struct {
        unsigned char at, bytes, is, or ;
    } fields[] = {
        {18, 1, 2, 1}, {19, 1, 2, 1}, // versions for writing and reading: 2 has a log
        {20, 1, 0, 0},                // nothing kept free in a page
        {44, 4, 4, 0},                // the schema's format
        {48, 4, 0, 0},                // no size of a cache
        {56, 4, 1, 0},                // UTF-8
        {72, 4, 0, 0}, {76, 4, 0, 0}, {80, 4, 0, 0}, {84, 4, 0, 0}, {88, 4, 0, 0}, // unused
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint32_t value = 0;
        for (unsigned char byte = 0; byte < fields[i].bytes; byte++)
            value = value << 8 | header[fields[i].at + byte];
        if (value != fields[i].is && value != fields[i].or)
            return false;
    }
    return true;
}

static int look_at_header(struct sqlite *sqlite, const char *path, struct error *reterr)
{
    unsigned char header[100] = {0};
    sqlite3_file *file = NULL;

    // Through SQLite's own descriptor: closing another one of this file would give its locks up.
    int result = sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (result == SQLITE_OK)
        result = file->pMethods->xRead(file, header, sizeof(header), 0);
    if (result == SQLITE_IOERR_SHORT_READ)
        return 0; // a file that is new
    if (result != SQLITE_OK)
        return error_set(reterr, sqlite_error(sqlite, result),
                         "cannot read the header of the store '%s': %s", path,
                         sqlite3_errstr(result));
    if (!is_header_sound(header))
        return error_set(reterr, -EBADMSG, "the header of the store '%s' is damaged", path);
    return 0;
}

int schema_version(struct sqlite *sqlite, const char *path, int *ret_version, struct error *reterr)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;

    int r = sqlite_value(sqlite, "PRAGMA application_id", &application);
    if (r == 0)
        r = sqlite_value(sqlite, "PRAGMA user_version", &version);
    if (r == 0)
        r = sqlite_value(sqlite, "SELECT count(*) FROM sqlite_schema", &objects);
    if (r < 0)
        return error_set(reterr, r, "cannot read the store '%s': %s", path,
                         sqlite3_errmsg(sqlite->db));
    bool is_new = application == 0 && version == 0 && objects == 0;
    if (!is_new && application != SCHEMA_APPLICATION_ID)
        return error_set(reterr, -EBADMSG, "'%s' is a database, but not one of runneld", path);
    if (version > SCHEMA_VERSION)
        return too_new(path, version, reterr);
    if (!is_new && version < 1)
        return error_set(reterr, -EBADMSG, "the store '%s' has no version: it is damaged", path);
    *ret_version = (int)version;
    return look_at_header(sqlite, path, reterr);
}

int schema_model(int version, struct sqlite *ret_sqlite, struct error *reterr)
{
    int r = sqlite_open(ret_sqlite, ":memory:", SQLITE_WRITER, reterr);

    for (int i = 0; i < version && r == 0; i++) {
        r = sqlite_exec(ret_sqlite, all_steps[i].sql);
        if (r < 0) {
            (void)error_set(reterr, r, "cannot make a store in memory: %s",
                            sqlite_message(ret_sqlite));
            sqlite_close(ret_sqlite);
        }
    }
    return r;
}

/* An upgrade was committed, and its daemon died before the copy had its name. */
static int keep_copies(const char *path, int version, struct error *reterr)
{
    int r = 0;

    for (int older = 1; older < version && r == 0; older++) {
        char *name = NULL;
        if (aside_is_open(path, older))
            r = aside_keep(path, older, &name, reterr);
        free(name);
    }
    return r;
}

/*
 * auto_vacuum can only be chosen before the first page is written. It is what gives disk space back
 * after deletes, and costs nothing at 1,000 rows a transaction and 6 % of the store's CPU time at
 * 26 (insert, finish and delete of each row).
 */
static int choose_pages(struct sqlite *sqlite, struct error *reterr)
{
    int r = sqlite_exec(sqlite, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
    return r < 0 ? error_set(reterr, r, "cannot write the store: %s", sqlite3_errmsg(sqlite->db))
                 : 0;
}

int schema_make(struct sqlite *sqlite, struct error *reterr)
{
    struct schema_upgrade upgrade = {
        .to = SCHEMA_VERSION, .steps = all_steps, .count = SCHEMA_VERSION};

    int r = choose_pages(sqlite, reterr);
    return r == 0 ? schema_upgrade(sqlite, &upgrade, reterr) : r;
}

int schema_open(struct sqlite *sqlite, const char *path, const struct store_options *options,
                struct error *reterr)
{
    struct schema_upgrade upgrade = {.path = path,
                                     .to = SCHEMA_VERSION,
                                     .steps = all_steps,
                                     .count = SCHEMA_VERSION,
                                     .progress_fn = options->progress_fn,
                                     .arg = options->arg};

    int r = schema_version(sqlite, path, &upgrade.from, reterr);
    if (r < 0)
        return r;
    if (upgrade.from == 0)
        r = choose_pages(sqlite, reterr);
    if (r < 0)
        return r;
    r = keep_copies(path, upgrade.from, reterr);
    if (r == 0 && upgrade.from < SCHEMA_VERSION)
        r = schema_upgrade(sqlite, &upgrade, reterr);
    return r < 0 ? r : use_log(sqlite, reterr);
}

int schema_store_id(struct sqlite *sqlite, char *ret_id, struct error *reterr)
{
    sqlite3_stmt *statement = NULL;
    int r = -EBADMSG;

    int result = sqlite3_prepare_v2(sqlite->db, "SELECT value FROM meta WHERE name = 'store_id'",
                                    -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == 16) {
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        r = id == NULL ? -ENOMEM : strspn(id, "0123456789abcdef") != 16 ? -EBADMSG : 0;
        if (r == 0)
            memcpy(ret_id, id, 17);
    } else if (sqlite_error(sqlite, result) < 0) {
        r = sqlite_error(sqlite, result);
    }
    (void)sqlite3_finalize(statement);
    return r < 0 ? error_set(reterr, r, "the store has no id: it is damaged") : 0;
}
