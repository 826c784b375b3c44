/* What is wrong with a configuration, collected: loading goes on after a fault, so that one run
 * tells all of them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

enum { FAULTS_MAX = 200 };

/* The path of a file as a person would open it: what libconfig calls an included file is relative
 * to the main one's folder. */
static void full_path(const struct loader *loader, const char *file, char *path, size_t size)
{
    const char *main_path = loader->options->path;
    bool is_main = file == NULL || strcmp(file, main_path) == 0;
    bool is_below =
        !is_main && file[0] != '/' && loader->folder[0] != '\0' && strcmp(file, "-o") != 0;
    int length = snprintf(path, size, "%s%s%s", is_below ? loader->folder : "", is_below ? "/" : "",
                          is_main ? main_path : file);
    if (length >= (int)size)
        memcpy(path + size - sizeof("..."), "...", sizeof("...")); // cut
}

static bool line_has_lexical_fault(const struct faults *faults, const struct config_fault *fault)
{
    for (size_t i = 0; i < faults->lexical; i++)
        if (faults->items[i].line == fault->line && strcmp(faults->items[i].file, fault->file) == 0)
            return true;
    return false;
}

/* Where a fault is: file NULL is the main one, line 0 a file as a whole. */
struct place {
    const char *file;
    unsigned line;
};

static struct place place_of(const config_setting_t *setting)
{
    return (struct place){config_setting_source_file(setting), config_setting_source_line(setting)};
}

static void add(struct loader *loader, struct faults *faults, struct place place,
                const char *prefix, const char *format, va_list arguments)
{
    struct config_fault fault = {.line = place.line};

    if (faults->count >= FAULTS_MAX)
        return;
    full_path(loader, place.file, fault.file, sizeof(fault.file));
    if (place.line > 0 && line_has_lexical_fault(faults, &fault))
        return;
    struct config_fault *items = realloc(faults->items, (faults->count + 1) * sizeof(*items));
    if (items == NULL) {
        loader->no_memory = true;
        return;
    }
    faults->items = items;
    size_t length = (size_t)snprintf(fault.text, sizeof(fault.text), "%s", prefix);
    if (length < sizeof(fault.text))
        vsnprintf(fault.text + length, sizeof(fault.text) - length, format, arguments);
    // One line, whatever the file's texts contain.
    for (char *byte = fault.text; *byte != '\0'; byte++)
        if ((unsigned char)*byte < 0x20 || *byte == 0x7F)
            *byte = '?';
    faults->items[faults->count++] = fault;
}

void fault_add(struct loader *loader, const char *file, unsigned line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(loader, &loader->faults, (struct place){file, line}, "", format, arguments);
    va_end(arguments);
}

void fault_at(struct loader *loader, const config_setting_t *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(loader, &loader->faults, place_of(at), "", format, arguments);
    va_end(arguments);
}

void warning_at(struct loader *loader, const config_setting_t *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(loader, &loader->warnings, at != NULL ? place_of(at) : (struct place){NULL, 0}, "", format,
        arguments);
    va_end(arguments);
}

void warning_add(struct loader *loader, const char *file, unsigned line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(loader, &loader->warnings, (struct place){file, line}, "", format, arguments);
    va_end(arguments);
}

void fault_value(struct loader *loader, const struct setting *setting, const struct value *value,
                 const char *format, ...)
{
    char prefix[256];
    struct place place =
        value->setting != NULL ? place_of(value->setting) : (struct place){"-o", 0};
    va_list arguments;

    snprintf(prefix, sizeof(prefix), "%s%s ", loader->where, setting->name);
    va_start(arguments, format);
    add(loader, &loader->faults, place, prefix, format, arguments);
    va_end(arguments);
}

/* Stable: what was found first on a line stays first. There are few. */
void faults_sort(struct faults *faults)
{
    for (size_t i = 1; i < faults->count; i++) {
        struct config_fault fault = faults->items[i];
        size_t at = i;
        for (; at > 0; at--) {
            const struct config_fault *before = &faults->items[at - 1];
            int order = strcmp(before->file, fault.file);
            if (order < 0 || (order == 0 && before->line <= fault.line))
                break;
            faults->items[at] = *before;
        }
        faults->items[at] = fault;
    }
}

char *loader_strdup(struct loader *loader, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        loader->no_memory = true;
    return copy;
}

void *loader_calloc(struct loader *loader, size_t count, size_t size)
{
    // One more, all zero: arrays that end with NULL; and calloc(0) may answer NULL.
    void *memory = calloc(count + 1, size);
    if (memory == NULL)
        loader->no_memory = true;
    return memory;
}

const char *faults_system_error(int error)
{
    // Not rn_strerror: its words are those of the library's own things, and here it is files that
    // are missing.
    const char *text = strerrordesc_np(error < 0 ? -error : error);
    return text != NULL ? text : "unknown error";
}
