/** \file The history checker: what was asked for, what ran, and what the daemon lists. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

enum { COMPLAINTS_MAX = 20 };

/* ---- what clients write down ---- */

static void history_end(void *arg)
{
    struct history *history = arg;

    (void)pthread_mutex_destroy(&history->mu);
    free(history->tasks);
    free(history->kills);
    free(history);
}

struct history *history_new(const char *ledger)
{
    struct history *history = calloc(1, sizeof(*history));

    assert_non_null(history);
    (void)pthread_mutex_init(&history->mu, NULL);
    history->ledger = ledger;
    keep_with(history_end, history);
    return history;
}

size_t history_ask(struct history *history, bool has_ledger, bool runs_once)
{
    (void)pthread_mutex_lock(&history->mu);
    if (history->count == history->capacity) {
        history->capacity = history->capacity * 2 + 1024;
        history->tasks = realloc(history->tasks, history->capacity * sizeof(history->tasks[0]));
        if (history->tasks == NULL)
            abort();
    }
    size_t key = history->count++;
    history->tasks[key] = (struct history_task){
        .asked_ns = now_ns(),
        .has_ledger = has_ledger,
        .runs_once = runs_once,
    };
    (void)pthread_mutex_unlock(&history->mu);
    return key;
}

void history_answer(struct history *history, size_t key, enum history_answer answer, uint64_t id)
{
    (void)pthread_mutex_lock(&history->mu);
    history->tasks[key].answer = answer;
    history->tasks[key].id = id;
    history->tasks[key].answered_ns = now_ns();
    (void)pthread_mutex_unlock(&history->mu);
}

void history_shown(struct history *history, size_t key)
{
    (void)pthread_mutex_lock(&history->mu);
    if (history->tasks[key].shown_ended_ns == 0)
        history->tasks[key].shown_ended_ns = now_ns();
    (void)pthread_mutex_unlock(&history->mu);
}

void history_killed(struct history *history)
{
    int64_t *grown = realloc(history->kills, (history->kill_count + 1) * sizeof(history->kills[0]));

    assert_non_null(grown);
    history->kills = grown;
    history->kills[history->kill_count++] = now_ns();
}

unsigned history_count(struct history *history, enum history_answer answer)
{
    unsigned count = 0;

    (void)pthread_mutex_lock(&history->mu);
    for (size_t key = 0; key < history->count; key++)
        count += history->tasks[key].answer == answer;
    (void)pthread_mutex_unlock(&history->mu);
    return count;
}

unsigned history_open(struct history *history)
{
    return history_count(history, HISTORY_ASKED);
}

/* ---- the ledger ---- */

size_t ledger_read(const char *path, struct ledger_line **ret_lines)
{
    size_t count = 0, capacity = 1024;
    struct ledger_line *lines = calloc(capacity, sizeof(*lines));
    FILE *file = fopen(path, "re");
    char buffer[512];

    assert_non_null(lines);
    while (file != NULL && fgets(buffer, sizeof(buffer), file) != NULL) {
        struct ledger_line line = {0};
        long long ns = 0;

        if (strchr(buffer, '\n') == NULL)
            break;
        if (sscanf(buffer, "%15s %63s %u %d %lld", line.what, line.key, &line.attempt, &line.pid,
                   &ns) != 5)
            harness_fail(__FILE__, __LINE__, "a bad line in the ledger: %s", buffer);
        line.ns = ns;
        if (count == capacity) {
            capacity *= 2;
            lines = realloc(lines, capacity * sizeof(*lines));
            assert_non_null(lines);
        }
        lines[count++] = line;
    }
    if (file != NULL)
        (void)fclose(file);
    *ret_lines = keep(lines);
    return count;
}

unsigned ledger_count(const char *path, const char *what, const char *key)
{
    struct ledger_line *lines = NULL;
    size_t line_count = ledger_read(path, &lines);
    unsigned count = 0;

    for (size_t i = 0; i < line_count; i++)
        count +=
            strcmp(lines[i].what, what) == 0 && (key == NULL || strcmp(lines[i].key, key) == 0);
    return count;
}

/* ---- the daemon's list ---- */

static void __attribute__((format(printf, 2, 3))) complain(unsigned *count, const char *format, ...)
{
    va_list list;

    if (++*count > COMPLAINTS_MAX)
        return;
    va_start(list, format);
    vprint_error(format, list);
    va_end(list);
}

