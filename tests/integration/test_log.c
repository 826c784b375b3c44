/** \file
 * The log as who runs the daemon sees it: text and JSON, the access log with each sort of request,
 * levels, and what a client may try to write into it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static const char kinds[] = "queue: { default: { workers = 2 }; };\n"
                            "kind: { noop: { builtin = 'noop' }; };\n";

#define REQUEST " level=notice event=request "

/* The last of so many requests in the log, kept, once they are there. */
static const char *request_line(struct daemon *daemon, unsigned number)
{
    eventually(daemon_log_count(daemon, REQUEST) >= number, 10000);
    assert_int_equal(daemon_log_count(daemon, REQUEST), number);
    char *line = daemon_log(daemon);
    for (char *next = strstr(line, REQUEST); next != NULL; next = strstr(next + 1, REQUEST))
        line = next;
    *strchr(line, '\n') = '\0';
    return line;
}

static void expect_part(const char *line, const char *part)
{
    if (strstr(line, part) == NULL)
        harness_fail(__FILE__, __LINE__, "no '%s' in: %s", part, line);
}

static void expect_no_part(const char *line, const char *part)
{
    if (strstr(line, part) != NULL)
        harness_fail(__FILE__, __LINE__, "'%s' in: %s", part, line);
}

/* The value of key=value, kept. */
static const char *value_in(const char *line, const char *key)
{
    const char *value = strstr(line, plain_text(" %s=", key));
    assert_non_null(value);
    value += strlen(key) + 2;
    return plain_text("%.*s", (int)strcspn(value, " "), value);
}

/* ---- the access log ---- */

static void a_request_is_logged_when_it_has_ended(void)
{
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));

    expect_status(get(daemon, "/healthz?pretty"), 200);
    const char *line = request_line(daemon, 1);
    expect_part(line, " method=GET status=200 bytes_in=0 bytes_out=");
    expect_part(line, " url=/healthz?pretty");
    expect_part(line, " peer=127.0.0.1:");
    expect_no_part(line, "left");
    expect_no_part(line, "task");
    const char *id = value_in(line, "request_id");
    assert_true(number_in(value_in(line, "duration_ms"), NULL) < 10000ULL * (unsigned)slow());

    // The next one on the connection has the next number.
    expect_status(call(daemon, "HEAD", "/healthz", NULL), 200);
    line = request_line(daemon, 2);
    expect_part(line, " method=HEAD status=200 bytes_in=0 bytes_out=0 ");
    assert_string_not_equal(value_in(line, "request_id"), id);
    daemon_stop(daemon);
}

static void submits_are_logged_with_their_tasks(void)
{
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));
    const char *one = "{\"kind\":\"noop\"}";

    uint64_t id = submit(daemon, "%s", one);
    const char *line = request_line(daemon, 1);
    expect_part(line, plain_text("event=request task=%llu request_id=", (unsigned long long)id));
    expect_part(line, " method=POST status=201 bytes_in=15 ");

    expect_status(call(daemon, "POST", "/v1/tasks", plain_text("[%s,%s]", one, one)), 201);
    line = request_line(daemon, 2);
    expect_part(line, " status=201 bytes_in=33 ");
    expect_part(line, " tasks=2 url=/v1/tasks");

    struct request stream = {.method = "POST",
                             .path = "/v1/tasks",
                             .content_type = "application/x-ndjson",
                             .body = plain_text("%s\n%s\n%s\n", one, one, one)};
    expect_status(call_request(daemon, &stream), 201);
    line = request_line(daemon, 3);
    expect_part(line, " status=201 bytes_in=48 ");
    expect_part(line, " tasks=3 ");

    stream.body = plain_text("%s\n{\n%s\n", one, one);
    expect_status(call_request(daemon, &stream), 400);
    line = request_line(daemon, 4);
    expect_part(line, " status=400 ");
    expect_part(line, " tasks=1 ");
    expect_no_part(line, "left");
    daemon_stop(daemon);
}

