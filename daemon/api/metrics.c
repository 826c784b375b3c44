/* GET /metrics: the daemon's figures in Prometheus' text format.
 *
 * The figures are kept where they arise and are only read here, one after the other: no lock is
 * held for longer than it takes to copy the store's counts or one queue's fields, and the database
 * is not read. Names of queues and kinds come from the configuration, so the number of series is
 * bounded; a task's id, tags or args are never a label. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/calls.h"
#include "api/request.h"
#include "api/routes.h"
#include "config/units.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/usage.h"

// clang-format off
#define FAMILIES(X)                                                                                                                \
    X(BUILD, "runnel_build_info", GAUGE, "The version of the daemon; always 1.")                                                   \
    X(RELOAD_SUCCESS, "runnel_config_last_reload_success", GAUGE,                                                                  \
      "Whether the last load of the configuration was taken; 0: it was refused, and the one before is in force.")                  \
    X(RELOAD_TIME, "runnel_config_last_reload_timestamp_seconds", GAUGE,                                                           \
      "When the configuration in force was loaded, since 1970.")                                                                   \
    X(DRAINING, "runnel_draining", GAUGE, "Whether the daemon is stopping: nothing new is taken or started.")                      \
    X(TASKS, "runnel_tasks", GAUGE, "Tasks in the store, finished ones that are still kept too, by queue and state.")              \
    X(ACCEPTED, "runnel_tasks_accepted_total", COUNTER, "Tasks ever stored, since the store was made.")                            \
    X(BACKLOG, "runnel_backlog_tasks", GAUGE, "Tasks that wait or run.")                                                           \
    X(BACKLOG_MAX, "runnel_backlog_max_tasks", GAUGE, "At that many new tasks are refused (max_backlog).")                         \
    X(STARTED, "runnel_attempts_started_total", COUNTER, "Attempts that were started, by kind.")                                   \
    X(ENDED, "runnel_attempts_ended_total", COUNTER,                                                                               \
      "Attempts that ended, by kind and outcome: succeeded; failed for good; retried (failed, to be tried again); cancelled while" \
      " running; interrupted (put back by a drain).")                                                                              \
    X(WAIT, "runnel_task_wait_seconds", HISTOGRAM,                                                                                 \
      "From when a task became queued (stored, its time come, its backoff over) to the start of its attempt, by queue.")           \
    X(RUN, "runnel_task_run_seconds", HISTOGRAM, "From the start of an attempt to its end, by kind.")                              \
    X(QUEUE_WORKERS, "runnel_queue_workers", GAUGE, "Tasks of the queue that may run at once.")                                    \
    X(QUEUE_RUNNING, "runnel_queue_running_workers", GAUGE, "Workers of the queue that run a task.")                               \
    X(QUEUE_PAUSED, "runnel_queue_paused", GAUGE, "Whether the queue is paused.")                                                  \
    X(QUEUE_CONFIGURED, "runnel_queue_configured", GAUGE, "Whether the configuration has the queue; else its tasks do not start.") \
    X(QUEUE_RATE, "runnel_queue_rate_per_second", GAUGE, "Starts per second that the queue is limited to; absent without a rate.") \
    X(QUEUE_OLDEST, "runnel_queue_oldest_waiting_seconds", GAUGE,                                                                  \
      "How long the first task of the queue, or of one of its priorities, has been queued: the longest of them; 0: none waits.")   \
    X(COMMIT, "runnel_store_commit_seconds", HISTOGRAM, "How long commits of the store took, their syncs included.")               \
    X(OPERATIONS, "runnel_store_operations_total", COUNTER, "Operations that the store has answered.")                             \
    X(OPERATIONS_WAITING, "runnel_store_waiting_operations", GAUGE, "Operations that wait for the store's writer.")                \
    X(READS_WAITING, "runnel_store_waiting_reads", GAUGE, "Reads that wait for one of the store's readers.")                       \
    X(DATABASE, "runnel_store_database_bytes", GAUGE, "Size of the database file.")                                                \
    X(WAL, "runnel_store_wal_bytes", GAUGE, "Size of its write-ahead log.")                                                        \
    X(FREE_DISK, "runnel_store_free_disk_bytes", GAUGE, "Room on the store's disk for the daemon's user.")                         \
    X(BALLAST, "runnel_store_ballast_bytes", GAUGE, "Room that is held back for a full disk; 0: given up, the disk was full.")     \
    X(FULL, "runnel_store_full", GAUGE, "Whether the disk is full: new tasks are refused and none is started.")                    \
    X(REQUESTS, "runnel_http_requests_total", COUNTER,                                                                             \
      "Requests that were answered, by method, route and class of the status; those that reached no route have \"none\".")         \
    X(CONNECTIONS, "runnel_http_connections", GAUGE, "Open connections.")                                                          \
    X(CONNECTIONS_MAX, "runnel_http_max_connections", GAUGE, "Connections that may be open at once (max_connections).")            \
    X(WAITING, "runnel_http_waiting_requests", GAUGE, "Requests that are held open until a task has ended.")                       \
    X(WAITING_MAX, "runnel_http_max_waiting_requests", GAUGE, "Requests that may be held open at once (max_waiting).")             \
    X(MEMORY, "runnel_http_request_memory_bytes", GAUGE, "Memory of all requests that are being taken in or answered.")            \
    X(MEMORY_MAX, "runnel_http_max_request_memory_bytes", GAUGE, "The most that they may take (max_request_memory).")              \
    X(LOG_DROPPED, "runnel_log_dropped_total", COUNTER, "Events that were not logged, since nobody read the log.")                  \
    X(TLS_EXPIRY, "runnel_tls_certificate_expiry_timestamp_seconds", GAUGE,                                                        \
      "When the certificate that is served runs out, since 1970; absent without TLS.")                                             \
    X(CPU, "process_cpu_seconds_total", COUNTER, "Processor time of the daemon, user and system, without its commands.")           \
    X(RESIDENT, "process_resident_memory_bytes", GAUGE, "Resident memory.")                                                        \
    X(VIRTUAL, "process_virtual_memory_bytes", GAUGE, "Virtual memory.")                                                           \
    X(FDS, "process_open_fds", GAUGE, "Open file descriptors.")                                                                    \
    X(FDS_MAX, "process_max_fds", GAUGE, "File descriptors that may be open at once; absent without a limit.")                     \
    X(START, "process_start_time_seconds", GAUGE, "When the daemon was started, since 1970.")
// clang-format on

enum family_number {
#define FAMILY_ENUM(symbol, name, type, help) FAMILY_##symbol,
    FAMILIES(FAMILY_ENUM)
#undef FAMILY_ENUM
};

static const struct metrics_family families[] = {
#define FAMILY_ROW(symbol, name, type, help) [FAMILY_##symbol] = {name, METRICS_##type, help},
    FAMILIES(FAMILY_ROW)
#undef FAMILY_ROW
};

static const char *const outcome_names[ENGINE_OUTCOME_COUNT] = {
    [ENGINE_SUCCEEDED] = "succeeded",     [ENGINE_FAILED] = "failed",
    [ENGINE_RETRIED] = "retried",         [ENGINE_CANCELLED] = "cancelled",
    [ENGINE_INTERRUPTED] = "interrupted",
};

/* What one answer is made of. */
struct figures {
    struct engine_stats stats;
    struct engine_queue *queues;
    size_t queue_count;
};

