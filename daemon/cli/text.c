/* Columns are counted with the C library's wcwidth; UTF-8 is decoded by hand, so that a locale
 * that is not UTF-8 makes nothing unprintable. */
#include "cli/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { ESCAPED_BYTES = 6 }; // \u001b

/* One character: its bytes, 0 where they are no UTF-8. */
static size_t decode(const char *text, size_t left, uint32_t *ret_code)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t count = bytes[0] < 0x80 ? 1 : bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = count == 1 ? bytes[0] : bytes[0] & (0x7fU >> count);

    if (count > left || (bytes[0] >= 0x80 && bytes[0] < 0xc2) || bytes[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    if (code < least[count] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    *ret_code = code;
    return count;
}

/* A command to the terminal, or a trap for the reader's eye. */
static bool is_harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xfeff;
}

int text_safe(const char *text, size_t length, const char *keep, char **ret_safe)
{
    RN_ASSERT(text != NULL);
    RN_ASSERT(keep != NULL);
    if (length > (SIZE_MAX - 1) / ESCAPED_BYTES)
        return -ENOMEM;
    char *safe = malloc(length * ESCAPED_BYTES + 1);
    size_t used = 0;

    if (safe == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < length;) {
        uint32_t code = (unsigned char)text[i];
        size_t count = decode(text + i, length - i, &code);
        bool is_kept = count == 1 && code != 0 && strchr(keep, (int)code) != NULL;
        if (count == 0 || (is_harmful(code) && !is_kept)) {
            used += (size_t)snprintf(safe + used, ESCAPED_BYTES + 1, "\\u%04x", (unsigned)code);
        } else {
            memcpy(safe + used, text + i, count);
            used += count;
        }
        i += count == 0 ? 1 : count;
    }
    safe[used] = '\0';
    *ret_safe = safe;
    return 0;
}

static size_t columns_of(uint32_t code)
{
    int width = wcwidth((wchar_t)code);

    return width < 0 ? 1 : (size_t)width;
}

size_t text_fit(const char *text, size_t columns)
{
    size_t length = strlen(text);
    size_t width = 0;
    size_t i = 0;

    while (i < length) {
        uint32_t code = 0;
        size_t count = decode(text + i, length - i, &code);
        size_t wide = count == 0 ? 1 : columns_of(code);
        if (width + wide > columns)
            break;
        width += wide;
        i += count == 0 ? 1 : count;
    }
    return i;
}

static size_t width_of(const char *text, size_t bytes)
{
    size_t width = 0;

    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        size_t count = decode(text + i, bytes - i, &code);
        width += count == 0 ? 1 : columns_of(code);
        i += count == 0 ? 1 : count;
    }
    return width;
}

size_t text_width(const char *text)
{
    return width_of(text, strlen(text));
}

void text_put(FILE *out, const char *text, size_t columns, int align_right)
{
    size_t width = text_width(text);

    if (width <= columns) {
        int pad = (int)(columns - width);
        fprintf(out, "%*s%s%*s", align_right ? pad : 0, "", text, align_right ? 0 : pad, "");
        return;
    }
    if (columns == 0)
        return;
    size_t bytes = text_fit(text, columns - 1);
    fprintf(out, "%.*s…%*s", (int)bytes, text, (int)(columns - 1 - width_of(text, bytes)), "");
}
