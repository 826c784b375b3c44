/** \file
 * The log: one line an event, `level=warn event=task_retry task=42 queue=mail attempt=2 error="exit
 * status 75"`. Under systemd (stderr is the journal) each event goes out with native journal fields
 * (RUNNEL_EVENT, RUNNEL_TASK, RUNNEL_QUEUE, RUNNEL_KIND, …) and without a timestamp; else a line on
 * standard error that begins with an RFC 3339 time. Outside text is quoted and escaped (no raw
 * control byte leaves), a line has at most 4 KiB. The function that handles an error logs it; one
 * that returns it does not.
 */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_value_type { LOG_VALUE_TEXT, LOG_VALUE_INTEGER, LOG_VALUE_UNSIGNED, LOG_VALUE_BOOL };

/** One key=value of an event. Made by the macros below; key is a literal in lower case, `task`
 * comes first where there is one. */
struct log_field {
    const char *key;
    enum log_value_type type;
    const char *text; // NULL prints as -
    int64_t integer;
    uint64_t number; // of a truth 0 or 1
};

#define LOG_TEXT(k, v) ((struct log_field){.key = (k), .type = LOG_VALUE_TEXT, .text = (v)})
#define LOG_INT(k, v) ((struct log_field){.key = (k), .type = LOG_VALUE_INTEGER, .integer = (v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .type = LOG_VALUE_UNSIGNED, .number = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .type = LOG_VALUE_BOOL, .number = (v)})

enum log_format {
    LOG_FORMAT_TEXT, // key=value
    LOG_FORMAT_JSON, // an object a line: time, level, event, then the fields with their types
};

/** Chooses where the log goes (journal or standard error) and from which level on, as text. Once,
 * before any thread is started. */
void log_init(enum log_level level);

/** Chooses the form of the lines from now on. Threads: any. */
void log_format_set(enum log_format format);
/** Changes from which level on events are written. Threads: any. */
void log_set_level(enum log_level level);

/** Whether an event of this level would be written: to save making its fields. Threads: any. */
bool log_enabled(enum log_level level);

/** Writes one event. The `log_event(LOG_LEVEL_INFO, "task_succeeded", LOG_UINT("task", id), …)`
 * form below counts the fields. Blocking: at most 100 ms for a reader that is slow, then not at all
 * until it reads again. Threads: any. Errors: an event that can't be written is dropped and
 * counted. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count);

#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_fields(level, event, log_fields_, sizeof(log_fields_) / sizeof(log_fields_[0]));   \
        }                                                                                          \
    } while (0)

/** How many events were dropped since the start, since nobody read the log. Threads: any. */
uint64_t log_dropped(void);

/** The names err, warn, notice, info, debug. -EINVAL: no such level. */
int log_level_parse(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level level);

/** The names text, json. -EINVAL: no such format. */
int log_format_parse(const char *name, enum log_format *ret_format);
const char *log_format_name(enum log_format format);

#endif
