/* A task as JSON. */
#include "engine/task_json.h"

static void add_text(struct buffer *buffer, const struct text *text)
{
    if (text->bytes == NULL)
        BUFFER_LITERAL(buffer, "null");
    else
        buffer_add(buffer, text->bytes, text->length);
}

/* A number of which 0 means that there is none. */
static void add_number(struct buffer *buffer, uint64_t number)
{
    if (number == 0)
        BUFFER_LITERAL(buffer, "null");
    else
        buffer_unsigned(buffer, number);
}

static void add_duration(struct buffer *buffer, int64_t ms)
{
    if (ms == 0)
        BUFFER_LITERAL(buffer, "null");
    else
        buffer_json_duration(buffer, ms);
}

void task_json_error(struct buffer *buffer, const struct record *record)
{
    if (record->error_code[0] == '\0') {
        BUFFER_LITERAL(buffer, "null");
        return;
    }
    BUFFER_LITERAL(buffer, "{\"code\":");
    buffer_json_text(buffer, record->error_code);
    BUFFER_LITERAL(buffer, ",\"message\":");
    if (record->error_message.bytes == NULL)
        BUFFER_LITERAL(buffer, "null");
    else
        buffer_json_string(buffer, record->error_message.bytes, record->error_message.length);
    BUFFER_LITERAL(buffer, ",\"retryable\":");
    buffer_json_bool(buffer, record->error_retryable);
    BUFFER_LITERAL(buffer, "}");
}

void task_json_result(struct buffer *buffer, const struct record *record)
{
    if (record->result.bytes == NULL)
        BUFFER_LITERAL(buffer, "null");
    else if (record->result_is_json)
        buffer_add(buffer, record->result.bytes, record->result.length);
    else
        buffer_json_string(buffer, record->result.bytes, record->result.length);
}

/* The attempt settings in force: the task's own, else its kind's; null where there is no such kind.
 */
static void add_settings(struct buffer *buffer, const struct record *record,
                         const struct config_kind *kind)
{
    int64_t timeout_ms = record->timeout_ms;
    unsigned max_attempts = record->max_attempts;
    int64_t base_ms = record->backoff_base_ms;
    int64_t max_ms = record->backoff_max_ms;

    if (kind != NULL) {
        timeout_ms = timeout_ms != 0 ? timeout_ms : kind->timeout / RN_MILLISECOND;
        max_attempts = max_attempts != 0 ? max_attempts : kind->max_attempts;
        base_ms = base_ms != 0 ? base_ms : kind->backoff_base / RN_MILLISECOND;
        max_ms = max_ms != 0 ? max_ms : kind->backoff_max / RN_MILLISECOND;
    }
    BUFFER_LITERAL(buffer, ",\"max_attempts\":");
    add_number(buffer, max_attempts);
    BUFFER_LITERAL(buffer, ",\"interruptions\":");
    buffer_unsigned(buffer, record->interruptions);
    BUFFER_LITERAL(buffer, ",\"timeout\":");
    add_duration(buffer, timeout_ms);
    BUFFER_LITERAL(buffer, ",\"backoff\":{\"base\":");
    add_duration(buffer, base_ms);
    BUFFER_LITERAL(buffer, ",\"max\":");
    add_duration(buffer, max_ms);
    BUFFER_LITERAL(buffer, "}");
}

static void add_waiting_for(struct buffer *buffer, const struct engine_waiting_for *waiting)
{
    BUFFER_LITERAL(buffer, ",\"waiting_for\":");
    if (waiting == NULL || waiting->code == NULL) {
        BUFFER_LITERAL(buffer, "null");
        return;
    }
    BUFFER_LITERAL(buffer, "{\"code\":");
    buffer_json_text(buffer, waiting->code);
    BUFFER_LITERAL(buffer, ",\"detail\":");
    buffer_json_text(buffer, waiting->detail);
    BUFFER_LITERAL(buffer, ",\"next_start_at\":");
    buffer_json_instant(buffer, waiting->next_start_at_ms);
    BUFFER_LITERAL(buffer, "}");
}

/* Whether the times of the last attempt's end are known: not while it runs, nor when it was cut
 * short and is queued again. */
static bool attempt_has_ended(const struct record *record)
{
    return record->state != TASK_RUNNING && record->started_at_ms != 0 &&
           record->finished_at_ms >= record->started_at_ms;
}

