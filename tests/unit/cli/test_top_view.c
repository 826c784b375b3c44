/* What top shows where not all has room. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/top_view.h"
#include "fault.h"

/* A queue of this name, with so many tasks that run and that wait. */
static void add_queue(json_t *queues, const char *name, int running, int queued)
{
    json_t *queue =
        json_pack("{s:s, s:i, s:i, s:s, s:b, s:{s:i}}", "name", name, "running", running, "workers",
                  9, "rate", "", "paused", 0, "states", "queued", queued);

    assert_non_null(queue);
    assert_int_equal(json_array_append_new(queues, queue), 0);
}

/* Eight queues, of which the fifth has a task that runs and the last one that waits; so many more
 * tasks that run. */
static struct top_view view_of(int running)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct top_view view = {.url = "http://x"};
    json_t *queues = json_array();
    json_t *tasks = json_array();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        add_queue(queues, names[i], i == 4, i == 7);
    for (int i = 0; i < running; i++)
        assert_int_equal(
            json_array_append_new(tasks, json_pack("{s:i, s:s}", "id", i + 1, "kind", "echo")), 0);
    view.now.stats = json_pack("{s:i}", "running", running);
    view.now.queues = json_pack("{s:o}", "queues", queues);
    view.now.running = json_pack("{s:o}", "tasks", tasks);
    view.now.failed = json_pack("{s:[]}", "tasks");
    return view;
}

/* The first column of the screen below the head. */
static void expect_column(int running, size_t height, const char *wanted)
{
    struct cli cli = {.is_terminal = true, .now_ms = 1};
    struct top_view view = view_of(running);
    char *text = NULL;
    char seen[256] = "";
    size_t lines = 0;

    assert_int_equal(top_view_text(&cli, &view, 60, height, &text), 0);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t skipped = line[0] == TOP_TITLE ? 1 : strspn(line, " ");
        size_t length = strcspn(line + skipped, line[0] == '\xE2' ? "\n" : " ");
        if (lines++ >= 2)
            (void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s,", (int)length,
                           line + skipped);
    }
    assert_string_equal(seen, wanted);
    assert_true(lines <= height);
    free(text);
    top_sample_fini(&view.now);
}

static void all_queues_stand_in_their_order_where_there_is_room(void **state)
{
    (void)state;
    expect_column(0, 13, "QUEUE,a,b,c,d,e,f,g,h,RUNNING,FAILED,");
    expect_column(0, 24, "QUEUE,a,b,c,d,e,f,g,h,RUNNING,FAILED,");
}

static void where_there_is_none_those_with_tasks_come_first(void **state)
{
    (void)state;
    expect_column(0, 12, "QUEUE,e,h,a,b,c,d,… 2 more,RUNNING,FAILED,");
    expect_column(4, 12, "QUEUE,e,h,a,… 5 more,RUNNING,1,2,FAILED,");
    expect_column(4, 6, "QUEUE,… 8 more,RUNNING,FAILED,");
}

static void without_memory_there_is_no_screen(void **state)
{
    (void)state;
    struct cli cli = {.is_terminal = true, .now_ms = 1};
    struct top_view view = view_of(2);

    for (int nth = 1;; nth++) {
        char *text = NULL;
        fault_fail_malloc(nth);
        int r = top_view_text(&cli, &view, 60, 12, &text);
        bool is_reached = fault_reached();
        if (r == 0)
            free(text); // with a line less, if a line it was
        if (!is_reached) {
            assert_int_equal(r, 0);
            break;
        }
        assert_true(r == 0 || r == -ENOMEM);
    }
    top_sample_fini(&view.now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_queues_stand_in_their_order_where_there_is_room),
        cmocka_unit_test(where_there_is_none_those_with_tasks_come_first),
        cmocka_unit_test(without_memory_there_is_no_screen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
