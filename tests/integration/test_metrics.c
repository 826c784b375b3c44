/** \file GET /metrics: its format, that it tells what was done, and that the alert rules and the
 * dashboard ask for nothing that is not there. promtool and prometheus look at it where they are
 * installed. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "scrape.h"

static const char config[] =
    "drain_timeout = '20s';\n"
    "queue: { default: { workers = 4 }; blog: { workers = 3; rate = '90/m'; burst = 2 };\n"
    "         stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' };\n"
    "        fail: { builtin = 'fail' }; print: { command = ['/bin/echo', 'x'] }; };\n";

static struct scrape *scrape(struct daemon *daemon)
{
    struct reply *reply = expect_status(get(daemon, "/metrics"), 200);

    assert_string_equal(reply_header(reply, "Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    return scrape_read(reply->body);
}

static void the_format_is_kept_from_the_first_scrape_on(void)
{
    struct daemon *daemon = daemon_started(config);

    struct scrape *first = scrape(daemon);
    expect_end(daemon, submit(daemon, "{'kind':'print'}"), "succeeded", NULL);
    struct scrape *second = scrape(daemon);

    assert_true(first->family_count > 30);
    assert_int_equal(first->family_count, second->family_count);
    // What has not happened yet is 0, not absent: its first time is then an increase.
    assert_true(
        scrape_value(first, "runnel_attempts_ended_total{kind=\"print\",outcome=\"failed\"}") == 0);
    assert_true(scrape_value(first, "runnel_task_wait_seconds_count{queue=\"blog\"}") == 0);
    assert_true(scrape_value(first,
                             "runnel_http_requests_total{method=\"POST\",route=\"/v1/tasks\","
                             "code=\"5xx\"}") == 0);
    assert_true(scrape_value(second, "runnel_attempts_ended_total{kind=\"print\",outcome="
                                     "\"succeeded\"}") == 1);
    const char *version = text_at(expect_status(get(daemon, "/v1/info"), 200)->json, "version");
    assert_true(scrape_value(second, plain_text("runnel_build_info{version=\"%s\"}", version)) ==
                1);
}

static void what_was_done_is_counted(void)
{
    struct daemon *daemon = daemon_started(config);
    for (unsigned i = 0; i < 3; i++)
        expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    expect_end(daemon,
               submit(daemon, "{'kind':'fail','max_attempts':3,"
                              "'backoff':{'base':'1ms','max':'1ms'}}"),
               "failed", "failed");
    expect_end(daemon, submit(daemon, "{'kind':'sleep','args':{'duration':'700ms'}}"), "succeeded",
               NULL);
    uint64_t cancelled = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, cancelled, "running");
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)cancelled), NULL),
                  202);
    expect_end(daemon, cancelled, "cancelled", "cancelled");

    struct scrape *now = scrape(daemon);

    assert_true(scrape_value(now, "runnel_tasks_accepted_total") == 6);
    assert_true(scrape_value(now, "runnel_attempts_started_total{kind=\"noop\"}") == 3);
    assert_true(scrape_value(now, "runnel_attempts_started_total{kind=\"fail\"}") == 3);
    assert_true(scrape_value(now, "runnel_attempts_started_total{kind=\"print\"}") == 0);
    static const struct {
        const char *kind, *outcome;
        double count;
    } ends[] = {{"noop", "succeeded", 3},   {"fail", "retried", 2},    {"fail", "failed", 1},
                {"fail", "succeeded", 0},   {"sleep", "succeeded", 1}, {"sleep", "cancelled", 1},
                {"sleep", "interrupted", 0}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        assert_true(scrape_value(now, plain_text("runnel_attempts_ended_total{kind=\"%s\",outcome="
                                                 "\"%s\"}",
                                                 ends[i].kind, ends[i].outcome)) == ends[i].count);
    assert_true(scrape_value(now, "runnel_task_wait_seconds_count{queue=\"default\"}") == 8);
    assert_true(scrape_value(now, "runnel_task_run_seconds_count{kind=\"sleep\"}") == 2);
    assert_true(scrape_value(now, "runnel_task_run_seconds_bucket{kind=\"sleep\",le=\"0.5\"}") <=
                1);
    assert_true(scrape_value(now, "runnel_task_run_seconds_sum{kind=\"sleep\"}") >= 0.7);
    assert_true(scrape_value(now, "runnel_store_commit_seconds_count") >= 6);
    assert_true(scrape_value(now, "runnel_store_operations_total") >= 12);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"default\",state=\"succeeded\"}") == 4);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"default\",state=\"failed\"}") == 1);
    // /v1/stats adds up the same counts.
    json_t *stats = expect_status(get(daemon, "/v1/stats"), 200)->json;
    expect_number(stats, "since_start.started", 8);
    expect_number(stats, "since_start.retried", 2);
    expect_number(stats, "since_start.cancelled", 1);
}

static void queues_are_told_as_they_are(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    expect_status(call(daemon, "PATCH", "/v1/queues/default", text("{'workers':7}")), 200);
    int64_t since = wall_ms();
    (void)submit_many(daemon, 5, "{'kind':'noop','queue':'stopped'}");
    (void)submit(daemon, "{'kind':'noop','queue':'stopped','priority':-5,'delay':'1h'}");
    await_state(daemon, submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}"), "running");

    eventually(scrape_value(scrape(daemon),
                            "runnel_queue_oldest_waiting_seconds{queue=\"stopped\"}") >= 0.05,
               10000);
    struct scrape *now = scrape(daemon);

    assert_true(scrape_value(now, "runnel_queue_oldest_waiting_seconds{queue=\"stopped\"}") <=
                (double)(wall_ms() - since) / 1000);
    // What runs does not wait.
    assert_true(scrape_value(now, "runnel_queue_oldest_waiting_seconds{queue=\"default\"}") == 0);
    assert_true(scrape_value(now, "runnel_queue_paused{queue=\"stopped\"}") == 1);
    assert_true(scrape_value(now, "runnel_queue_paused{queue=\"default\"}") == 0);
    assert_true(scrape_value(now, "runnel_queue_workers{queue=\"default\"}") == 7);
    assert_true(scrape_value(now, "runnel_queue_running_workers{queue=\"default\"}") == 1);
    assert_true(scrape_value(now, "runnel_queue_rate_per_second{queue=\"blog\"}") == 1.5);
    assert_false(scrape_has(now, "runnel_queue_rate_per_second{queue=\"default\"}"));
    assert_true(scrape_value(now, "runnel_tasks{queue=\"stopped\",state=\"queued\"}") == 5);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"stopped\",state=\"scheduled\"}") == 1);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"default\",state=\"running\"}") == 1);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"default\",state=\"queued\"}") == 0);
    assert_true(scrape_value(now, "runnel_backlog_tasks") == 7);

    // A queue that the configuration does not have any more keeps its tasks, and is told.
    daemon_kill(daemon);
    daemon_configure(daemon, "queue: { default: { workers = 4 }; };\n"
                             "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; "
                             "};\n");
    daemon_start(daemon);
    now = scrape(daemon);
    assert_true(scrape_value(now, "runnel_queue_configured{queue=\"stopped\"}") == 0);
    assert_true(scrape_value(now, "runnel_queue_configured{queue=\"default\"}") == 1);
    assert_true(scrape_value(now, "runnel_tasks{queue=\"stopped\",state=\"queued\"}") == 5);
    assert_true(scrape_value(now, "runnel_tasks_accepted_total") == 7);
}

static void store_and_process_are_told(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 100, "{'kind':'noop','delay':'1h'}");

    struct scrape *now = scrape(daemon);

    assert_true(scrape_value(now, "runnel_store_database_bytes") > 0);
    assert_true(scrape_value(now, "runnel_store_wal_bytes") > 0);
    assert_true(scrape_value(now, "runnel_store_free_disk_bytes") > 0);
    assert_true(scrape_value(now, "runnel_store_ballast_bytes") == 4 << 20);
    assert_true(scrape_value(now, "runnel_store_full") == 0);
    double resident = scrape_value(now, "process_resident_memory_bytes") / 1024;
    double wanted = (double)daemon_memory_kib(daemon, "VmRSS:");
    assert_true(resident > wanted / 2 && resident < wanted * 2);
    assert_true(scrape_value(now, "process_open_fds") > 5);
    assert_true(scrape_value(now, "process_open_fds") < scrape_value(now, "process_max_fds"));
    assert_true(scrape_value(now, "process_cpu_seconds_total") > 0);
    double age = (double)wall_ms() / 1000 - scrape_value(now, "process_start_time_seconds");
    assert_true(age >= 0 && age < 120 * slow());
    assert_true(scrape_value(now, "runnel_http_connections") == 1);
    assert_true(scrape_value(now, "runnel_http_max_connections") == 256);
}

static double answered(const struct scrape *scrape, const char *method, const char *route,
                       const char *code)
{
    const char *series = plain_text("runnel_http_requests_total{method=\"%s\",route=\"%s\",code="
                                    "\"%s\"}",
                                    method, route, code);

    return scrape_has(scrape, series) ? scrape_value(scrape, series) : -1;
}

static void requests_are_counted_by_their_route(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop'}");
    await_end(daemon, id);
    struct scrape *before = scrape(daemon);

    for (unsigned i = 0; i < 3; i++)
        (void)task(daemon, id);
    expect_status(get(daemon, "/v1/tasks/99"), 404);
    expect_status(get(daemon, "/v1/queues/nowhere"), 404);
    expect_status(get(daemon, "/no/such/path"), 404);
    expect_status(call(daemon, "POST", "/v1/tasks", "{"), 400);
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", daemon->port);
    struct reply *head = wire_reply_head(wire, 10000);
    assert_int_equal(head->status, 200);
    struct scrape *after = scrape(daemon);

    assert_true(answered(after, "GET", "/v1/tasks/{id}", "2xx") ==
                answered(before, "GET", "/v1/tasks/{id}", "2xx") + 3);
    assert_true(answered(after, "GET", "/v1/tasks/{id}", "4xx") == 1);
    assert_true(answered(after, "GET", "/v1/queues/{name}", "4xx") == 1);
    assert_true(answered(after, "POST", "/v1/tasks", "2xx") == 1);
    assert_true(answered(after, "POST", "/v1/tasks", "4xx") == 1);
    assert_true(answered(after, "none", "none", "4xx") == 1);
    assert_true(answered(before, "HEAD", "/metrics", "2xx") == -1);
    assert_true(answered(after, "HEAD", "/metrics", "2xx") == 1);
    // The answer that tells it is not in it yet.
    assert_true(answered(after, "GET", "/metrics", "2xx") == 1);
}

static void it_stands_behind_the_same_checks_as_everything(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_problem(call(daemon, "POST", "/metrics", ""), 405, "method-not-allowed");
    expect_problem(get(daemon, "/metrics?pretty"), 400, "invalid-query");
    expect_problem(get(daemon, "/metrics/"), 404, "not-found");
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /metrics HTTP/1.1\r\nHost: example.com\r\n\r\n");
    struct reply *reply = wire_reply(wire, 10000);
    assert_true(reply->status >= 400 && reply->status < 500);
    assert_null(strstr(reply->body, "runnel_tasks"));
    wire = wire_open(daemon->port);
    wire_sendf(wire,
               "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: http://example.com\r\n\r\n",
               daemon->port);
    reply = wire_reply(wire, 10000);
    assert_true(reply->status >= 400 && reply->status < 500);
}

static void counters_never_fall_while_tasks_run(void)
{
    enum { TASKS = 3000 };
    struct daemon *daemon = daemon_started(config);
    static const char *const counters[] = {
        "runnel_tasks_accepted_total", "runnel_attempts_started_total{kind=\"noop\"}",
        "runnel_attempts_ended_total{kind=\"noop\",outcome=\"succeeded\"}",
        "runnel_task_wait_seconds_sum{queue=\"default\"}", "runnel_store_commit_seconds_count"};
    enum { COUNTERS = sizeof(counters) / sizeof(counters[0]) };
    double last[COUNTERS] = {0};
    const unsigned tasks = TASKS / (unsigned)slow();

    (void)submit_many(daemon, tasks, "{'kind':'noop'}");
    for (bool done = false; !done;) {
        struct scrape *now = scrape(daemon);
        for (size_t i = 0; i < COUNTERS; i++) {
            double value = scrape_value(now, counters[i]);
            if (value < last[i])
                fail_msg("%s fell from %f to %f", counters[i], last[i], value);
            last[i] = value;
        }
        done = last[2] >= tasks;
    }
    assert_true(last[1] == tasks && last[2] == tasks);
}

static void a_drain_is_told(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, id, "running");
    assert_true(scrape_value(scrape(daemon), "runnel_draining") == 0);

    daemon_signal(daemon, SIGTERM);
    eventually(scrape_value(scrape(daemon), "runnel_draining") == 1, 10000);

    daemon_signal(daemon, SIGTERM);
    assert_int_equal(daemon_await_end(daemon, 20000), 0);
}

/* ---- what asks for it ---- */

