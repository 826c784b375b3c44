/* Loading a configuration: what hangs together across blocks, and the order of things. The parts
 * are named in internal.h.
 *
 * libconfig's tree lives for the length of config_load only; what is kept is copied. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include <runnel/limiter.h>

#include "config/certificate.h"
#include "config/internal.h"

/* systemd/runneld.service: what is not over by then is killed. */
static const rn_duration stop_timeout = 45 * RN_SECOND;

/* Queues first, each in its place; kinds name them. */
static void load_queues(struct loader *loader, const config_setting_t *queues)
{
    struct config *config = loader->config;
    size_t count = (size_t)config_setting_length(queues);
    unsigned workers = 0;

    config->queues = loader_calloc(loader, count, sizeof(*config->queues));
    for (size_t i = 0; i < count && config->queues != NULL; i++) {
        const config_setting_t *group = config_setting_get_elem(queues, (unsigned)i);
        const char *name = config_setting_name(group);
        struct config_queue *queue = &config->queues[config->queue_count];
        if (!config_name_valid(name)) {
            fault_at(loader, group,
                     "queue.%.70s is no valid name: lower case letters, digits, '_' and '-', a "
                     "letter first, "
                     "at most %d",
                     name, CONFIG_NAME_MAX);
            continue;
        }
        config->queue_count++;
        memcpy(queue->name, name, strlen(name) + 1);
        queue->line = config_setting_source_line(group);
        queue->rate.per_s = RN_RATE_INFINITE;
        if (config_setting_type(group) != CONFIG_TYPE_GROUP) {
            fault_at(loader, group, "queue.%s must be a group such as { workers = 4; }", name);
            continue;
        }
        snprintf(loader->where, sizeof(loader->where), "queue.%s.", name);
        settings_default(loader, SCOPE_QUEUE, queue);
        settings_load(loader, SCOPE_QUEUE, group, queue);
        loader->where[0] = '\0';

        bool were_too_many = workers > CONFIG_WORKERS_MAX;
        workers += queue->workers;
        if (workers > CONFIG_WORKERS_MAX && !were_too_many)
            fault_at(loader, group, "with queue.%s the queues have more than %d workers in all",
                     name, CONFIG_WORKERS_MAX);
    }
}

static void load_kinds(struct loader *loader, const config_setting_t *kinds)
{
    struct config *config = loader->config;
    size_t count = (size_t)config_setting_length(kinds);

    if (count > CONFIG_KINDS_MAX) {
        fault_at(loader, kinds, "there are more than %d kinds", CONFIG_KINDS_MAX);
        return;
    }
    config->kinds = loader_calloc(loader, count, sizeof(*config->kinds));
    for (size_t i = 0; i < count && config->kinds != NULL; i++) {
        const config_setting_t *group = config_setting_get_elem(kinds, (unsigned)i);
        const char *name = config_setting_name(group);
        if (!config_name_valid(name))
            fault_at(loader, group,
                     "kind.%.70s is no valid name: lower case letters, digits, '_' and '-', a "
                     "letter first, "
                     "at most %d",
                     name, CONFIG_NAME_MAX);
        else if (config_setting_type(group) != CONFIG_TYPE_GROUP)
            fault_at(loader, group, "kind.%s must be a group such as { builtin = \"echo\"; }",
                     name);
        else
            kind_load(loader, group, &config->kinds[config->kind_count++]);
    }
}

