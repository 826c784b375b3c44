/* GET /v1/tasks, page after page: one may be short though more follow. And the same filter as JSON,
 * for POST /v1/tasks/actions. */
#include "cli/list.h"

#include <stdio.h>
#include <string.h>

#include "cli/values.h"
#include "config/config.h"
#include "config/units.h"

enum { PAGE_MOST = 1000, PAGE_LEAST = 100, VALUE_BYTES = 2048 };

const char *const list_states[] = {"scheduled", "queued",    "retrying", "running", "succeeded",
                                   "failed",    "cancelled", "held",     NULL};

// A query's parameter and an action's member have the same name.
static const struct {
    const char *option, *name;
    bool is_instant;
} filters[] = {{"state", "state", false},
               {"queue", "queue", false},
               {"kind", "kind", false},
               {"tag", "tag", false},
               {"error", "error_code", false},
               {"after", "created_after", true},
               {"before", "created_before", true},
               {"finished-after", "finished_after", true},
               {"finished-before", "finished_before", true}};

enum { FILTER_COUNT = sizeof(filters) / sizeof(filters[0]) };

bool list_has_filter(const struct cli *cli)
{
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        if (arguments_has(cli->arguments, filters[i].option))
            return true;
    }
    return false;
}

/* An instant of what has been: how long ago, or as ever, but 18:30 is the last one. */
static int take_past(const char *word, int64_t now_ms, char *text)
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    rn_duration length = 0;

    if (units_duration(word, &length) < 0)
        return values_instant(word, now_ms - DAY_MS, text); // the next one after a day ago
    int64_t ms = now_ms - length / RN_MILLISECOND;
    (void)units_instant_text(ms < 0 ? 0 : ms, text);
    return 0;
}

/* The option's values, with commas between them; told if there is one without a name in it. */
static int join_values(const struct cli *cli, const char *option, char *text)
{
    const char *value = NULL;
    size_t used = 0;

    for (size_t i = 0; (value = arguments_value_at(cli->arguments, option, i)) != NULL; i++) {
        if (value[0] == '\0')
            return cli_usage(cli, "the option --%s needs a value", option);
        if (value[0] == ',' || value[strlen(value) - 1] == ',' || strstr(value, ",,") != NULL)
            return cli_usage(cli, "--%s: a value is missing in '%s'", option, value);
        int length = snprintf(text + used, VALUE_BYTES - used, "%s%s", i == 0 ? "" : ",", value);
        if (length < 0 || (size_t)length >= VALUE_BYTES - used)
            return cli_usage(cli, "the filter is too long");
        used += (size_t)length;
    }
    return 0;
}

/* Names of states, with commas between them. The daemon would refuse them too, but not in terms of
 * the command line. */
static int check_states(const struct cli *cli, const char *names)
{
    char name[VALUE_BYTES];

    while (names != NULL) {
        size_t length = strcspn(names, ",");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, names);
        const char *near = nearest_name(name, list_states);
        if (near == NULL || strcmp(near, name) != 0)
            return cli_usage(cli, "--state: there is no state '%s'%s%s%s", name,
                             near == NULL ? "" : ": did you mean '", near == NULL ? "" : near,
                             near == NULL ? "" : "'?");
        names = names[length] == ',' ? names + length + 1 : NULL;
    }
    return 0;
}

/* A filter's value, in text, of VALUE_BYTES: what an option says that is given several times is any
 * of them, as with commas; of an instant it is the last. *ret_value stays NULL where it was not
 * given. */
static int take_value(const struct cli *cli, size_t which, char *text, const char **ret_value)
{
    const char *option = filters[which].option;
    const char *value = arguments_value(cli->arguments, option);
    int code = 0;

    if (value == NULL)
        return 0;
    if (!filters[which].is_instant)
        code = join_values(cli, option, text);
    else if (take_past(value, cli->now_ms, text) < 0)
        code = cli_usage(cli,
                         "--%s: '%s' is no time, such as 1h (ago), 18:30, '2026-12-24 18:30' "
                         "or 2026-12-24T18:30:00Z",
                         option, value);
    if (code == 0 && strcmp(option, "state") == 0)
        code = check_states(cli, text);
    *ret_value = text;
    return code;
}

