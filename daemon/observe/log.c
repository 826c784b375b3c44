/* The log: events as logfmt lines on standard error, or as journal entries with a field per key.
 *
 * Invariants:
 *  1. A line is written by one write(2) and has at most LINE_BYTES_MAX = PIPE_BUF bytes: lines of
 * several threads never mix, so no lock is needed and no thread waits for another's terminal.
 *  2. Between line start and newline there are only printable characters: everything else in a
 * value is escaped.
 *  3. Nothing here allocates: an event can be logged when memory is gone.
 *
 * Threads: `settings` is written by log_init before any thread is started, and only read
 * afterwards.
 */
#include "observe/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// Our file, line and function are of no use to who reads the journal.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <runnel/clock.h>

enum {
    LINE_BYTES_MAX = 4096,    // with the newline
    FIELDS_MAX = 24,          // of one event
    KEY_BYTES_MAX = 32,       // of a field's name
    JOURNAL_BYTES_MAX = 6144, // all fields of one entry, without MESSAGE
};
_Static_assert(LINE_BYTES_MAX <= PIPE_BUF, "a line must be written to a pipe in one piece");

// What stands at a line's end when something did not fit; room for it and the newline is kept free.
static const char truncated_mark[] = " truncated=yes";

static const struct {
    const char *name;
    int priority; // of syslog(3)
} levels[] = {
    [LOG_LEVEL_ERR] = {"err", 3},       [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_NOTICE] = {"notice", 5}, [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};
enum { LEVEL_COUNT = sizeof(levels) / sizeof(levels[0]) };

static struct {
    enum log_level level;
    bool to_journal;
} settings = {.level = LOG_LEVEL_INFO};

/* A text that grows up to its capacity; `truncated` once something did not fit, and then nothing
 * more is added. */
struct line {
    char *bytes;
    size_t length;
    size_t capacity;
    bool truncated;
};

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

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that the service's output
 * goes to. It is inherited, so that it is set says nothing: standard error may have been redirected
 * since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
        return false;

    char ours[64];
    snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

void log_init(enum log_level level)
{
    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    settings.level = level;
    settings.to_journal = stderr_is_journal();
}

/* Adds bytes as a whole or not at all. */
static void add(struct line *line, const char *bytes, size_t count)
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

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

/* How many bytes the character at text has if it can stand in a line as it is; 0: a control
 * character, or no UTF-8. C1 controls, the line separators and what turns the writing direction
 * around count as control characters. */
static size_t printable(const unsigned char *text)
{
    if (text[0] >= 0x20 && text[0] < 0x7F)
        return 1;

    size_t count = 0;
    uint32_t code = 0;
    uint32_t least = 0;
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
    bool is_character = code >= least && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    bool is_control =
        code < 0xA0 || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    return is_character && !is_control ? count : 0;
}

static bool needs_quotes(const char *text)
{
    if (text[0] == '\0')
        return true;
    for (const char *byte = text; *byte != '\0'; byte++)
        if (*byte <= ' ' || *byte > '~' || strchr("\"\\=", *byte) != NULL)
            return true;
    return false;
}

/* The value in quotes; what does not fit is left out at a character's end, so that the quotes
 * always close. */
static void add_quoted(struct line *line, const char *text)
{
    static const char digits[] = "0123456789abcdef";

    if (line->truncated || line->capacity - line->length < 2) {
        line->truncated = true;
        return;
    }
    line->bytes[line->length++] = '"';
    line->capacity--; // for the closing quote
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0' && !line->truncated) {
        size_t count = printable(at);
        char escape[4] = {'\\', 'x', digits[*at >> 4], digits[*at & 15]};
        const char *short_form = *at == '\n'   ? "\\n"
                                 : *at == '\t' ? "\\t"
                                 : *at == '\r' ? "\\r"
                                               : NULL;
        if (*at == '"' || *at == '\\') {
            escape[1] = (char)*at;
            add(line, escape, 2);
        } else if (count > 0) {
            add(line, (const char *)at, count);
        } else if (short_form != NULL) {
            add(line, short_form, 2);
        } else {
            add(line, escape, sizeof(escape));
        }
        at += count > 0 ? count : 1;
    }
    line->bytes[line->length++] = '"';
    line->capacity++;
}

