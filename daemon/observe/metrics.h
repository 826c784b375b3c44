/** \file
 * Histograms, and the text in which Prometheus reads figures (exposition format 0.0.4,
 * https://prometheus.io/docs/instrumenting/exposition_formats/). Counting is an atomic add or two,
 * without a lock; whoever reads sees each number as it is at that moment.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <runnel/clock.h>

enum { METRICS_BOUNDS_MAX = 16 };

/** The upper bounds of a histogram's buckets, rising. */
struct metrics_bounds {
    size_t count; // 1..METRICS_BOUNDS_MAX
    rn_duration upper[METRICS_BOUNDS_MAX];
};

/** How often lengths of time fell into which bucket. */
struct metrics_histogram {
    const struct metrics_bounds *bounds; // set once
    // Of the bucket alone, not of those below it too: that is added up when it is read. The last
    // one is above all bounds.
    _Atomic uint64_t buckets[METRICS_BOUNDS_MAX + 1];
    _Atomic uint64_t sum_us; // nanoseconds would be too many for a long backlog's waits
};

/** All zero, in the caller's storage; borrows bounds. */
void metrics_histogram_init(struct metrics_histogram *histogram,
                            const struct metrics_bounds *bounds);
/** Counts one; below 0 (the wall clock was set back) counts as 0. **Threads:** any. */
void metrics_observe(struct metrics_histogram *histogram, rn_duration length);

/* ---- text ---- */

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/** Samples of one name and meaning. */
struct metrics_family {
    const char *name;
    enum metrics_type type;
    const char *help;
};

struct metrics_label {
    const char *name, *value; // value: any UTF-8; it is escaped
};

enum { METRICS_LABELS_MAX = 4 };

/** The labels of a sample. */
struct metrics_labels {
    size_t count;
    struct metrics_label each[METRICS_LABELS_MAX];
};

/** HELP and TYPE. Then come all samples of the family, before the next family begins. An error of
 * the file is found by ferror(), as for all of these. */
void metrics_begin(FILE *file, const struct metrics_family *family);
/** A sample. labels NULL: none. */
void metrics_whole(FILE *file, const struct metrics_family *family,
                   const struct metrics_labels *labels, uint64_t value);
void metrics_number(FILE *file, const struct metrics_family *family,
                    const struct metrics_labels *labels, double value);
/** Of microseconds, in seconds. */
void metrics_seconds(FILE *file, const struct metrics_family *family,
                     const struct metrics_labels *labels, uint64_t us);
/** The buckets, sum and count of a histogram; at most METRICS_LABELS_MAX - 1 labels. The count is
 * that of the last bucket, whatever is observed meanwhile. */
void metrics_histogram_samples(FILE *file, const struct metrics_family *family,
                               const struct metrics_labels *labels,
                               const struct metrics_histogram *histogram);

#endif