static void add_times(struct buffer *buffer, const struct record *record)
{
    bool is_final = task_state_is_final(record->state);

    BUFFER_LITERAL(buffer, ",\"created_at\":");
    buffer_json_instant(buffer, record->created_at_ms);
    BUFFER_LITERAL(buffer, ",\"run_at\":");
    buffer_json_instant(buffer, record->due_at_ms);
    BUFFER_LITERAL(buffer, ",\"expires_at\":");
    buffer_json_instant(buffer, record->expires_at_ms);
    BUFFER_LITERAL(buffer, ",\"queued_at\":");
    buffer_json_instant(buffer, record->queued_at_ms);
    BUFFER_LITERAL(buffer, ",\"started_at\":");
    buffer_json_instant(buffer, record->started_at_ms);
    BUFFER_LITERAL(buffer, ",\"finished_at\":");
    buffer_json_instant(buffer, is_final ? record->finished_at_ms : 0);
    BUFFER_LITERAL(buffer, ",\"duration_ms\":");
    if (attempt_has_ended(record))
        buffer_signed(buffer, record->finished_at_ms - record->started_at_ms);
    else
        BUFFER_LITERAL(buffer, "null");
    BUFFER_LITERAL(buffer, ",\"cancel_requested_at\":");
    buffer_json_instant(buffer, record->cancel_requested_at_ms);
}

/* The attempts before the last one are kept as JSON, the last one is made from the record's own
 * columns. */
static void add_attempts(struct buffer *buffer, const struct record *record)
{
    bool has_history = record->history.bytes != NULL && record->history.length > 2; // more than []

    BUFFER_LITERAL(buffer, ",\"attempts\":[");
    if (has_history)
        buffer_add(buffer, record->history.bytes + 1, record->history.length - 2);
    if (record->started_at_ms != 0 && record->attempt > 0) {
        if (has_history)
            BUFFER_LITERAL(buffer, ",");
        BUFFER_LITERAL(buffer, "{\"attempt\":");
        buffer_unsigned(buffer, record->attempt);
        BUFFER_LITERAL(buffer, ",\"started_at\":");
        buffer_json_instant(buffer, record->started_at_ms);
        BUFFER_LITERAL(buffer, ",\"finished_at\":");
        buffer_json_instant(buffer, attempt_has_ended(record) ? record->finished_at_ms : 0);
        BUFFER_LITERAL(buffer, ",\"worker\":");
        add_number(buffer, record->worker);
        BUFFER_LITERAL(buffer, ",\"error\":");
        task_json_error(buffer, record);
        BUFFER_LITERAL(buffer, "}");
    }
    BUFFER_LITERAL(buffer, "]");
}

static void add_relatives(struct buffer *buffer, const struct record *record)
{
    BUFFER_LITERAL(buffer, ",\"parent\":");
    add_number(buffer, record->parent);
    BUFFER_LITERAL(buffer, ",\"children\":");
    if (record->children.bytes == NULL)
        BUFFER_LITERAL(buffer, "[]");
    else
        add_text(buffer, &record->children);
}

void task_json_rest(struct buffer *buffer, const struct record *record,
                    const struct config_kind *kind, const struct engine_waiting_for *waiting,
                    enum task_json_view view)
{
    BUFFER_LITERAL(buffer, ",\"kind\":\"");
    buffer_text(buffer, record->kind);
    BUFFER_LITERAL(buffer, "\",\"queue\":\"");
    buffer_text(buffer, record->queue);
    BUFFER_LITERAL(buffer, "\",\"state\":\"");
    buffer_text(buffer, task_state_name(record->state));
    BUFFER_LITERAL(buffer, "\",\"priority\":");
    buffer_signed(buffer, record->priority);
    if (view == TASK_JSON_FULL) {
        BUFFER_LITERAL(buffer, ",\"args\":");
        add_text(buffer, &record->args);
        BUFFER_LITERAL(buffer, ",\"result\":");
        task_json_result(buffer, record);
    }
    BUFFER_LITERAL(buffer, ",\"error\":");
    task_json_error(buffer, record);
    if (view != TASK_JSON_SHORT) {
        BUFFER_LITERAL(buffer, ",\"exec\":");
        add_text(buffer, &record->exec);
    }
    BUFFER_LITERAL(buffer, ",\"tags\":");
    add_text(buffer, &record->tags);
    BUFFER_LITERAL(buffer, ",\"traceparent\":");
    buffer_json_text(buffer, record->traceparent[0] == '\0' ? NULL : record->traceparent);
    BUFFER_LITERAL(buffer, ",\"attempt\":");
    buffer_unsigned(buffer, record->attempt);
    BUFFER_LITERAL(buffer, ",\"worker\":");
    add_number(buffer, record->worker);
    add_settings(buffer, record, kind);
    add_waiting_for(buffer, waiting);
    add_times(buffer, record);
    add_attempts(buffer, record);
    add_relatives(buffer, record);
    BUFFER_LITERAL(buffer, "}");
}
