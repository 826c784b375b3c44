/* The change of a task that waits: the fields of a new one, but that what is left out stays, and
 * that null says something. */
#include <string.h>

#include "api/fields_internal.h"
#include "api/members.h"
#include "store/jsontext.h"

// What each field's member changes in the store. 0: it can't be changed.
static const unsigned edits[FIELD_COUNT] = {
    [FIELD_KIND] = STORE_EDIT_KIND,         [FIELD_QUEUE] = STORE_EDIT_QUEUE,
    [FIELD_PRIORITY] = STORE_EDIT_PRIORITY, [FIELD_DELAY] = STORE_EDIT_RUN_AT,
    [FIELD_RUN_AT] = STORE_EDIT_RUN_AT,     [FIELD_EXPIRES_AT] = STORE_EDIT_EXPIRES_AT,
    [FIELD_TIMEOUT] = STORE_EDIT_TIMEOUT,   [FIELD_MAX_ATTEMPTS] = STORE_EDIT_MAX_ATTEMPTS,
    [FIELD_BACKOFF] = STORE_EDIT_BACKOFF,   [FIELD_TAGS] = STORE_EDIT_TAGS,
};

/* The args of the task against its new kind. */
static void check_stored_args(struct reading *reading, const struct record *task)
{
    struct record *record = reading->record;
    json_error_t error;
    json_t *args = NULL;

    if (task->args.bytes != NULL) {
        args = jsontext_read(task->args.bytes, task->args.length, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                             &error);
        if (args == NULL && json_error_code(&error) == json_error_out_of_memory)
            reading->error = -ENOMEM;
        else if (args == NULL) // of a follow-up, made from a result
            faults_add(reading->faults, "/kind",
                       "the task's args are no JSON that a kind could take");
        if (args == NULL)
            return;
    }
    record->args = task->args; // borrowed
    fields_check_args(reading, args);
    record->args = (struct text){.bytes = NULL};
    json_decref(args);
}

/* Sets the fields that are there. null leaves the record's own nothing, but for the queue, which is
 * then the kind's. */
static void set_given(struct reading *reading, const json_t *change, unsigned *fields)
{
    for (unsigned field = 0; field < FIELD_COUNT; field++) {
        const json_t *value = json_object_get(change, field_names[field]);
        if (value == NULL)
            continue;
        *fields |= edits[field];
        if (field == FIELD_ARGS)
            faults_add(reading->faults, "/args", "can't be changed: submit another task");
        else if (field == FIELD_KIND && json_is_null(value))
            faults_add(reading->faults, "/kind", "must be a string: a task has a kind");
        else
            fields_set(reading, (enum field)field);
    }
}

int fields_change(const struct fields *fields, json_t *change, const struct record *task,
                  struct faults *faults, struct record *ret_record, unsigned *ret_fields)
{
    struct reading reading = {.fields = fields, .faults = faults, .record = ret_record};
    size_t faults_before = faults->count;

    *ret_fields = 0;
    reading.kind = config_kind_find(fields->config, task->kind);
    for (unsigned field = 0; field < FIELD_COUNT; field++) {
        json_t *value = json_object_get(change, field_names[field]);
        reading.values[field] = json_is_null(value) ? NULL : value;
    }
    members_unknown(change, "", field_names, faults);
    if (json_object_size(change) == 0)
        faults_add(faults, "", "must have at least one of the fields that it is to change");
    set_given(&reading, change, ret_fields);
    if ((*ret_fields & STORE_EDIT_QUEUE) != 0 && ret_record->queue[0] == '\0' &&
        faults->count == faults_before)
        faults_add(faults, "/queue", "the task's kind, which is not configured, names none");
    if ((*ret_fields & STORE_EDIT_KIND) != 0)
        check_stored_args(&reading, task);
    if (reading.error < 0)
        return reading.error;
    return faults->count > faults_before ? -EINVAL : 0;
}
