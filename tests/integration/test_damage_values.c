/** \file
 * Damaged stores whose pages are sound: values that no daemon writes, rows that are gone, indices
 * and counts that say other than the tables, a running-slot file of other bytes. Whatever it is,
 * the check, the daemon under calls of every sort, and the care of the store end in order, with 65
 * and a sentence where they can't go on; and what the check finds nothing in, the daemon serves and
 * leaves without a fault.
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rich.h"
#include "stores.h"

enum { EXIT_DAMAGED = 65, EXIT_SYSTEM = 71, TASKS = 40 };

/* What happens in one round. */
struct round {
    struct daemon *daemon;
    uint32_t random;
    uint32_t seed;
    char what[4096]; // is done to the store
};

/* cmocka cuts a message at 1,024 bytes. */
__attribute__((format(printf, 2, 3))) static void fail_round(struct round *round,
                                                             const char *format, ...)
{
    char why[4096];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(why, sizeof(why), format, list);
    va_end(list);
    print_message("seed %u:%s\n  %s\n", round->seed, round->what, why);
    fail_msg("seed %u", round->seed);
}

static uint32_t next(struct round *round, uint32_t below)
{
    round->random ^= round->random << 13;
    round->random ^= round->random >> 17;
    round->random ^= round->random << 5;
    return (round->random >> 3) % below;
}

/* ---- damage ---- */

static const struct {
    const char *name, *key;
    uint32_t weight;
} tables[] = {{"tasks", "id", 12}, {"queues", "number", 4}, {"keys", "key", 3},
              {"meta", "name", 1}, {"large_args", "id", 1}, {"large_results", "id", 1}};

static const char *const indices[] = {"tasks_queued",   "tasks_due",    "tasks_expiry",
                                      "tasks_finished", "tasks_parked", "tasks_parent"};

// clang-format off
static const char *const values[] = {
    "NULL", "-1", "0", "1", "7", "2147483647", "2147483648", "4294967295", "9007199254740991",
    "9007199254740992", "9223372036854775807", "-9223372036854775807 - 1", "253402300799999",
    "1.5", "1e300", "''", "hex(zeroblob(5000))", "CAST(x'22FF80FE22' AS TEXT)", "x'0001FF'",
    "zeroblob(32)", "'a' || char(0) || 'b'", "'not a name'", "'[1,{\"a\":null}]'", "'{}'", "'[]'",
    "'['", "'[}'", "'\"\\ud800\"'", "'[\"\\u0000\"]'", "'123456789012345678901234567890'",
    "'1e999'", "'{\"a\":1,\"a\":2}'",
};
// clang-format on

static void add(struct round *round, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct round *round, const char *format, ...)
{
    size_t used = strlen(round->what);
    va_list list;

    va_start(list, format);
    (void)vsnprintf(round->what + used, sizeof(round->what) - used, format, list);
    va_end(list);
}

/* What SQLite refuses is no damage. */
static void try(struct round *round, sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        add(round, "\n  (%s)", message);
    sqlite3_free(message);
}

static int64_t number_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

static const char *text_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *text = plain_text("%s", (const char *)sqlite3_column_text(statement, 0));
    (void)sqlite3_finalize(statement);
    return text;
}

static size_t any_table(struct round *round)
{
    uint32_t place = next(round, 22);
    size_t i = 0;

    while (place >= tables[i].weight)
        place -= tables[i++].weight;
    return i;
}

/* A row of the table, as a condition. */
static const char *any_row(struct round *round, sqlite3 *db, size_t table)
{
    uint32_t count =
        (uint32_t)number_of(db, plain_text("SELECT count(*) + 1 FROM %s", tables[table].name));
    return plain_text("%s IN (SELECT %s FROM %s ORDER BY 1 LIMIT %u OFFSET %u)", tables[table].key,
                      tables[table].key, tables[table].name, 1 + next(round, 3) / 2,
                      next(round, count));
}

static const char *any_value(struct round *round, size_t table, const char *column)
{
    switch (next(round, 6)) {
    case 0:
        return plain_text("(SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %u)", column,
                          tables[table].name, tables[table].key, next(round, 20));
    case 1:
        return plain_text("%s %c %u", column, next(round, 2) == 0 ? '+' : '-', 1 + next(round, 3));
    default:
        return values[next(round, sizeof(values) / sizeof(values[0]))];
    }
}

