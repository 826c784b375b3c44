/* Tasks, changes of tasks and filters from JSON: what is taken is within its limits, written as
 * JSON it is taken as the same, and what is refused says why. The first byte says which: s submit,
 * c change, o change of an old task, f filter; the rest is JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/fields.h"
#include "api/filter.h"
#include "config/units.h"
#include "fuzz.h"
#include "runners/runner.h"

enum { DEPTH_MAX = 32 };
static const int64_t now = INT64_C(1764000000000);

static const char configuration[] =
    "max_args = \"512\"; max_string = \"64\"; max_tags = 4; max_tag = \"16\";\n"
    "queue: { default: {}; mail: {}; };\n"
    "kind: { echo: { builtin = \"echo\"; max_attempts = 3; };\n"
    " nap: { builtin = \"sleep\"; queue = \"mail\"; };\n"
    " copy: { command = [\"/bin/cp\", \"--\", \"{path}\"]; accept = { path = \"/srv/[a-z]+\"; }; "
    "};\n"
    "};\n";

static struct config *config_of_test(void)
{
    static struct config *config;

    if (config == NULL)
        config = fuzz_config(configuration, runner_builtins());
    return config;
}

/* ---- a task ---- */

static void is_within_limits(const struct config *config, const struct record *record)
{
    HOLDS(config_kind_find(config, record->kind) != NULL);
    HOLDS(config_queue_find(config, record->queue) != NULL);
    HOLDS(record->priority >= -100 && record->priority <= 100);
    HOLDS(record->max_attempts <= 1000);
    HOLDS(record->timeout_ms >= 0 && record->backoff_base_ms >= 0 && record->backoff_max_ms >= 0);
    HOLDS(record->args.length <= config->limits.max_args);
    HOLDS(record->expires_at_ms == 0 || record->expires_at_ms > now);
    HOLDS(record->expires_at_ms == 0 || record->expires_at_ms > record->due_at_ms);
    HOLDS((record->state == TASK_SCHEDULED) == (record->due_at_ms > now));
    HOLDS(record->state == TASK_SCHEDULED || record->state == TASK_QUEUED);
    HOLDS(record->created_at_ms == now);
    if (record->tags.bytes != NULL) {
        json_t *tags = json_loadb(record->tags.bytes, record->tags.length, 0, NULL);
        HOLDS(json_is_array(tags) && json_array_size(tags) <= config->limits.max_tags);
        json_decref(tags);
    }
}

static void add_instant(struct buffer *text, const char *name, int64_t ms)
{
    char instant[UNITS_INSTANT_BYTES];

    if (ms == 0)
        return;
    (void)units_instant_text(ms, instant);
    buffer_printf(text, ",\"%s\":\"%s\"", name, instant);
}

static void add_length(struct buffer *text, const char *name, int64_t ms)
{
    if (ms == 0)
        return;
    buffer_printf(text, ",\"%s\":", name);
    buffer_json_duration(text, ms);
}

/* As somebody would submit it. */
static void write_task(struct buffer *text, const struct record *record)
{
    buffer_printf(text, "{\"kind\":\"%s\",\"queue\":\"%s\",\"priority\":%d", record->kind,
                  record->queue, record->priority);
    if (record->args.bytes != NULL)
        buffer_printf(text, ",\"args\":%s", record->args.bytes);
    if (record->tags.bytes != NULL)
        buffer_printf(text, ",\"tags\":%s", record->tags.bytes);
    if (record->max_attempts > 0)
        buffer_printf(text, ",\"max_attempts\":%u", record->max_attempts);
    add_length(text, "timeout", record->timeout_ms);
    add_instant(text, "run_at", record->due_at_ms);
    add_instant(text, "expires_at", record->expires_at_ms);
    if (record->backoff_base_ms > 0 || record->backoff_max_ms > 0) {
        BUFFER_LITERAL(text, ",\"backoff\":{\"base\":");
        if (record->backoff_base_ms > 0)
            buffer_json_duration(text, record->backoff_base_ms);
        else
            BUFFER_LITERAL(text, "null");
        add_length(text, "max", record->backoff_max_ms);
        BUFFER_LITERAL(text, "}");
    }
    BUFFER_LITERAL(text, "}");
    HOLDS(!text->failed);
}

static void expect_same_text(const struct text *a, const struct text *b)
{
    HOLDS((a->bytes == NULL) == (b->bytes == NULL) && a->length == b->length);
    HOLDS(a->bytes == NULL || memcmp(a->bytes, b->bytes, a->length) == 0);
}

static void expect_same(const struct record *a, const struct record *b)
{
    HOLDS(strcmp(a->kind, b->kind) == 0 && strcmp(a->queue, b->queue) == 0);
    HOLDS(a->priority == b->priority && a->max_attempts == b->max_attempts);
    HOLDS(a->timeout_ms == b->timeout_ms && a->state == b->state);
    HOLDS(a->due_at_ms == b->due_at_ms && a->expires_at_ms == b->expires_at_ms);
    HOLDS(a->backoff_base_ms == b->backoff_base_ms && a->backoff_max_ms == b->backoff_max_ms);
    expect_same_text(&a->args, &b->args);
    expect_same_text(&a->tags, &b->tags);
}

