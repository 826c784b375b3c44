/* Options by a table. getopt_long would do the parsing, but neither names what was probably meant
 * nor keeps a table with texts for the help and the completions. */
#include "cli/args.h"

#include <errno.h>
#include <string.h>

#include "config/config.h"
#include "config/units.h"

enum { NAMES_MAX = 64 };

/* The row of a long name of so many bytes, or of a letter (name NULL). */
static const struct option_row *row_in(const struct option_row *rows, const char *name,
                                       size_t length, char letter)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (name == NULL ? rows->letter == letter
                         : strncmp(rows->name, name, length) == 0 && rows->name[length] == '\0')
            return rows;
    }
    return NULL;
}

static const struct option_row *row_of(const struct arguments *arguments, const char *name,
                                       size_t length, char letter)
{
    const struct option_row *row = row_in(arguments->own, name, length, letter);

    return row != NULL ? row : row_in(arguments->common, name, length, letter);
}

/* What other tools call an option that the command has: no letters are near, but the meaning is. */
static const char *known_elsewhere(const struct arguments *arguments, const char *name)
{
    static const char *const others[][2] = {
        {"timeout", "wait"}, {"status", "state"}, {"since", "after"},     {"until", "before"},
        {"count", "limit"},  {"number", "limit"}, {"token", "token-file"}};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const char *own = others[i][1];
        if (strcmp(others[i][0], name) == 0 && row_of(arguments, own, strlen(own), '\0') != NULL)
            return own;
    }
    return NULL;
}

static int unknown(const struct arguments *arguments, const char *name, size_t length,
                   struct error *reterr)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    char word[CONFIG_NAME_MAX + 1] = "";
    size_t count = 0;

    for (const struct option_row *row = arguments->own;
         row != NULL && row->name != NULL && count < NAMES_MAX; row++)
        names[count++] = row->name;
    for (const struct option_row *row = arguments->common;
         row != NULL && row->name != NULL && count < NAMES_MAX; row++)
        names[count++] = row->name;
    if (length < sizeof(word))
        memcpy(word, name, length);
    const char *near = known_elsewhere(arguments, word);
    if (near == NULL && word[0] != '\0')
        near = nearest_name(word, names);
    return error_set(reterr, -EINVAL, "there is no option --%.*s%s%s%s", (int)length, name,
                     near == NULL ? "" : ": did you mean --", near == NULL ? "" : near,
                     near == NULL ? "" : "?");
}

static int add(struct arguments *arguments, const struct option_row *row, const char *value,
               struct error *reterr)
{
    if (arguments->option_count == ARGUMENTS_OPTIONS_MAX)
        return error_set(reterr, -EINVAL, "more than %d options", ARGUMENTS_OPTIONS_MAX);
    arguments->options[arguments->option_count].row = row;
    arguments->options[arguments->option_count].value = value;
    arguments->option_count++;
    return 0;
}

/* What follows an option whose value may be left out: nothing else than its value looks so. */
static bool is_length(const char *word)
{
    rn_duration length = 0;
    uint64_t seconds = 0;

    return units_unsigned(word, UINT64_MAX, &seconds) == 0 || units_duration(word, &length) == 0;
}

/* One option at argv[0]; returns how many elements it takes. */
static int take(struct arguments *arguments, int argc, char **argv, struct error *reterr)
{
    const char *name = argv[0] + 1;
    bool is_long = name[0] == '-';
    name += is_long;
    size_t length = is_long ? strcspn(name, "=") : 1;
    const char *value = NULL;

    const struct option_row *row =
        row_of(arguments, is_long ? name : NULL, length, is_long ? '\0' : name[0]);
    // -jn5: letters without a value may stand before another one.
    while (!is_long && row != NULL && row->value == NULL && name[1] != '\0' && name[1] != '=') {
        int r = add(arguments, row, NULL, reterr);
        if (r < 0)
            return r;
        name++;
        row = row_of(arguments, NULL, 0, name[0]);
    }
    if (row == NULL && !is_long)
        return error_set(reterr, -EINVAL, "there is no option -%c", name[0]);
    if (row == NULL)
        return unknown(arguments, name, length, reterr);
    if (name[length] != '\0') // --name=value, -nvalue, -n=value
        value = name + length + (name[length] == '=');
    if (row->value == NULL && value != NULL)
        return error_set(reterr, -EINVAL, "the option --%s takes no value", row->name);

    int used = 1;
    bool may_lack = row->value != NULL && row->value[0] == '[';
    if (row->value != NULL && value == NULL && (!may_lack || (argc > 1 && is_length(argv[1])))) {
        if (argc < 2)
            return error_set(reterr, -EINVAL, "the option --%s needs a value: --%s %s", row->name,
                             row->name, row->value);
        value = argv[1];
        used = 2;
    }
    int r = add(arguments, row, value, reterr);
    return r < 0 ? r : used;
}

int arguments_parse(struct arguments *arguments, int argc, char **argv, bool stop_at_word,
                    struct error *reterr)
{
    RN_ASSERT(arguments != NULL);
    RN_ASSERT(argv != NULL);
    bool only_words = false;
    int i = 0;

    arguments->words = argv;
    arguments->word_count = 0;
    while (i < argc) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            int used = take(arguments, argc - i, argv + i, reterr);
            if (used < 0)
                return used;
            i += used;
        } else if (stop_at_word) {
            break;
        } else {
            argv[arguments->word_count++] = argv[i++]; // never behind i
        }
    }
    return i;
}

const char *arguments_value_at(const struct arguments *arguments, const char *name, size_t index)
{
    RN_ASSERT(row_of(arguments, name, strlen(name), '\0') != NULL);
    for (size_t i = 0; i < arguments->option_count; i++) {
        if (strcmp(arguments->options[i].row->name, name) == 0 && index-- == 0)
            return arguments->options[i].value;
    }
    return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
    RN_ASSERT(row_of(arguments, name, strlen(name), '\0') != NULL);
    for (size_t i = 0; i < arguments->option_count; i++) {
        if (strcmp(arguments->options[i].row->name, name) == 0)
            return true;
    }
    return false;
}

const char *arguments_value(const struct arguments *arguments, const char *name)
{
    RN_ASSERT(row_of(arguments, name, strlen(name), '\0') != NULL);
    for (size_t i = arguments->option_count; i > 0; i--) {
        if (strcmp(arguments->options[i - 1].row->name, name) == 0)
            return arguments->options[i - 1].value;
    }
    return NULL;
}
