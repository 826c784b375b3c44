/* A wait is a chain of requests of at most a minute, the longest that the daemon takes. */
#include "cli/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <runnel/clock.h>

#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/patience.h"

enum { ROUND_MS = 60000, ANSWER_MS = 30000, QUICK_MS = 100, RETRY_FOR_S = 60 };

bool wait_is_final(const char *state)
{
    return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

int wait_code(const json_t *task)
{
    return strcmp(member_text(task, "state"), "succeeded") == 0 ? 0 : CLI_FAILED;
}

void wait_tell_failure(const json_t *task)
{
    const json_t *error = json_object_get(task, "error");
    const char *state = member_text(task, "state");
    const char *code = member_text(error, "code");

    if (code[0] == '\0')
        (void)cli_fault(0, "task %" PRId64 " is %s", member_number(task, "id"), state);
    else
        (void)cli_fault(0, "task %" PRId64 " %s%s: %s (%s)", member_number(task, "id"),
                        strcmp(state, "failed") == 0 ? "has " : "is ", state,
                        member_text(error, "message"), code);
}

int wait_retry_for(const struct cli *cli, rn_duration *ret_length)
{
    const char *text = arguments_value(cli->arguments, "retry-for");

    *ret_length = RETRY_FOR_S * RN_SECOND;
    return text == NULL ? 0 : cli_take_length(cli, "retry-for", text, ret_length);
}

/* Told once when it begins; false: it is not worth another try, or there is no patience left. */
static bool try_again(struct patience *patience, int error, const struct http_reply *reply,
                      const struct error *reason, uint64_t id)
{
    if (!patience_is_for(error, reply->status))
        return false;
    if (patience->times == 0)
        (void)cli_fault(0, "%s; task %" PRIu64 " is not touched by that, trying again",
                        error < 0 ? reason->text : member_text(reply->json, "detail"), id);
    return patience_again(patience, reply->retry_after_ms);
}

static int given_up(int error, const struct http_reply *reply, const struct error *reason,
                    uint64_t id, unsigned times)
{
    if (interrupt_seen())
        return CLI_INTERRUPTED;
    if (error < 0 && times > 0)
        return cli_fault(CLI_NO_CONNECTION, "%s; tried %u times, go on with: runnel wait %" PRIu64,
                         reason->text, times, id);
    return error < 0 ? cli_no_answer(error, reason) : cli_refusal(reply, "");
}

int wait_for_end(const struct cli *cli, uint64_t id, rn_duration length,
                 struct http_reply *ret_reply)
{
    struct patience patience = {.until = 0};
    rn_time until = length == RN_NEVER ? RN_NEVER : rn_after(length);
    bool has_answered = false;
    char path[PATH_BYTES];
    struct error error;

    int code = wait_retry_for(cli, &patience.limit);
    if (code != 0)
        return code;
    for (;;) {
        rn_time begun = rn_now();
        int64_t left_ms =
            until == RN_NEVER ? ROUND_MS : (until - begun + RN_MILLISECOND - 1) / RN_MILLISECOND;
        left_ms = left_ms < 0 ? 0 : left_ms > ROUND_MS ? ROUND_MS : left_ms;
        (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64 "?wait=%" PRId64 "ms", id, left_ms);
        const struct http_request request = {
            .method = "GET", .path = path, .timeout_ms = left_ms + ANSWER_MS};
        int r = http_call(cli->http, &request, ret_reply, &error);
        if (r == 0 && ret_reply->status / 100 == 2) {
            if (wait_is_final(member_text(ret_reply->json, "state")))
                return 0;
            if (patience.times > 0)
                (void)cli_fault(0, "the daemon answers again, task %" PRIu64 " is %s", id,
                                member_text(ret_reply->json, "state"));
            patience_renew(&patience);
            has_answered = true;
            http_reply_fini(ret_reply);
            if (rn_now() >= until)
                return CLI_TIME_OVER;
            // A daemon that drains answers at once.
            if (rn_now() - begun < QUICK_MS * RN_MILLISECOND)
                interrupt_pause(QUICK_MS);
            if (interrupt_seen())
                return CLI_INTERRUPTED;
            continue;
        }
        // A daemon that has never answered is not there; one that has will be back.
        bool is_first = r == -ENOTCONN && !has_answered && patience.times == 0;
        if (is_first || !try_again(&patience, r, ret_reply, &error, id)) {
            code = given_up(r, ret_reply, &error, id, patience.times);
            http_reply_fini(ret_reply);
            return code;
        }
        http_reply_fini(ret_reply);
    }
}
