/** \file A task on its way out: from its record to JSON, with why it waits. */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api/core.h"
#include "engine/task_json.h"

/** {"id":42,…} */
void answer_task(struct buffer *buffer, const struct request *request, const struct record *record,
                 enum task_json_view view);
/** What follows the id: `,"kind":…}`. For a task that is not stored yet. */
void answer_task_rest(struct buffer *buffer, const struct request *request,
                      const struct record *record, enum task_json_view view);

#endif
