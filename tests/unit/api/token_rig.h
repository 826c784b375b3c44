/** \file The rig with tokens: a token's text is its name. */
#ifndef TESTS_TOKEN_RIG_H
#define TESTS_TOKEN_RIG_H

#include "client.h"

#define JSON "Content-Type: application/json\r\n"
#define ECHO "{\"kind\":\"echo\"}"                           // goes into default
#define COPY "{\"kind\":\"copy\",\"args\":{\"path\":\"a\"}}" // goes into mail

enum { TOKENS_MAX = 16 };
/** Those of the server that tokens_setup has started, or a test's own. */
extern struct config_token tokens[TOKENS_MAX];
extern size_t token_count;

/** Adds one to them, without bounds. */
struct config_token *add_token(const char *name, unsigned scopes);

/** cmocka's setup: a server with a token of each scope (read, submit, work, admin), two of admin
 * that are limited to the queue mail and the kind echo and called like them, and `slow`, which may
 * read twice an hour. */
int tokens_setup(void **state);
#define WITH_TOKENS(test) cmocka_unit_test_setup_teardown(test, tokens_setup, rig_teardown)

/** The header lines of a request with the token and JSON; borrowed until the next call. */
const char *bearer(const char *token);

/** Frees the reply. */
void expect_status(struct reply reply, int status);

#endif
