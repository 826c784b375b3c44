/* kinds, stats, ping and version. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include <runnel/clock.h>
#include <runnel/runnel.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/table.h"

/* ---- kinds ---- */

static int add_kind(struct table *table, const json_t *kind)
{
    const char *builtin = member_text(kind, "builtin");
    const char *command = member_text(kind, "command");
    char attempts[ID_BYTES];
    char runs[512];

    (void)snprintf(attempts, sizeof(attempts), "%" PRId64, member_number(kind, "max_attempts"));
    (void)snprintf(runs, sizeof(runs), "%s%s", builtin[0] == '\0' ? "" : "built-in ",
                   builtin[0] == '\0' ? command : builtin);
    const char *const cells[] = {member_text(kind, "name"), member_text(kind, "queue"), attempts,
                                 member_text(kind, "timeout"), runs};
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        if (table_add(table, cells[i], TABLE_PLAIN) < 0)
            return cli_no_memory();
    }
    return 0;
}

/* Each kind as a line of JSON. */
static int print_kinds_json(const struct cli *cli, const json_t *kinds)
{
    size_t index;
    json_t *kind;
    int code = 0;

    json_array_foreach (kinds, index, kind) {
        char *text = json_dumps(kind, JSON_COMPACT);
        code = text == NULL ? cli_no_memory() : cli_print_bytes(cli, text, strlen(text));
        free(text);
        (void)putchar('\n');
        if (code != 0)
            break;
    }
    return code;
}

int cmd_kinds(struct cli *cli)
{
    static const struct table_column columns[] = {{"KIND", false, 8, 0},
                                                  {"QUEUE", false, 6, 1},
                                                  {"ATTEMPTS", true, 0, 3},
                                                  {"TIMEOUT", true, 0, 2},
                                                  {"RUNS", false, 8, 0}};
    struct http_reply reply;
    struct table *table = NULL;
    size_t index;
    json_t *kind;

    int code = cli_call(cli, "GET", "/v1/info", NULL, &reply);
    if (code != 0)
        return code;
    const json_t *kinds = json_object_get(reply.json, "kinds");
    if (cli->is_json)
        code = print_kinds_json(cli, kinds);
    else if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &table) < 0)
        code = cli_no_memory();
    json_array_foreach (kinds, index, kind) {
        if (table == NULL || code != 0)
            break;
        code = add_kind(table, kind);
    }
    if (code == 0 && table != NULL)
        table_print(table, stdout, cli->width, cli->has_color);
    table_free(table);
    http_reply_fini(&reply);
    return code;
}

/* ---- stats ---- */

static void put_count(const char *label, int64_t count)
{
    char text[FORMAT_BYTES];

    printf("%-12s %15s\n", label, format_count(count, text));
}

static void put_text(const char *label, const char *text)
{
    printf("%-12s %15s\n", label, text);
}

static void put_stats(const struct cli *cli, const json_t *stats)
{
    static const char *const states[] = {"scheduled", "queued", "retrying",  "running",
                                         "succeeded", "failed", "cancelled", "held"};
    const json_t *counts = json_object_get(stats, "states");
    const json_t *store = json_object_get(stats, "store");
    const json_t *web = json_object_get(stats, "http");
    char text[FORMAT_BYTES];
    char more[2 * FORMAT_BYTES];

    put_text("up", format_length(member_number(stats, "uptime_ms"), text));
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        put_count(states[i], member_number(counts, states[i]));
    put_text("database", format_bytes((uint64_t)member_number(store, "database_bytes"), text));
    put_text("free disk", format_bytes((uint64_t)member_number(store, "free_disk_bytes"), text));
    (void)snprintf(more, sizeof(more), "%.1f ms",
                   (double)member_number(store, "commit_p99_us") / 1000);
    put_text("commit p99", more);
    (void)snprintf(more, sizeof(more), "%" PRId64 " of %" PRId64, member_number(web, "connections"),
                   member_number(web, "connections_max"));
    put_text("connections", more);
    if (json_is_true(json_object_get(store, "full")))
        printf("%s\n", cli->has_color ? "\033[31mthe store is full\033[0m" : "the store is full");
}

int cmd_stats(struct cli *cli)
{
    struct http_reply reply;

    int code = cli_call(cli, "GET", "/v1/stats", NULL, &reply);
    if (code != 0)
        return code;
    if (cli->is_json)
        code = cli_print_json(cli, &reply);
    else
        put_stats(cli, reply.json);
    http_reply_fini(&reply);
    return code;
}

/* ---- ping and version ---- */

int cmd_ping(struct cli *cli)
{
    const struct http_request request = {.method = "GET", .path = "/readyz"};
    struct http_reply reply;
    struct error error;
    rn_time begun = rn_now();
    int code = 0;

    int r = http_call(cli->http, &request, &reply, &error);
    const char *status = member_text(reply.json, "status");
    bool is_runneld = status[0] != '\0' || reply.status == 503;
    if (status[0] == '\0')
        status = member_text(reply.json, "code");
    if (r < 0)
        code = cli_no_answer(r, &error);
    else if (!is_runneld && (reply.status / 100 == 2 || reply.status == 404))
        code =
            cli_fault(CLI_NO_CONNECTION, "what answers at %s is no runneld", http_url(cli->http));
    else if (!is_runneld)
        code = cli_refusal(&reply, "");
    else if (reply.status / 100 == 2 && cli->is_json)
        code = cli_print_json(cli, &reply);
    else if (reply.status / 100 == 2)
        printf("%s at %s, %.1f ms\n", status, http_url(cli->http),
               (double)(rn_now() - begun) / (double)RN_MILLISECOND);
    else
        code = cli_fault(CLI_REFUSED, "the daemon at %s takes no tasks: it is %s",
                         http_url(cli->http), status);
    http_reply_fini(&reply);
    return code;
}

int cmd_version(struct cli *cli)
{
    struct http_reply reply;

    int code = cli_call(cli, "GET", "/v1/info", NULL, &reply);
    if (!cli->is_json)
        printf("runnel %s (libcurl %s)\n", rn_version(),
               curl_version_info(CURLVERSION_NOW)->version);
    if (code != 0)
        return code;
    if (cli->is_json)
        code = cli_print_json(cli, &reply);
    else
        printf("runneld %s at %s, pid %" PRId64 "\n", member_text(reply.json, "version"),
               http_url(cli->http), member_number(reply.json, "pid"));
    http_reply_fini(&reply);
    return code;
}
