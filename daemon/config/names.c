/* Names: which are valid, and which one was probably meant. */
#include <string.h>

#include "config/config.h"

enum { WORD_MAX = CONFIG_NAME_MAX, DISTANCE_MAX = 2 };

bool config_name_valid(const char *name)
{
    RN_ASSERT(name != NULL);
    size_t length = strlen(name);
    return length >= 1 && length <= CONFIG_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length &&
           strcmp(name, "true") != 0 && strcmp(name, "false") != 0;
}

/* How many letters must be put in, left out, changed, or swapped with their neighbour to get from
 * one word to the other. */
static size_t distance(const char *from, size_t from_length, const char *to, size_t to_length)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0]; // two rows above
    size_t *above = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= to_length; j++)
        above[j] = j;
    for (size_t i = 1; i <= from_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= to_length; j++) {
            size_t best = above[j - 1] + (from[i - 1] != to[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            bool is_swap = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if (is_swap && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[to_length];
}

const char *nearest_name(const char *word, const char *const *names)
{
    RN_ASSERT(word != NULL);
    RN_ASSERT(names != NULL);
    size_t length = strlen(word);
    if (length > WORD_MAX)
        return NULL;

    const char *nearest = NULL;
    size_t limit = DISTANCE_MAX + 1;
    for (size_t i = 0; names[i] != NULL; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length > WORD_MAX)
            continue;
        size_t longer = length > name_length ? length : name_length;
        size_t d = distance(word, length, names[i], name_length);
        // A third of the letters: otherwise each short name is near to each other one.
        if (d < limit && d * 3 <= longer) {
            limit = d;
            nearest = names[i];
        }
    }
    return nearest;
}