static int make_path(const struct cli *cli, char *path)
{
    char text[VALUE_BYTES];

    (void)snprintf(path, PATH_BYTES, "/v1/tasks");
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        const char *value = NULL;
        int code = take_value(cli, i, text, &value);
        if (code != 0)
            return code;
        if (value != NULL && !cli_add_query(path, PATH_BYTES, filters[i].name, value))
            return cli_usage(cli, "the filter is too long");
    }
    return 0;
}

/* What stands between the commas, each a string; NULL: no memory, or no UTF-8. */
static json_t *strings_of(const char *value)
{
    json_t *array = json_array();

    while (array != NULL && value != NULL) {
        size_t length = strcspn(value, ",");
        if (json_array_append_new(array, json_stringn(value, length)) < 0) {
            json_decref(array);
            return NULL;
        }
        value = value[length] == ',' ? value + length + 1 : NULL;
    }
    return array;
}

int list_filter(const struct cli *cli, const char *states, json_t **ret_filter)
{
    char text[VALUE_BYTES];
    json_t *filter = json_object();
    int code = filter == NULL ? cli_no_memory() : 0;

    for (size_t i = 0; i < FILTER_COUNT && code == 0; i++) {
        const char *value = NULL;
        code = take_value(cli, i, text, &value);
        if (value == NULL && i == 0)
            value = states;
        if (code != 0 || value == NULL)
            continue;
        json_t *member = filters[i].is_instant ? json_string(value) : strings_of(value);
        if (json_object_set_new(filter, filters[i].name, member) < 0)
            code = cli_usage(cli, "--%s: '%s' is not UTF-8", filters[i].option, value);
    }
    if (code != 0) {
        json_decref(filter);
        return code;
    }
    *ret_filter = filter;
    return 0;
}

/* One page: how many of *left were used. */
static int take_page(const struct cli *cli, const struct list_calls *calls,
                     const struct http_reply *reply, int64_t *left, bool *ret_cut)
{
    const json_t *tasks = json_object_get(reply->json, "tasks");
    size_t index;
    json_t *task;
    int code = 0;

    json_array_foreach (tasks, index, task) {
        if (code != 0 || *left == 0)
            break;
        code = calls->task_fn(cli, task, calls->arg);
        (*left)--;
    }
    *ret_cut = index < json_array_size(tasks);
    return code;
}

int list_tasks(const struct cli *cli, const struct list_calls *calls, bool *ret_more)
{
    char base[PATH_BYTES];
    char path[PATH_BYTES];
    char cursor[PATH_BYTES / 4] = "";
    char text[24];
    int64_t left = calls->limit;
    bool is_cut = false;

    int code = make_path(cli, base);
    while (code == 0) {
        struct http_reply reply;
        // A filter may match little on a page: a page is not made smaller than it costs anyway.
        int64_t size = left > PAGE_MOST ? PAGE_MOST : left;
        if (size < PAGE_LEAST)
            size = PAGE_LEAST;
        memcpy(path, base, sizeof(path));
        (void)snprintf(text, sizeof(text), "%lld", (long long)size);
        if (!cli_add_query(path, sizeof(path), "limit", text) ||
            (cursor[0] != '\0' && !cli_add_query(path, sizeof(path), "cursor", cursor)))
            return cli_usage(cli, "the filter is too long");
        code = cli_call(cli, "GET", path, NULL, &reply);
        if (code != 0)
            return code;
        code = take_page(cli, calls, &reply, &left, &is_cut);
        (void)snprintf(cursor, sizeof(cursor), "%s", member_text(reply.json, "next"));
        http_reply_fini(&reply);
        if (cursor[0] == '\0' || left == 0)
            break;
    }
    if (ret_more != NULL)
        *ret_more = is_cut || cursor[0] != '\0';
    return code;
}