static void change_values(struct round *round, sqlite3 *db, size_t table)
{
    for (uint32_t left = 1 + next(round, 3); left > 0; left--) {
        uint32_t columns = (uint32_t)number_of(
            db, plain_text("SELECT count(*) FROM pragma_table_info('%s')", tables[table].name));
        const char *column =
            text_of(db, plain_text("SELECT name FROM pragma_table_info('%s') WHERE cid = %u",
                                   tables[table].name, next(round, columns)));
        const char *sql = plain_text("UPDATE %s SET %s = %s WHERE %s", tables[table].name, column,
                                     any_value(round, table, column), any_row(round, db, table));
        add(round, "\n  %s", sql);
        try(round, db, sql);
    }
}

static void delete_rows(struct round *round, sqlite3 *db, size_t table)
{
    const char *sql =
        plain_text("DELETE FROM %s WHERE %s", tables[table].name, any_row(round, db, table));

    add(round, "\n  %s", sql);
    try(round, db, sql);
}

static void change_states(struct round *round, sqlite3 *db)
{
    const char *sql =
        plain_text("UPDATE tasks SET state = %u WHERE %s", next(round, 9), any_row(round, db, 0));

    add(round, "\n  %s", sql);
    try(round, db, sql);
}

/* Of which an index knows nothing: it is out of the schema meanwhile. */
static void change_behind(struct round *round, sqlite3 *db)
{
    const char *index = indices[next(round, sizeof(indices) / sizeof(indices[0]))];

    add(round, "\n  behind %s", index);
    try(round, db,
        plain_text("DELETE FROM sqlite_schema WHERE name = '%s';"
                   "PRAGMA writable_schema = RESET; PRAGMA writable_schema = ON",
                   index));
    switch (next(round, 3)) {
    case 0:
        change_states(round, db);
        break;
    case 1:
        change_values(round, db, 0);
        break;
    default:
        delete_rows(round, db, 0);
        break;
    }
}

/* Something of the schema is gone, or is called otherwise. */
static void change_schema(struct round *round, sqlite3 *db)
{
    size_t table = next(round, sizeof(tables) / sizeof(tables[0]));
    const char *sql = NULL;

    switch (next(round, 4)) {
    case 0:
        sql = plain_text("DROP TABLE %s", tables[table].name);
        break;
    case 1:
        sql =
            plain_text("DROP INDEX %s", indices[next(round, sizeof(indices) / sizeof(indices[0]))]);
        break;
    case 2:
        sql = plain_text("ALTER TABLE %s RENAME COLUMN %s TO other", tables[table].name,
                         tables[table].key);
        break;
    default:
        sql = plain_text("PRAGMA user_version = %u", next(round, 4));
        break;
    }
    add(round, "\n  %s", sql);
    try(round, db, sql);
}

