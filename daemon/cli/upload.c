/* Lines of JSON as one stream under an Idempotency-Key. Where the connection breaks, the stream is
 * sent again from its start under the same key, and the daemon leaves out what it has. */
#include "cli/upload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/wait.h"

enum { KEY_BYTES = 33 };

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
    struct upload *upload = arg;

    return source_read(&upload->source, buffer, size);
}

static void tick(uint64_t received, uint64_t expected, void *arg)
{
    struct upload *upload = arg;
    const struct source *source = &upload->source;

    (void)received;
    (void)expected;
    if (!source->has_ended)
        progress_draw(&upload->progress, source_lines(source), source->position, source->size,
                      upload->patience.in_all);
    else if (!upload->is_sent)
        progress_say(&upload->progress, "all is sent, the daemon stores it");
    upload->is_sent = source->has_ended;
}

/* ---- how it ends ---- */

static bool is_stdin(const struct upload *upload)
{
    return strcmp(upload->path, "-") == 0;
}

static const char *name_of(const struct upload *upload)
{
    return is_stdin(upload) ? "standard input" : upload->path;
}

/* How to go on, behind what went wrong. */
static void tell_key(const struct upload *upload, const char *first)
{
    if (upload->key != NULL)
        (void)cli_fault(0, "%sgo on with%s: runnel %s --key %s %s", first,
                        is_stdin(upload) ? " the same lines and" : "", upload->cli->command_name,
                        upload->key, upload->path);
}

static int refused(const struct upload *upload, const struct http_reply *reply)
{
    int64_t line = member_number(reply->json, "line");
    bool has_count = !member_is_null(reply->json, "count");
    int64_t stored = member_number(reply->json, "count");
    char prefix[PATH_BYTES];
    char count[FORMAT_BYTES];
    char first[2 * FORMAT_BYTES] = "";

    if (reply->status == 404)
        return cli_too_old(upload->cli);
    // A detail begins with its line; fields at fault do not.
    bool needs_line = line > 0 && json_array_size(json_object_get(reply->json, "errors")) > 0;
    if (needs_line)
        (void)snprintf(prefix, sizeof(prefix), "%s: line %" PRId64 ": ", name_of(upload), line);
    else
        (void)snprintf(prefix, sizeof(prefix), "%s: ", name_of(upload));
    int code = cli_refusal(reply, prefix);
    if (has_count)
        (void)snprintf(first, sizeof(first), "%s %s stored; ", format_count(stored, count),
                       stored == 1 ? "line is" : "lines are");
    // What it was tried again for may be over later.
    if (has_count || patience_is_for(0, reply->status))
        tell_key(upload, first);
    return code;
}

/* error 0: it was refused, but another try was about to be made. */
static int broken_off(const struct upload *upload, int error, const struct error *reason)
{
    bool is_open = error < 0 && upload->is_sent && upload->key != NULL;
    int code = CLI_NO_CONNECTION;

    if (upload->source.error < 0 && upload->source.error != -EINTR)
        return cli_fault(CLI_USAGE, "%s can't be read on (%s)", name_of(upload),
                         cli_reason(upload->source.error));
    if (interrupt_seen())
        code = cli_fault(CLI_INTERRUPTED, "interrupted%s",
                         is_open ? "; all is sent, and the daemon may store it" : "");
    else if (upload->patience.in_all > 0)
        code = cli_fault(CLI_NO_CONNECTION, "%s; tried again %u %s", reason->text,
                         upload->patience.in_all, upload->patience.in_all == 1 ? "time" : "times");
    else
        code = cli_no_answer(error, reason);
    tell_key(upload, "");
    return code;
}

/* ---- rounds ---- */

/* Says why there is another round. */
static void tell_round(struct upload *upload, int error, const struct http_reply *reply,
                       const struct error *reason)
{
    const char *same_key = upload->key == NULL ? "" : " with the same key";
    char lines[FORMAT_BYTES];

    progress_clear(&upload->progress);
    if (upload->patience.times > 0)
        return;
    (void)format_count((int64_t)source_lines(&upload->source), lines);
    if (error < 0)
        (void)cli_fault(0, "%s after %s lines; trying again%s", reason->text, lines, same_key);
    else
        (void)cli_fault(0, "after %s lines the answer is: %s; trying again%s", lines,
                        member_text(reply->json, "detail"), same_key);
}

/* One round: a code at its end, or -EAGAIN: once more. */
static int round_of(struct upload *upload)
{
    const struct http_request request = {.method = "POST",
                                         .path = upload->target,
                                         .type = "application/x-ndjson",
                                         .key = upload->key,
                                         .timeout_ms = -1,
                                         .read_fn = give,
                                         .tick_fn = tick,
                                         .arg = upload};
    uint64_t farthest = upload->source.farthest;
    bool is_first = upload->patience.in_all == 0 && farthest == 0;
    struct http_reply reply;
    struct error error;
    int code = -EAGAIN;

    int r = http_call(upload->cli->http, &request, &reply, &error);
    // What went farther than ever is no failure in a row.
    if (upload->source.farthest > farthest)
        patience_renew(&upload->patience);
    bool is_done = r == 0 && reply.status / 100 == 2;
    bool is_worth = patience_is_for(r, reply.status) && !(is_first && r == -ENOTCONN);
    if (!is_done && is_worth && upload->source.error == 0) {
        tell_round(upload, r, &reply, &error);
        is_worth = patience_again(&upload->patience, reply.retry_after_ms);
    }
    // Between two tries.
    bool is_cut = interrupt_seen() && patience_is_for(r, reply.status);
    progress_clear(&upload->progress);
    if (is_done)
        code = upload->done_fn(upload, &reply);
    else if (!is_worth || upload->source.error < 0)
        code = r < 0 || is_cut ? broken_off(upload, r, &error) : refused(upload, &reply);
    http_reply_fini(&reply);
    return code;
}

static int send_all(struct upload *upload)
{
    int code = -EAGAIN;

    while (code == -EAGAIN) {
        int r = source_rewind(&upload->source);
        code = r < 0 ? cli_fault(CLI_USAGE, "%s can't be read again (%s)", name_of(upload),
                                 cli_reason(r))
                     : round_of(upload);
    }
    return code;
}

/* The key of the command line, or a new one in text, which is told. */
static int take_key(struct upload *upload, char text[KEY_BYTES])
{
    const struct cli *cli = upload->cli;

    upload->key = arguments_value(cli->arguments, "key");
    if (upload->key != NULL)
        return cli_check_key(cli, upload->key);
    if (random_key(text) < 0)
        return cli_fault(CLI_INTERNAL, "there is no randomness for a key; choose one: --key");
    upload->key = text;
    return cli_fault(0, "the key of this %s is %s", cli->command_name, text);
}

int upload_file(struct upload *upload)
{
    char key[KEY_BYTES];

    int code = wait_retry_for(upload->cli, &upload->patience.limit);
    if (code != 0)
        return code;
    int r = source_open(&upload->source, upload->path);
    if (r < 0)
        return cli_fault(CLI_USAGE, "%s can't be read (%s)", name_of(upload), cli_reason(r));
    if (upload->has_key)
        code = take_key(upload, key);
    if (code == 0) {
        interrupt_catch();
        progress_init(&upload->progress, PROGRESS_LINES);
        code = send_all(upload);
    }
    source_close(&upload->source);
    return code;
}
