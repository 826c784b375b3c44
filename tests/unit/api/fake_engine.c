/* An engine for the tests of the API; its store is in fake_store.c. */
#include "fake_engine.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_own.h"

/* ---- configuration ---- */

static char *copy_path[] = {(char[]){"/bin/cp"}, (char[]){"--"}, (char[]){"{path}"}, NULL};
static struct config_queue queues[] = {
    {.name = "default", .workers = 4, .rate = {.per_s = HUGE_VAL}, .burst = 1},
    {.name = "mail", .workers = 2, .rate = {.per_s = 10, .text = "10/s"}, .burst = 5},
};
static char mail[] = "mail";
static struct config_kind kinds[] = {
    {.name = "echo",
     .runs = CONFIG_RUNS_BUILTIN,
     .builtin = "echo",
     .timeout = RN_HOUR,
     .max_attempts = 3,
     .backoff_base = 5 * RN_SECOND,
     .backoff_max = RN_HOUR,
     .retry_if_interrupted = true},
    {.name = "copy",
     .runs = CONFIG_RUNS_COMMAND,
     .queue = mail,
     .command = copy_path,
     .command_count = 3,
     .timeout = RN_MINUTE,
     .max_attempts = 1,
     .backoff_base = 5 * RN_SECOND,
     .backoff_max = RN_HOUR},
};

static const struct metrics_bounds bounds = {.count = 1, .upper = {RN_SECOND}};
static const struct metrics_histogram times = {.bounds = &bounds};
static const struct engine_kind_counts kind_counts[] = {{.run = {.bounds = &bounds}},
                                                        {.run = {.bounds = &bounds}}};

static struct config_kind *kinds_by_name[] = {&kinds[1], &kinds[0]};
static const char *kind_names[] = {kinds[0].name, kinds[1].name, NULL};
static const char *queue_names[] = {queues[0].name, queues[1].name, NULL};

static void fill_config(struct config *config)
{
    *config = (struct config){
        .listeners = {{.host = "127.0.0.1", .is_loopback = true}},
        .listener_count = 1,
        .socket_mode = 0660,
        .limits = {.max_header = 16 << 10,
                   .max_headers = 64,
                   .max_url = 2 << 10,
                   .header_timeout = 5 * RN_SECOND,
                   .body_timeout = 30 * RN_SECOND,
                   .answer_timeout = 30 * RN_SECOND,
                   .idle_timeout = 15 * RN_SECOND,
                   .max_wait = 60 * RN_SECOND,
                   .max_connection_requests = 1000,
                   .max_task_body = 2 << 20,
                   .max_array_body = 16 << 20,
                   .max_array_tasks = 10000,
                   .max_json_depth = 32,
                   .max_args = 1 << 20,
                   .max_string = 1 << 10,
                   .max_tags = 32,
                   .max_tag = 128},
        .max_connections = 256,
        .max_waiting = 8,
        .max_backlog = 1000000,
        .max_request_memory = 64 << 20,
        .queues = queues,
        .queue_count = 2,
        .kinds = kinds,
        .kind_count = 2,
        .kinds_by_name = kinds_by_name,
        .kind_names = kind_names,
        .queue_names = queue_names,
        .references = 1,
        .self = config,
        .loaded_at_ms = 1764000000000,
    };
}

/* ---- engine.h ---- */

enum engine_phase engine_phase(struct engine *engine)
{
    rn_mutex_lock(&engine->mu);
    enum engine_phase phase = engine->phase;
    rn_mutex_unlock(&engine->mu);
    return phase;
}

const struct config *engine_config_ref(struct engine *engine)
{
    return config_ref(&engine->config);
}

void engine_configuration(struct engine *engine, struct engine_configuration *ret_configuration)
{
    *ret_configuration = (struct engine_configuration){.loaded_at_ms = engine->config.loaded_at_ms};
}

/* The configuration of this engine is changed by fake_config alone. */
int engine_reload(struct engine *engine, const struct config *config,
                  struct config_changes *ret_changes, struct error *reterr)
{
    (void)engine;
    (void)config;
    memset(ret_changes, 0, sizeof(*ret_changes));
    return error_set(reterr, -ENOMEM, "this engine takes no other configuration");
}

void engine_reload_refused(struct engine *engine, const char *why)
{
    (void)engine;
    (void)why;
}

