/* A task on its way in. One table of its fields; each has one function that checks the value and
 * sets the record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/fields_internal.h"
#include "api/members.h"
#include "api/routes.h"
#include "api/trace.h"
#include "config/units.h"
#include "runners/runner.h"

enum { ATTEMPTS_MAX = 1000, ARGS_FAULTS_MAX = 16 };
static const int64_t timeout_max_ms = INT64_C(365) * 24 * 3600 * 1000;
static const int64_t backoff_max_ms = INT64_C(30) * 24 * 3600 * 1000;
static const int64_t delay_max_ms = INT64_C(36500) * 24 * 3600 * 1000;

typedef void set_fn(struct reading *reading, json_t *value);
static set_fn set_kind, set_queue, set_priority, set_delay, set_run_at, set_expires_at, set_timeout,
    set_max_attempts, set_backoff, set_tags;

const char *const field_names[FIELD_COUNT + 1] = {
#define FIELD_NAME(symbol, name, set) [FIELD_##symbol] = (name),
    FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

// In the order of the enum, so kind is known before queue, and delay before run_at and expires_at.
static set_fn *const setters[FIELD_COUNT] = {
#define FIELD_SET(symbol, name, set) [FIELD_##symbol] = (set),
    FIELDS(FIELD_SET)
#undef FIELD_SET
};

static const size_t field_lengths[FIELD_COUNT] = {
#define FIELD_LENGTH(symbol, name, set) [FIELD_##symbol] = sizeof(name) - 1,
    FIELDS(FIELD_LENGTH)
#undef FIELD_LENGTH
};

/* ---- values ---- */

/* A string of at most max_string bytes. NULL: the fault was told. */
static const char *take_string(struct reading *reading, const char *pointer, json_t *value)
{
    const size_t max = reading->fields->limits->max_string;

    if (!json_is_string(value)) {
        faults_add(reading->faults, pointer, "must be a string");
        return NULL;
    }
    if (json_string_length(value) > max) {
        faults_add(reading->faults, pointer, "must have at most %zu bytes (max_string)", max);
        return NULL;
    }
    return json_string_value(value);
}

static void unknown_name(struct reading *reading, const char *pointer, const char *what,
                         const char *name, const char *const *names)
{
    const char *near = nearest_name(name, names);
    if (near != NULL)
        faults_add(reading->faults, pointer, "unknown %s '%.64s': did you mean '%s'?", what, name,
                   near);
    else
        faults_add(reading->faults, pointer,
                   "unknown %s '%.64s': the configuration has none of this name", what, name);
}

/* Looked at before the name is looked for: what a token is not for it learns nothing of. */
static bool is_for(struct reading *reading, bool has, const char *pointer, const char *what,
                   const char *name)
{
    if (has)
        return true;
    faults_add(reading->faults, pointer, "the token %s is not for the %s '%.64s'",
               reading->fields->token->name, what, name);
    reading->faults->forbidden = true;
    return false;
}

/* ---- the fields ---- */

static void set_kind(struct reading *reading, json_t *value)
{
    const struct config *config = reading->fields->config;

    if (value == NULL) {
        faults_add(reading->faults, "/kind", "is required");
        return;
    }
    const char *name = take_string(reading, "/kind", value);
    if (name == NULL || !is_for(reading, config_token_has_kind(reading->fields->token, name),
                                "/kind", "kind", name))
        return;
    reading->kind = config_kind_find(config, name);
    if (reading->kind == NULL)
        unknown_name(reading, "/kind", "kind", name, config->kind_names);
    else
        memcpy(reading->record->kind, reading->kind->name, sizeof(reading->record->kind));
}

