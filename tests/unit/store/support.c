/* See support.h. */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int on_event(void *arg, struct store_event *event)
{
    struct fixture *fixture = arg;
    const struct record *record = event->record;

    rn_mutex_lock(&fixture->mu);
    assert_true(fixture->seen_count < SEEN_MAX);
    fixture->seen[fixture->seen_count++] = (struct seen){
        .type = event->type,
        .id = record != NULL ? record->id : event->key.id,
        .state = record != NULL ? record->state : TASK_STATE_COUNT,
        .due_at_ms = record != NULL ? record->due_at_ms : 0,
        .was_running = event->was_running,
        .full = event->full,
        .has_record = record != NULL,
    };
    rn_cond_broadcast(&fixture->changed);
    rn_mutex_unlock(&fixture->mu);
    if (fixture->on_event != NULL)
        fixture->on_event(fixture, event);
    return event->type == STORE_EVENT_WITHDRAW ? fixture->withdraw_result : 0;
}

int folder_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/runnel-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/runnel.db", fixture->folder);
    fixture->max_backlog = 10000000;
    rn_mutex_init(&fixture->mu, 60);
    rn_cond_init(&fixture->changed);
    *state = fixture;
    return 0;
}

int store_setup(void **state)
{
    int r = folder_setup(state);
    open_store(*state);
    return r;
}

int store_teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[512];

    close_store(fixture);
    DIR *directory = opendir(fixture->folder);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, entry->d_name);
        (void)unlink(path); // "." and ".." can't be
    }
    (void)closedir(directory);
    assert_int_equal(rmdir(fixture->folder), 0);
    rn_cond_fini(&fixture->changed);
    rn_mutex_fini(&fixture->mu);
    free(fixture);
    return 0;
}

int try_open(struct fixture *fixture, struct error *error)
{
    struct store_options options = {.path = fixture->path,
                                    .max_backlog = fixture->max_backlog,
                                    .events = on_event,
                                    .arg = fixture};
    return store_open(&options, &fixture->store, error);
}

static bool retry_all(void *arg, const char *kind, struct store_interruption_policy *ret_policy)
{
    (void)arg;
    (void)kind;
    *ret_policy = (struct store_interruption_policy){.retry = true, .max_interruptions = 3};
    return true;
}

void open_store(struct fixture *fixture)
{
    struct error error = {0};
    struct store_recovery recovery;

    if (try_open(fixture, &error) < 0)
        fail_msg("%s", error.text);
    if (store_recover(fixture->store, retry_all, NULL, &recovery, &error) < 0)
        fail_msg("%s", error.text);
    if (store_start(fixture->store, &error) < 0)
        fail_msg("%s", error.text);
}

void close_store(struct fixture *fixture)
{
    if (fixture->store == NULL)
        return;
    store_stop(fixture->store);
    store_free(fixture->store);
    fixture->store = NULL;
}

struct record *new_record(const char *queue, const char *kind, const char *args)
{
    struct record *record = malloc(sizeof(*record));
    assert_non_null(record);
    record_init(record);
    record->state = TASK_QUEUED;
    (void)snprintf(record->queue, sizeof(record->queue), "%s", queue);
    (void)snprintf(record->kind, sizeof(record->kind), "%s", kind);
    if (args != NULL)
        assert_int_equal(text_set(&record->args, args, strlen(args)), 0);
    return record;
}

/* One or more operations under way. */
struct pending {
    rn_mutex mu;
    rn_cond done;
    size_t left;
    struct fixture *fixture;
    bool is_taken; // the test's thread alone
};
static struct pending pool[8];

static void on_done(struct store_op *op, void *arg)
{
    struct pending *pending = arg;
    struct fixture *fixture = pending->fixture;

    rn_mutex_lock(&fixture->mu);
    assert_true(fixture->seen_count < SEEN_MAX);
    fixture->seen[fixture->seen_count++] =
        (struct seen){.is_done = true, .type = STORE_EVENT_GROUP_END, .id = (uint64_t)op->type};
    rn_mutex_unlock(&fixture->mu);
    rn_mutex_lock(&pending->mu);
    pending->left--;
    rn_cond_broadcast(&pending->done);
    rn_mutex_unlock(&pending->mu);
}

