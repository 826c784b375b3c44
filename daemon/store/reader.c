/* Reader threads and the reads of one thing: a task, a key, a queue's age. */
#include "store/reader.h"

#include <stdlib.h>
#include <unistd.h>

#include "observe/log.h"

enum {
    READ_MAX_MS =
        1000, // of one read transaction: a longer one would keep the log from being started anew
    PROGRESS_STEPS = 2000, // of SQLite's machine between two looks at the clock
    AGE_ROWS = 50,         // of each priority; the oldest are nearly always the first
    EXIT_DATA = 65,
};

void readers_init(struct readers *readers, struct queues *queues, const _Atomic uint64_t *last_id)
{
    *readers = (struct readers){.queues = queues, .last_id = last_id};
    for (unsigned i = 0; i < READERS; i++)
        readers->each[i] = (struct reader){.readers = readers, .takes_lists = i == READERS - 1};
    rn_mutex_init(&readers->mu, 35);
    rn_cond_init(&readers->work);
    rn_cond_init(&readers->list_work);
}

/* SQLite calls it now and then while a statement runs: other than 0 ends the statement. */
static int is_late(void *arg)
{
    const struct reader *reader = arg;
    return rn_now() > reader->deadline;
}

int readers_open(struct readers *readers, const char *path, struct error *reterr)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *reader = &readers->each[i];
        reader->deadline = RN_NEVER;
        int r = sqlite_open(&reader->sqlite, path, SQLITE_READER, reterr);
        if (r == 0)
            r = sqlite_prepare(&reader->sqlite, SQLITE_READER, reterr);
        if (r < 0)
            return r;
        sqlite3_progress_handler(reader->sqlite.db, PROGRESS_STEPS, is_late, reader);
    }
    return 0;
}

void readers_fini(struct readers *readers)
{
    for (unsigned i = 0; i < READERS; i++)
        sqlite_close(&readers->each[i].sqlite);
    rn_cond_fini(&readers->work);
    rn_cond_fini(&readers->list_work);
    rn_mutex_fini(&readers->mu);
}

static void add(struct read_list *list, struct store_read *read)
{
    read->next = NULL;
    if (list->last == NULL)
        list->first = read;
    else
        list->last->next = read;
    list->last = read;
}

static struct store_read *pop(struct read_list *list)
{
    struct store_read *read = list->first;
    if (read == NULL)
        return NULL;
    list->first = read->next;
    if (list->first == NULL)
        list->last = NULL;
    read->next = NULL;
    return read;
}

int readers_submit(struct readers *readers, struct store_read *read, size_t limit)
{
    int r = 0;
    rn_mutex_lock(&readers->mu);
    if (readers->closed) {
        r = -EPIPE;
    } else if (readers->count >= limit) {
        r = -EAGAIN;
    } else {
        bool is_list = read->type == STORE_LIST;
        add(is_list ? &readers->lists : &readers->quick, read);
        readers->count++;
        if (is_list || !rn_cond_signal(&readers->work))
            (void)rn_cond_signal(&readers->list_work);
    }
    rn_mutex_unlock(&readers->mu);
    return r;
}

void readers_close(struct readers *readers)
{
    rn_mutex_lock(&readers->mu);
    readers->closed = true;
    rn_cond_broadcast(&readers->work);
    rn_cond_broadcast(&readers->list_work);
    rn_mutex_unlock(&readers->mu);
}

size_t readers_waiting(struct readers *readers)
{
    rn_mutex_lock(&readers->mu);
    size_t count = readers->count;
    rn_mutex_unlock(&readers->mu);
    return count;
}

/* The next read of this reader; NULL: closed, and none is left. */
static struct store_read *take(struct reader *reader)
{
    struct readers *readers = reader->readers;
    struct store_read *read = NULL;

    rn_mutex_lock(&readers->mu);
    for (;;) {
        if (reader->takes_lists)
            read = pop(&readers->lists);
        if (read == NULL)
            read = pop(&readers->quick);
        if (read != NULL || readers->closed)
            break;
        rn_cond *work = reader->takes_lists ? &readers->list_work : &readers->work;
        int r = rn_cond_wait(NULL, work, &readers->mu, RN_NEVER);
        RN_ASSERT(r == 0); // neither a context nor a deadline can end it
    }
    if (read != NULL)
        readers->count--;
    rn_mutex_unlock(&readers->mu);
    return read;
}

static int read_large(struct reader *reader, enum sqlite_statement which, uint64_t id,
                      struct text *text)
{
    struct sqlite *sqlite = &reader->sqlite;

    sqlite_bind(sqlite, which, 1, (int64_t)id);
    int r = sqlite_next(sqlite, which);
    if (r == 1) {
        r = sqlite_text(sqlite, which, 0, text);
        sqlite_reset(sqlite, which);
        return r < 0 ? r : 1;
    }
    return r;
}

/* The ids of the tasks that follow it. 1, as read_large. */
static int read_children(struct reader *reader, struct record *record)
{
    struct sqlite *sqlite = &reader->sqlite;

    if (!task_state_is_final(record->state) && record->run == 0)
        return 1; // nothing has ended yet
    sqlite_bind(sqlite, SQL_CHILDREN, 1, (int64_t)record->id);
    sqlite_bind(sqlite, SQL_CHILDREN, 2, RECORD_CHILDREN_MAX);
    int r = sqlite_next(sqlite, SQL_CHILDREN);
    if (r <= 0)
        return r < 0 ? r : -EBADMSG; // a sum gives a row
    r = sqlite_text(sqlite, SQL_CHILDREN, 0, &record->children);
    sqlite_reset(sqlite, SQL_CHILDREN);
    return r < 0 ? r : 1;
}

