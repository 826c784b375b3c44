/* The check of a store: its tables against those of a new one, and one table of questions, each a
 * SELECT whose every row is a fault in words.
 * A question that the file can't answer, since a page or a table of it is damaged, is a fault too.
 */
#include <stdio.h>
#include <string.h>

#include "store/exchange.h"
#include "store/offline.h"

enum { FAULTS_SHOWN = 10 }; // of each question; the others are counted

// The states as a table, and each queue's counts of them as rows.
#define COUNTS                                                                                     \
    "WITH kept(number, state, name, tasks) AS ("                                                   \
    "SELECT number, 0, 'scheduled', scheduled FROM queues UNION ALL "                              \
    "SELECT number, 1, 'queued', queued FROM queues UNION ALL "                                    \
    "SELECT number, 2, 'retrying', retrying FROM queues UNION ALL "                                \
    "SELECT number, 3, 'running', running FROM queues UNION ALL "                                  \
    "SELECT number, 4, 'succeeded', succeeded FROM queues UNION ALL "                              \
    "SELECT number, 5, 'failed', failed FROM queues UNION ALL "                                    \
    "SELECT number, 6, 'cancelled', cancelled FROM queues UNION ALL "                              \
    "SELECT number, 7, 'held', held FROM queues), "                                                \
    "counted(number, state, tasks) AS ("                                                           \
    "SELECT queue, state, count(*) FROM tasks GROUP BY queue, state) "

