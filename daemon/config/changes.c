/* What a reload changes. Values are compared as -T prints them: what is printed is all that is in
 * force, so a new sort of setting is compared as soon as it is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

/* Prints the same of both sides, so that they can be compared. */
struct printer {
    const struct setting *setting; // of SCOPE_TOP; NULL: of a queue or kind
    const void *before, *after;    // configurations, queues or kinds
    void (*print)(FILE *file, const struct setting *setting, const void *object);
};

/* A token of the file that -T only names. */
static void print_token(FILE *file, const struct config_token *token)
{
    fprintf(file, "\n%s %u %s %u", token->name, token->scopes, token->rate.text, token->burst);
    for (size_t i = 0; i < token->queue_count; i++)
        fprintf(file, " queue %s", token->queues[i]);
    for (size_t i = 0; i < token->kind_count; i++)
        fprintf(file, " kind %s", token->kinds[i]);
    fputs(" ", file);
    for (size_t i = 0; i < sizeof(token->hash); i++)
        fprintf(file, "%02x", token->hash[i]);
}

static void print_setting_of(FILE *file, const struct setting *setting, const void *object)
{
    const struct config *config = object;
    if (print_top_has(config, setting))
        print_top_value(file, setting, config);
    for (size_t i = 0; i < config->token_count && setting->type == TYPE_TOKEN_FILE; i++)
        print_token(file, &config->tokens[i]);
}

static void print_queue_of(FILE *file, const struct setting *setting, const void *object)
{
    (void)setting;
    print_queue(file, object);
}

/* With what its env_file says, which -T leaves to the file. */
static void print_kind_of(FILE *file, const struct setting *setting, const void *object)
{
    const struct config_kind *kind = object;
    (void)setting;
    print_kind(file, kind);
    for (size_t i = kind->env_own; i < kind->env_count; i++)
        fprintf(file, "%s\n", kind->env[i]);
}

static int print_one(const struct printer *printer, const void *object, char **ret_text)
{
    size_t length = 0;
    FILE *file = open_memstream(ret_text, &length);
    if (file == NULL)
        return -ENOMEM;
    printer->print(file, printer->setting, object);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    return failed ? -ENOMEM : 0;
}

/* 1: they differ; 0: they do not. */
static int differ(const struct printer *printer)
{
    char *before = NULL;
    char *after = NULL;

    int r = print_one(printer, printer->before, &before);
    if (r == 0)
        r = print_one(printer, printer->after, &after);
    if (r == 0)
        r = strcmp(before, after) != 0;
    free(before);
    free(after);
    return r;
}

static void note(struct config_changes *changes, enum config_change change, const char *name)
{
    char *names = changes->of[change].names;
    size_t used = strlen(names);
    // Room is kept for what add_rest adds.
    size_t room = sizeof(changes->of[change].names) - sizeof(" and 4294967295 more");

    changes->of[change].count++;
    if (used + strlen(name) + 2 <= room)
        (void)snprintf(names + used, sizeof(changes->of[change].names) - used, "%s%s",
                       used > 0 ? ", " : "", name);
}

/* How many names there was no room for. */
static void add_rest(struct config_changes *changes, enum config_change change)
{
    char *names = changes->of[change].names;
    unsigned named = names[0] != '\0' ? 1 : 0;
    for (const char *c = names; *c != '\0'; c++)
        named += *c == ',';
    size_t used = strlen(names);
    if (named < changes->of[change].count)
        (void)snprintf(names + used, sizeof(changes->of[change].names) - used, " and %u more",
                       changes->of[change].count - named);
}

static int compare_settings(const struct config *start, const struct config *before,
                            const struct config *after, struct config_changes *changes)
{
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        if (setting->scope != SCOPE_TOP)
            continue;
        struct printer printer = {.setting = setting,
                                  .before = setting->is_reloadable ? before : start,
                                  .after = after,
                                  .print = print_setting_of};
        int r = differ(&printer);
        if (r < 0)
            return r;
        if (r > 0 && setting->is_reloadable)
            note(changes, CONFIG_SETTINGS_CHANGED, setting->name);
        if (r > 0 && !setting->is_reloadable) {
            RN_ASSERT(changes->restart_count < CONFIG_RESTART_MAX);
            changes->restart_needed[changes->restart_count++] = setting->name;
        }
    }
    return 0;
}

/* What is in the new configuration: a queue or a kind, as it was and as it is. */
static int compare_one(const struct printer *printer, const char *name, enum config_change added,
                       enum config_change changed, struct config_changes *changes)
{
    int r = printer->before != NULL ? differ(printer) : 0;

    if (r < 0)
        return r;
    if (printer->before == NULL)
        note(changes, added, name);
    else if (r > 0)
        note(changes, changed, name);
    return 0;
}

static int compare_queues(const struct config *before, const struct config *after,
                          struct config_changes *changes)
{
    for (size_t i = 0; i < after->queue_count; i++) {
        const struct config_queue *queue = &after->queues[i];
        struct printer printer = {.before = config_queue_find(before, queue->name),
                                  .after = queue,
                                  .print = print_queue_of};
        int r =
            compare_one(&printer, queue->name, CONFIG_QUEUES_ADDED, CONFIG_QUEUES_CHANGED, changes);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < before->queue_count; i++)
        if (config_queue_find(after, before->queues[i].name) == NULL)
            note(changes, CONFIG_QUEUES_REMOVED, before->queues[i].name);
    return 0;
}

static int compare_kinds(const struct config *before, const struct config *after,
                         struct config_changes *changes)
{
    for (size_t i = 0; i < after->kind_count; i++) {
        const struct config_kind *kind = &after->kinds[i];
        struct printer printer = {
            .before = config_kind_find(before, kind->name), .after = kind, .print = print_kind_of};
        int r =
            compare_one(&printer, kind->name, CONFIG_KINDS_ADDED, CONFIG_KINDS_CHANGED, changes);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < before->kind_count; i++)
        if (config_kind_find(after, before->kinds[i].name) == NULL)
            note(changes, CONFIG_KINDS_REMOVED, before->kinds[i].name);
    return 0;
}

int config_compare(const struct config *start, const struct config *before,
                   const struct config *after, struct config_changes *ret_changes)
{
    struct config_changes changes = {.restart_count = 0};

    RN_ASSERT(start != NULL && before != NULL && after != NULL);
    int r = compare_settings(start, before, after, &changes);
    if (r == 0)
        r = compare_queues(before, after, &changes);
    if (r == 0)
        r = compare_kinds(before, after, &changes);
    if (r < 0)
        return r;
    for (int change = 0; change < CONFIG_CHANGE_COUNT; change++)
        add_rest(&changes, (enum config_change)change);
    *ret_changes = changes;
    return 0;
}
