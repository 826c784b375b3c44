/* A task's JSON from words and options. */
#include "cli/body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/values.h"
#include "config/units.h"

enum { ARGS_MAX = 64 << 20 }; // the daemon's limit is lower, and its own to tell

/* ---- args ---- */

static int args_of_file(const struct cli *cli, const char *path, char **ret_args)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t length = 0;
    int r = file_read_all(path, ARGS_MAX, ret_args, &length);

    if (r < 0)
        return cli_fault(CLI_USAGE, "%s can't be read (%s)", name, cli_reason(r));
    // What begins with a NUL byte would be cut off unseen.
    if (strlen(*ret_args) != length || !values_is_json(*ret_args, length)) {
        free(*ret_args);
        *ret_args = NULL;
        return cli_usage(cli, "%s is no JSON", name);
    }
    return 0;
}

/* The args' JSON; *ret_args stays NULL where there are none. */
static int take_args(const struct cli *cli, char **ret_args)
{
    const struct arguments *arguments = cli->arguments;
    const char *json = arguments_value(arguments, "args");
    const char *file = arguments_value(arguments, "file");
    size_t count = arguments->word_count - 1;
    struct error error;

    if ((json != NULL) + (file != NULL) + (count > 0) > 1)
        return cli_usage(cli, "the args come from name=value, --args or --file: one of them");
    if (count == 1 && strcmp(arguments->words[1], "-") == 0)
        file = "-";
    if (file != NULL)
        return args_of_file(cli, file, ret_args);
    if (json != NULL && !values_is_json(json, strlen(json)))
        return cli_usage(cli, "--args: '%s' is no JSON", json);
    if (json != NULL) {
        *ret_args = strdup(json);
        return *ret_args == NULL ? cli_no_memory() : 0;
    }
    if (count == 0)
        return 0;
    int r = values_object(arguments->words + 1, count, ret_args, &error);
    if (r == -ENOMEM)
        return cli_no_memory();
    return r < 0 ? cli_usage(cli, "%s", error.text) : 0;
}

/* ---- members ---- */

static int put_text(const struct cli *cli, FILE *out, const char *name, const char *text)
{
    char *json = NULL;
    int r = values_text(text, &json);

    if (r < 0)
        return r == -ENOMEM ? cli_no_memory() : cli_usage(cli, "'%s' is not UTF-8", text);
    if (name == NULL)
        fputs(json, out);
    else
        fprintf(out, ",\"%s\":%s", name, json);
    free(json);
    return 0;
}

static int put_lengths(const struct cli *cli, FILE *out)
{
    static const char *const names[] = {"delay", "timeout"};
    char text[48];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *word = arguments_value(cli->arguments, names[i]);
        rn_duration length = 0;
        if (word == NULL)
            continue;
        int code = cli_take_length(cli, names[i], word, &length);
        if (code != 0)
            return code;
        fprintf(out, ",\"%s\":\"%s\"", names[i], units_duration_text(length, text, sizeof(text)));
    }
    return 0;
}

static int put_instants(const struct cli *cli, FILE *out)
{
    static const char *const options[][2] = {{"at", "run_at"}, {"expires-at", "expires_at"}};
    char text[UNITS_INSTANT_BYTES];

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *word = arguments_value(cli->arguments, options[i][0]);
        if (word == NULL)
            continue;
        if (values_instant(word, cli->now_ms, text) < 0)
            return cli_usage(cli,
                             "--%s: '%s' is no time, such as 18:30, '2026-12-24 18:30' or "
                             "2026-12-24T18:30:00Z",
                             options[i][0], word);
        fprintf(out, ",\"%s\":\"%s\"", options[i][1], text);
    }
    return 0;
}

static int put_numbers(const struct cli *cli, FILE *out)
{
    enum { MOST = 1000000000 };
    static const struct {
        const char *option, *name;
        int64_t least, most;
    } numbers[] = {{"priority", "priority", -100, 100}, {"max-attempts", "max_attempts", 1, MOST}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int64_t number = 0;
        if (!arguments_has(cli->arguments, numbers[i].option))
            continue;
        int code =
            cli_take_number(cli, numbers[i].option, numbers[i].least, numbers[i].most, &number);
        if (code != 0)
            return code;
        fprintf(out, ",\"%s\":%" PRId64, numbers[i].name, number);
    }
    return 0;
}

static int put_tags(const struct cli *cli, FILE *out)
{
    const char *tag = NULL;
    int code = 0;

    if (!arguments_has(cli->arguments, "tag"))
        return 0;
    fputs(",\"tags\":[", out);
    for (size_t i = 0; code == 0 && (tag = arguments_value_at(cli->arguments, "tag", i)) != NULL;
         i++) {
        fputs(i > 0 ? "," : "", out);
        code = put_text(cli, out, NULL, tag);
    }
    (void)fputc(']', out);
    return code;
}

static int put_members(const struct cli *cli, FILE *out)
{
    const char *queue = arguments_value(cli->arguments, "queue");
    int code = queue == NULL ? 0 : put_text(cli, out, "queue", queue);

    if (code == 0)
        code = put_lengths(cli, out);
    if (code == 0)
        code = put_instants(cli, out);
    if (code == 0)
        code = put_numbers(cli, out);
    if (code == 0)
        code = put_tags(cli, out);
    return code;
}

int body_task(const struct cli *cli, char **ret_body)
{
    char *args = NULL;
    char *body = NULL;
    size_t length = 0;

    int code = take_args(cli, &args);
    if (code != 0)
        return code;
    FILE *out = open_memstream(&body, &length);
    if (out == NULL) {
        free(args);
        return cli_no_memory();
    }
    fputs("{\"kind\":", out);
    code = put_text(cli, out, NULL, cli->arguments->words[0]);
    if (code == 0)
        code = put_members(cli, out);
    if (args != NULL)
        fprintf(out, ",\"args\":%s", args);
    (void)fputc('}', out);
    free(args);
    if (fclose(out) != 0 && code == 0)
        code = cli_no_memory();
    if (code != 0) {
        free(body);
        return code;
    }
    *ret_body = body;
    return 0;
}
