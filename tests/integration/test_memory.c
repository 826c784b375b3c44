/** \file Large backlogs and long streams: memory stays bounded, order holds, a start stays quick.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] = "queue: { default: { workers = 1 }; stopped: { workers = 1 }; };\n"
                             "kind: { noop: { builtin = 'noop' }; };\n";

/* Lines of about 100 bytes, until there are so many. */
struct lines {
    unsigned left, number;
    const char *queue;
    char line[256];
    size_t offset, length; // of line
};

static size_t next_lines(char *buffer, size_t size, size_t count, void *arg)
{
    struct lines *lines = arg;
    size_t used = 0, room = size * count;

    while (used < room) {
        if (lines->offset == lines->length) {
            if (lines->left == 0)
                break;
            lines->left--;
            lines->length = (size_t)snprintf(lines->line, sizeof(lines->line),
                                             "{\"kind\":\"noop\",\"queue\":\"%s\",\"args\":{"
                                             "\"number\":%u,\"text\":\"some text of a task\"}}\n",
                                             lines->queue, lines->number++);
            lines->offset = 0;
        }
        size_t part = lines->length - lines->offset < room - used ? lines->length - lines->offset
                                                                  : room - used;
        memcpy(buffer + used, lines->line + lines->offset, part);
        lines->offset += part;
        used += part;
    }
    return used;
}

static struct reply *stream(struct client *client, unsigned count, const char *queue)
{
    struct lines lines = {.left = count, .queue = queue};

    return client_call(client, &(struct request){.method = "POST",
                                                 .path = "/v1/tasks",
                                                 .content_type = "application/x-ndjson",
                                                 .body_fn = next_lines,
                                                 .body_arg = &lines,
                                                 .within_ms = 600000});
}

struct load {
    uint16_t port;
    unsigned count;
    int status;
    int64_t stored, took_ms;
};

static void *load(void *arg)
{
    struct load *self = arg;
    struct client *client = client_new(self->port);
    int64_t began = now_ms();
    struct reply *reply = stream(client, self->count, "stopped");

    self->took_ms = now_ms() - began;
    self->status = reply->status;
    self->stored = (int64_t)json_integer_value(json_object_get(reply->json, "count"));
    reply_free(reply);
    client_free(client);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* 100 MB in the long form. Meanwhile another client submits, one at a time. */
static void a_long_stream_needs_little_memory_and_leaves_room_for_others(void)
{
    struct load self = {.count = is_long() ? 1100000 : 100000};
    struct daemon *daemon = daemon_started(config);
    enum { SUBMITS_MAX = 100000 };
    int64_t *took = keep(calloc(SUBMITS_MAX, sizeof(*took)));
    unsigned submits = 0;
    pthread_t thread;
    const char *body = text("{'kind':'noop','delay':'1h'}");

    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    self.port = daemon->port;
    struct client *client = client_new(daemon->port);
    assert_int_equal(pthread_create(&thread, NULL, load, &self), 0);
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        struct reply *reply = client_call(
            client, &(struct request){.method = "POST", .path = "/v1/tasks", .body = body});

        if (reply->status == 201 && submits < SUBMITS_MAX)
            took[submits++] = reply->took_ns;
        reply_free(reply);
        pass_ms(2);
    }
    client_free(client);

    qsort(took, submits, sizeof(*took), compare);
    print_message("%u lines in %lld ms; %u other submits meanwhile, p50 %lld us, p99 %lld us; at "
                  "most %ld KiB resident\n",
                  self.count, (long long)self.took_ms, submits, (long long)took[submits / 2] / 1000,
                  (long long)took[submits * 99 / 100] / 1000, daemon_memory_kib(daemon, "VmHWM:"));
    assert_int_equal(self.status, 201);
    assert_int_equal(self.stored, self.count);
    expect_number(queue(daemon, "stopped"), "states.queued", self.count);
    assert_true(submits > 0);
    if (!is_sanitized())
        assert_in_range(daemon_memory_kib(daemon, "VmHWM:"), 1, 100000);
}

static void an_urgent_task_behind_a_large_backlog_runs_next(void)
{
    const unsigned count = is_long() ? 1000000 : 50000;
    struct daemon *daemon = daemon_started("queue: { default: { workers = 1; rate = '1/h' }; };\n"
                                           "kind: { noop: { builtin = 'noop' }; };\n");
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    struct reply *reply = stream(daemon->client, count, "default");
    assert_int_equal(reply->status, 201);
    reply_free(reply);

    uint64_t urgent = submit(daemon, "{'kind':'noop','priority':10}");
    expect_status(call(daemon, "POST", "/v1/queues/default/resume", NULL), 200);

    expect_end(daemon, urgent, "succeeded", NULL); // the one start of this hour
    expect_number(queue(daemon, "default"), "states.succeeded", 1);
    expect_number(queue(daemon, "default"), "states.queued", count);
    if (!is_sanitized())
        assert_in_range(daemon_memory_kib(daemon, "VmRSS:"), 1, 100000);
    print_message("%u wait: %ld KiB resident\n", count, daemon_memory_kib(daemon, "VmRSS:"));

    daemon_stop(daemon);
    daemon_start(daemon);
    print_message("ready again after %lld ms\n", (long long)daemon->ready_took_ms);
    expect_number(queue(daemon, "default"), "states.queued", count);
    assert_in_range(daemon->ready_took_ms, 0, 2000 * slow());
}

static void deep_wide_and_repeated_json_costs_little(void)
{
    struct daemon *daemon = daemon_started(config);
    char *wide = repeated('\0', 64u << 15);
    char *end = stpcpy(wide, "{\"kind\":\"noop\",\"args\":{");

    for (unsigned i = 0; i < 50000; i++)
        end += snprintf(end, 24, "%s\"k%u\":%u", i > 0 ? "," : "", i, i % 10);
    (void)stpcpy(end, "}}");
    const char *bodies[] = {
        repeated('[', 1 << 20),
        plain_text("{\"kind\":\"noop\",\"args\":%s", repeated('[', 1 << 20)),
        plain_text("{\"kind\":\"noop\",\"args\":\"%s", repeated('\\', 1 << 20)),
        plain_text("[%s0]", repeated(' ', 1 << 20)),
        wide,
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct reply *reply = call(daemon, "POST", "/v1/tasks", bodies[i]);

        assert_in_range(reply->status, 201, 422);
        assert_in_range(reply->took_ns / 1000000, 0, 2000 * slow());
    }
    assert_int_equal(count_tasks(daemon, ""), 1);
    if (!is_sanitized())
        assert_in_range(daemon_memory_kib(daemon, "VmHWM:"), 1, 100000);
}

HARNESS_MAIN(SCENARIO(a_long_stream_needs_little_memory_and_leaves_room_for_others),
             SCENARIO(an_urgent_task_behind_a_large_backlog_runs_next),
             SCENARIO(deep_wide_and_repeated_json_costs_little))