static void check_listed(struct history *history, const json_t *listed, struct verdict *verdict)
{
    const char *text_key = text_at(listed, "args.key");
    uint64_t id = (uint64_t)number_at(listed, "id");
    const char *end = NULL;
    size_t key = text_key != NULL ? number_in(text_key, &end) : 0;

    if (text_key == NULL || *end != '\0' || key >= history->count) {
        complain(&verdict->unexpected, "unexpected: task %llu was never asked for\n",
                 (unsigned long long)id);
        return;
    }
    struct history_task *task = &history->tasks[key];
    if (++task->listed > 1)
        complain(&verdict->duplicated, "duplicated: key %zu is task %llu and %llu\n", key,
                 (unsigned long long)task->listed_id, (unsigned long long)id);
    if (task->answer == HISTORY_REFUSED)
        complain(&verdict->unexpected, "unexpected: task %llu (key %zu) had been refused\n",
                 (unsigned long long)id, key);
    if (task->answer == HISTORY_ACKNOWLEDGED && task->id != id)
        complain(&verdict->unexpected, "unexpected: key %zu was answered as task %llu, is %llu\n",
                 key, (unsigned long long)task->id, (unsigned long long)id);
    task->listed_id = id;
    (void)snprintf(task->listed_state, sizeof(task->listed_state), "%s", text_at(listed, "state"));
}

static void read_list(struct history *history, struct daemon *daemon, struct verdict *verdict)
{
    const char *cursor = NULL;

    for (size_t key = 0; key < history->count; key++)
        history->tasks[key].listed = 0;
    do {
        const char *path = "/v1/tasks?view=full&limit=1000";
        json_t *listed = NULL;
        size_t i = 0;

        if (cursor != NULL)
            path = plain_text("%s&cursor=%s", path, cursor);
        json_t *page = expect_status(get(daemon, path), 200)->json;
        json_array_foreach (json_object_get(page, "tasks"), i, listed)
            check_listed(history, listed, verdict);
        cursor = text_at(page, "next");
    } while (cursor != NULL);
    for (size_t key = 0; key < history->count; key++) {
        const struct history_task *task = &history->tasks[key];

        if (task->answer == HISTORY_ACKNOWLEDGED && task->listed == 0)
            complain(&verdict->lost, "lost: task %llu (key %zu)\n", (unsigned long long)task->id,
                     key);
        verdict->acknowledged += task->answer == HISTORY_ACKNOWLEDGED;
        verdict->recovered += task->answer == HISTORY_UNKNOWN && task->listed > 0;
    }
    verdict->asked = (unsigned)history->count;
}

/* ---- runs ---- */

struct a_run {
    size_t key;
    int pid;
    int64_t start_ns, end_ns; // end_ns 0: it did not come to its end
};