int reader_row(struct reader *reader, uint64_t id, bool with_bodies, struct record **ret_record)
{
    struct sqlite *sqlite = &reader->sqlite;
    struct record *record = NULL;
    unsigned flags = 0;

    sqlite_bind(sqlite, SQL_ROW, 1, (int64_t)id);
    int r = sqlite_next(sqlite, SQL_ROW);
    if (r <= 0)
        return r;
    r = sqlite_record_new(sqlite, SQL_ROW, reader->readers->queues, &record, &flags);
    sqlite_reset(sqlite, SQL_ROW);
    if (r < 0)
        return r;

    r = read_children(reader, record);
    if (r == 1 && !with_bodies) {
        text_fini(&record->args);
        text_fini(&record->result);
    } else if (r == 1) {
        // Between two statements the task may be removed: then it is not there.
        if ((flags & FLAG_ARGS_LARGE) != 0)
            r = read_large(reader, SQL_LARGE_ARGS, id, &record->args);
        if (r == 1 && (flags & FLAG_RESULT_LARGE) != 0)
            r = read_large(reader, SQL_LARGE_RESULT, id, &record->result);
        record->args_in_store = false;
    }
    if (r <= 0) {
        record_free(record);
        return r;
    }
    *ret_record = record;
    return 1;
}

static int get(struct reader *reader, struct store_read *read)
{
    uint64_t id = read->get.id;

    read->get.record = NULL;
    // Before the look: a task that was given meanwhile is not called removed.
    uint64_t last_id = atomic_load(reader->readers->last_id);
    if (id == 0 || id > last_id)
        return -ENOENT;
    int r = reader_row(reader, id, true, &read->get.record);
    return r == 1 ? 0 : r == 0 ? -ENODATA : r;
}

static int age(struct reader *reader, struct store_read *read)
{
    struct sqlite *sqlite = &reader->sqlite;
    int64_t number = 0;
    int64_t oldest_ms = 0;
    int64_t priority = INT32_MAX;

    read->age.oldest_ms = 0;
    int r = queues_number(reader->readers->queues, read->age.queue, &number);
    if (r < 0)
        return 0; // never used
    for (;;) {
        sqlite_bind(sqlite, SQL_AGE_PRIORITY, 1, number);
        sqlite_bind(sqlite, SQL_AGE_PRIORITY, 2, priority);
        r = sqlite_next(sqlite, SQL_AGE_PRIORITY);
        if (r <= 0)
            break;
        int64_t above = priority;
        priority = sqlite_int(sqlite, SQL_AGE_PRIORITY, 0);
        sqlite_reset(sqlite, SQL_AGE_PRIORITY);
        if (priority >= above)
            return -EBADMSG; // the index has another order: it would be found for ever

        sqlite_bind(sqlite, SQL_AGE_ROWS, 1, number);
        sqlite_bind(sqlite, SQL_AGE_ROWS, 2, priority);
        sqlite_bind(sqlite, SQL_AGE_ROWS, 3, AGE_ROWS);
        while ((r = sqlite_next(sqlite, SQL_AGE_ROWS)) == 1) {
            int64_t queued_ms = sqlite_int(sqlite, SQL_AGE_ROWS, 0);
            if (queued_ms < 0 || queued_ms > RECORD_CLOCK_MS_MAX) {
                sqlite_reset(sqlite, SQL_AGE_ROWS);
                return -EBADMSG;
            }
            if (oldest_ms == 0 || queued_ms < oldest_ms)
                oldest_ms = queued_ms;
        }
        if (r < 0)
            break;
    }
    read->age.oldest_ms = r == 0 ? oldest_ms : 0;
    return r;
}

static int run(struct reader *reader, struct store_read *read)
{
    switch (read->type) {
    case STORE_GET:
        return get(reader, read);
    case STORE_LIST:
        return reader_list(reader, read);
    case STORE_KEY:
        return sqlite_key_state(&reader->sqlite, read->key.text, &read->key.state);
    case STORE_QUEUE_AGE:
        return age(reader, read);
    }
    return -EINVAL; // no other type can be submitted
}

int reader_run(rn_context *ctx, void *arg)
{
    struct reader *reader = arg;
    (void)ctx; // closing ends it, when all is answered

    for (struct store_read *read = take(reader); read != NULL; read = take(reader)) {
        reader->deadline = rn_after(READ_MAX_MS * RN_MILLISECOND);
        read->result = run(reader, read);
        if (read->result == -EBADMSG) {
            log_event(LOG_LEVEL_ERR, "store_damaged", LOG_TEXT("during", "read"),
                      LOG_TEXT("error", sqlite_message(&reader->sqlite)),
                      LOG_INT("exit", EXIT_DATA));
            _exit(EXIT_DATA); // what is shown from here on could be wrong
        }
        if (read->done_fn != NULL)
            read->done_fn(read, read->arg);
    }
    return 0;
}
