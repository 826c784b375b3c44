/* load and import: lines that go to the daemon. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/upload.h"

static void print_tries(const struct upload *upload)
{
    unsigned times = upload->patience.in_all;

    if (times > 0)
        printf(" (tried again %u %s)", times, times == 1 ? "time" : "times");
    (void)putchar('\n');
}

/* ", ids 7 to 9" */
static void print_ids(const json_t *answer)
{
    int64_t first = member_number(answer, "first_id");
    int64_t last = member_number(answer, "last_id");

    if (first == last)
        printf(", id %" PRId64, first);
    else
        printf(", ids %" PRId64 " to %" PRId64, first, last);
}

/* ---- load ---- */

static int loaded(const struct upload *upload, const struct http_reply *reply)
{
    int64_t count = member_number(reply->json, "count");
    char text[FORMAT_BYTES];

    if (upload->cli->is_json)
        return cli_print_json(upload->cli, reply);
    printf("%s %s loaded", format_count(count, text), count == 1 ? "task" : "tasks");
    if (count > 0)
        print_ids(reply->json);
    print_tries(upload);
    return 0;
}

int cmd_load(struct cli *cli)
{
    struct upload upload = {.cli = cli,
                            .path = cli->arguments->words[0],
                            .target = "/v1/tasks",
                            .has_key = true,
                            .done_fn = loaded};
    return upload_file(&upload);
}

/* ---- import ---- */

static int imported(const struct upload *upload, const struct http_reply *reply)
{
    const json_t *answer = reply->json;
    bool is_dry_run = json_is_true(json_object_get(answer, "dry_run"));
    bool is_replayed = json_is_true(json_object_get(answer, "replayed"));
    bool are_kept = json_is_true(json_object_get(answer, "ids_kept"));
    char counts[CLI_COUNTS_BYTES];

    if (upload->cli->is_json)
        return cli_print_json(upload->cli, reply);
    printf("%s%s", is_dry_run ? "would import " : "", cli_counts(answer, counts));
    printf("%s", is_dry_run ? "" : is_replayed ? " were imported before" : " imported");
    if (!member_is_null(answer, "first_id")) {
        print_ids(answer);
        printf(", %s", are_kept ? "the same as in the export" : "other ones than in the export");
    }
    print_tries(upload);
    return 0;
}

int cmd_import(struct cli *cli)
{
    bool is_dry_run = arguments_has(cli->arguments, "dry-run");
    struct upload upload = {.cli = cli,
                            .path = cli->arguments->words[0],
                            .target = is_dry_run ? "/v1/import?dry_run=true" : "/v1/import",
                            .has_key = !is_dry_run,
                            .done_fn = imported};
    return upload_file(&upload);
}
