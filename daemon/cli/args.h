/** \file The words of a command line: options by a table, and the rest. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "observe/error.h"

/** One option. A table of them ends with a row without a name. */
struct option_row {
    const char *name;  // without the dashes
    char letter;       // the short form; 0: none
    const char *value; // what stands for its value in the help; NULL: it has none; "[D]": a length
                       // of time, which may be left out
    const char *text;  // NULL: a further letter for an option that stands before it, not shown
};

enum { ARGUMENTS_OPTIONS_MAX = 64 };

struct arguments {
    const struct option_row *common; // options of every command
    const struct option_row *own;    // those of this one; NULL: none yet
    struct {
        const struct option_row *row;
        const char *value; // NULL: it has none
    } options[ARGUMENTS_OPTIONS_MAX];
    size_t option_count;
    char **words; // what is no option, in order; the front of argv
    size_t word_count;
};

/**
 * Takes options off argv, in any place up to "--", and gathers the words at its front.
 *
 * @param stop_at_word  ends before the first word: what is in front of a command's name
 * @return how many elements of argv were used
 *
 * **Ownership:** values and words are argv's. **Errors:** -EINVAL with a sentence: no such option,
 * a value that is missing or too much, too many options.
 */
int arguments_parse(struct arguments *arguments, int argc, char **argv, bool stop_at_word,
                    struct error *reterr) RN_MUST_CHECK;

/** The value of an option that was given, of the last one if several times; NULL: not given, or
 * without a value. */
const char *arguments_value(const struct arguments *arguments, const char *name);
bool arguments_has(const struct arguments *arguments, const char *name);
/** The option's value number index, from 0; NULL: there is none. */
const char *arguments_value_at(const struct arguments *arguments, const char *name, size_t index);

#endif
