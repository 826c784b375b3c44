/* See script.h. Each step is one transaction: a store that has a part of one is as wrong as one
 * that has lost it. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

enum { TOGETHER_MAX = 12, TASKS_AT_ONCE = 20, HOUR_MS = 3600 * 1000, LARGE_BYTES = 40000 };

/* ---- opening ---- */

static int on_event(void *arg, struct store_event *event)
{
    (void)arg;
    (void)event;
    return 0;
}

/* Of kind "first": a task of kind "second" follows. */
static int follow(void *arg, const struct record *ended, struct record **ret_follow)
{
    (void)arg;
    *ret_follow =
        strcmp(ended->kind, "first") == 0 ? new_record(ended->queue, "second", "{}") : NULL;
    return 0;
}

int script_open(struct fixture *fixture, struct error *error)
{
    struct store_options options = {.path = fixture->path,
                                    .max_backlog = fixture->max_backlog,
                                    .events = on_event,
                                    .follow = follow,
                                    .arg = fixture};
    return store_open(&options, &fixture->store, error);
}

int script_recover(struct fixture *fixture, struct error *error)
{
    struct store_recovery recovery;
    return store_recover(fixture->store, retry_thrice, NULL, &recovery, error);
}

/* ---- contents ---- */

/* FNV-1a. */
static void mix(uint64_t *hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        *hash = (*hash ^ at[i]) * UINT64_C(1099511628211);
}

static bool mix_rows(uint64_t *hash, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    for (; result == SQLITE_ROW; result = sqlite3_step(statement)) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            int type = sqlite3_column_type(statement, i);
            const void *bytes = sqlite3_column_blob(statement, i);
            int count = sqlite3_column_bytes(statement, i);
            mix(hash, &type, sizeof(type));
            mix(hash, &count, sizeof(count));
            if (count > 0)
                mix(hash, bytes, (size_t)count);
        }
    }
    (void)sqlite3_finalize(statement); // tells the same error again
    return result == SQLITE_DONE;
}

uint64_t script_contents(const char *path)
{
    static const char *const tables[] = {
        "SELECT * FROM meta WHERE name <> 'store_id' ORDER BY name",
        "SELECT * FROM queues ORDER BY number",
        "SELECT * FROM tasks ORDER BY id",
        "SELECT * FROM large_args ORDER BY id",
        "SELECT * FROM large_results ORDER BY id",
        "SELECT * FROM keys ORDER BY key",
    };
    uint64_t hash = UINT64_C(14695981039346656037);
    sqlite3 *db = NULL;
    bool is_read = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                   sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && is_read; i++)
        is_read = mix_rows(&hash, db, tables[i]);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return is_read ? hash : 0;
}

/* ---- steps ---- */

static uint32_t pick(struct script *script, uint32_t below)
{
    return disk_random(&script->random, below);
}

/* Of a task that may be there, or have been. */
static uint64_t any_id(struct script *script)
{
    return 1 + pick(script, (uint32_t)store_last_id(script->fixture->store) + 1);
}

/* There is no such task, or none in such a state. */
static void expect_done_or_refused(int r)
{
    assert_true(r == 0 || r == -ESTALE || r == -ENODATA || r == -ENOENT);
}

static char *large_text(struct script *script)
{
    size_t length = 1100 + pick(script, LARGE_BYTES);
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'a' + (int)pick(script, 26), length);
    text[0] = text[length - 1] = '"';
    text[length] = '\0';
    return text;
}

static struct record *any_record(struct script *script)
{
    static const char *const queues[] = {"a", "b", "c"};
    static const char *const kinds[] = {"first", "second", "third"};
    char args[64];
    (void)snprintf(args, sizeof(args), "{\"n\":%u}", (unsigned)pick(script, 1000000));
    char *large = pick(script, 8) == 0 ? large_text(script) : NULL;
    struct record *record =
        new_record(queues[pick(script, 3)], kinds[pick(script, 3)], large != NULL ? large : args);
    free(large);
    record->priority = (int)pick(script, 201) - 100;
    if (pick(script, 4) == 0) {
        record->state = TASK_SCHEDULED;
        record->due_at_ms = rn_wall_ms() + HOUR_MS;
    }
    return record;
}

static void put(struct script *script, size_t count, const struct store_key *key)
{
    struct record *records[TASKS_AT_ONCE];
    for (size_t i = 0; i < count; i++)
        records[i] = any_record(script);
    uint64_t last = store_last_id(script->fixture->store);
    struct store_op op = {.type = STORE_PUT,
                          .put = {.records = records, .count = count, .key = key}};
    assert_int_equal(run_op(script->fixture, &op), 0);
    if (!op.put.replayed)
        assert_int_equal(op.put.ids_first, last + 1);
    for (size_t i = 0; i < count; i++)
        record_free(records[i]);
}

