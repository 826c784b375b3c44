/** \file
 * An answer of GET /metrics, read by the rules of Prometheus' text format. Whatever breaks one
 * fails the scenario: a sample without its family, buckets that do not rise, a series that stands
 * there twice, a foreign name.
 */
#ifndef INTEGRATION_SCRAPE_H
#define INTEGRATION_SCRAPE_H

#include <stdbool.h>
#include <stddef.h>

enum { SERIES_MAX = 4096, FAMILIES_MAX = 256 };

struct sample {
    char *series; // name and labels
    char *name;
    char *labels; // "" or what stands between the braces, "le" taken out
    char *le;     // NULL: none
    double value;
};

struct family {
    char *name, *type;
};

struct scrape {
    char *body;
    struct family families[FAMILIES_MAX];
    size_t family_count;
    struct sample samples[SERIES_MAX];
    size_t sample_count;
};

/** Every line is looked at. Kept. */
struct scrape *scrape_read(const char *body);
/** A series as it is written, with its labels; there must be one. */
double scrape_value(const struct scrape *scrape, const char *series);
bool scrape_has(const struct scrape *scrape, const char *series);
/** Of the name with which the text begins; 0: with none. */
size_t scrape_name_length(const char *text);

#endif
