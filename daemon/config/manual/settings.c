/* Writes the settings as the manual page runneld.conf(5) has them, from the table: at build time.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

enum { LINE_BYTES = 68 };

static const char *limit_text(const struct setting *setting, int64_t value, char *text, size_t size)
{
    if (setting->type == TYPE_DURATION)
        return units_duration_text(value, text, size);
    if (setting->type == TYPE_BYTES)
        return units_bytes_text((uint64_t)value, text, size);
    (void)snprintf(text, size, "%lld", (long long)value);
    return text;
}

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
        } else if (*text == ' ' && wraps && column + strcspn(text + 1, " ") >= LINE_BYTES) {
            putchar('\n');
            column = UINT_MAX; // 0 at the next character
        } else {
            putchar(*text);
        }
    }
}

static void print_setting(const struct setting *setting)
{
    bool is_number = setting->type == TYPE_DURATION || setting->type == TYPE_COUNT ||
                     setting->type == TYPE_BYTES;
    char least[48];
    char most[48];

    printf(".It Ic %s\n", setting->name);
    print_text(setting->text, true);
    putchar('\n');
    if (setting->default_text != NULL) {
        fputs("The default is ", stdout);
        print_text(setting->default_text, false);
        fputs(".\n", stdout);
    }
    if (is_number && (setting->min != 0 || setting->max != 0))
        printf("It may be from %s to %s.\n",
               limit_text(setting, setting->min, least, sizeof(least)),
               limit_text(setting, setting->max, most, sizeof(most)));
    if (!setting->is_reloadable)
        fputs("A change of it waits for a restart.\n", stdout);
}

int main(void)
{
    static const struct {
        enum setting_scope scope;
        const char *title;
    } scopes[] = {{SCOPE_TOP, "Settings of the top level"},
                  {SCOPE_QUEUE, "Settings of a queue"},
                  {SCOPE_KIND, "Settings of a kind"},
                  {SCOPE_BACKOFF, "Settings of the group backoff of a kind"}};

    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        printf(".Ss \"%s\"\n.Bl -tag -width Ds\n", scopes[i].title);
        for (const struct setting *setting = setting_table; setting->name != NULL; setting++)
            if (setting->scope == scopes[i].scope)
                print_setting(setting);
        fputs(".El\n", stdout);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
