/* The environment of a kind's commands: names that are passed on, the variables of the block `env`,
 * and those of env_file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/internal.h"

enum { VARIABLES_MAX = 256, ENV_FILE_BYTES_MAX = 64 << 10, NAME_BYTES_MAX = 255 };

static const struct secret_rule env_file_rule = {
    .mode = S_IROTH | S_IWOTH,
    .mode_text = "everybody can read or write it, and it is for secrets (chmod o= helps)",
    .bytes_max = ENV_FILE_BYTES_MAX,
    .size_text = "it has more than 64 KiB",
};

/* Set by the daemon for each attempt. */
static const char *const reserved[] = {"RUNNEL_TASK_ID", "RUNNEL_KIND", "RUNNEL_QUEUE",
                                       "RUNNEL_ATTEMPT", "RUNNEL_DEADLINE"};

/* Why the length bytes at name can't be the name of a variable, or NULL. */
static const char *name_fault(const char *name, size_t length)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char further[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

    if (length == 0 || length > NAME_BYTES_MAX || strchr(first, name[0]) == NULL ||
        strspn(name, further) < length)
        return "is no name of a variable: letters, digits and '_'";
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strlen(reserved[i]) == length && memcmp(reserved[i], name, length) == 0)
            return "is set by runneld itself";
    return NULL;
}

void environment_set_pass_env(struct loader *loader, const struct setting *setting,
                              const struct value *value, void *object)
{
    struct config_kind *kind = object;
    int type = config_setting_type(value->setting);
    bool is_list = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
    int count = is_list ? config_setting_length(value->setting) : 0;

    if (!is_list || count > VARIABLES_MAX) {
        fault_value(loader, setting, value, "must be a list of at most %d names such as [\"TZ\"]",
                    VARIABLES_MAX);
        return;
    }
    kind->pass_env = loader_calloc(loader, (size_t)count, sizeof(*kind->pass_env));
    size_t used = 0;
    for (int i = 0; i < count && kind->pass_env != NULL; i++) {
        const struct value element = {.setting =
                                          config_setting_get_elem(value->setting, (unsigned)i)};
        const char *name = settings_string(loader, setting, &element, "a list of names");
        const char *fault = name != NULL ? name_fault(name, strlen(name)) : NULL;
        if (fault != NULL)
            fault_value(loader, setting, &element, "has \"%.60s\", which %s", name, fault);
        if (name != NULL && (kind->pass_env[used] = loader_strdup(loader, name)) != NULL)
            used++;
    }
}

/* NAME=value in new memory, or NULL. */
static char *new_variable(struct loader *loader, const char *name, size_t name_bytes,
                          const char *text)
{
    size_t text_bytes = strlen(text);
    char *variable = loader_calloc(loader, name_bytes + 1 + text_bytes, 1);
    if (variable == NULL)
        return NULL;
    memcpy(variable, name, name_bytes);
    variable[name_bytes] = '=';
    memcpy(variable + name_bytes + 1, text, text_bytes);
    return variable;
}

void environment_set_variables(struct loader *loader, const struct setting *setting,
                               const struct value *value, void *object)
{
    struct config_kind *kind = object;
    bool is_group = config_setting_type(value->setting) == CONFIG_TYPE_GROUP;
    int count = is_group ? config_setting_length(value->setting) : 0;

    if (!is_group || count > VARIABLES_MAX) {
        fault_value(loader, setting, value,
                    "must be a group of at most %d variables such as { TZ = \"UTC\"; }",
                    VARIABLES_MAX);
        return;
    }
    kind->env = loader_calloc(loader, (size_t)count, sizeof(*kind->env));
    for (int i = 0; i < count && kind->env != NULL; i++) {
        const struct value element = {.setting =
                                          config_setting_get_elem(value->setting, (unsigned)i)};
        const char *name = config_setting_name(element.setting);
        const char *text = settings_string(loader, setting, &element, "a group of texts");
        const char *fault = name_fault(name, strlen(name));
        if (fault != NULL)
            fault_value(loader, setting, &element, "has %.60s, which %s", name, fault);
        if (text == NULL ||
            (kind->env[kind->env_count] = new_variable(loader, name, strlen(name), text)) == NULL)
            continue;
        kind->env_count++;
        kind->env_own++;
    }
}

void environment_set_file(struct loader *loader, const struct setting *setting,
                          const struct value *value, void *object)
{
    struct config_kind *kind = object;
    settings_set_path(loader, setting, value, secret_path, &kind->env_file);
}

/* Takes one line. false: it is none of NAME=value. */
static bool take_line(struct loader *loader, struct config_kind *kind, char *line)
{
    if (line[0] == '\0' || line[0] == '#')
        return true;
    char *equals = strchr(line, '=');
    if (equals == NULL || name_fault(line, (size_t)(equals - line)) != NULL)
        return false;
    char *variable = new_variable(loader, line, (size_t)(equals - line), equals + 1);
    if (variable != NULL)
        kind->env[kind->env_count++] = variable;
    return true;
}

/* Takes the file's lines. What is in them is not repeated in messages: they are secrets. */
static void take_lines(struct loader *loader, const config_setting_t *at, struct config_kind *kind,
                       char *text)
{
    size_t lines = 1;
    for (const char *byte = text; *byte != '\0'; byte++)
        lines += *byte == '\n';
    char **env = realloc(kind->env, (kind->env_count + lines + 1) * sizeof(*env));
    if (env == NULL) {
        loader->no_memory = true;
        return;
    }
    kind->env = env;
    unsigned number = 1;
    for (char *line = text; line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        if (!take_line(loader, kind, line))
            fault_at(loader, at,
                     "%senv_file %.200s: line %u is not NAME=value with a name that can be used",
                     loader->where, kind->env_file, number);
        line = end;
    }
    kind->env[kind->env_count] = NULL;
    if (kind->env_count > VARIABLES_MAX)
        fault_at(loader, at, "%senv_file %.200s: there are more than %d variables", loader->where,
                 kind->env_file, VARIABLES_MAX);
}

void environment_load_file(struct loader *loader, const config_setting_t *at,
                           struct config_kind *kind)
{
    char *text = calloc(1, ENV_FILE_BYTES_MAX + 1);
    if (text == NULL) {
        loader->no_memory = true;
        return;
    }
    const char *fault = secret_read(kind->env_file, &env_file_rule, text);
    if (fault != NULL)
        fault_at(loader, at, "%senv_file %.200s: %s", loader->where, kind->env_file, fault);
    else
        take_lines(loader, at, kind, text);
    explicit_bzero(text, ENV_FILE_BYTES_MAX + 1);
    free(text);
}
