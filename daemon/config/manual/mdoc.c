/* Texts of tables as mdoc(7) takes them. */
#include "config/manual/mdoc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 60 };

void mdoc_print(const char *text, bool wraps)
{
    unsigned column = 0;

    for (; *text != '\0'; text++, column++) {
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
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
