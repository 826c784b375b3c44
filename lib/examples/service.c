/*
 * A service: 3 workers, 5 tasks of 0.5, 1, … 2.5 seconds, a monitor that sees how each ends, and a
 * shutdown after 2 seconds: at once, as the Go program, so that what still runs is cancelled; and
 * again, with 5 seconds to finish. `service quick` is ten times as fast.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <runnel/runnel.h>

enum { WORKERS = 3, TASKS = 5, TASK_MS = 500, RUN_MS = 2000, DRAIN_MS = 5000 };

static int tasks[TASKS] = {1, 2, 3, 4, 5};
static pthread_key_t worker_key;

/* Runs when a worker's thread ends. */
static void leave(void *worker)
{
    printf("Worker %u shutting down\n", (unsigned)(uintptr_t)worker);
}

static int process_task(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    const unsigned *speed = arg;
    int number = *(const int *)task;

    pthread_setspecific(worker_key, (void *)(uintptr_t)worker);
    printf("Worker %u processing task %d\n", worker, number);
    return rn_sleep(ctx, number * (TASK_MS * RN_MILLISECOND) / *speed);
}

/* The monitor gets exactly one result for each task that was accepted. */
static void print_result(void *arg, const struct rn_service_result *result)
{
    int number = *(const int *)result->task;

    (void)arg;
    if (result->outcome == RN_TASK_DONE)
        printf("Task %d completed by worker %u\n", number, result->worker);
    else
        printf("Task %d %s\n", number, rn_task_outcome_text(result->outcome)); // "cancelled"
}

static int run(unsigned speed, rn_duration drain)
{
    struct rn_service_options options = {.name = "worker",
                                         .workers = WORKERS,
                                         .backlog = TASKS,
                                         .results = TASKS,
                                         .run_fn = process_task,
                                         .result_fn = print_result,
                                         .arg = &speed};
    rn_service *service;

    int r = rn_service_new(NULL, &options, &service);
    if (r < 0)
        return r;
    r = rn_service_start(service);
    for (int i = 0; r == 0 && i < TASKS; i++)
        r = rn_service_submit(NULL, service, &tasks[i]);
    if (r == 0)
        r = rn_sleep(NULL, RUN_MS * RN_MILLISECOND / speed);
    printf("Initiating shutdown...\n");
    rn_service_shutdown(service, drain);
    printf("Shutdown complete\n");
    rn_service_free(service);
    return r;
}

int main(int argc, char **argv)
{
    unsigned speed = argc > 1 && strcmp(argv[1], "quick") == 0 ? 10 : 1;

    int r = -pthread_key_create(&worker_key, leave);
    if (r == 0)
        r = run(speed, 0);
    if (r == 0) {
        printf("\nAgain, with time to finish:\n");
        r = run(speed, DRAIN_MS * RN_MILLISECOND / speed);
    }
    if (r < 0)
        fprintf(stderr, "service: %s\n", rn_strerror(r));
    return r == 0 ? 0 : 1;
}