static void refused_requests_are_logged(void)
{
    // clang-format off
    static const struct {
        const char *head; // PORT in Host
        const char *part;
        int status;
    } rows[] = {
        {"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", "method=GET status=404 ", 404},
        {"PATCH /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 0\r\n\r\n", "method=PATCH status=405 ", 405},
        {"GET /v1/tasks?nonsense HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", "method=GET status=400 ", 400},
        {"GET / HTTP/1.1\r\nHost: evil.example:%u\r\n\r\n", "method=GET status=403 ", 403},
        {"GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: http://evil.example\r\n\r\n", "method=GET status=403 ", 403},
        {"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n", "method=POST status=413 ", 413},
        {"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "method=POST status=400 ", 400},
        {"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n", "method=POST status=415 ", 415},
        {"OPTIONS /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", "method=OPTIONS status=204 ", 204},
    };
    // clang-format on
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *wire = wire_open(daemon->port);
        char head[400];
        (void)snprintf(head, sizeof(head), "%.*s%u%s",
                       (int)(strstr(rows[i].head, "%u") - rows[i].head), rows[i].head, daemon->port,
                       strstr(rows[i].head, "%u") + 2);
        wire_send(wire, head, strlen(head));
        expect_status(wire_reply(wire, 10000), rows[i].status);
        wire_close(wire);
        const char *line = request_line(daemon, i + 1);
        expect_part(line, rows[i].part);
        expect_no_part(line, "left");
    }
    daemon_stop(daemon);
}

static void a_client_that_leaves_is_logged_without_a_status(void)
{
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");
    (void)request_line(daemon, 1);

    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
               (unsigned long long)id, daemon->port);
    eventually(number_at(get(daemon, "/v1/stats")->json, "http.waiting") == 1, 10000);
    wire_close(wire);
    assert_true(daemon_logs(daemon, "left=true", 10000));
    const char *line = strstr(daemon_log(daemon), "method=GET status=0 bytes_in=0 bytes_out=0 ");
    assert_non_null(line);
    expect_part(plain_text("%.*s", (int)strcspn(line, "\n"), line),
                plain_text(" left=true url=\"/v1/tasks/%llu?wait=60s\"", (unsigned long long)id));

    // In the middle of its header: nothing but the first line is known.
    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /v1/stats?half HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", daemon->port);
    eventually(number_at(get(daemon, "/v1/stats")->json, "http.connections") == 2, 10000);
    wire_close(wire);
    assert_true(daemon_logs(daemon, "url=/v1/stats?half", 10000));
    expect_part(daemon_log(daemon), " method=- status=0 ");
    daemon_stop(daemon);
}

static void a_stop_does_not_make_clients_leave(void)
{
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");

    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
               (unsigned long long)id, daemon->port);
    eventually(number_at(get(daemon, "/v1/stats")->json, "http.waiting") == 1, 10000);
    daemon_stop(daemon);
    assert_true(daemon_log_count(daemon, "wait=60s") == 1);
    assert_int_equal(daemon_log_count(daemon, "left=true"), 0);
}

/* ---- what a client may try to write ---- */

/* Only printable characters, whole lines that begin as ours do, none longer than 4 KiB. */
static void expect_sound_log(struct daemon *daemon)
{
    char *log = daemon_log(daemon);

    for (const char *line = log; *line != '\0';) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(end - line < 4096);
        assert_memory_equal(line, "20", 2);
        for (const char *at = line; at < end; at++)
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7F);
        const char *level = strstr(line, "Z level=");
        assert_true(level != NULL && level - line == 23);
        line = end + 1;
    }
}

static void nothing_that_a_client_sends_gets_out_raw(void)
{
    static const struct {
        const char *url, *logged;
    } rows[] = {
        {"/\x1b[31mred", "url=\"/\\x1b[31mred\""},
        {"/\x01\x02\x7f", "url=\"/\\x01\\x02\\x7f\""},
        {"/\"level=err", "url=\"/\\\"level=err\""},
        {"/\\n", "url=\"/\\\\n\""},
        {"/%0a%0dlevel=err", "url=\"/%0a%0dlevel=err\""},
        {"/\xC2\x9B\xE2\x80\xAE", "url=\"/\\xc2\\x9b\\xe2\\x80\\xae\""},
        {"/\xFF\xC3", "url=\"/\\xff\\xc3\""},
        {"/<0>", "url=/<0>"},
    };
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *wire = wire_open(daemon->port);
        wire_sendf(wire, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", rows[i].url,
                   daemon->port);
        int status = wire_reply(wire, 10000)->status;
        assert_true(status == 400 || status == 404);
        wire_close(wire);
        expect_part(request_line(daemon, i + 1), rows[i].logged);
    }
    // A method is the client's too.
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "\x1b[31mGET /method HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", daemon->port);
    (void)wire_reply(wire, 10000);
    wire_close(wire);
    daemon_stop(daemon);
    expect_sound_log(daemon);
}

