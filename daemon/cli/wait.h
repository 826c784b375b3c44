/** \file Waiting for a task's end, over restarts of the daemon. */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "cli/cli.h"

/**
 * Waits until the task has finished.
 *
 * @param length  at most so long; RN_NEVER: without a limit
 * @return 0 with the task as the reply; CLI_TIME_OVER, CLI_INTERRUPTED (neither told) or another
 *         code (told), without a reply
 *
 * **Blocking:** until the task's end, the limit, interrupt_seen(), or until the daemon has been
 * away for --retry-for.
 */
int wait_for_end(const struct cli *cli, uint64_t id, rn_duration length,
                 struct http_reply *ret_reply) RN_MUST_CHECK;

/** --retry-for, or its default. 0; else told. */
int wait_retry_for(const struct cli *cli, rn_duration *ret_length) RN_MUST_CHECK;

bool wait_is_final(const char *state);
/** What a task's end, or its state, means for the exit code: 0 or CLI_FAILED. */
int wait_code(const json_t *task);
/** "exit: exit status 1" of a failed or cancelled one, as cli_fault tells it. */
void wait_tell_failure(const json_t *task);

#endif
