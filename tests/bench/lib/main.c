/*
 * How long the library's operations take.
 *
 *   bench [-c PROCESSORS] [-t MS] [WORD…]
 *
 * Prints a line `row figure` for each row with one of the words in its name (all without words):
 * nanoseconds per operation, or bytes. -c says on how many of the processors it runs, -t how long a
 * row should take.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"

enum { THREADS_MAX = 16 };

unsigned processors = 2;
uint64_t target_ns = 200000000;

static void *run_part(void *arg)
{
    struct part *part = arg;
    part->fn(part);
    return NULL;
}

static uint64_t run_parts(struct part *parts, unsigned count)
{
    pthread_t threads[THREADS_MAX];
    uint64_t started_at = now_ns();

    for (unsigned i = 0; i < count; i++)
        must(pthread_create(&threads[i], NULL, run_part, &parts[i]));
    for (unsigned i = 0; i < count; i++)
        must(pthread_join(threads[i], NULL));
    return now_ns() - started_at;
}

uint64_t in_threads(unsigned count, void (*fn)(struct part *part), void *shared, uint64_t ops)
{
    struct part parts[THREADS_MAX];

    for (unsigned i = 0; i < count; i++)
        parts[i] = (struct part){fn, shared, i, ops / count};
    return run_parts(parts, count);
}

uint64_t in_pairs(unsigned pairs, void (*producer)(struct part *part),
                  void (*consumer)(struct part *part), void *shared, uint64_t ops)
{
    struct part parts[THREADS_MAX];

    for (unsigned i = 0; i < pairs; i++) {
        parts[2 * i] = (struct part){producer, shared, i, ops / pairs};
        parts[2 * i + 1] = (struct part){consumer, shared, i, ops / pairs};
    }
    return run_parts(parts, 2 * pairs);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double median_of(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    uint64_t middle = values[count / 2];
    return (double)middle;
}

/* More and more operations, until they take long enough; the shorter rounds are the warm-up. */
static double ns_per_op(const struct row *row)
{
    uint64_t ops = 64;

    for (;;) {
        uint64_t ns = row->run(row, ops);
        if (ns >= target_ns)
            return (double)ns / (double)ops;
        double factor = 1.1 * (double)target_ns / (double)(ns + 1);
        ops = (uint64_t)((double)ops * (factor < 1.2 ? 1.2 : factor > 100 ? 100 : factor)) + 1;
    }
}

static bool is_chosen(const char *name, char **words, int count)
{
    for (int i = 0; i < count; i++) {
        if (strstr(name, words[i]) != NULL)
            return true;
    }
    return count == 0;
}

/* Restricts the calling thread to count of the processors that it has, leaving out the first. */
static void use_processors(unsigned first, unsigned count)
{
    cpu_set_t available;
    cpu_set_t chosen;
    unsigned seen = 0;

    must(sched_getaffinity(0, sizeof available, &available));
    CPU_ZERO(&chosen);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && seen < first + count; cpu++) {
        if (!CPU_ISSET(cpu, &available))
            continue;
        if (seen >= first)
            CPU_SET(cpu, &chosen);
        seen++;
    }
    if (seen < first + count)
        DIE("there are only %u processors", seen);
    must(sched_setaffinity(0, sizeof chosen, &chosen));
}

void stay_on(unsigned processor)
{
    use_processors(processor, 1);
}

int main(int argc, char **argv)
{
    const struct row *tables[] = {ceiling_rows, channel_rows, select_rows,
                                  context_rows, worker_rows,  other_rows};
    unsigned done = 0;
    int option;

    while ((option = getopt(argc, argv, "c:t:")) != -1) {
        if (option == 'c')
            processors = (unsigned)number(optarg, 1, THREADS_MAX / 2);
        else if (option == 't')
            target_ns = number(optarg, 1, 60000) * 1000000;
        else
            DIE("usage: bench [-c PROCESSORS] [-t MS] [WORD...]");
    }
    use_processors(0, processors);

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct row *row = tables[i]; row->name != NULL; row++) {
            if ((row->both_run && processors == 1) ||
                !is_chosen(row->name, argv + optind, argc - optind))
                continue;
            printf("%s %.2f\n", row->name, row->run != NULL ? ns_per_op(row) : row->figure(row));
            (void)fflush(stdout);
            done++;
        }
    }
    if (done == 0)
        DIE("there is no such row");
    return 0;
}
