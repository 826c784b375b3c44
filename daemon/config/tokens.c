/* The file of tokens: a line each,
 *
 *     NAME sha256:HEX scope=submit,read [queue=a,b] [kind=x,y] [rate=10/s] [burst=20]
 *
 * Blank lines and what stands behind a word that begins with # are comments. The tokens themselves
 * are not in it, only their SHA-256: who reads the file cannot use it. Nothing of a line that is
 * wrong is repeated in messages but its name, lest a token that stands there by mistake gets into
 * the log. */
#include "config/tokens.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/base16.h>
#include <runnel/limiter.h>

#include "config/internal.h"

enum {
    TOKEN_FILE_BYTES_MAX = 1 << 20,
    HASH_DIGITS = 2 * CONFIG_TOKEN_HASH_BYTES,
};
static const char hash_prefix[] = "sha256:";
static const char blanks[] = " \t\r";

static const struct secret_rule file_rule = {
    .mode = S_IRWXG | S_IRWXO,
    .mode_text = "others than its owner can read or write it (chmod go= helps)",
    .bytes_max = TOKEN_FILE_BYTES_MAX,
    .size_text = "it has more than 1 MiB",
};

static const struct {
    const char *name;
    unsigned bit;
} scopes[] = {{"read", CONFIG_SCOPE_READ},
              {"submit", CONFIG_SCOPE_SUBMIT},
              {"work", CONFIG_SCOPE_WORK},
              {"admin", CONFIG_SCOPE_ADMIN}};

/* ---- the words of a line ---- */

/* The next one, ended with a NUL; NULL: there is none. */
static char *next_word(char **line)
{
    char *word = *line + strspn(*line, blanks);
    size_t length = strcspn(word, blanks);

    if (length == 0 || word[0] == '#')
        return NULL;
    *line = word + length;
    if (word[length] != '\0') {
        word[length] = '\0';
        (*line)++;
    }
    return word;
}

/* The next part of a list with commas; NULL: there is none. */
static char *next_part(char **list)
{
    char *part = *list;

    if (part == NULL)
        return NULL;
    *list = strchr(part, ',');
    if (*list != NULL)
        *(*list)++ = '\0';
    return part;
}

static int take_hash(struct config_token *token, const char *word, struct error *reterr)
{
    struct base16_decode_ctx context;
    size_t bytes = sizeof(token->hash);
    bool has_prefix = word != NULL && strncmp(word, hash_prefix, sizeof(hash_prefix) - 1) == 0;
    const char *digits = has_prefix ? word + sizeof(hash_prefix) - 1 : "";

    if (word != NULL && strncmp(word, "rn_", 3) == 0)
        return error_set(reterr, -EINVAL,
                         "the token itself stands here: take it out, and make a new one with "
                         "runneld --new-token, which prints the line that belongs here");
    if (strlen(digits) != HASH_DIGITS || strspn(digits, "0123456789abcdefABCDEF") != HASH_DIGITS)
        return error_set(reterr, -EINVAL,
                         "behind the name must stand sha256: and 64 hexadecimal digits");
    base16_decode_init(&context);
    (void)base16_decode_update(&context, &bytes, token->hash, HASH_DIGITS, digits); // all digits
    return 0;
}

static int take_scopes(struct config_token *token, char *list, struct error *reterr)
{
    for (char *part = next_part(&list); part != NULL; part = next_part(&list)) {
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
            if (strcmp(scopes[i].name, part) == 0)
                bit = scopes[i].bit;
        if (bit == 0)
            return error_set(reterr, -EINVAL,
                             "scope must be some of read, submit, work and admin, with commas "
                             "between them");
        token->scopes |= bit;
    }
    return 0;
}

/* Keeps a copy of the list in *to, and names into it. */
static int take_names(const char *what, const char *list, char **to, const char **names,
                      size_t *count, struct error *reterr)
{
    *to = strdup(list);
    if (*to == NULL)
        return -ENOMEM;
    char *rest = *to;
    for (char *part = next_part(&rest); part != NULL; part = next_part(&rest)) {
        if (!config_name_valid(part))
            return error_set(reterr, -EINVAL,
                             "%s must be names, with commas and no blanks between them", what);
        if (*count == CONFIG_TOKEN_NAMES_MAX)
            return error_set(reterr, -EINVAL, "%s has more than %d names", what,
                             CONFIG_TOKEN_NAMES_MAX);
        names[(*count)++] = part;
    }
    return 0;
}