/* Without the constraints of its columns, which come back afterwards. */
static void damage_database(struct round *round)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(round->daemon->store_path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    try(round, db,
        "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA writable_schema = ON;"
        "CREATE TEMP TABLE whole AS SELECT * FROM main.sqlite_schema;"
        "UPDATE sqlite_schema SET sql = replace(replace(sql, 'NOT NULL', ''), 'UNIQUE', '')"
        " WHERE type = 'table' AND name <> 'queues';"
        "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'queues';"
        "PRAGMA writable_schema = RESET; PRAGMA writable_schema = ON");
    for (uint32_t left = 1 + next(round, 2); left > 0; left--) {
        switch (next(round, 8)) {
        case 0:
            delete_rows(round, db, any_table(round));
            break;
        case 1:
            change_states(round, db);
            break;
        case 2:
        case 3:
            change_behind(round, db);
            break;
        default:
            change_values(round, db, any_table(round));
            break;
        }
    }
    if (next(round, 3) == 0) { // as many as there are: the counts hide nothing
        add(round, "\n  counted anew");
        try(round, db,
            "UPDATE queues SET"
            " scheduled = (SELECT count(*) FROM tasks WHERE queue = number AND state = 0),"
            " queued = (SELECT count(*) FROM tasks WHERE queue = number AND state = 1),"
            " retrying = (SELECT count(*) FROM tasks WHERE queue = number AND state = 2),"
            " running = (SELECT count(*) FROM tasks WHERE queue = number AND state = 3),"
            " succeeded = (SELECT count(*) FROM tasks WHERE queue = number AND state = 4),"
            " failed = (SELECT count(*) FROM tasks WHERE queue = number AND state = 5),"
            " cancelled = (SELECT count(*) FROM tasks WHERE queue = number AND state = 6),"
            " held = (SELECT count(*) FROM tasks WHERE queue = number AND state = 7)");
    }
    try(round, db, "DELETE FROM sqlite_schema; INSERT INTO sqlite_schema SELECT * FROM temp.whole");
    try(round, db, "PRAGMA writable_schema = RESET");
    if (next(round, 16) == 0)
        change_schema(round, db);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Any bytes, but none that name a process: the daemon may end that. */
static void damage_slots(struct round *round)
{
    enum { HEAD = 4096, CELL = 64, CELLS = 1024, NAMED = 16, LEVELS = 256 * 88, ID = 8 };
    unsigned char bytes[16];
    uint32_t place = next(round, 4);
    off_t at = place == 0   ? (off_t)next(round, 128)
               : place == 1 ? HEAD + CELLS * CELL + (off_t)next(round, LEVELS - NAMED)
                            : HEAD + (off_t)next(round, 8) * CELL;
    size_t count = place < 2 ? 1 + next(round, NAMED) : NAMED;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)next(round, 256);
    if (place == 3) { // a task that is there, in its first run or so
        memset(bytes, 0, sizeof(bytes));
        bytes[0] = (unsigned char)next(round, TASKS);
        bytes[ID] = (unsigned char)next(round, 4);
    }
    int fd = open(rich_beside(round->daemon->store_path, "-running"), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, at), (ssize_t)count);
    assert_int_equal(close(fd), 0);
    add(round, "\n  %zu bytes of the running-slot file at %lld", count, (long long)at);
}

/* ---- what is done with it ---- */

static const struct {
    const char *method, *path, *body, *key;
} calls[] = {
    {"GET", "/v1/tasks?limit=1000&view=full", NULL, NULL},
    {"GET", "/v1/tasks?limit=3&state=running&tag=x&tag=z", NULL, NULL},
    {"GET", "/v1/tasks?state=queued&error_code=exit&kind=echo", NULL, NULL},
    {"GET", "/v1/queues", NULL, NULL},
    {"GET", "/v1/stats", NULL, NULL},
    {"GET", "/metrics", NULL, NULL},
    {"GET", "/v1/tasks/%u?wait=1ms", NULL, NULL},
    {"GET", "/v1/tasks/%u/result", NULL, NULL},
    {"POST", "/v1/tasks", "{'kind':'echo','args':'once'}", "one"},
    {"POST", "/v1/tasks", "[{'kind':'echo','args':1}, {'kind':'echo','args':2}]", "two"},
    {"POST", "/v1/tasks", "{'kind':'echo','args':%u}", NULL},
    {"POST", "/v1/tasks?wait=100ms", "{'kind':'hello','args':{'name':'x'}}", NULL},
    {"POST", "/v1/tasks", "{'kind':'echo','queue':'parked','priority':%u}", NULL},
    {"POST", "/v1/tasks/%u/cancel", NULL, NULL},
    {"POST", "/v1/tasks/%u/retry", NULL, NULL},
    {"DELETE", "/v1/tasks/%u", NULL, NULL},
    {"PATCH", "/v1/tasks/%u", "{'priority':3,'queue':'default'}", NULL},
    {"PATCH", "/v1/tasks/%u", "{'tags':['new'],'max_attempts':2}", NULL},
    {"PATCH", "/v1/tasks/%u", "{'run_at':'2100-01-01T00:00:00Z'}", NULL},
    {"PATCH", "/v1/queues/parked", "{'workers':2,'rate':null}", NULL},
    {"POST", "/v1/queues/parked/resume", NULL, NULL},
    {"POST", "/v1/queues/side/pause", "{}", NULL},
    {"POST", "/v1/tasks/actions", "{'action':'retry','filter':{'state':'failed'}}", NULL},
    {"POST", "/v1/tasks/actions", "{'action':'cancel','filter':{'tag':'x'}}", NULL},
    {"POST", "/v1/tasks/actions", "{'action':'delete','filter':{'state':'succeeded'}}", NULL},
    {"POST", "/v1/queues/other/purge", NULL, NULL},
    {"POST", "/v1/export", NULL, NULL},
    {"POST", "/v1/backup", NULL, NULL},
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]), READS = 8 };

