/** \file The command line of runneld. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>

#include "config/config.h"

enum { OPTIONS_OVERRIDES_MAX = 64 };

enum options_mode {
    OPTIONS_RUN,
    OPTIONS_CHECK,
    OPTIONS_PRINT,
    OPTIONS_NEW_TOKEN,
    OPTIONS_VERSION,
    OPTIONS_HELP,
    OPTIONS_CHECK_STORE,
    OPTIONS_COMPACT,
    OPTIONS_EXPORT,
    OPTIONS_IMPORT,
};

struct options {
    enum options_mode mode;
    const char *config;                               // -c
    const char *overrides[OPTIONS_OVERRIDES_MAX + 1]; // -o, NULL-terminated
    const char *file;                                 // of --export and --import; "-"
    struct config_new_token token;                    // --new-token and what goes with it
};

/** Parses argv. false: a fault, which has been told on standard error (exit 64). */
bool options_parse(int argc, char **argv, struct options *ret_options);
void options_print_help(void);
void options_print_version(void);

#endif
