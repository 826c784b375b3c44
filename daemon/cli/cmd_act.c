/* cancel, retry and rm: by id, or all that a filter matches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/list.h"

struct action {
    const char *name;   // as one types it
    const char *done;   // what has become of it
    const char *states; // what it can be done with, where the filter names no state
    const char *method;
    const char *path; // behind the id
};

static const struct action cancel = {"cancel", "cancelled",
                                     "scheduled,queued,retrying,held,running", "POST", "/cancel"};
static const struct action retry = {"retry", "queued again", "failed", "POST", "/retry"};
static const struct action rm = {"remove", "removed", "succeeded,failed,cancelled", "DELETE", ""};

static int call_action(const struct cli *cli, const struct action *action, uint64_t id,
                       struct http_reply *ret_reply, struct error *reterr)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "%s", id, action->path);
    const struct http_request request = {.method = action->method, .path = path};
    return http_call(cli->http, &request, ret_reply, reterr);
}

/* ---- by id ---- */

static int act_on_one(const struct cli *cli, const struct action *action, uint64_t id)
{
    struct http_reply reply;
    struct error error;
    int code = 0;

    int r = call_action(cli, action, id, &reply, &error);
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

struct counts {
    const struct action *action;
    bool is_dry_run;
    int64_t matched, changed, skipped;
};

static int act_on_match(const struct cli *cli, const json_t *task, void *arg)
{
    struct counts *counts = arg;
    struct http_reply reply;
    struct error error;

    counts->matched++;
    if (counts->is_dry_run)
        return 0;
    int r = call_action(cli, counts->action, (uint64_t)member_number(task, "id"), &reply, &error);
    int code = r < 0 ? cli_no_answer(r, &error) : 0;
    // What has moved on between the list and the call is no fault: it is counted.
    bool has_moved = reply.status == 409 || reply.status == 404 || reply.status == 410;
    if (r == 0 && reply.status / 100 == 2)
        counts->changed++;
    else if (r == 0 && has_moved)
        counts->skipped++;
    else if (r == 0)
        code = cli_refusal(&reply, "");
    http_reply_fini(&reply);
    return code;
}

/* All that match: page after page, a call for each. The one place that a single call of the
 * daemon's for all of them would take. */
static int act_on_matching(const struct cli *cli, struct counts *counts)
{
    const struct list_calls calls = {.states = counts->action->states,
                                     .limit = INT64_MAX,
                                     .task_fn = act_on_match,
                                     .arg = counts};
    return list_tasks(cli, &calls, NULL);
}

static void print_counts(const struct cli *cli, const struct counts *counts)
{
    char matched[FORMAT_BYTES];
    char changed[FORMAT_BYTES];
    char skipped[FORMAT_BYTES];

    if (cli->is_json)
        printf("{\"matched\":%" PRId64 ",\"changed\":%" PRId64 ",\"skipped\":%" PRId64 "}\n",
               counts->matched, counts->changed, counts->skipped);
    else if (counts->is_dry_run)
        printf("would %s %s %s\n", counts->action->name, format_count(counts->matched, matched),
               counts->matched == 1 ? "task" : "tasks");
    else
        printf("%s matched, %s %s, %s skipped\n", format_count(counts->matched, matched),
               format_count(counts->changed, changed), counts->action->done,
               format_count(counts->skipped, skipped));
}

static int act(const struct cli *cli, const struct action *action)
{
    bool has_ids = cli->arguments->word_count > 0;
    bool has_filter = list_has_filter(cli) || arguments_has(cli->arguments, "all");
    struct counts counts = {.action = action,
                            .is_dry_run = arguments_has(cli->arguments, "dry-run")};

    if (has_ids && (has_filter || counts.is_dry_run))
        return cli_usage(cli, "ids do not go together with a filter, --all or --dry-run");
    if (has_ids)
        return act_on_ids(cli, action);
    if (!has_filter)
        return cli_usage(cli, "%s needs ids, a filter such as --queue blog, or --all",
                         cli->command_name);
    int code = act_on_matching(cli, &counts);
    // Also where it was broken off: so many it has been.
    if (code == 0 || counts.matched > 0)
        print_counts(cli, &counts);
    return code;
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
