/* Numbers and times as a person reads them; the bar of load; the screen of top. */
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/format.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "cli/top_view.h"

static void ages_have_one_unit(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *wanted;
    } rows[] = {{0, "just now"},           {999, "just now"},      {1000, "1s ago"},
                {59999, "59s ago"},        {60000, "1m ago"},      {3599999, "59m ago"},
                {3600000, "1h ago"},       {172799999, "47h ago"}, {172800000, "2d ago"},
                {31536000000, "365d ago"}, {-1, "in 0s"},          {-90000, "in 1m"}};
    char text[FORMAT_BYTES];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(format_age(1000000000000, 1000000000000 + rows[i].ms, text),
                            rows[i].wanted);
}

static void lengths_have_two_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *wanted;
    } rows[] = {{-5, "0ms"},         {0, "0ms"},         {999, "999ms"},
                {1000, "1.0s"},      {59999, "59.9s"},   {65000, "1m05s"},
                {3599999, "59m59s"}, {4020000, "1h07m"}, {187200000, "2d04h"}};
    char text[FORMAT_BYTES];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(format_length(rows[i].ms, text), rows[i].wanted);
}

static void numbers_are_easy_to_read(void **state)
{
    (void)state;
    char text[FORMAT_BYTES];

    assert_string_equal(format_count(0, text), "0");
    assert_string_equal(format_count(999, text), "999");
    assert_string_equal(format_count(1000, text), "1,000");
    assert_string_equal(format_count(-1234567, text), "-1,234,567");
    assert_string_equal(format_count(INT64_MIN, text), "-9,223,372,036,854,775,808");
    assert_string_equal(format_bytes(1023, text), "1023 B");
    assert_string_equal(format_bytes(1024, text), "1.0 KiB");
    assert_string_equal(format_bytes(1048575, text), "1.0 MiB");
    assert_string_equal(format_bytes(UINT64_MAX, text), "16.0 EiB");
    assert_string_equal(format_rate(0.5, text), "0.5/s");
    assert_string_equal(format_rate(-1, text), "0.0/s");
    assert_string_equal(format_rate(9.96, text), "10/s");
    assert_string_equal(format_rate(12345.6, text), "12,346/s");
}

static void the_bar_fits_its_terminal(void **state)
{
    (void)state;
    struct progress_view view = {
        .count = 12000, .bytes = 500, .size = 1000, .per_s = 9000, .left_ms = 3000, .times = 2};
    char text[512];

    assert_string_equal(progress_text(&view, 80, text, sizeof(text)),
                        " 50% ██████████░░░░░░░░░░  12,000 lines  9,000/s  3.0s left  again 2");
    assert_string_equal(progress_text(&view, 40, text, sizeof(text)),
                        " 50%  12,000 lines  9,000/s  3.0s left  ");
    view.size = 0;
    view.left_ms = -1;
    view.times = 0;
    assert_string_equal(progress_text(&view, 80, text, sizeof(text)), "12,000 lines  9,000/s");
    view.size = 400; // it grew while it was read
    assert_memory_equal(progress_text(&view, 80, text, sizeof(text)), "100% ", 5);
    for (size_t width = 1; width < 100; width++)
        assert_true(text_width(progress_text(&view, width, text, sizeof(text))) <= width);

    view = (struct progress_view){.unit = PROGRESS_BYTES,
                                  .count = 3 << 20,
                                  .bytes = 3 << 20,
                                  .size = 12 << 20,
                                  .per_s = 1536 << 10,
                                  .left_ms = 6000};
    assert_string_equal(progress_text(&view, 40, text, sizeof(text)),
                        " 25%  3.0 MiB  1.5 MiB/s  6.0s left");
}

/* ---- top ---- */

static struct top_sample sample(int second, int succeeded, int queues)
{
    struct top_sample made = {.at = second * RN_SECOND};

