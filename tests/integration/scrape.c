/* Reads Prometheus' text format strictly: see scrape.h. */
#include "scrape.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

static char *copy_of(const char *from, size_t length)
{
    return plain_text("%.*s", (int)length, from);
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

size_t scrape_name_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
}

/* name="value",… up to the brace; `le` is set apart. Returns what stands behind the brace. */
static const char *read_labels(const char *line, const char *at, struct sample *sample)
{
    for (;;) {
        const char *begin = at;
        size_t length = scrape_name_length(at);
        if (length == 0 || strncmp(at + length, "=\"", 2) != 0)
            fail_msg("no label at '%s' of: %s", at, line);
        at += length + 2;
        const char *value = at;
        while (*at != '"' && *at != '\0') {
            if (*at == '\\' && strchr("\\\"n", at[1]) == NULL)
                fail_msg("an escape that there is not: %s", line);
            at += *at == '\\' ? 2 : 1;
        }
        if (*at == '\0')
            fail_msg("a value without an end: %s", line);
        if (length == 2 && strncmp(begin, "le", 2) == 0)
            sample->le = copy_of(value, (size_t)(at - value));
        else
            sample->labels = plain_text("%s%.*s,", sample->labels, (int)(at + 1 - begin), begin);
        at++;
        if (*at == '}')
            return at + 1;
        if (*at != ',')
            fail_msg("no comma at '%s' of: %s", at, line);
        at++;
    }
}

/* The family that was begun last must be the sample's, and its type allow the name's end. */
static void expect_of_family(const struct scrape *scrape, const struct sample *sample)
{
    if (scrape->family_count == 0)
        fail_msg("no family was begun: %s", sample->series);
    const struct family *family = &scrape->families[scrape->family_count - 1];
    size_t length = strlen(family->name);

    if (family->type == NULL)
        fail_msg("no TYPE before: %s", sample->series);
    if (strncmp(sample->name, family->name, length) != 0)
        fail_msg("it stands under %s: %s", family->name, sample->series);
    const char *end = sample->name + length;
    if (strcmp(family->type, "histogram") == 0) {
        bool is_bucket = strcmp(end, "_bucket") == 0;
        if (!is_bucket && strcmp(end, "_sum") != 0 && strcmp(end, "_count") != 0)
            fail_msg("no sample of a histogram: %s", sample->series);
        if (is_bucket != (sample->le != NULL))
            fail_msg("le belongs to buckets: %s", sample->series);
    } else if (end[0] != '\0' || sample->le != NULL) {
        fail_msg("it stands under %s: %s", family->name, sample->series);
    }
    if (strcmp(family->type, "gauge") != 0 && sample->value < 0)
        fail_msg("it counts below 0: %s", sample->series);
}

static void read_sample(struct scrape *scrape, const char *line)
{
    assert_true(scrape->sample_count < SERIES_MAX);
    struct sample *sample = &scrape->samples[scrape->sample_count];
    size_t length = scrape_name_length(line);
    const char *at = line + length;

    *sample = (struct sample){.name = copy_of(line, length), .labels = plain_text("%s", "")};
    if (*at == '{')
        at = read_labels(line, at + 1, sample);
    if (length == 0 || *at != ' ')
        fail_msg("no sample: %s", line);
    sample->series = copy_of(line, (size_t)(at - line));
    char *end = NULL;
    sample->value = strtod(at + 1, &end);
    if (end == at + 1 || *end != '\0')
        fail_msg("no number: %s", line);
    for (size_t i = 0; i < scrape->sample_count; i++) {
        if (strcmp(scrape->samples[i].series, sample->series) == 0)
            fail_msg("it stands there twice: %s", sample->series);
    }
    expect_of_family(scrape, sample);
    scrape->sample_count++;
}

