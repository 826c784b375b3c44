/** \file Which tasks: the filter of the command line, for a list page by page and for an action. */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include "cli/cli.h"

/** The states that a task can be in, NULL at the end. */
extern const char *const list_states[];

/** Whether the command line has a filter at all. */
bool list_has_filter(const struct cli *cli);

/**
 * The filter as an action's JSON has it.
 *
 * @param states  where no --state was given: names with commas between them
 * @return 0 with a new object; else a code, told
 */
int list_filter(const struct cli *cli, const char *states, json_t **ret_filter) RN_MUST_CHECK;

/** Called with each task, newest first; a return above 0 ends the list with that code. */
typedef int list_fn(const struct cli *cli, const json_t *task, void *arg);

/**
 * Goes through the tasks of the command line's filter.
 *
 * @param limit   at most so many
 * @param ret_more  whether there may be more behind them; may be NULL
 * @return 0, or a code (told, or task_fn's)
 */
struct list_calls {
    int64_t limit;
    list_fn *task_fn;
    void *arg;
};
int list_tasks(const struct cli *cli, const struct list_calls *calls, bool *ret_more) RN_MUST_CHECK;

#endif