/* Whatever is wrong is told, as JSON. */
static void expect_faults(const struct faults *faults)
{
    struct buffer array = {.bytes = NULL};

    HOLDS(faults->count > 0);
    BUFFER_LITERAL(&array, "[");
    buffer_add(&array, faults->text.bytes, faults->text.length);
    BUFFER_LITERAL(&array, "]");
    HOLDS(!array.failed);
    json_t *list = json_loadb(array.bytes, array.length, 0, NULL);
    HOLDS(json_is_array(list));
    HOLDS(json_array_size(list) ==
          (faults->count < (size_t)FAULTS_MAX ? faults->count : (size_t)FAULTS_MAX));
    json_decref(list);
    buffer_fini(&array);
}

/* ---- the ways in ---- */

struct way {
    struct request *request;
    struct fields fields;
    struct faults faults;
};

static int parse(struct way *way, const char *text, size_t length, struct body_value *ret_body)
{
    struct body_fault fault;
    const struct body_text place = {.text = text, .to = length, .depth_max = DEPTH_MAX};

    return body_parse(way->request, &place, ret_body, &fault);
}

static struct record *submit(struct way *way, const char *text, size_t length)
{
    struct record *record = NULL;
    struct body_value body;

    if (parse(way, text, length, &body) < 0)
        return NULL;
    int r = fields_task(&way->fields, body.value, text, &body.scan, &way->faults, &record);
    if (r == -EINVAL)
        expect_faults(&way->faults);
    else if (r == -EBADMSG)
        HOLDS(memchr(text, '\\', length) != NULL); // args, written with escapes
    else
        HOLDS(r == 0 && way->faults.count == 0);
    if (r == 0 && record->args.bytes != NULL) {
        json_t *args = json_loadb(record->args.bytes, record->args.length, JSON_DECODE_ANY, NULL);
        HOLDS(json_equal(args, json_object_get(body.value, "args")));
        json_decref(args);
    }
    body_done(way->request, &body);
    return record;
}

static void submit_twice(struct way *way, const char *text, size_t length)
{
    struct buffer written = {.bytes = NULL};
    struct record *record = submit(way, text, length);

    if (record == NULL)
        return;
    is_within_limits(way->fields.config, record);
    write_task(&written, record);
    struct record *again = submit(way, written.bytes, written.length);
    HOLDS(again != NULL);
    expect_same(record, again);
    record_free(again);
    record_free(record);
    buffer_fini(&written);
}

static void change(struct way *way, const char *text, size_t length, bool is_old)
{
    static char args[] = "{\"path\":\"/srv/a\",\"for\":\"1s\"}";
    static char no_json[] = "an old result";
    const struct record task = {.id = 1, .kind = "echo", .args = {args, sizeof(args) - 1}};
    // Of a kind that is not configured any more.
    const struct record old = {.id = 1, .kind = "gone", .args = {no_json, sizeof(no_json) - 1}};
    struct body_value body;
    struct record record;
    unsigned fields = 0;

    if (parse(way, text, length, &body) < 0)
        return;
    record_init(&record);
    if (json_is_object(body.value)) {
        int r = fields_change(&way->fields, body.value, is_old ? &old : &task, &way->faults,
                              &record, &fields);
        if (r == -EINVAL)
            expect_faults(&way->faults);
        else
            HOLDS(r == 0 && fields != 0 && way->faults.count == 0);
        HOLDS(record.args.bytes == NULL);
        HOLDS(record.priority >= -100 && record.priority <= 100);
    }
    record_fini(&record);
    body_done(way->request, &body);
}

static void filter(struct way *way, const char *text, size_t length)
{
    struct filter filter = {.store.states = 0};
    struct body_value body;

    if (parse(way, text, length, &body) < 0)
        return;
    if (json_is_object(body.value)) {
        bool has_any = filter_json(body.value, "/filter", &filter, &way->faults);
        const struct store_list_filter *store = &filter.store;
        HOLDS(store->queue_count <= STORE_LIST_FILTER_MAX);
        HOLDS(store->states < 1U << TASK_STATE_COUNT);
        for (size_t i = 0; i < store->tag_count; i++)
            HOLDS(store->tags[i][0] != '\0' && strchr(store->tags[i], ',') == NULL);
        if (way->faults.count > 0)
            expect_faults(&way->faults);
        else
            HOLDS(has_any == (store->states != 0 ||
                              store->queue_count + store->kind_count + store->tag_count +
                                      store->error_code_count >
                                  0 ||
                              store->created_after_ms != 0 || store->created_before_ms != 0 ||
                              store->finished_after_ms != 0 || store->finished_before_ms != 0));
    }
    filter_fini(&filter);
    body_done(way->request, &body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = config_of_test();
    struct server server = {.config = config};
    struct request request = {.server = &server, .config = config, .limits = config->limits};
    struct way way = {
        .request = &request,
        .fields = {.config = config, .limits = &request.limits, .now_ms = now},
    };

    if (size == 0)
        return 0;
    char *text = fuzz_copy(data + 1, size - 1);
    if (data[0] == 's')
        submit_twice(&way, text, size - 1);
    else if (data[0] == 'c' || data[0] == 'o')
        change(&way, text, size - 1, data[0] == 'o');
    else if (data[0] == 'f')
        filter(&way, text, size - 1);
    faults_fini(&way.faults);
    HOLDS(request.memory == 0 && atomic_load(&server.memory) == 0);
    free(text);
    return 0;
}
