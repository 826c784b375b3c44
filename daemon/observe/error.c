/* Texts of errors: formatted once, at the place that knows the cause. */
#include "observe/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <runnel/error.h>

/* Ends text before a character of which only the first bytes fitted: it goes into JSON, which has
 * no half characters. */
static void drop_cut_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;

    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - (start - 1) < wanted)
        text[start - 1] = '\0';
}

int error_set(struct error *error, int code, const char *format, ...)
{
    RN_ASSERT(code < 0);
    RN_ASSERT(format != NULL);
    if (error == NULL)
        return code;

    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    if (length < 0)
        error->text[0] = '\0';
    else if ((size_t)length >= sizeof(error->text))
        drop_cut_character(error->text, sizeof(error->text) - 1);

    // One line, whatever a file name or a value from outside contains.
    for (char *byte = error->text; *byte != '\0'; byte++)
        if ((unsigned char)*byte < 0x20 || *byte == 0x7F)
            *byte = '?';
    error->code = code;
    error->line = 0;
    return code;
}