/* A field's value as text; a number is written into number. */
static const char *value_text(const struct log_field *field, char number[static 24])
{
    switch (field->type) {
    case LOG_VALUE_INTEGER:
        snprintf(number, 24, "%" PRId64, field->integer);
        return number;
    case LOG_VALUE_UNSIGNED:
        snprintf(number, 24, "%" PRIu64, field->number);
        return number;
    case LOG_VALUE_TEXT:
        break;
    }
    return field->text != NULL ? field->text : "-";
}

static void add_field(struct line *line, const struct log_field *field)
{
    char number[24];
    const char *value = value_text(field, number);

    size_t before = line->length;
    add(line, " ", 1);
    add_text(line, field->key);
    add(line, "=", 1);
    bool key_fitted = !line->truncated;
    // What is too long is put in quotes too: as much of it as there is room for.
    if (needs_quotes(value) || strlen(value) > line->capacity - line->length)
        add_quoted(line, value);
    else
        add_text(line, value);
    if (!key_fitted)
        line->length = before;
}

/* The time now, as RFC 3339 in UTC. The date and the second are kept from call to call: a thread
 * logs many lines in a second. */
static void add_time(struct line *line)
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
    snprintf(text, sizeof(text), "%s.%03dZ ", kept_text, (int)(now_ms % 1000));
    add_text(line, text);
}

/* level=… event=… and the fields. */
static void add_event(struct line *line, enum log_level level, const char *event,
                      const struct log_field *fields, size_t count)
{
    add_text(line, "level=");
    add_text(line, levels[level].name);
    add_text(line, " event=");
    add_text(line, event);
    for (size_t i = 0; i < count; i++)
        add_field(line, &fields[i]);
    if (line->truncated) {
        memcpy(line->bytes + line->length, truncated_mark, sizeof(truncated_mark) - 1);
        line->length += sizeof(truncated_mark) - 1;
    }
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

/* Puts NAME=value into store and iov; a value that does not fit is cut, a name that does not fit is
 * left out. */
static void add_journal_field(struct line *store, const struct log_field *field, struct iovec *iov,
                              int *count)
{
    char number[24];
    const char *value = value_text(field, number);
    size_t start = store->length;

    add_text(store, "RUNNEL_");
    size_t key_bytes = strlen(field->key);
    RN_ASSERT(key_bytes <= KEY_BYTES_MAX);
    add(store, field->key, key_bytes);
    add(store, "=", 1);
    if (store->truncated)
        return;
    for (size_t i = 0; i < key_bytes; i++) {
        char *letter = &store->bytes[start + sizeof("RUNNEL_") - 1 + i];
        if (*letter >= 'a' && *letter <= 'z')
            *letter = (char)(*letter - 'a' + 'A');
    }
    // The journal takes any byte, newlines too.
    size_t room = store->capacity - store->length;
    size_t value_bytes = strnlen(value, room);
    add(store, value, value_bytes);
    iov[(*count)++] =
        (struct iovec){.iov_base = store->bytes + start, .iov_len = store->length - start};
}

/* An entry with native fields. Negative: the journal did not take it. */
static int send_entry(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count, char *message, size_t message_bytes)
{
    char bytes[JOURNAL_BYTES_MAX];
    struct line store = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct iovec iov[3 + FIELDS_MAX];
    int used = 0;

    char priority[] = "PRIORITY=0";
    priority[sizeof(priority) - 2] = (char)('0' + levels[level].priority);
    iov[used++] = (struct iovec){.iov_base = message, .iov_len = message_bytes};
    iov[used++] = (struct iovec){.iov_base = priority, .iov_len = sizeof(priority) - 1};
    add_journal_field(&store, &LOG_TEXT("event", event), iov, &used);
    for (size_t i = 0; i < count; i++)
        add_journal_field(&store, &fields[i], iov, &used);
    return sd_journal_sendv(iov, used);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    static const char message_name[] = "MESSAGE=";
    char bytes[sizeof(message_name) - 1 + LINE_BYTES_MAX];
    size_t offset = sizeof(message_name) - 1;

    RN_ASSERT((int)level >= 0 && (int)level < LEVEL_COUNT);
    RN_ASSERT(count <= FIELDS_MAX);
    if (!log_enabled(level))
        return;

    memcpy(bytes, message_name, offset);
    struct line line = {.bytes = bytes + offset,
                        .capacity = LINE_BYTES_MAX - sizeof(truncated_mark)};
    if (!settings.to_journal)
        add_time(&line);
    add_event(&line, level, event, fields, count);
    if (settings.to_journal &&
        send_entry(level, event, fields, count, bytes, offset + line.length) >= 0)
        return;

    line.bytes[line.length++] = '\n';
    write_line(line.bytes, line.length);
}