    made.stats = json_pack("{s:i, s:i, s:i, s:{s:i, s:i, s:i}}", "uptime_ms", second * 1000,
                           "running", 1, "backlog", 5, "since_start", "started", succeeded,
                           "succeeded", succeeded, "failed", 0);
    json_t *list = json_array();
    for (int i = 0; i < queues; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "q%d", i);
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:i, s:s?, s:b, s:{s:i, s:i}}", "name", name,
                                        "workers", 4, "running", 1, "rate", NULL, "paused", i == 1,
                                        "states", "succeeded", succeeded, "queued", 5));
    }
    made.queues = json_pack("{s:o}", "queues", list);
    made.running = json_pack("{s:[{s:i, s:s, s:s, s:s}]}", "tasks", "id", 7, "kind", "echo",
                             "queue", "q0", "started_at", "1970-01-01T00:00:00Z");
    made.failed = json_pack("{s:[{s:i, s:s, s:s, s:{s:s}}]}", "tasks", "id", 6, "kind", "fail",
                            "finished_at", "1970-01-01T00:00:00Z", "error", "message", "no\033[2J");
    assert_non_null(made.stats);
    assert_non_null(made.queues);
    assert_non_null(made.running);
    assert_non_null(made.failed);
    return made;
}

static void top_shows_queues_rates_runs_and_failures(void **state)
{
    (void)state;
    struct cli cli = {.now_ms = 65000};
    struct top_view view = {.url = "http://x"};
    char *text = NULL;

    view.before = sample(10, 100, 2);
    view.now = sample(12, 130, 2);
    assert_int_equal(top_view_text(&cli, &view, 80, 24, &text), 0);

    assert_string_equal(text, "http://x  up 12.0s  1 running  5 waiting\n"
                              "started 15/s  succeeded 15/s  failed 0.0/s\n"
                              "\001QUEUE  RUNNING  WAITING  DONE  FAILED    RATE\n"
                              "q0         1/4        5  15/s       0       -\n"
                              "q1         1/4        5  15/s       0  paused\n"
                              "\001RUNNING  KIND  SINCE  QUEUE\n"
                              "      7  echo  1m05s  q0\n"
                              "\001FAILED  KIND  WHEN    WHY\n"
                              "     6  fail  1m ago  no\\u001b[2J\n");
    free(text);
    top_sample_fini(&view.before);
    top_sample_fini(&view.now);
}

static void top_fits_each_screen(void **state)
{
    (void)state;
    struct cli cli = {.now_ms = 65000};
    struct top_view view = {.url = "http://x"};

    view.now = sample(12, 130, 60);
    for (size_t size = 1; size < 100; size++) {
        char *text = NULL;
        size_t lines = 0;
        assert_int_equal(top_view_text(&cli, &view, size, size < 3 ? 3 : size, &text), 0);
        for (char *line = text; *line != '\0'; lines++) {
            char *end = strchr(line, '\n');
            assert_non_null(end);
            *end = '\0';
            line += *line == TOP_TITLE || *line == TOP_FAULT;
            assert_true(text_width(line) <= size);
            line = end + 1;
        }
        assert_true(lines <= (size < 3 ? 3 : size));
        free(text);
    }
    top_sample_fini(&view.now);
}

static void top_says_that_the_daemon_is_away_and_keeps_its_last_look(void **state)
{
    (void)state;
    struct cli cli = {.now_ms = 65000};
    struct top_view view = {.url = "http://x", .fault = "no daemon answers", .faults = 3};
    char *text = NULL;

    view.now = sample(12, 130, 1);
    assert_int_equal(top_view_text(&cli, &view, 80, 24, &text), 0);

    assert_non_null(strstr(text, "\002tried 3 times: no daemon answers\n"));
    assert_non_null(strstr(text, "\nq0  "));
    free(text);
    top_sample_fini(&view.now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_have_one_unit),
        cmocka_unit_test(lengths_have_two_units),
        cmocka_unit_test(numbers_are_easy_to_read),
        cmocka_unit_test(the_bar_fits_its_terminal),
        cmocka_unit_test(top_shows_queues_rates_runs_and_failures),
        cmocka_unit_test(top_fits_each_screen),
        cmocka_unit_test(top_says_that_the_daemon_is_away_and_keeps_its_last_look),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
