/* The calls about the daemon: stats, info, root, health, problems, the description. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/calls.h"
#include "api/openapi.h"
#include "api/request.h"

/* ---- health ---- */

static void answer_status(struct request *request, const char *status)
{
    struct buffer text = {.bytes = NULL};

    BUFFER_LITERAL(&text, "{\"status\":");
    buffer_json_text(&text, status);
    BUFFER_LITERAL(&text, "}");
    request_answer_json(request, 200, &text);
}

void call_health(struct request *request)
{
    answer_status(request, "ok");
}

void call_ready(struct request *request)
{
    // While it starts, the gate has answered.
    if (engine_phase(request->server->engine) == ENGINE_DRAINING)
        request_problem_error(request, -EPIPE);
    else
        answer_status(request, "ready");
}

/* ---- stats ---- */

/* ,"name":number */
static void add(struct buffer *text, const char *name, uint64_t number)
{
    if (text->length > 0 && text->bytes[text->length - 1] != '{')
        BUFFER_LITERAL(text, ",");
    buffer_json_text(text, name);
    BUFFER_LITERAL(text, ":");
    buffer_unsigned(text, number);
}

static void add_store(struct buffer *text, const struct engine_stats *stats)
{
    const struct store_stats *store = &stats->store;

    BUFFER_LITERAL(text, ",\"store\":{");
    add(text, "database_bytes", store->database_bytes);
    add(text, "wal_bytes", store->wal_bytes);
    add(text, "free_disk_bytes", store->free_disk_bytes);
    add(text, "commits", store->commits);
    add(text, "operations", store->operations);
    add(text, "rows", store->rows);
    add(text, "commit_p50_us", store->commit_p50_us);
    add(text, "commit_p99_us", store->commit_p99_us);
    add(text, "commit_max_us", store->commit_max_us);
    add(text, "operations_waiting", store->ops_waiting);
    add(text, "reads_waiting", store->reads_waiting);
    BUFFER_LITERAL(text, ",\"full\":");
    buffer_json_bool(text, stats->disk_full);
    BUFFER_LITERAL(text, "}");
}

static void add_http(struct buffer *text, struct request *request)
{
    struct server *server = request->server;

    rn_mutex_lock(&server->connections.mu);
    unsigned connections = server->connections.count;
    rn_mutex_unlock(&server->connections.mu);

    BUFFER_LITERAL(text, ",\"http\":{");
    add(text, "connections", connections);
    add(text, "connections_max", server->config->max_connections);
    add(text, "requests", atomic_load(&server->request_count));
    add(text, "waiting", atomic_load(&server->waiting));
    add(text, "waiting_max", request->config->max_waiting);
    add(text, "memory_bytes", atomic_load(&server->memory));
    add(text, "memory_bytes_max", server->config->max_request_memory);
    BUFFER_LITERAL(text, "}");
}

void call_stats(struct request *request)
{
    struct engine_stats stats;
    struct buffer text = {.bytes = NULL};

    int r = engine_stats(request->server->engine, &stats);
    if (r < 0) {
        request_problem_error(request, r);
        return;
    }
    BUFFER_LITERAL(&text, "{\"started_at\":");
    buffer_json_instant(&text, stats.started_at_ms);
    add(&text, "uptime_ms",
        (uint64_t)(rn_wall_ms() > stats.started_at_ms ? rn_wall_ms() - stats.started_at_ms : 0));
    add(&text, "backlog", stats.backlog);
    add(&text, "backlog_max", request->config->max_backlog);
    add(&text, "running", stats.running);
    BUFFER_LITERAL(&text, ",\"states\":{");
    for (unsigned state = 0; state < TASK_STATE_COUNT; state++)
        add(&text, task_state_name((enum task_state)state), stats.states[state]);
    BUFFER_LITERAL(&text, "},\"since_start\":{");
    add(&text, "started", stats.started);
    add(&text, "succeeded", stats.succeeded);
    add(&text, "failed", stats.failed);
    add(&text, "cancelled", stats.cancelled);
    add(&text, "retried", stats.retried);
    add(&text, "interrupted", stats.interrupted);
    BUFFER_LITERAL(&text, "}");
    add_store(&text, &stats);
    add_http(&text, request);
    BUFFER_LITERAL(&text, "}");
    request_answer_json(request, 200, &text);
}

/* ---- info ---- */

static void add_kind(struct buffer *text, const struct config_kind *kind)
{
    BUFFER_LITERAL(text, "{\"name\":");
    buffer_json_text(text, kind->name);
    BUFFER_LITERAL(text, ",\"builtin\":");
    buffer_json_text(text, kind->runs == CONFIG_RUNS_BUILTIN ? kind->builtin : NULL);
    BUFFER_LITERAL(text, ",\"command\":");
    // The arguments may tell what is nobody's business; the program says enough.
    buffer_json_text(text, kind->runs == CONFIG_RUNS_COMMAND && kind->command_count > 0
                               ? kind->command[0]
                               : NULL);
    BUFFER_LITERAL(text, ",\"queue\":");
    buffer_json_text(text, kind->queue != NULL ? kind->queue : "default");
    BUFFER_LITERAL(text, ",\"timeout\":");
    buffer_json_duration(text, kind->timeout / RN_MILLISECOND);
    add(text, "max_attempts", kind->max_attempts);
    BUFFER_LITERAL(text, ",\"backoff\":{\"base\":");
    buffer_json_duration(text, kind->backoff_base / RN_MILLISECOND);
    BUFFER_LITERAL(text, ",\"max\":");
    buffer_json_duration(text, kind->backoff_max / RN_MILLISECOND);
    BUFFER_LITERAL(text, "},\"if_interrupted\":");
    buffer_json_text(text, kind->retry_if_interrupted ? "retry" : "fail");
    BUFFER_LITERAL(text, "}");
}

