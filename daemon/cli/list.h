/** \file Tasks by a filter, page by page: what ls shows and what cancel, retry and rm act on. */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include "cli/cli.h"

/** Whether the command line has a filter at all. */
bool list_has_filter(const struct cli *cli);

/** Called with each task, newest first; a return above 0 ends the list with that code. */
typedef int list_fn(const struct cli *cli, const json_t *task, void *arg);

/**
 * Goes through the tasks of the command line's filter.
 *
 * @param states  where no --state was given; NULL: all
 * @param limit   at most so many
 * @param page_fn called before the tasks of each page with the answer as it came; may be NULL
 * @param ret_more  whether there may be more behind them; may be NULL
 * @return 0, or a code (told, or task_fn's)
 */
struct list_calls {
    const char *states;
    int64_t limit;
    int (*page_fn)(const struct cli *cli, const struct http_reply *page, void *arg);
    list_fn *task_fn;
    void *arg;
};
int list_tasks(const struct cli *cli, const struct list_calls *calls, bool *ret_more) RN_MUST_CHECK;

#endif
