/* Histograms, the text that Prometheus reads, and what the process takes. */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/group.h>

#include "observe/metrics.h"
#include "observe/usage.h"
#include "unit.h"

static const struct metrics_bounds bounds = {.count = 3,
                                             .upper = {RN_MILLISECOND, RN_SECOND, 90 * RN_SECOND}};

static const struct metrics_family waits = {"x_wait_seconds", METRICS_HISTOGRAM, "How long."};

struct text {
    FILE *file;
    char *bytes;
    size_t length;
};

static void text_open(struct text *text)
{
    text->file = open_memstream(&text->bytes, &text->length);
    assert_non_null(text->file);
}

static void expect_text(struct text *text, const char *wanted)
{
    assert_int_equal(fclose(text->file), 0);
    assert_string_equal(text->bytes, wanted);
    free(text->bytes);
}

static void a_length_counts_in_the_first_bucket_that_it_is_not_above(void **state)
{
    (void)state;
    static const struct {
        rn_duration length;
        size_t bucket;
    } rows[] = {{-RN_SECOND, 0},
                {0, 0},
                {RN_MILLISECOND, 0},
                {RN_MILLISECOND + 1, 1},
                {RN_SECOND, 1},
                {RN_SECOND + 1, 2},
                {90 * RN_SECOND, 2},
                {91 * RN_SECOND, 3},
                {INT64_MAX - RN_SECOND, 3}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct metrics_histogram histogram;
        metrics_histogram_init(&histogram, &bounds);

        metrics_observe(&histogram, rows[i].length);

        for (size_t bucket = 0; bucket <= METRICS_BOUNDS_MAX; bucket++)
            assert_int_equal(atomic_load(&histogram.buckets[bucket]), bucket == rows[i].bucket);
    }
}

static void the_buckets_of_the_text_add_up_to_the_count(void **state)
{
    (void)state;
    struct metrics_histogram histogram;
    struct metrics_labels labels = {.count = 1, .each = {{"queue", "mail"}}};
    struct text text;
    metrics_histogram_init(&histogram, &bounds);
    metrics_observe(&histogram, 600); // a microsecond, rounded
    metrics_observe(&histogram, 2 * RN_MILLISECOND);
    metrics_observe(&histogram, 3 * RN_MILLISECOND);
    metrics_observe(&histogram, RN_HOUR);

    text_open(&text);
    metrics_begin(text.file, &waits);
    metrics_histogram_samples(text.file, &waits, &labels, &histogram);

    expect_text(&text, "# HELP x_wait_seconds How long.\n"
                       "# TYPE x_wait_seconds histogram\n"
                       "x_wait_seconds_bucket{queue=\"mail\",le=\"0.001\"} 1\n"
                       "x_wait_seconds_bucket{queue=\"mail\",le=\"1\"} 3\n"
                       "x_wait_seconds_bucket{queue=\"mail\",le=\"90\"} 3\n"
                       "x_wait_seconds_bucket{queue=\"mail\",le=\"+Inf\"} 4\n"
                       "x_wait_seconds_sum{queue=\"mail\"} 3600.005001\n"
                       "x_wait_seconds_count{queue=\"mail\"} 4\n");
}

static void a_histogram_needs_no_labels(void **state)
{
    (void)state;
    static const struct metrics_bounds one = {.count = 1, .upper = {RN_MILLISECOND / 10}};
    struct metrics_histogram histogram;
    struct text text;
    metrics_histogram_init(&histogram, &one);

    text_open(&text);
    metrics_histogram_samples(text.file, &waits, NULL, &histogram);

    expect_text(&text, "x_wait_seconds_bucket{le=\"0.0001\"} 0\n"
                       "x_wait_seconds_bucket{le=\"+Inf\"} 0\n"
                       "x_wait_seconds_sum 0.000000\n"
                       "x_wait_seconds_count 0\n");
}

static void what_would_break_the_text_is_escaped(void **state)
{
    (void)state;
    static const struct metrics_family odd = {"x", METRICS_GAUGE, "a\\b \"c\"\nd"};
    struct metrics_labels labels = {
        .count = 2, .each = {{"one", "a\"b\\c\nd} 1\nx"}, {"two", "\xc3\xa9{,=\t"}}};
    struct text text;

    text_open(&text);
    metrics_begin(text.file, &odd);
    metrics_whole(text.file, &odd, &labels, 1);

    expect_text(&text, "# HELP x a\\\\b \"c\"\\nd\n"
                       "# TYPE x gauge\n"
                       "x{one=\"a\\\"b\\\\c\\nd} 1\\nx\",two=\"\xc3\xa9{,=\t\"} 1\n");
}