static const char *source(const char *path)
{
    const char *folder = getenv("RUNNEL_SOURCE");

    if (folder == NULL)
        harness_skip("RUNNEL_SOURCE is not set");
    return plain_text("%s/%s", folder, path);
}

/* Every name in the text that begins with prefix is one of the samples', or of a family that has
 * none here (there is no TLS). Returns how many. */
static unsigned expect_names(const struct scrape *scrape, const char *content, const char *prefix)
{
    unsigned count = 0;

    for (const char *at = strstr(content, prefix); at != NULL; at = strstr(at + 1, prefix)) {
        char *name = plain_text("%.*s", (int)scrape_name_length(at), at);
        bool is_there = false;

        if (at > content && scrape_name_length(at - 1) > 0)
            continue; // in the middle of another word
        for (size_t i = 0; i < scrape->sample_count && !is_there; i++)
            is_there = strcmp(scrape->samples[i].name, name) == 0;
        for (size_t i = 0; i < scrape->family_count && !is_there; i++)
            is_there = strcmp(scrape->families[i].name, name) == 0;
        if (!is_there)
            fail_msg("there is no %s", name);
        count++;
    }
    return count;
}

static void rules_and_dashboard_ask_for_what_there_is(void)
{
    char *rules = file_read(source("config/prometheus-rules.yml"));
    char *dashboard = file_read(source("config/grafana-dashboard.json"));
    struct daemon *daemon = daemon_started(config);

    struct scrape *now = scrape(daemon);

    assert_true(expect_names(now, rules, "runnel_") >= 15);
    assert_true(expect_names(now, dashboard, "runnel_") >= 25);
    assert_true(expect_names(now, rules, "process_") >= 2);
    assert_true(expect_names(now, dashboard, "process_") >= 2);
    json_t *json = keep_json(json_loads(dashboard, JSON_REJECT_DUPLICATES, NULL));
    assert_non_null(json);
    assert_true(json_array_size(at(json, "panels")) >= 15);
}

