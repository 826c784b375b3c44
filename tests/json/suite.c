/* The texts of JSONTestSuite. */
#include "suite.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the suite wants taken, and the daemon refuses, as its documents say. */
static const struct {
    const char *name, *reason;
} exceptions[] = {
    {"y_object_duplicated_key", "two members of the same name"},
    {"y_object_duplicated_key_and_value", "two members of the same name"},
    {"y_object_escaped_null_in_key", "a NUL, which ends a text of C"},
    {"y_string_null_escape", "a NUL, which ends a text of C"},
};

static enum json_suite_end end_of(const char *name)
{
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (strcmp(exceptions[i].name, name) == 0)
            return JSON_REFUSED;
    }
    return name[0] == 'y' ? JSON_TAKEN : name[0] == 'n' ? JSON_REFUSED : JSON_EITHER;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Takes the escapes out, in place; returns the length. */
static size_t unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '\\') {
            *to++ = (char)(digit(from[2]) << 4 | digit(from[3]));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    return (size_t)(to - text);
}

/* A line, without its end: NAME TIMES TEXT. */
static bool read_case(char *line, struct json_case *ret_case)
{
    char *name = strsep(&line, " ");
    const char *times_text = strsep(&line, " ");

    if (line == NULL)
        return false;
    size_t times = 0;
    for (; *times_text != '\0'; times_text++)
        times = times * 10 + digit(*times_text);
    size_t length = unescape(line);
    char *text = malloc(length * times + 1);
    char *own_name = strdup(name);
    if (text == NULL || own_name == NULL) {
        free(text);
        free(own_name);
        return false;
    }
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * length, line, length);
    text[length * times] = '\0';
    *ret_case = (struct json_case){
        .name = own_name, .text = text, .length = length * times, .end = end_of(own_name)};
    return true;
}

size_t json_suite_read(struct json_case cases[JSON_SUITE_COUNT])
{
    const char *source = getenv("RUNNEL_SOURCE");
    char path[PATH_MAX];
    char *line = NULL;
    size_t capacity = 0;
    size_t count = 0;
    ssize_t length = 0;

    memset(cases, 0, JSON_SUITE_COUNT * sizeof(*cases));
    (void)snprintf(path, sizeof(path), "%s/tests/json/parsing.txt", source != NULL ? source : ".");
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (count < JSON_SUITE_COUNT && (length = getline(&line, &capacity, file)) > 0) {
        line[length - 1] = '\0';
        if (!read_case(line, &cases[count]))
            break;
        count++;
    }
    free(line);
    (void)fclose(file);
    return count;
}

void json_suite_free(struct json_case cases[JSON_SUITE_COUNT])
{
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++) {
        free(cases[i].name);
        free(cases[i].text);
    }
}