/* By SQLite: jansson does not take every number. */
static bool is_json(const struct reply *reply)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT json_valid(?1)", -1, &statement, NULL),
                     SQLITE_OK);
    (void)sqlite3_bind_text(statement, 1, reply->body, (int)reply->body_bytes, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    bool is_valid = sqlite3_column_int(statement, 0) == 1;
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return is_valid;
}

/* Of a store in which the check found nothing each answer is whole. */
static void expect_answer(struct round *round, const struct reply *reply, const char *call)
{
    if (reply->status == 0 || reply->status >= 500)
        fail_round(round, "%s: %d %.300s", call, reply->status, reply->body);
    // A result is what the task has left, of any sort.
    if (strncmp(call, "GET /v1/", 8) == 0 && strstr(call, "/result") == NULL && !is_json(reply))
        fail_round(round, "%s: no JSON: %.2000s", call, reply->body);
}

static bool make_call(struct round *round, size_t which, bool is_sound)
{
    char path[256];
    char body[256] = "";
    uint32_t id = 1 + next(round, TASKS);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(path, sizeof(path), calls[which].path, id);
    if (calls[which].body != NULL)
        (void)snprintf(body, sizeof(body), calls[which].body, id);
#pragma GCC diagnostic pop
    for (char *byte = body; *byte != '\0'; byte++)
        *byte = *byte == '\'' ? '"' : *byte;
    char key[64];
    (void)snprintf(key, sizeof(key), "Idempotency-Key: %s",
                   calls[which].key == NULL ? "" : calls[which].key);
    struct reply *reply = client_call(
        round->daemon->client,
        &(struct request){.method = calls[which].method,
                          .path = path,
                          .body = calls[which].body == NULL ? NULL : body,
                          .headers = calls[which].key == NULL ? NULL : (const char *[]){key, NULL},
                          .is_fresh = true});
    bool is_there = reply->status != 0;
    if (is_sound)
        expect_answer(round, reply, plain_text("%s %s", calls[which].method, path));
    reply_free(reply);
    return is_there;
}

/* Whether the daemon serves the store. */
static bool serves(struct round *round, bool is_sound)
{
    struct daemon *daemon = round->daemon;

    daemon_launch(daemon);
    bool is_ready = daemon_await_ready(daemon);
    bool is_there = is_ready;
    if (is_ready)
        client_take_any(daemon->client);
    for (size_t i = 0; i < READS && is_there; i++)
        is_there = make_call(round, i, is_sound);
    for (unsigned i = 0; i < 12 && is_there; i++)
        is_there = make_call(round, next(round, CALLS), is_sound);
    if (is_there)
        daemon_signal(daemon, SIGTERM);
    int status = daemon_await_end(daemon, 60000);
    if (status != 0 && status != EXIT_DAMAGED)
        fail_round(round, "the daemon ended with %d", status);
    if (status != 0 && daemon_log_count(daemon, "level=err") == 0)
        fail_round(round, "the daemon gave no reason");
    return is_ready && status == 0;
}

/* The daemon's program with an option: its status. */
static int care(struct round *round, const char *option, const char *argument)
{
    struct run run =
        run_program((const char *[]){daemon_program(), "-c", round->daemon->config_path, option,
                                     argument, NULL},
                    NULL, 60000 * slow());
    bool is_told = run.err[0] != '\0' || strstr(run.out, " faults\n") != NULL;

    if (run.status != 0 && run.status != EXIT_DAMAGED)
        fail_round(round, "%s ended with %d: %s", option, run.status, run.err);
    if (run.status != 0 && !is_told)
        fail_round(round, "%s gave no reason", option);
    if (run.status != 0)
        add(round, "\n  %s: %.300s%.300s", option, run.out, run.err);
    return run.status;
}