static void on_read(struct store_read *read, void *arg)
{
    struct pending *pending = arg;
    (void)read;
    rn_mutex_lock(&pending->mu);
    pending->left--;
    rn_cond_broadcast(&pending->done);
    rn_mutex_unlock(&pending->mu);
}

void pending_wait(struct pending *pending)
{
    rn_mutex_lock(&pending->mu);
    while (pending->left > 0)
        assert_int_equal(rn_cond_wait(NULL, &pending->done, &pending->mu, RN_NEVER), 0);
    rn_mutex_unlock(&pending->mu);
    rn_cond_fini(&pending->done);
    rn_mutex_fini(&pending->mu);
    pending->is_taken = false;
}

size_t pending_left(struct pending *pending)
{
    rn_mutex_lock(&pending->mu);
    size_t left = pending->left;
    rn_mutex_unlock(&pending->mu);
    return left;
}

/* Out of a pool: the test may have made allocations fail. */
static struct pending *pending_new(struct fixture *fixture, size_t count)
{
    struct pending *pending = NULL;
    for (size_t i = 0; i < sizeof(pool) / sizeof(pool[0]) && pending == NULL; i++)
        if (!pool[i].is_taken)
            pending = &pool[i];
    assert_non_null(pending);
    *pending = (struct pending){.left = count, .fixture = fixture, .is_taken = true};
    rn_mutex_init(&pending->mu, 71);
    rn_cond_init(&pending->done);
    return pending;
}

static void prepare(struct store_op *op, struct pending *pending)
{
    op->done_fn = on_done;
    op->arg = pending;
    if (op->now_ms == 0)
        op->now_ms = rn_wall_ms();
}

int run_op(struct fixture *fixture, struct store_op *op)
{
    struct pending *pending = pending_new(fixture, 1);
    prepare(op, pending);
    assert_int_equal(store_submit_internal(fixture->store, op), 0);
    pending_wait(pending);
    return op->result;
}

/* The writer, held. */
struct hold {
    rn_mutex mu;
    rn_cond changed;
    bool is_held, may_go;
    struct store_op op;
};
static struct hold hold;

static void on_hold(struct store_op *op, void *arg)
{
    (void)op;
    (void)arg;
    rn_mutex_lock(&hold.mu);
    hold.is_held = true;
    rn_cond_broadcast(&hold.changed);
    while (!hold.may_go)
        assert_int_equal(rn_cond_wait(NULL, &hold.changed, &hold.mu, RN_NEVER), 0);
    rn_mutex_unlock(&hold.mu);
}

void writer_hold(struct fixture *fixture)
{
    hold = (struct hold){.is_held = false};
    rn_mutex_init(&hold.mu, 72);
    rn_cond_init(&hold.changed);
    hold.op = (struct store_op){.type = STORE_CLAIM, .done_fn = on_hold, .claim.limit = 1};
    assert_int_equal(store_submit_internal(fixture->store, &hold.op), 0);
    rn_mutex_lock(&hold.mu);
    while (!hold.is_held)
        assert_int_equal(rn_cond_wait(NULL, &hold.changed, &hold.mu, RN_NEVER), 0);
    rn_mutex_unlock(&hold.mu);
}

void writer_go(struct fixture *fixture)
{
    (void)fixture;
    rn_mutex_lock(&hold.mu);
    hold.may_go = true;
    rn_cond_broadcast(&hold.changed);
    rn_mutex_unlock(&hold.mu);
}

void run_together(struct fixture *fixture, struct store_op *ops, size_t count)
{
    writer_hold(fixture);
    struct pending *pending = submit_all(fixture, ops, count);
    writer_go(fixture);
    pending_wait(pending);
}