static void set_queue(struct reading *reading, json_t *value)
{
    const struct config *config = reading->fields->config;
    const char *name = "default";

    if (value != NULL) {
        name = take_string(reading, "/queue", value);
        if (name == NULL)
            return;
    } else if (reading->kind == NULL) {
        return; // which queue would be meant is not known
    } else if (reading->kind->queue != NULL) {
        name = reading->kind->queue;
    }
    if (!is_for(reading, config_token_has_queue(reading->fields->token, name), "/queue", "queue",
                name))
        return;
    const struct config_queue *queue = config_queue_find(config, name);
    if (queue == NULL)
        unknown_name(reading, "/queue", "queue", name, config->queue_names);
    else
        memcpy(reading->record->queue, queue->name, sizeof(reading->record->queue));
}

static void set_priority(struct reading *reading, json_t *value)
{
    if (value == NULL)
        return;
    if (!json_is_integer(value) || json_integer_value(value) < -RECORD_PRIORITY_MAX ||
        json_integer_value(value) > RECORD_PRIORITY_MAX) {
        faults_add(reading->faults, "/priority", "must be an integer from -%d to %d",
                   RECORD_PRIORITY_MAX, RECORD_PRIORITY_MAX);
        return;
    }
    reading->record->priority = (int)json_integer_value(value);
}

static void set_delay(struct reading *reading, json_t *value)
{
    int64_t ms = 0;

    if (value == NULL)
        return;
    if (reading->values[FIELD_RUN_AT] != NULL)
        faults_add(reading->faults, "/delay", "does not go together with run_at: use one of them");
    else if (members_duration(value, &ms) < 0 || ms > delay_max_ms)
        faults_add(reading->faults, "/delay",
                   "must be a length of time such as \"30s\" or \"1h30m\", or a number of seconds, "
                   "not negative");
    else if (ms > 0)
        reading->record->due_at_ms = reading->fields->now_ms + ms;
}

/* An instant. 0: the fault was told. */
static int64_t take_instant(struct reading *reading, const char *pointer, json_t *value)
{
    int64_t ms = 0;
    const char *text = take_string(reading, pointer, value);

    if (text == NULL)
        return 0;
    if (units_instant(text, &ms) < 0) {
        faults_add(reading->faults, pointer,
                   "must be an instant as in RFC 3339, such as \"2030-01-31T08:00:00Z\"");
        return 0;
    }
    return ms != 0 ? ms : 1; // 0 means none; a millisecond after 1970 began is as long past
}

static void set_run_at(struct reading *reading, json_t *value)
{
    if (value == NULL)
        return;
    int64_t ms = take_instant(reading, "/run_at", value);
    // What is past runs at once, and the record keeps what was asked for.
    if (ms != 0 && reading->values[FIELD_DELAY] == NULL)
        reading->record->due_at_ms = ms;
}

static void set_expires_at(struct reading *reading, json_t *value)
{
    if (value == NULL)
        return;
    int64_t ms = take_instant(reading, "/expires_at", value);
    if (ms == 0)
        return;
    if (ms <= reading->fields->now_ms)
        faults_add(reading->faults, "/expires_at", "must be in the future");
    else if (ms <= reading->record->due_at_ms)
        faults_add(reading->faults, "/expires_at",
                   "must be later than the instant at which the task may start");
    else
        reading->record->expires_at_ms = ms;
}

static void set_timeout(struct reading *reading, json_t *value)
{
    int64_t ms = 0;

    if (value == NULL)
        return;
    if (members_duration(value, &ms) < 0 || ms < 1 || ms > timeout_max_ms)
        faults_add(reading->faults, "/timeout",
                   "must be a length of time such as \"30s\" or \"1h30m\", or a number of seconds, "
                   "from 1ms to 365d");
    else
        reading->record->timeout_ms = ms;
}

static void set_max_attempts(struct reading *reading, json_t *value)
{
    if (value == NULL)
        return;
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > ATTEMPTS_MAX)
        faults_add(reading->faults, "/max_attempts", "must be an integer from 1 to %d",
                   ATTEMPTS_MAX);
    else
        reading->record->max_attempts = (unsigned)json_integer_value(value);
}

