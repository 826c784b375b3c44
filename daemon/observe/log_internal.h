/** \file
 * What the log's files share. An event becomes a line in a buffer of its own (log_text.c,
 * log_json.c), and the line goes out (log.c).
 */
#ifndef OBSERVE_LOG_INTERNAL_H
#define OBSERVE_LOG_INTERNAL_H

#include <runnel/error.h>

#include "observe/log.h"

enum {
    LOG_LINE_BYTES_MAX = 4096, // with the newline
    LOG_FIELDS_MAX = 24,       // of one event
    LOG_KEY_BYTES_MAX = 32,    // of a field's name
    LOG_NUMBER_BYTES = 24,     // of a number as text, with the NUL
};

/** One event on its way out. */
struct log_entry {
    enum log_level level;
    const char *event;
    const struct log_field *fields;
    size_t count;
};

/** A text that grows up to its capacity; `truncated` once something did not fit, and then nothing
 * more is added. */
struct log_line {
    char *bytes;
    size_t length;
    size_t capacity;
    bool truncated;
};

/** Adds bytes as a whole or not at all. */
void log_line_add(struct log_line *line, const char *bytes, size_t count);
void log_line_add_text(struct log_line *line, const char *text);
/** Adds one character, as it is or escaped; returns how many bytes of text it was. */
typedef size_t log_character_fn(struct log_line *line, const unsigned char *text);
/** Adds the text in quotes; what does not fit is left out at a character's end, so that the quotes
 * always close. */
void log_line_add_quoted(struct log_line *line, const char *text, log_character_fn *add_character);
/** The time now, RFC 3339 in UTC with milliseconds: 24 characters. */
void log_line_add_time(struct log_line *line);

/** How many bytes the UTF-8 character at text (NUL-terminated, not empty) has; 0: there is none. */
size_t log_character(const unsigned char *text, uint32_t *ret_code);
/** Whether a character can't stand in a line as it is: control characters, the line separators and
 * what turns the writing direction around. */
bool log_is_control(uint32_t code);

/** A field's value as text; numbers are written into number. NULL: there is none. */
const char *log_value_text(const struct log_field *field, char number[static LOG_NUMBER_BYTES]);
/** Whether it is text, which may come from outside and may be cut: the others are words of ours. */
bool log_value_is_text(const struct log_field *field);

/** `level=… event=…` and the fields; what stands in front of it is in the line already. The line's
 * capacity must be at most LOG_LINE_BYTES_MAX, of which a mark for a cut and the newline are taken.
 */
void log_text_add(struct log_line *line, const struct log_entry *entry);
/** A JSON object of the event. The same room is taken of the line's capacity. */
void log_json_add(struct log_line *line, const struct log_entry *entry);

/** Of syslog(3): 3 (err) to 7 (debug). */
int log_level_priority(enum log_level level);

/** Whether standard error is the journal. */
bool log_journal_is_stderr(void);
/** Where the journal takes entries: the path of its socket. Whether it is there is seen entry by
 * entry. */
void log_journal_open(const char *path);
/** Sends an entry with native fields, and the line as its MESSAGE. false: the journal did not take
 * it. Blocking: at most 100 ms. */
bool log_journal_send(const struct log_entry *entry, const char *message);

/** Looks at what standard error is. */
void log_output_init(void);
/** Writes a line with its newline to standard error. false: it is lost, nobody reads or all of it
 * failed. Blocking: at most 100 ms, and not at all until lines flow again. */
bool log_output_write(const char *bytes, size_t count);

#endif