struct pending *submit_all(struct fixture *fixture, struct store_op *ops, size_t count)
{
    struct pending *pending = pending_new(fixture, count);
    for (size_t i = 0; i < count; i++) {
        prepare(&ops[i], pending);
        assert_int_equal(store_submit(fixture->store, &ops[i]), 0);
    }
    return pending;
}

int run_read(struct fixture *fixture, struct store_read *read)
{
    struct pending *pending = pending_new(fixture, 1);
    read->done_fn = on_read;
    read->arg = pending;
    assert_int_equal(store_read(fixture->store, read), 0);
    pending_wait(pending);
    return read->result;
}

uint64_t put_one(struct fixture *fixture, struct record *record)
{
    struct record *records[1] = {record};
    struct store_op op = {.type = STORE_PUT, .put.records = records, .put.count = 1};
    assert_int_equal(run_op(fixture, &op), 0);
    record_free(records[0]);
    return op.put.ids_first;
}

/* Puts so many tasks that are alike. */
static int put_alike(struct fixture *fixture, const struct record *like, size_t count,
                     uint64_t *ret_first)
{
    struct record **records = calloc(count, sizeof(struct record *));
    assert_non_null(records);
    for (size_t i = 0; i < count; i++)
        records[i] = new_record(like->queue, like->kind, like->args.bytes);
    struct store_op op = {.type = STORE_PUT, .put.records = records, .put.count = count};
    int r = run_op(fixture, &op);
    for (size_t i = 0; i < count; i++)
        record_free(records[i]);
    free(records);
    *ret_first = op.put.ids_first;
    return r;
}

uint64_t put_many(struct fixture *fixture, const char *queue, size_t count)
{
    struct record *like = new_record(queue, "noop", "{\"n\":1}");
    uint64_t first = 0;

    assert_int_equal(put_alike(fixture, like, count, &first), 0);
    record_free(like);
    return first;
}

int put_rows(struct fixture *fixture, size_t count, size_t args_bytes)
{
    char *args = malloc(args_bytes + 1);
    uint64_t first = 0;

    assert_non_null(args);
    memset(args, '7', args_bytes);
    args[args_bytes] = '\0';
    struct record *like = new_record("a", "k", args);
    int r = put_alike(fixture, like, count, &first);
    record_free(like);
    free(args);
    return r;
}

struct record *get(struct fixture *fixture, uint64_t id, int *result)
{
    struct store_read read = {.type = STORE_GET, .get.id = id};
    int r = run_read(fixture, &read);
    if (result != NULL)
        *result = r;
    return r == 0 ? read.get.record : NULL;
}

enum task_state state_of(struct fixture *fixture, uint64_t id)
{
    struct record *record = get(fixture, id, NULL);
    assert_non_null(record);
    enum task_state state = record->state;
    record_free(record);
    return state;
}

int finish(struct fixture *fixture, uint64_t id, enum task_state to)
{
    struct record *record = get(fixture, id, NULL);
    assert_non_null(record);
    if (record->state != TASK_RUNNING) {
        record->run++;
        record->attempt++;
    }
    record->worker = 1;
    record->started_at_ms = rn_wall_ms();
    record->finished_at_ms = 0;
    struct store_op op = {.type = STORE_FINISH, .finish.record = record, .finish.to = to};
    int r = run_op(fixture, &op);
    record_free(op.finish.record);
    return r;
}

int start(struct fixture *fixture, uint64_t id)
{
    struct record *record = get(fixture, id, NULL);
    assert_non_null(record);
    record->run++;
    record->attempt++;
    record->worker = 2;
    record->started_at_ms = rn_wall_ms();
    struct store_op op = {.type = STORE_START, .start.record = record};
    int r = run_op(fixture, &op);
    record_free(record);
    return r;
}

int one(struct fixture *fixture, enum store_op_type type, uint64_t id, enum task_state *state)
{
    struct store_op op = {.type = type, .one.id = id};
    int r = run_op(fixture, &op);
    if (state != NULL)
        *state = op.one.state;
    return r;
}