/* ---- counting ---- */

void server_answered(struct server *server, struct request *request, unsigned status)
{
    size_t index = request->route != NULL ? (size_t)(request->route - routes_at(0)) : ROUTES_MAX;
    struct answer_counts *counts = &server->answers[index];
    size_t status_class = status / 100 - 1;

    RN_ASSERT(status_class < STATUS_CLASS_COUNT);
    atomic_fetch_add_explicit(request->is_head && request->route != NULL
                                  ? &counts->of_head[status_class]
                                  : &counts->of[status_class],
                              1, memory_order_relaxed);
    atomic_store(&request->status, status);
}

/* ---- text ---- */

static const struct metrics_family *begin(FILE *file, enum family_number number)
{
    metrics_begin(file, &families[number]);
    return &families[number];
}

/* A family with one sample. */
static void put(FILE *file, enum family_number number, uint64_t value)
{
    metrics_whole(file, begin(file, number), NULL, value);
}

static struct metrics_labels label(const char *name, const char *value)
{
    return (struct metrics_labels){.count = 1, .each = {{.name = name, .value = value}}};
}

static void put_configuration(FILE *file, const struct server *server)
{
    struct engine_configuration configuration;

    engine_configuration(server->engine, &configuration);
    put(file, FAMILY_RELOAD_SUCCESS, configuration.last_error_at_ms == 0);
    metrics_seconds(file, begin(file, FAMILY_RELOAD_TIME), NULL,
                    (uint64_t)configuration.loaded_at_ms * 1000);
}

