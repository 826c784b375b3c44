/* Kinds: what only they have, and what of it has to fit together. A kind whose block has a fault is
 * filled as far as it goes; it is never used, since the configuration as a whole is refused then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/internal.h"

enum {
    COMMAND_ELEMENTS_MAX = 256,
    COMMAND_ELEMENT_BYTES_MAX = 32
                                << 10, // a script for `sh -c` fits; execve takes four times as much
    BUILTIN_ATTEMPTS = 3,
    PATTERN_BYTES_MAX = 4 << 10,
};

bool config_placeholder(const char *element, size_t *ret_prefix_bytes,
                        char ret_name[CONFIG_NAME_MAX + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char further[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789-";

    RN_ASSERT(element != NULL);
    const char *open = strrchr(element, '{');
    if (open == NULL || (open != element && open[-1] != '='))
        return false;
    size_t length = strspn(open + 1, further);
    if (length == 0 || length > CONFIG_NAME_MAX || strcmp(open + 1 + length, "}") != 0 ||
        strchr(letters, open[1]) == NULL)
        return false;
    *ret_prefix_bytes = (size_t)(open - element);
    memcpy(ret_name, open + 1, length);
    ret_name[length] = '\0';
    return true;
}

void kind_fini(struct config_kind *kind)
{
    char **const lists[] = {kind->command, kind->pass_env, kind->env};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; lists[i] != NULL && lists[i][j] != NULL; j++)
            free(lists[i][j]);
        free(lists[i]);
    }
    for (size_t i = 0; i < kind->accept_count; i++) {
        free(kind->accept[i].pattern);
        regfree(&kind->accept[i].regex);
    }
    free(kind->accept);
    free(kind->queue);
    free(kind->directory);
    free(kind->env_file);
    free(kind->retry_exit);
}

void kind_set_command(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    struct config_kind *kind = object;
    int type = config_setting_type(value->setting);
    int count = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST
                    ? config_setting_length(value->setting)
                    : 0;

    if (count == 0 || count > COMMAND_ELEMENTS_MAX) {
        fault_value(loader, setting, value,
                    "must be a list of 1 to %d texts such as [\"/usr/bin/du\", \"-sk\"]",
                    COMMAND_ELEMENTS_MAX);
        return;
    }
    kind->command = loader_calloc(loader, (size_t)count, sizeof(*kind->command));
    if (kind->command == NULL)
        return;
    for (int i = 0; i < count; i++) {
        const struct value element = {.setting =
                                          config_setting_get_elem(value->setting, (unsigned)i)};
        const char *text = settings_string(loader, setting, &element, "a list of texts");
        if (text == NULL)
            return;
        if (strlen(text) > COMMAND_ELEMENT_BYTES_MAX)
            fault_value(loader, setting, &element, "has an element of more than %d bytes",
                        COMMAND_ELEMENT_BYTES_MAX);
        kind->command[i] = loader_strdup(loader, text);
        if (kind->command[i] == NULL)
            return;
        kind->command_count++;
    }
}

void kind_set_builtin(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    struct config_kind *kind = object;
    const char *text = settings_string(loader, setting, value, "the name of a built-in");
    if (text == NULL)
        return;
    const char *const *name = loader->options->builtins;
    while (*name != NULL && strcmp(*name, text) != 0)
        name++;
    if (*name == NULL) {
        const char *nearest = nearest_name(text, loader->options->builtins);
        fault_value(loader, setting, value,
                    "names no built-in: there is none called \"%.60s\"%s%s%s", text,
                    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "\"?" : "");
        return;
    }
    (void)snprintf(kind->builtin, sizeof(kind->builtin), "%s", *name);
}

void kind_set_queue_name(struct loader *loader, const struct setting *setting,
                         const struct value *value, void *object)
{
    struct config_kind *kind = object;
    const char *text = settings_string(loader, setting, value, "the name of a queue");
    if (text == NULL)
        return;
    if (config_queue_find(loader->config, text) == NULL) {
        const char *names[CONFIG_WORKERS_MAX + 1];
        size_t count = 0;
        for (; count < loader->config->queue_count && count < CONFIG_WORKERS_MAX; count++)
            names[count] = loader->config->queues[count].name;
        names[count] = NULL;
        const char *nearest = nearest_name(text, names);
        fault_value(loader, setting, value, "names no queue of this file: \"%.60s\"%s%s%s", text,
                    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "\"?" : "");
        return;
    }
    kind->queue = loader_strdup(loader, text);
}

void kind_set_follow(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    const char *text = settings_string(loader, setting, value, "the name of a kind");
    if (text != NULL) // whether there is such a kind is seen when all are loaded
        (void)snprintf((char *)object + setting->offset, setting->size, "%s", text);
}

void kind_check_follow(struct loader *loader, const config_setting_t *group, const char *where)
{
    static const char *const names[] = {"on_success", "on_failure"};
    const struct config *config = loader->config;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const config_setting_t *member = config_setting_get_member(group, names[i]);
        const char *kind = member == NULL ? NULL : config_setting_get_string(member);
        if (kind != NULL && config_kind_find(config, kind) == NULL)
            fault_at(loader, member, "%s%s names no kind of this file: \"%.60s\"", where, names[i],
                     kind);
    }
}

/* One of two words: true for the first. */
static bool either(struct loader *loader, const struct setting *setting, const struct value *value,
                   const char *first, const char *second)
{
    char what[64];
    snprintf(what, sizeof(what), "\"%s\" or \"%s\"", first, second);
    const char *text = settings_string(loader, setting, value, what);
    if (text != NULL && strcmp(text, first) != 0 && strcmp(text, second) != 0)
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
    return text != NULL && strcmp(text, first) == 0;
}

