/* The log: levels, and where an event goes.
 *
 * Invariants:
 *  1. A line is written by one write(2) and has at most LOG_LINE_BYTES_MAX <= PIPE_BUF bytes: lines
 * of several threads never mix.
 *  2. Nothing here allocates: an event can be logged when memory is gone.
 *  3. No reader, be it the journal, a pipe or a terminal, stops the daemon: an event that finds no
 * room is dropped, counted, and told by an event `log_dropped` before the next one that gets out.
 *
 * Threads: `settings` is written by log_init before any thread is started; afterwards only level
 * and format change, each looked at alone.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "observe/log_internal.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

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
    _Atomic int level;  // enum log_level
    _Atomic int format; // enum log_format
    bool to_journal;
} settings = {.level = LOG_LEVEL_INFO};

static struct {
    _Atomic uint64_t total;  // events, since the start
    _Atomic uint64_t untold; // of them those that no log_dropped has told
} dropped;

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
    return (int)level <= atomic_load_explicit(&settings.level, memory_order_relaxed);
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

void log_set_level(enum log_level level)
{
    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    atomic_store_explicit(&settings.level, (int)level, memory_order_relaxed);
}

void log_init(enum log_level level)
{
    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    log_set_level(level);
    log_format_set(LOG_FORMAT_TEXT);
    settings.to_journal = log_journal_is_stderr();
    if (settings.to_journal)
        log_journal_open(JOURNAL_SOCKET);
    log_output_init();
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped.total, memory_order_relaxed);
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

/* false: it did not get out. */
static bool deliver(const struct log_entry *entry)
{
    char bytes[LOG_LINE_BYTES_MAX];
    // sd-daemon(3): what the journal reads on standard error may begin with its priority.
    const char prefix[] = {'<', (char)('0' + levels[entry->level].priority), '>'};
    const size_t offset = settings.to_journal ? sizeof(prefix) : 0;
    struct log_line line = {.bytes = bytes + offset, .capacity = sizeof(bytes) - offset};

    memcpy(bytes, prefix, offset);
    add_entry(&line, entry);
    if (settings.to_journal) {
        line.bytes[line.length] = '\0';
        if (log_journal_send(entry, line.bytes))
            return true;
    }
    line.bytes[line.length++] = '\n';
    return log_output_write(bytes, offset + line.length);
}

/* What was dropped is told before anything else gets out. false: there still is no room. */
static bool tell_dropped(void)
{
    if (atomic_load_explicit(&dropped.untold, memory_order_relaxed) == 0)
        return true;
    uint64_t count = atomic_exchange_explicit(&dropped.untold, 0, memory_order_relaxed);
    const struct log_field field = LOG_UINT("count", count);
    const struct log_entry entry = {LOG_LEVEL_WARN, "log_dropped", &field, 1};
    if (count == 0 || deliver(&entry)) // another thread was faster, or it is told
        return true;
    atomic_fetch_add_explicit(&dropped.untold, count, memory_order_relaxed);
    return false;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    const struct log_entry entry = {level, event, fields, count};

    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    RN_ASSERT(count <= LOG_FIELDS_MAX);
    if (!log_enabled(level) || (tell_dropped() && deliver(&entry)))
        return;
    atomic_fetch_add_explicit(&dropped.total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&dropped.untold, 1, memory_order_relaxed);
}
