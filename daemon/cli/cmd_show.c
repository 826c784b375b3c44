/* show, and how a task looks in lists. */
#include "cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/raw.h"
#include "cli/text.h"
#include "config/units.h"

enum { LABEL_COLUMNS = 10 };

enum table_color show_state_color(const char *state)
{
    static const struct {
        const char *state;
        enum table_color color;
    } colors[] = {{"succeeded", TABLE_GREEN}, {"failed", TABLE_RED},   {"retrying", TABLE_YELLOW},
                  {"held", TABLE_YELLOW},     {"running", TABLE_BLUE}, {"cancelled", TABLE_DIM}};

    for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++) {
        if (strcmp(state, colors[i].state) == 0)
            return colors[i].color;
    }
    return TABLE_PLAIN;
}

void show_note(const struct cli *cli, const json_t *task, char *note, size_t size)
{
    const json_t *error = json_object_get(task, "error");
    const json_t *waits = json_object_get(task, "waiting_for");
    const char *message = member_text(error, "message");
    int64_t next_ms = member_instant(waits, "next_start_at");
    char when[FORMAT_BYTES];

    if (json_is_object(waits) && next_ms != 0)
        (void)snprintf(note, size, "%s, %s", member_text(waits, "code"),
                       cli_instant(cli, next_ms, when));
    else if (json_is_object(waits))
        (void)snprintf(note, size, "%s", member_text(waits, "code"));
    else
        (void)snprintf(note, size, "%s", message[0] != '\0' ? message : member_text(error, "code"));
}

int show_json_line(const struct cli *cli, const json_t *task)
{
    // What a list has (no args, no result) has no numbers that this would change.
    char *text = json_dumps(task, JSON_COMPACT | JSON_REAL_PRECISION(15));
    int code = text == NULL ? cli_no_memory() : cli_print_bytes(cli, text, strlen(text));

    free(text);
    (void)putchar('\n');
    return code;
}

/* ---- show ---- */

static int put_line(const struct cli *cli, const char *label, enum table_color color,
                    const char *text)
{
    char *safe = NULL;
    bool is_colored = cli->has_color && color != TABLE_PLAIN;

    if (text_safe(text, strlen(text), "", &safe) < 0)
        return cli_no_memory();
    printf("%-*s ", LABEL_COLUMNS, label);
    fputs(is_colored ? table_color_begin(color) : "", stdout);
    fputs(safe, stdout);
    fputs(is_colored ? TABLE_COLOR_END : "", stdout);
    (void)putchar('\n');
    free(safe);
    return 0;
}

static int put_instant(const struct cli *cli, const json_t *task, const char *label,
                       const char *name)
{
    int64_t ms = member_instant(task, name);
    char age[FORMAT_BYTES];
    char text[2 * FORMAT_BYTES];

    if (ms == 0)
        return 0;
    (void)snprintf(text, sizeof(text), cli->is_terminal ? "%s (%s)" : "%s", member_text(task, name),
                   format_age(ms, cli->now_ms, age));
    return put_line(cli, label, TABLE_PLAIN, text);
}

/* A text of several lines, under its label. */
static int put_block(const char *label, const json_t *text)
{
    const char *line = json_string_value(text);
    size_t left = json_string_length(text);

    if (left > 0)
        printf("%s:\n", label);
    while (left > 0) {
        const char *end = memchr(line, '\n', left);
        size_t length = end == NULL ? left : (size_t)(end - line);
        char *safe = NULL;
        if (text_safe(line, length, "\t", &safe) < 0)
            return cli_no_memory();
        printf("  %s\n", safe);
        free(safe);
        length += end != NULL;
        line += length;
        left -= length;
    }
    return 0;
}

static int put_raw(const struct cli *cli, const struct http_reply *reply, const char *label,
                   const char *name)
{
    size_t length = 0;
    const char *json = raw_member(reply->body, reply->length, name, &length);

    if (json == NULL || (length == 4 && memcmp(json, "null", 4) == 0))
        return 0;
    printf("%-*s ", LABEL_COLUMNS, label);
    int code = cli_print_bytes(cli, json, length);
    (void)putchar('\n');
    return code;
}

static int put_attempts(const struct cli *cli, const json_t *task)
{
    const json_t *attempts = json_object_get(task, "attempts");
    size_t index;
    json_t *attempt;
    int code = 0;

    if (json_array_size(attempts) < 2)
        return 0;
    json_array_foreach (attempts, index, attempt) {
        const json_t *error = json_object_get(attempt, "error");
        int64_t begun_ms = member_instant(attempt, "started_at");
        char when[FORMAT_BYTES];
        char took[FORMAT_BYTES];
        char text[512];
        (void)snprintf(text, sizeof(text), "%" PRId64 ": %s, %s%s%s",
                       member_number(attempt, "attempt"), cli_instant(cli, begun_ms, when),
                       format_length(member_instant(attempt, "finished_at") - begun_ms, took),
                       json_is_object(error) ? ", " : "", member_text(error, "message"));
        code = put_line(cli, index == 0 ? "attempts" : "", TABLE_PLAIN, text);
        if (code != 0)
            break;
    }
    return code;
}