static int compare_kinds(const void *a, const void *b)
{
    const struct config_kind *const *left = a;
    const struct config_kind *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void index_kinds(struct loader *loader)
{
    struct config *config = loader->config;
    config->kinds_by_name = loader_calloc(loader, config->kind_count, sizeof(struct config_kind *));
    if (config->kinds_by_name == NULL)
        return;
    for (size_t i = 0; i < config->kind_count; i++)
        config->kinds_by_name[i] = &config->kinds[i];
    qsort(config->kinds_by_name, config->kind_count, sizeof(struct config_kind *), compare_kinds);
}

/* The follow-up kinds of a group of groups. */
static void check_follow(struct loader *loader, const config_setting_t *groups)
{
    char where[160];

    for (int i = 0; groups != NULL && i < config_setting_length(groups); i++) {
        const config_setting_t *group = config_setting_get_elem(groups, (unsigned)i);
        if (config_setting_type(group) != CONFIG_TYPE_GROUP)
            continue; // there is a fault already
        (void)snprintf(where, sizeof(where), "%s.%.70s.", config_setting_name(groups),
                       config_setting_name(group));
        kind_check_follow(loader, group, where);
    }
}

/* For "did you mean". */
static void list_names(struct loader *loader)
{
    struct config *config = loader->config;
    config->kind_names = loader_calloc(loader, config->kind_count + 1, sizeof(char *));
    config->queue_names = loader_calloc(loader, config->queue_count + 1, sizeof(char *));
    for (size_t i = 0; i < config->kind_count && config->kind_names != NULL; i++)
        config->kind_names[i] = config->kinds[i].name;
    for (size_t i = 0; i < config->queue_count && config->queue_names != NULL; i++)
        config->queue_names[i] = config->queues[i].name;
}

static void load_override(struct loader *loader, const char *override)
{
    const char *equals = strchr(override, '=');
    char name[CONFIG_NAME_MAX + 1];
    size_t length = equals != NULL ? (size_t)(equals - override) : 0;

    if (length == 0 || length >= sizeof(name)) {
        fault_add(loader, "-o", 0, "needs name=value, not \"%.100s\"", override);
        return;
    }
    memcpy(name, override, length);
    name[length] = '\0';
    const struct setting *setting = setting_find(SCOPE_TOP, name);
    if (setting == NULL) {
        bool is_group = strcmp(name, "queue") == 0 || strcmp(name, "kind") == 0;
        fault_add(loader, "-o", 0,
                  is_group ? "%s is a group: it can only stand in the file"
                           : "%s is no setting of the top level",
                  name);
        return;
    }
    setting_set(loader, setting, &(struct value){.text = equals + 1}, loader->config);
}

/* A group of the top level, or NULL. */
static const config_setting_t *top_group(struct loader *loader, const config_setting_t *root,
                                         const char *name)
{
    const config_setting_t *group = config_setting_get_member(root, name);
    if (group != NULL && config_setting_type(group) != CONFIG_TYPE_GROUP) {
        fault_at(loader, group, "%s must be a group", name);
        return NULL;
    }
    return group;
}

static void check_stop_time(struct loader *loader, const config_setting_t *root)
{
    const struct config *config = loader->config;
    rn_duration grace = config->kill_grace;
    for (size_t i = 0; i < config->kind_count; i++)
        if (config->kinds[i].kill_grace > grace)
            grace = config->kinds[i].kill_grace;

    rn_duration longest = config->drain_timeout + grace + RN_SECOND;
    if (longest <= stop_timeout)
        return;
    char needed[48];
    char allowed[48];
    warning_at(loader, config_setting_get_member(root, "drain_timeout"),
               "drain_timeout and the longest kill_grace come to %s: runneld.service allows %s, "
               "give it a longer TimeoutStopSec",
               units_duration_text(longest, needed, sizeof(needed)),
               units_duration_text(stop_timeout, allowed, sizeof(allowed)));
}

static void load_tree(struct loader *loader, const config_setting_t *root)
{
    settings_load(loader, SCOPE_TOP, root, loader->config);
    for (const char *const *override = loader->options->overrides;
         override != NULL && *override != NULL; override++)
        load_override(loader, *override);
    tls_load(loader, root);

    const config_setting_t *queues = top_group(loader, root, "queue");
    const config_setting_t *kinds = top_group(loader, root, "kind");
    if (queues != NULL)
        load_queues(loader, queues);
    if (kinds != NULL)
        load_kinds(loader, kinds);
    index_kinds(loader);
    if (loader->config->kinds_by_name != NULL) {
        check_follow(loader, queues);
        check_follow(loader, kinds);
    }
    list_names(loader);
    tokens_load(loader);
    access_check(loader);
    check_stop_time(loader, root);
}

/* One fault ends libconfig's parser; scan.c has found what it could before. */
static void parse_fault(struct loader *loader, const config_t *tree)
{
    const char *text = config_error_text(tree);
    bool is_syntax = text != NULL && strcmp(text, "syntax error") == 0;
    fault_add(loader, config_error_file(tree), (unsigned)config_error_line(tree), "%s%s", text,
              is_syntax ? ": something is missing or too much here, or just before" : "");
}

static void load(struct loader *loader)
{
    config_t tree;

    settings_default(loader, SCOPE_TOP, loader->config);
    if (!scan_files(loader))
        return;
    config_init(&tree);
    config_set_include_dir(&tree, loader->folder[0] != '\0' ? loader->folder : ".");
    if (config_read_file(&tree, loader->options->path) == CONFIG_TRUE)
        load_tree(loader, config_root_setting(&tree));
    else
        parse_fault(loader, &tree);
    config_destroy(&tree);
}

static int start(struct loader *loader)
{
    const char *path = loader->options->path;
    const char *slash = strrchr(path, '/');
    size_t folder_bytes = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    if (folder_bytes >= sizeof(loader->folder))
        folder_bytes = 0; // no such file can be opened
    memcpy(loader->folder, path, folder_bytes);
    loader->config = calloc(1, sizeof(*loader->config));
    if (loader->config == NULL)
        return -ENOMEM;
    loader->config->self = loader->config;
    atomic_init(&loader->config->references, 1);
    loader->config->path = loader_strdup(loader, path);
    loader->config->loaded_at_ms = rn_wall_ms();
    return 0;
}

int config_load(const struct config_options *options, struct config **ret_config,
                struct config_fault **ret_faults, size_t *ret_fault_count)
{
    struct loader loader = {.options = options};

    RN_ASSERT(options != NULL);
    RN_ASSERT(options->path != NULL);
    RN_ASSERT(ret_config != NULL);
    RN_ASSERT(ret_faults != NULL);
    RN_ASSERT(ret_fault_count != NULL);
    int r = start(&loader);
    if (r == 0)
        load(&loader);
    if (loader.no_memory)
        r = -ENOMEM;
    else if (r == 0 && loader.faults.count > 0)
        r = -EINVAL;

    struct faults *told = r == -EINVAL ? &loader.faults : r == 0 ? &loader.warnings : NULL;
    if (told != NULL) {
        faults_sort(told);
        *ret_faults = RN_TAKE(told->items);
        *ret_fault_count = told->count;
    }
    if (r == 0)
        *ret_config = RN_TAKE(loader.config);
    free(loader.faults.items);
    free(loader.warnings.items);
    config_unref(loader.config);
    return r;
}

const struct config *config_ref(const struct config *config)
{
    RN_ASSERT(config != NULL);
    unsigned before = atomic_fetch_add_explicit(&config->self->references, 1, memory_order_relaxed);
    RN_ASSERT(before > 0);
    return config;
}

static void free_config(struct config *config)
{
    for (size_t i = 0; i < config->kind_count; i++)
        kind_fini(&config->kinds[i]);
    tokens_fini(config);
    for (char **host = config->hosts; host != NULL && *host != NULL; host++)
        free(*host);
    free(config->hosts);
    free(config->token_file);
    free(config->kinds_by_name);
    free(config->kind_names);
    free(config->queue_names);
    free(config->kinds);
    free(config->queues);
    free(config->path);
    free(config->socket_group);
    free(config->tls_certificate);
    free(config->tls_key);
    certificate_unref(config->certificate);
    free(config->store);
    free(config);
}

void config_unref(const struct config *config)
{
    // Release: what this thread has read is read before; acquire: before it is freed.
    if (config != NULL &&
        atomic_fetch_sub_explicit(&config->self->references, 1, memory_order_acq_rel) == 1)
        free_config(config->self);
}

const struct config_queue *config_queue_find(const struct config *config, const char *name)
{
    RN_ASSERT(config != NULL);
    RN_ASSERT(name != NULL);
    for (size_t i = 0; i < config->queue_count; i++)
        if (strcmp(config->queues[i].name, name) == 0)
            return &config->queues[i];
    return NULL;
}

const struct config_kind *config_kind_find(const struct config *config, const char *name)
{
    RN_ASSERT(config != NULL);
    RN_ASSERT(name != NULL);
    size_t low = 0;
    size_t high = config->kind_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, config->kinds_by_name[middle]->name);
        if (order == 0)
            return config->kinds_by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