static void expect_clean(struct run run)
{
    if (run.status != 0 || run.err[0] != '\0')
        fail_msg("%d\n%s%s", run.status, run.out, run.err);
}

static struct run shell(const char *command, int64_t within_ms)
{
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};

    return run_program(argv, NULL, within_ms);
}

static void need(const char *program)
{
    if (shell(plain_text("command -v %s", program), 10000).status != 0)
        harness_skip(
            plain_text("%s is not installed (Debian's package prometheus has it)", program));
}

static void promtool_finds_nothing_in_metrics_and_rules(void)
{
    need("promtool");
    struct daemon *daemon = daemon_started(config);
    const char *file = plain_text("%s/metrics", scenario_folder());
    await_end(daemon, submit(daemon, "{'kind':'noop'}"));

    file_write(file, expect_status(get(daemon, "/metrics"), 200)->body);

    expect_clean(shell(plain_text("promtool check metrics < '%s'", file), 60000));
    expect_clean(shell(
        plain_text("promtool check rules '%s'", source("config/prometheus-rules.yml")), 60000));
}

/* What Prometheus knows of a series; NULL: nothing yet. */
static const char *prometheus_value(struct client *client, const char *query)
{
    struct reply *reply =
        client_call(client, &(struct request){.method = "GET",
                                              .path = plain_text("/api/v1/query?query=%s", query),
                                              .is_fresh = true});
    const char *text = NULL;

    if (reply->status == 200 && json_array_size(at(reply->json, "data.result")) == 1)
        text = plain_text("%s", text_at(reply->json, "data.result.0.value.1"));
    reply_free(reply);
    return text;
}

