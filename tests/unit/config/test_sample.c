/* The sample configuration against the table of settings: each setting is there, with its text and
 * its default. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/internal.h"
#include "files.h"
#include "unit.h"

static const char *sample_path(void)
{
    const char *path = getenv("RUNNEL_CONFIG");
    return path != NULL ? path : "config/runneld.conf";
}

/* The sample, NUL-terminated; freed by the caller. */
static char *read_sample(void)
{
    enum { SIZE = 64 << 10 };
    char *text = malloc(SIZE);
    int fd = open(sample_path(), O_RDONLY | O_CLOEXEC);
    assert_non_null(text);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, SIZE - 1);
    assert_true(n > 0 && n < SIZE - 1);
    text[n] = '\0';
    assert_int_equal(close(fd), 0);
    return text;
}

static void sample_is_right_and_its_programs_exist(void **state)
{
    (void)state;
    struct loaded loaded = files_load(sample_path(), NULL, true);
    if (loaded.result != 0 || loaded.fault_count != 0) {
        loaded_print(&loaded);
        fail_msg("the sample has faults");
    }

    assert_string_equal(loaded.config->listeners[0].text, "127.0.0.1:7733");
    static const char *const kinds[] = {"echo",   "noop",     "sleep",    "fail", "primes",
                                        "double", "checksum", "compress", "sort"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        assert_non_null(config_kind_find(loaded.config, kinds[i]));
    const struct config_queue *blog = config_queue_find(loaded.config, "blog");
    assert_non_null(blog);
    assert_int_equal(blog->workers, 3);
    assert_true(blog->rate.per_s == 2);
    assert_non_null(config_queue_find(loaded.config, "default"));
    loaded_fini(&loaded);
}

/* Where, after the setting's text, "name = " stands at a line's start, but for blanks and comment
 * signs. */
static const char *setting_line(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += strspn(line, "\n# ");
        if (strncmp(line, name, length) == 0 && strncmp(line + length, " = ", 3) == 0)
            return line + length + 3;
    }
    return NULL;
}

static void each_setting_is_there_with_its_text_and_default(void **state)
{
    (void)state;
    char *sample = read_sample();

    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        const char *text = strstr(sample, setting->text);
        if (text == NULL)
            fail_msg("the sample lacks: %s", setting->text);
        if (setting->scope == SCOPE_BACKOFF)
            continue; // shown in one line, below
        const char *value = setting_line(text, setting->name);
        if (value == NULL)
            fail_msg("the sample lacks %s", setting->name);
        size_t length = setting->default_text != NULL ? strlen(setting->default_text) : 0;
        if (length > 0 &&
            (strncmp(value, setting->default_text, length) != 0 || value[length] != ';'))
            fail_msg("the sample has another default for %s than %s", setting->name,
                     setting->default_text);
    }
    const struct setting *base = setting_find(SCOPE_BACKOFF, "base");
    const struct setting *most = setting_find(SCOPE_BACKOFF, "max");
    char backoff[128];
    snprintf(backoff, sizeof(backoff), "# backoff = { base = %s; max = %s; };", base->default_text,
             most->default_text);
    assert_non_null(strstr(sample, backoff));
    free(sample);
}

/* A default that is a comment is the value that holds without it: what is printed for the sample is
 * what is printed when all of the top level's settings are made real. */
static void defaults_in_comments_are_those_in_force(void **state)
{
    (void)state;
    char *sample = read_sample();
    struct loaded as_it_is = files_load(sample_path(), NULL, false);
    assert_int_equal(as_it_is.result, 0);

    char text[4096] = "";
    size_t length = 0;
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++) {
        if (setting->scope != SCOPE_TOP || setting->type == TYPE_STORE ||
            setting->default_text == NULL)
            continue;
        const char *value = setting_line(strstr(sample, setting->text), setting->name);
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s = %.*s;\n",
                                   setting->name, (int)strcspn(value, ";"), value);
    }
    struct loaded made_real = files_load_text(text);
    assert_int_equal(made_real.result, 0);
    const struct config *a = as_it_is.config;
    const struct config *b = made_real.config;
    assert_int_equal(a->listeners[0].port, b->listeners[0].port);
    for (const struct setting *setting = setting_table; setting->name != NULL; setting++)
        if (setting->scope == SCOPE_TOP && setting->type != TYPE_STORE &&
            setting->type != TYPE_LISTEN && setting->default_text != NULL)
            assert_memory_equal((const char *)a + setting->offset,
                                (const char *)b + setting->offset, setting->size);
    loaded_fini(&as_it_is);
    loaded_fini(&made_real);
    free(sample);
}

int main(void)
{
    (void)unsetenv("STATE_DIRECTORY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_is_right_and_its_programs_exist),
        cmocka_unit_test(each_setting_is_there_with_its_text_and_default),
        cmocka_unit_test(defaults_in_comments_are_those_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
