/* An event as a JSON object (RFC 8259): time, level, event, then the fields. What does not fit is
 * cut inside the text of a field, never the object; then `"truncated":true` closes it. A byte that
 * is no UTF-8 becomes U+FFFD. */
#include <stdio.h>
#include <string.h>

#include "observe/log_internal.h"

// How a line that lacks something ends; room for it and the newline is kept free.
static const char truncated_end[] = ",\"truncated\":true}";

/* One character; returns how many bytes of text it was. */
static size_t add_character(struct log_line *line, const unsigned char *text)
{
    char escape[8];
    uint32_t code = 0;

    if (*text == '"' || *text == '\\') {
        log_line_add(line, (const char[]){'\\', (char)*text}, 2);
        return 1;
    }
    size_t count = log_character(text, &code);
    if (count > 0 && !log_is_control(code)) {
        log_line_add(line, (const char *)text, count);
        return count;
    }
    // Every control character lies below U+10000: one escape is enough.
    snprintf(escape, sizeof(escape), "\\u%04x", count > 0 ? (unsigned)code : 0xFFFDU);
    log_line_add_text(line, escape);
    return count > 0 ? count : 1;
}

/* Many readers refuse a number above the largest of 64 bits with a sign. */
static bool is_too_large(const struct log_field *field)
{
    return field->type == LOG_VALUE_UNSIGNED && field->number > INT64_MAX;
}

static void add_field(struct log_line *line, const struct log_field *field)
{
    char number[LOG_NUMBER_BYTES];
    const char *value = log_value_text(field, number);
    bool is_text = log_value_is_text(field) && value != NULL;

    size_t before = line->length;
    log_line_add(line, ",\"", 2);
    log_line_add_text(line, field->key);
    log_line_add(line, "\":", 2);
    bool fitted = !line->truncated && line->capacity - line->length >= 2;
    if (is_text) {
        log_line_add_quoted(line, value, add_character);
    } else {
        if (is_too_large(field))
            log_line_add_quoted(line, value, add_character);
        else
            log_line_add_text(line, value != NULL ? value : "null");
        fitted = !line->truncated;
    }
    if (!fitted)
        line->length = before;
}

void log_json_add(struct log_line *line, const struct log_entry *entry)
{
    line->capacity -= sizeof(truncated_end); // its NUL is the newline's
    log_line_add_text(line, "{\"time\":\"");
    log_line_add_time(line);
    log_line_add_text(line, "\",\"level\":\"");
    log_line_add_text(line, log_level_name(entry->level));
    log_line_add_text(line, "\",\"event\":\"");
    log_line_add_text(line, entry->event);
    log_line_add_text(line, "\"");
    for (size_t i = 0; i < entry->count && !line->truncated; i++)
        add_field(line, &entry->fields[i]);
    line->capacity += sizeof(truncated_end);
    const char *end = line->truncated ? truncated_end : "}";
    memcpy(line->bytes + line->length, end, strlen(end));
    line->length += strlen(end);
}
