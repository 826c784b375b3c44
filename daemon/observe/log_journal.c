/* An event as an entry of the journal, with a field for each of its own.
 *
 * The journal's own protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), one datagram an entry,
 * is spoken here: sd_journal_sendv(3) has no time limit, and a journal that does not read would
 * hold the daemon for ever. An entry is far below what a datagram takes, so the protocol's second
 * way, by a sealed file, is not needed. */
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "observe/log_internal.h"

enum {
    FIELDS_BYTES_MAX = 6144, // all fields of one entry, without MESSAGE
    SIZE_BYTES = 8,          // of a value, where it has newlines
};
// How long an entry waits for a journal that reads too slowly; then, until it reads again, none
// does.
#define PATIENCE (100 * RN_MILLISECOND)

static struct {
    int fd; // set by log_journal_open, as address; -1: there is none
    struct sockaddr_un address;
    _Atomic bool is_stuck; // the last entry found no room in PATIENCE
} journal = {.fd = -1};

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that the service's output
 * goes to. It is inherited, so that it is set says nothing: standard error may have been redirected
 * since. */
bool log_journal_is_stderr(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
        return false;

    char ours[64];
    snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

/* Not connected: a journal that is started anew makes another socket at the same path. */
void log_journal_open(const char *path)
{
    const struct timeval patience = {.tv_usec = PATIENCE / RN_MICROSECOND};

    RN_ASSERT(strlen(path) < sizeof(journal.address.sun_path));
    if (journal.fd >= 0)
        (void)close(journal.fd);
    journal.address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(journal.address.sun_path, path, strlen(path) + 1);
    atomic_store(&journal.is_stuck, false);
    journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal.fd >= 0 &&
        setsockopt(journal.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0) {
        (void)close(journal.fd);
        journal.fd = -1;
    }
}

/* NAME=value, or where the value has newlines its length in place of the sign. A value that does
 * not fit is cut, a name that does not fit is left out. */
static void add(struct log_line *data, const char *name, const char *value)
{
    size_t name_bytes = strlen(name);
    size_t value_bytes = strlen(value);

    if (name_bytes + SIZE_BYTES + 2 > data->capacity - data->length)
        return;
    size_t room = data->capacity - data->length - (name_bytes + SIZE_BYTES + 2);
    if (value_bytes > room)
        value_bytes = room;
    log_line_add(data, name, name_bytes);
    if (memchr(value, '\n', value_bytes) != NULL) {
        uint64_t size = htole64(value_bytes);
        log_line_add(data, "\n", 1);
        log_line_add(data, (const char *)&size, sizeof(size));
    } else {
        log_line_add(data, "=", 1);
    }
    log_line_add(data, value, value_bytes);
    log_line_add(data, "\n", 1);
}

static void add_field(struct log_line *data, const struct log_field *field)
{
    char number[LOG_NUMBER_BYTES];
    char name[sizeof("RUNNEL_") + LOG_KEY_BYTES_MAX] = "RUNNEL_";
    const char *value = log_value_text(field, number);
    size_t key_bytes = strlen(field->key);

    RN_ASSERT(key_bytes <= LOG_KEY_BYTES_MAX);
    for (size_t i = 0; i < key_bytes; i++) {
        char letter = field->key[i];
        name[sizeof("RUNNEL_") - 1 + i] =
            letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
    }
    add(data, name, value != NULL ? value : "-");
}

static bool send_data(const struct log_line *data)
{
    bool was_stuck = atomic_load_explicit(&journal.is_stuck, memory_order_relaxed);
    ssize_t n = -1;

    do {
        n = sendto(journal.fd, data->bytes, data->length,
                   MSG_NOSIGNAL | (was_stuck ? MSG_DONTWAIT : 0),
                   (const struct sockaddr *)&journal.address, sizeof(journal.address));
    } while (n < 0 && errno == EINTR);
    bool is_stuck = n < 0 && errno == EAGAIN;
    if (is_stuck != was_stuck)
        atomic_store_explicit(&journal.is_stuck, is_stuck, memory_order_relaxed);
    return n >= 0;
}

bool log_journal_send(const struct log_entry *entry, const char *message)
{
    char bytes[LOG_LINE_BYTES_MAX + 64 + FIELDS_BYTES_MAX];
    struct log_line data = {.bytes = bytes, .capacity = sizeof(bytes)};
    const char priority[] = {(char)('0' + log_level_priority(entry->level)), '\0'};

    if (journal.fd < 0)
        return false;
    add(&data, "MESSAGE", message);
    data.capacity = data.length + FIELDS_BYTES_MAX;
    add(&data, "PRIORITY", priority);
    add(&data, "SYSLOG_IDENTIFIER", "runneld");
    add_field(&data, &LOG_TEXT("event", entry->event));
    for (size_t i = 0; i < entry->count; i++)
        add_field(&data, &entry->fields[i]);
    return send_data(&data);
}
