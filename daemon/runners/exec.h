/** \file The runner of commands: argv, environment and directory from the kind and the task, and
 * the outcome from how it ended. */
#ifndef RUNNERS_EXEC_H
#define RUNNERS_EXEC_H

#include "runners/runner.h"

/** As runner_run, for CONFIG_RUNS_COMMAND. args: parsed and checked; NULL: the command has no
 * placeholder. ret_outcome is zeroed. */
void exec_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
              struct outcome *ret_outcome);

#endif
