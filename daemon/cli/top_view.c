/* The screen's lines: a head, then the queues (half of what is left, or what the others leave),
 * what runs, what failed. */
#include "cli/top_view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/text.h"

enum { LINE_BYTES = 1024, HEAD_LINES = 2 };

void top_sample_fini(struct top_sample *sample)
{
    json_decref(sample->stats);
    json_decref(sample->queues);
    json_decref(sample->running);
    json_decref(sample->failed);
    *sample = (struct top_sample){.at = 0};
}

/* ---- rates ---- */

static double per_s(const struct top_view *view, int64_t now, int64_t before)
{
    rn_duration took = view->now.at - view->before.at;

    // Counts that begin anew (a restart), or shrink as old tasks are removed, make no rate.
    if (view->before.stats == NULL || took <= 0 || now < before)
        return 0;
    return (double)(now - before) * (double)RN_SECOND / (double)took;
}

static int64_t since_start(const json_t *stats, const char *name)
{
    return member_number(json_object_get(stats, "since_start"), name);
}

static double total_rate(const struct top_view *view, const char *name)
{
    return per_s(view, since_start(view->now.stats, name), since_start(view->before.stats, name));
}

static int64_t finished_in(const json_t *queue)
{
    const json_t *states = json_object_get(queue, "states");

    return member_number(states, "succeeded") + member_number(states, "failed") +
           member_number(states, "cancelled");
}

static int64_t waiting_in(const json_t *queue)
{
    const json_t *states = json_object_get(queue, "states");

    return member_number(states, "queued") + member_number(states, "scheduled") +
           member_number(states, "retrying") + member_number(states, "held");
}

static const json_t *same_queue(const json_t *queues, const char *name)
{
    size_t index;
    json_t *queue;

    json_array_foreach (json_object_get(queues, "queues"), index, queue) {
        if (strcmp(member_text(queue, "name"), name) == 0)
            return queue;
    }
    return NULL;
}

/* ---- lines ---- */

static void put_line(FILE *out, size_t width, const char *text)
{
    char *safe = NULL;

    if (text_safe(text, strlen(text), "", &safe) < 0)
        return; // a line less; the next look has it
    fprintf(out, "%.*s\n", (int)text_fit(safe, width), safe);
    free(safe);
}

static void put_head(const struct top_view *view, FILE *out, size_t width)
{
    char text[LINE_BYTES];
    char up[FORMAT_BYTES];
    char backlog[FORMAT_BYTES];
    char rates[3][FORMAT_BYTES];

    if (view->fault != NULL) {
        // First what changes: a narrow screen cuts the end.
        (void)snprintf(text, sizeof(text), "tried %u %s: %s", view->faults,
                       view->faults == 1 ? "time" : "times", view->fault);
        (void)fputc(TOP_FAULT, out);
        put_line(out, width, text);
    } else {
        (void)snprintf(text, sizeof(text), "%s  up %s  %" PRId64 " running  %s waiting", view->url,
                       format_length(member_number(view->now.stats, "uptime_ms"), up),
                       member_number(view->now.stats, "running"),
                       format_count(member_number(view->now.stats, "backlog"), backlog));
        put_line(out, width, text);
    }
    (void)snprintf(text, sizeof(text), "started %s  succeeded %s  failed %s",
                   format_rate(total_rate(view, "started"), rates[0]),
                   format_rate(total_rate(view, "succeeded"), rates[1]),
                   format_rate(total_rate(view, "failed"), rates[2]));
    put_line(out, width, text);
}

/* A table's first lines, its titles marked. */
static int put_table(const struct table *table, FILE *out, size_t width, size_t lines)
{
    char *text = NULL;
    size_t length = 0;

    FILE *rendered = open_memstream(&text, &length);
    if (rendered == NULL)
        return -ENOMEM;
    table_print(table, rendered, width, false);
    if (fclose(rendered) != 0) {
        free(text);
        return -ENOMEM;
    }
    const char *line = text;
    for (size_t i = 0; i < lines && *line != '\0'; i++) {
        size_t end = strcspn(line, "\n");
        if (i == 0)
            (void)fputc(TOP_TITLE, out);
        // Columns that can't be cut may be wider than the narrowest terminal.
        char *copy = strndup(line, end);
        if (copy == NULL) {
            free(text);
            return -ENOMEM;
        }
        fprintf(out, "%.*s\n", (int)text_fit(copy, width), copy);
        free(copy);
        line += end + (line[end] == '\n');
    }
    free(text);
    return 0;
}

static int add_row(struct table *table, const char *const *cells, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        r = table_add(table, cells[i], TABLE_PLAIN);
    return r;
}

static int add_queue(const struct top_view *view, struct table *table, const json_t *queue)
{
    const json_t *states = json_object_get(queue, "states");
    const char *name = member_text(queue, "name");
    const json_t *before = same_queue(view->before.queues, name);
    const char *limit = member_text(queue, "rate");
    char running[FORMAT_BYTES];
    char waiting[FORMAT_BYTES];
    char failed[FORMAT_BYTES];
    char rate[FORMAT_BYTES];
    int64_t finished = finished_in(queue);

    (void)snprintf(running, sizeof(running), "%" PRId64 "/%" PRId64,
                   member_number(queue, "running"), member_number(queue, "workers"));
    (void)format_count(waiting_in(queue), waiting);
    (void)format_count(member_number(states, "failed"), failed);
    (void)format_rate(before == NULL ? 0 : per_s(view, finished, finished_in(before)), rate);
    if (json_is_true(json_object_get(queue, "paused")))
        limit = "paused";
    const char *const cells[] = {name, running, waiting,
                                 rate, failed,  limit[0] == '\0' ? "-" : limit};
    return add_row(table, cells, sizeof(cells) / sizeof(cells[0]));
}