static void put_tasks(FILE *file, const struct figures *figures, const struct request *request)
{
    const struct metrics_family *family = begin(file, FAMILY_TASKS);

    for (size_t i = 0; i < figures->queue_count; i++) {
        for (unsigned state = 0; state < TASK_STATE_COUNT; state++) {
            struct metrics_labels labels = {
                .count = 2,
                .each = {{.name = "queue", .value = figures->queues[i].name},
                         {.name = "state", .value = task_state_name((enum task_state)state)}}};
            metrics_whole(file, family, &labels, figures->queues[i].states[state]);
        }
    }
    put(file, FAMILY_ACCEPTED, engine_last_id(request->server->engine));
    put(file, FAMILY_BACKLOG, figures->stats.backlog);
    put(file, FAMILY_BACKLOG_MAX, request->config->max_backlog);
}

static void put_kinds(FILE *file, const struct request *request)
{
    const struct config *config = request->config;
    const struct metrics_family *family = begin(file, FAMILY_STARTED);

    for (size_t i = 0; i < config->kind_count; i++) {
        struct metrics_labels labels = label("kind", config->kinds[i].name);
        metrics_whole(
            file, family, &labels,
            atomic_load_explicit(
                &engine_kind_counts(request->server->engine, config->kinds[i].name)->started,
                memory_order_relaxed));
    }
    family = begin(file, FAMILY_ENDED);
    for (size_t i = 0; i < config->kind_count; i++) {
        const struct engine_kind_counts *counts =
            engine_kind_counts(request->server->engine, config->kinds[i].name);
        for (unsigned outcome = 0; outcome < ENGINE_OUTCOME_COUNT; outcome++) {
            struct metrics_labels labels = {
                .count = 2,
                .each = {{.name = "kind", .value = config->kinds[i].name},
                         {.name = "outcome", .value = outcome_names[outcome]}}};
            metrics_whole(file, family, &labels,
                          atomic_load_explicit(&counts->ended[outcome], memory_order_relaxed));
        }
    }
    family = begin(file, FAMILY_RUN);
    for (size_t i = 0; i < config->kind_count; i++) {
        struct metrics_labels labels = label("kind", config->kinds[i].name);
        metrics_histogram_samples(
            file, family, &labels,
            &engine_kind_counts(request->server->engine, config->kinds[i].name)->run);
    }
}

/* One number of each queue. */
static void put_queue_numbers(FILE *file, enum family_number number, const struct figures *figures,
                              uint64_t (*number_fn)(const struct engine_queue *queue))
{
    const struct metrics_family *family = begin(file, number);

    for (size_t i = 0; i < figures->queue_count; i++) {
        struct metrics_labels labels = label("queue", figures->queues[i].name);
        metrics_whole(file, family, &labels, number_fn(&figures->queues[i]));
    }
}

