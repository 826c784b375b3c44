/* cancel, retry and rm: by id, or all that a filter matches, which is one call: the daemon does it
 * to the end, whether or not somebody waits for the answer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/list.h"

struct action {
    const char *name;   // as one says it
    const char *word;   // as the daemon's actions have it
    const char *done;   // what has become of it
    const char *states; // what it can be done with, where the filter names no state
    const char *method;
    const char *path; // behind the id
};

static const struct action cancel = {
    "cancel", "cancel", "cancelled", "scheduled,queued,retrying,held,running", "POST", "/cancel"};
static const struct action retry = {"retry", "retry", "queued again", "failed", "POST", "/retry"};
static const struct action rm = {"remove", "delete", "removed", "succeeded,failed,cancelled",
                                 "DELETE", ""};

/* ---- by id ---- */

static int act_on_one(const struct cli *cli, const struct action *action, uint64_t id)
{
    struct http_reply reply;
    struct error error;
    char path[PATH_BYTES];
    int code = 0;

    (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "%s", id, action->path);
    const struct http_request request = {.method = action->method, .path = path};
    int r = http_call(cli->http, &request, &reply, &error);
    if (r < 0)
        code = cli_no_answer(r, &error);
    else if (reply.status / 100 != 2)
        code = cli_refusal(&reply, "");
    else if (cli->is_json && reply.json != NULL)
        code = cli_print_json(cli, &reply);
    else if (!cli->is_json && reply.status == 202)
        printf("task %" PRIu64 " is told to stop\n", id);
    else if (!cli->is_json)
        printf("task %" PRIu64 " is %s\n", id, action->done);
    http_reply_fini(&reply);
    return code;
}

static int act_on_ids(const struct cli *cli, const struct action *action)
{
    int worst = 0;

    for (size_t i = 0; i < cli->arguments->word_count; i++) {
        uint64_t id = 0;
        int code = cli_take_id(cli, cli->arguments->words[i], &id);
        if (code == 0)
            code = act_on_one(cli, action, id);
        worst = worst == 0 ? code : worst;
        if (code == CLI_NO_CONNECTION || code == CLI_USAGE)
            break;
    }
    return worst;
}

/* ---- by a filter ---- */

static int print_counts(const struct cli *cli, const struct action *action, bool is_dry_run,
                        const struct http_reply *reply)
{
    int64_t matched = member_number(reply->json, "matched");
    int64_t changed = member_number(reply->json, "changed");
    char texts[3][FORMAT_BYTES];

    (void)format_count(matched, texts[0]);
    (void)format_count(changed, texts[1]);
    (void)format_count(member_number(reply->json, "skipped"), texts[2]);
    if (cli->is_json)
        return cli_print_json(cli, reply);
    if (!is_dry_run)
        printf("%s matched, %s %s, %s skipped\n", texts[0], texts[1], action->done, texts[2]);
    else if (changed == matched)
        printf("would %s %s %s\n", action->name, texts[1], changed == 1 ? "task" : "tasks");
    else
        printf("would %s %s of %s tasks\n", action->name, texts[1], texts[0]);
    return 0;
}

/* new; NULL: told, with *ret_code. */
static char *make_body(const struct cli *cli, const struct action *action, bool is_dry_run,
                       int *ret_code)
{
    json_t *filter = NULL;

    *ret_code = list_filter(cli, action->states, &filter);
    if (*ret_code != 0)
        return NULL;
    // The filter names states at least, so that "all" says nothing more.
    json_t *body = json_pack("{s:s, s:o, s:b}", "action", action->word, "filter", filter, "dry_run",
                             is_dry_run);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL)
        *ret_code = cli_no_memory();
    return text;
}

/* The answer may take minutes: as long as it is not there, the daemon is at it. */
static int act_on_matching(const struct cli *cli, const struct action *action, bool is_dry_run)
{
    struct http_reply reply;
    struct error error;
    int code = 0;

    char *body = make_body(cli, action, is_dry_run, &code);
    if (body == NULL)
        return code;
    const struct http_request request = {
        .method = "POST", .path = "/v1/tasks/actions", .body = body, .timeout_ms = -1};
    interrupt_catch();
    int r = http_call(cli->http, &request, &reply, &error);
    free(body);
    bool is_open = reply.is_sent && !is_dry_run; // what became of it
    if (r == -ECANCELED && is_open)
        code = cli_fault(CLI_INTERRUPTED,
                         "interrupted; if the call has arrived, the daemon goes on to the end");
    else if (r == -ECANCELED)
        code = cli_fault(CLI_INTERRUPTED, "interrupted; nothing is %s", action->done);
    else if (r == -ECONNRESET && is_open)
        code = cli_fault(CLI_NO_CONNECTION, "%s: how many are %s is not known; it can be repeated",
                         error.text, action->done);
    else if (r < 0)
        code = cli_no_answer(r, &error);
    else if (reply.status / 100 != 2)
        code = cli_refusal(&reply, "");
    else
        code = print_counts(cli, action, is_dry_run, &reply);
    if (code == 0 && member_number(reply.json, "matched") == 0)
        queues_hint(cli);
    http_reply_fini(&reply);
    return code;
}

static int act(const struct cli *cli, const struct action *action)
{
    bool has_ids = cli->arguments->word_count > 0;
    bool has_filter = list_has_filter(cli) || arguments_has(cli->arguments, "all");
    bool is_dry_run = arguments_has(cli->arguments, "dry-run");

    if (has_ids && (has_filter || is_dry_run))
        return cli_usage(cli, "ids do not go together with a filter, --all or --dry-run");
    if (has_ids)
        return act_on_ids(cli, action);
    if (!has_filter)
        return cli_usage(cli, "%s needs ids, a filter such as --queue blog, or --all",
                         cli->command_name);
    return act_on_matching(cli, action, is_dry_run);
}

int cmd_cancel(struct cli *cli)
{
    return act(cli, &cancel);
}

int cmd_retry(struct cli *cli)
{
    return act(cli, &retry);
}

int cmd_rm(struct cli *cli)
{
    return act(cli, &rm);
}
