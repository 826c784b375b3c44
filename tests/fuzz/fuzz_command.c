/* A command with placeholders: each word of it stays one word, nothing but the value takes the
 * placeholder's place, and no value can be taken for an option. Two parts: the command's words, a
 * line each, and args. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runners/template.h"

enum { WORDS_MAX = 32, FAULTS = 4 };

struct command {
    char *words[WORDS_MAX + 1];
    struct config_kind kind;
};

static void read_command(char *text, struct command *command)
{
    static char program[] = "/bin/true";
    struct config_kind *kind = &command->kind;
    size_t before = 0;

    kind->runs = CONFIG_RUNS_COMMAND;
    kind->stdin_from = CONFIG_STDIN_NONE;
    kind->command = command->words;
    command->words[kind->command_count++] = program;
    for (char *rest = text; rest != NULL && kind->command_count < WORDS_MAX;)
        command->words[kind->command_count++] = strsep(&rest, "\n");
    // A first word of {name} is what the command reads, too.
    if (config_placeholder(command->words[1], &before, kind->stdin_name) && before == 0)
        kind->stdin_from = CONFIG_STDIN_PLACEHOLDER;
    else if (strcmp(command->words[1], "text") == 0)
        kind->stdin_from = CONFIG_STDIN_TEXT;
}

/* The length of a member as text. */
static void expect_value(const char *value, const json_t *member)
{
    HOLDS(json_is_string(member) || json_is_boolean(member) || json_is_number(member));
    if (json_is_string(member)) {
        HOLDS(strlen(value) == json_string_length(member));
        HOLDS(strcmp(value, json_string_value(member)) == 0);
    } else if (json_is_boolean(member)) {
        HOLDS(strcmp(value, json_is_true(member) ? "true" : "false") == 0);
    } else {
        HOLDS(strspn(value, "0123456789+-.eE") == strlen(value));
        json_t *number = json_loads(value, JSON_DECODE_ANY, NULL);
        HOLDS(json_equal(number, member));
        json_decref(number);
    }
}

static void expect_argv(const struct config_kind *kind, const struct args *args)
{
    char **argv = NULL;
    bool after_dashes = false;

    HOLDS(template_argv(kind, args, &argv) == 0);
    for (size_t i = 0; i < kind->command_count; i++) {
        char name[CONFIG_NAME_MAX + 1];
        size_t before = 0;
        const char *word = kind->command[i];
        HOLDS(argv[i] != NULL);
        if (i == 0 || !config_placeholder(word, &before, name)) {
            HOLDS(strcmp(argv[i], word) == 0);
            after_dashes = after_dashes || strcmp(word, "--") == 0;
            continue;
        }
        HOLDS(strncmp(argv[i], word, before) == 0);
        expect_value(argv[i] + before, json_object_get(args->json, name));
        HOLDS(before > 0 || after_dashes || argv[i][0] != '-');
        HOLDS(strlen(argv[i]) - before <= ARGS_VALUE_MAX);
    }
    HOLDS(argv[kind->command_count] == NULL);
    template_argv_free(argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts parts = fuzz_parts(data, size);
    struct command command = {.words = {NULL}};
    struct args_fault faults[FAULTS];
    size_t length = 0;

    char *words = fuzz_next(&parts, &length);
    read_command(words, &command);
    char *text = fuzz_next(&parts, &length);
    // As args are stored and read again.
    json_t *json = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (json != NULL) {
        const struct args args = {.json = json, .text = text, .bytes = length};
        size_t count = runner_check_args(&command.kind, json, text, length, faults, FAULTS);
        HOLDS(runner_check_args(&command.kind, json, text, length, NULL, 0) == count);
        for (size_t i = 0; i < count && i < FAULTS; i++)
            HOLDS(strncmp(faults[i].pointer, "#/args", 6) == 0 && faults[i].detail[0] != '\0');
        if (count == 0)
            expect_argv(&command.kind, &args);
    }
    json_decref(json);
    free(text);
    free(words);
    return 0;
}
