/* Filters. Both ways in go through the same checks of a value; they differ in how values are found
 * and in how a fault is told. */
#include "api/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/members.h"
#include "api/request.h"
#include "api/routes.h"
#include "config/units.h"

enum { VALUE_BYTES_MAX = 1024 };

// clang-format off
// X(parameter, text's index, where the values go, their count)
#define NAME_FILTERS(X)                                                                                                            \
    X(QUEUE, 0, queues, queue_count) X(KIND, 1, kinds, kind_count) X(TAG, 2, tags, tag_count)                                      \
    X(ERROR_CODE, 3, error_codes, error_code_count)
// X(parameter, where the instant goes)
#define INSTANT_FILTERS(X)                                                                                                         \
    X(CREATED_AFTER, created_after_ms) X(CREATED_BEFORE, created_before_ms) X(FINISHED_AFTER, finished_after_ms)                   \
    X(FINISHED_BEFORE, finished_before_ms)
// clang-format on

void filter_fini(struct filter *filter)
{
    for (size_t i = 0; i < FILTER_TEXTS; i++)
        free(filter->texts[i]);
    *filter = (struct filter){.store.states = 0};
}

/* ---- values ---- */

/* The bit of a state. false: there is none of this name; *ret_near: what may have been meant, or
 * NULL. */
static bool take_state(const char *name, unsigned *states, const char **ret_near)
{
    const char *all[TASK_STATE_COUNT + 1];
    enum task_state state = TASK_QUEUED;

    if (task_state_parse(name, &state) == 0) {
        *states |= 1U << state;
        return true;
    }
    for (unsigned s = 0; s < TASK_STATE_COUNT; s++)
        all[s] = task_state_name((enum task_state)s);
    all[TASK_STATE_COUNT] = NULL;
    *ret_near = nearest_name(name, all);
    return false;
}

/* ---- the query ---- */