void kind_set_interrupted(struct loader *loader, const struct setting *setting,
                          const struct value *value, void *object)
{
    struct config_kind *kind = object;
    kind->retry_if_interrupted = either(loader, setting, value, "retry", "fail");
}

void kind_set_output(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    struct config_kind *kind = object;
    kind->output =
        either(loader, setting, value, "json", "text") ? CONFIG_OUTPUT_JSON : CONFIG_OUTPUT_TEXT;
}

void kind_set_stdin(struct loader *loader, const struct setting *setting, const struct value *value,
                    void *object)
{
    static const char what[] = "\"args\", \"text\", \"none\" or a placeholder such as \"{text}\"";
    struct config_kind *kind = object;
    const char *text = settings_string(loader, setting, value, what);
    size_t prefix_bytes;

    if (text == NULL)
        return;
    if (strcmp(text, "args") == 0)
        kind->stdin_from = CONFIG_STDIN_ARGS;
    else if (strcmp(text, "text") == 0)
        kind->stdin_from = CONFIG_STDIN_TEXT;
    else if (strcmp(text, "none") == 0)
        kind->stdin_from = CONFIG_STDIN_NONE;
    else if (config_placeholder(text, &prefix_bytes, kind->stdin_name) && prefix_bytes == 0)
        kind->stdin_from = CONFIG_STDIN_PLACEHOLDER;
    else
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
}

void kind_set_directory(struct loader *loader, const struct setting *setting,
                        const struct value *value, void *object)
{
    struct config_kind *kind = object;
    const char *text = settings_string(loader, setting, value, "an absolute path");
    struct stat status;

    if (text == NULL)
        return;
    if (text[0] != '/') {
        fault_value(loader, setting, value, "must be an absolute path, not \"%.60s\"", text);
        return;
    }
    if (loader->options->check_commands && (stat(text, &status) < 0 || !S_ISDIR(status.st_mode))) {
        fault_value(loader, setting, value, "is no folder: \"%.200s\"", text);
        return;
    }
    kind->directory = loader_strdup(loader, text);
}

void kind_set_exit_codes(struct loader *loader, const struct setting *setting,
                         const struct value *value, void *object)
{
    struct config_kind *kind = object;
    int type = config_setting_type(value->setting);
    bool is_list = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
    size_t count = is_list ? (size_t)config_setting_length(value->setting) : 0;

    kind->retry_exit_set = true;
    if (!is_list || count > 255) {
        fault_value(loader, setting, value, "must be a list of exit codes such as [2, 3]");
        return;
    }
    kind->retry_exit = loader_calloc(loader, count, sizeof(*kind->retry_exit));
    if (kind->retry_exit == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(value->setting, (unsigned)i);
        int code =
            config_setting_type(element) == CONFIG_TYPE_INT ? config_setting_get_int(element) : -1;
        if (code < setting->min || code > setting->max)
            fault_value(loader, setting, &(struct value){.setting = element},
                        "must have exit codes from %d to %d", (int)setting->min, (int)setting->max);
        else
            kind->retry_exit[kind->retry_exit_count++] = code;
    }
}

