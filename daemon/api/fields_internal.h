/** \file What the files that read a task's fields share: the table of fields, and a task while it
 * is read. */
#ifndef API_FIELDS_INTERNAL_H
#define API_FIELDS_INTERNAL_H

#include "api/fields.h"

// clang-format off
#define FIELDS(X)                                                                                                                  \
    X(KIND, "kind", set_kind) X(ARGS, "args", NULL) X(QUEUE, "queue", set_queue) X(PRIORITY, "priority", set_priority)             \
    X(DELAY, "delay", set_delay) X(RUN_AT, "run_at", set_run_at) X(EXPIRES_AT, "expires_at", set_expires_at)                       \
    X(TIMEOUT, "timeout", set_timeout) X(MAX_ATTEMPTS, "max_attempts", set_max_attempts) X(BACKOFF, "backoff", set_backoff)        \
    X(TAGS, "tags", set_tags)
// clang-format on

enum field {
#define FIELD_ENUM(symbol, name, set) FIELD_##symbol,
    FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT
};

extern const char *const field_names[FIELD_COUNT + 1]; // NULL-terminated

/** One task while it is read. */
struct reading {
    const struct fields *fields;
    struct faults *faults;
    struct record *record;
    const struct config_kind *kind; // NULL: missing or unknown
    json_t *values[16];             // by enum field; NULL: left out
    int error;                      // -ENOMEM
};

/** Checks a field's value and sets the record. Kind comes before queue, delay before run_at. */
void fields_set(struct reading *reading, enum field field);
/** Checks the record's args, and their value, against the kind. */
void fields_check_args(struct reading *reading, const json_t *value);

#endif
