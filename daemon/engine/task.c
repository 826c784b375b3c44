/* Makes and frees the tasks that are in memory. */
#include "engine/task.h"

#include <stdlib.h>

int task_new(struct queue *queue, struct record **record, struct task **ret_task)
{
    RN_ASSERT(queue != NULL);
    RN_ASSERT(record != NULL && *record != NULL);

    struct task *task = calloc(1, sizeof(*task));
    if (task == NULL)
        return -ENOMEM;

    task->record = **record;
    free(RN_TAKE(*record)); // the shell alone: what it pointed to has moved
    task->queue = queue;
    if (task->record.args.length > RECORD_ARGS_INLINE) {
        text_fini(&task->record.args);
        task->record.args_in_store = true;
    }
    *ret_task = task;
    return 0;
}

void task_free(struct task *task)
{
    if (task == NULL)
        return;
    rn_context_unref(task->context);
    rn_chan_free(task->started);
    config_unref(task->config);
    record_fini(&task->record);
    free(task);
}