/* Cuts a parameter at its commas. 0, or answered. */
static int query_values(struct request *request, enum parameter parameter, char **to,
                        const char **values, size_t *count)
{
    const char *text = request->parameters[parameter];

    if (text == NULL)
        return 0;
    *to = strdup(text);
    if (*to == NULL) {
        request_problem_error(request, -ENOMEM);
        return -ENOMEM;
    }
    for (char *part = *to; part != NULL;) {
        char *comma = strchr(part, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (part[0] == '\0')
            return request_bad_query(request, "query parameter %s: a value is missing",
                                     parameter_name(parameter));
        if (*count == STORE_LIST_FILTER_MAX)
            return request_bad_query(request, "query parameter %s: at most %d values are allowed",
                                     parameter_name(parameter), STORE_LIST_FILTER_MAX);
        values[(*count)++] = part;
        part = comma;
    }
    return 0;
}

static int query_states(struct request *request, struct filter *filter)
{
    const char *names[STORE_LIST_FILTER_MAX];
    const char *near = NULL;
    char *text = NULL;
    size_t count = 0;

    int r = query_values(request, PARAMETER_STATE, &text, names, &count);
    for (size_t i = 0; i < count && r == 0; i++) {
        if (take_state(names[i], &filter->store.states, &near))
            continue;
        if (near != NULL)
            r = request_bad_query(
                request, "query parameter state: there is no state '%.40s': did you mean %s?",
                names[i], near);
        else
            r = request_bad_query(request, "query parameter state: there is no state '%.40s'",
                                  names[i]);
    }
    free(text);
    return r;
}

static int query_instant(struct request *request, enum parameter parameter, int64_t *to)
{
    const char *text = request->parameters[parameter];
    char instant[64];

    if (text == NULL)
        return 0;
    // A plus sign in a query means a space.
    (void)snprintf(instant, sizeof(instant), "%s", text);
    char *space = strrchr(instant, ' ');
    if (space != NULL && space - instant > 11)
        *space = '+';
    if (strlen(text) >= sizeof(instant) || units_instant(instant, to) < 0)
        return request_bad_query(
            request,
            "query parameter %s: must be an instant as in RFC 3339, such as 2030-01-31T08:00:00Z",
            parameter_name(parameter));
    return 0;
}

int filter_query(struct request *request, struct filter *filter)
{
    int r = query_states(request, filter);
#define QUERY_NAMES(parameter, index, values, count)                                               \
    if (r == 0)                                                                                    \
        r = query_values(request, PARAMETER_##parameter, &filter->texts[index],                    \
                         filter->store.values, &filter->store.count);
    NAME_FILTERS(QUERY_NAMES)
#undef QUERY_NAMES
#define QUERY_INSTANT(parameter, to)                                                               \
    if (r == 0)                                                                                    \
        r = query_instant(request, PARAMETER_##parameter, &filter->store.to);
    INSTANT_FILTERS(QUERY_INSTANT)
#undef QUERY_INSTANT
    return r;
}

/* ---- JSON ---- */

/* The object that is read. */
struct reading {
    json_t *object;
    const char *base;
    struct faults *faults;
    char pointer[200]; // of the member in hand
    bool has_any;
};

/* A member; NULL: left out. */
static json_t *take_member(struct reading *reading, enum parameter parameter)
{
    json_t *value = json_object_get(reading->object, parameter_name(parameter));

    if (value == NULL || json_is_null(value))
        return NULL;
    (void)snprintf(reading->pointer, sizeof(reading->pointer), "%s/%s", reading->base,
                   parameter_name(parameter));
    reading->has_any = true;
    return value;
}

/* The strings of a member: one, or those of an array. Returns how many. */
static size_t json_values(struct reading *reading, enum parameter parameter, const char **values)
{
    json_t *value = take_member(reading, parameter);
    size_t count = json_is_array(value) ? json_array_size(value) : 1;

    if (value == NULL)
        return 0;
    if (count == 0 || count > STORE_LIST_FILTER_MAX) {
        faults_add(reading->faults, reading->pointer, "must have 1 to %d values",
                   STORE_LIST_FILTER_MAX);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *element = json_is_array(value) ? json_array_get(value, i) : value;
        size_t length = json_string_length(element);
        if (!json_is_string(element) || length == 0 || length > VALUE_BYTES_MAX ||
            strchr(json_string_value(element), ',') != NULL) {
            faults_add(reading->faults, reading->pointer,
                       "must be a string, or an array of strings, of 1 to %d bytes without commas",
                       VALUE_BYTES_MAX);
            return 0;
        }
        values[i] = json_string_value(element);
    }
    return count;
}

static void json_states(struct reading *reading, unsigned *states)
{
    const char *names[STORE_LIST_FILTER_MAX];
    const char *near = NULL;

    size_t count = json_values(reading, PARAMETER_STATE, names);
    for (size_t i = 0; i < count; i++) {
        if (take_state(names[i], states, &near))
            continue;
        if (near != NULL)
            faults_add(reading->faults, reading->pointer,
                       "there is no state '%.40s': did you mean '%s'?", names[i], near);
        else
            faults_add(reading->faults, reading->pointer, "there is no state '%.40s'", names[i]);
    }
}

static void json_instant(struct reading *reading, enum parameter parameter, int64_t *to)
{
    const json_t *value = take_member(reading, parameter);

    if (value == NULL)
        return;
    if (!json_is_string(value) || units_instant(json_string_value(value), to) < 0)
        faults_add(reading->faults, reading->pointer,
                   "must be an instant as in RFC 3339, such as \"2030-01-31T08:00:00Z\"");
    else if (*to == 0)
        *to = 1; // 0 means none; a millisecond after 1970 began is as long past
}

bool filter_json(json_t *object, const char *base, struct filter *filter, struct faults *faults)
{
#define NAME_OF(parameter, index, values, count) parameter_name(PARAMETER_##parameter),
#define NAME_OF_INSTANT(parameter, to) parameter_name(PARAMETER_##parameter),
    const char *const names[] = {parameter_name(PARAMETER_STATE),
                                 NAME_FILTERS(NAME_OF) INSTANT_FILTERS(NAME_OF_INSTANT) NULL};
#undef NAME_OF
#undef NAME_OF_INSTANT
    struct reading reading = {.object = object, .base = base, .faults = faults};

    json_states(&reading, &filter->store.states);
#define JSON_NAMES(parameter, index, values, count)                                                \
    filter->store.count = json_values(&reading, PARAMETER_##parameter, filter->store.values);
    NAME_FILTERS(JSON_NAMES)
#undef JSON_NAMES
#define JSON_INSTANT(parameter, to)                                                                \
    json_instant(&reading, PARAMETER_##parameter, &filter->store.to);
    INSTANT_FILTERS(JSON_INSTANT)
#undef JSON_INSTANT
    members_unknown(object, base, names, faults);
    return reading.has_any;
}

/* ---- of a token ---- */

_Static_assert((int)CONFIG_TOKEN_NAMES_MAX == (int)STORE_LIST_FILTER_MAX,
               "a filter can be limited to a token's names");

static int not_for(struct request *request, const char *what, const char *name)
{
    request_problem(request, PROBLEM_FORBIDDEN, "the token %s is not for the %s '%.64s'",
                    request->token->name, what, name);
    return -EACCES;
}

int filter_limit(struct request *request, struct filter *filter)
{
    const struct config_token *token = request->token;
    struct store_list_filter *store = &filter->store;

    if (token == NULL)
        return 0;
    for (size_t i = 0; i < store->queue_count; i++)
        if (!config_token_has_queue(token, store->queues[i]))
            return not_for(request, "queue", store->queues[i]);
    for (size_t i = 0; i < store->kind_count; i++)
        if (!config_token_has_kind(token, store->kinds[i]))
            return not_for(request, "kind", store->kinds[i]);
    if (store->queue_count == 0) {
        memcpy(store->queues, token->queues, sizeof(store->queues));
        store->queue_count = token->queue_count;
    }
    if (store->kind_count == 0) {
        memcpy(store->kinds, token->kinds, sizeof(store->kinds));
        store->kind_count = token->kind_count;
    }
    return 0;
}
