/** \file The body of a submit, from the command line. */
#ifndef CLI_BODY_H
#define CLI_BODY_H

#include "cli/cli.h"

/** 0 with the JSON of the task, a new text; else told. **Blocking:** while the args are read from
 * standard input. */
int body_task(const struct cli *cli, char **ret_body) RN_MUST_CHECK;

#endif