static uint64_t workers_of(const struct engine_queue *queue)
{
    return queue->workers;
}

static uint64_t running_of(const struct engine_queue *queue)
{
    return queue->running;
}

static uint64_t paused_of(const struct engine_queue *queue)
{
    return queue->paused;
}

static uint64_t configured_of(const struct engine_queue *queue)
{
    return queue->is_configured;
}

static void put_ages(FILE *file, const struct figures *figures)
{
    const struct metrics_family *family = begin(file, FAMILY_QUEUE_OLDEST);
    int64_t now_ms = rn_wall_ms();

    for (size_t i = 0; i < figures->queue_count; i++) {
        struct metrics_labels labels = label("queue", figures->queues[i].name);
        int64_t since_ms = figures->queues[i].oldest_queued_at_ms;
        int64_t age_ms = since_ms == 0 || since_ms > now_ms ? 0 : now_ms - since_ms;
        metrics_seconds(file, family, &labels, (uint64_t)age_ms * 1000);
    }
}

static void put_queues(FILE *file, const struct figures *figures)
{
    const struct metrics_family *family = begin(file, FAMILY_WAIT);

    for (size_t i = 0; i < figures->queue_count; i++) {
        struct metrics_labels labels = label("queue", figures->queues[i].name);
        metrics_histogram_samples(file, family, &labels, figures->queues[i].wait);
    }
    put_queue_numbers(file, FAMILY_QUEUE_WORKERS, figures, workers_of);
    put_queue_numbers(file, FAMILY_QUEUE_RUNNING, figures, running_of);
    put_queue_numbers(file, FAMILY_QUEUE_PAUSED, figures, paused_of);
    put_queue_numbers(file, FAMILY_QUEUE_CONFIGURED, figures, configured_of);
    family = begin(file, FAMILY_QUEUE_RATE);
    for (size_t i = 0; i < figures->queue_count; i++) {
        struct metrics_labels labels = label("queue", figures->queues[i].name);
        double per_s = 0;
        if (figures->queues[i].rate[0] != '\0' && units_rate(figures->queues[i].rate, &per_s) == 0)
            metrics_number(file, family, &labels, per_s);
    }
    put_ages(file, figures);
}

static void put_store(FILE *file, const struct engine_stats *stats, const struct server *server)
{
    const struct store_stats *store = &stats->store;

    metrics_histogram_samples(file, begin(file, FAMILY_COMMIT), NULL,
                              engine_commit_times(server->engine));
    put(file, FAMILY_OPERATIONS, store->operations);
    put(file, FAMILY_OPERATIONS_WAITING, store->ops_waiting);
    put(file, FAMILY_READS_WAITING, store->reads_waiting);
    put(file, FAMILY_DATABASE, store->database_bytes);
    put(file, FAMILY_WAL, store->wal_bytes);
    put(file, FAMILY_FREE_DISK, store->free_disk_bytes);
    put(file, FAMILY_BALLAST, store->ballast_bytes);
    put(file, FAMILY_FULL, stats->disk_full);
}

/* The classes that are given are there from the start, so that the first 5xx is an increase. */
static void put_answers(FILE *file, const struct metrics_family *family, const char *method,
                        const char *path, const _Atomic uint64_t *of, bool also_zeros)
{
    static const char *const names[STATUS_CLASS_COUNT] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    static const bool is_given[STATUS_CLASS_COUNT] = {[1] = true, [3] = true, [4] = true};

    for (size_t i = 0; i < STATUS_CLASS_COUNT; i++) {
        uint64_t count = atomic_load_explicit(&of[i], memory_order_relaxed);
        struct metrics_labels labels = {.count = 3,
                                        .each = {{.name = "method", .value = method},
                                                 {.name = "route", .value = path},
                                                 {.name = "code", .value = names[i]}}};
        if (count > 0 || (also_zeros && is_given[i]))
            metrics_whole(file, family, &labels, count);
    }
}

