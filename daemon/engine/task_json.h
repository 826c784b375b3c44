/** \file A task as JSON, as the API answers it and as the args of an on_failure task have it. Every
 * field of the design's list is always there. */
#ifndef ENGINE_TASK_JSON_H
#define ENGINE_TASK_JSON_H

#include "engine/engine.h"
#include "store/buffer.h"

enum task_json_view {
    TASK_JSON_FULL,
    TASK_JSON_LIST,  // without args and result
    TASK_JSON_SHORT, // without exec too
};

/** What follows the id: `,"kind":…}`. kind: the record's, for the settings that the task has none
 * of; NULL: not configured. waiting: why it has not started, NULL: it does not wait. */
void task_json_rest(struct buffer *buffer, const struct record *record,
                    const struct config_kind *kind, const struct engine_waiting_for *waiting,
                    enum task_json_view view);
/** The result of a succeeded task: JSON, or a string; without one null. */
void task_json_result(struct buffer *buffer, const struct record *record);
/** {"code":…,"message":…,"retryable":…} of a task that has one, else null. */
void task_json_error(struct buffer *buffer, const struct record *record);

#endif