static int put_queues(const struct top_view *view, FILE *out, size_t width, size_t lines)
{
    static const struct table_column columns[] = {{"QUEUE", false, 8, 0},  {"RUNNING", true, 0, 0},
                                                  {"WAITING", true, 0, 0}, {"DONE", true, 0, 0},
                                                  {"FAILED", true, 0, 1},  {"RATE", true, 0, 2}};
    const json_t *queues = json_object_get(view->now.queues, "queues");
    size_t count = json_array_size(queues);
    bool are_all = count < lines; // below the titles
    size_t rows = are_all ? count : lines > 2 ? lines - 2 : 0;
    struct table *table = NULL;
    char more[FORMAT_BYTES];
    size_t added = 0;
    size_t index;
    json_t *queue;

    int r = table_new(columns, sizeof(columns) / sizeof(columns[0]), &table);
    // Where not all have room, those in which there is something come first.
    for (int pass = 0; pass < 2; pass++) {
        json_array_foreach (queues, index, queue) {
            bool is_first = are_all || member_number(queue, "running") > 0 || waiting_in(queue) > 0;
            if (r < 0 || added == rows)
                break;
            if (is_first != (pass == 0))
                continue;
            r = add_queue(view, table, queue);
            added++;
        }
    }
    if (r == 0)
        r = put_table(table, out, width, lines);
    if (r == 0 && !are_all && lines > 1) {
        (void)snprintf(more, sizeof(more), "… %zu more", count - added);
        put_line(out, width, more);
    }
    table_free(table);
    return r;
}

static int put_tasks(const struct cli *cli, const json_t *tasks, FILE *out,
                     const struct table_column *columns, size_t lines)
{
    const struct cli as_terminal = {.is_terminal = true, .now_ms = cli->now_ms};
    bool is_running = strcmp(columns[0].title, "RUNNING") == 0;
    struct table *table = NULL;
    size_t index;
    json_t *task;

    int r = table_new(columns, 4, &table);
    json_array_foreach (json_object_get(tasks, "tasks"), index, task) {
        char id[ID_BYTES];
        char when[FORMAT_BYTES];
        char note[256] = "";
        if (r < 0 || index >= lines)
            break;
        (void)snprintf(id, sizeof(id), "%" PRId64, member_number(task, "id"));
        if (is_running)
            (void)format_length(cli->now_ms - member_instant(task, "started_at"), when);
        else
            (void)format_age(member_instant(task, "finished_at"), cli->now_ms, when);
        show_note(&as_terminal, task, note, sizeof(note));
        const char *const cells[] = {id, member_text(task, "kind"), when,
                                     is_running ? member_text(task, "queue") : note};
        r = add_row(table, cells, sizeof(cells) / sizeof(cells[0]));
    }
    if (r == 0)
        r = put_table(table, out, cli->width, lines);
    table_free(table);
    return r;
}

static int put_all(const struct cli *cli, const struct top_view *view, FILE *out, size_t height)
{
    static const struct table_column running[] = {{"RUNNING", true, 0, 0},
                                                  {"KIND", false, 8, 0},
                                                  {"SINCE", true, 0, 0},
                                                  {"QUEUE", false, 6, 1}};
    static const struct table_column failed[] = {
        {"FAILED", true, 0, 0}, {"KIND", false, 8, 0}, {"WHEN", false, 0, 0}, {"WHY", false, 8, 1}};
    size_t left = height > HEAD_LINES ? height - HEAD_LINES : 0;
    size_t queues = json_array_size(json_object_get(view->now.queues, "queues")) + 1;
    size_t runs = json_array_size(json_object_get(view->now.running, "tasks")) + 1;
    size_t failures = json_array_size(json_object_get(view->now.failed, "tasks")) + 1;
    size_t most = left > runs + failures ? left - runs - failures : 0;

    put_head(view, out, cli->width);
    if (most < (left + 1) / 2)
        most = (left + 1) / 2;
    if (queues > most)
        queues = most;
    left -= queues;
    if (runs > (left + 1) / 2)
        runs = (left + 1) / 2;
    left -= runs;
    int r = put_queues(view, out, cli->width, queues);
    if (r == 0)
        r = put_tasks(cli, view->now.running, out, running, runs);
    if (r == 0)
        r = put_tasks(cli, view->now.failed, out, failed, left);
    return r;
}

int top_view_text(const struct cli *cli, const struct top_view *view, size_t width, size_t height,
                  char **ret_text)
{
    RN_ASSERT(view != NULL);
    RN_ASSERT(view->url != NULL);
    struct cli sized = *cli;
    char *text = NULL;
    size_t length = 0;

    sized.width = width;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return -ENOMEM;
    int r = put_all(&sized, view, out, height);
    if (fclose(out) != 0)
        r = -ENOMEM;
    if (r < 0) {
        free(text);
        return r;
    }
    *ret_text = text;
    return 0;
}