static int take_rate(struct config_token *token, const char *text, struct error *reterr)
{
    if (strlen(text) >= sizeof(token->rate.text) || units_rate(text, &token->rate.per_s) < 0)
        return error_set(reterr, -EINVAL,
                         "rate must be a number of requests such as 10/s, 90/m or 2.5/h, above 0, "
                         "at most 1000000/s");
    memcpy(token->rate.text, text, strlen(text) + 1);
    return 0;
}

static int take_burst(struct config_token *token, const char *text, struct error *reterr)
{
    uint64_t burst = 0;

    if (units_unsigned(text, CONFIG_BURST_MAX, &burst) < 0 || burst == 0)
        return error_set(reterr, -EINVAL, "burst must be a whole number from 1 to %d",
                         CONFIG_BURST_MAX);
    token->burst = (unsigned)burst;
    return 0;
}

/* ---- a line ---- */

enum attribute { SCOPE, QUEUE, KIND, RATE, BURST, ATTRIBUTE_COUNT };
static const char *const attribute_names[ATTRIBUTE_COUNT + 1] = {"scope", "queue", "kind",
                                                                 "rate",  "burst", NULL};

static int take_value(struct config_token *token, enum attribute attribute, char *value,
                      struct error *reterr)
{
    switch (attribute) {
    case SCOPE:
        return take_scopes(token, value, reterr);
    case QUEUE:
        return take_names("queue", value, &token->queue_text, token->queues, &token->queue_count,
                          reterr);
    case KIND:
        return take_names("kind", value, &token->kind_text, token->kinds, &token->kind_count,
                          reterr);
    case RATE:
        return take_rate(token, value, reterr);
    default:
        return take_burst(token, value, reterr);
    }
}

static int take_attributes(struct config_token *token, char *line, struct error *reterr)
{
    unsigned seen = 0;

    for (char *word = next_word(&line); word != NULL; word = next_word(&line)) {
        char *value = strchr(word, '=');
        unsigned attribute = 0;
        if (value == NULL)
            return error_set(reterr, -EINVAL,
                             "behind the hash stand scope=, queue=, kind=, rate= and burst=, with "
                             "no blanks inside");
        *value++ = '\0';
        while (attribute < ATTRIBUTE_COUNT && strcmp(attribute_names[attribute], word) != 0)
            attribute++;
        if (attribute == ATTRIBUTE_COUNT) {
            const char *near = nearest_name(word, attribute_names);
            return error_set(reterr, -EINVAL, "there is no such thing as this%s%s%s",
                             near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                             near != NULL ? "=?"
                                          : ": scope=, queue=, kind=, rate= and burst= are all");
        }
        if ((seen & (1U << attribute)) != 0)
            return error_set(reterr, -EINVAL, "%s= stands there twice", attribute_names[attribute]);
        seen |= 1U << attribute;
        int r = take_value(token, (enum attribute)attribute, value, reterr);
        if (r < 0)
            return r;
    }
    if ((seen & (1U << SCOPE)) == 0)
        return error_set(reterr, -EINVAL, "scope= is missing: what the token may do");
    if ((seen & (1U << BURST)) != 0 && (seen & (1U << RATE)) == 0)
        return error_set(reterr, -EINVAL, "burst= goes with rate= only");
    return 0;
}

int token_parse(char *line, struct config_token *ret_token, struct error *reterr)
{
    struct config_token token = {.rate = {.per_s = RN_RATE_INFINITE}};

    for (const char *byte = line; *byte != '\0'; byte++)
        if (((unsigned char)*byte < 0x20 && strchr(blanks, *byte) == NULL) || *byte == 0x7F)
            return error_set(reterr, -EINVAL, "there is a control byte in it");
    const char *name = next_word(&line);
    if (name == NULL)
        return 0;
    if (!config_name_valid(name))
        return error_set(reterr, -EINVAL,
                         "a line begins with the token's name: lower case letters, digits, '_' and "
                         "'-', a letter first, at most %d",
                         CONFIG_NAME_MAX);
    memcpy(token.name, name, strlen(name) + 1);
    int r = take_hash(&token, next_word(&line), reterr);
    if (r == 0)
        r = take_attributes(&token, line, reterr);
    if (r < 0) {
        token_fini(&token);
        return r;
    }
    if (token.burst == 0 && isfinite(token.rate.per_s))
        token.burst = token.rate.per_s > 1 ? (unsigned)ceil(token.rate.per_s) : 1;
    *ret_token = token;
    return 1;
}

