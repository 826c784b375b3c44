/* wait and result. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <runnel/clock.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/wait.h"

/* Until when; the same for all ids. */
static int take_until(const struct cli *cli, rn_time *ret_until)
{
    const char *text = arguments_value(cli->arguments, "wait");
    rn_duration length = 0;

    *ret_until = RN_NEVER;
    if (text == NULL)
        return 0;
    int code = cli_take_length(cli, "wait", text, &length);
    if (code == 0)
        *ret_until = rn_after(length);
    return code;
}

static int wait_until(const struct cli *cli, uint64_t id, rn_time until,
                      struct http_reply *ret_reply)
{
    rn_time now = rn_now();
    rn_duration length = until == RN_NEVER ? RN_NEVER : until > now ? until - now : 0;
    int code = wait_for_end(cli, id, length, ret_reply);

    if (code == CLI_TIME_OVER)
        return cli_fault(code, "task %" PRIu64 " has not finished in time; it goes on", id);
    if (code == CLI_INTERRUPTED)
        return cli_fault(code, "interrupted; task %" PRIu64 " goes on", id);
    return code;
}

int cmd_wait(struct cli *cli)
{
    rn_time until = RN_NEVER;
    int worst = 0;

    int code = take_until(cli, &until);
    interrupt_catch();
    for (size_t i = 0; code == 0 && i < cli->arguments->word_count; i++) {
        uint64_t ignored = 0;
        code = cli_take_id(cli, cli->arguments->words[i], &ignored);
    }
    if (code != 0)
        return code;
    for (size_t i = 0; i < cli->arguments->word_count; i++) {
        struct http_reply reply;
        char took[FORMAT_BYTES];
        uint64_t id = 0;
        if (cli_take_id(cli, cli->arguments->words[i], &id) != 0)
            return CLI_USAGE;
        code = wait_until(cli, id, until, &reply);
        worst = worst == 0 ? code : worst;
        if (code == CLI_INTERRUPTED || code == CLI_NO_CONNECTION)
            return code;
        if (code != 0)
            continue;
        const char *state = member_text(reply.json, "state");
        if (cli->is_json)
            code = cli_print_json(cli, &reply);
        else
            printf("%" PRIu64 " %s in %s\n", id, state,
                   format_length(member_number(reply.json, "duration_ms"), took));
        if (code == 0)
            code = wait_code(reply.json);
        if (code != 0)
            wait_tell_failure(reply.json);
        worst = worst == 0 ? code : worst;
        http_reply_fini(&reply);
    }
    return worst;
}

/* What /result says of a task that has none. */
static int without_result(const struct http_reply *reply, uint64_t id)
{
    if (reply->status == 202)
        return cli_fault(CLI_REFUSED,
                         "task %" PRIu64 " is %s and has no result yet; --wait D waits for it", id,
                         member_text(reply->json, "state"));
    int code = cli_refusal(reply, "");
    return strcmp(member_text(reply->json, "code"), "task-failed") == 0 ? CLI_FAILED : code;
}

int cmd_result(struct cli *cli)
{
    struct http_reply reply;
    struct error error;
    char path[PATH_BYTES];
    rn_time until = RN_NEVER;
    uint64_t id = 0;

    int code = cli_take_id(cli, cli->arguments->words[0], &id);
    if (code == 0)
        code = take_until(cli, &until);
    if (code == 0 && until != RN_NEVER) {
        interrupt_catch();
        code = wait_until(cli, id, until, &reply);
        if (code == 0)
            http_reply_fini(&reply);
    }
    if (code != 0)
        return code;
    (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "/result", id);
    const struct http_request request = {.method = "GET", .path = path};
    int r = http_call(cli->http, &request, &reply, &error);
    if (r < 0)
        code = cli_no_answer(r, &error);
    else if (reply.status != 200)
        code = without_result(&reply, id);
    else
        code = cli_print_bytes(cli, reply.body == NULL ? "" : reply.body, reply.length);
    bool needs_newline = r == 0 && reply.status == 200 && cli->is_terminal && reply.body != NULL &&
                         reply.length > 0 && reply.body[reply.length - 1] != '\n';
    if (needs_newline)
        (void)putchar('\n');
    http_reply_fini(&reply);
    return code;
}