static void put_some(struct script *script)
{
    put(script, 1 + pick(script, pick(script, 3) == 0 ? TASKS_AT_ONCE : 1), NULL);
}

static void put_with_key(struct script *script)
{
    struct store_key key = {.is_stream = false};
    // Now and then once more: then nothing is stored.
    if (script->keys == 0 || pick(script, 4) != 0)
        script->keys++;
    (void)snprintf(key.text, sizeof(key.text), "key-%u", script->keys);
    memset(key.hash, 1, sizeof(key.hash));
    put(script, 3, &key);
}

static void hash_lines(unsigned char *hash, size_t size, uint64_t lines)
{
    memset(hash, 0, size);
    memcpy(hash, &lines, sizeof(lines));
}

static void put_slice(struct script *script)
{
    size_t count = 1 + pick(script, TASKS_AT_ONCE);
    struct store_key key = {.text = "stream", .is_stream = true};
    key.lines_before = script->stream_lines;
    hash_lines(key.hash_before, sizeof(key.hash_before), key.lines_before);
    script->stream_lines += count;
    hash_lines(key.hash, sizeof(key.hash), script->stream_lines);
    put(script, count, &key);
}

static void start_one(struct script *script)
{
    struct record *record = get(script->fixture, any_id(script), NULL);
    if (record == NULL)
        return;
    record->run++;
    record->attempt++;
    record->worker = 2;
    record->started_at_ms = rn_wall_ms();
    struct store_op op = {.type = STORE_START, .start.record = record};
    int r = run_op(script->fixture, &op);
    expect_done_or_refused(r);
    record_free(record);
}

static void finish_one(struct script *script)
{
    static const enum task_state ends[] = {TASK_SUCCEEDED, TASK_SUCCEEDED, TASK_FAILED,
                                           TASK_RETRYING, TASK_QUEUED};
    struct record *record = get(script->fixture, any_id(script), NULL);
    if (record == NULL)
        return;
    record->run += record->state != TASK_RUNNING;
    record->worker = 1;
    record->started_at_ms = rn_wall_ms();
    record->due_at_ms = record->started_at_ms + HOUR_MS;
    char *result = pick(script, 3) == 0 ? large_text(script) : strdup("\"done\"");
    assert_non_null(result);
    assert_int_equal(text_set(&record->result, result, strlen(result)), 0);
    free(result);
    struct store_op op = {
        .type = STORE_FINISH,
        .finish = {.record = record, .to = ends[pick(script, 5)], .is_followed = true}};
    int r = run_op(script->fixture, &op);
    expect_done_or_refused(r);
    record_free(op.finish.record);
}

static void by_hand(struct script *script)
{
    static const enum store_op_type types[] = {STORE_CANCEL, STORE_RETRY, STORE_DELETE};
    (void)one(script->fixture, types[pick(script, 3)], any_id(script), NULL);
}

static void many_by_hand(struct script *script)
{
    static const enum store_op_type types[] = {STORE_CANCEL, STORE_RETRY, STORE_DELETE};
    uint64_t ids[TASKS_AT_ONCE];
    for (size_t i = 0; i < TASKS_AT_ONCE; i++)
        ids[i] = any_id(script);
    struct store_op op = {
        .type = STORE_MANY,
        .many = {.action = types[pick(script, 3)], .ids = ids, .count = TASKS_AT_ONCE}};
    assert_int_equal(run_op(script->fixture, &op), 0);
}

static void edit_one(struct script *script)
{
    struct record *record = any_record(script);
    struct store_op op = {
        .type = STORE_EDIT,
        .edit = {.id = any_id(script),
                 .record = record,
                 .fields = STORE_EDIT_QUEUE | STORE_EDIT_PRIORITY | STORE_EDIT_RUN_AT}};
    int r = run_op(script->fixture, &op);
    expect_done_or_refused(r);
    record_free(record);
}

static void hold_one(struct script *script)
{
    struct store_op op = {.type = STORE_HOLD, .hold.id = any_id(script)};
    int r = run_op(script->fixture, &op);
    expect_done_or_refused(r);
}

static bool is_wanted(void *arg, const char *kind)
{
    (void)arg;
    (void)kind;
    return true;
}

static void release_some(struct script *script)
{
    struct store_op op = {.type = STORE_RELEASE, .release = {.is_wanted = is_wanted, .limit = 10}};
    assert_int_equal(run_op(script->fixture, &op), 0);
}

