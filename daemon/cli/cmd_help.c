/* help and --help; and complete, which the shells' completions ask. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/list.h"
#include "cli/text.h"

/* ---- help ---- */

/* Words, broken where the line is full: the first line has `used` columns already, the further ones
 * begin with an indent. Ends the line. */
static void put_wrapped(FILE *out, const char *text, size_t used, size_t indent, size_t width)
{
    char word[128];

    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        (void)snprintf(word, sizeof(word), "%.*s", length, text);
        size_t columns = text_width(word);
        if (used > indent && used + 1 + columns > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            used = indent;
        } else if (used > indent) {
            (void)fputc(' ', out);
            used++;
        }
        fputs(word, out);
        used += columns;
        text += length;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

/* The texts stand beside the options, or, where there is little room, below them. */
static void print_options(FILE *out, const struct option_row *rows, size_t width)
{
    enum { LEFT_BYTES = 64, LEFT_COLUMNS = 28, NARROW = 64, BELOW = 8 };
    char left[LEFT_BYTES];
    bool is_narrow = width < NARROW;
    size_t indent = is_narrow ? BELOW : LEFT_COLUMNS + 1;

    for (; rows != NULL && rows->name != NULL; rows++) {
        char letter[] = "-x, ";
        if (rows->text == NULL)
            continue;
        letter[1] = rows->letter;
        (void)snprintf(left, sizeof(left), "  %4s--%s%s%s", rows->letter == '\0' ? "" : letter,
                       rows->name, rows->value == NULL ? "" : " ",
                       rows->value == NULL ? "" : rows->value);
        if (is_narrow)
            fprintf(out, "%s\n%*s", left, BELOW, "");
        else
            fprintf(out, "%-*s ", LEFT_COLUMNS, left);
        put_wrapped(out, rows->text, indent, indent, width);
    }
}

/* A terminal has its own width; elsewhere, and beyond it, that of a page. */
static size_t width_of(const struct cli *cli)
{
    enum { PAGE = 80 };

    return cli->width == 0 || cli->width > PAGE ? PAGE : cli->width;
}

void commands_print_help(const struct cli *cli, FILE *out)
{
    fputs("runnel: submits tasks to runneld and looks after them\n"
          "\n"
          "usage: runnel COMMAND [OPTION]...\n"
          "\n",
          out);
    for (const struct command *command = commands; command->name != NULL; command++) {
        enum { INDENT = 11 };
        if (command->summary == NULL)
            continue;
        fprintf(out, "  %-8s ", command->name);
        put_wrapped(out, command->summary, INDENT, INDENT, width_of(cli));
    }
    fputs("\noptions of every command:\n", out);
    print_options(out, common_options, width_of(cli));
    fputs("\n"
          "exit: 0 done, 1 the task has failed, 2 usage, 4 not found, 5 no daemon answers,\n"
          "      6 refused, 124 not in time; run ends as its task's command did\n"
          "\n"
          "example: runnel run checksum path=/etc/hostname\n"
          "         runnel help run\n",
          out);
}

void command_print_help(const struct cli *cli, const struct command *command)
{
    enum { USAGE_BYTES = 160, INDENT = 7 };
    char usage[USAGE_BYTES];
    size_t length = strlen("runnel ") + strlen(command->name);

    printf("runnel %s:", command->name);
    put_wrapped(stdout, command->summary == NULL ? "for the shells' completions" : command->summary,
                length + 1, INDENT, width_of(cli));
    (void)snprintf(usage, sizeof(usage), "%s%s[OPTION]...", command->words,
                   command->words[0] == '\0' ? "" : " ");
    printf("\nusage: runnel %s", command->name);
    put_wrapped(stdout, usage, INDENT + length, INDENT, width_of(cli));
    if (command->options != NULL) {
        fputs("\noptions:\n", stdout);
        print_options(stdout, command->options, width_of(cli));
    }
    fputs("\noptions of every command:\n", stdout);
    print_options(stdout, common_options, width_of(cli));
    printf("\nexample: %s\n", command->example);
}

int cmd_help(struct cli *cli)
{
    if (cli->arguments->word_count == 0) {
        commands_print_help(cli, stdout);
        return 0;
    }
    const char *name = cli->arguments->words[0];
    const struct command *command = command_find(name);
    if (command == NULL)
        return command_unknown(name);
    command_print_help(cli, command);
    return 0;
}

/* ---- completions ---- */

static int complete_names(struct cli *cli, const char *member)
{
    const struct http_request request = {.method = "GET", .path = "/v1/info", .timeout_ms = 1000};
    struct http_reply reply;
    struct error error;
    size_t index;
    json_t *element;

    // Somebody is typing: what fails here has no place to be told.
    int r = http_call(cli->http, &request, &reply, &error);
    if (r == 0 && reply.status == 200) {
        json_array_foreach (json_object_get(reply.json, member), index, element)
            puts(json_is_string(element) ? json_string_value(element)
                                         : member_text(element, "name"));
    }
    int code = r < 0 ? CLI_NO_CONNECTION : reply.status == 200 ? 0 : CLI_REFUSED;
    http_reply_fini(&reply);
    return code;
}

static void complete_options(const struct option_row *rows)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (rows->text != NULL)
            printf("--%s%s\n", rows->name, rows->value != NULL && rows->value[0] != '[' ? "=" : "");
    }
}

int cmd_complete(struct cli *cli)
{
    const char *what = cli->arguments->words[0];

    if (strcmp(what, "kinds") == 0 || strcmp(what, "queues") == 0)
        return complete_names(cli, what);
    if (strcmp(what, "states") == 0) {
        for (const char *const *state = list_states; *state != NULL; state++)
            puts(*state);
        return 0;
    }
    if (strcmp(what, "commands") == 0) {
        for (const struct command *command = commands; command->name != NULL; command++) {
            if (command->summary != NULL)
                printf("%s:%s\n", command->name, command->summary);
        }
        return 0;
    }
    if (strcmp(what, "options") != 0)
        return cli_usage(cli, "complete knows nothing of '%s'", what);
    const struct command *command =
        cli->arguments->word_count > 1 ? command_find(cli->arguments->words[1]) : NULL;
    complete_options(command == NULL ? NULL : command->options);
    complete_options(common_options);
    return 0;
}
