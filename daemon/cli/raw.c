/* Skips through valid JSON: strings as a whole, brackets by their depth. */
#include "cli/raw.h"

#include <string.h>

#include <runnel/error.h>

static size_t skip_space(const char *text, size_t length, size_t i)
{
    while (i < length && strchr(" \t\r\n", text[i]) != NULL && text[i] != '\0')
        i++;
    return i;
}

/* Behind the string that begins at i. */
static size_t skip_string(const char *text, size_t length, size_t i)
{
    for (i++; i < length && text[i] != '"'; i++)
        i += text[i] == '\\';
    return i < length ? i + 1 : length;
}

/* Behind the value that begins at i. */
static size_t skip_value(const char *text, size_t length, size_t i)
{
    size_t depth = 0;

    while (i < length) {
        char c = text[i];
        if (c == '"') {
            i = skip_string(text, length, i);
        } else if (c == '{' || c == '[') {
            depth++;
            i++;
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
            return i;
        } else {
            depth -= c == '}' || c == ']';
            i++;
        }
        if (depth == 0 && i < length && (c == '"' || c == '}' || c == ']'))
            return i;
    }
    return length;
}

const char *raw_member(const char *text, size_t length, const char *name, size_t *ret_length)
{
    RN_ASSERT(text != NULL || length == 0);
    RN_ASSERT(name != NULL);
    size_t name_length = strlen(name);
    size_t i = skip_space(text, length, 0);

    if (i == length || text[i] != '{')
        return NULL;
    for (i++; i < length;) {
        i = skip_space(text, length, i);
        if (i == length || text[i] != '"')
            return NULL;
        const char *found = text + i + 1;
        size_t end = skip_string(text, length, i);
        size_t found_length = end - i - 2;
        i = skip_space(text, length, end);
        i = skip_space(text, length, i + (i < length)); // the colon
        size_t begin = i;
        i = skip_value(text, length, i);
        if (found_length == name_length && memcmp(found, name, name_length) == 0) {
            while (i > begin && strchr(" \t\r\n", text[i - 1]) != NULL)
                i--;
            *ret_length = i - begin;
            return text + begin;
        }
        i = skip_space(text, length, i);
        i += i < length; // the comma
    }
    return NULL;
}