static void numbers_are_written_as_the_format_has_them(void **state)
{
    (void)state;
    static const struct metrics_family total = {"x_total", METRICS_COUNTER, "All."};
    struct text text;

    text_open(&text);
    metrics_begin(text.file, &total);
    metrics_whole(text.file, &total, NULL, UINT64_MAX);
    metrics_number(text.file, &total, NULL, 2.5 / 3600);
    metrics_number(text.file, &total, NULL, 1e6);
    metrics_number(text.file, &total, NULL, INFINITY);
    metrics_number(text.file, &total, NULL, -INFINITY);
    metrics_number(text.file, &total, NULL, NAN);
    metrics_seconds(text.file, &total, NULL, 1795577039704003);
    metrics_seconds(text.file, &total, NULL, 7);

    expect_text(&text, "# HELP x_total All.\n"
                       "# TYPE x_total counter\n"
                       "x_total 18446744073709551615\n"
                       "x_total 0.000694444444444444\n"
                       "x_total 1000000\n"
                       "x_total +Inf\n"
                       "x_total -Inf\n"
                       "x_total NaN\n"
                       "x_total 1795577039.704003\n"
                       "x_total 0.000007\n");
}

enum { THREADS = 4, EACH = 20000 };

static int observe_many(rn_context *ctx, void *arg)
{
    (void)ctx;
    for (rn_duration i = 0; i < EACH; i++)
        metrics_observe(arg, i % 4 == 0 ? RN_HOUR : i % 2000 * RN_MILLISECOND);
    return 0;
}

/* The number behind the last " " of the line that begins with `series`. */
static unsigned long number_of(const char *text, const char *series)
{
    const char *line = strstr(text, series);
    assert_non_null(line);
    return strtoul(line + strlen(series), NULL, 10);
}

static void threads_count_without_loss_while_another_reads(void **state)
{
    (void)state;
    struct metrics_histogram histogram;
    rn_group *group = NULL;
    unsigned long count = 0;
    metrics_histogram_init(&histogram, &bounds);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(rn_group_go(group, "observer", observe_many, &histogram), 0);

    for (unsigned round = 0; round < 200; round++) {
        struct text text;
        text_open(&text);
        metrics_histogram_samples(text.file, &waits, NULL, &histogram);
        assert_int_equal(fclose(text.file), 0);
        unsigned long now = number_of(text.bytes, "x_wait_seconds_count ");
        assert_int_equal(now, number_of(text.bytes, "x_wait_seconds_bucket{le=\"+Inf\"} "));
        assert_true(now >= count);
        count = now;
        free(text.bytes);
    }
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);

    uint64_t all = 0;
    for (size_t i = 0; i <= bounds.count; i++)
        all += atomic_load(&histogram.buckets[i]);
    assert_int_equal(all, THREADS * EACH);
    assert_int_equal(atomic_load(&histogram.buckets[3]), THREADS * EACH / 4);
}

static void a_file_that_is_full_has_its_error(void **state)
{
    (void)state;
    struct metrics_histogram histogram;
    metrics_histogram_init(&histogram, &bounds);
    FILE *file = fopen("/dev/full", "we");
    assert_non_null(file);

    for (unsigned i = 0; i < 1000; i++)
        metrics_histogram_samples(file, &waits, NULL, &histogram);

    assert_true(ferror(file) != 0);
    (void)fclose(file);
}

static void usage_is_that_of_this_process(void **state)
{
    (void)state;
    enum { MORE = 5 };
    struct usage before, after;
    int fds[MORE];

    usage_read(&before);
    for (unsigned i = 0; i < MORE; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    usage_read(&after);
    for (unsigned i = 0; i < MORE; i++)
        assert_int_equal(close(fds[i]), 0);

    assert_true(before.has_memory && before.has_open_fds);
    assert_true(before.resident_bytes >= 100 << 10);
    assert_true(before.virtual_bytes >= before.resident_bytes);
    assert_true(before.max_fds >= before.open_fds);
    assert_int_equal(after.open_fds, before.open_fds + MORE);
    assert_true(after.cpu_us >= before.cpu_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_counts_in_the_first_bucket_that_it_is_not_above),
        cmocka_unit_test(the_buckets_of_the_text_add_up_to_the_count),
        cmocka_unit_test(a_histogram_needs_no_labels),
        cmocka_unit_test(what_would_break_the_text_is_escaped),
        cmocka_unit_test(numbers_are_written_as_the_format_has_them),
        cmocka_unit_test(threads_count_without_loss_while_another_reads),
        cmocka_unit_test(a_file_that_is_full_has_its_error),
        cmocka_unit_test(usage_is_that_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
