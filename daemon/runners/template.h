/** \file
 * Placeholders: what of a task's args goes where in a command. What a placeholder is,
 * config_placeholder() says. The program's path, the first element, has none.
 */
#ifndef RUNNERS_TEMPLATE_H
#define RUNNERS_TEMPLATE_H

#include "runners/args.h"

/** Whether the command or its stdin has a placeholder: else args need not be parsed. */
bool template_needs_args(const struct config_kind *kind);

/** Adds to list what keeps args from fitting into the command. */
void template_check(const struct config_kind *kind, const struct args *args,
                    struct args_faults *list);

/**
 * The command's argv with args in it.
 *
 * @param args      checked by template_check
 * @param ret_argv  NULL-terminated; freed by template_argv_free
 *
 * **Errors:** -ENOMEM.
 */
int template_argv(const struct config_kind *kind, const struct args *args, char ***ret_argv)
    RN_MUST_CHECK;
void template_argv_free(char **argv);

#endif