static void long_urls_are_cut(void)
{
    struct daemon *daemon = daemon_started(plain_text("access_log = true;\n%s", kinds));

    // As long as is allowed: whole.
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", repeated('a', 2047),
               daemon->port);
    expect_status(wire_reply(wire, 10000), 404);
    wire_close(wire);
    const char *line = request_line(daemon, 1);
    expect_part(line, plain_text(" url=/%s", repeated('a', 2047)));
    expect_no_part(line, "truncated");

    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", repeated('b', 8000),
               daemon->port);
    expect_status(wire_reply(wire, 10000), 414);
    wire_close(wire);
    line = request_line(daemon, 2);
    expect_part(line, " status=414 ");
    assert_int_equal(strlen(strstr(line, "url=/b")), strlen("url=/") + 2047);

    // Four characters for each: the line is full, all that we know of the request is there.
    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", repeated('\x01', 2000),
               daemon->port);
    (void)wire_reply(wire, 10000);
    wire_close(wire);
    line = request_line(daemon, 3);
    expect_part(line, " method=GET status=400 ");
    expect_part(line, "\\x01\" truncated=yes");
    daemon_stop(daemon);
    expect_sound_log(daemon);
}

/* ---- settings ---- */

static void requests_are_not_logged_unless_asked_for(void)
{
    struct daemon *daemon = daemon_started(kinds);

    expect_status(get(daemon, "/healthz"), 200);
    daemon_stop(daemon);
    assert_int_equal(daemon_log_count(daemon, "event=request"), 0);
    assert_int_equal(daemon_log_count(daemon, "event=stopped"), 1);
}

/* `ready` is a notice too: the daemon tells systemd instead, where it listens is its file's. */
static void levels_filter_the_access_log_too(void)
{
    struct daemon *daemon =
        daemon_started(plain_text("access_log = true;\nlog_level = 'notice';\n%s", kinds));
    expect_status(get(daemon, "/healthz"), 200);
    daemon_stop(daemon);
    assert_int_equal(daemon_log_count(daemon, "event=request"), 1);

    // One level less, on the port that is free now.
    static char listen[64];
    static const char *arguments[] = {"-o", "log_level=warn", "-o", listen, NULL};
    (void)snprintf(listen, sizeof(listen), "listen=127.0.0.1:%u", daemon->port);
    daemon->arguments = arguments;
    uint16_t port = daemon->port;
    daemon_launch(daemon);
    daemon->port = port;
    eventually(get(daemon, "/healthz")->status == 200, 20000);
    daemon_stop(daemon);
    assert_string_equal(daemon_log(daemon), "");
}

/* The daemon's log as JSON is no text that the harness knows: the port is looked up here. */
static json_t *json_line(const char *line)
{
    json_error_t error;
    json_t *object = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, &error);

    if (object == NULL)
        harness_fail(__FILE__, __LINE__, "%s: %s", error.text, line);
    return keep_json(object);
}

static void json_is_an_object_a_line_from_start_to_stop(void)
{
    static const char *const arguments[] = {"-o", "log_format=json", NULL};
    struct daemon *daemon =
        daemon_new(plain_text("access_log = true;\nlog_level = 'info';\n%s", kinds));

    daemon->arguments = arguments;
    daemon_launch(daemon);
    assert_true(daemon_logs(daemon, "\"event\":\"ready\"", 20000));
    const char *ready = strstr(daemon_log(daemon), "\"listen\":\"127.0.0.1:");
    assert_non_null(ready);
    daemon->port = (uint16_t)number_in(ready + strlen("\"listen\":\"127.0.0.1:"), NULL);
    client_port(daemon->client, daemon->port);

    uint64_t id = submit(daemon, "{'kind':'noop'}");
    (void)expect_end(daemon, id, "succeeded", NULL);
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /\x1b\"\xFF HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", daemon->port);
    (void)wire_reply(wire, 10000);
    wire_close(wire);
    assert_true(daemon_logs(daemon, "\"url\":\"/\\u001b\\\"\\ufffd\"", 10000));
    daemon_stop(daemon);

    unsigned lines = 0;
    unsigned submits = 0;
    for (const char *line = daemon_log(daemon); *line != '\0'; line = strchr(line, '\n') + 1) {
        json_t *object = json_line(line);
        assert_true(instant_at(object, "time") > 0);
        assert_non_null(text_at(object, "level"));
        if (strcmp(text_at(object, "event"), "request") == 0 &&
            strcmp(text_at(object, "method"), "POST") == 0) {
            expect_number(object, "task", (int64_t)id);
            expect_number(object, "status", 201);
            expect_text(object, "url", "/v1/tasks");
            submits++;
        }
        lines++;
    }
    assert_int_equal(submits, 1);
    assert_true(lines >= 6);
}

