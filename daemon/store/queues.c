/* Queues in memory. See queues.h for who may touch what. */
#include "store/queues.h"

#include <stdlib.h>
#include <string.h>

#include "config/units.h"
#include "store/sqlite.h"

// Far above what a configuration names in its life; a file with more is damaged.
enum { QUEUES_MAX = 65536 };

void queues_init(struct queues *queues)
{
    memset(queues, 0, sizeof(*queues));
    rn_mutex_init(&queues->mu, 35);
}

void queues_fini(struct queues *queues)
{
    for (size_t i = 0; i < queues->count; i++)
        free(queues->by_name[i]);
    free(queues->by_number);
    free(queues->by_name);
    rn_mutex_fini(&queues->mu);
}

/* The place of a name in by_name: the first that is not before it. */
static size_t place_of(const struct queues *queues, const char *name)
{
    size_t low = 0;
    size_t high = queues->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(queues->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int reserve(struct queues *queues)
{
    if (queues->count < queues->capacity)
        return 0;
    size_t capacity = queues->capacity == 0 ? 16 : 2 * queues->capacity;
    struct queue_row **by_number = malloc(capacity * sizeof(struct queue_row *));
    struct queue_row **by_name = malloc(capacity * sizeof(struct queue_row *));
    if (by_number == NULL || by_name == NULL) {
        free(by_number);
        free(by_name);
        return -ENOMEM;
    }
    for (size_t i = 0; i < queues->count; i++) {
        by_number[i] = i < queues->numbered ? queues->by_number[i] : NULL;
        by_name[i] = queues->by_name[i];
    }
    rn_mutex_lock(&queues->mu);
    free(queues->by_number);
    free(queues->by_name);
    queues->by_number = by_number;
    queues->by_name = by_name;
    queues->capacity = capacity;
    rn_mutex_unlock(&queues->mu);
    return 0;
}

/* Adds a queue without a number, to memory alone. */
static int add(struct queues *queues, const char *name, struct queue_row **ret_row)
{
    if (queues->count == QUEUES_MAX)
        return -EMSGSIZE;
    int r = reserve(queues);
    if (r < 0)
        return r;
    struct queue_row *row = calloc(1, sizeof(*row));
    if (row == NULL)
        return -ENOMEM;
    memcpy(row->name, name, strnlen(name, CONFIG_NAME_MAX));

    size_t place = place_of(queues, row->name);
    rn_mutex_lock(&queues->mu);
    memmove(&queues->by_name[place + 1], &queues->by_name[place],
            (queues->count - place) * sizeof(struct queue_row *));
    queues->by_name[place] = row;
    queues->count++;
    rn_mutex_unlock(&queues->mu);
    *ret_row = row;
    return 0;
}

/* Gives it the next number: they are dense, so one whose transaction is rolled back gives it back.
 */
static void number(struct queues *queues, struct queue_row *row)
{
    RN_ASSERT(row->number == 0);
    rn_mutex_lock(&queues->mu);
    queues->by_number[queues->numbered++] = row;
    row->number = (unsigned)queues->numbered;
    rn_mutex_unlock(&queues->mu);
}

/* Columns of the row of `queues`. */
enum {
    COLUMN_NUMBER,
    COLUMN_NAME,
    COLUMN_COUNTS, // in the order of count_states
    COLUMN_WORKERS = COLUMN_COUNTS + TASK_STATE_COUNT,
    COLUMN_RATE,
    COLUMN_BURST,
    COLUMN_PAUSED,
    COLUMN_PAUSED_UNTIL,
};

static const enum task_state count_states[TASK_STATE_COUNT] = {
    TASK_SCHEDULED, TASK_QUEUED, TASK_RETRYING,  TASK_RUNNING,
    TASK_SUCCEEDED, TASK_FAILED, TASK_CANCELLED, TASK_HELD,
};

static int load_counts(struct queues *queues, struct queue_row *row, sqlite3_stmt *statement)
{
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++) {
        int64_t count = 0;
        if (sqlite_number(statement, COLUMN_COUNTS + (int)i, 0, RECORD_ID_MAX, NULL, &count) < 0)
            return -EBADMSG;
        row->counts[count_states[i]] = (uint64_t)count;
        if (!task_state_is_final(count_states[i]))
            atomic_fetch_add(&queues->backlog, (uint64_t)count);
    }
    return 0;
}

static int load_rate(struct store_queue_settings *settings, sqlite3_stmt *statement)
{
    double per_s = 0;
    int type = sqlite3_column_type(statement, COLUMN_RATE);

    settings->has_rate = type != SQLITE_NULL;
    if (!settings->has_rate)
        return 0;
    const char *rate = (const char *)sqlite3_column_text(statement, COLUMN_RATE);
    if (rate == NULL)
        return -ENOMEM;
    if (type != SQLITE_TEXT || strlen(rate) >= sizeof(settings->rate) ||
        units_rate(rate, &per_s) < 0)
        return -EBADMSG;
    memcpy(settings->rate, rate, strlen(rate) + 1);
    return 0;
}

/* What no request could have set is damage. */
static int load_settings(struct store_queue_settings *settings, sqlite3_stmt *statement)
{
    int64_t workers = 0;
    int64_t burst = 0;
    int64_t paused = 0;

    int r = load_rate(settings, statement);
    if (r == 0)
        r = sqlite_number(statement, COLUMN_WORKERS, 1, CONFIG_WORKERS_MAX, &settings->has_workers,
                          &workers);
    if (r == 0)
        r = sqlite_number(statement, COLUMN_BURST, 1, CONFIG_BURST_MAX, &settings->has_burst,
                          &burst);
    if (r == 0)
        r = sqlite_number(statement, COLUMN_PAUSED, 0, 1, NULL, &paused);
    if (r == 0)
        r = sqlite_number(statement, COLUMN_PAUSED_UNTIL, RECORD_INSTANT_MS_MIN,
                          RECORD_INSTANT_MS_MAX, NULL, &settings->paused_until_ms);
    settings->workers = (unsigned)workers;
    settings->burst = (unsigned)burst;
    settings->paused = paused != 0;
    return r;
}

static int load_row(struct queues *queues, sqlite3_stmt *statement)
{
    struct queue_row *row = NULL;
    if (sqlite3_column_type(statement, COLUMN_NAME) != SQLITE_TEXT)
        return -EBADMSG;
    const char *name = (const char *)sqlite3_column_text(statement, COLUMN_NAME);
    if (name == NULL)
        return -ENOMEM;
    // Numbers are dense: a row of the table is never deleted.
    if (!config_name_valid(name) || queues_find(queues, name) != NULL ||
        sqlite3_column_int64(statement, COLUMN_NUMBER) != (int64_t)queues->numbered + 1)
        return -EBADMSG;
    int r = add(queues, name, &row);
    if (r < 0)
        return r == -EMSGSIZE ? -EBADMSG : r;
    number(queues, row);
    row->is_stored = true;
    r = load_counts(queues, row, statement);
    return r == 0 ? load_settings(&row->settings, statement) : r;
}

int queues_load(struct queues *queues, struct sqlite *sqlite)
{
    sqlite3_stmt *statement = NULL;
    int r = 0;

    int result = sqlite3_prepare_v2(
        sqlite->db,
        "SELECT number, name, scheduled, queued, retrying, running, succeeded, failed, cancelled, "
        "held, workers, rate, burst, paused, paused_until FROM queues ORDER BY number",
        -1, &statement, NULL);
    if (result != SQLITE_OK)
        return sqlite_error(sqlite, result);
    while (r == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW)
        r = load_row(queues, statement);
    if (r == 0)
        r = sqlite_error(sqlite, result);
    (void)sqlite3_finalize(statement);
    return r;
}

struct queue_row *queues_find(struct queues *queues, const char *name)
{
    if (queues->last != NULL && strcmp(queues->last->name, name) == 0)
        return queues->last;
    size_t place = place_of(queues, name);
    if (place == queues->count || strcmp(queues->by_name[place]->name, name) != 0)
        return NULL;
    queues->last = queues->by_name[place];
    return queues->last;
}

static void mark_dirty(struct queues *queues, struct queue_row *row)
{
    if (row->is_dirty)
        return;
    row->is_dirty = true;
    row->next_dirty = queues->dirty;
    queues->dirty = row;
}

int queues_ensure(struct queues *queues, struct sqlite *sqlite, const char *name,
                  struct queue_row **ret_row)
{
    struct queue_row *row = queues_find(queues, name);
    if (row == NULL) {
        int r = add(queues, name, &row);
        if (r < 0)
            return r;
    }
    // In memory it stays when its transaction is rolled back, without a number: the next one to use
    // it writes it again.
    if (!row->is_stored && !row->is_fresh) {
        number(queues, row);
        row->is_fresh = true;
        mark_dirty(queues, row);
        sqlite_bind(sqlite, SQL_QUEUE_PUT, 1, row->number);
        sqlite_bind_text(sqlite, SQL_QUEUE_PUT, 2, row->name, strlen(row->name));
        int r = sqlite_run(sqlite, SQL_QUEUE_PUT);
        if (r < 0)
            return r;
    }
    *ret_row = row;
    return 0;
}

int queues_name(struct queues *queues, int64_t number, char *ret_name)
{
    int r = -EBADMSG;
    rn_mutex_lock(&queues->mu);
    if (number >= 1 && (uint64_t)number <= queues->numbered) {
        memcpy(ret_name, queues->by_number[number - 1]->name, CONFIG_NAME_MAX + 1);
        r = 0;
    }
    rn_mutex_unlock(&queues->mu);
    return r;
}

int queues_number(struct queues *queues, const char *name, int64_t *ret_number)
{
    int r = -ENOENT;
    rn_mutex_lock(&queues->mu);
    size_t place = place_of(queues, name);
    if (place < queues->count && strcmp(queues->by_name[place]->name, name) == 0 &&
        queues->by_name[place]->number != 0) {
        *ret_number = queues->by_name[place]->number;
        r = 0;
    }
    rn_mutex_unlock(&queues->mu);
    return r;
}

void queues_move(struct queues *queues, struct queue_row *row, enum task_state from,
                 enum task_state to, int64_t tasks)
{
    mark_dirty(queues, row);
    if (from != TASK_STATE_COUNT) {
        row->deltas[from] -= tasks;
        queues->backlog_delta -= task_state_is_final(from) ? 0 : tasks;
    }
    if (to != TASK_STATE_COUNT) {
        row->deltas[to] += tasks;
        queues->backlog_delta += task_state_is_final(to) ? 0 : tasks;
    }
}

uint64_t queues_count(const struct queue_row *row, enum task_state state)
{
    return (uint64_t)((int64_t)row->counts[state] + row->deltas[state]);
}

uint64_t queues_backlog(struct queues *queues)
{
    return (uint64_t)((int64_t)atomic_load(&queues->backlog) + queues->backlog_delta);
}

int queues_write(struct queues *queues, struct sqlite *sqlite)
{
    for (struct queue_row *row = queues->dirty; row != NULL; row = row->next_dirty) {
        sqlite_bind(sqlite, SQL_COUNTS, 1, row->number);
        for (int i = 0; i < TASK_STATE_COUNT; i++) {
            uint64_t count = queues_count(row, count_states[i]);
            if (count > RECORD_ID_MAX)
                return -EBADMSG; // more have left than were counted
            sqlite_bind(sqlite, SQL_COUNTS, 2 + i, (int64_t)count);
        }
        int r = sqlite_run(sqlite, SQL_COUNTS);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Empties the list of dirty queues. */
static void settle(struct queues *queues, bool committed)
{
    for (struct queue_row *row = queues->dirty; row != NULL; row = row->next_dirty) {
        if (committed) {
            row->is_stored = row->is_stored || row->is_fresh;
            for (unsigned i = 0; i < TASK_STATE_COUNT; i++)
                row->counts[i] = queues_count(row, (enum task_state)i);
        } else if (row->is_fresh) {
            row->number = 0; // those of one transaction are the last ones
            queues->numbered--;
        }
        row->is_fresh = false;
        row->is_dirty = false;
        memset(row->deltas, 0, sizeof(row->deltas));
    }
    queues->dirty = NULL;
    queues->backlog_delta = 0;
}

void queues_commit(struct queues *queues)
{
    if (queues->dirty == NULL)
        return;
    rn_mutex_lock(&queues->mu);
    atomic_store(&queues->backlog, queues_backlog(queues));
    settle(queues, true);
    rn_mutex_unlock(&queues->mu);
}

void queues_rollback(struct queues *queues)
{
    rn_mutex_lock(&queues->mu);
    settle(queues, false);
    rn_mutex_unlock(&queues->mu);
}

void queues_set(struct queues *queues, struct queue_row *row,
                const struct store_queue_settings *settings)
{
    rn_mutex_lock(&queues->mu);
    row->settings = *settings;
    rn_mutex_unlock(&queues->mu);
}

int queues_counts(struct queues *queues, struct store_queue_counts **ret_counts, size_t *ret_count)
{
    struct store_queue_counts *counts = NULL;
    size_t capacity = 0;

    for (;;) { // until the array, which is allocated without the lock, suffices
        rn_mutex_lock(&queues->mu);
        size_t count = queues->numbered;
        if (count <= capacity)
            break;
        rn_mutex_unlock(&queues->mu);
        free(counts);
        counts = calloc(count, sizeof(*counts));
        if (counts == NULL)
            return -ENOMEM;
        capacity = count;
    }
    size_t filled = 0;
    for (size_t i = 0; i < queues->numbered; i++) {
        const struct queue_row *row = queues->by_number[i];
        if (!row->is_stored)
            continue;
        memcpy(counts[filled].queue, row->name, sizeof(row->name));
        memcpy(counts[filled].states, row->counts, sizeof(row->counts));
        counts[filled].settings = row->settings;
        filled++;
    }
    rn_mutex_unlock(&queues->mu);
    *ret_counts = counts;
    *ret_count = filled;
    return 0;
}
