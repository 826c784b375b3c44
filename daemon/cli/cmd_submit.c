/* submit and run. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/clock.h>

#include "cli/body.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/wait.h"

enum { SIGNAL_BASE = 128 };

/* Stores the task; 0 with the answer, else told. */
static int store(const struct cli *cli, struct http_reply *ret_reply)
{
    const char *key = arguments_value(cli->arguments, "key");
    char *body = NULL;
    struct error error;

    int code = key == NULL ? 0 : cli_check_key(cli, key);
    if (code == 0)
        code = body_task(cli, &body);
    if (code != 0)
        return code;
    const struct http_request request = {
        .method = "POST", .path = "/v1/tasks", .body = body, .key = key};
    int r = http_call(cli->http, &request, ret_reply, &error);
    free(body);
    bool is_interrupted = r == -ECANCELED;
    bool is_unknown = ret_reply->is_sent && (r == -ECONNRESET || r == -ETIMEDOUT || is_interrupted);
    if (is_unknown)
        code = cli_fault(is_interrupted ? CLI_INTERRUPTED : CLI_NO_CONNECTION,
                         "%s: whether the task is stored is not known%s", error.text,
                         key == NULL ? " (with --key the call could be repeated)"
                                     : "; repeat the call with the same --key");
    else if (is_interrupted)
        code = cli_fault(CLI_INTERRUPTED, "interrupted; nothing is stored");
    else if (r < 0)
        code = cli_no_answer(r, &error);
    else if (ret_reply->status / 100 != 2)
        code = cli_refusal(ret_reply, "");
    if (code != 0)
        http_reply_fini(ret_reply);
    return code;
}

static int wait_length(const struct cli *cli, rn_duration *ret_length)
{
    const char *text = arguments_value(cli->arguments, "wait");

    *ret_length = RN_NEVER;
    return text == NULL ? 0 : cli_take_length(cli, "wait", text, ret_length);
}

static int print_task(const struct cli *cli, const struct http_reply *reply, bool has_waited)
{
    const json_t *task = reply->json;
    char took[FORMAT_BYTES];

    if (cli->is_json)
        return cli_print_json(cli, reply);
    if (!cli->is_terminal)
        printf("%" PRId64 "\n", member_number(task, "id"));
    else if (!has_waited)
        printf("task %" PRId64 " is %s in %s\n", member_number(task, "id"),
               member_text(task, "state"), member_text(task, "queue"));
    else if (wait_code(task) == 0)
        printf("task %" PRId64 " succeeded in %s\n", member_number(task, "id"),
               format_length(member_number(task, "duration_ms"), took));
    return 0;
}

/* What is said of a task whose end was not waited for. */
static int left_alone(int code, uint64_t id)
{
    if (code == CLI_TIME_OVER)
        return cli_fault(
            code, "task %" PRIu64 " has not finished in time; it goes on: runnel wait %" PRIu64, id,
            id);
    if (code == CLI_INTERRUPTED)
        return cli_fault(code, "task %" PRIu64 " goes on; stop it with: runnel cancel %" PRIu64, id,
                         id);
    if (code == CLI_REFUSED) // the wait: a token may submit and not read
        return cli_fault(code, "task %" PRIu64 " is stored, and goes on unwatched", id);
    return code;
}

int cmd_submit(struct cli *cli)
{
    struct http_reply reply;
    rn_duration length = RN_NEVER;
    bool is_waiting = arguments_has(cli->arguments, "wait");

    int code = wait_length(cli, &length);
    if (code == 0)
        code = store(cli, &reply);
    if (code != 0)
        return code;
    if (!is_waiting) {
        code = print_task(cli, &reply, false);
        http_reply_fini(&reply);
        return code;
    }
    uint64_t id = (uint64_t)member_number(reply.json, "id");
    http_reply_fini(&reply);
    interrupt_catch();
    code = wait_for_end(cli, id, length, &reply);
    if (code != 0) {
        if (!cli->is_json)
            printf("%" PRIu64 "\n", id);
        return left_alone(code, id);
    }
    code = print_task(cli, &reply, true);
    if (code == 0)
        code = wait_code(reply.json);
    if (code != 0)
        wait_tell_failure(reply.json);
    http_reply_fini(&reply);
    return code;
}

/* ---- run ---- */

/* As its command ended; 1 for what is no command, or never ended by itself. */
static int code_of(const json_t *task)
{
    const json_t *exec = json_object_get(task, "exec");
    int64_t exit_code = member_number(exec, "exit_code");
    int64_t number = member_number(exec, "signal");

    if (wait_code(task) == 0)
        return 0;
    if (exit_code > 0)
        return (int)exit_code;
    return number > 0 ? (int)(SIGNAL_BASE + number) : CLI_FAILED;
}

static int print_stderr(const json_t *task)
{
    const json_t *text = json_object_get(json_object_get(task, "exec"), "stderr");
    struct cli as_terminal = {.is_terminal = true};

    if (json_string_length(text) == 0)
        return 0;
    // Always made harmless: what is shown beside the result is read by people.
    return cli_put_bytes(&as_terminal, stderr, json_string_value(text), json_string_length(text));
}

static int print_result(const struct cli *cli, uint64_t id)
{
    char path[PATH_BYTES];
    struct http_reply reply;

    (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "/result", id);
    int code = cli_call(cli, "GET", path, NULL, &reply);
    if (code != 0)
        return code;
    // A newline alone is all that comes of no text: what has printed nothing, prints nothing here.
    if (reply.length == 1 && reply.body[0] == '\n')
        reply.length = 0;
    code = cli_print_bytes(cli, reply.body == NULL ? "" : reply.body, reply.length);
    // A text has lost its last newline on the way.
    if (reply.body != NULL && reply.length > 0 && reply.body[reply.length - 1] != '\n')
        (void)putchar('\n');
    http_reply_fini(&reply);
    return code;
}

static int cancelled(const struct cli *cli, uint64_t id)
{
    char path[PATH_BYTES];
    struct http_reply reply;

    interrupt_forget();
    (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "/cancel", id);
    int code = cli_call(cli, "POST", path, NULL, &reply);
    if (code != 0)
        return left_alone(CLI_INTERRUPTED, id);
    http_reply_fini(&reply);
    return cli_fault(CLI_INTERRUPTED, "task %" PRIu64 " is cancelled", id);
}

/* Prints what came of it, and returns how run ends. */
static int finished(const struct cli *cli, const struct http_reply *reply)
{
    uint64_t id = (uint64_t)member_number(reply->json, "id");
    int code = cli->is_json ? cli_print_json(cli, reply) : 0;

    if (code == 0 && !cli->is_json)
        code = print_stderr(reply->json);
    if (code == 0 && !cli->is_json && wait_code(reply->json) == 0)
        code = print_result(cli, id);
    if (code != 0)
        return code;
    if (wait_code(reply->json) != 0)
        wait_tell_failure(reply->json);
    return code_of(reply->json);
}

int cmd_run(struct cli *cli)
{
    struct http_reply reply;
    rn_duration length = RN_NEVER;

    int code = wait_length(cli, &length);
    interrupt_catch();
    if (code == 0)
        code = store(cli, &reply);
    if (code != 0)
        return code;
    uint64_t id = (uint64_t)member_number(reply.json, "id");
    http_reply_fini(&reply);
    code = wait_for_end(cli, id, length, &reply);
    if (code == CLI_INTERRUPTED && arguments_has(cli->arguments, "cancel-on-interrupt"))
        return cancelled(cli, id);
    if (code != 0)
        return left_alone(code, id);
    code = finished(cli, &reply);
    http_reply_fini(&reply);
    return code;
}
