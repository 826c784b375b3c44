/* A query: what its parameters make of a task is within its limits, what is refused says why; a
 * cursor that is taken is written as one that is taken as the same; the hash that an
 * Idempotency-Key stands for does not look at how the answer is to be given. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/cursor.h"
#include "api/fields.h"
#include "api/key.h"
#include "api/routes.h"
#include "config/units.h"
#include "fuzz.h"
#include "runners/runner.h"

enum { PROBLEM_BYTES = 512 };
static const char configuration[] = "queue: { default: {}; mail: {}; };\n"
                                    "kind: { echo: { builtin = \"echo\"; }; };\n";

static struct config *config_of_test(void)
{
    static struct config *config;

    if (config == NULL)
        config = fuzz_config(configuration, runner_builtins());
    return config;
}

/* Takes the percent-encoding out, in place: as libmicrohttpd gives it to the gate. */
static void decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        char digits[3] = {from[0] == '%' ? from[1] : '\0', '\0', '\0'};
        if (digits[0] != '\0')
            digits[1] = from[2];
        if (strlen(digits) == 2 && strspn(digits, "0123456789abcdefABCDEF") == 2) {
            *to = (char)strtoul(digits, NULL, 16);
            to += *to != '\0'; // the gate has refused %00
            from += 2;
        } else {
            *to++ = *from == '+' ? ' ' : *from;
        }
    }
    *to = '\0';
}

static void take_parameters(char *query, struct request *request)
{
    for (char *rest = query; rest != NULL;) {
        char *part = strsep(&rest, "&");
        char *value = strchr(part, '=');
        if (value != NULL)
            *value++ = '\0';
        decode(part);
        if (value != NULL)
            decode(value);
        for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
            if (strcmp(parameter_name((enum parameter)i), part) == 0)
                request->parameters[i] = value != NULL ? value : "";
        }
    }
}

/* Of a submit; those of other calls are left out. */
static void a_task_takes_it(const struct request *from)
{
    static const enum parameter of_task[] = {
        PARAMETER_PRETTY,   PARAMETER_WAIT,         PARAMETER_KIND,   PARAMETER_QUEUE,
        PARAMETER_PRIORITY, PARAMETER_DELAY,        PARAMETER_RUN_AT, PARAMETER_EXPIRES_AT,
        PARAMETER_TIMEOUT,  PARAMETER_MAX_ATTEMPTS, PARAMETER_TAGS};
    static const char text[] = "{\"kind\":\"echo\"}";
    struct request request = {.config = from->config, .limits = from->config->limits};
    char problem[PROBLEM_BYTES] = "";
    struct fields fields;
    struct faults faults = {.count = 0};
    struct record *record = NULL;
    const struct scan scan = {.end = sizeof(text) - 1};

    for (size_t i = 0; i < sizeof(of_task) / sizeof(of_task[0]); i++)
        request.parameters[of_task[i]] = from->parameters[of_task[i]];
    int r = fields_init(&fields, &request, problem);
    if (r < 0) {
        HOLDS(r == -EINVAL && problem[0] != '\0' && memchr(problem, '\0', sizeof(problem)) != NULL);
        return;
    }
    json_t *task = json_loads(text, 0, NULL);
    r = fields_task(&fields, task, text, &scan, &faults, &record);
    if (r == 0) {
        HOLDS(record->priority >= -100 && record->priority <= 100);
        HOLDS(record->max_attempts <= 1000 && record->timeout_ms >= 0);
        HOLDS(record->expires_at_ms == 0 || record->expires_at_ms > record->due_at_ms);
        HOLDS(config_queue_find(request.config, record->queue) != NULL);
    } else {
        HOLDS(r == -EINVAL && faults.count > 0);
    }
    record_free(record);
    json_decref(task);
    faults_fini(&faults);
    fields_fini(&fields);
}

static void a_cursor_comes_back(const struct request *request)
{
    unsigned char hash[CURSOR_HASH_BYTES];
    char text[CURSOR_BYTES];
    uint64_t before = 0;
    uint64_t again = 0;
    const char *cursor = request->parameters[PARAMETER_CURSOR];

    cursor_hash(request, hash);
    if (cursor != NULL) {
        int r = cursor_parse(cursor, hash, &before);
        HOLDS(r == 0 || r == -EINVAL || r == -ESTALE);
        if (r == 0)
            HOLDS(before > 0 && before < UINT64_C(1) << 53);
    }
    before = before > 0 ? before : 1 + strlen(request->raw_query);
    cursor_text(before, hash, text);
    HOLDS(cursor_parse(text, hash, &again) == 0 && again == before);
    hash[0] ^= 1;
    HOLDS(cursor_parse(text, hash, &again) == -ESTALE);
}

static void a_key_looks_past_the_answer(struct request *request)
{
    unsigned char hash[KEY_HASH_BYTES];
    unsigned char other[KEY_HASH_BYTES];
    size_t length = strlen(request->raw_query);
    char *plain = request->raw_query;
    char *more = malloc(length + 32);

    HOLDS(more != NULL);
    key_hash(request, "{}", 2, hash);
    // In front of it, since what ends in an empty part has one more.
    (void)stpcpy(stpcpy(more, length > 0 ? "wait=5s&pretty&" : "wait=5s&pretty"), plain);
    request->raw_query = more;
    key_hash(request, "{}", 2, other);
    HOLDS(memcmp(hash, other, sizeof(hash)) == 0);
    (void)stpcpy(stpcpy(more, "priority=5&"), plain);
    key_hash(request, "{}", 2, other);
    HOLDS(memcmp(hash, other, sizeof(hash)) != 0);
    request->raw_query = plain;
    free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = config_of_test();
    char *query = fuzz_copy(data, size);
    char *parts = fuzz_copy(query, strlen(query));
    struct request request = {.config = config, .limits = config->limits, .raw_query = query};

    take_parameters(parts, &request);
    a_task_takes_it(&request);
    a_cursor_comes_back(&request);
    a_key_looks_past_the_answer(&request);
    free(parts);
    free(query);
    return 0;
}