int engine_submit(struct engine *engine, struct store_op *op)
{
    rn_mutex_lock(&engine->mu);
    int r = op->type == STORE_PUT ? engine->refuse_submit : 0;
    if (r == 0)
        r = fake_add_job(engine, (struct job){.op = op});
    rn_mutex_unlock(&engine->mu);
    return r;
}

/* It has no store, so no room beside it: an import gets so far. */
int engine_scratch(struct engine *engine, int *ret_fd)
{
    (void)engine;
    *ret_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? -errno : 0;
}

int engine_part_new(struct engine *engine, int fd, const struct store_watch *watch,
                    struct store_part **ret_part, uint64_t *ret_bad_line, struct error *reterr)
{
    (void)engine;
    (void)fd;
    (void)watch;
    (void)ret_part;
    (void)ret_bad_line;
    return error_set(reterr, -ENOSPC, "there is no disk");
}

int engine_read(struct engine *engine, struct store_read *read)
{
    rn_mutex_lock(&engine->mu);
    int r = fake_add_job(engine, (struct job){.read = read});
    rn_mutex_unlock(&engine->mu);
    return r;
}

int engine_action_start(struct engine *engine, struct engine_action *action)
{
    action->matched = 0;
    action->changed = 0;
    rn_mutex_lock(&engine->mu);
    int refused = engine->refuse_submit;
    action->result = engine->refuse_op;
    for (uint64_t id = engine->last_id; id > 0 && refused == 0; id--) {
        if (engine->removed[id] || !fake_fits(&action->filter, engine->tasks[id]))
            continue;
        struct store_op op = {.type = action->type, .one.id = id};
        action->matched++;
        action->changed += action->is_dry || fake_change_one(engine, &op) == 0 ? 1 : 0;
    }
    action->skipped = action->matched - action->changed;
    rn_mutex_unlock(&engine->mu);
    if (refused < 0)
        return refused;
    action->done_fn(action, action->arg);
    return 0;
}

void engine_overlay(struct engine *engine, struct record *record)
{
    (void)engine;
    (void)record;
}

void engine_waiting_for(struct engine *engine, const struct record *record,
                        struct engine_waiting_for *ret_waiting)
{
    (void)engine;
    *ret_waiting = (struct engine_waiting_for){.code = NULL};
    if (record->state == TASK_SCHEDULED) {
        ret_waiting->code = "time";
        (void)snprintf(ret_waiting->detail, sizeof(ret_waiting->detail), "its time has not come");
        ret_waiting->next_start_at_ms = record->due_at_ms;
    }
}

int engine_wait_start(struct engine *engine, struct engine_wait *wait)
{
    int r = 0;

    rn_mutex_lock(&engine->mu);
    if (engine->phase == ENGINE_DRAINING)
        r = -EPIPE;
    else if (engine->wait_count == engine->config.max_waiting)
        r = -EAGAIN;
    else
        engine->waits[engine->wait_count++] = wait;
    rn_cond_broadcast(&engine->changed);
    rn_mutex_unlock(&engine->mu);
    return r;
}

bool engine_wait_stop(struct engine *engine, struct engine_wait *wait)
{
    bool found = false;

    rn_mutex_lock(&engine->mu);
    for (unsigned i = 0; i < engine->wait_count && !found; i++) {
        found = engine->waits[i] == wait;
        if (found)
            engine->waits[i] = engine->waits[--engine->wait_count];
    }
    while (engine->calling == wait)
        (void)!rn_cond_wait(NULL, &engine->changed, &engine->mu, RN_NEVER);
    rn_cond_broadcast(&engine->changed);
    rn_mutex_unlock(&engine->mu);
    return found;
}

static void fill_queue(const struct engine *engine, size_t index, struct engine_queue *queue)
{
    const struct config_queue *from = &queues[index];
    const struct store_queue_settings *overrides = &engine->overrides[index];

    *queue = (struct engine_queue){.is_configured = true, .overrides = *overrides, .wait = &times};
    memcpy(queue->name, from->name, sizeof(queue->name));
    queue->workers = overrides->has_workers ? overrides->workers : from->workers;
    memcpy(queue->rate, overrides->has_rate ? overrides->rate : from->rate.text,
           sizeof(queue->rate));
    queue->burst = overrides->has_burst ? overrides->burst : from->burst;
    queue->paused = overrides->paused;
    queue->paused_until_ms = overrides->paused_until_ms;
    queue->tokens = queue->rate[0] != '\0' ? 2.5 : HUGE_VAL;
}

