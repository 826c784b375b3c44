/* The configuration with its files of tokens and of environment: what is taken is printed as one
 * that is taken and says the same, what is refused says why. Three parts: the configuration (which
 * names the other two `tokens` and `secrets`), tokens, environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "fuzz.h"
#include "runners/runner.h"

enum { TEXT_MAX = 64 << 10 };

/* libconfig 1.5 does not free a text that stands before a syntax error. The sanitizer's library
 * looks for the function. */
// NOLINTBEGIN(bugprone-reserved-identifier,cert-*,readability-identifier-naming)
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
// NOLINTEND(bugprone-reserved-identifier,cert-*,readability-identifier-naming)
{
    return "leak:libconfig.so";
}

static int load(const char *path, struct config **ret_config)
{
    const struct config_options options = {.path = path, .builtins = runner_builtins()};
    struct config_fault *faults = NULL;
    size_t count = 0;

    int r = config_load(&options, ret_config, &faults, &count);
    HOLDS(r == 0 || count > 0);
    HOLDS((faults == NULL) == (count == 0));
    for (size_t i = 0; i < count; i++) {
        HOLDS(faults[i].text[0] != '\0');
        HOLDS(memchr(faults[i].text, '\0', sizeof(faults[i].text)) != NULL);
    }
    free(faults);
    return r;
}

static char *print(const struct config *config, size_t *ret_length)
{
    char *text = NULL;

    FILE *file = open_memstream(&text, ret_length);
    HOLDS(file != NULL);
    HOLDS(config_print(config, file) == 0);
    HOLDS(fclose(file) == 0);
    return text;
}

static void is_within_limits(const struct config *config)
{
    HOLDS(config->listener_count >= 1 && config->listener_count <= CONFIG_LISTENERS_MAX);
    HOLDS(config->token_count <= CONFIG_TOKENS_MAX);
    for (size_t i = 0; i < config->queue_count; i++) {
        HOLDS(config->queues[i].workers >= 1 && config->queues[i].workers <= 1024);
        HOLDS(config_queue_find(config, config->queues[i].name) == &config->queues[i]);
    }
    for (size_t i = 0; i < config->kind_count; i++) {
        const struct config_kind *kind = &config->kinds[i];
        HOLDS(config_kind_find(config, kind->name) == kind);
        HOLDS(kind->runs != CONFIG_RUNS_COMMAND || kind->command[0][0] == '/');
        HOLDS(kind->max_attempts >= 1 && kind->timeout > 0);
    }
}

static void comes_back(const struct config *config)
{
    struct config *again = NULL;
    struct config_changes changes;
    size_t length = 0;
    size_t length_again = 0;
    const char *path = fuzz_path(0, "printed.conf");
    char *text = print(config, &length);

    fuzz_write(path, text, length, 0600);
    HOLDS(load(path, &again) == 0);
    HOLDS(config_compare(config, config, again, &changes) == 0);
    for (unsigned i = 0; i < CONFIG_CHANGE_COUNT; i++)
        HOLDS(changes.of[i].count == 0);
    HOLDS(changes.restart_count == 0);
    char *text_again = print(again, &length_again);
    HOLDS(strcmp(text, text_again) == 0);
    free(text_again);
    free(text);
    config_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts parts = fuzz_parts(data, size);
    const char *const names[] = {"runneld.conf", "tokens", "secrets"};
    struct config *config = NULL;
    size_t length = 0;

    if (size > TEXT_MAX)
        return 0;
    for (unsigned i = 0; i < 3; i++) {
        char *text = fuzz_next(&parts, &length);
        fuzz_write(fuzz_path(i + 1, names[i]), text, length, 0600);
        free(text);
    }
    if (load(fuzz_path(1, names[0]), &config) == 0) {
        is_within_limits(config);
        comes_back(config);
        config_unref(config);
    }
    return 0;
}
