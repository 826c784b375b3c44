/*
 * Placeholders of commands. Nothing here knows a shell: a value becomes one element of argv, or the
 * end of one, whatever is in it.
 *
 * A value that begins with '-' could be taken for an option by the program, so as a whole element
 * it is refused unless the configuration has a "--" before it. Behind `--out=` it can't be.
 */
#include "runners/template.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

bool template_needs_args(const struct config_kind *kind)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes = 0;

    if (kind->stdin_from == CONFIG_STDIN_PLACEHOLDER || kind->stdin_from == CONFIG_STDIN_TEXT)
        return true;
    for (size_t i = 1; i < kind->command_count; i++) {
        if (config_placeholder(kind->command[i], &prefix_bytes, name))
            return true;
    }
    return false;
}

/* What the places of a name in the command ask of its value. */
struct demands {
    bool in_argv;   // it has a length that execve takes
    bool no_option; // it is a whole element with no "--" before it: no '-' at the beginning
    size_t first;   // the element where it occurs first; command_count: only in stdin
};

static void find_demands(const struct config_kind *kind, const char *wanted, struct demands *ret)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes = 0;
    bool after_dashes = false;

    *ret = (struct demands){.first = kind->command_count};
    for (size_t i = 1; i < kind->command_count; i++) {
        if (strcmp(kind->command[i], "--") == 0)
            after_dashes = true;
        if (!config_placeholder(kind->command[i], &prefix_bytes, name) || strcmp(name, wanted) != 0)
            continue;
        if (!ret->in_argv)
            ret->first = i;
        ret->in_argv = true;
        if (prefix_bytes == 0 && !after_dashes)
            ret->no_option = true;
    }
}

static const struct config_accept *accept_find(const struct config_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->accept_count; i++) {
        if (strcmp(kind->accept[i].name, name) == 0)
            return &kind->accept[i];
    }
    return NULL;
}

static void check_pattern(const struct config_accept *accept, const struct args_value *value,
                          struct args_faults *list)
{
    char text[ARGS_VALUE_MAX + 1];

    memcpy(text, value->bytes, value->length);
    text[value->length] = '\0';
    // The loader has anchored the pattern at both ends. Running out of memory counts as no match:
    // nothing unchecked gets in.
    if (regexec(&accept->regex, text, 0, NULL, 0) != 0)
        args_faults_add(list, accept->name, "must as a whole match %s", accept->pattern);
}

static void check_value(const struct config_kind *kind, const struct args *args, const char *name,
                        const struct demands *demands, struct args_faults *list)
{
    const struct config_accept *accept = accept_find(kind, name);
    struct args_value value;

    args_value_get(args, name, &value);
    if (value.type == ARGS_MISSING)
        args_faults_add(list, name, "is required: a string, number or boolean");
    else if (value.type == ARGS_OTHER)
        args_faults_add(list, name, "must be a string, number or boolean");
    else if (memchr(value.bytes, '\0', value.length) != NULL)
        args_faults_add(list, name, "must not contain a NUL");
    else if ((demands->in_argv || accept != NULL) && value.length > ARGS_VALUE_MAX)
        args_faults_add(list, name, "must have at most %d bytes", ARGS_VALUE_MAX);
    else if (demands->no_option && value.length > 0 && value.bytes[0] == '-')
        args_faults_add(list, name, "must not begin with '-': the command has no \"--\" before it");
    else if (accept != NULL)
        check_pattern(accept, &value, list);
}

void template_check(const struct config_kind *kind, const struct args *args,
                    struct args_faults *list)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes = 0;
    struct demands demands;

    if (kind->stdin_from == CONFIG_STDIN_TEXT && !json_is_string(args->json)) {
        args_faults_add(list, NULL, "must be a string: the command reads it");
        return;
    }
    if (!template_needs_args(kind) ||
        (kind->stdin_from != CONFIG_STDIN_TEXT && !args_are_object(args->json, list)))
        return;
    for (size_t i = 1; i < kind->command_count; i++) {
        if (!config_placeholder(kind->command[i], &prefix_bytes, name))
            continue;
        find_demands(kind, name, &demands);
        if (demands.first == i) // once for each name
            check_value(kind, args, name, &demands, list);
    }
    if (kind->stdin_from == CONFIG_STDIN_PLACEHOLDER) {
        find_demands(kind, kind->stdin_name, &demands);
        if (!demands.in_argv)
            check_value(kind, args, kind->stdin_name, &demands, list);
    }
}

static char *fill_element(const char *element, const struct args *args)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes = 0;
    struct args_value value;

    if (!config_placeholder(element, &prefix_bytes, name))
        return strdup(element);
    args_value_get(args, name, &value);
    RN_ASSERT(value.type == ARGS_SCALAR);
    char *filled = malloc(prefix_bytes + value.length + 1);
    if (filled == NULL)
        return NULL;
    memcpy(filled, element, prefix_bytes);
    memcpy(filled + prefix_bytes, value.bytes, value.length);
    filled[prefix_bytes + value.length] = '\0';
    return filled;
}

int template_argv(const struct config_kind *kind, const struct args *args, char ***ret_argv)
{
    char **argv = calloc(kind->command_count + 1, sizeof(*argv));
    if (argv == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < kind->command_count; i++) {
        argv[i] = i == 0 ? strdup(kind->command[i]) : fill_element(kind->command[i], args);
        if (argv[i] == NULL) {
            template_argv_free(argv);
            return -ENOMEM;
        }
    }
    *ret_argv = argv;
    return 0;
}

void template_argv_free(char **argv)
{
    if (argv == NULL)
        return;
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    free(argv);
}
