/* backup and export: all that the daemon has, in a file that is there whole or not at all. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/clock.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "store/check.h"

enum { HEAD_BYTES = 1024 };

struct download {
    const struct cli *cli;
    const char *target; // what is asked for it: "/v1/backup"
    struct save save;
    struct progress progress;
    rn_time begun;
    bool has_lines;
    uint64_t lines;
    char head[HEAD_BYTES]; // what the first line begins with
};

/* ---- bytes ---- */

static int take(const char *bytes, size_t count, void *arg)
{
    struct download *download = arg;
    uint64_t before = download->save.bytes;

    if (before < HEAD_BYTES - 1) {
        size_t free_bytes = HEAD_BYTES - 1 - (size_t)before;
        memcpy(download->head + before, bytes, count < free_bytes ? count : free_bytes);
    }
    for (size_t i = 0; i < count; i++)
        download->lines += bytes[i] == '\n';
    return save_write(&download->save, bytes, count);
}

static void tick(uint64_t received, uint64_t expected, void *arg)
{
    struct download *download = arg;
    struct progress *progress = &download->progress;

    (void)received; // of a refusal, too
    if (download->save.bytes > 0)
        progress_draw(progress, download->has_lines ? download->lines : download->save.bytes,
                      download->save.bytes, expected, 0);
    else if (progress->drawn == 0)
        progress_say(progress, "the daemon makes its copy");
}

/* Why it has not come whole. */
static int told(const struct download *download, int error, const struct http_reply *reply,
                const struct error *reason)
{
    enum { PIPE_BROKEN = 128 + SIGPIPE };
    bool is_standard = strcmp(download->save.path, "-") == 0;

    if (download->save.error == -EPIPE && is_standard)
        return PIPE_BROKEN;
    if (download->save.error < 0)
        return cli_fault(CLI_OUTPUT, "%s can't be written (%s)",
                         is_standard ? "standard output" : download->save.path,
                         cli_reason(download->save.error));
    if (error == -ECONNRESET && (download->save.bytes > 0 || !is_standard))
        return cli_fault(CLI_NO_CONNECTION, "%s; %s", reason->text,
                         is_standard ? "what was written is not whole" : "nothing is kept");
    if (error < 0)
        return cli_no_answer(error, reason);
    if (reply->status == 404)
        return cli_too_old(download->cli);
    if (reply->status / 100 != 2)
        return cli_refusal(reply, "");
    if (reply->expected_bytes < 0 || (uint64_t)reply->expected_bytes != download->save.bytes)
        return cli_fault(CLI_INTERNAL,
                         "%" PRIu64 " bytes came of %" PRId64 "; is it runneld that answers at %s?",
                         download->save.bytes, reply->expected_bytes,
                         http_url(download->cli->http));
    return 0;
}

/* Has it in the file's stead; 0, else told, with nothing left of it. */
static int fetch(struct download *download, const char *path)
{
    const struct http_request request = {.method = "POST",
                                         .path = download->target,
                                         .timeout_ms = -1,
                                         .write_fn = take,
                                         .tick_fn = tick,
                                         .arg = download};
    struct http_reply reply;
    struct error error;

    download->begun = rn_now();
    int code = save_begin(&download->save, path);
    if (code != 0)
        return code;
    progress_init(&download->progress, download->has_lines ? PROGRESS_LINES : PROGRESS_BYTES);
    int r = http_call(download->cli->http, &request, &reply, &error);
    progress_clear(&download->progress);
    code = told(download, r, &reply, &error);
    http_reply_fini(&reply);
    if (code == 0)
        code = save_sync(&download->save);
    if (code != 0)
        save_discard(&download->save);
    return code;
}

/* ---- how it ends ---- */

/* "/backup/runnel.db: 12.3 MiB, 2 queues, …"; counts: "queues", "tasks" and "keys". */
static int print_saved(const struct download *download, json_t *counts, const char *more)
{
    int64_t ms = (rn_now() - download->begun) / RN_MILLISECOND;
    char bytes[FORMAT_BYTES];
    char took[FORMAT_BYTES];
    char text[CLI_COUNTS_BYTES];

    (void)format_bytes(download->save.bytes, bytes);
    (void)format_length(ms, took);
    (void)cli_counts(counts, text);
    if (strcmp(download->save.path, "-") == 0)
        return cli_fault(0, "%s, %s%s, %s", bytes, text, more, took);
    if (!download->cli->is_json) {
        int code = cli_print_bytes(download->cli, download->save.path, strlen(download->save.path));
        printf(": %s, %s%s, %s\n", bytes, text, more, took);
        return code;
    }
    json_t *answer = json_pack("{s:s, s:I, s:I}", "file", download->save.path, "bytes",
                               (json_int_t)download->save.bytes, "duration_ms", (json_int_t)ms);
    char *json = answer != NULL && json_object_update_missing(answer, counts) == 0
                     ? json_dumps(answer, JSON_COMPACT)
                     : NULL;
    int code = json == NULL ? cli_no_memory() : 0;
    if (json != NULL)
        puts(json);
    free(json);
    json_decref(answer);
    return code;
}

