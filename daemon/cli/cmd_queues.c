/* queues, pause, resume and set. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/table.h"
#include "config/config.h"
#include "config/units.h"

/* ---- queues ---- */

static int64_t waiting_in(const json_t *states)
{
    return member_number(states, "scheduled") + member_number(states, "queued") +
           member_number(states, "retrying") + member_number(states, "held");
}

static int add_queue(const struct cli *cli, struct table *table, const json_t *queue)
{
    const json_t *states = json_object_get(queue, "states");
    bool is_paused = json_is_true(json_object_get(queue, "paused"));
    bool is_configured = json_is_true(json_object_get(queue, "configured"));
    int64_t failed = member_number(states, "failed");
    int64_t until_ms = member_instant(queue, "paused_until");
    const char *rate = member_text(queue, "rate");
    char texts[6][FORMAT_BYTES] = {""};
    char state[2 * FORMAT_BYTES];
    char when[FORMAT_BYTES];

    if (is_paused && until_ms != 0)
        (void)snprintf(state, sizeof(state), "paused, ends %s", cli_instant(cli, until_ms, when));
    else
        (void)snprintf(state, sizeof(state), "%s",
                       !is_configured ? "not configured"
                       : is_paused    ? "paused"
                                      : "runs");
    (void)snprintf(texts[0], FORMAT_BYTES, "%" PRId64 "/%" PRId64, member_number(queue, "running"),
                   member_number(queue, "workers"));
    (void)format_count(waiting_in(states), texts[1]);
    (void)format_count(failed, texts[2]);
    (void)format_count(member_number(states, "succeeded"), texts[3]);
    if (!member_is_null(queue, "oldest_waiting_age_ms"))
        (void)format_length(member_number(queue, "oldest_waiting_age_ms"), texts[4]);
    const struct {
        const char *text;
        enum table_color color;
    } cells[] = {{member_text(queue, "name"), TABLE_PLAIN},
                 {texts[0], TABLE_PLAIN},
                 {texts[1], TABLE_PLAIN},
                 {texts[2], failed > 0 ? TABLE_RED : TABLE_PLAIN},
                 {rate[0] == '\0' ? "-" : rate, TABLE_PLAIN},
                 {state, is_paused || !is_configured ? TABLE_YELLOW : TABLE_PLAIN},
                 {texts[4], TABLE_PLAIN},
                 {texts[3], TABLE_PLAIN}};
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        if (table_add(table, cells[i].text, cells[i].color) < 0)
            return cli_no_memory();
    }
    return 0;
}

int cmd_queues(struct cli *cli)
{
    static const struct table_column columns[] = {
        {"QUEUE", false, 8, 0}, {"RUNNING", true, 0, 0},  {"WAITING", true, 0, 0},
        {"FAILED", true, 0, 1}, {"RATE", true, 0, 3},     {"STATE", false, 6, 2},
        {"OLDEST", true, 0, 4}, {"SUCCEEDED", true, 0, 5}};
    struct http_reply reply;
    struct table *table = NULL;
    size_t index;
    json_t *queue;

    int code = cli_call(cli, "GET", "/v1/queues", NULL, &reply);
    if (code != 0)
        return code;
    if (cli->is_json)
        code = cli_print_json(cli, &reply);
    else if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &table) < 0)
        code = cli_no_memory();
    json_array_foreach (json_object_get(reply.json, "queues"), index, queue) {
        if (table == NULL || code != 0)
            break;
        code = add_queue(cli, table, queue);
    }
    if (code == 0 && table != NULL && index > 0)
        table_print(table, stdout, cli->width, cli->has_color);
    else if (code == 0 && table != NULL && cli->is_terminal)
        puts("no queues");
    table_free(table);
    http_reply_fini(&reply);
    return code;
}

/* ---- pause and resume ---- */

/* The nearest one, or NULL; no memory is no fault: it is a hint. */
static const char *near_queue(const json_t *queues, const char *name)
{
    size_t count = json_array_size(queues);
    const char **names = calloc(count + 1, sizeof(*names));

    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = member_text(json_array_get(queues, i), "name");
    const char *near = names == NULL ? NULL : nearest_name(name, names);
    free((void *)names);
    return near;
}

