/* What an Idempotency-Key stands for. */
#include "api/key.h"

#include <string.h>

#include <nettle/sha2.h>

static void update(struct sha256_ctx *context, const char *bytes, size_t length)
{
    sha256_update(context, length, (const uint8_t *)bytes);
}

/* Whether a query's part is only about how the answer is given. */
static bool is_about_answer(const char *part, size_t length)
{
    static const char *const names[] = {"wait", "pretty"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t name_length = strlen(names[i]);
        if (length >= name_length && memcmp(part, names[i], name_length) == 0 &&
            (length == name_length || part[name_length] == '='))
            return true;
    }
    return false;
}

void key_hash(const struct request *request, const char *body, size_t length,
              unsigned char ret_hash[KEY_HASH_BYTES])
{
    struct sha256_ctx context;
    const char *type = request->head.content_type != NULL ? request->head.content_type : "";

    sha256_init(&context);
    update(&context, type,
           strlen(type) + 1); // with its NUL, so that what follows can't seem to be part of it
    for (const char *part = request->raw_query; part != NULL && *part != '\0';) {
        size_t part_length = strcspn(part, "&");
        if (!is_about_answer(part, part_length)) {
            update(&context, part, part_length);
            update(&context, "&", 1);
        }
        part += part_length + (part[part_length] == '&');
    }
    update(&context, "", 1);
    if (length > 0)
        update(&context, body, length);
    sha256_digest(&context, KEY_HASH_BYTES, ret_hash);
}

void key_chain(unsigned char hash[KEY_HASH_BYTES], const char *line, size_t length)
{
    struct sha256_ctx context;

    sha256_init(&context);
    sha256_update(&context, KEY_HASH_BYTES, hash);
    update(&context, line, length);
    sha256_digest(&context, KEY_HASH_BYTES, hash);
}