void forget_events(struct fixture *fixture)
{
    rn_mutex_lock(&fixture->mu);
    fixture->seen_count = 0;
    rn_mutex_unlock(&fixture->mu);
}

size_t count_events(struct fixture *fixture, enum store_event_type type, uint64_t id)
{
    size_t count = 0;
    rn_mutex_lock(&fixture->mu);
    for (size_t i = 0; i < fixture->seen_count; i++)
        if (!fixture->seen[i].is_done && fixture->seen[i].type == type &&
            (id == 0 || fixture->seen[i].id == id))
            count++;
    rn_mutex_unlock(&fixture->mu);
    return count;
}

void wait_event(struct fixture *fixture, enum store_event_type type, bool full)
{
    bool found = false;
    rn_mutex_lock(&fixture->mu);
    for (;;) {
        for (size_t i = 0; i < fixture->seen_count; i++)
            found = found || (!fixture->seen[i].is_done && fixture->seen[i].type == type &&
                              fixture->seen[i].full == full);
        if (found)
            break;
        assert_int_equal(rn_cond_wait(NULL, &fixture->changed, &fixture->mu, RN_NEVER), 0);
    }
    rn_mutex_unlock(&fixture->mu);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    return value;
}

static sqlite3 *open_file(struct fixture *fixture, int flags)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(fixture->path, &db, flags, NULL), SQLITE_OK);
    // As the store's readers: it must never checkpoint while the writer is open.
    assert_int_equal(
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, fixture->store != NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    return db;
}

int64_t query(struct fixture *fixture, const char *sql)
{
    sqlite3 *db = open_file(fixture, SQLITE_OPEN_READONLY);
    int64_t value = number(db, sql);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

void check_withdrawn(struct fixture *fixture, const struct store_op *op, uint64_t id)
{
    size_t out = count_events(fixture, STORE_EVENT_WITHDRAW, id);
    size_t back = count_events(fixture, STORE_EVENT_RESTORE, id);

    assert_true(op->result == 0 || op->result == -ENOMEM);
    assert_int_equal(out - back, op->result == 0);
}

void change_file(struct fixture *fixture, const char *sql)
{
    assert_null(fixture->store);
    sqlite3 *db = open_file(fixture, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void check_counts(struct fixture *fixture)
{
    struct store_queue_counts *counts = NULL;
    size_t count = 0;
    char sql[512];
    int64_t total = 0;
    int64_t open_tasks = 0;

    assert_int_equal(store_counts(fixture->store, &counts, &count), 0);
    for (size_t i = 0; i < count; i++) {
        for (unsigned state = 0; state < TASK_STATE_COUNT; state++) {
            (void)snprintf(sql, sizeof(sql),
                           "SELECT count(*) FROM tasks WHERE state = %u AND queue = "
                           "(SELECT number FROM queues WHERE name = '%s')",
                           state, counts[i].queue);
            assert_int_equal(query(fixture, sql), counts[i].states[state]);
            (void)snprintf(sql, sizeof(sql), "SELECT %s FROM queues WHERE name = '%s'",
                           task_state_name((enum task_state)state), counts[i].queue);
            assert_int_equal(query(fixture, sql), counts[i].states[state]);
            total += (int64_t)counts[i].states[state];
            if (!task_state_is_final((enum task_state)state))
                open_tasks += (int64_t)counts[i].states[state];
        }
    }
    free(counts);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), total);
    assert_int_equal(store_backlog(fixture->store), open_tasks);
}

const char *beside_store(struct fixture *fixture, const char *suffix)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s-%s", fixture->path, suffix);
    return path;
}

bool retry_thrice(void *arg, const char *kind, struct store_interruption_policy *ret_policy)
{
    (void)arg;
    (void)kind;
    *ret_policy = (struct store_interruption_policy){.retry = true, .max_interruptions = 3};
    return true;
}