/* ---- nobody reads ---- */

/* What has come of the log meanwhile, kept. */
static char *read_fifo(int fd)
{
    static char bytes[256 << 10];
    size_t used = 0;
    ssize_t n = 0;

    while (used + 1 < sizeof(bytes) && (n = read(fd, bytes + used, sizeof(bytes) - 1 - used)) > 0)
        used += (size_t)n;
    bytes[used] = '\0';
    return plain_text("%s", bytes);
}

static int64_t dropped(struct daemon *daemon)
{
    static const char name[] = "\nrunnel_log_dropped_total ";
    const char *line = strstr(expect_status(get(daemon, "/metrics"), 200)->body, name);

    assert_non_null(line);
    return (int64_t)number_in(line + strlen(name), NULL);
}

static void a_log_that_nobody_reads_does_not_stop_the_daemon(void)
{
    static char path[512];
    static const char *const prefix[] = {"/bin/sh", "-c", "exec \"$@\" 2> \"$0\"", path, NULL};
    struct daemon *daemon = daemon_new(plain_text("access_log = true;\n%s", kinds));
    const char *ready = NULL;

    (void)snprintf(path, sizeof(path), "%s/log", daemon->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fifo >= 0);
    assert_true(fcntl(fifo, F_SETPIPE_SZ, 4096) >= 4096);
    daemon->prefix = prefix;
    daemon_launch(daemon);
    eventually((ready = strstr(read_fifo(fifo), " listen=127.0.0.1:")) != NULL, 20000);
    daemon->port = (uint16_t)number_in(ready + strlen(" listen=127.0.0.1:"), NULL);
    client_port(daemon->client, daemon->port);
    assert_int_equal(dropped(daemon), 0);

    // Nobody reads from now on, and the daemon answers, runs tasks and counts.
    for (unsigned i = 0; i < 200; i++)
        expect_status(get(daemon, "/healthz"), 200);
    (void)expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    int64_t before = dropped(daemon);
    assert_in_range(before, 100, 203);

    // Somebody reads again: the next event that gets out comes behind how many did not.
    const char *log = read_fifo(fifo);
    expect_status(get(daemon, "/readyz"), 200);
    eventually(strstr(log = plain_text("%s%s", log, read_fifo(fifo)), "url=/readyz\n") != NULL,
               10000);
    const char *told = strstr(log, " level=warn event=log_dropped count=");
    assert_true(told != NULL && told < strstr(log, "url=/readyz\n"));
    uint64_t count = number_in(told + strlen(" level=warn event=log_dropped count="), NULL);
    assert_in_range(count, before, before + 1); // the request for the figure itself
    assert_int_equal(dropped(daemon), (int64_t)count);
    daemon_stop(daemon);
    (void)close(fifo);
}

HARNESS_MAIN(SCENARIO(a_request_is_logged_when_it_has_ended),
             SCENARIO(submits_are_logged_with_their_tasks), SCENARIO(refused_requests_are_logged),
             SCENARIO(a_client_that_leaves_is_logged_without_a_status),
             SCENARIO(a_stop_does_not_make_clients_leave),
             SCENARIO(nothing_that_a_client_sends_gets_out_raw), SCENARIO(long_urls_are_cut),
             SCENARIO(requests_are_not_logged_unless_asked_for),
             SCENARIO(levels_filter_the_access_log_too),
             SCENARIO(json_is_an_object_a_line_from_start_to_stop),
             SCENARIO(a_log_that_nobody_reads_does_not_stop_the_daemon))
