/** \file A line of token_file. */
#ifndef CONFIG_TOKENS_H
#define CONFIG_TOKENS_H

#include "config/config.h"

/**
 * Reads a line, which is cut into its words.
 *
 * @return 1: it has a token; 0: it is blank, or a comment
 *
 * **Ownership:** ret_token is new, freed with token_fini. **Errors:** -EINVAL: reterr says what is
 * wrong with it; -ENOMEM.
 */
int token_parse(char *line, struct config_token *ret_token, struct error *reterr) RN_MUST_CHECK;
void token_fini(struct config_token *token);

#endif