// clang-format off
static const struct {
    const char *name;
    int since; // version of the schema
    const char *sql;
} questions[] = {
    {"pages", 1,
        "SELECT integrity_check FROM pragma_integrity_check(100) WHERE integrity_check <> 'ok'"},
    {"head", 1,
        "SELECT 'the store has no id of 16 hexadecimal digits' "
        "WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'store_id' AND length(value) = 16 AND value NOT GLOB '*[^0-9a-f]*') UNION ALL "
        "SELECT 'the last id that was given is not known' "
        "WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'last_id' AND typeof(value) = 'integer' AND value >= 0)"},
    {"queues", 1,
        "SELECT printf('queue %d: its number does not follow the one before it', number) FROM queues "
        "WHERE number <> (SELECT count(*) FROM queues AS q WHERE q.number <= queues.number) UNION ALL "
        "SELECT printf('queue %d: whether it is paused is not known', number) FROM queues "
        "WHERE typeof(paused) <> 'integer' OR paused NOT BETWEEN 0 AND 1 OR paused_until IS NULL UNION ALL "
        "SELECT printf('task %d: there is no queue %s', id, quote(queue)) FROM tasks WHERE queue NOT IN (SELECT number FROM queues)"},
    {"counts", 1,
        COUNTS "SELECT printf('queue %s: %d %s tasks are there, %s are counted', queues.name, coalesce(counted.tasks, 0), kept.name, quote(kept.tasks)) "
        "FROM kept JOIN queues USING (number) LEFT JOIN counted USING (number, state) WHERE kept.tasks IS NOT coalesce(counted.tasks, 0)"},
    {"flags", 1,
        "SELECT printf('task %d: its flags %s have an unknown one', id, quote(flags)) FROM tasks WHERE typeof(flags) <> 'integer' OR flags NOT BETWEEN 0 AND 31"},
    {"times", 1,
        "SELECT printf('task %d: it waits for no time', id) FROM tasks WHERE state IN (0, 2) AND due_at IS NULL"},
    {"args", 1,
        "SELECT printf('task %d: its large args are missing', id) FROM tasks WHERE flags & 1 AND id NOT IN (SELECT id FROM large_args) UNION ALL "
        "SELECT printf('task %d: has args in two places', id) FROM tasks WHERE flags & 1 AND args IS NOT NULL UNION ALL "
        "SELECT printf('large args %d: belong to no task', id) FROM large_args WHERE id NOT IN (SELECT id FROM tasks WHERE flags & 1)"},
    {"results", 1,
        "SELECT printf('task %d: its large result is missing', id) FROM tasks WHERE flags & 2 AND id NOT IN (SELECT id FROM large_results) UNION ALL "
        "SELECT printf('task %d: has results in two places', id) FROM tasks WHERE flags & 2 AND result IS NOT NULL UNION ALL "
        "SELECT printf('large result %d: belongs to no task', id) FROM large_results WHERE id NOT IN (SELECT id FROM tasks WHERE flags & 2)"},
    {"texts", 1,
        "SELECT printf('task %d: its args are no JSON', id) FROM tasks WHERE args IS NOT NULL AND NOT json_valid(args) UNION ALL "
        "SELECT printf('task %d: its large args are no JSON', id) FROM large_args WHERE args IS NOT NULL AND NOT json_valid(args) UNION ALL "
        "SELECT printf('task %d: its result is no JSON', id) FROM tasks WHERE flags & 4 AND result IS NOT NULL AND NOT json_valid(result) UNION ALL "
        "SELECT printf('task %d: its large result is no JSON', id) FROM large_results "
        "WHERE id IN (SELECT id FROM tasks WHERE flags & 4) AND NOT json_valid(result) UNION ALL "
        "SELECT printf('task %d: its tags are no JSON', id) FROM tasks WHERE tags IS NOT NULL AND NOT json_valid(tags) UNION ALL "
        "SELECT printf('task %d: its exec is no JSON', id) FROM tasks WHERE exec IS NOT NULL AND NOT json_valid(exec) UNION ALL "
        "SELECT printf('task %d: its history is no JSON', id) FROM tasks WHERE history IS NOT NULL AND NOT json_valid(history) UNION ALL "
        "SELECT printf('task %d: one of its tags is no string', id) FROM tasks "
        "WHERE CASE WHEN json_valid(tags) THEN EXISTS (SELECT 1 FROM json_each(tags) WHERE type <> 'text') END UNION ALL "
        "SELECT printf('task %d: one of its attempts is no object', id) FROM tasks "
        "WHERE CASE WHEN json_valid(history) THEN EXISTS (SELECT 1 FROM json_each(history) WHERE type <> 'object') END"},
    {"traces", 2,
        "SELECT printf('task %d: its traceparent is none', id) FROM tasks WHERE traceparent NOT GLOB "
        "replace('00-' || printf('%.32c', 'x') || '-' || printf('%.16c', 'x') || '-xx', 'x', '[0-9a-f]')"},
    {"relatives", 2,
        "SELECT printf('task %d: it can not follow task %s', id, quote(parent)) FROM tasks WHERE parent NOT BETWEEN 1 AND id - 1 UNION ALL "
        "SELECT printf('task %d: it can not be link %s of a chain', id, quote(links)) FROM tasks WHERE links NOT BETWEEN 1 AND 100 "
        "OR (links IS NULL) <> (parent IS NULL)"},
    {"keys", 1,
        "SELECT printf('key %s: its tasks can not be those of its ids', quote(key)) FROM keys "
        "WHERE count > 0 AND (first_id < 1 OR last_id - first_id + 1 < count) OR NOT is_stream AND count > 100000"},
};
// clang-format on

struct checking {
    struct sqlite *sqlite;
    store_line_fn *line_fn;
    void *arg;
    struct store_check_result *result;
};

static void tell(const struct checking *checking, const char *name, const char *text)
{
    char line[1024];

    (void)snprintf(line, sizeof(line), "%s: %s", name, text);
    for (char *byte = line; *byte != '\0'; byte++) {
        if (*byte < 0x20 || *byte > 0x7E)
            *byte = '?'; // of a damaged file: not to be let loose on a terminal, nor C1 controls
    }
    checking->line_fn(checking->arg, line);
}

/* The file as it is can't be read on: a fault of the memory or the disk, which says nothing of the
 * store. */
static bool is_ours(int error)
{
    return error == -ENOMEM || error == -EIO || error == -ENOSPC || error == -EAGAIN;
}

static void tell_fault(const struct checking *checking, const char *name, const char *text)
{
    tell(checking, name, text);
    checking->result->faults++;
}

