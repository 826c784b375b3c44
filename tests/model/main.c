/*
 *   explore                    all scenarios
 *   explore WORD               those with the word in their name
 *   explore =NAME              the one of that name
 *   explore -l                 lists them
 *   explore -p PROGRAM [CAPACITY CAPACITY LOOKS MISHAPS]
 *                              a program in the notation of program.h; each a digit, 0 if left out
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATES_MAX = 32 << 20, // 1 GB, while the table grows 1.5
};

static bool explore_given(int count, char **words)
{
    unsigned digits[CHANNELS_MAX + 2] = {0};
    struct scenario given = {.name = words[0], .program = words[0]};

    for (int i = 1; i < count && i <= CHANNELS_MAX + 2; i++)
        digits[i - 1] = (unsigned)(words[i][0] - '0');
    for (unsigned i = 0; i < CHANNELS_MAX; i++)
        given.capacities[i] = (int)digits[i];
    given.looks = digits[CHANNELS_MAX];
    given.mishaps = digits[CHANNELS_MAX + 1];
    return program_explore(&given, STATES_MAX);
}

static bool is_wanted(const char *name, const char *word)
{
    return word[0] == '=' ? strcmp(name, word + 1) == 0 : strstr(name, word) != NULL;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool is_right = true;
    unsigned count = 0;

    threads_init();
    if (argc > 2 && strcmp(word, "-p") == 0)
        return explore_given(argc - 2, argv + 2) ? EXIT_SUCCESS : EXIT_FAILURE;
    for (size_t i = 0; i < scenario_count; i++) {
        if (strcmp(word, "-l") == 0) {
            (void)puts(scenarios[i].name);
            count++;
        } else if (is_wanted(scenarios[i].name, word)) {
            is_right = program_explore(&scenarios[i], STATES_MAX) && is_right;
            count++;
        }
    }
    return is_right && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