/* An import into what is left, once nothing is stored in it any more: it is refused, or makes a
 * store in which nothing is wrong. */
static void import_over_it(struct round *round)
{
    struct daemon *daemon = round->daemon;
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(daemon->store_path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    try(round, db, "DELETE FROM keys");
    try(round, db, "DELETE FROM tasks");
    try(round, db,
        "UPDATE meta SET value = 0 WHERE name = 'last_id' AND typeof(value) = 'integer'");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    struct run run =
        run_program((const char *[]){daemon_program(), "-c", daemon->config_path, "--import",
                                     rich_beside(daemon->folder, "/rich.lines"), NULL},
                    NULL, 60000 * slow());
    bool has_tasks = run.status == EXIT_SYSTEM && strstr(run.err, "has or had tasks") != NULL;
    if (run.status != 0 && run.status != EXIT_DAMAGED && !has_tasks)
        fail_round(round, "--import ended with %d: %s", run.status, run.err);
    if (run.status == 0 && care(round, "--check-store", NULL) != 0)
        fail_round(round, "what was imported has faults");
}

static bool play(struct round *round)
{
    struct daemon *daemon = round->daemon;
    const char *lines = rich_beside(daemon->folder, "/lines");

    rich_unpack(daemon);
    if (next(round, 5) == 0)
        damage_slots(round);
    else
        damage_database(round);
    bool is_sound = care(round, "--check-store", NULL) == 0;
    bool is_exported = care(round, "--export", lines) == 0;
    (void)unlink(lines);
    if (is_sound && !is_exported)
        fail_round(round, "the check found nothing, and it can't be exported");
    bool is_served = serves(round, is_sound);
    if (is_sound && !is_served)
        fail_round(round, "the check found nothing, and the daemon does not serve it:\n%s",
                   daemon_log(daemon));
    if (is_sound && care(round, "--check-store", NULL) != 0)
        fail_round(round, "the check found nothing, but does after the daemon");
    (void)care(round, "--compact", NULL);
    if (next(round, 4) == 0)
        import_over_it(round);
    return is_sound;
}

static void a_store_of_other_values_is_refused_or_served_and_nothing_crashes(void)
{
    const char *seed_text = getenv("RUNNEL_SEED");
    const char *rounds_text = getenv("RUNNEL_ROUNDS");
    uint32_t first = seed_text == NULL ? 4711 : (uint32_t)number_in(seed_text, NULL);
    unsigned rounds = rounds_text != NULL ? (unsigned)number_in(rounds_text, NULL)
                      : is_long()         ? 2000
                      : is_sanitized()    ? 25
                                          : 80;
    unsigned sound = 0;
    struct daemon *daemon = rich_new();

    print_message("seeds from %u on (RUNNEL_SEED)\n", first);
    for (unsigned i = 0; i < rounds; i++) {
        struct round round = {.daemon = daemon, .random = first + i, .seed = first + i};
        for (unsigned warm = 0; warm < 8; warm++)
            (void)next(&round, 2);
        sound += play(&round) ? 1 : 0;
    }
    print_message("%u of %u sound\n", sound, rounds);
    assert_true(sound > rounds / 20 && sound < rounds);
}

static void tags_of_another_sort_are_no_tags_of_what_runs(void)
{
    struct daemon *daemon = rich_new();

    rich_unpack(daemon);
    stores_change(daemon->store_path,
                  "UPDATE tasks SET tags = '[1, null, \"z\"]' WHERE kind = 'nap'");
    daemon_start(daemon);
    client_take_any(daemon->client);
    eventually(count_tasks(daemon, "state=running&kind=nap&") == 1, 10000);
    assert_int_equal(count_tasks(daemon, "state=running&tag=x&"), 0);
    assert_int_equal(count_tasks(daemon, "state=running&tag=z&"), 1);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_store_of_other_values_is_refused_or_served_and_nothing_crashes),
             SCENARIO(tags_of_another_sort_are_no_tags_of_what_runs))