int engine_queues(struct engine *engine, struct engine_queue **ret_queues, size_t *ret_count)
{
    struct engine_queue *all = calloc(2, sizeof(*all));
    if (all == NULL)
        return -ENOMEM;

    rn_mutex_lock(&engine->mu);
    fill_queue(engine, 0, &all[0]);
    fill_queue(engine, 1, &all[1]);
    rn_mutex_unlock(&engine->mu);
    *ret_queues = all;
    *ret_count = 2;
    return 0;
}

int engine_queue_get(struct engine *engine, const char *name, struct engine_queue *ret_queue)
{
    int r = -ENOENT;

    rn_mutex_lock(&engine->mu);
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(queues[i].name, name) != 0)
            continue;
        fill_queue(engine, i, ret_queue);
        r = 0;
    }
    rn_mutex_unlock(&engine->mu);
    return r;
}

int engine_queue_change(struct engine *engine, const struct engine_queue_change *change,
                        struct store_op *op)
{
    struct engine_queue queue;

    if (engine_queue_get(engine, change->name, &queue) < 0)
        return -ENOENT;
    if (change->workers_do == ENGINE_SET && change->workers > 1000)
        return -EINVAL;
    struct store_queue_settings *settings = &op->queue_set.settings;
    *settings = queue.overrides;
    memcpy(op->queue_set.queue, queue.name, sizeof(queue.name));
    if (change->workers_do != ENGINE_KEEP) {
        settings->has_workers = change->workers_do == ENGINE_SET;
        settings->workers = change->workers;
    }
    if (change->rate_do != ENGINE_KEEP) {
        settings->has_rate = change->rate_do == ENGINE_SET;
        memcpy(settings->rate, change->rate, sizeof(settings->rate));
    }
    if (change->burst_do != ENGINE_KEEP) {
        settings->has_burst = change->burst_do == ENGINE_SET;
        settings->burst = change->burst;
    }
    if (change->pause_do != ENGINE_KEEP) {
        settings->paused = change->pause_do == ENGINE_SET;
        settings->paused_until_ms = change->paused_until_ms;
    }
    return engine_submit(engine, op);
}

const struct engine_kind_counts *engine_kind_counts(struct engine *engine, const char *name)
{
    (void)engine;
    return &kind_counts[strcmp(name, kinds[0].name) == 0 ? 0 : 1];
}

const struct metrics_histogram *engine_commit_times(struct engine *engine)
{
    (void)engine;
    return &times;
}

int engine_stats(struct engine *engine, struct engine_stats *ret_stats)
{
    *ret_stats = (struct engine_stats){.started_at_ms = 1764000000000, .backlog = 7};
    (void)engine;
    return 0;
}

const char *engine_store_id(struct engine *engine)
{
    (void)engine;
    return "0123456789abcdef";
}

uint64_t engine_last_id(struct engine *engine)
{
    return engine->last_id;
}

/* ---- for the tests ---- */

int fake_new(struct engine **ret_engine)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return -ENOMEM;
    fill_config(&engine->config);
    engine->phase = ENGINE_READY;
    rn_mutex_init(&engine->mu, 60);
    rn_cond_init(&engine->changed);
    int r = rn_group_new(NULL, &engine->group);
    if (r == 0)
        r = rn_group_go(engine->group, "fake-store", fake_store_thread, engine);
    *ret_engine = engine;
    return r;
}

void fake_free(struct engine *engine)
{
    rn_mutex_lock(&engine->mu);
    engine->stopped = true;
    rn_cond_broadcast(&engine->changed);
    rn_mutex_unlock(&engine->mu);
    (void)rn_group_wait(engine->group);
    rn_group_free(engine->group);
    RN_ASSERT(atomic_load(&engine->config.references) == 1); // every request has given its own back
    for (uint64_t id = 1; id <= engine->last_id; id++)
        record_free(engine->tasks[id]);
    rn_cond_fini(&engine->changed);
    rn_mutex_fini(&engine->mu);
    free(engine);
}

struct config *fake_config(struct engine *engine)
{
    return &engine->config;
}

#define LOCKED(engine, statement)                                                                  \
    do {                                                                                           \
        rn_mutex_lock(&(engine)->mu);                                                              \
        statement;                                                                                 \
        rn_cond_broadcast(&(engine)->changed);                                                     \
        rn_mutex_unlock(&(engine)->mu);                                                            \
    } while (0)

