/* The table of settings, and how the values of each type are taken from the file, from -o and from
 * the table's own defaults. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

// clang-format off
#define OBJECT_TOP struct config
#define OBJECT_QUEUE struct config_queue
#define OBJECT_KIND struct config_kind
#define OBJECT_BACKOFF struct config_kind
#define SETTING(scope_, name_, type_, field_, min_, max_, default_, reloadable_, text_)                      \
    {.scope = SCOPE_##scope_, .name = #name_, .type = TYPE_##type_, .offset = offsetof(OBJECT_##scope_, field_), \
     .size = sizeof(((OBJECT_##scope_ *)NULL)->field_), .min = (min_), .max = (max_),                        \
     .default_text = (default_), .is_reloadable = (reloadable_), .text = (text_)},
const struct setting setting_table[] = {
#include "config/settings.def"
    {.name = NULL},
};
// clang-format on

enum { SCOPE_SETTINGS_MAX = 80 }; // of one scope; more than there are

const struct setting *setting_find(enum setting_scope scope, const char *name)
{
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++)
        if (setting->scope == scope && strcmp(setting->name, name) == 0)
            return setting;
    return NULL;
}

/* What the file has where something else is wanted, for messages. */
static const char *shown(const struct value *value, char *text, size_t size)
{
    if (value->setting == NULL) {
        snprintf(text, size, "\"%.60s\"", value->text);
        return text;
    }
    switch (config_setting_type(value->setting)) {
    case CONFIG_TYPE_STRING:
        snprintf(text, size, "\"%.60s\"", config_setting_get_string(value->setting));
        return text;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(text, size, "%lld", config_setting_get_int64(value->setting));
        return text;
    case CONFIG_TYPE_FLOAT:
        snprintf(text, size, "%g", config_setting_get_float(value->setting));
        return text;
    case CONFIG_TYPE_BOOL:
        return config_setting_get_bool(value->setting) ? "true" : "false";
    case CONFIG_TYPE_GROUP:
        return "a group";
    default:
        return "a list";
    }
}

const char *settings_string(struct loader *loader, const struct setting *setting,
                            const struct value *value, const char *what)
{
    char text[80];
    const char *string =
        value->setting == NULL ? value->text : config_setting_get_string(value->setting);
    if (string == NULL)
        fault_value(loader, setting, value, "must be %s, not %s", what,
                    shown(value, text, sizeof(text)));
    return string;
}

/* The field of a setting in its object. */
static void *field_of(const struct setting *setting, void *object)
{
    return (char *)object + setting->offset;
}

/* Fields of numbers are `unsigned`, or have 64 bits. */
static void store_number(const struct setting *setting, void *object, int64_t number)
{
    RN_ASSERT(number >= 0);
    if (setting->size == sizeof(unsigned)) {
        unsigned narrow = (unsigned)number;
        memcpy(field_of(setting, object), &narrow, sizeof(narrow));
    } else {
        RN_ASSERT(setting->size == sizeof(number));
        memcpy(field_of(setting, object), &number, sizeof(number));
    }
}