/* Whether a table or index is there as the model has it. */
static int compare_object(const struct checking *checking, sqlite3_stmt *search,
                          sqlite3_stmt *model)
{
    const char *name = (const char *)sqlite3_column_text(model, 0);
    const char *sql = (const char *)sqlite3_column_text(model, 1);
    char text[128];

    int result = sqlite3_bind_text(search, 1, name, -1, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_bind_text(search, 2, sql, -1, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_step(search);
    int r = sqlite_error(checking->sqlite, result);
    if (r < 0 && is_ours(r))
        return r;
    if (result != SQLITE_ROW) {
        (void)snprintf(text, sizeof(text), "%s is not as runneld makes it", name);
        tell_fault(checking, "schema", text);
    }
    (void)sqlite3_reset(search); // tells the same error again
    return 0;
}

static int compare_objects(const struct checking *checking, struct sqlite *model)
{
    sqlite3_stmt *all = NULL;
    sqlite3_stmt *search = NULL;
    int r = 0;

    int result = sqlite3_prepare_v2(model->db, "SELECT name, sql FROM sqlite_schema ORDER BY name",
                                    -1, &all, NULL);
    if (result != SQLITE_OK)
        r = sqlite_error(model, result);
    else {
        result = sqlite3_prepare_v2(checking->sqlite->db,
                                    "SELECT 1 FROM sqlite_schema WHERE name = ?1 AND sql IS ?2", -1,
                                    &search, NULL);
        r = sqlite_error(checking->sqlite, result);
    }
    while (r == 0 && (result = sqlite3_step(all)) == SQLITE_ROW)
        r = compare_object(checking, search, all);
    if (r == 0)
        r = sqlite_error(model, result);
    (void)sqlite3_finalize(search);
    (void)sqlite3_finalize(all);
    return r;
}

/* Tables and indices, against those of a new store: a column of another name breaks no page. */
static int check_schema(const struct checking *checking, int version, struct error *reterr)
{
    struct sqlite model;
    uint64_t faults = checking->result->faults;

    int r = schema_model(version, &model, reterr);
    if (r < 0)
        return r;
    r = compare_objects(checking, &model);
    sqlite_close(&model);
    if (r < 0 && !is_ours(r)) {
        tell_fault(checking, "schema", sqlite3_errmsg(checking->sqlite->db));
        r = 0;
    }
    if (r == 0 && checking->result->faults == faults)
        tell(checking, "schema", "ok");
    checking->result->checks++;
    return r < 0 ? error_set(reterr, r, "cannot read the tables of the store: %s",
                             sqlite_message(checking->sqlite))
                 : 0;
}

/* The end of one check: what kept it from its end is a fault of the file, where it is not ours. */
static int settle(const struct checking *checking, const char *name, uint64_t faults, int r)
{
    if (r < 0 && !is_ours(r)) {
        tell(checking, name, sqlite_message(checking->sqlite));
        faults++;
        r = 0;
    }
    if (faults > FAULTS_SHOWN) {
        char text[64];
        (void)snprintf(text, sizeof(text), "and %llu more",
                       (unsigned long long)(faults - FAULTS_SHOWN));
        tell(checking, name, text);
    } else if (faults == 0 && r == 0) {
        tell(checking, name, "ok");
    }
    checking->result->checks++;
    checking->result->faults += faults;
    return r;
}

/* Tells the faults of one question, or that there is none. */
static int ask(const struct checking *checking, const char *name, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    uint64_t faults = 0;

    errno = 0;
    int result = sqlite3_prepare_v2(checking->sqlite->db, sql, -1, &statement, NULL);
    while (result == SQLITE_OK || result == SQLITE_ROW) {
        result = sqlite3_step(statement);
        if (result != SQLITE_ROW)
            break;
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (++faults <= FAULTS_SHOWN)
            tell(checking, name, text == NULL ? "a fault without words" : text);
    }
    int r = settle(checking, name, faults, sqlite_error(checking->sqlite, result));
    (void)sqlite3_finalize(statement);
    return r;
}

/* A row is called by its first column: its id, name or key. */
static void tell_value(const struct checking *checking, const struct exchange_table *table,
                       sqlite3_stmt *row, size_t member)
{
    char text[512];
    const char *name = (const char *)sqlite3_column_text(row, 0);
    const char *value = (const char *)sqlite3_column_text(row, (int)member);

    (void)snprintf(text, sizeof(text), "%s %.64s: its %s can not be %.80s", table->what,
                   name == NULL ? "without a name" : name, table->members[member].name,
                   value == NULL ? "NULL" : value);
    tell(checking, "values", text);
}

/* Looks at each value of a table's rows: they are what an import would take. */
static int look_at_rows(const struct checking *checking, const struct exchange_table *table,
                        sqlite3_stmt *row, uint64_t *faults)
{
    int result = SQLITE_DONE;

    while ((result = sqlite3_step(row)) == SQLITE_ROW) {
        for (size_t i = 0; i < table->member_count; i++) {
            int r = exchange_fits(&table->members[i], row, (int)i);
            if (r < 0 && r != -EBADMSG)
                return r;
            if (r < 0 && ++*faults <= FAULTS_SHOWN)
                tell_value(checking, table, row, i);
        }
    }
    return sqlite_error(checking->sqlite, result);
}

static int check_values(const struct checking *checking, int version)
{
    uint64_t faults = 0;
    int r = 0;

    for (unsigned line = 0; line < EXCHANGE_LINE_COUNT && r == 0; line++) {
        const struct exchange_table *table = &exchange_tables[line];
        struct buffer sql = {.bytes = NULL};
        sqlite3_stmt *row = NULL;
        exchange_select(table, version, &sql);
        errno = 0;
        r = sql.failed
                ? -ENOMEM
                : sqlite_error(checking->sqlite, sqlite3_prepare_v2(checking->sqlite->db, sql.bytes,
                                                                    (int)sql.length, &row, NULL));
        buffer_fini(&sql);
        if (r == 0)
            r = look_at_rows(checking, table, row, &faults);
        if (r < 0 && !is_ours(r)) {
            tell(checking, "values", sqlite_message(checking->sqlite));
            faults++;
            r = 0; // of this table: the others can be looked at
        }
        (void)sqlite3_finalize(row); // tells the same error again
    }
    return settle(checking, "values", faults, r);
}

/* Of a table that can't be read: 0. */
static uint64_t rows(struct sqlite *sqlite, const char *sql)
{
    int64_t count = 0;
    int r = sqlite_value(sqlite, sql, &count);
    return r < 0 ? 0 : (uint64_t)count;
}

int offline_check(struct offline *offline, store_line_fn *line_fn, void *arg,
                  struct store_check_result *ret_result, struct error *reterr)
{
    struct store_check_result result = {.version = offline->version};
    const struct checking checking = {
        .sqlite = &offline->sqlite, .line_fn = line_fn, .arg = arg, .result = &result};

    int r = check_schema(&checking, offline->version, reterr);
    if (r == 0) {
        r = check_values(&checking, offline->version);
        if (r < 0)
            (void)error_set(reterr, r, "cannot check the store '%s': %s", offline->path,
                            sqlite_message(&offline->sqlite));
    }
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]) && r == 0; i++) {
        if (questions[i].since > offline->version)
            continue;
        r = ask(&checking, questions[i].name, questions[i].sql);
        if (r < 0)
            (void)error_set(reterr, r, "cannot check the store '%s': %s", offline->path,
                            sqlite_message(&offline->sqlite));
    }
    result.tasks = rows(&offline->sqlite, "SELECT count(*) FROM tasks");
    result.keys = rows(&offline->sqlite, "SELECT count(*) FROM keys");
    if (r == 0)
        *ret_result = result;
    return r;
}

int store_check(const char *path, store_line_fn *line_fn, void *arg,
                struct store_check_result *ret_result, struct error *reterr)
{
    struct offline offline;

    int r = offline_open(&offline, path, SQLITE_READER, reterr);
    if (r < 0)
        return r;
    r = offline_check(&offline, line_fn, arg, ret_result, reterr);
    offline_close(&offline);
    return r;
}