/* Each alert at what it is for, and not before: tests/integration/prometheus/rules.yml. */
static void the_alerts_come_when_they_should(void)
{
    need("promtool");
    expect_clean(shell(
        plain_text("promtool test rules '%s'", source("tests/integration/prometheus/rules.yml")),
        60000));
}

/* Prometheus itself, until it is killed with the folder's end. */
static void end_prometheus(void *arg)
{
    (void)shell(plain_text("kill -9 $(cat '%s')", (const char *)arg), 10000);
}

static void a_real_prometheus_scrapes_it(void)
{
    need("prometheus");
    struct daemon *daemon = daemon_started(config);
    const char *folder = scenario_folder();
    char *pid_file = plain_text("%s/pid", folder);
    for (unsigned i = 0; i < 4; i++)
        await_end(daemon, submit(daemon, "{'kind':'noop'}"));
    // A port of the kernel's choice; it is free again when Prometheus takes it.
    struct daemon *other = daemon_started(config);
    uint16_t port = other->port;
    daemon_kill(other);
    file_write(plain_text("%s/prometheus.yml", folder),
               plain_text("global: { scrape_interval: 1s }\n"
                          "rule_files: ['%s']\n"
                          "scrape_configs:\n"
                          "  - job_name: runnel\n"
                          "    static_configs: [{ targets: ['127.0.0.1:%u'] }]\n",
                          source("config/prometheus-rules.yml"), daemon->port));

    struct run start = shell(
        plain_text("cd '%s' && { prometheus --config.file=prometheus.yml --storage.tsdb.path=data "
                   "--web.listen-address=127.0.0.1:%u > prometheus.log 2>&1 & echo $! > pid; }",
                   folder, port),
        10000);
    assert_int_equal(start.status, 0);
    keep_with(end_prometheus, pid_file);
    struct client *client = client_new(port);
    const char *value = NULL;

    client_take_any(client);
    eventually((value = prometheus_value(client, "runnel_attempts_started_total{kind=%22noop%22}"),
                value != NULL && strcmp(value, "4") == 0),
               60000);

    assert_string_equal(prometheus_value(client, "up{job=%22runnel%22}"), "1");
    client_free(client);
}

HARNESS_MAIN(SCENARIO(the_format_is_kept_from_the_first_scrape_on),
             SCENARIO(what_was_done_is_counted), SCENARIO(queues_are_told_as_they_are),
             SCENARIO(store_and_process_are_told), SCENARIO(requests_are_counted_by_their_route),
             SCENARIO(it_stands_behind_the_same_checks_as_everything),
             SCENARIO(counters_never_fall_while_tasks_run), SCENARIO(a_drain_is_told),
             SCENARIO(rules_and_dashboard_ask_for_what_there_is),
             SCENARIO(promtool_finds_nothing_in_metrics_and_rules),
             SCENARIO(the_alerts_come_when_they_should), SCENARIO(a_real_prometheus_scrapes_it))
