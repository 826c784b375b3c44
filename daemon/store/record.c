/* Records: what they own, and how much that is. */
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include <runnel/error.h>

/* The texts of a record, all of them: record_fini and record_bytes go through this list. */
#define RECORD_TEXTS(X) X(args) X(tags) X(result) X(error_message) X(exec) X(history) X(children)

void record_init(struct record *record)
{
    RN_ASSERT(record != NULL);
    memset(record, 0, sizeof(*record));
}

void record_fini(struct record *record)
{
    if (record == NULL)
        return;
#define FINI(name) free(record->name.bytes);
    RECORD_TEXTS(FINI)
#undef FINI
    record_init(record);
}

void record_free(struct record *record)
{
    record_fini(record);
    free(record);
}

void records_free(struct record **records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        record_free(records[i]);
    free(records);
}

int text_set(struct text *text, const char *bytes, size_t length)
{
    char *copy = NULL;

    RN_ASSERT(text != NULL);
    if (bytes != NULL) {
        copy = malloc(length + 1);
        if (copy == NULL)
            return -ENOMEM;
        memcpy(copy, bytes, length);
        copy[length] = '\0';
    }
    free(text->bytes);
    *text = (struct text){.bytes = copy, .length = copy == NULL ? 0 : length};
    return 0;
}

void text_fini(struct text *text)
{
    if (text == NULL)
        return;
    free(text->bytes);
    *text = (struct text){0};
}

size_t record_bytes(const struct record *record)
{
    size_t bytes = sizeof(*record);
#define ADD(name) bytes += record->name.bytes == NULL ? 0 : record->name.length + 1;
    RECORD_TEXTS(ADD)
#undef ADD
    return bytes;
}

bool record_trace_valid(const char *text, size_t length)
{
    static const char dashes[] = {2, 35, 52};

    if (length != RECORD_TRACE_BYTES - 1 || strspn(text, "-0123456789abcdef") < length ||
        memcmp(text, "00", 2) != 0)
        return false;
    for (size_t i = 0, next = 0; i < length; i++) {
        bool is_dash = next < sizeof(dashes) && (size_t)dashes[next] == i;
        if ((text[i] == '-') != is_dash)
            return false;
        next += is_dash ? 1 : 0;
    }
    return true;
}

int queue_key_compare(struct queue_key a, struct queue_key b)
{
    if (a.priority != b.priority)
        return a.priority > b.priority ? -1 : 1;
    if (a.id != b.id)
        return a.id < b.id ? -1 : 1;
    return 0;
}
