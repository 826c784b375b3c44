/* A line as it grows, and what a field's value is as text. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <runnel/clock.h>

#include "observe/log_internal.h"

void log_line_add(struct log_line *line, const char *bytes, size_t count)
{
    if (line->truncated)
        return;
    if (count > line->capacity - line->length) {
        line->truncated = true;
        return;
    }
    memcpy(line->bytes + line->length, bytes, count);
    line->length += count;
}

void log_line_add_text(struct log_line *line, const char *text)
{
    log_line_add(line, text, strlen(text));
}

void log_line_add_quoted(struct log_line *line, const char *text, log_character_fn *add_character)
{
    if (line->truncated || line->capacity - line->length < 2) {
        line->truncated = true;
        return;
    }
    line->bytes[line->length++] = '"';
    line->capacity--; // for the closing quote
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0' && !line->truncated)
        at += add_character(line, at);
    line->bytes[line->length++] = '"';
    line->capacity++;
}

/* The date and the second are kept from call to call: a thread logs many lines in a second. */
void log_line_add_time(struct log_line *line)
{
    static _Thread_local int64_t kept_second = INT64_MIN;
    static _Thread_local char kept_text[24];

    int64_t now_ms = rn_wall_ms();
    int64_t second = now_ms / 1000;
    if (second != kept_second) {
        struct tm parts;
        time_t seconds = (time_t)second;
        if (gmtime_r(&seconds, &parts) == NULL ||
            strftime(kept_text, sizeof(kept_text), "%Y-%m-%dT%H:%M:%S", &parts) == 0)
            kept_text[0] = '\0';
        kept_second = second;
    }
    char text[40];
    snprintf(text, sizeof(text), "%s.%03dZ", kept_text, (int)(now_ms % 1000));
    log_line_add_text(line, text);
}

/* ---- characters ---- */

size_t log_character(const unsigned char *text, uint32_t *ret_code)
{
    size_t count = 0;
    uint32_t code = 0;
    uint32_t least = 0;

    if (text[0] < 0x80) {
        *ret_code = text[0];
        return 1;
    }
    if ((text[0] & 0xE0) == 0xC0) {
        count = 2;
        code = text[0] & 0x1F;
        least = 0x80;
    } else if ((text[0] & 0xF0) == 0xE0) {
        count = 3;
        code = text[0] & 0x0F;
        least = 0x800;
    } else if ((text[0] & 0xF8) == 0xF0) {
        count = 4;
        code = text[0] & 0x07;
        least = 0x10000;
    } else {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((text[i] & 0xC0) != 0x80) // the terminating NUL too
            return 0;
        code = code << 6 | (text[i] & 0x3F);
    }
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *ret_code = code;
    return count;
}

bool log_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* ---- values ---- */

typedef const char *value_text_fn(const struct log_field *field,
                                  char number[static LOG_NUMBER_BYTES]);

static const char *text_of_text(const struct log_field *field, char number[static LOG_NUMBER_BYTES])
{
    (void)number;
    return field->text;
}

static const char *text_of_integer(const struct log_field *field,
                                   char number[static LOG_NUMBER_BYTES])
{
    snprintf(number, LOG_NUMBER_BYTES, "%" PRId64, field->integer);
    return number;
}

static const char *text_of_unsigned(const struct log_field *field,
                                    char number[static LOG_NUMBER_BYTES])
{
    snprintf(number, LOG_NUMBER_BYTES, "%" PRIu64, field->number);
    return number;
}

static const char *text_of_bool(const struct log_field *field, char number[static LOG_NUMBER_BYTES])
{
    (void)number;
    return field->number != 0 ? "true" : "false";
}

/* The types of values. */
static const struct {
    value_text_fn *text_fn;
    bool is_text;
} value_types[] = {
    [LOG_VALUE_TEXT] = {text_of_text, true},
    [LOG_VALUE_INTEGER] = {text_of_integer, false},
    [LOG_VALUE_UNSIGNED] = {text_of_unsigned, false},
    [LOG_VALUE_BOOL] = {text_of_bool, false},
};

const char *log_value_text(const struct log_field *field, char number[static LOG_NUMBER_BYTES])
{
    RN_ASSERT(field->type < sizeof(value_types) / sizeof(value_types[0]));
    return value_types[field->type].text_fn(field, number);
}

bool log_value_is_text(const struct log_field *field)
{
    RN_ASSERT(field->type < sizeof(value_types) / sizeof(value_types[0]));
    return value_types[field->type].is_text;
}
