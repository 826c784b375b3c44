/* The attempts of a task before its last one. */
#include "store/history.h"

#include "store/jsontext.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"

static json_t *instant(int64_t ms)
{
    char text[UNITS_INSTANT_BYTES];
    if (ms <= 0)
        return json_null();
    size_t length = units_instant_text(ms, text);
    return json_stringn(text, length);
}

static json_t *last_error(const struct record *record)
{
    if (record->error_code[0] == '\0')
        return json_null();
    const char *message = record->error_message.bytes == NULL ? "" : record->error_message.bytes;
    return json_pack("{s:s, s:s, s:b}", "code", record->error_code, "message", message, "retryable",
                     (int)record->error_retryable);
}

void history_append(struct record *record)
{
    json_t *attempts = record->history.bytes == NULL
                           ? json_array()
                           : json_loadb(record->history.bytes, record->history.length, 0, NULL);
    json_t *attempt =
        json_pack("{s:i, s:o, s:o, s:i, s:o}", "attempt", (int)record->attempt, "started_at",
                  instant(record->started_at_ms), "finished_at", instant(record->finished_at_ms),
                  "worker", (int)record->worker, "error", last_error(record));

    if (json_array_append_new(attempts, attempt) == 0) {
        while (json_array_size(attempts) > RECORD_HISTORY_MAX - 1)
            (void)json_array_remove(attempts, 0);
        char *text = jsontext_write(attempts, JSON_COMPACT);
        if (text != NULL) {
            text_fini(&record->history);
            record->history = (struct text){.bytes = text, .length = strlen(text)};
        }
    }
    json_decref(attempts);
}
