/* Histograms and Prometheus' text format. A name or a text is written as it stands but for what the
 * format escapes: the backslash and the newline, in a label's value the double quote too. */
#include "observe/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <runnel/error.h>

void metrics_histogram_init(struct metrics_histogram *histogram,
                            const struct metrics_bounds *bounds)
{
    RN_ASSERT(bounds->count >= 1 && bounds->count <= METRICS_BOUNDS_MAX);
    histogram->bounds = bounds;
    for (size_t i = 0; i <= METRICS_BOUNDS_MAX; i++)
        atomic_init(&histogram->buckets[i], 0);
    atomic_init(&histogram->sum_us, 0);
}

void metrics_observe(struct metrics_histogram *histogram, rn_duration length)
{
    const struct metrics_bounds *bounds = histogram->bounds;
    size_t bucket = 0;

    if (length < 0)
        length = 0;
    while (bucket < bounds->count && length > bounds->upper[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us,
                              (uint64_t)((length + RN_MICROSECOND / 2) / RN_MICROSECOND),
                              memory_order_relaxed);
}

/* ---- text ---- */

static void put_escaped(FILE *file, const char *text, const char *quote)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            (void)fputs("\\n", file);
            continue;
        }
        if (*at == '\\' || *at == quote[0])
            (void)fputc('\\', file);
        (void)fputc(*at, file);
    }
}

void metrics_begin(FILE *file, const struct metrics_family *family)
{
    static const char *const types[] = {[METRICS_COUNTER] = "counter",
                                        [METRICS_GAUGE] = "gauge",
                                        [METRICS_HISTOGRAM] = "histogram"};

    (void)fprintf(file, "# HELP %s ", family->name);
    put_escaped(file, family->help, "");
    (void)fprintf(file, "\n# TYPE %s %s\n", family->name, types[family->type]);
}

/* name_suffix{label="value",…} and the space before the value. */
static void put_series(FILE *file, const struct metrics_family *family, const char *suffix,
                       const struct metrics_labels *labels)
{
    size_t count = labels == NULL ? 0 : labels->count;

    RN_ASSERT(count <= METRICS_LABELS_MAX);
    (void)fprintf(file, "%s%s", family->name, suffix);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "%s%s=\"", i == 0 ? "{" : ",", labels->each[i].name);
        put_escaped(file, labels->each[i].value, "\"");
        (void)fputc('"', file);
    }
    (void)fputs(count > 0 ? "} " : " ", file);
}

void metrics_whole(FILE *file, const struct metrics_family *family,
                   const struct metrics_labels *labels, uint64_t value)
{
    put_series(file, family, "", labels);
    (void)fprintf(file, "%" PRIu64 "\n", value);
}

void metrics_number(FILE *file, const struct metrics_family *family,
                    const struct metrics_labels *labels, double value)
{
    put_series(file, family, "", labels);
    if (isnan(value))
        (void)fputs("NaN\n", file);
    else if (isinf(value))
        (void)fputs(value > 0 ? "+Inf\n" : "-Inf\n", file);
    else
        (void)fprintf(file, "%.15g\n", value);
}

static void put_seconds(FILE *file, uint64_t us)
{
    enum { PER_SECOND = 1000000 };

    (void)fprintf(file, "%" PRIu64 ".%06" PRIu64 "\n", us / PER_SECOND, us % PER_SECOND);
}

void metrics_seconds(FILE *file, const struct metrics_family *family,
                     const struct metrics_labels *labels, uint64_t us)
{
    put_series(file, family, "", labels);
    put_seconds(file, us);
}

void metrics_histogram_samples(FILE *file, const struct metrics_family *family,
                               const struct metrics_labels *labels,
                               const struct metrics_histogram *histogram)
{
    const struct metrics_bounds *bounds = histogram->bounds;
    struct metrics_labels with_bound = {.count = 0};
    char bound[32];
    uint64_t count = 0;

    if (labels != NULL)
        with_bound = *labels;
    RN_ASSERT(with_bound.count < METRICS_LABELS_MAX);
    with_bound.each[with_bound.count] = (struct metrics_label){.name = "le", .value = bound};
    with_bound.count++;
    for (size_t i = 0; i <= bounds->count; i++) {
        if (i < bounds->count)
            (void)snprintf(bound, sizeof(bound), "%.10g",
                           (double)bounds->upper[i] / (double)RN_SECOND);
        else
            (void)snprintf(bound, sizeof(bound), "+Inf");
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        put_series(file, family, "_bucket", &with_bound);
        (void)fprintf(file, "%" PRIu64 "\n", count);
    }
    put_series(file, family, "_sum", labels);
    put_seconds(file, atomic_load_explicit(&histogram->sum_us, memory_order_relaxed));
    put_series(file, family, "_count", labels);
    (void)fprintf(file, "%" PRIu64 "\n", count);
}
