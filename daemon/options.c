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
        "usage: runneld [-c FILE] [-o name=value]... [-t | -T | --check-store | --compact]\n"
        "\n"
        "  -c FILE         the configuration (" DEFAULT_CONFIG ")\n"
        "  -o name=value   overrides one top-level setting: -o listen=127.0.0.1:9000\n"
        "  -t              checks the configuration, lists every fault with file and line, and "
        "ends\n"
        "  -T              prints all settings in force, defaults too, and ends\n"
        "  --check-store   looks for faults in the store of a daemon that does not run; exit 65 if "
        "there are any\n"
        "  --compact       gives the disk space back that is free in it\n"
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
        {"config", required_argument, NULL, 'c'}, {"version", no_argument, NULL, 'V'},
        {"check-store", no_argument, NULL, 'S'},  {"compact", no_argument, NULL, 'C'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    struct options options = {.mode = OPTIONS_RUN, .config = DEFAULT_CONFIG};

    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":c:o:tTh", long_options, NULL);
        if (option == -1)
            break;
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
    *ret_options = options;
    return true;
}
