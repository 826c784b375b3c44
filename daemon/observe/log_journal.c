/* An event as an entry of the journal, with a field for each of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// Our file, line and function are of no use to who reads the journal.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "observe/log_internal.h"

enum { ENTRY_BYTES_MAX = 6144 }; // all fields of one entry, without MESSAGE

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

/* Puts NAME=value into store and iov; a value that does not fit is cut, a name that does not fit is
 * left out. */
static void add_field(struct log_line *store, const struct log_field *field, struct iovec *iov,
                      int *count)
{
    char number[LOG_NUMBER_BYTES];
    const char *value = log_value_text(field, number);
    size_t start = store->length;

    if (value == NULL)
        value = "-";
    log_line_add_text(store, "RUNNEL_");
    size_t key_bytes = strlen(field->key);
    RN_ASSERT(key_bytes <= LOG_KEY_BYTES_MAX);
    log_line_add(store, field->key, key_bytes);
    log_line_add(store, "=", 1);
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
    log_line_add(store, value, value_bytes);
    iov[(*count)++] =
        (struct iovec){.iov_base = store->bytes + start, .iov_len = store->length - start};
}

int log_journal_send(const struct log_entry *entry, char *message, size_t message_bytes)
{
    char bytes[ENTRY_BYTES_MAX];
    struct log_line store = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct iovec iov[3 + LOG_FIELDS_MAX];
    int used = 0;

    char priority[] = "PRIORITY=0";
    priority[sizeof(priority) - 2] = (char)('0' + log_level_priority(entry->level));
    iov[used++] = (struct iovec){.iov_base = message, .iov_len = message_bytes};
    iov[used++] = (struct iovec){.iov_base = priority, .iov_len = sizeof(priority) - 1};
    add_field(&store, &LOG_TEXT("event", entry->event), iov, &used);
    for (size_t i = 0; i < entry->count; i++)
        add_field(&store, &entry->fields[i], iov, &used);
    return sd_journal_sendv(iov, used);
}