void fake_phase(struct engine *engine, enum engine_phase phase)
{
    LOCKED(engine, engine->phase = phase);
}

void fake_refuse_submit(struct engine *engine, int error)
{
    LOCKED(engine, engine->refuse_submit = error);
}

void fake_refuse_op(struct engine *engine, int error)
{
    LOCKED(engine, engine->refuse_op = error);
}

void fake_hold(struct engine *engine)
{
    LOCKED(engine, engine->held = true);
}

void fake_release(struct engine *engine)
{
    LOCKED(engine, engine->held = false);
}

static void wait_for(struct engine *engine, const unsigned *counter, unsigned count)
{
    rn_time deadline = rn_after(20 * RN_SECOND);

    rn_mutex_lock(&engine->mu);
    while (*counter != count) {
        int r = rn_cond_wait(NULL, &engine->changed, &engine->mu, deadline);
        RN_ASSERT(r == 0);
    }
    rn_mutex_unlock(&engine->mu);
}

void fake_wait_held(struct engine *engine, unsigned count)
{
    wait_for(engine, &engine->job_count, count);
}

void fake_wait_waiting(struct engine *engine, unsigned count)
{
    wait_for(engine, &engine->wait_count, count);
}

static unsigned locked_value(struct engine *engine, const unsigned *value)
{
    rn_mutex_lock(&engine->mu);
    unsigned copy = *value;
    rn_mutex_unlock(&engine->mu);
    return copy;
}

unsigned fake_task_count(struct engine *engine)
{
    rn_mutex_lock(&engine->mu);
    unsigned count = (unsigned)engine->last_id;
    rn_mutex_unlock(&engine->mu);
    return count;
}

unsigned fake_put_count(struct engine *engine)
{
    return locked_value(engine, &engine->put_count);
}

unsigned fake_read_count(struct engine *engine)
{
    return locked_value(engine, &engine->read_count);
}

unsigned fake_largest_put(struct engine *engine)
{
    return locked_value(engine, &engine->largest_put);
}

struct record *fake_task(struct engine *engine, uint64_t id)
{
    rn_mutex_lock(&engine->mu);
    struct record *record = engine->tasks[id];
    rn_mutex_unlock(&engine->mu);
    return record;
}

/* Takes out one who waits for the task. NULL: there is none. */
static struct engine_wait *take_wait_locked(struct engine *engine, uint64_t id)
{
    for (unsigned i = 0; i < engine->wait_count; i++) {
        struct engine_wait *wait = engine->waits[i];
        if (wait->id != id)
            continue;
        engine->waits[i] = engine->waits[--engine->wait_count];
        return wait;
    }
    return NULL;
}

void fake_set(struct engine *engine, uint64_t id, enum task_state state, const char *result,
              bool result_is_json)
{
    rn_mutex_lock(&engine->mu);
    struct record *record = engine->tasks[id];
    record->state = state;
    record->started_at_ms = record->created_at_ms + 5;
    record->finished_at_ms = record->created_at_ms + 25;
    record->attempt = 1;
    record->worker = 1;
    record->result_is_json = result_is_json;
    if (result != NULL && text_set(&record->result, result, strlen(result)) < 0)
        abort();
    struct engine_wait *wait = NULL;
    while (task_state_is_final(state) && (wait = take_wait_locked(engine, id)) != NULL) {
        engine->calling = wait;
        rn_mutex_unlock(&engine->mu);
        wait->done_fn(wait, wait->arg);
        rn_mutex_lock(&engine->mu);
        engine->calling = NULL;
        rn_cond_broadcast(&engine->changed);
    }
    rn_mutex_unlock(&engine->mu);
}

void fake_move_key(struct engine *engine, const char *key, uint64_t count,
                   const unsigned char hash[32])
{
    rn_mutex_lock(&engine->mu);
    struct fake_key *known = fake_find_key(engine, key);
    if (known == NULL) {
        known = &engine->keys[engine->key_count++];
        (void)snprintf(known->text, sizeof(known->text), "%s", key);
        known->state = (struct store_key_state){.exists = true, .is_stream = true, .first_id = 901};
    }
    known->state.count = count;
    known->state.last_id = 900 + count;
    memcpy(known->state.hash, hash, 32);
    rn_mutex_unlock(&engine->mu);
}
