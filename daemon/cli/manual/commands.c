/* Writes the commands and their options as the manual page runnel(1) has them, from the table: at
 * build time. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

enum { LINE_BYTES = 60 };

/* A text as mdoc takes it: no macro at the beginning of a line, no escape, no long line unless it
 * is a macro's argument. */
static void print_text(const char *text, bool wraps)
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

static void print_options(const struct option_row *options)
{
    if (options == NULL)
        return;
    fputs(".Bl -tag -width Ds -compact\n", stdout);
    for (const struct option_row *option = options; option->name != NULL; option++) {
        fputs(".It ", stdout);
        if (option->letter != 0)
            printf("Fl %c , ", option->letter);
        printf("Fl Fl %s", option->name);
        if (option->value != NULL)
            printf(" Ar %s", option->value);
        putchar('\n');
        print_text(option->text, true);
        fputs(".\n", stdout);
    }
    fputs(".El\n", stdout);
}

int main(void)
{
    fputs(".Bl -tag -width Ds\n", stdout);
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (command->summary == NULL)
            continue;
        printf(".It Ic %s", command->name);
        if (command->words[0] != '\0') {
            fputs(" \"", stdout);
            print_text(command->words, false);
            fputs("\"", stdout);
        }
        putchar('\n');
        print_text(command->summary, true);
        fputs(".\n", stdout);
        print_options(command->options);
        fputs(".Pp\nExample:\n.Dl ", stdout);
        print_text(command->example, false);
        putchar('\n');
    }
    fputs(".El\n.Ss Options of every command\n", stdout);
    print_options(common_options);
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