/* Says so, and what was meant or which there are: not a path of the API's, as the daemon does. */
static int no_queue(const struct cli *cli, const char *name)
{
    enum { SHOWN = 8 };
    const struct http_request request = {.method = "GET", .path = "/v1/queues"};
    struct http_reply reply;
    char list[SHOWN * (CONFIG_NAME_MAX + 2) + 1] = "";
    size_t used = 0;

    int r = http_call(cli->http, &request, &reply, NULL);
    const json_t *queues = json_object_get(reply.json, "queues");
    size_t count = r < 0 ? 0 : json_array_size(queues);
    // Whoever answers: no name is longer than a daemon's can be.
    for (size_t i = 0; i < count && count <= SHOWN; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.*s", i == 0 ? "" : ", ",
                                 CONFIG_NAME_MAX, member_text(json_array_get(queues, i), "name"));
    const char *near = near_queue(queues, name);
    if (near != NULL)
        (void)cli_fault(0, "there is no queue '%s': did you mean '%s'?", name, near);
    else if (used > 0)
        (void)cli_fault(0, "there is no queue '%s'; there %s %s", name, count == 1 ? "is" : "are",
                        list);
    else if (json_is_array(queues) && count == 0)
        (void)cli_fault(0, "there is no queue '%s', nor any other", name);
    else
        (void)cli_fault(0, "there is no queue '%s': see runnel queues", name);
    http_reply_fini(&reply);
    return CLI_NOT_FOUND;
}

static int queue_path(const struct cli *cli, const char *name, const char *end, char *path)
{
    // A name that is none is not sent: '/' and '?' would make another path of it.
    if (!config_name_valid(name))
        return no_queue(cli, name);
    (void)snprintf(path, PATH_BYTES, "/v1/queues/%s%s", name, end);
    return 0;
}

static int call_queue(const struct cli *cli, const struct http_request *request, const char *name)
{
    struct http_reply reply;
    struct error error;
    char when[FORMAT_BYTES];

    int r = http_call(cli->http, request, &reply, &error);
    int code = r < 0                     ? cli_no_answer(r, &error)
               : reply.status == 404     ? no_queue(cli, name)
               : reply.status / 100 != 2 ? cli_refusal(&reply, "")
                                         : 0;
    if (code != 0) {
        http_reply_fini(&reply);
        return code;
    }
    const json_t *queue = reply.json;
    const char *rate = member_text(queue, "rate");
    int64_t until_ms = member_instant(queue, "paused_until");
    bool is_paused = json_is_true(json_object_get(queue, "paused"));
    char burst[ID_BYTES + sizeof(", burst ")] = "";
    if (rate[0] != '\0' && member_number(queue, "burst") > 1)
        (void)snprintf(burst, sizeof(burst), ", burst %" PRId64, member_number(queue, "burst"));
    if (cli->is_json)
        code = cli_print_json(cli, &reply);
    else
        printf("%s: %" PRId64 " %s, %s%s%s%s%s\n", member_text(queue, "name"),
               member_number(queue, "workers"),
               member_number(queue, "workers") == 1 ? "worker" : "workers",
               rate[0] == '\0' ? "no rate" : rate, burst, is_paused ? ", paused" : "",
               is_paused && until_ms != 0 ? ", ends " : "",
               is_paused && until_ms != 0 ? cli_instant(cli, until_ms, when) : "");
    http_reply_fini(&reply);
    return code;
}

static int each_queue(const struct cli *cli, const char *end, const char *body)
{
    int worst = 0;

    for (size_t i = 0; i < cli->arguments->word_count; i++) {
        char path[PATH_BYTES];
        const struct http_request request = {.method = "POST", .path = path, .body = body};
        int code = queue_path(cli, cli->arguments->words[i], end, path);
        if (code == 0)
            code = call_queue(cli, &request, cli->arguments->words[i]);
        worst = worst == 0 ? code : worst;
        if (code == CLI_NO_CONNECTION)
            break;
    }
    return worst;
}

int cmd_pause(struct cli *cli)
{
    const char *length_text = arguments_value(cli->arguments, "for");
    rn_duration length = 0;
    char text[48];
    char body[80] = "{}";

    if (length_text != NULL) {
        int code = cli_take_length(cli, "for", length_text, &length);
        if (code != 0)
            return code;
        (void)snprintf(body, sizeof(body), "{\"for\":\"%s\"}",
                       units_duration_text(length, text, sizeof(text)));
    }
    return each_queue(cli, "/pause", body);
}

int cmd_resume(struct cli *cli)
{
    return each_queue(cli, "/resume", "{}");
}

