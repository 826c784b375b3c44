/* An event as key=value. Between a line's start and its newline there are only printable
 * characters: everything else in a value is escaped. */
#include <string.h>

#include "observe/log_internal.h"

// What stands at a line's end when something did not fit; room for it and the newline is kept free.
static const char truncated_mark[] = " truncated=yes";

static bool needs_quotes(const char *text)
{
    if (text[0] == '\0')
        return true;
    for (const char *byte = text; *byte != '\0'; byte++)
        if (*byte <= ' ' || *byte > '~' || strchr("\"\\=", *byte) != NULL)
            return true;
    return false;
}

/* One character as it is, or escaped; returns how many bytes of text it was. */
static size_t add_character(struct log_line *line, const unsigned char *text)
{
    static const char digits[] = "0123456789abcdef";
    char escape[4] = {'\\', 'x', digits[*text >> 4], digits[*text & 15]};
    const char *short_form = *text == '\n'   ? "\\n"
                             : *text == '\t' ? "\\t"
                             : *text == '\r' ? "\\r"
                                             : NULL;
    uint32_t code = 0;

    if (*text == '"' || *text == '\\') {
        escape[1] = (char)*text;
        log_line_add(line, escape, 2);
        return 1;
    }
    size_t count = log_character(text, &code);
    if (count > 0 && !log_is_control(code)) {
        log_line_add(line, (const char *)text, count);
        return count;
    }
    if (short_form != NULL)
        log_line_add(line, short_form, 2);
    else
        log_line_add(line, escape, sizeof(escape));
    return 1;
}

static void add_field(struct log_line *line, const struct log_field *field)
{
    char number[LOG_NUMBER_BYTES];
    const char *value = log_value_text(field, number);

    if (value == NULL)
        value = "-";
    size_t before = line->length;
    log_line_add(line, " ", 1);
    log_line_add_text(line, field->key);
    log_line_add(line, "=", 1);
    bool fitted = !line->truncated;
    // A text that is too long is put in quotes too: as much of it as there is room for. A number
    // stands there as a whole or not at all.
    if (log_value_is_text(field) &&
        (needs_quotes(value) || strlen(value) > line->capacity - line->length)) {
        log_line_add_quoted(line, value, add_character);
    } else {
        log_line_add_text(line, value);
        fitted = !line->truncated;
    }
    if (!fitted)
        line->length = before;
}

void log_text_add(struct log_line *line, const struct log_entry *entry)
{
    line->capacity -= sizeof(truncated_mark); // its NUL is the newline's
    log_line_add_text(line, "level=");
    log_line_add_text(line, log_level_name(entry->level));
    log_line_add_text(line, " event=");
    log_line_add_text(line, entry->event);
    for (size_t i = 0; i < entry->count && !line->truncated; i++)
        add_field(line, &entry->fields[i]);
    line->capacity += sizeof(truncated_mark);
    if (line->truncated) {
        memcpy(line->bytes + line->length, truncated_mark, sizeof(truncated_mark) - 1);
        line->length += sizeof(truncated_mark) - 1;
    }
}
