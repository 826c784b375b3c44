/* The command line of runneld. */
#include "options.h"

#include <getopt.h>
#include <microhttpd.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include <runnel/runnel.h>

#define DEFAULT_CONFIG "/etc/runnel/runneld.conf"

void options_print_help(void)
{
    puts(
        "runneld: runs background tasks that are submitted over HTTP\n"
        "\n"
        "usage: runneld [-c FILE] [-o name=value]... [-t | -T | --check-store | --compact |\n"
        "               --export FILE | --import FILE]\n"
        "       runneld --new-token NAME --scope SCOPES [--queue NAMES] [--kind NAMES] "
        "[--rate RATE] [--burst N]\n"
        "\n"
        "  -c, --config FILE\n"
        "                  the configuration (" DEFAULT_CONFIG ")\n"
        "  -o name=value   overrides one top-level setting: -o listen=127.0.0.1:9000\n"
        "  -t              checks the configuration, lists every fault with file and line, and "
        "ends\n"
        "  -T              prints all settings in force, defaults too, and ends\n"
        "  --check-store   looks for faults in the store of a daemon that does not run; exit 65 if "
        "there are any\n"
        "  --compact       gives the disk space back that is free in it\n"
        "  --export FILE   writes all of it as lines of JSON into a new file (-: standard output)\n"
        "  --import FILE   makes it of such lines (-: standard input), where nothing is stored "
        "yet\n"
        "      --new-token NAME\n"
        "                  makes an access token and ends: the first line of the output is the "
        "token, for the client,\n"
        "                  the second one belongs into the file that the setting token_file "
        "names\n"
        "      --scope     what it may do: some of read, submit, work, admin, with commas\n"
        "      --queue, --kind\n"
        "                  the only ones that it may have to do with; without them all\n"
        "      --rate, --burst\n"
        "                  how many requests it may send (10/s, 90/m, 2.5/h), and how many at "
        "once\n"
        "      --version   prints the versions and ends\n"
        "  -h, --help      prints this and ends\n"
        "\n"
        "signals: SIGTERM, SIGINT drain and end (a second one cancels what still runs);\n"
        "         SIGHUP loads the configuration again: all of it, or nothing if it has a fault\n"
        "exit: 0 stopped in order, 64 usage, 65 the store is corrupt or newer, 70 internal,\n"
        "      71 the system refuses, 73 another daemon has the store, 74 disk error, 78 "
        "configuration\n"
        "\n"
        "example: runneld -c runneld.conf, then: curl --json '{\"kind\": \"echo\", \"args\": 1}' "
        "'http://127.0.0.1:7733/v1/tasks?wait=5s'");
}

void options_print_version(void)
{
    printf("runneld %s (SQLite %s, libmicrohttpd %s)\n", rn_version(), sqlite3_libversion(),
           MHD_get_version());
}

static bool usage_fault(const char *what, const char *value)
{
    fprintf(stderr, "runneld: %s%s%s; see runneld --help\n", what, value == NULL ? "" : ": ",
            value == NULL ? "" : value);
    return false;
}

/* The token's texts go by the letters of the long options. false: the option is none of them. */
static bool take_token(struct options *options, int option)
{
    struct config_new_token *token = &options->token;
    const struct {
        int option;
        const char **to;
    } texts[] = {{'N', &token->name}, {'s', &token->scope}, {'Q', &token->queue},
                 {'K', &token->kind}, {'R', &token->rate},  {'B', &token->burst}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].option != option)
            continue;
        *texts[i].to = optarg;
        if (option == 'N')
            options->mode = OPTIONS_NEW_TOKEN;
        return true;
    }
    return false;
}

/* The file goes with its mode. false: the option is none of them. */
static bool take_exchange(struct options *options, int option)
{
    if (option != 'E' && option != 'I')
        return false;
    options->mode = option == 'E' ? OPTIONS_EXPORT : OPTIONS_IMPORT;
    options->file = optarg;
    return true;
}

static bool token_is_whole(const struct options *options)
{
    const struct config_new_token *token = &options->token;
    bool has_parts = token->scope != NULL || token->queue != NULL || token->kind != NULL ||
                     token->rate != NULL || token->burst != NULL;

    if (token->name == NULL && has_parts)
        return usage_fault("--scope, --queue, --kind, --rate and --burst go with --new-token",
                           NULL);
    if (token->name != NULL && token->scope == NULL)
        return usage_fault("--new-token needs --scope: read, submit, work or admin, or some of "
                           "them with commas",
                           NULL);
    return true;
}

static bool add_override(struct options *options, const char *override)
{
    size_t count = 0;
    while (options->overrides[count] != NULL)
        count++;
    if (strchr(override, '=') == NULL)
        return usage_fault("-o needs name=value", override);
    if (count == OPTIONS_OVERRIDES_MAX)
        return usage_fault("too many -o", NULL);
    options->overrides[count] = override;
    return true;
}

bool options_parse(int argc, char **argv, struct options *ret_options)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'}, {"new-token", required_argument, NULL, 'N'},
        {"scope", required_argument, NULL, 's'},  {"queue", required_argument, NULL, 'Q'},
        {"kind", required_argument, NULL, 'K'},   {"rate", required_argument, NULL, 'R'},
        {"burst", required_argument, NULL, 'B'},  {"version", no_argument, NULL, 'V'},
        {"check-store", no_argument, NULL, 'S'},  {"compact", no_argument, NULL, 'C'},
        {"export", required_argument, NULL, 'E'}, {"import", required_argument, NULL, 'I'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    struct options options = {.mode = OPTIONS_RUN, .config = DEFAULT_CONFIG};

    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":c:o:tTh", long_options, NULL);
        if (option == -1)
            break;
        if (take_token(&options, option) || take_exchange(&options, option))
            continue;
        if (option == 'c')
            options.config = optarg;
        else if (option == 'o' && !add_override(&options, optarg))
            return false;
        else if (option == 't')
            options.mode = OPTIONS_CHECK;
        else if (option == 'T')
            options.mode = OPTIONS_PRINT;
        else if (option == 'S')
            options.mode = OPTIONS_CHECK_STORE;
        else if (option == 'C')
            options.mode = OPTIONS_COMPACT;
        else if (option == 'V')
            options.mode = OPTIONS_VERSION;
        else if (option == 'h')
            options.mode = OPTIONS_HELP;
        else if (option == ':')
            return usage_fault("an option needs a value", argv[optind - 1]);
        else if (option == '?')
            return usage_fault("there is no such option", argv[optind - 1]);
    }
    if (optind < argc)
        return usage_fault("takes no arguments", argv[optind]);
    if (!token_is_whole(&options))
        return false;
    *ret_options = options;
    return true;
}
