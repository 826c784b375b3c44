/* load: lines of JSON as one stream under an Idempotency-Key. Where the connection breaks, the
 * stream is sent again from its start under the same key, and the daemon skips the lines that it
 * has: each line becomes one task. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/patience.h"
#include "cli/progress.h"
#include "cli/source.h"
#include "cli/wait.h"

enum { KEY_BYTES = 33 };

struct load {
    const struct cli *cli;
    const char *path, *key;
    struct source source;
    struct progress progress;
    struct patience patience;
};

static int random_key(char key[KEY_BYTES])
{
    unsigned char bytes[KEY_BYTES / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -EIO;
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(key + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static long give(char *buffer, size_t size, void *arg)
{
    struct load *load = arg;

    return source_read(&load->source, buffer, size);
}

static void tick(void *arg)
{
    struct load *load = arg;
    const struct source *source = &load->source;

    progress_draw(&load->progress, source_lines(source), source->position, source->size,
                  load->patience.in_all);
}

/* ---- how it ends ---- */

static int loaded(struct load *load, const struct http_reply *reply)
{
    int64_t count = member_number(reply->json, "count");
    unsigned times = load->patience.in_all;
    char text[FORMAT_BYTES];

    if (load->cli->is_json)
        return cli_print_json(load->cli, reply);
    printf("%s %s loaded", format_count(count, text), count == 1 ? "task" : "tasks");
    if (count > 0)
        printf(", ids %" PRId64 " to %" PRId64, member_number(reply->json, "first_id"),
               member_number(reply->json, "last_id"));
    if (times > 0)
        printf(" (tried again %u %s)", times, times == 1 ? "time" : "times");
    (void)putchar('\n');
    return 0;
}

/* How to go on, behind what went wrong. */
static void tell_key(const struct load *load, const char *first)
{
    bool is_stdin = strcmp(load->path, "-") == 0;

    (void)cli_fault(0, "%sgo on with%s: runnel load --key %s %s", first,
                    is_stdin ? " the same lines and" : "", load->key, load->path);
}

static int refused(const struct load *load, const struct http_reply *reply)
{
    int64_t line = member_number(reply->json, "line");
    bool has_count = !member_is_null(reply->json, "count");
    char prefix[PATH_BYTES];
    char count[FORMAT_BYTES];
    char first[2 * FORMAT_BYTES] = "";

    // A detail begins with its line; fields at fault do not.
    bool needs_line = line > 0 && json_array_size(json_object_get(reply->json, "errors")) > 0;
    const char *path = strcmp(load->path, "-") == 0 ? "standard input" : load->path;
    if (needs_line)
        (void)snprintf(prefix, sizeof(prefix), "%s: line %" PRId64 ": ", path, line);
    else
        (void)snprintf(prefix, sizeof(prefix), "%s: ", path);
    int code = cli_refusal(reply, prefix);
    if (has_count)
        (void)snprintf(first, sizeof(first), "%s lines are stored; ",
                       format_count(member_number(reply->json, "count"), count));
    if (has_count)
        tell_key(load, first);
    return code;
}

static int broken_off(const struct load *load, int error, const struct error *reason)
{
    int code = CLI_NO_CONNECTION;

    if (load->source.error < 0 && load->source.error != -EINTR)
        return cli_fault(CLI_USAGE, "%s can't be read on (%s)", load->path,
                         cli_reason(load->source.error));
    if (interrupt_seen())
        code = cli_fault(CLI_INTERRUPTED, "interrupted");
    else if (load->patience.in_all > 0)
        code = cli_fault(CLI_NO_CONNECTION, "%s; tried again %u times", reason->text,
                         load->patience.in_all);
    else
        code = cli_no_answer(error, reason);
    tell_key(load, "");
    return code;
}

/* ---- rounds ---- */

/* Says why there is another round. */
static void tell_round(struct load *load, int error, const struct http_reply *reply,
                       const struct error *reason)
{
    char lines[FORMAT_BYTES];

    progress_clear(&load->progress);
    if (load->patience.times > 0)
        return;
    (void)cli_fault(0, "%s after %s lines; trying again with the same key",
                    error < 0 ? reason->text : member_text(reply->json, "detail"),
                    format_count((int64_t)source_lines(&load->source), lines));
}

/* One round: a code at its end, or -EAGAIN: once more. */
static int round_of(struct load *load)
{
    const struct http_request request = {.method = "POST",
                                         .path = "/v1/tasks",
                                         .type = "application/x-ndjson",
                                         .key = load->key,
                                         .timeout_ms = -1,
                                         .read_fn = give,
                                         .read_arg = load,
                                         .tick_fn = tick,
                                         .tick_arg = load};
    uint64_t farthest = load->source.farthest;
    bool is_first = load->patience.in_all == 0 && farthest == 0;
    struct http_reply reply;
    struct error error;
    int code = -EAGAIN;

    int r = http_call(load->cli->http, &request, &reply, &error);
    // What went farther than ever is no failure in a row.
    if (load->source.farthest > farthest)
        patience_renew(&load->patience);
    bool is_done = r == 0 && reply.status / 100 == 2;
    bool is_worth = patience_is_for(r, reply.status) && !(is_first && r == -ENOTCONN);
    if (!is_done && is_worth && load->source.error == 0) {
        tell_round(load, r, &reply, &error);
        is_worth = patience_again(&load->patience, reply.retry_after_ms);
    }
    progress_clear(&load->progress);
    if (is_done)
        code = loaded(load, &reply);
    else if (!is_worth || load->source.error < 0)
        code = r < 0 ? broken_off(load, r, &error) : refused(load, &reply);
    http_reply_fini(&reply);
    return code;
}

static int load_all(struct load *load)
{
    int code = -EAGAIN;

    while (code == -EAGAIN) {
        int r = source_rewind(&load->source);
        code = r < 0
                   ? cli_fault(CLI_USAGE, "%s can't be read again (%s)", load->path, cli_reason(r))
                   : round_of(load);
    }
    return code;
}

int cmd_load(struct cli *cli)
{
    struct load load = {.cli = cli, .path = cli->arguments->words[0]};
    char key[KEY_BYTES];

    int code = wait_retry_for(cli, &load.patience.limit);
    if (code != 0)
        return code;
    int r = source_open(&load.source, load.path);
    if (r < 0)
        return cli_fault(CLI_USAGE, "%s can't be read (%s)", load.path, cli_reason(r));
    load.key = arguments_value(cli->arguments, "key");
    if (load.key == NULL) {
        if (random_key(key) < 0) {
            source_close(&load.source);
            return cli_fault(CLI_INTERNAL, "there is no randomness for a key; choose one: --key");
        }
        load.key = key;
        (void)cli_fault(0, "the key of this load is %s", key);
    }
    interrupt_catch();
    progress_init(&load.progress);
    code = load_all(&load);
    source_close(&load.source);
    return code;
}