/* The end of both: kept and told, or gone. Takes the counts. */
static int finish(struct download *download, int code, json_t *counts, const char *more)
{
    if (code == 0)
        code = save_keep(&download->save);
    else
        save_discard(&download->save);
    if (code == 0)
        code = print_saved(download, counts, more);
    json_decref(counts);
    return code;
}

/* ---- backup ---- */

/* Of each check's lines only the faults. */
static void tell_fault(void *arg, const char *line)
{
    bool *has_any = arg;
    size_t length = strlen(line);

    if (length >= 4 && strcmp(line + length - 4, ": ok") == 0)
        return;
    if (!*has_any)
        (void)cli_fault(0, "the copy is not sound, and not kept:");
    *has_any = true;
    (void)cli_fault(0, "%s", line);
}

/* The checks of runneld --check-store. 0 with what is in it; else told. */
static int verify(struct download *download, json_t **ret_counts)
{
    bool has_any = false;
    struct store_check_result result = {0};
    struct error error;

    const char *name = NULL;
    int code = save_temporary(&download->save, &name); // SQLite opens it by its name
    if (code != 0)
        return code;
    progress_say(&download->progress, "the copy is checked");
    int r = store_check(name, tell_fault, &has_any, &result, &error);
    progress_clear(&download->progress);
    if (r < 0)
        return cli_fault(r == -EIO || r == -ENOSPC ? CLI_OUTPUT : CLI_INTERNAL,
                         "the copy can't be checked, and is not kept: %s%s", error.text,
                         r == -EIO ? "; is there room beside it?" : "");
    if (result.faults > 0)
        return cli_fault(CLI_INTERNAL,
                         "%" PRIu64 " faults; look at the daemon's store with runneld "
                         "--check-store when it is stopped",
                         result.faults);
    *ret_counts =
        json_pack("{s:I, s:I}", "tasks", (json_int_t)result.tasks, "keys", (json_int_t)result.keys);
    return *ret_counts == NULL ? cli_no_memory() : 0;
}

int cmd_backup(struct cli *cli)
{
    struct download download = {.cli = cli, .target = "/v1/backup"};
    const char *path = cli->arguments->words[0];
    json_t *counts = NULL;

    // What went down a pipe can't be looked at again.
    if (strcmp(path, "-") == 0)
        return cli_usage(cli, "a backup is checked when it is there, which standard output can't "
                              "be: name a file, or use curl -X POST .../v1/backup");
    int code = fetch(&download, path);
    if (code != 0)
        return code;
    code = verify(&download, &counts);
    return finish(&download, code, counts, ", checked");
}

/* ---- export ---- */

/* The first line says how many follow. 0 with it; else told. */
static int count_lines(const struct download *download, json_t **ret_head)
{
    size_t length = strcspn(download->head, "\n");
    json_t *head = json_from(download->head, length);
    int64_t wanted = 1 + member_number(head, "queues") + member_number(head, "tasks") +
                     member_number(head, "keys");

    if (member_number(head, "runnel_export") > 0 && (uint64_t)wanted == download->lines) {
        *ret_head = head;
        return 0;
    }
    bool is_export = member_number(head, "runnel_export") > 0;
    json_decref(head);
    if (!is_export)
        return cli_fault(CLI_INTERNAL, "what came is no export; is it runneld that answers at %s?",
                         http_url(download->cli->http));
    return cli_fault(CLI_INTERNAL, "%" PRIu64 " lines came of %" PRId64, download->lines, wanted);
}

int cmd_export(struct cli *cli)
{
    struct download download = {.cli = cli, .target = "/v1/export", .has_lines = true};
    json_t *head = NULL;

    int code = fetch(&download, cli->arguments->words[0]);
    if (code != 0)
        return code;
    code = count_lines(&download, &head);
    return finish(&download, code, head, "");
}