/* Whether there is such a queue at all; silent where that can't be found out. */
static void hint_at(const struct cli *cli, const char *name)
{
    char path[PATH_BYTES];
    const struct http_request request = {.method = "GET", .path = path};
    struct http_reply reply;

    if (queue_path(cli, name, "", path) != 0)
        return;
    int r = http_call(cli->http, &request, &reply, NULL);
    if (r == 0 && reply.status == 404)
        (void)no_queue(cli, name);
    http_reply_fini(&reply);
}

void queues_hint(const struct cli *cli)
{
    const char *names = NULL;

    for (size_t i = 0; (names = arguments_value_at(cli->arguments, "queue", i)) != NULL; i++) {
        while (names != NULL) {
            char name[PATH_BYTES / 2];
            size_t length = strcspn(names, ",");
            (void)snprintf(name, sizeof(name), "%.*s", (int)length, names);
            hint_at(cli, name);
            names = names[length] == ',' ? names + length + 1 : NULL;
        }
    }
}

/* ---- set ---- */

/* The daemon would refuse it too, but it speaks of null, which is not what one writes here. */
static int bad_change(const struct cli *cli, const char *name, const char *value, const char *what)
{
    return cli_usage(cli, "%s: '%s' is no %s; %s= gives the configuration's back", name, value,
                     what, name);
}

static int put_number(const struct cli *cli, FILE *out, const char *name, const char *value)
{
    unsigned most = strcmp(name, "workers") == 0 ? CONFIG_WORKERS_MAX : CONFIG_BURST_MAX;
    char what[64];
    uint64_t number = 0;

    if (units_unsigned(value, most, &number) < 0 || number == 0) {
        (void)snprintf(what, sizeof(what), "number from 1 to %u", most);
        return bad_change(cli, name, value, what);
    }
    fprintf(out, "%" PRIu64, number);
    return 0;
}

static int put_change(const struct cli *cli, FILE *out, const char *word)
{
    static const char *const names[] = {"rate", "workers", "burst", NULL};
    char name[CONFIG_NAME_MAX + 1] = "";
    size_t length = strcspn(word, "=");
    const char *value = word[length] == '\0' ? NULL : word + length + 1;
    double per_s = 0;
    size_t index = 0;

    if (length <= CONFIG_NAME_MAX)
        memcpy(name, word, length);
    while (names[index] != NULL && strcmp(names[index], name) != 0)
        index++;
    if (value == NULL)
        return cli_usage(cli, "'%s' is no name=value", word);
    if (names[index] == NULL) {
        const char *near = nearest_name(name, names);
        return cli_usage(cli, "a queue has no '%.*s'%s%s%s", (int)length, word,
                         near == NULL ? " that can be set" : ": did you mean ",
                         near == NULL ? "" : near, near == NULL ? "" : "?");
    }
    fprintf(out, "\"%s\":", name);
    if (value[0] == '\0' || strcmp(value, "default") == 0)
        fputs("null", out);
    else if (index > 0)
        return put_number(cli, out, name, value);
    else if (units_rate(value, &per_s) < 0)
        return bad_change(cli, name, value, "rate such as 10/s, 90/m or 2.5/h");
    else
        fprintf(out, "\"%s\"", value); // nothing in a rate needs an escape
    return 0;
}

/* A name that was there before would make no JSON. */
static int check_once(const struct cli *cli, size_t index)
{
    const char *word = cli->arguments->words[index];
    size_t length = strcspn(word, "=");

    for (size_t i = 1; i < index; i++) {
        const char *before = cli->arguments->words[i];
        if (strcspn(before, "=") == length && strncmp(before, word, length) == 0)
            return cli_usage(cli, "%.*s is there twice", (int)length, word);
    }
    return 0;
}

int cmd_set(struct cli *cli)
{
    char path[PATH_BYTES];
    char *body = NULL;
    size_t length = 0;

    int code = queue_path(cli, cli->arguments->words[0], "", path);
    if (code != 0)
        return code;
    FILE *out = open_memstream(&body, &length);
    if (out == NULL)
        return cli_no_memory();
    (void)fputc('{', out);
    for (size_t i = 1; code == 0 && i < cli->arguments->word_count; i++) {
        fputs(i > 1 ? "," : "", out);
        code = check_once(cli, i);
        if (code == 0)
            code = put_change(cli, out, cli->arguments->words[i]);
    }
    (void)fputc('}', out);
    if (fclose(out) != 0 && code == 0)
        code = cli_no_memory();
    const struct http_request request = {.method = "PATCH", .path = path, .body = body};
    if (code == 0)
        code = call_queue(cli, &request, cli->arguments->words[0]);
    free(body);
    return code;
}
