/** \file A task on its way out: from its record to JSON. Every field of the design's list is always
 * there. */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api/core.h"
#include "store/record.h"

enum answer_view {
    ANSWER_FULL,
    ANSWER_LIST, // without args and result
};

/** {"id":42,…} */
void answer_task(struct buffer *buffer, struct engine *engine, const struct record *record,
                 enum answer_view view);
/** What follows the id: `,"kind":…}`. For a task that is not stored yet. */
void answer_task_rest(struct buffer *buffer, struct engine *engine, const struct record *record,
                      enum answer_view view);
/** {"code":…,"message":…,"retryable":…} of a task that has one, else null. */
void answer_error(struct buffer *buffer, const struct record *record);

#endif