static void take_backoff(struct reading *reading, const char *pointer, json_t *value, int64_t *to)
{
    int64_t ms = 0;

    if (value == NULL || json_is_null(value))
        return;
    if (members_duration(value, &ms) < 0 || ms < 1 || ms > backoff_max_ms)
        faults_add(
            reading->faults, pointer,
            "must be a length of time such as \"5s\", or a number of seconds, from 1ms to 30d");
    else
        *to = ms;
}

static void set_backoff(struct reading *reading, json_t *value)
{
    static const char *const names[] = {"base", "max", NULL};
    struct record *record = reading->record;

    if (value == NULL)
        return;
    if (!json_is_object(value)) {
        faults_add(reading->faults, "/backoff",
                   "must be an object {\"base\": \"5s\", \"max\": \"1h\"}");
        return;
    }
    size_t faults_before = reading->faults->count;
    take_backoff(reading, "/backoff/base", json_object_get(value, names[0]),
                 &record->backoff_base_ms);
    take_backoff(reading, "/backoff/max", json_object_get(value, names[1]),
                 &record->backoff_max_ms);
    members_unknown(value, "/backoff", names, reading->faults);

    int64_t base = record->backoff_base_ms;
    int64_t max = record->backoff_max_ms;
    if (base == 0 && reading->kind != NULL)
        base = reading->kind->backoff_base / RN_MILLISECOND;
    if (max == 0 && reading->kind != NULL)
        max = reading->kind->backoff_max / RN_MILLISECOND;
    if (faults_before == reading->faults->count && max != 0 && base > max)
        faults_add(reading->faults, "/backoff", "base must not be longer than max");
}

/* Whether a tag can be listed by: no control characters, and no comma, which parts tags in a query.
 */
static bool is_tag(const char *text, size_t length, size_t max)
{
    if (length == 0 || length > max)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == 0x7F || byte == ',')
            return false;
    }
    return true;
}

static void set_tags(struct reading *reading, json_t *value)
{
    struct buffer text = {.bytes = NULL};
    size_t index = 0;
    json_t *tag = NULL;
    char pointer[32];

    if (value == NULL)
        return;
    const struct config_limits *limits = reading->fields->limits;
    if (!json_is_array(value) || json_array_size(value) > limits->max_tags) {
        faults_add(reading->faults, "/tags", "must be an array of at most %u strings (max_tags)",
                   limits->max_tags);
        return;
    }
    json_array_foreach (value, index, tag) {
        if (!json_is_string(tag) ||
            !is_tag(json_string_value(tag), json_string_length(tag), limits->max_tag)) {
            (void)snprintf(pointer, sizeof(pointer), "/tags/%zu", index);
            faults_add(reading->faults, pointer,
                       "must be a string of 1 to %zu bytes (max_tag) without commas and control "
                       "characters",
                       limits->max_tag);
            continue;
        }
        buffer_add(&text, index == 0 ? "[" : ",", 1);
        buffer_json_string(&text, json_string_value(tag), json_string_length(tag));
    }
    if (text.length > 0) {
        BUFFER_LITERAL(&text, "]");
        if (text.failed || text_set(&reading->record->tags, text.bytes, text.length) < 0)
            reading->error = -ENOMEM;
    }
    buffer_fini(&text);
}

void fields_set(struct reading *reading, enum field field)
{
    if (setters[field] != NULL)
        setters[field](reading, reading->values[field]);
}

/* ---- args ---- */

void fields_check_args(struct reading *reading, const json_t *value)
{
    struct args_fault faults[ARGS_FAULTS_MAX];

    if (reading->kind == NULL)
        return;
    const struct text *args = &reading->record->args;
    size_t count =
        runner_check_args(reading->kind, value, args->bytes, args->length, faults, ARGS_FAULTS_MAX);
    for (size_t i = 0; i < count && i < ARGS_FAULTS_MAX; i++) {
        // The runner's pointers begin at the task: "#/args/path".
        const char *pointer =
            faults[i].pointer[0] == '#' ? faults[i].pointer + 1 : faults[i].pointer;
        faults_add(reading->faults, pointer, "%s", faults[i].detail);
    }
}