/* Compiles a pattern so that it matches values as a whole. 0, or regcomp's code. */
static int compile_whole(const char *pattern, regex_t *ret_regex)
{
    regex_t alone;
    char whole[PATTERN_BYTES_MAX + sizeof("^()$")];

    // Alone first: "a)(b" would be right within the brackets.
    int r = regcomp(&alone, pattern, REG_EXTENDED | REG_NOSUB);
    if (r != 0)
        return r;
    regfree(&alone);
    snprintf(whole, sizeof(whole), "^(%s)$", pattern);
    return regcomp(ret_regex, whole, REG_EXTENDED | REG_NOSUB);
}

/* glibc has \1 in extended expressions: no part of POSIX's, numbered otherwise within our brackets,
 * and slow without bound. */
static bool has_back_reference(const char *pattern)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at != '\\')
            continue;
        at++;
        if (*at >= '1' && *at <= '9')
            return true;
        if (*at == '\0')
            break;
    }
    return false;
}

static void add_accept(struct loader *loader, const struct setting *setting,
                       const config_setting_t *element, struct config_kind *kind)
{
    const struct value value = {.setting = element};
    const char *name = config_setting_name(element);
    const char *pattern =
        settings_string(loader, setting, &value, "a group of regular expressions");
    struct config_accept accept = {.pattern = NULL};

    if (pattern == NULL)
        return;
    if (strlen(name) > CONFIG_NAME_MAX || strlen(pattern) > PATTERN_BYTES_MAX) {
        fault_value(loader, setting, &value,
                    "has a name of more than %d or an expression of more than %d bytes",
                    CONFIG_NAME_MAX, PATTERN_BYTES_MAX);
        return;
    }
    int r = has_back_reference(pattern) ? REG_ESUBREG : compile_whole(pattern, &accept.regex);
    if (r != 0) {
        char text[100];
        (void)regerror(r, NULL, text, sizeof(text));
        fault_value(loader, setting, &value,
                    "has no valid extended regular expression for %.64s, \"%.100s\": %s", name,
                    pattern, text);
        return;
    }
    memcpy(accept.name, name, strlen(name) + 1);
    accept.pattern = loader_strdup(loader, pattern);
    if (accept.pattern == NULL) {
        regfree(&accept.regex);
        return;
    }
    kind->accept[kind->accept_count++] = accept;
}

void kind_set_accept(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    struct config_kind *kind = object;
    if (config_setting_type(value->setting) != CONFIG_TYPE_GROUP) {
        fault_value(loader, setting, value, "must be a group such as { path = \"/srv/.*\"; }");
        return;
    }
    int count = config_setting_length(value->setting);
    kind->accept = loader_calloc(loader, (size_t)count, sizeof(*kind->accept));
    for (int i = 0; i < count && kind->accept != NULL; i++)
        add_accept(loader, setting, config_setting_get_elem(value->setting, (unsigned)i), kind);
}

static bool has(const config_setting_t *group, const char *name)
{
    return config_setting_get_member(group, name) != NULL;
}

static void check_program(struct loader *loader, const config_setting_t *at,
                          const struct config_kind *kind)
{
    const char *program = kind->command[0];
    struct stat status;

    if (program[0] != '/') {
        fault_at(loader, at, "%scommand must name its program by an absolute path, not \"%.200s\"",
                 loader->where, program);
        return;
    }
    if (!loader->options->check_commands)
        return;
    if (stat(program, &status) < 0)
        fault_at(loader, at, "%scommand: %.200s: %s", loader->where, program,
                 faults_system_error(-errno));
    else if (!S_ISREG(status.st_mode))
        fault_at(loader, at, "%scommand: %.200s is no program", loader->where, program);
    else if (access(program, X_OK) < 0)
        fault_at(loader, at, "%scommand: %.200s may not be run: %s", loader->where, program,
                 faults_system_error(-errno));
}

/* Whether the command, or its stdin, has a placeholder of that name. */
static bool has_placeholder(const struct config_kind *kind, const char *name)
{
    char found[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes;

    if (kind->stdin_from == CONFIG_STDIN_PLACEHOLDER && strcmp(kind->stdin_name, name) == 0)
        return true;
    for (size_t i = 1; i < kind->command_count; i++)
        if (config_placeholder(kind->command[i], &prefix_bytes, found) && strcmp(found, name) == 0)
            return true;
    return false;
}

/* Whether an element has what looks like a placeholder in a place where it is none. */
static bool has_misplaced(const char *element)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t prefix_bytes;

    if (config_placeholder(element, &prefix_bytes, name))
        return false;
    for (const char *open = strchr(element, '{'); open != NULL; open = strchr(open + 1, '{')) {
        size_t length = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz_");
        // ${name} and the like belong to the program.
        if (length > 0 && open[1 + length] == '}' && (open == element || open[-1] != '$'))
            return true;
    }
    return false;
}