static void add_configuration(struct buffer *text, struct request *request)
{
    struct engine_configuration configuration;

    engine_configuration(request->server->engine, &configuration);
    bool was_refused = configuration.last_error_at_ms != 0;
    BUFFER_LITERAL(text, ",\"configuration\":{\"loaded_at\":");
    buffer_json_instant(text, configuration.loaded_at_ms);
    BUFFER_LITERAL(text, ",\"last_error\":");
    buffer_json_text(text, was_refused ? configuration.last_error : NULL);
    BUFFER_LITERAL(text, ",\"last_error_at\":");
    buffer_json_instant(text, configuration.last_error_at_ms);
    BUFFER_LITERAL(text, ",\"restart_needed\":[");
    for (size_t i = 0; i < configuration.restart_count; i++) {
        buffer_text(text, i == 0 ? "" : ",");
        buffer_json_text(text, configuration.restart_needed[i]);
    }
    BUFFER_LITERAL(text, "]}");
}

static void add_listeners(struct buffer *text, const struct server *server)
{
    char address[128];

    BUFFER_LITERAL(text, ",\"listeners\":[");
    for (size_t i = 0; i < server->listener_count; i++) {
        config_listener_text(&server->listeners[i].address, address, sizeof(address));
        buffer_text(text, i == 0 ? "{\"address\":" : ",{\"address\":");
        buffer_json_text(text, address);
        BUFFER_LITERAL(text, ",\"tls\":");
        buffer_json_bool(text, server->listeners[i].is_tls);
        BUFFER_LITERAL(text, ",\"passed_in\":");
        buffer_json_bool(text, server->listeners[i].is_passed);
        BUFFER_LITERAL(text, "}");
    }
    BUFFER_LITERAL(text, "]");
}

void call_info(struct request *request)
{
    struct server *server = request->server;
    const struct config *config = request->config;
    struct buffer text = {.bytes = NULL};

    BUFFER_LITERAL(&text, "{\"name\":\"runnel\",\"version\":\"" RUNNEL_VERSION "\",\"store_id\":");
    buffer_json_text(&text, engine_store_id(server->engine));
    add(&text, "last_id", engine_last_id(server->engine));
    add(&text, "pid", (uint64_t)getpid());
    BUFFER_LITERAL(&text, ",\"started_at\":");
    buffer_json_instant(&text, server->started_at_ms);
    add_listeners(&text, server);
    BUFFER_LITERAL(&text, ",\"kinds\":[");
    const char *comma = "";
    for (size_t i = 0; i < config->kind_count; i++) {
        if (!config_token_has_kind(request->token, config->kinds[i].name))
            continue;
        buffer_text(&text, comma);
        comma = ",";
        add_kind(&text, &config->kinds[i]);
    }
    BUFFER_LITERAL(&text, "],\"queues\":[");
    comma = "";
    for (size_t i = 0; i < config->queue_count; i++) {
        if (!config_token_has_queue(request->token, config->queues[i].name))
            continue;
        buffer_text(&text, comma);
        comma = ",";
        buffer_json_text(&text, config->queues[i].name);
    }
    BUFFER_LITERAL(&text, "]");
    add_configuration(&text, request);
    BUFFER_LITERAL(&text, "}");
    request_answer_json(request, 200, &text);
}

void call_root(struct request *request)
{
    static const char text_of_root[] =
        "{\"name\":\"runnel\",\"version\":\"" RUNNEL_VERSION "\","
        "\"submit\":\"POST "
        "/v1/tasks\",\"tasks\":\"/v1/tasks\",\"task\":\"/v1/tasks/{id}\",\"result\":\"/v1/tasks/"
        "{id}/result\","
        "\"queues\":\"/v1/queues\",\"stats\":\"/v1/stats\",\"metrics\":\"/metrics\",\"info\":\"/v1/"
        "info\",\"health\":\"/"
        "healthz\",\"ready\":\"/readyz\","
        "\"problems\":\"/problems/{code}\",\"openapi\":\"/openapi.json\"}";
    struct buffer text = {.bytes = NULL};

    buffer_add(&text, text_of_root, sizeof(text_of_root) - 1);
    request_answer_json(request, 200, &text);
}

void call_openapi(struct request *request)
{
    struct buffer text = {.bytes = NULL};
    size_t length = 0;
    const char *bytes = openapi_text(&length);

    buffer_add(&text, bytes, length);
    request_answer(request, &(struct answer){.status = 200, .text = &text, .is_verbatim = true});
}

/* ---- problems ---- */

void call_problems(struct request *request)
{
    struct buffer text = {.bytes = NULL};

    BUFFER_LITERAL(&text, "{\"problems\":[");
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_row *row = problem_row((enum problem)i);

        buffer_text(&text, i == 0 ? "" : ",");
        buffer_printf(&text, "{\"type\":\"/problems/%s\",\"code\":\"%s\",\"title\":", row->code,
                      row->code);
        buffer_json_text(&text, row->title);
        buffer_printf(&text, ",\"status\":%u}", row->status);
    }
    BUFFER_LITERAL(&text, "]}");
    request_answer_json(request, 200, &text);
}

void call_problem(struct request *request)
{
    const struct problem_row *row = problem_find(request->name);
    struct buffer text = {.bytes = NULL};

    if (row == NULL) {
        request_problem(request, PROBLEM_NOT_FOUND, "there is no problem of this code");
        return;
    }
    problem_page(&text, row);
    request_answer(request, &(struct answer){.status = 200,
                                             .type = "text/plain; charset=utf-8",
                                             .text = &text,
                                             .is_verbatim = true});
}
