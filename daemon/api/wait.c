/* Subscribe, read once, then wait: no end can slip between. While the read is under way only its
 * end resumes the request; an end of the task meanwhile is noted in request->ended and looked at
 * before the request waits for it. */
#include "api/wait.h"

#include "api/connections.h"
#include "api/request.h"

static void after_read(struct request *request);

static void task_ended(struct engine_wait *wait, void *arg)
{
    struct request *request = arg;

    (void)wait;
    atomic_store(&request->ended, true);
    (void)request_resume(request, REQUEST_WAITS_END);
}

static void stop_waiting(struct request *request)
{
    if (!request->has_wait)
        return;
    request->has_wait = false;
    (void)engine_wait_stop(request->server->engine, &request->wait);
}

static void read_task(struct request *request)
{
    request->read.type = STORE_GET;
    request->read.get.id = request->id;
    request->read.get.record = NULL;
    request_read(request, after_read);
}

/* The task has ended, or there is another reason to answer: as the task is now. */
static void after_wait(struct request *request)
{
    stop_waiting(request);
    read_task(request);
}

/* For a token for some queues and kinds the tasks of others are not there, and never were. */
static void hide(struct request *request)
{
    struct store_read *read = &request->read;
    bool is_hidden = read->result >= 0 && !access_sees(request->token, read->get.record);

    if (is_hidden)
        record_free(RN_TAKE(read->get.record));
    if (is_hidden || (read->result == -ENODATA && access_is_limited(request->token)))
        read->result = -ENOENT;
}

static void after_read(struct request *request)
{
    hide(request);
    if (request->read.result < 0) {
        stop_waiting(request);
        if (request->missing_fn != NULL)
            request->missing_fn(request);
        else
            request_problem_error(request, request->read.result);
        return;
    }
    record_free(request->record);
    request->record = RN_TAKE(request->read.get.record);
    if (!request->has_wait || task_state_is_final(request->record->state)) {
        stop_waiting(request);
        request->finish_fn(request);
        return;
    }

    bool is_suspended = request_suspend(request, REQUEST_WAITS_END, after_wait);
    RN_ASSERT(is_suspended); // it is busy since the read
    // Without the watch a hang-up goes unnoticed, and the wait ends by its time.
    (void)connection_watch(request->connection);
    if (atomic_load(&request->ended) || atomic_load(&request->server->stopping))
        (void)request_resume(request, REQUEST_WAITS_END);
}

void wait_read(struct request *request, request_fn *finish_fn, request_fn *missing_fn)
{
    request->finish_fn = finish_fn;
    request->missing_fn = missing_fn;
    atomic_store(&request->ended, false);
    if (request->wait_until != 0) {
        request->wait = (struct engine_wait){
            .id = request->id, .until = request->wait_until, .done_fn = task_ended, .arg = request};
        int r = engine_wait_start(request->server->engine, &request->wait);
        request->has_wait = r == 0;
        // -EPIPE: the daemon drains, the answer is the task as it is; so it is where a submit was
        // stored already.
        if (r < 0 && r != -EPIPE && !request->has_effect) {
            request_problem(request, PROBLEM_BUSY,
                            "too many requests wait already (max_waiting); ask again without wait");
            return;
        }
    }
    read_task(request);
}
