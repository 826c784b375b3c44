/*
 * A worker pool with a rate: 3 workers, 10 tasks of up to a second each, of which 2 start in a
 * second at most. `worker_pool quick` is ten times as fast.
 */
#define _GNU_SOURCE 1 // pthread_getname_np
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <runnel/runnel.h>

enum { WORKERS = 3, TASKS = 10, STARTS_PER_S = 2, LONGEST_MS = 1000 };

struct task {
    int id;
    rn_duration length;
};

static int work(rn_context *ctx, void *arg)
{
    const struct task *task = arg;
    char worker[16] = "";
    int r;

    pthread_getname_np(pthread_self(), worker, sizeof(worker)); // "Worker-1", …
    worker[strlen("Worker")] = ' ';
    fprintf(stderr, "%s starting task %d\n", worker, task->id);
    r = rn_sleep(ctx, task->length);
    fprintf(stderr, "%s %s task %d\n", worker, r == 0 ? "completed" : "gave up", task->id);
    return r;
}

static int submit_all(rn_pool *pool, struct task *tasks, unsigned speed)
{
    int r = 0;

    for (int i = 0; r == 0 && i < TASKS; i++) {
        tasks[i].id = i + 1;
        tasks[i].length = arc4random_uniform(LONGEST_MS) * RN_MILLISECOND / speed;
        r = rn_pool_submit(NULL, pool, work, &tasks[i]);
    }
    rn_pool_close(pool); // what was submitted still runs
    return r;
}

static void print_row(const struct rn_pool_result *result)
{
    const struct task *task = result->arg;
    int64_t start_ms = rn_wall_ms() - (rn_now() - result->started_at) / RN_MILLISECOND;
    rn_duration length = result->ended_at - result->started_at;
    struct tm local = {0};
    char start[16] = "";

    localtime_r(&(time_t){start_ms / 1000}, &local);
    strftime(start, sizeof(start), "%H:%M:%S", &local);
    printf("%-8d %-8u %s.%03d         %dms\n", task->id, result->worker, start,
           (int)(start_ms % 1000), (int)(length / RN_MILLISECOND));
}

static void print_summary(rn_pool *pool)
{
    struct rn_pool_result results[TASKS];
    size_t count = 0;

    // The channel is closed after the last result.
    while (rn_chan_recv(NULL, rn_pool_results(pool), &results[count]) == 0)
        count++;
    puts("\nTask Completion Summary:");
    puts("Task ID  Worker   Start Time           Duration");
    puts("------------------------------------------------------------");
    for (size_t i = 0; i < count; i++)
        print_row(&results[i]);
}

int main(int argc, char **argv)
{
    unsigned speed = argc > 1 && strcmp(argv[1], "quick") == 0 ? 10 : 1;
    struct rn_pool_options options = {
        .name = "Worker", .workers = WORKERS, .backlog = TASKS, .results = TASKS};
    struct task tasks[TASKS];
    rn_pool *pool = NULL;

    int r = rn_limiter_new(STARTS_PER_S * speed, 1, &options.limiter);
    if (r == 0)
        r = rn_pool_new(NULL, &options, &pool);
    if (r == 0) {
        r = submit_all(pool, tasks, speed);
        print_summary(pool);
        rn_pool_shutdown(pool, 0);
    }
    rn_pool_free(pool);
    rn_limiter_free(options.limiter);
    if (r < 0)
        fprintf(stderr, "worker_pool: %s\n", rn_strerror(r));
    return r == 0 ? 0 : 1;
}