static void promote_some(struct script *script)
{
    struct store_op op = {
        .type = STORE_PROMOTE, .now_ms = rn_wall_ms() + 2 * HOUR_MS, .promote.limit = 5};
    assert_int_equal(run_op(script->fixture, &op), 0);
}

static void sweep_some(struct script *script)
{
    static const struct store_retention retention = {.keep_count = 1000000};
    struct store_op op = {.type = STORE_SWEEP,
                          .now_ms = rn_wall_ms() + HOUR_MS,
                          .sweep = {.retention = &retention, .limit = 5}};
    script->stream_lines = 0; // its key goes too
    assert_int_equal(run_op(script->fixture, &op), 0);
    // More than five keys: the stream's may stay. The next slice goes on where it says.
    struct store_read read = {.type = STORE_KEY, .key.text = "stream"};
    if (run_read(script->fixture, &read) == 0 && read.key.state.exists)
        script->stream_lines = read.key.state.count;
}

static void set_queue(struct script *script)
{
    struct store_op op = {.type = STORE_QUEUE_SET,
                          .queue_set = {.queue = "b",
                                        .settings = {.has_workers = true,
                                                     .workers = 1 + pick(script, 9),
                                                     .paused = pick(script, 2) == 0}}};
    assert_int_equal(run_op(script->fixture, &op), 0);
}

/* Several in one group. */
static void put_together(struct script *script)
{
    struct record *records[TOGETHER_MAX];
    struct store_op ops[TOGETHER_MAX];
    size_t count = 2 + pick(script, TOGETHER_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        records[i] = any_record(script);
        ops[i] = (struct store_op){.type = STORE_PUT, .put = {.records = &records[i], .count = 1}};
    }
    run_together(script->fixture, ops, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ops[i].result, 0);
        record_free(records[i]);
    }
}

static void back_up(struct script *script)
{
    struct store_op op = {.type = STORE_BACKUP};
    assert_int_equal(run_op(script->fixture, &op), 0);
    assert_int_equal(close(op.backup.fd), 0);
}

/* Until the writer has had an idle moment, and copied its log into the file. */
static void checkpoint(struct script *script)
{
    unsigned before = disk_syncs("runnel.db");
    put(script, 1, NULL);
    for (unsigned i = 0; i < 60000 && disk_syncs("runnel.db") == before; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_not_equal(disk_syncs("runnel.db"), before);
}

static void open_again(struct script *script)
{
    struct error error = {0};
    close_store(script->fixture);
    if (script_open(script->fixture, &error) < 0 || script_recover(script->fixture, &error) < 0 ||
        store_start(script->fixture->store, &error) < 0)
        fail_msg("%s", error.text);
}

// clang-format off
static const struct {
    const char *what;
    void (*fn)(struct script *script);
    unsigned weight;
} steps[] = {
    {"put", put_some, 10}, {"put with a key", put_with_key, 3}, {"slice of a stream", put_slice, 3}, {"puts together", put_together, 4},
    {"start", start_one, 4}, {"finish", finish_one, 9}, {"by hand", by_hand, 4}, {"many by hand", many_by_hand, 2}, {"edit", edit_one, 3},
    {"hold", hold_one, 2}, {"release", release_some, 1}, {"promote", promote_some, 2}, {"sweep", sweep_some, 2}, {"queue", set_queue, 2},
    {"backup", back_up, 1}, {"checkpoint", checkpoint, 5}, {"open again", open_again, 2},
};
// clang-format on

static size_t any_step(struct script *script)
{
    unsigned all = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        all += steps[i].weight;
    unsigned chosen = pick(script, all);
    size_t step = 0;
    while (chosen >= steps[step].weight)
        chosen -= steps[step++].weight;
    return step;
}

static void run_step(struct script *script, const char *what, void (*fn)(struct script *script))
{
    struct store_stats before = {0};
    struct store_stats after = {0};
    struct script_step *step = &script->steps[script->count++];

    if (fn != open_again)
        store_stats(script->fixture->store, &before);
    step->what = what;
    step->begun = disk_now();
    fn(script);
    step->ended = disk_now();
    step->contents = script_contents(script->fixture->path);
    assert_int_not_equal(step->contents, 0);
    step->last_id = store_last_id(script->fixture->store);
    if (fn != open_again) {
        store_stats(script->fixture->store, &after);
        assert_in_range(after.commits - before.commits, 0, 1);
    }
    forget_events(script->fixture);
}

void script_run(struct script *script, size_t count)
{
    assert_true(count < SCRIPT_STEPS_MAX);
    run_step(script, "open", open_again);
    for (size_t i = 0; i < count; i++) {
        size_t step = any_step(script);
        run_step(script, steps[step].what, steps[step].fn);
    }
}