/* The task that it follows, and those that follow it. */
static int put_family(const struct cli *cli, const json_t *task)
{
    const json_t *children = json_object_get(task, "children");
    enum { CHILDREN_MAX = 100 }; // the daemon tells no more
    char text[CHILDREN_MAX * ID_BYTES] = "";
    size_t used = 0;
    size_t index;
    json_t *child;
    int code = 0;

    if (!member_is_null(task, "parent")) {
        (void)snprintf(text, sizeof(text), "%" PRId64, member_number(task, "parent"));
        code = put_line(cli, "parent", TABLE_PLAIN, text);
    }
    json_array_foreach (children, index, child) {
        if (used + ID_BYTES >= sizeof(text))
            break;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%lld", index == 0 ? "" : ", ",
                                 (long long)json_integer_value(child));
    }
    if (code == 0 && used > 0)
        code = put_line(cli, "children", TABLE_PLAIN, text);
    return code;
}

static int put_head(const struct cli *cli, const json_t *task)
{
    const char *state = member_text(task, "state");
    char text[512];

    (void)snprintf(text, sizeof(text), "%" PRId64, member_number(task, "id"));
    int code = put_line(cli, "task", TABLE_BOLD, text);
    if (code == 0)
        code = put_line(cli, "state", show_state_color(state), state);
    if (code == 0)
        code = put_line(cli, "kind", TABLE_PLAIN, member_text(task, "kind"));
    (void)snprintf(text, sizeof(text), "%s, priority %" PRId64, member_text(task, "queue"),
                   member_number(task, "priority"));
    if (code == 0)
        code = put_line(cli, "queue", TABLE_PLAIN, text);
    (void)snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64 ", each at most %s",
                   member_number(task, "attempt"), member_number(task, "max_attempts"),
                   member_text(task, "timeout"));
    if (code == 0)
        code = put_line(cli, "attempt", TABLE_PLAIN, text);
    return code;
}

static int put_why(const struct cli *cli, const json_t *task)
{
    const json_t *error = json_object_get(task, "error");
    const json_t *waits = json_object_get(task, "waiting_for");
    char text[1024];
    int code = 0;

    if (json_is_object(waits)) {
        const char *detail = member_text(waits, "detail");
        code = put_line(cli, "waits for", TABLE_YELLOW,
                        detail[0] == '\0' ? member_text(waits, "code") : detail);
    }
    if (code == 0 && json_is_object(error)) {
        (void)snprintf(text, sizeof(text), "%s (%s)", member_text(error, "message"),
                       member_text(error, "code"));
        code = put_line(cli, "error", TABLE_RED, text);
    }
    return code;
}

static int put_task(const struct cli *cli, const struct http_reply *reply)
{
    static const char *const instants[][2] = {
        {"submitted", "created_at"},           {"starts at", "run_at"},
        {"expires at", "expires_at"},          {"started", "started_at"},
        {"stop asked", "cancel_requested_at"}, {"finished", "finished_at"}};
    const json_t *task = reply->json;
    const json_t *exec = json_object_get(task, "exec");
    char took[FORMAT_BYTES];

    int code = put_head(cli, task);
    if (code == 0)
        code = put_why(cli, task);
    for (size_t i = 0; code == 0 && i < sizeof(instants) / sizeof(instants[0]); i++)
        code = put_instant(cli, task, instants[i][0], instants[i][1]);
    if (code == 0 && !member_is_null(task, "duration_ms"))
        code = put_line(cli, "took", TABLE_PLAIN,
                        format_length(member_number(task, "duration_ms"), took));
    if (code == 0)
        code = put_attempts(cli, task);
    if (code == 0)
        code = put_family(cli, task);
    if (code == 0)
        code = put_raw(cli, reply, "tags", "tags");
    if (code == 0)
        code = put_raw(cli, reply, "args", "args");
    if (code == 0)
        code = put_raw(cli, reply, "result", "result");
    if (code == 0)
        code = put_block("stdout", json_object_get(exec, "stdout"));
    if (code == 0)
        code = put_block("stderr", json_object_get(exec, "stderr"));
    return code;
}

int cmd_show(struct cli *cli)
{
    int worst = 0;

    for (size_t i = 0; i < cli->arguments->word_count; i++) {
        struct http_reply reply;
        char path[PATH_BYTES];
        uint64_t id = 0;
        int code = cli_take_id(cli, cli->arguments->words[i], &id);
        if (code != 0)
            return code;
        (void)snprintf(path, sizeof(path), "/v1/tasks/%" PRIu64, id);
        code = cli_call(cli, "GET", path, NULL, &reply);
        worst = worst == 0 ? code : worst;
        if (code == CLI_NO_CONNECTION)
            return code;
        if (code != 0)
            continue;
        if (i > 0 && !cli->is_json)
            (void)putchar('\n');
        code = cli->is_json ? cli_print_json(cli, &reply) : put_task(cli, &reply);
        worst = worst == 0 ? code : worst;
        http_reply_fini(&reply);
    }
    return worst;
}
