/* A new token and its line of token_file. What the line says is checked by what reads the file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <nettle/base16.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>

#include "config/tokens.h"

enum { RANDOM_BYTES = 32, TEXT_LENGTH = 43, HASH_DIGITS = 2 * CONFIG_TOKEN_HASH_BYTES };
static const char prefix[] = "rn_"; // so that it is known where it turns up
_Static_assert(sizeof(prefix) + TEXT_LENGTH == CONFIG_TOKEN_BYTES, "the text without its padding");

/* The kernel's random bytes; a signal may cut a call short. */
static int fill(unsigned char *bytes, size_t count)
{
    for (size_t used = 0; used < count;) {
        ssize_t n = getrandom(bytes + used, count - used, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            used += (size_t)n;
    }
    return 0;
}

static int make_text(char ret_token[CONFIG_TOKEN_BYTES])
{
    unsigned char bytes[RANDOM_BYTES];
    struct base64_encode_ctx context;
    char text[BASE64_ENCODE_LENGTH(RANDOM_BYTES) + BASE64_ENCODE_FINAL_LENGTH];

    int r = fill(bytes, sizeof(bytes));
    if (r < 0)
        return r;
    base64url_encode_init(&context);
    size_t length = base64_encode_update(&context, text, sizeof(bytes), bytes);
    (void)base64_encode_final(&context, text + length); // with the last character's padding
    memcpy(ret_token, prefix, sizeof(prefix) - 1);
    memcpy(ret_token + sizeof(prefix) - 1, text, TEXT_LENGTH);
    ret_token[CONFIG_TOKEN_BYTES - 1] = '\0';
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(text, sizeof(text));
    return 0;
}

static void hash_digits(const char *token, char ret_digits[HASH_DIGITS + 1])
{
    struct sha256_ctx context;
    uint8_t hash[CONFIG_TOKEN_HASH_BYTES];

    sha256_init(&context);
    sha256_update(&context, strlen(token), (const uint8_t *)token);
    sha256_digest(&context, sizeof(hash), hash);
    base16_encode_update(ret_digits, sizeof(hash), hash);
    ret_digits[HASH_DIGITS] = '\0';
}

/* false: it is too long. */
static bool make_line(const struct config_new_token *wanted, const char *digits,
                      char line[CONFIG_TOKEN_LINE_BYTES])
{
    const struct {
        const char *name, *value;
    } parts[] = {{"scope", wanted->scope},
                 {"queue", wanted->queue},
                 {"kind", wanted->kind},
                 {"rate", wanted->rate},
                 {"burst", wanted->burst}};
    size_t used =
        (size_t)snprintf(line, CONFIG_TOKEN_LINE_BYTES, "%s sha256:%s", wanted->name, digits);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].value != NULL && used < CONFIG_TOKEN_LINE_BYTES)
            used += (size_t)snprintf(line + used, CONFIG_TOKEN_LINE_BYTES - used, " %s=%s",
                                     parts[i].name, parts[i].value);
    }
    return used < CONFIG_TOKEN_LINE_BYTES;
}

/* Blanks, and # at a word's start, would make other words of it. */
static bool has_blank(const struct config_new_token *wanted)
{
    const char *const texts[] = {wanted->name, wanted->scope, wanted->queue,
                                 wanted->kind, wanted->rate,  wanted->burst};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i] != NULL && strpbrk(texts[i], " \t\r\n#") != NULL)
            return true;
    return false;
}

int config_token_new(const struct config_new_token *wanted, char ret_token[CONFIG_TOKEN_BYTES],
                     char ret_line[CONFIG_TOKEN_LINE_BYTES], struct error *reterr)
{
    char digits[HASH_DIGITS + 1];
    char copy[CONFIG_TOKEN_LINE_BYTES];
    struct config_token token;

    RN_ASSERT(wanted != NULL);
    RN_ASSERT(wanted->name != NULL);
    if (has_blank(wanted))
        return error_set(reterr, -EINVAL, "names and values have no blanks and no # in them");
    int r = make_text(ret_token);
    if (r < 0)
        return error_set(reterr, r, "there are no random bytes: %s", rn_strerror(r));
    hash_digits(ret_token, digits);
    if (!make_line(wanted, digits, ret_line))
        return error_set(reterr, -EINVAL, "the line is too long");
    memcpy(copy, ret_line, sizeof(copy));
    r = token_parse(copy, &token, reterr);
    if (r == -ENOMEM)
        return error_set(reterr, r, "there is no memory for it");
    if (r <= 0)
        return r == 0 ? error_set(reterr, -EINVAL, "the token needs a name") : r;
    token_fini(&token);
    return 0;
}
