/*
 * How many processes a second can be had: posix_spawn and wait, one after the other in each of
 * THREADS threads, for some seconds.
 *
 *   spawn THREADS SECONDS PROGRAM
 */
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { THREADS_MAX = 16 };

static char *program;
static uint64_t deadline;

static void *spawn_loop(void *arg)
{
    char *arguments[] = {program, NULL};
    uint64_t *count = arg;

    while (now_ns() < deadline) {
        pid_t pid;
        int status;
        int r = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
        if (r != 0)
            DIE("cannot start %s: %s", program, strerror(r));
        if (waitpid(pid, &status, 0) != pid || status != 0)
            DIE("%s ended with status %d", program, status);
        (*count)++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    uint64_t counts[THREADS_MAX] = {0}; // each written by one thread
    uint64_t total = 0;

    if (argc != 4)
        DIE("usage: spawn THREADS SECONDS PROGRAM");
    uint64_t count = number(argv[1], 1, THREADS_MAX);
    uint64_t started_at = now_ns();
    deadline = started_at + number(argv[2], 1, 3600) * NS_PER_S;
    program = argv[3];

    for (uint64_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, spawn_loop, &counts[i]) != 0)
            DIE("no thread");
    }
    for (uint64_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        total += counts[i];
    }
    printf("rate=%.0f\n", (double)total / seconds_since(started_at));
    return 0;
}
