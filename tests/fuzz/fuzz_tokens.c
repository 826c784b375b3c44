/* A line of the file of tokens: what is taken is written as a line that is taken as the same. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/tokens.h"
#include "fuzz.h"

static void put_names(FILE *line, const char *what, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)fprintf(line, "%s%s", i == 0 ? what : ",", names[i]);
}

static char *line_of(const struct config_token *token)
{
    static const char *const scopes[] = {"read", "submit", "work", "admin"};
    char *text = NULL;
    size_t length = 0;
    bool is_first = true;

    FILE *line = open_memstream(&text, &length);
    HOLDS(line != NULL);
    (void)fprintf(line, "%s sha256:", token->name);
    for (size_t i = 0; i < CONFIG_TOKEN_HASH_BYTES; i++)
        (void)fprintf(line, "%02x", token->hash[i]);
    (void)fputs(" scope=", line);
    for (unsigned i = 0; i < 4; i++) {
        if ((token->scopes & (1U << i)) == 0)
            continue;
        (void)fprintf(line, "%s%s", is_first ? "" : ",", scopes[i]);
        is_first = false;
    }
    put_names(line, " queue=", token->queues, token->queue_count);
    put_names(line, " kind=", token->kinds, token->kind_count);
    if (isfinite(token->rate.per_s))
        (void)fprintf(line, " rate=%s burst=%u", token->rate.text, token->burst);
    HOLDS(fclose(line) == 0);
    return text;
}

static void expect_same_names(const char *const *a, size_t a_count, const char *const *b,
                              size_t b_count)
{
    HOLDS(a_count == b_count && a_count <= CONFIG_TOKEN_NAMES_MAX);
    for (size_t i = 0; i < a_count; i++)
        HOLDS(strcmp(a[i], b[i]) == 0 && config_name_valid(a[i]));
}

static void comes_back(const struct config_token *token)
{
    struct config_token again = {.line = 0};
    struct error error;
    char *line = line_of(token);

    HOLDS(token_parse(line, &again, &error) == 1);
    HOLDS(strcmp(token->name, again.name) == 0);
    HOLDS(memcmp(token->hash, again.hash, sizeof(again.hash)) == 0);
    HOLDS(token->scopes == again.scopes && token->scopes != 0 && token->scopes < 16);
    HOLDS(token->burst == again.burst);
    HOLDS(strcmp(token->rate.text, again.rate.text) == 0);
    expect_same_names(token->queues, token->queue_count, again.queues, again.queue_count);
    expect_same_names(token->kinds, token->kind_count, again.kinds, again.kind_count);
    token_fini(&again);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_token token = {.line = 0};
    struct error error = {.code = 0};
    char *line = fuzz_copy(data, size);

    int r = token_parse(line, &token, &error);
    HOLDS(r == 1 || r == 0 || (r == -EINVAL && error.text[0] != '\0'));
    if (r == 1) {
        comes_back(&token);
        token_fini(&token);
    }
    free(line);
    return 0;
}
