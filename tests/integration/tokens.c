/* Tokens and their file. */
#include "tokens.h"

#include <string.h>
#include <sys/stat.h>

struct made_token tokens_make(const char *name, const char *scope, const char *option,
                              const char *value)
{
    const char *argv[] = {daemon_program(), "--new-token", name, "--scope", scope,
                          option,           value,         NULL};
    struct run run = run_program(argv, NULL, 30000);

    if (run.status != 0)
        fail_msg("%s", run.err);
    char *newline = strchr(run.out, '\n');
    assert_non_null(newline);
    *newline = '\0';
    assert_non_null(strstr(run.err, "line 1 is the token"));
    return (struct made_token){.token = run.out, .line = newline + 1};
}

void tokens_write(const struct daemon *daemon, const char *lines)
{
    const char *path = plain_text("%s/tokens", daemon->folder);

    file_write(path, lines);
    assert_int_equal(chmod(path, 0600), 0);
}
