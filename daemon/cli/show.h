/** \file How a task looks. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/cli.h"
#include "cli/table.h"

enum table_color show_state_color(const char *state);
/** What is to be said of a task in a list: why it failed, what it waits for. */
void show_note(const struct cli *cli, const json_t *task, char *note, size_t size);
/** A task of a list as JSON, a line. */
int show_json_line(const struct cli *cli, const json_t *task) RN_MUST_CHECK;

#endif
