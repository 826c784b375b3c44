/* Writes the commands and their options as the manual page runnel(1) has them, from the table: at
 * build time. */
#include <stdio.h>

#include "cli/commands.h"
#include "config/manual/mdoc.h"

static void print_options(const struct option_row *options)
{
    if (options == NULL)
        return;
    fputs(".Bl -tag -width Ds -compact\n", stdout);
    for (const struct option_row *option = options; option->name != NULL; option++) {
        if (option->text == NULL)
            continue;
        fputs(".It ", stdout);
        if (option->letter != 0)
            printf("Fl %c , ", option->letter);
        printf("Fl Fl %s", option->name);
        if (option->value != NULL)
            printf(" Ar %s", option->value);
        putchar('\n');
        mdoc_print(option->text, true);
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
            mdoc_print(command->words, false);
            fputs("\"", stdout);
        }
        putchar('\n');
        mdoc_print(command->summary, true);
        fputs(".\n", stdout);
        print_options(command->options);
        fputs(".Pp\nExample:\n.Dl ", stdout);
        mdoc_print(command->example, false);
        putchar('\n');
    }
    fputs(".El\n.Ss Options of every command\n", stdout);
    print_options(common_options);
    return mdoc_end();
}
