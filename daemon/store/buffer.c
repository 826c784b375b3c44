/* Text that grows, and the writing of JSON values. Answers are written by appending, not by way of
 * a tree: it costs a tenth. */
#include "store/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"

enum { BUFFER_FIRST = 1024 };

void buffer_fini(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){.bytes = NULL};
}

char *buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return NULL;
    if (more <= buffer->capacity - buffer->length)
        return buffer->bytes + buffer->length;

    size_t capacity = buffer->capacity == 0 ? BUFFER_FIRST : buffer->capacity * 2;
    if (more > SIZE_MAX / 4 || capacity > SIZE_MAX / 4) {
        buffer->failed = true;
        return NULL;
    }
    if (capacity < buffer->length + more)
        capacity = buffer->length + more;
    char *bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL) {
        buffer->failed = true;
        return NULL;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return bytes + buffer->length;
}

void buffer_add(struct buffer *buffer, const char *bytes, size_t length)
{
    char *to = buffer_reserve(buffer, length);
    if (to == NULL || length == 0)
        return;
    memcpy(to, bytes, length);
    buffer->length += length;
}

void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    char *to = buffer_reserve(buffer, (size_t)length + 1);
    if (to == NULL)
        return;
    va_start(list, format);
    (void)vsnprintf(to, (size_t)length + 1, format, list);
    va_end(list);
    buffer->length += (size_t)length;
}

void buffer_unsigned(struct buffer *buffer, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    buffer_add(buffer, digits + at, sizeof(digits) - at);
}

void buffer_signed(struct buffer *buffer, int64_t number)
{
    if (number < 0)
        BUFFER_LITERAL(buffer, "-");
    // The negative of INT64_MIN is no int64_t.
    buffer_unsigned(buffer, number < 0 ? UINT64_C(0) - (uint64_t)number : (uint64_t)number);
}

/* The length of the UTF-8 sequence at bytes, 0: it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *bytes, size_t length)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;

    size_t needs = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (length < needs)
        return 0;
    for (size_t i = 1; i < needs; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] > 0x9F) ||
        (first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] > 0x8F))
        return 0;
    return needs;
}

bool buffer_is_utf8(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t sequence = utf8_length((const unsigned char *)bytes + i, length - i);
        if (sequence == 0)
            return false;
        i += sequence;
    }
    return true;
}

/* What stands in a JSON string for one byte that can't stand there itself. */
static void escape_byte(struct buffer *buffer, unsigned char byte)
{
    static const char short_forms[] = "\bb\tt\nn\ff\rr\"\"\\\\";

    for (size_t i = 0; i + 1 < sizeof(short_forms); i += 2) {
        if ((unsigned char)short_forms[i] == byte) {
            const char escape[2] = {'\\', short_forms[i + 1]};
            buffer_add(buffer, escape, 2);
            return;
        }
    }
    if (byte < 0x80)
        buffer_printf(buffer, "\\u%04x", byte);
    else
        BUFFER_LITERAL(buffer, "\xEF\xBF\xBD");
}

void buffer_json_string(struct buffer *buffer, const char *bytes, size_t length)
{
    size_t from = 0; // of what was looked at and not yet added
    size_t i = 0;

    BUFFER_LITERAL(buffer, "\"");
    while (i < length) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\') {
            i++;
            continue;
        }
        size_t sequence =
            byte < 0x80 ? 0 : utf8_length((const unsigned char *)bytes + i, length - i);
        if (sequence > 0) {
            i += sequence;
            continue;
        }
        buffer_add(buffer, bytes + from, i - from);
        escape_byte(buffer, byte);
        i++;
        from = i;
    }
    buffer_add(buffer, bytes + from, length - from);
    BUFFER_LITERAL(buffer, "\"");
}

void buffer_json_text(struct buffer *buffer, const char *text)
{
    if (text == NULL)
        BUFFER_LITERAL(buffer, "null");
    else
        buffer_json_string(buffer, text, strlen(text));
}

void buffer_json_instant(struct buffer *buffer, int64_t ms)
{
    if (ms == 0) {
        BUFFER_LITERAL(buffer, "null");
        return;
    }
    char *to = buffer_reserve(buffer, UNITS_INSTANT_BYTES + 2);
    if (to == NULL)
        return;
    to[0] = '"';
    size_t length = units_instant_text(ms, to + 1);
    to[length + 1] = '"';
    buffer->length += length + 2;
}

void buffer_json_duration(struct buffer *buffer, int64_t ms)
{
    char text[64];
    buffer_json_text(buffer, units_duration_text(ms * RN_MILLISECOND, text, sizeof(text)));
}

void buffer_json_bool(struct buffer *buffer, bool value)
{
    if (value)
        BUFFER_LITERAL(buffer, "true");
    else
        BUFFER_LITERAL(buffer, "false");
}

static void new_line(struct buffer *buffer, size_t depth)
{
    char *to = buffer_reserve(buffer, 1 + depth * 2);
    if (to == NULL)
        return;
    to[0] = '\n';
    memset(to + 1, ' ', depth * 2);
    buffer->length += 1 + depth * 2;
}

/* One byte of JSON outside a string, and what belongs around it. */
static void indent_byte(struct buffer *to, char byte, char next, size_t *depth)
{
    switch (byte) {
    case '{':
    case '[':
        buffer_add(to, &byte, 1);
        (*depth)++;
        if (next != '}' && next != ']')
            new_line(to, *depth);
        break;
    case '}':
    case ']':
        (*depth)--;
        if (to->length > 0 && to->bytes[to->length - 1] != '{' && to->bytes[to->length - 1] != '[')
            new_line(to, *depth);
        buffer_add(to, &byte, 1);
        break;
    case ',':
        buffer_add(to, ",", 1);
        new_line(to, *depth);
        break;
    case ':':
        buffer_add(to, ": ", 2);
        break;
    default:
        buffer_add(to, &byte, 1);
        break;
    }
}

void buffer_json_indent(struct buffer *buffer)
{
    struct buffer to = {.failed = buffer->failed};
    size_t depth = 0;
    bool in_string = false;

    // Written by us or checked before, and without white space outside strings: brackets match.
    for (size_t i = 0; i < buffer->length && !to.failed; i++) {
        char byte = buffer->bytes[i];
        if (in_string) {
            size_t length = byte == '\\' && i + 1 < buffer->length ? 2 : 1;
            buffer_add(&to, buffer->bytes + i, length);
            i += length - 1;
            in_string = byte != '"';
            continue;
        }
        in_string = byte == '"';
        indent_byte(&to, byte, i + 1 < buffer->length ? buffer->bytes[i + 1] : '\0', &depth);
    }
    buffer_fini(buffer);
    *buffer = to;
}
