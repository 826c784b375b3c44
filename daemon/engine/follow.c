/* What follows a task that has ended: a task of the kind that on_success or on_failure names, the
 * kind's setting before the queue's. On the store's thread, in the transaction of the end. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "engine/task_json.h"
#include "store/jsontext.h"

enum { FOLLOW_ARGS_MAX = 1 << 20 }; // bytes

/* The follow-up's kind; "": none. */
static const char *kind_name(const struct config *config, const struct record *record,
                             enum task_state to)
{
    const struct config_kind *kind = config_kind_find(config, record->kind);
    const struct config_queue *queue = config_queue_find(config, record->queue);
    const char *name = "";

    if (to == TASK_SUCCEEDED) {
        name = kind != NULL ? kind->follow.on_success : "";
        if (name[0] == '\0' && queue != NULL)
            name = queue->follow.on_success;
    } else if (to == TASK_FAILED && !record->is_on_failure) {
        name = kind != NULL ? kind->follow.on_failure : "";
        if (name[0] == '\0' && queue != NULL)
            name = queue->follow.on_failure;
    }
    return name;
}

bool follow_wanted(const struct config *config, const struct record *record, enum task_state to)
{
    return kind_name(config, record, to)[0] != '\0';
}

/* args of an on_failure: the task as the API shows it; what it was given and what it left is left
 * out where that is too much. */
static void add_failed_task(struct buffer *buffer, const struct config *config,
                            const struct record *ended, enum task_json_view view)
{
    BUFFER_LITERAL(buffer, "{\"id\":");
    buffer_unsigned(buffer, ended->id);
    task_json_rest(buffer, ended, config_kind_find(config, ended->kind), NULL, view);
}

static void add_args(struct buffer *buffer, const struct config *config, const struct record *ended)
{
    if (ended->state == TASK_SUCCEEDED) {
        task_json_result(buffer, ended);
        return;
    }
    if (ended->args.length + ended->exec.length < FOLLOW_ARGS_MAX)
        add_failed_task(buffer, config, ended, TASK_JSON_FULL);
    if (buffer->length == 0 || buffer->length > FOLLOW_ARGS_MAX) {
        buffer->length = 0;
        add_failed_task(buffer, config, ended, TASK_JSON_SHORT);
    }
}

static int fail(struct record *record, const char *message)
{
    record->state = TASK_FAILED;
    (void)snprintf(record->error_code, sizeof(record->error_code), "invalid-args");
    return text_set(&record->error_message, message, strlen(message));
}

/* Sets args, or that they do not fit. */
static int take_args(struct record *record, const struct config_kind *kind, struct buffer *args)
{
    struct args_fault faults[1] = {{.pointer = ""}};
    json_error_t error;
    char message[sizeof(faults[0].pointer) + sizeof(faults[0].detail) + 4];

    if (args->length > FOLLOW_ARGS_MAX) {
        (void)snprintf(message, sizeof(message), "the result has %zu bytes, args may have 1 MiB",
                       args->length);
        return fail(record, message);
    }
    int r = text_set(&record->args, args->bytes, args->length);
    if (r < 0)
        return r;
    json_t *json =
        jsontext_read(args->bytes, args->length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json == NULL && json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    if (json == NULL)
        return fail(record, "the result is no JSON that a task may have as args");
    if (runner_check_args(kind, json, args->bytes, args->length, faults, 1) > 0) {
        (void)snprintf(message, sizeof(message), "%s: %s", faults[0].pointer, faults[0].detail);
        r = fail(record, message);
    }
    json_decref(json);
    return r;
}

static int make(const struct config *config, const struct record *ended, struct record **ret_follow)
{
    const char *name = kind_name(config, ended, ended->state);
    struct buffer args = {.bytes = NULL};

    if (name[0] == '\0')
        return 0;
    if (ended->links >= RECORD_LINKS_MAX) {
        log_event(LOG_LEVEL_ERR, "chain_too_long", LOG_UINT("task", ended->id),
                  LOG_TEXT("kind", ended->kind), LOG_TEXT("follow_up", name),
                  LOG_TEXT("error", "a chain has at most 100 links: this one ends here"));
        return 0;
    }
    const struct config_kind *kind = config_kind_find(config, name);
    RN_ASSERT(kind != NULL); // the configuration says so
    struct record *record = calloc(1, sizeof(*record));
    if (record == NULL)
        return -ENOMEM;
    record->state = TASK_QUEUED;
    record->is_on_failure = ended->state == TASK_FAILED;
    memcpy(record->traceparent, ended->traceparent, sizeof(record->traceparent));
    (void)snprintf(record->kind, sizeof(record->kind), "%s", kind->name);
    (void)snprintf(record->queue, sizeof(record->queue), "%s",
                   kind->queue != NULL ? kind->queue : "default");
    add_args(&args, config, ended);
    int r = args.failed ? -ENOMEM : take_args(record, kind, &args);
    buffer_fini(&args);
    if (r < 0) {
        record_free(record);
        return r;
    }
    *ret_follow = record;
    return 0;
}

int follow_make(void *arg, const struct record *ended, struct record **ret_follow)
{
    const struct config *config = engine_config_ref(arg);

    *ret_follow = NULL;
    int r = make(config, ended, ret_follow);
    config_unref(config);
    return r;
}
