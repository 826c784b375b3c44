/* The client's main: finds the command, opens the way to the daemon, and ends with the command's
 * code. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <curl/curl.h>

#include <runnel/clock.h>
#include <runnel/runnel.h>

#include "cli/commands.h"
#include "config/units.h"

enum { WIDTH_LEAST = 20, WIDTH_DEFAULT = 80, WIDTH_MOST = 10000 };

static size_t terminal_width(void)
{
    struct winsize size;
    uint64_t columns = 0;
    const char *variable = getenv("COLUMNS");

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    else if (variable == NULL || units_unsigned(variable, WIDTH_MOST, &columns) < 0)
        columns = WIDTH_DEFAULT;
    return columns < WIDTH_LEAST ? WIDTH_LEAST : (size_t)columns;
}

static int set_color(struct cli *cli)
{
    const char *choice = arguments_value(cli->arguments, "color");
    const char *none = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    cli->has_color = cli->is_terminal && (none == NULL || none[0] == '\0') &&
                     (terminal == NULL || strcmp(terminal, "dumb") != 0);
    if (choice == NULL || strcmp(choice, "auto") == 0)
        return 0;
    if (strcmp(choice, "always") != 0 && strcmp(choice, "never") != 0)
        return cli_usage(cli, "--color is auto, always or never, not '%s'", choice);
    cli->has_color = choice[0] == 'a';
    return 0;
}

/* What was written has arrived; a reader that has gone is no fault to tell of. */
static int flushed(int code)
{
    enum { PIPE_BROKEN = 128 + SIGPIPE };

    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (errno == EPIPE)
        return PIPE_BROKEN;
    return cli_fault(CLI_OUTPUT, "standard output can't be written (%s)",
                     errno == 0 ? "it failed before" : strerror(errno));
}

static int with_daemon(struct cli *cli, const struct command *command)
{
    struct settings settings;
    struct error error;

    int r = settings_init(&settings, cli->arguments, &error);
    if (r < 0)
        return cli_fault(r == -ENOMEM ? CLI_INTERNAL : CLI_USAGE, "%s", error.text);
    int code = CLI_INTERNAL;
    if (http_new(&settings, &cli->http) < 0)
        (void)cli_no_memory();
    else
        code = command->fn(cli);
    http_free(cli->http);
    settings_fini(&settings);
    return code;
}

static int print_version(void)
{
    printf("runnel %s (libcurl %s)\n", rn_version(), curl_version_info(CURLVERSION_NOW)->version);
    return 0;
}

static int dispatch(struct cli *cli, const struct command *command)
{
    size_t count = cli->arguments->word_count;

    if (arguments_has(cli->arguments, "help")) {
        command_print_help(cli, command);
        return 0;
    }
    if (arguments_has(cli->arguments, "version"))
        return print_version();
    int code = set_color(cli);
    if (code != 0)
        return code;
    cli->is_json = arguments_has(cli->arguments, "json");
    if (count < command->least)
        return cli_usage(cli, "%s needs %s", command->name, command->words);
    if (count > command->most)
        return cli_usage(cli, "%s does not take '%s'", command->name,
                         cli->arguments->words[command->most]);
    return command->is_local ? command->fn(cli) : with_daemon(cli, command);
}

static int without_command(struct cli *cli)
{
    if (arguments_has(cli->arguments, "help")) {
        commands_print_help(cli, stdout);
        return 0;
    }
    if (arguments_has(cli->arguments, "version"))
        return print_version();
    commands_print_help(cli, stderr);
    return CLI_USAGE;
}

static int run(struct cli *cli, struct arguments *arguments, int argc, char **argv)
{
    struct error error;
    int used = arguments_parse(arguments, argc, argv, true, &error);

    if (used < 0)
        return cli_usage(cli, "%s", error.text);
    if (used == argc)
        return without_command(cli);
    const char *name = argv[used];
    const struct command *command = command_find(name);
    if (command == NULL)
        return command_unknown(name);
    cli->command_name = command->name;
    arguments->own = command->options;
    if (arguments_parse(arguments, argc - used - 1, argv + used + 1, false, &error) < 0)
        return cli_usage(cli, "%s", error.text);
    return dispatch(cli, command);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.common = common_options};
    struct cli cli = {.arguments = &arguments, .now_ms = rn_wall_ms()};

    // A locale that is not UTF-8 knows no widths of characters.
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1)
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return cli_no_memory();
    cli.is_terminal = isatty(STDOUT_FILENO) == 1;
    cli.width = cli.is_terminal ? terminal_width() : 0;
    int code = flushed(run(&cli, &arguments, argc > 0 ? argc - 1 : 0, argv + 1));
    curl_global_cleanup();
    return code;
}
