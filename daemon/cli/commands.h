/** \file The table of commands: from it come the dispatch, the help and the completions. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

struct command {
    const char *name;
    const char *words;   // what stands behind it, for the help
    const char *summary; // NULL: hidden
    const char *example;
    const struct option_row *options; // NULL: none of its own
    size_t least, most;               // words
    int (*fn)(struct cli *cli);       // returns the exit code
    bool is_local;                    // needs no daemon
};

/** Ends with a row without a name. */
extern const struct command commands[];
/** Options of every command. */
extern const struct option_row common_options[];

/** NULL: there is none. */
const struct command *command_find(const char *name);
/** Tells that there is none, and which one was probably meant; returns the code. */
int command_unknown(const char *name);

void commands_print_help(const struct cli *cli, FILE *out);
void command_print_help(const struct cli *cli, const struct command *command);

/** Nothing has matched: tells which queues of the filter are none of the daemon's. */
void queues_hint(const struct cli *cli);

/* cmd_submit.c */
int cmd_submit(struct cli *cli);
int cmd_run(struct cli *cli);
/* cmd_load.c */
int cmd_load(struct cli *cli);
int cmd_import(struct cli *cli);
/* cmd_save.c */
int cmd_backup(struct cli *cli);
int cmd_export(struct cli *cli);
/* cmd_list.c */
int cmd_ls(struct cli *cli);
/* cmd_show.c */
int cmd_show(struct cli *cli);
/* cmd_wait.c */
int cmd_wait(struct cli *cli);
int cmd_result(struct cli *cli);
/* cmd_act.c */
int cmd_cancel(struct cli *cli);
int cmd_retry(struct cli *cli);
int cmd_rm(struct cli *cli);
/* cmd_queues.c */
int cmd_queues(struct cli *cli);
int cmd_pause(struct cli *cli);
int cmd_resume(struct cli *cli);
int cmd_set(struct cli *cli);
/* cmd_daemon.c */
int cmd_kinds(struct cli *cli);
int cmd_stats(struct cli *cli);
int cmd_ping(struct cli *cli);
int cmd_version(struct cli *cli);
/* cmd_help.c */
int cmd_help(struct cli *cli);
int cmd_complete(struct cli *cli);
/* top.c */
int cmd_top(struct cli *cli);

#endif