static void check_command(struct loader *loader, const config_setting_t *group,
                          const struct config_kind *kind)
{
    const config_setting_t *command = config_setting_get_member(group, "command");
    const config_setting_t *accept = config_setting_get_member(group, "accept");

    if (kind->command_count == 0)
        return; // there is a fault already
    check_program(loader, config_setting_get_elem(command, 0), kind);
    for (size_t i = 0; i < kind->command_count; i++)
        if (has_misplaced(kind->command[i]))
            warning_at(loader, config_setting_get_elem(command, (unsigned)i),
                       "%scommand: in \"%.100s\" the braces are taken as they are: a placeholder "
                       "is a whole element, or its end "
                       "after '='",
                       loader->where, kind->command[i]);
    for (size_t i = 0; i < kind->accept_count; i++)
        if (!has_placeholder(kind, kind->accept[i].name))
            fault_at(loader, config_setting_get_member(accept, kind->accept[i].name),
                     "%saccept names %s, but neither command nor stdin has {%s}", loader->where,
                     kind->accept[i].name, kind->accept[i].name);
}

static void check_builtin(struct loader *loader, const config_setting_t *group)
{
    static const char *const of_commands[] = {"stdin",     "output",     "max_output",
                                              "directory", "pass_env",   "env",
                                              "env_file",  "retry_exit", "accept"};
    for (size_t i = 0; i < sizeof(of_commands) / sizeof(of_commands[0]); i++) {
        const config_setting_t *member = config_setting_get_member(group, of_commands[i]);
        if (member != NULL)
            fault_at(loader, member, "%s%s is only for kinds with a command", loader->where,
                     of_commands[i]);
    }
}

/* Which of builtin and command it has: exactly one. */
static void check_runs(struct loader *loader, const config_setting_t *group,
                       struct config_kind *kind)
{
    const config_setting_t *builtin = config_setting_get_member(group, "builtin");
    const config_setting_t *command = config_setting_get_member(group, "command");

    kind->runs = command != NULL ? CONFIG_RUNS_COMMAND : CONFIG_RUNS_BUILTIN;
    if (builtin != NULL && command != NULL) {
        bool builtin_is_later = config_setting_index(builtin) > config_setting_index(command);
        fault_at(loader, builtin_is_later ? builtin : command,
                 "kind.%s has both builtin and command: one of them is too much", kind->name);
    } else if (command != NULL) {
        check_command(loader, group, kind);
    } else if (builtin != NULL) {
        check_builtin(loader, group);
    } else {
        fault_at(loader, group,
                 "kind.%s has neither builtin nor command: nothing says what it runs", kind->name);
    }
}

static void check_backoff(struct loader *loader, const config_setting_t *group,
                          const struct config_kind *kind)
{
    if (kind->backoff_base <= kind->backoff_max)
        return;
    char base[48];
    char most[48];
    fault_at(loader, config_setting_get_member(group, "backoff"),
             "%sbackoff: base (%s) is above max (%s)", loader->where,
             units_duration_text(kind->backoff_base, base, sizeof(base)),
             units_duration_text(kind->backoff_max, most, sizeof(most)));
}

void kind_load(struct loader *loader, const config_setting_t *group, struct config_kind *kind)
{
    const char *name = config_setting_name(group);
    RN_ASSERT(config_name_valid(name));
    memcpy(kind->name, name, strlen(name) + 1);
    kind->line = config_setting_source_line(group);
    snprintf(loader->where, sizeof(loader->where), "kind.%s.", name);
    settings_default(loader, SCOPE_KIND, kind);
    settings_default(loader, SCOPE_BACKOFF, kind);

    settings_load(loader, SCOPE_KIND, group, kind);
    if (!has(group, "kill_grace"))
        kind->kill_grace = loader->config->kill_grace;
    if (has(group, "builtin") && !has(group, "max_attempts"))
        kind->max_attempts = BUILTIN_ATTEMPTS;
    if (!has(group, "if_interrupted"))
        kind->retry_if_interrupted = kind->max_attempts > 1;

    check_runs(loader, group, kind);
    check_backoff(loader, group, kind);
    if (!has(group, "queue") && config_queue_find(loader->config, "default") == NULL)
        fault_at(loader, group, "kind.%s names no queue, and there is no queue called default",
                 kind->name);
    if (kind->env_file != NULL)
        environment_load_file(loader, config_setting_get_member(group, "env_file"), kind);
    loader->where[0] = '\0';
}