/* The bytes as they were sent, less white space. */
static void keep_args(struct reading *reading, const char *text, const struct scan *scan)
{
    struct text *args = &reading->record->args;
    size_t length = scan->args_to - scan->args_from;
    char *bytes = malloc(length + 1);
    if (bytes == NULL) {
        reading->error = -ENOMEM;
        return;
    }
    length = scan_compact(text + scan->args_from, length, bytes);
    bytes[length] = '\0';
    args->bytes = bytes;
    args->length = length;
    const size_t most = reading->fields->limits->max_args;
    if (length > most) {
        char size_text[32];
        faults_add(reading->faults, "/args", "has %zu bytes, at most %s are allowed (max_args)",
                   length, units_bytes_text(most, size_text, sizeof(size_text)));
        reading->faults->too_large = true;
    }
}

/* ---- the task ---- */

/* Sorts the members into reading->values. false: there are others. */
static bool take_members(struct reading *reading, json_t *task)
{
    const char *key = NULL;
    json_t *value = NULL;
    bool all_known = true;

    json_object_foreach (task, key, value) {
        size_t length = strlen(key);
        unsigned field = 0;
        while (field < FIELD_COUNT &&
               (field_lengths[field] != length || memcmp(field_names[field], key, length) != 0))
            field++;
        if (field == FIELD_COUNT)
            all_known = false;
        else if (!json_is_null(value))
            reading->values[field] = value;
    }
    return all_known;
}

/* What the body leaves out the query gives; delay and run_at are one. */
static void take_defaults(struct reading *reading)
{
    json_t *defaults = reading->fields->defaults;
    bool has_time = reading->values[FIELD_DELAY] != NULL || reading->values[FIELD_RUN_AT] != NULL;

    for (unsigned field = 0; field < FIELD_COUNT; field++) {
        bool is_time = field == FIELD_DELAY || field == FIELD_RUN_AT;
        if (reading->values[field] == NULL && !(is_time && has_time))
            reading->values[field] = json_object_get(defaults, field_names[field]);
    }
}

/* Everything but args, kind and the times that are now. */
static void set_all(struct reading *reading)
{
    for (unsigned field = 0; field < FIELD_COUNT; field++)
        fields_set(reading, (enum field)field);
}

static void record_freep(struct record **record)
{
    record_free(*record);
}

int fields_task(const struct fields *fields, json_t *task, const char *text,
                const struct scan *scan, struct faults *faults, struct record **ret_record)
{
    RN_AUTO(record_freep) struct record *record = malloc(sizeof(*record));
    struct reading reading = {.fields = fields, .faults = faults, .record = record};
    size_t faults_before = faults->count;

    if (record == NULL)
        return -ENOMEM;
    record_init(record);
    if (!json_is_object(task)) {
        faults_add(faults, "", "a task must be an object");
        return -EINVAL;
    }
    if (!take_members(&reading, task))
        members_unknown(task, "", field_names, faults);
    if (fields->defaults != NULL)
        take_defaults(&reading);
    set_all(&reading);

    const json_t *args = reading.values[FIELD_ARGS];
    if (args != NULL) {
        if (!scan->has_args)
            return -EBADMSG;
        keep_args(&reading, text, scan);
    }
    fields_check_args(&reading, args);
    if (reading.error < 0)
        return reading.error;
    if (faults->count > faults_before)
        return -EINVAL;

    memcpy(record->traceparent, fields->traceparent, sizeof(record->traceparent));
    record->created_at_ms = fields->now_ms;
    record->state = record->due_at_ms > fields->now_ms ? TASK_SCHEDULED : TASK_QUEUED;
    record->queued_at_ms = record->state == TASK_QUEUED ? fields->now_ms : 0;
    *ret_record = RN_TAKE(record);
    return 0;
}

/* ---- the query's parameters ---- */

