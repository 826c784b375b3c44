/** \file
 * The shells' completions of runnel.
 */
#include "harness_cli.h"

#include <stdlib.h>
#include <string.h>

static const char config[] = "queue: { default: { workers = 4 }; slow: { workers = 1 }; };\n"
                             "kind: { echo: { builtin = 'echo' }; fail: { builtin = 'fail' }; "
                             "fine: { builtin = 'noop' }; three: { builtin = 'noop' }; };\n";

/* The tree's folder. */
static const char *source(void)
{
    const char *folder = getenv("RUNNEL_SOURCE");

    if (folder == NULL)
        harness_skip("RUNNEL_SOURCE is not set");
    return folder;
}

static void bash_completes_commands_options_kinds_and_queues(void)
{
    struct daemon *daemon = daemon_started(config);

    const char *line = plain_text(
        "PATH=$(dirname \"$RUNNEL\"):$PATH; . '%s/daemon/cli/completions/runnel.bash'\n"
        "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=${line-$*}; "
        "COMP_POINT=${#COMP_LINE}; _runnel; echo \"${COMPREPLY[*]}\"; }\n"
        "try runnel re; try runnel submit f; try runnel pause s; try runnel ls --queue d\n"
        "try runnel ls --st; try runnel --url \"$RUNNEL_URL\" run th; try runnel ls -s f\n"
        "try runnel ls --queue = s; try runnel help pa\n"
        // A URL comes in pieces; the daemon of the line is asked, not the environment's.
        "url=$RUNNEL_URL; export RUNNEL_URL=http://127.0.0.1:1; IFS=: read -r scheme host port "
        "<<<\"$url\"\n"
        "line=\"runnel --url $url pause s\"\n"
        "try runnel --url \"$scheme\" : \"$host\" : \"$port\" pause s\n"
        "line=\"runnel run --url=$url fi\"; try runnel run --url = \"$scheme\" : fi\n"
        "line=\"runnel ls -u $url -q \"; try runnel ls -u \"$scheme\" -q ''\n"
        "line='runnel --url $(touch made) pause s'; try runnel --url '$(touch made)' pause s\n"
        "unset line; ls made 2>/dev/null\n"
        "cd \"$XDG_CONFIG_HOME\" && touch file-a && mkdir sub; try runnel backup fi; try runnel "
        "import "
        "file; try runnel load s\n",
        source());
    expect_run(runnel_shell(daemon, line), 0,
               "result retry resume\nfail fine\nslow\ndefault\n--state=\nthree\nfailed\nslow\n"
               "pause\nslow\n\ndefault slow\n\nfile-a\nfile-a\nsub\n",
               "");
    daemon_stop(daemon);
}

static void zsh_completes_them_too(void)
{
    static const struct {
        const char *line, *offered;
    } rows[] = {{"runnel re", "result resume retry"},
                {"runnel submit f", "fail fine"},
                {"runnel submit fine ", ""},
                {"runnel --url $RUNNEL_URL run th", "three"},
                {"runnel pause s", "slow"},
                {"runnel -u http://127.0.0.1:1 pause s", ""},
                {"runnel --url=http://127.0.0.1:1 pause s", ""},
                {"runnel pause --url http://127.0.0.1:1 s", ""},
                {"runnel set ", "default slow"},
                {"runnel ls --queue d", "default"},
                {"runnel ls -q s", "slow"},
                {"runnel ls --queue=s", "slow"},
                {"runnel ls --st", "--state="},
                {"runnel ls --state=f", "failed"},
                {"runnel rm -s c", "cancelled"},
                {"runnel rm --kind=e", "echo"},
                {"runnel ls --color=a", "always auto"},
                {"runnel ls --color n", "never"},
                {"runnel help pa", "pause"},
                {"runnel import --dr", "--dry-run"},
                {"runnel load fil", "file-a file-b"},
                {"runnel backup file-a", "file-a"},
                {"runnel export file-b", "file-b"},
                {"runnel import fil", "file-a file-b"},
                {"runnel submit fine --file file-", "file-a file-b"},
                {"runnel ls --token-file=file-b", "file-b"},
                {"runnel ls --limit=", ""}};
    struct daemon *daemon = daemon_started(config);
    char *lines = plain_text(
        "command -v zsh > /dev/null || exit 77; cd \"$XDG_CONFIG_HOME\"; mkdir scratch; "
        "touch file-a file-b; PATH=$(dirname \"$RUNNEL\"):$PATH\n"
        "exec zsh -f '%s/tests/integration/tools/complete.zsh' '%s/daemon/cli/completions' "
        "\"$PWD/scratch\"",
        source(), source());
    char *offered = plain_text("%s", "");

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        lines = plain_text("%s \"%s\"", lines, rows[i].line);
        offered = plain_text("%s%s: %s\n", offered, rows[i].line, rows[i].offered);
    }
    struct run run = runnel_shell(daemon, lines);
    if (run.status == 77)
        harness_skip("zsh is not installed");
    assert_int_equal(run.status, 0);
    const char *at = run.out;
    char *seen = plain_text("%s", "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = strcspn(at, "\n");
        seen = plain_text("%s%s: %.*s\n", seen, rows[i].line, (int)length, at);
        at += length + (at[length] == '\n');
    }
    assert_string_equal(seen, offered);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(bash_completes_commands_options_kinds_and_queues),
             SCENARIO(zsh_completes_them_too))