void token_fini(struct config_token *token)
{
    free(token->queue_text);
    free(token->kind_text);
}

/* ---- the file ---- */

/* Whether one before it has the same name or hash. */
static bool is_twice(struct loader *loader, const struct config_token *token)
{
    const struct config *config = loader->config;

    for (size_t i = 0; i < config->token_count; i++) {
        const struct config_token *before = &config->tokens[i];
        bool same_name = strcmp(before->name, token->name) == 0;
        if (!same_name && memcmp(before->hash, token->hash, sizeof(token->hash)) != 0)
            continue;
        fault_add(loader, config->token_file, token->line,
                  same_name ? "the name %s stands in line %u already"
                            : "token %s has the hash of line %u",
                  token->name, before->line);
        return true;
    }
    return false;
}

/* Names that the configuration doesn't have may be meant for a later one, or be written wrong. */
static void warn_of_names(struct loader *loader, const struct config_token *token)
{
    const struct config *config = loader->config;

    for (size_t i = 0; i < token->queue_count; i++)
        if (config_queue_find(config, token->queues[i]) == NULL)
            warning_add(loader, config->token_file, token->line,
                        "token %s is for the queue %s, which the configuration does not have",
                        token->name, token->queues[i]);
    for (size_t i = 0; i < token->kind_count && config->kinds_by_name != NULL; i++)
        if (config_kind_find(config, token->kinds[i]) == NULL)
            warning_add(loader, config->token_file, token->line,
                        "token %s is for the kind %s, which the configuration does not have",
                        token->name, token->kinds[i]);
}

static void take_line(struct loader *loader, char *line, unsigned number)
{
    struct config *config = loader->config;
    struct config_token token = {.line = 0};
    struct error error = {.code = 0};

    int r = token_parse(line, &token, &error);
    if (r == -ENOMEM)
        loader->no_memory = true;
    else if (r < 0)
        fault_add(loader, config->token_file, number, "%s", error.text);
    if (r <= 0)
        return;
    token.line = number;
    if (is_twice(loader, &token)) {
        token_fini(&token);
        return;
    }
    warn_of_names(loader, &token);
    config->tokens[config->token_count++] = token;
}

static void take_lines(struct loader *loader, char *text)
{
    struct config *config = loader->config;
    size_t count = 0;

    for (const char *byte = text; *byte != '\0'; byte++)
        count += *byte == '\n' || byte[1] == '\0';
    if (count > CONFIG_TOKENS_MAX) {
        fault_add(loader, config->token_file, CONFIG_TOKENS_MAX + 1, "there are more than %d lines",
                  CONFIG_TOKENS_MAX);
        return;
    }
    config->tokens = loader_calloc(loader, count, sizeof(*config->tokens));
    unsigned number = 1;
    for (char *line = text; line != NULL && config->tokens != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        take_line(loader, line, number);
        line = end;
    }
    if (config->token_count == 0)
        warning_add(loader, config->token_file, 0, "there is no token in it: nobody has access");
}

void tokens_load(struct loader *loader)
{
    const struct config *config = loader->config;

    if (config->token_file == NULL)
        return;
    char *text = loader_calloc(loader, TOKEN_FILE_BYTES_MAX + 1, 1);
    if (text == NULL)
        return;
    const char *fault = secret_read(config->token_file, &file_rule, text);
    if (fault != NULL)
        fault_add(loader, config->token_file, 0, "%s", fault);
    else
        take_lines(loader, text);
    free(text);
}

void tokens_fini(struct config *config)
{
    for (size_t i = 0; i < config->token_count; i++)
        token_fini(&config->tokens[i]);
    free(config->tokens);
}

/* ---- what a token is for ---- */

static bool has(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

bool config_token_has_queue(const struct config_token *token, const char *queue)
{
    RN_ASSERT(queue != NULL);
    return token == NULL || has(token->queues, token->queue_count, queue);
}

bool config_token_has_kind(const struct config_token *token, const char *kind)
{
    RN_ASSERT(kind != NULL);
    return token == NULL || has(token->kinds, token->kind_count, kind);
}
