/** \file Where the daemon is and how one shows oneself to it: options, environment, the user's
 * file, in this order. */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli/args.h"

struct settings {
    char *url;     // "http://…", "https://…" or "unix:/path", no slash at its end
    char *token;   // NULL: none
    char *ca_file; // NULL: the system's
};

/**
 * Gathers them.
 *
 * **Ownership:** the texts are the settings'. **Errors:** -EINVAL, -ENOMEM, or that of a file that
 * can't be read, with a sentence; the settings are empty then.
 */
int settings_init(struct settings *settings, const struct arguments *arguments,
                  struct error *reterr) RN_MUST_CHECK;
void settings_fini(struct settings *settings);

/** Reads a small file whole. **Errors:** that of open or read; -EFBIG above limit bytes; -ENOMEM.
 */
int file_read_all(const char *path, size_t limit, char **ret_text, size_t *ret_length)
    RN_MUST_CHECK;

#endif
