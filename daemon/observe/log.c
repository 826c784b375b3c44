/* The log: levels, and where an event goes.
 *
 * Invariants:
 *  1. A line is written by one write(2) and has at most LOG_LINE_BYTES_MAX <= PIPE_BUF bytes: lines
 * of several threads never mix, so no lock is needed and no thread waits for another's terminal.
 *  2. Nothing here allocates: an event can be logged when memory is gone.
 *
 * Threads: `settings` is written by log_init before any thread is started; afterwards only `format`
 * changes.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "observe/log_internal.h"

_Static_assert(LOG_LINE_BYTES_MAX <= PIPE_BUF, "a line must be written to a pipe in one piece");

static const struct {
    const char *name;
    int priority; // of syslog(3)
} levels[] = {
    [LOG_LEVEL_ERR] = {"err", 3},       [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_NOTICE] = {"notice", 5}, [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};
enum { LEVEL_COUNT = sizeof(levels) / sizeof(levels[0]) };

static const char *const format_names[] = {
    [LOG_FORMAT_TEXT] = "text",
    [LOG_FORMAT_JSON] = "json",
};
enum { FORMAT_COUNT = sizeof(format_names) / sizeof(format_names[0]) };

static struct {
    enum log_level level;
    _Atomic int format; // enum log_format
    bool to_journal;
} settings = {.level = LOG_LEVEL_INFO};

int log_level_parse(const char *name, enum log_level *ret_level)
{
    RN_ASSERT(name != NULL);
    RN_ASSERT(ret_level != NULL);
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    return levels[level].name;
}

bool log_enabled(enum log_level level)
{
    return level <= settings.level;
}

int log_format_parse(const char *name, enum log_format *ret_format)
{
    RN_ASSERT(name != NULL);
    RN_ASSERT(ret_format != NULL);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *ret_format = (enum log_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *log_format_name(enum log_format format)
{
    RN_ASSERT((int)format >= 0 && (int)format < FORMAT_COUNT);
    return format_names[format];
}

void log_format_set(enum log_format format)
{
    RN_ASSERT((int)format >= 0 && (int)format < FORMAT_COUNT);
    atomic_store_explicit(&settings.format, (int)format, memory_order_relaxed);
}

int log_level_priority(enum log_level level)
{
    return levels[level].priority;
}

void log_init(enum log_level level)
{
    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    settings.level = level;
    log_format_set(LOG_FORMAT_TEXT);
    settings.to_journal = log_journal_is_stderr();
}

static void write_line(const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // nobody is left to be told
        bytes += n;
        count -= (size_t)n;
    }
}

static void add_entry(struct log_line *line, const struct log_entry *entry)
{
    if (atomic_load_explicit(&settings.format, memory_order_relaxed) == LOG_FORMAT_JSON) {
        log_json_add(line, entry);
        return;
    }
    if (!settings.to_journal) { // which has a time of its own
        log_line_add_time(line);
        log_line_add(line, " ", 1);
    }
    log_text_add(line, entry);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    static const char message_name[] = "MESSAGE=";
    char bytes[sizeof(message_name) - 1 + LOG_LINE_BYTES_MAX];
    const size_t offset = sizeof(message_name) - 1;
    const struct log_entry entry = {level, event, fields, count};

    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    RN_ASSERT(count <= LOG_FIELDS_MAX);
    if (!log_enabled(level))
        return;

    memcpy(bytes, message_name, offset);
    struct log_line line = {.bytes = bytes + offset, .capacity = LOG_LINE_BYTES_MAX};
    add_entry(&line, &entry);
    if (settings.to_journal && log_journal_send(&entry, bytes, offset + line.length) >= 0)
        return;

    line.bytes[line.length++] = '\n';
    write_line(line.bytes, line.length);
}
