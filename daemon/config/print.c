/* -T: a configuration in the file's own syntax, with all that is in force. What is printed can be
 * loaded again, and is then the same. What has no value (a queue without a rate) is left out. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/internal.h"

static void print_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(file, "\\%c", *at);
        else if ((unsigned char)*at < 0x20 || *at == 0x7F)
            fprintf(file, "\\x%02x", (unsigned)(unsigned char)*at);
        else
            fputc(*at, file);
    }
    fputc('"', file);
}

static void print_texts(FILE *file, char *const *texts)
{
    fputs("[", file);
    for (size_t i = 0; texts[i] != NULL; i++) {
        fputs(i > 0 ? ", " : "", file);
        print_text(file, texts[i]);
    }
    fputs("]", file);
}

/* A field of `unsigned` or of 64 bits. */
static int64_t number_of(const struct setting *setting, const void *field)
{
    int64_t number;
    unsigned narrow;
    if (setting->size == sizeof(narrow)) {
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
    }
    RN_ASSERT(setting->size == sizeof(number));
    memcpy(&number, field, sizeof(number));
    return number;
}

static void print_number(FILE *file, const struct setting *setting, const void *field)
{
    int64_t number = number_of(setting, field);
    char text[48];

    if (setting->type == TYPE_DURATION)
        print_text(file, units_duration_text(number, text, sizeof(text)));
    else if (setting->type == TYPE_BYTES)
        print_text(file, units_bytes_text((uint64_t)number, text, sizeof(text)));
    else
        fprintf(file, "%" PRId64 "%s", number, number > INT32_MAX ? "L" : "");
}

static void print_env(FILE *file, const struct config_kind *kind)
{
    fputs("{ ", file);
    for (size_t i = 0; i < kind->env_own; i++) {
        const char *equals = strchr(kind->env[i], '=');
        fprintf(file, "%.*s = ", (int)(equals - kind->env[i]), kind->env[i]);
        print_text(file, equals + 1);
        fputs("; ", file);
    }
    fputs("}", file);
}

static void print_accept(FILE *file, const struct config_kind *kind)
{
    fputs("{ ", file);
    for (size_t i = 0; i < kind->accept_count; i++) {
        fprintf(file, "%s = ", kind->accept[i].name);
        print_text(file, kind->accept[i].pattern);
        fputs("; ", file);
    }
    fputs("}", file);
}

static void print_exit_codes(FILE *file, const struct config_kind *kind)
{
    fputs("[", file);
    for (size_t i = 0; i < kind->retry_exit_count; i++)
        fprintf(file, "%s%d", i > 0 ? ", " : "", kind->retry_exit[i]);
    fputs("]", file);
}

static void print_backoff(FILE *file, const struct config_kind *kind)
{
    char base[48];
    char most[48];
    fprintf(file, "{ base = \"%s\"; max = \"%s\"; }",
            units_duration_text(kind->backoff_base, base, sizeof(base)),
            units_duration_text(kind->backoff_max, most, sizeof(most)));
}

static void print_stdin(FILE *file, const struct config_kind *kind)
{
    if (kind->stdin_from == CONFIG_STDIN_PLACEHOLDER)
        fprintf(file, "\"{%s}\"", kind->stdin_name);
    else
        fputs(kind->stdin_from == CONFIG_STDIN_ARGS   ? "\"args\""
              : kind->stdin_from == CONFIG_STDIN_TEXT ? "\"text\""
                                                      : "\"none\"",
              file);
}

static bool kind_has(const struct config_kind *kind, enum setting_type type)
{
    bool is_command = kind->runs == CONFIG_RUNS_COMMAND;
    switch (type) {
    case TYPE_NAME:
        return !is_command;
    case TYPE_STRINGS:
    case TYPE_STDIN:
    case TYPE_OUTPUT:
    case TYPE_BYTES:
        return is_command;
    case TYPE_DIRECTORY:
        return kind->directory != NULL;
    case TYPE_ENV_NAMES:
        return kind->pass_env != NULL;
    case TYPE_ENV:
        return kind->env_own > 0;
    case TYPE_ENV_FILE:
        return kind->env_file != NULL;
    case TYPE_EXIT_CODES:
        return kind->retry_exit_set;
    case TYPE_ACCEPT:
        return kind->accept_count > 0;
    default:
        return true;
    }
}

/* Whether a setting of a kind's name names one. */
static bool names_kind(const struct setting *setting, const void *object)
{
    return setting->type != TYPE_KIND_NAME || ((const char *)object)[setting->offset] != '\0';
}

