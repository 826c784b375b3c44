/* Gives a target its corpus, without libFuzzer: each input as it is, each cut short in many places,
 * each with bits flipped. What is tried is the same in every run. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUTS_MAX = 1000, INPUT_BYTES_MAX = 1 << 20, VARIANTS = 32 };

struct input {
    char *name;
    uint8_t *bytes;
    size_t size;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;
static char folder[PATH_MAX];

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static void read_input(const char *name)
{
    char path[PATH_MAX + 256];
    struct input *input = &inputs[input_count++];

    assert_in_range(input_count, 1, INPUTS_MAX - 1);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    input->name = strdup(name);
    input->bytes = malloc(INPUT_BYTES_MAX);
    assert_non_null(input->bytes);
    input->size = fread(input->bytes, 1, INPUT_BYTES_MAX, file);
    assert_int_equal(fclose(file), 0);
}

static int read_corpus(void **state)
{
    const struct dirent *entry = NULL;

    (void)state;
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        print_error("%s: %s\n", folder, strerror(errno));
        return -1;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.')
            read_input(entry->d_name);
    }
    (void)closedir(directory);
    qsort(inputs, input_count, sizeof(inputs[0]), compare);
    return 0;
}

static int forget_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].name);
        free(inputs[i].bytes);
    }
    return 0;
}

/* The bytes alone in memory of their own, so that a sanitizer sees a read beyond them. */
static void run(const struct input *input, size_t size, size_t flipped_bit)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    memcpy(copy, input->bytes, size);
    if (flipped_bit < size * 8)
        copy[flipped_bit / 8] ^= (uint8_t)(1U << (flipped_bit % 8));
    assert_int_equal(LLVMFuzzerTestOneInput(copy, size), 0);
    free(copy);
}

// The log is shown where the process ends: its last line is the input.
static void tell(const struct input *input, const char *how)
{
    (void)fprintf(stderr, "%s %s\n", input->name, how);
}

static void every_input_of_the_corpus_holds(void **state)
{
    (void)state;
    assert_true(input_count > 0);
    for (size_t i = 0; i < input_count; i++) {
        tell(&inputs[i], "as it is");
        run(&inputs[i], inputs[i].size, SIZE_MAX);
    }
}

static void what_is_left_of_an_input_that_was_cut_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < input_count; i++) {
        size_t step = inputs[i].size / VARIANTS + 1;
        tell(&inputs[i], "cut short");
        for (size_t size = 0; size < inputs[i].size; size += step)
            run(&inputs[i], size, SIZE_MAX);
    }
}

static void an_input_with_a_flipped_bit_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < input_count; i++) {
        size_t bits = inputs[i].size * 8;
        size_t step = bits / VARIANTS + 1;
        tell(&inputs[i], "with a flipped bit");
        for (size_t bit = 0; bit < bits; bit += step)
            run(&inputs[i], inputs[i].size, bit + i % step < bits ? bit + i % step : bit);
    }
}

/* The corpus has the target's name: RUNNEL_SOURCE/tests/fuzz/corpus/json of fuzz_json. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_of_the_corpus_holds),
        cmocka_unit_test(what_is_left_of_an_input_that_was_cut_holds),
        cmocka_unit_test(an_input_with_a_flipped_bit_holds),
    };
    const char *source = getenv("RUNNEL_SOURCE");
    const char *name = strstr(argv[0], "fuzz_");

    if (argc > 1)
        (void)snprintf(folder, sizeof(folder), "%s", argv[1]);
    else
        (void)snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s",
                       source != NULL ? source : ".", name != NULL ? name + 5 : "");
    return cmocka_run_group_tests(tests, read_corpus, forget_corpus);
}