static bool is_integer(const struct value *value)
{
    if (value->setting == NULL)
        return false;
    int type = config_setting_type(value->setting);
    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static const char *text_of(const struct value *value)
{
    return value->setting == NULL ? value->text : config_setting_get_string(value->setting);
}

static void set_duration(struct loader *loader, const struct setting *setting,
                         const struct value *value, void *object)
{
    const char *text = text_of(value);
    rn_duration length = -1;

    if (is_integer(value)) {
        long long seconds = config_setting_get_int64(value->setting);
        if (seconds >= 0 && seconds <= INT64_MAX / RN_SECOND)
            length = seconds * RN_SECOND;
    } else if (text != NULL) {
        uint64_t seconds;
        if (units_duration(text, &length) < 0)
            length = -1;
        // -o has no other form for a number
        if (length < 0 && value->setting == NULL && units_unsigned(text, INT32_MAX, &seconds) == 0)
            length = (rn_duration)seconds * RN_SECOND;
    } else if (config_setting_type(value->setting) == CONFIG_TYPE_FLOAT) {
        double seconds = config_setting_get_float(value->setting);
        if (seconds >= 0 && seconds < 1e9)
            length = (rn_duration)(seconds * 1000) * RN_MILLISECOND;
    }
    if (length < setting->min || length > setting->max) {
        char least[48];
        char most[48];
        char got[80];
        fault_value(loader, setting, value,
                    "must be a length of time such as \"30s\" or \"1h30m\", from %s to %s, not %s",
                    units_duration_text(setting->min, least, sizeof(least)),
                    units_duration_text(setting->max, most, sizeof(most)),
                    shown(value, got, sizeof(got)));
        return;
    }
    store_number(setting, object, length);
}

static void set_count(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    int64_t number = -1;
    uint64_t parsed;

    if (is_integer(value))
        number = config_setting_get_int64(value->setting);
    else if (value->setting == NULL && units_unsigned(value->text, INT64_MAX, &parsed) == 0)
        number = (int64_t)parsed;
    if (number < setting->min || number > setting->max) {
        char got[80];
        fault_value(loader, setting, value,
                    "must be a whole number from %" PRId64 " to %" PRId64 ", not %s", setting->min,
                    setting->max, shown(value, got, sizeof(got)));
        return;
    }
    store_number(setting, object, number);
}

static void set_bool(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    bool *field = field_of(setting, object);
    const char *text = text_of(value);
    bool is_word = value->setting == NULL && text != NULL &&
                   (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);

    if (value->setting != NULL && config_setting_type(value->setting) == CONFIG_TYPE_BOOL) {
        *field = config_setting_get_bool(value->setting) != 0;
    } else if (is_word) {
        *field = strcmp(text, "true") == 0;
    } else {
        char got[80];
        fault_value(loader, setting, value, "must be true or false, not %s",
                    shown(value, got, sizeof(got)));
    }
}

static void set_bytes(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    const char *text = text_of(value);
    int64_t bytes = -1;
    uint64_t parsed;

    if (is_integer(value))
        bytes = config_setting_get_int64(value->setting);
    else if (text != NULL && units_bytes(text, &parsed) == 0 && parsed <= INT64_MAX)
        bytes = (int64_t)parsed;
    if (bytes < setting->min || bytes > setting->max) {
        char least[32];
        char most[32];
        char got[80];
        fault_value(loader, setting, value,
                    "must be a size such as \"64KiB\", from %s to %s, not %s",
                    units_bytes_text((uint64_t)setting->min, least, sizeof(least)),
                    units_bytes_text((uint64_t)setting->max, most, sizeof(most)),
                    shown(value, got, sizeof(got)));
        return;
    }
    store_number(setting, object, bytes);
}

static void set_rate(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    static const char what[] =
        "a number of starts such as \"10/s\", \"90/m\" or \"2.5/h\", above 0, at most 1000000/s";
    struct config_rate *rate = field_of(setting, object);
    const char *text = settings_string(loader, setting, value, what);
    double per_s;

    if (text == NULL)
        return;
    if (strlen(text) >= sizeof(rate->text) || units_rate(text, &per_s) < 0) {
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
        return;
    }
    rate->per_s = per_s;
    memcpy(rate->text, text, strlen(text) + 1);
}

static void set_level(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    static const char what[] = "\"err\", \"warn\", \"notice\", \"info\" or \"debug\"";
    enum log_level *level = field_of(setting, object);
    const char *text = settings_string(loader, setting, value, what);
    if (text != NULL && log_level_parse(text, level) < 0)
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
}

static void set_log_format(struct loader *loader, const struct setting *setting,
                           const struct value *value, void *object)
{
    static const char what[] = "\"text\" or \"json\"";
    enum log_format *format = field_of(setting, object);
    const char *text = settings_string(loader, setting, value, what);
    if (text != NULL && log_format_parse(text, format) < 0)
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
}

bool settings_folder(const struct loader *loader, const char *path, const char *variable,
                     char ret_folder[static PATH_MAX])
{
    const char *named = variable[0] != '\0' ? getenv(variable) : NULL;

    if (path[0] == '/') {
        ret_folder[0] = '\0';
        return true;
    }
    if (named != NULL && named[0] == '/') {
        size_t length = strcspn(named, ":");
        if (length >= PATH_MAX - 1)
            return false;
        memcpy(ret_folder, named, length);
        memcpy(ret_folder + length, "/", 2);
        return true;
    }
    if (realpath(loader->folder[0] != '\0' ? loader->folder : ".", ret_folder) == NULL)
        return false;
    size_t length = strlen(ret_folder);
    if (length >= PATH_MAX - 1)
        return false;
    if (ret_folder[length - 1] != '/')
        memcpy(ret_folder + length, "/", 2);
    return true;
}

void settings_set_path(struct loader *loader, const struct setting *setting,
                       const struct value *value, path_fn *absolute, char **field)
{
    const char *text = settings_string(loader, setting, value, "the path of a file");
    char path[PATH_MAX];

    if (text == NULL)
        return;
    if (text[0] == '\0' || text[strlen(text) - 1] == '/') {
        fault_value(loader, setting, value, "must be the path of a file, not \"%.60s\"", text);
        return;
    }
    if (!absolute(loader, text, path)) {
        fault_value(loader, setting, value,
                    "is too long a path, or its folder does not exist: \"%.60s\"", text);
        return;
    }
    char *copy = loader_strdup(loader, path);
    if (copy == NULL)
        return;
    free(*field);
    *field = copy;
}

static bool absolute_store(const struct loader *loader, const char *text,
                           char path[static PATH_MAX])
{
    enum { LONGEST = PATH_MAX - 64 }; // there are files beside it, with longer names
    char folder[PATH_MAX];

    if (!settings_folder(loader, text, "STATE_DIRECTORY", folder) ||
        strlen(folder) + strlen(text) >= LONGEST)
        return false;
    memcpy(path, folder, strlen(folder));
    memcpy(path + strlen(folder), text, strlen(text) + 1);
    return true;
}

static void set_store(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    struct config *config = object;
    settings_set_path(loader, setting, value, absolute_store, &config->store);
}

static void set_backoff(struct loader *loader, const struct setting *setting,
                        const struct value *value, void *object)
{
    char got[80];
    if (config_setting_type(value->setting) != CONFIG_TYPE_GROUP) {
        fault_value(loader, setting, value,
                    "must be a group such as { base = \"5s\"; max = \"1h\"; }, not %s",
                    shown(value, got, sizeof(got)));
        return;
    }
    char before[sizeof(loader->where)];
    memcpy(before, loader->where, sizeof(before));
    snprintf(loader->where, sizeof(loader->where), "%.140s%s.", before, setting->name);
    settings_load(loader, SCOPE_BACKOFF, value->setting, object);
    memcpy(loader->where, before, sizeof(before));
}

void setting_set(struct loader *loader, const struct setting *setting, const struct value *value,
                 void *object)
{
    static setting_set_fn *const set_fns[] = {
        [TYPE_LISTEN] = listen_set,
        [TYPE_MODE] = listen_set_mode,
        [TYPE_GROUP] = listen_set_group,
        [TYPE_PEM_FILE] = tls_set_file,
        [TYPE_TOKEN_FILE] = access_set_token_file,
        [TYPE_HOSTS] = access_set_hosts,
        [TYPE_BOOL] = set_bool,
        [TYPE_STORE] = set_store,
        [TYPE_DURATION] = set_duration,
        [TYPE_COUNT] = set_count,
        [TYPE_BYTES] = set_bytes,
        [TYPE_LEVEL] = set_level,
        [TYPE_LOG_FORMAT] = set_log_format,
        [TYPE_RATE] = set_rate,
        [TYPE_NAME] = kind_set_builtin,
        [TYPE_STRINGS] = kind_set_command,
        [TYPE_QUEUE_NAME] = kind_set_queue_name,
        [TYPE_KIND_NAME] = kind_set_follow,
        [TYPE_BACKOFF] = set_backoff,
        [TYPE_INTERRUPTED] = kind_set_interrupted,
        [TYPE_STDIN] = kind_set_stdin,
        [TYPE_OUTPUT] = kind_set_output,
        [TYPE_DIRECTORY] = kind_set_directory,
        [TYPE_ENV_NAMES] = environment_set_pass_env,
        [TYPE_ENV] = environment_set_variables,
        [TYPE_ENV_FILE] = environment_set_file,
        [TYPE_EXIT_CODES] = kind_set_exit_codes,
        [TYPE_ACCEPT] = kind_set_accept,
    };
    set_fns[setting->type](loader, setting, value, object);
}

static void unknown_setting(struct loader *loader, enum setting_scope scope,
                            const config_setting_t *at)
{
    const char *names[SCOPE_SETTINGS_MAX + 3];
    size_t count = 0;

    for (const struct setting *setting = setting_table; setting->name != NULL; setting++)
        if (setting->scope == scope && count < SCOPE_SETTINGS_MAX)
            names[count++] = setting->name;
    if (scope == SCOPE_TOP) {
        names[count++] = "queue";
        names[count++] = "kind";
    }
    names[count] = NULL;
    const char *name = config_setting_name(at);
    const char *nearest = nearest_name(name, names);
    if (nearest != NULL)
        fault_at(loader, at, "%s%.100s is no setting; did you mean %s?", loader->where, name,
                 nearest);
    else
        fault_at(loader, at, "%s%.100s is no setting", loader->where, name);
}

void settings_load(struct loader *loader, enum setting_scope scope, const config_setting_t *group,
                   void *object)
{
    int count = config_setting_length(group);
    for (int i = 0; i < count; i++) {
        const config_setting_t *child = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(child);
        if (scope == SCOPE_TOP && (strcmp(name, "queue") == 0 || strcmp(name, "kind") == 0))
            continue; // config.c takes them, after all others
        const struct setting *setting = setting_find(scope, name);
        if (setting == NULL)
            unknown_setting(loader, scope, child);
        else
            setting_set(loader, setting, &(struct value){.setting = child}, object);
    }
}

void settings_default(struct loader *loader, enum setting_scope scope, void *object)
{
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        if (setting->scope != scope || setting->default_text == NULL ||
            setting->type == TYPE_QUEUE_NAME)
            continue;
        // As -o would have it: a text without its quotes.
        char text[64];
        size_t quoted = setting->default_text[0] == '"' ? 1 : 0;
        size_t length = strlen(setting->default_text) - 2 * quoted;
        RN_ASSERT(length < sizeof(text));
        memcpy(text, setting->default_text + quoted, length);
        text[length] = '\0';
        setting_set(loader, setting, &(struct value){.text = text}, object);
    }
}