static void read_help(struct scrape *scrape, const char *line)
{
    size_t length = scrape_name_length(line);

    assert_true(scrape->family_count < FAMILIES_MAX);
    if (length == 0 || line[length] != ' ' || line[length + 1] == '\0')
        fail_msg("no help: %s", line);
    char *name = copy_of(line, length);
    if (strncmp(name, "runnel_", 7) != 0 && strncmp(name, "process_", 8) != 0)
        fail_msg("a foreign name: %s", name);
    for (size_t i = 0; i < scrape->family_count; i++) {
        if (strcmp(scrape->families[i].name, name) == 0)
            fail_msg("a family that stands there twice: %s", name);
    }
    scrape->families[scrape->family_count++] = (struct family){.name = name};
}

static void read_type(struct scrape *scrape, const char *line)
{
    size_t length = scrape_name_length(line);
    struct family *family =
        scrape->family_count == 0 ? NULL : &scrape->families[scrape->family_count - 1];

    if (family == NULL || family->type != NULL || strlen(family->name) != length ||
        strncmp(family->name, line, length) != 0 || line[length] != ' ')
        fail_msg("a TYPE that does not follow its HELP: %s", line);
    family->type = plain_text("%s", line + length + 1);
    bool is_counter = strcmp(family->type, "counter") == 0;
    if (!is_counter && strcmp(family->type, "gauge") != 0 && strcmp(family->type, "histogram") != 0)
        fail_msg("a type that there is not: %s", line);
    if (is_counter != ends_in(family->name, "_total"))
        fail_msg("counters, and they alone, end in _total: %s", family->name);
}

double scrape_value(const struct scrape *scrape, const char *series)
{
    for (size_t i = 0; i < scrape->sample_count; i++) {
        if (strcmp(scrape->samples[i].series, series) == 0)
            return scrape->samples[i].value;
    }
    fail_msg("there is no %s in:\n%s", series, scrape->body);
    return 0;
}

bool scrape_has(const struct scrape *scrape, const char *series)
{
    for (size_t i = 0; i < scrape->sample_count; i++) {
        if (strcmp(scrape->samples[i].series, series) == 0)
            return true;
    }
    return false;
}

/* The buckets of each histogram rise in bound and count, and the last one is its count. */
static void expect_histograms(const struct scrape *scrape)
{
    for (size_t i = 0; i < scrape->sample_count; i++) {
        const struct sample *sample = &scrape->samples[i];
        const struct sample *before = i == 0 ? NULL : &scrape->samples[i - 1];

        if (sample->le == NULL)
            continue;
        double bound = strtod(sample->le, NULL);
        bool is_same = before != NULL && before->le != NULL &&
                       strcmp(before->labels, sample->labels) == 0 &&
                       strcmp(before->name, sample->name) == 0;
        if (is_same && (strtod(before->le, NULL) >= bound || before->value > sample->value))
            fail_msg("its buckets do not rise: %s", sample->series);
        if (strcmp(sample->le, "+Inf") != 0)
            continue;
        const struct sample *sum = sample + 1, *count = sample + 2;
        if (!is_same || i + 2 >= scrape->sample_count || !ends_in(sum->name, "_sum") ||
            !ends_in(count->name, "_count") || strcmp(sum->labels, sample->labels) != 0 ||
            strcmp(count->labels, sample->labels) != 0)
            fail_msg("no sum or no count behind: %s", sample->series);
        if (count->value != sample->value)
            fail_msg("not as many as its last bucket has: %s", count->series);
    }
}

struct scrape *scrape_read(const char *body)
{
    struct scrape *scrape = keep(calloc(1, sizeof(*scrape)));

    scrape->body = plain_text("%s", body);
    assert_true(ends_in(body, "\n"));
    for (const char *at = body; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        char *line = copy_of(at, length);
        if (strncmp(line, "# HELP ", 7) == 0)
            read_help(scrape, line + 7);
        else if (strncmp(line, "# TYPE ", 7) == 0)
            read_type(scrape, line + 7);
        else
            read_sample(scrape, line);
        at += length + 1;
    }
    expect_histograms(scrape);
    return scrape;
}
