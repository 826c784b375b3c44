/* Writes the settings as the manual page runneld.conf(5) has them, from the table: at build time.
 */
#include <stdio.h>

#include "config/internal.h"
#include "config/manual/mdoc.h"

/* The table once more, for itself: the daemon's is linked with all that takes the values. */
// clang-format off
#define SETTING(scope_, name_, type_, field_, min_, max_, default_, reloadable_, text_)                      \
    {.scope = SCOPE_##scope_, .name = #name_, .type = TYPE_##type_, .min = (min_), .max = (max_),            \
     .default_text = (default_), .is_reloadable = (reloadable_), .text = (text_)},
static const struct setting settings[] = {
#include "config/settings.def"
    {.name = NULL},
};
// clang-format on

static const char *limit_text(const struct setting *setting, int64_t value, char *text, size_t size)
{
    if (setting->type == TYPE_DURATION)
        return units_duration_text(value, text, size);
    if (setting->type == TYPE_BYTES)
        return units_bytes_text((uint64_t)value, text, size);
    (void)snprintf(text, size, "%lld", (long long)value);
    return text;
}

static void print_setting(const struct setting *setting)
{
    bool is_number = setting->type == TYPE_DURATION || setting->type == TYPE_COUNT ||
                     setting->type == TYPE_BYTES;
    char least[48];
    char most[48];

    printf(".It Ic %s\n", setting->name);
    mdoc_print(setting->text, true);
    putchar('\n');
    if (setting->default_text != NULL) {
        fputs("The default is ", stdout);
        mdoc_print(setting->default_text, false);
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
        for (const struct setting *setting = settings; setting->name != NULL; setting++)
            if (setting->scope == scopes[i].scope)
                print_setting(setting);
        fputs(".El\n", stdout);
    }
    return mdoc_end();
}
