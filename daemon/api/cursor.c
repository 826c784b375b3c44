/* A cursor is 16 bytes in base64url: the id (big-endian) below which the next page begins, and a
 * hash of the filters. */
#include "api/cursor.h"

#include <string.h>

#include <nettle/base64.h>
#include <nettle/sha2.h>

enum { RAW_BYTES = 8 + CURSOR_HASH_BYTES, TEXT_LENGTH = CURSOR_BYTES - 2 };

void cursor_hash(const struct request *request, unsigned char ret_hash[CURSOR_HASH_BYTES])
{
    static const enum parameter filters[] = {
        PARAMETER_STATE,      PARAMETER_QUEUE,          PARAMETER_KIND,
        PARAMETER_TAG,        PARAMETER_CREATED_AFTER,  PARAMETER_CREATED_BEFORE,
        PARAMETER_ERROR_CODE, PARAMETER_FINISHED_AFTER, PARAMETER_FINISHED_BEFORE};
    struct sha256_ctx context;

    sha256_init(&context);
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        const char *value = request->parameters[filters[i]];
        if (value != NULL)
            sha256_update(&context, strlen(value), (const uint8_t *)value);
        sha256_update(&context, 1, (const uint8_t *)""); // no value can hold a NUL
    }
    sha256_digest(&context, CURSOR_HASH_BYTES, ret_hash);
}

void cursor_text(uint64_t before, const unsigned char hash[CURSOR_HASH_BYTES],
                 char ret_text[CURSOR_BYTES])
{
    unsigned char raw[RAW_BYTES];
    struct base64_encode_ctx context;

    for (size_t i = 0; i < 8; i++)
        raw[i] = (unsigned char)(before >> (56 - 8 * i));
    memcpy(raw + 8, hash, CURSOR_HASH_BYTES);
    base64url_encode_init(&context);
    char text[BASE64_ENCODE_LENGTH(RAW_BYTES) + BASE64_ENCODE_FINAL_LENGTH];
    size_t length = base64_encode_update(&context, text, RAW_BYTES, raw);
    (void)base64_encode_final(&context, text + length); // and its padding, which is left out
    memcpy(ret_text, text, TEXT_LENGTH);
    ret_text[TEXT_LENGTH] = '\0';
}

int cursor_parse(const char *text, const unsigned char hash[CURSOR_HASH_BYTES],
                 uint64_t *ret_before)
{
    unsigned char raw[BASE64_DECODE_LENGTH(TEXT_LENGTH + 2)];
    size_t length = sizeof(raw);
    struct base64_decode_ctx context;
    char padded[TEXT_LENGTH + 2];
    uint64_t before = 0;

    if (strlen(text) != TEXT_LENGTH)
        return -EINVAL;
    memcpy(padded, text, TEXT_LENGTH);
    memcpy(padded + TEXT_LENGTH, "==", 2);
    base64url_decode_init(&context);
    if (!base64_decode_update(&context, &length, raw, sizeof(padded), padded) ||
        !base64_decode_final(&context) || length != RAW_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < 8; i++)
        before = before << 8 | raw[i];
    if (before == 0 || before >> 53 != 0)
        return -EINVAL;
    if (memcmp(raw + 8, hash, CURSOR_HASH_BYTES) != 0)
        return -ESTALE;
    *ret_before = before;
    return 0;
}