/* A parameter as the JSON value that the body would have. NULL: no memory. */
static json_t *parameter_value(enum parameter parameter, const char *text)
{
    uint64_t number = 0;
    bool is_negative = text[0] == '-';

    if (parameter == PARAMETER_TAGS) {
        json_t *tags = json_array();
        for (const char *from = text; tags != NULL; from += strcspn(from, ",") + 1) {
            if (json_array_append_new(tags, json_stringn(from, strcspn(from, ","))) < 0) {
                json_decref(tags);
                return NULL;
            }
            if (from[strcspn(from, ",")] == '\0')
                break;
        }
        return tags;
    }
    bool may_be_number = parameter == PARAMETER_PRIORITY || parameter == PARAMETER_MAX_ATTEMPTS ||
                         parameter == PARAMETER_DELAY || parameter == PARAMETER_TIMEOUT;
    if (may_be_number && units_unsigned(text + is_negative, INT32_MAX, &number) == 0)
        return json_integer(is_negative ? -(json_int_t)number : (json_int_t)number);
    json_t *value = json_string(text);
    if (value == NULL || (parameter != PARAMETER_RUN_AT && parameter != PARAMETER_EXPIRES_AT))
        return value;
    // In a query a plus sign means a space; an offset such as +02:00 is sent like this by hand.
    char instant[64];
    (void)snprintf(instant, sizeof(instant), "%s", text);
    char *space = strrchr(instant, ' ');
    if (space != NULL && strlen(text) < sizeof(instant) && space - instant > 11) {
        *space = '+';
        json_decref(value);
        value = json_string(instant);
    }
    return value;
}

/* Sets all defaults on a record that is thrown away, so that a bad one is told before any task is
 * looked at. */
static int check_defaults(const struct fields *fields, char *ret_problem)
{
    struct record scratch;
    struct faults faults = {.count = 0};
    struct reading reading = {.fields = fields, .faults = &faults, .record = &scratch};
    int r = 0;

    record_init(&scratch);
    take_defaults(&reading);
    for (unsigned field = 0; field < FIELD_COUNT && r == 0; field++) {
        if (reading.values[field] == NULL || setters[field] == NULL)
            continue;
        setters[field](&reading, reading.values[field]);
        if (faults.count == 0)
            continue;
        // faults.text is {"pointer":…,"detail":"…"}
        json_t *fault = json_loadb(faults.text.bytes, faults.text.length, 0, NULL);
        (void)snprintf(ret_problem, 512, "query parameter %s: %s", field_names[field],
                       json_string_value(json_object_get(fault, "detail")));
        json_decref(fault);
        r = faults.forbidden ? -EACCES : -EINVAL;
    }
    if (r == 0 && reading.error < 0)
        r = reading.error;
    faults_fini(&faults);
    record_fini(&scratch);
    return r;
}

int fields_init(struct fields *fields, const struct request *request, char *ret_problem)
{
    *fields = (struct fields){.config = request->config,
                              .limits = &request->limits,
                              .now_ms = rn_wall_ms(),
                              .token = request->token};
    trace_of_request(request, fields->traceparent);
    for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
        bool is_field = i != PARAMETER_PRETTY && i != PARAMETER_WAIT;
        if (!is_field || request->parameters[i] == NULL)
            continue;
        if (fields->defaults == NULL)
            fields->defaults = json_object();
        json_t *value = parameter_value((enum parameter)i, request->parameters[i]);
        // Text that is no UTF-8 gives no value either: then it is the text that is wrong.
        if (value == NULL ||
            json_object_set_new(fields->defaults, parameter_name((enum parameter)i), value) < 0) {
            fields_fini(fields);
            (void)snprintf(ret_problem, 512, "query parameter %s: must be UTF-8",
                           parameter_name((enum parameter)i));
            return -EINVAL;
        }
    }
    if (fields->defaults == NULL)
        return 0;
    int r = check_defaults(fields, ret_problem);
    if (r < 0)
        fields_fini(fields);
    return r;
}

void fields_fini(struct fields *fields)
{
    json_decref(fields->defaults);
    fields->defaults = NULL;
}