static void put_http(FILE *file, struct request *request)
{
    struct server *server = request->server;
    const struct config *config = server->config;
    const struct metrics_family *family = begin(file, FAMILY_REQUESTS);

    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        put_answers(file, family, route->method, route->path, server->answers[i].of, true);
        put_answers(file, family, "HEAD", route->path, server->answers[i].of_head, false);
    }
    put_answers(file, family, "none", "none", server->answers[ROUTES_MAX].of, true);

    rn_mutex_lock(&server->connections.mu);
    unsigned connections = server->connections.count;
    rn_mutex_unlock(&server->connections.mu);
    put(file, FAMILY_CONNECTIONS, connections);
    put(file, FAMILY_CONNECTIONS_MAX, config->max_connections);
    put(file, FAMILY_WAITING, atomic_load(&server->waiting));
    put(file, FAMILY_WAITING_MAX, request->config->max_waiting);
    put(file, FAMILY_MEMORY, atomic_load(&server->memory));
    put(file, FAMILY_MEMORY_MAX, config->max_request_memory);

    rn_mutex_lock(&server->mu);
    int64_t expires_at_s =
        server->certificate != NULL ? certificate_expires_at_s(server->certificate) : 0;
    rn_mutex_unlock(&server->mu);
    family = begin(file, FAMILY_TLS_EXPIRY);
    if (expires_at_s > 0)
        metrics_whole(file, family, NULL, (uint64_t)expires_at_s);
}

static void put_process(FILE *file, const struct engine_stats *stats)
{
    struct usage usage;

    put(file, FAMILY_LOG_DROPPED, log_dropped());
    usage_read(&usage);
    metrics_seconds(file, begin(file, FAMILY_CPU), NULL, usage.cpu_us);
    if (usage.has_memory) {
        put(file, FAMILY_RESIDENT, usage.resident_bytes);
        put(file, FAMILY_VIRTUAL, usage.virtual_bytes);
    }
    if (usage.has_open_fds)
        put(file, FAMILY_FDS, usage.open_fds);
    if (usage.max_fds != UINT64_MAX)
        put(file, FAMILY_FDS_MAX, usage.max_fds);
    metrics_seconds(file, begin(file, FAMILY_START), NULL, (uint64_t)stats->started_at_ms * 1000);
}

static void put_all(FILE *file, const struct figures *figures, struct request *request)
{
    struct server *server = request->server;
    struct metrics_labels version = label("version", RUNNEL_VERSION);

    metrics_whole(file, begin(file, FAMILY_BUILD), &version, 1);
    put(file, FAMILY_DRAINING, engine_phase(server->engine) == ENGINE_DRAINING);
    put_configuration(file, server);
    put_tasks(file, figures, request);
    put_kinds(file, request);
    put_queues(file, figures);
    put_store(file, &figures->stats, server);
    put_http(file, request);
    put_process(file, &figures->stats);
}

/* All of it as text, which the caller frees whatever comes back. */
static int make_text(struct request *request, struct buffer *text)
{
    struct server *server = request->server;
    struct figures figures = {.queues = NULL};

    int r = engine_stats(server->engine, &figures.stats);
    if (r == 0)
        r = engine_queues(server->engine, &figures.queues, &figures.queue_count);
    if (r < 0)
        return r;
    FILE *file = open_memstream(&text->bytes, &text->length);
    if (file == NULL) {
        free(figures.queues);
        return -ENOMEM;
    }
    put_all(file, &figures, request);
    free(figures.queues);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    text->capacity = text->length + 1; // the NUL behind it
    return failed ? -ENOMEM : 0;
}

void call_metrics(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    int r = make_text(request, &text);
    if (r < 0) {
        buffer_fini(&text);
        request_problem_error(request, r);
        return;
    }
    request_answer(request, &(struct answer){.status = 200,
                                             .type = "text/plain; version=0.0.4; charset=utf-8",
                                             .text = &text,
                                             .is_verbatim = true});
}
