/* Texts of tables as mdoc(7) takes them. */
#include "config/manual/mdoc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 60 };

/* Names and values stay whole where a line is broken. */
static bool is_name_or_value(const char *word)
{
    return strcspn(word, "_\"") < strcspn(word, " ");
}

void mdoc_print(const char *text, bool wraps)
{
    unsigned column = 0;
    bool is_first = true; // of a word

    for (; *text != '\0'; is_first = *text == ' ', text++, column++) {
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        else if (is_first && is_name_or_value(text))
            fputs("\\%", stdout);
        if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (*text == '"') {
            fputs("\\(dq", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else if (*text == ' ' && wraps && column + strcspn(text + 1, " ") >= LINE_BYTES) {
            putchar('\n');
            column = UINT_MAX; // 0 at the next character
        } else {
            putchar(*text);
        }
    }
}

int mdoc_end(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