static void print_kind_value(FILE *file, const struct setting *setting,
                             const struct config_kind *kind)
{
    const char *word = kind->retry_if_interrupted ? "retry" : "fail";
    switch (setting->type) {
    case TYPE_NAME:
        print_text(file, kind->builtin);
        break;
    case TYPE_STRINGS:
        print_texts(file, kind->command);
        break;
    case TYPE_QUEUE_NAME:
        print_text(file, kind->queue != NULL ? kind->queue : "default");
        break;
    case TYPE_KIND_NAME:
        print_text(file, (const char *)kind + setting->offset);
        break;
    case TYPE_BACKOFF:
        print_backoff(file, kind);
        break;
    case TYPE_INTERRUPTED:
        print_text(file, word);
        break;
    case TYPE_STDIN:
        print_stdin(file, kind);
        break;
    case TYPE_OUTPUT:
        print_text(file, kind->output == CONFIG_OUTPUT_JSON ? "json" : "text");
        break;
    case TYPE_DIRECTORY:
        print_text(file, kind->directory);
        break;
    case TYPE_ENV_NAMES:
        print_texts(file, kind->pass_env);
        break;
    case TYPE_ENV:
        print_env(file, kind);
        break;
    case TYPE_ENV_FILE:
        print_text(file, kind->env_file);
        break;
    case TYPE_EXIT_CODES:
        print_exit_codes(file, kind);
        break;
    case TYPE_ACCEPT:
        print_accept(file, kind);
        break;
    default:
        print_number(file, setting, (const char *)kind + setting->offset);
        break;
    }
}

static void print_listeners(FILE *file, const struct config *config)
{
    fputs(config->listener_count > 1 ? "[" : "", file);
    for (size_t i = 0; i < config->listener_count; i++) {
        fputs(i > 0 ? ", " : "", file);
        print_text(file, config->listeners[i].text);
    }
    fputs(config->listener_count > 1 ? "]" : "", file);
}

void print_top_value(FILE *file, const struct setting *setting, const struct config *config)
{
    const char *field = (const char *)config + setting->offset;

    switch (setting->type) {
    case TYPE_LISTEN:
        print_listeners(file, config);
        break;
    case TYPE_MODE:
        fprintf(file, "\"%04o\"", config->socket_mode);
        break;
    case TYPE_GROUP:
    case TYPE_PEM_FILE:
    case TYPE_TOKEN_FILE:
    case TYPE_STORE:
        print_text(file, *(char *const *)(const void *)field);
        break;
    case TYPE_HOSTS:
        print_texts(file, config->hosts);
        break;
    case TYPE_LEVEL:
        print_text(file, log_level_name(config->log_level));
        break;
    case TYPE_LOG_FORMAT:
        print_text(file, log_format_name(config->log_format));
        break;
    case TYPE_BOOL:
        fputs(*(const bool *)field ? "true" : "false", file);
        break;
    default:
        print_number(file, setting, field);
        break;
    }
}

bool print_top_has(const struct config *config, const struct setting *setting)
{
    switch (setting->type) {
    case TYPE_GROUP:
    case TYPE_PEM_FILE:
    case TYPE_TOKEN_FILE:
        return *(char *const *)(const void *)((const char *)config + setting->offset) != NULL;
    case TYPE_HOSTS:
        return config->hosts != NULL;
    default:
        return true;
    }
}

static void print_top(FILE *file, const struct config *config)
{
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        if (setting->scope != SCOPE_TOP || !print_top_has(config, setting))
            continue;
        fprintf(file, "# %s\n%s = ", setting->text, setting->name);
        print_top_value(file, setting, config);
        fputs(";\n", file);
    }
}

void print_queue(FILE *file, const struct config_queue *queue)
{
    fprintf(file, "  %s: {\n", queue->name);
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        bool is_set = (setting->type != TYPE_RATE || queue->rate.text[0] != '\0') &&
                      names_kind(setting, queue);
        if (setting->scope != SCOPE_QUEUE || !is_set)
            continue;
        fprintf(file, "    %s = ", setting->name);
        if (setting->type == TYPE_RATE)
            print_text(file, queue->rate.text);
        else if (setting->type == TYPE_KIND_NAME)
            print_text(file, (const char *)queue + setting->offset);
        else
            print_number(file, setting, (const char *)queue + setting->offset);
        fputs(";\n", file);
    }
    fputs("  };\n", file);
}

void print_kind(FILE *file, const struct config_kind *kind)
{
    fprintf(file, "  %s: {\n", kind->name);
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        if (setting->scope != SCOPE_KIND || !kind_has(kind, setting->type) ||
            !names_kind(setting, kind))
            continue;
        fprintf(file, "    %s = ", setting->name);
        print_kind_value(file, setting, kind);
        fputs(";\n", file);
    }
    fputs("  };\n", file);
}

int config_print(const struct config *config, FILE *file)
{
    RN_ASSERT(config != NULL);
    RN_ASSERT(file != NULL);
    print_top(file, config);
    fputs("queue: {\n", file);
    for (size_t i = 0; i < config->queue_count; i++)
        print_queue(file, &config->queues[i]);
    fputs("};\nkind: {\n", file);
    for (size_t i = 0; i < config->kind_count; i++)
        print_kind(file, &config->kinds[i]);
    fputs("};\n", file);
    return fflush(file) != 0 || ferror(file) ? -EIO : 0;
}
