/* A task on its way out. */
#include "api/answer.h"

void answer_task_rest(struct buffer *buffer, const struct request *request,
                      const struct record *record, enum task_json_view view)
{
    const struct config_kind *kind = config_kind_find(request->config, record->kind);
    struct engine_waiting_for waiting = {.code = NULL};

    if (task_state_is_waiting(record->state))
        engine_waiting_for(request->server->engine, record, &waiting);
    task_json_rest(buffer, record, kind, &waiting, view);
}

void answer_task(struct buffer *buffer, const struct request *request, const struct record *record,
                 enum task_json_view view)
{
    BUFFER_LITERAL(buffer, "{\"id\":");
    buffer_unsigned(buffer, record->id);
    answer_task_rest(buffer, request, record, view);
}
