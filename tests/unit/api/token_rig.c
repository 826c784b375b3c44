/* The rig with tokens. */
#include "unit.h"

#include "token_rig.h"

#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>
#include <runnel/limiter.h>

struct config_token tokens[TOKENS_MAX];
size_t token_count;

struct config_token *add_token(const char *name, unsigned scopes)
{
    struct config_token *token = &tokens[token_count++];
    struct sha256_ctx context;

    assert_true(token_count <= TOKENS_MAX);
    *token = (struct config_token){.scopes = scopes, .rate = {.per_s = RN_RATE_INFINITE}};
    (void)snprintf(token->name, sizeof(token->name), "%s", name);
    sha256_init(&context);
    sha256_update(&context, strlen(name), (const uint8_t *)name);
    sha256_digest(&context, sizeof(token->hash), token->hash);
    return token;
}

int tokens_setup(void **state)
{
    static char path[] = "/tokens";
    int r = rig_setup_stopped(state);
    if (r < 0)
        return r;
    struct rig *rig = *state;
    struct config *config = fake_config(rig->engine);

    token_count = 0;
    (void)add_token("read", CONFIG_SCOPE_READ);
    (void)add_token("submit", CONFIG_SCOPE_SUBMIT);
    (void)add_token("work", CONFIG_SCOPE_WORK);
    (void)add_token("admin", CONFIG_SCOPE_ADMIN);
    struct config_token *mail = add_token("mail", CONFIG_SCOPE_ADMIN);
    mail->queues[mail->queue_count++] = "mail";
    struct config_token *echo = add_token("echo", CONFIG_SCOPE_ADMIN);
    echo->kinds[echo->kind_count++] = "echo";
    struct config_token *slow = add_token("slow", CONFIG_SCOPE_READ);
    slow->rate.per_s = 1.0 / 3600;
    slow->burst = 2;
    config->token_file = path;
    config->tokens = tokens;
    config->token_count = token_count;
    rig_start(rig);
    return 0;
}

const char *bearer(const char *token)
{
    static char text[200];

    (void)snprintf(text, sizeof(text), "Authorization: Bearer %s\r\n" JSON, token);
    return text;
}

void expect_status(struct reply reply, int status)
{
    if (reply.status != status)
        fail_msg("expected %d, got %d: %s", status, reply.status, reply.body);
    reply_fini(&reply);
}
