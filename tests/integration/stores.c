/* The stores of released versions, and what is asked of any store. */
#include "stores.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

const char stores_config[] =
    "keep_succeeded = '36500d'; keep_failed = '36500d'; keep_cancelled = '36500d';\n"
    "queue: { default: { workers = 2 }; parked: { workers = 1 }; side: { workers = 1 }; };\n"
    "kind: {\n"
    "  echo: { builtin = 'echo' };\n"
    "  wait: { builtin = 'sleep'; if_interrupted = 'fail'; max_attempts = 2 };\n"
    "  hello: { command = ['/bin/echo', '--', '{name}'] };\n"
    "  fails: { command = ['/bin/false']; max_attempts = 3; backoff = { base = '1ms'; max = '1ms' "
    "} };\n"
    "  later: { command = ['/bin/true']; max_attempts = 5; backoff = { base = '2s'; max = '2s' } "
    "};\n"
    "};\n";

static const char *source_file(const char *name)
{
    const char *folder = getenv("RUNNEL_SOURCE");

    return plain_text("%s/tests/integration/stores/%s", folder == NULL ? "." : folder, name);
}

void stores_unpack(struct daemon *daemon, const char *version)
{
    const char *archive = source_file(plain_text("%s.tar.gz", version));
    const char *slash = strrchr(daemon->store_path, '/');
    const char *folder = plain_text("%.*s", (int)(slash - daemon->store_path), daemon->store_path);

    daemon_forget(daemon);
    struct run run =
        run_program((const char *[]){"tar", "-xzf", archive, "-C", folder, "--no-same-owner", NULL},
                    NULL, 20000);
    if (run.status != 0)
        fail_msg("%s: %s", archive, run.err);
    assert_string_equal(slash, "/runnel.db"); // as it is named in the archives
}

json_t *stores_answers(const char *version)
{
    json_t *answers = json_load_file(source_file(plain_text("%s.json", version)), 0, NULL);

    assert_non_null(answers);
    return keep_json(answers);
}

static void expect_same(const json_t *was, const json_t *is, const char *field)
{
    if (!json_equal(at(was, field), at(is, field)))
        fail_msg("task %lld: %s was %s, is %s", (long long)number_at(was, "id"), field,
                 (char *)keep(json_dumps(at(was, field), JSON_ENCODE_ANY)),
                 (char *)keep(json_dumps(at(is, field), JSON_ENCODE_ANY)));
}

static void expect_task(struct daemon *daemon, json_t *was)
{
    static const char *const always[] = {"kind",    "queue",      "priority",   "args",
                                         "tags",    "created_at", "expires_at", "max_attempts",
                                         "timeout", "backoff",    "run_at"};
    uint64_t id = (uint64_t)number_at(was, "id");
    const char *state = text_at(was, "state");
    json_t *is = task(daemon, id);

    if (strcmp(state, "retrying") == 0) {
        // Its time has come since: the attempts before it are told.
        is = expect_end(daemon, id, "succeeded", NULL);
        expect_number(is, "attempt", number_at(was, "attempt") + 1);
        expect_same(was, is, "attempts.0");
    } else if (strcmp(state, "running") == 0) {
        is = expect_end(daemon, id, "failed", "interrupted");
        expect_number(is, "interruptions", number_at(was, "interruptions") + 1);
    } else {
        const char *field = NULL;
        json_t *value = NULL;
        json_object_foreach (was, field, value) {
            if (strcmp(field, "waiting_for") != 0) // has a reckoning of the next start
                expect_same(was, is, field);
        }
        return;
    }
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        expect_same(was, is, always[i]);
}

void stores_expect_tasks(struct daemon *daemon, const char *version)
{
    const json_t *tasks = at(stores_answers(version), "tasks");
    size_t i = 0;
    json_t *was = NULL;

    assert_true(json_array_size(tasks) > 10);
    json_array_foreach (tasks, i, was)
        expect_task(daemon, was);
    assert_int_equal(count_tasks(daemon, ""), json_array_size(tasks));
}

struct daemon *stores_every_state(void)
{
    struct daemon *daemon = daemon_new(stores_config);

    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    stores_expect_tasks(daemon, "v1");
    daemon_stop(daemon);
    stores_change(
        daemon->store_path,
        "DELETE FROM keys; INSERT INTO keys VALUES('k', 0, zeroblob(32), 2, 3, 2, 1700000000000)");
    return daemon;
}

char *stores_exported(const struct daemon *daemon)
{
    const char *argv[] = {daemon_program(), "-c", daemon->config_path, "--export", "-", NULL};
    struct run run = run_program(argv, NULL, 60000 * slow());

    if (run.status != 0 || strstr(run.err, " tasks, ") == NULL)
        fail_msg("%d\n%s%s", run.status, run.out, run.err);
    return run.out;
}

void stores_expect_sound(const struct daemon *daemon, const char *sum)
{
    const char *argv[] = {daemon_program(), "-c", daemon->config_path, "--check-store", NULL};
    struct run run = run_program(argv, NULL, 60000 * slow());

    if (run.status != 0 || strstr(run.out, "counts: ok\n") == NULL ||
        strstr(run.out, " 0 faults\n") == NULL || (sum != NULL && strstr(run.out, sum) == NULL))
        fail_msg("%d\n%s%s", run.status, run.out, run.err);
}

void stores_expect_nothing_beside(const struct daemon *daemon)
{
    static const char *const names[] = {"backup.part",     "backup.part-wal", "backup.part-shm",
                                        "lines.part",      "import.part",     "import.part-journal",
                                        "import.part-wal", "import.part-shm"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(file_exists(plain_text("%s-%s", daemon->store_path, names[i])));
}

int64_t stores_query(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        fail_msg("%s: %s: %s", path, sql, sqlite3_errmsg(db));
    int64_t value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return value;
}

void stores_change(const char *path, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