static int compare_runs(const void *a, const void *b)
{
    const struct a_run *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

/* The first kill at or after the instant; kill_count: none. */
static size_t kill_after(const struct history *history, int64_t ns)
{
    size_t i = 0;

    while (i < history->kill_count && history->kills[i] < ns)
        i++;
    return i;
}

static size_t collect_runs(struct history *history, struct verdict *verdict,
                           struct a_run **ret_runs)
{
    struct ledger_line *lines = NULL;
    size_t line_count = ledger_read(history->ledger, &lines);
    struct a_run *runs = keep(calloc(line_count + 1, sizeof(*runs)));
    size_t count = 0;

    for (size_t i = 0; i < line_count; i++) {
        size_t key = number_in(lines[i].key, NULL);

        if (strcmp(lines[i].what, "start") == 0)
            runs[count++] =
                (struct a_run){.key = key, .pid = lines[i].pid, .start_ns = lines[i].ns};
        if (strcmp(lines[i].what, "overlap") == 0)
            complain(&verdict->overlap, "overlap: key %zu, by its lock\n", key);
        if (strcmp(lines[i].what, "end") != 0)
            continue;
        // The newest open run of this key and process; a built-in has its daemon's pid.
        for (size_t back = count; back-- > 0;) {
            if (runs[back].key == key && runs[back].pid == lines[i].pid && runs[back].end_ns == 0) {
                runs[back].end_ns = lines[i].ns;
                break;
            }
        }
    }
    qsort(runs, count, sizeof(*runs), compare_runs);
    verdict->starts = (unsigned)count;
    *ret_runs = runs;
    return count;
}

/* One run and the one of the same key after it (NULL: it was the last). */
static void check_run(struct history *history, const struct a_run *run, const struct a_run *next,
                      unsigned *cut_by, struct verdict *verdict)
{
    const struct history_task *task = &history->tasks[run->key];
    size_t killed = kill_after(history, run->start_ns);

    if (run->end_ns == 0 && killed == history->kill_count)
        complain(&verdict->unended, "unended: a run of key %zu, with no kill after it\n", run->key);
    else if (run->end_ns == 0)
        cut_by[killed]++;
    if (task->shown_ended_ns != 0 && run->start_ns > task->shown_ended_ns)
        complain(&verdict->zombie, "zombie: key %zu runs after its end was shown\n", run->key);
    if (next == NULL)
        return;
    bool is_beside = run->end_ns != 0
                         ? next->start_ns < run->end_ns
                         : killed < history->kill_count && next->start_ns < history->kills[killed];
    if (is_beside)
        complain(&verdict->overlap, "overlap: two runs of key %zu\n", run->key);
    if (task->runs_once)
        complain(&verdict->again, "again: key %zu may run once\n", run->key);
    else if (run->end_ns != 0 &&
             (killed == history->kill_count || history->kills[killed] > next->start_ns))
        complain(&verdict->again, "again: key %zu had ended, and nothing was killed since\n",
                 run->key);
    else
        verdict->uncommitted += run->end_ns != 0;
}

static void check_runs(struct history *history, struct verdict *verdict)
{
    struct a_run *runs = NULL;
    size_t count = collect_runs(history, verdict, &runs);
    unsigned *cut_by = keep(calloc(history->kill_count + 1, sizeof(*cut_by)));
    bool *came_to_end = keep(calloc(history->count + 1, sizeof(*came_to_end)));

    for (size_t i = 0; i < count; i++) {
        bool has_next = i + 1 < count && runs[i + 1].key == runs[i].key;

        if (runs[i].key >= history->count) {
            complain(&verdict->unexpected, "unexpected: a run of key %zu\n", runs[i].key);
            continue;
        }
        came_to_end[runs[i].key] |= runs[i].end_ns != 0;
        check_run(history, &runs[i], has_next ? &runs[i + 1] : NULL, cut_by, verdict);
    }
    for (size_t i = 0; i < history->kill_count; i++) {
        verdict->cut_short += cut_by[i];
        if (cut_by[i] > verdict->cut_short_most)
            verdict->cut_short_most = cut_by[i];
    }
    for (size_t key = 0; key < history->count; key++) {
        const struct history_task *task = &history->tasks[key];

        if (task->has_ledger && !came_to_end[key] && strcmp(task->listed_state, "succeeded") == 0)
            complain(&verdict->unstarted, "unstarted: key %zu is said to have succeeded\n", key);
    }
}

struct verdict history_check(struct history *history, struct daemon *daemon)
{
    struct verdict verdict = {0};

    read_list(history, daemon, &verdict);
    check_runs(history, &verdict);
    print_message("history: %u asked, %u acknowledged, %u recovered, %zu kills, %u starts, %u cut "
                  "short (at most %u a "
                  "kill), %u uncommitted; lost %u, unexpected %u, duplicated %u, overlap %u, "
                  "zombie %u, unstarted %u, "
                  "again %u, unended %u\n",
                  verdict.asked, verdict.acknowledged, verdict.recovered, history->kill_count,
                  verdict.starts, verdict.cut_short, verdict.cut_short_most, verdict.uncommitted,
                  verdict.lost, verdict.unexpected, verdict.duplicated, verdict.overlap,
                  verdict.zombie, verdict.unstarted, verdict.again, verdict.unended);
    return verdict;
}

void history_expect_sound(struct history *history, struct daemon *daemon, unsigned workers)
{
    struct verdict verdict = history_check(history, daemon);

    assert_int_equal(verdict.lost, 0);
    assert_int_equal(verdict.unexpected, 0);
    assert_int_equal(verdict.duplicated, 0);
    assert_int_equal(verdict.overlap, 0);
    assert_int_equal(verdict.zombie, 0);
    assert_int_equal(verdict.unstarted, 0);
    assert_int_equal(verdict.again, 0);
    assert_int_equal(verdict.unended, 0);
    assert_in_range(verdict.cut_short_most, 0, workers);
}
