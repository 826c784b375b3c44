/* The table of calls. */
#include "api/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/calls.h"
#include "config/units.h"

#define P(symbol) PARAMETER_BIT(symbol)
// clang-format off
static const struct route routes[] = {
    {"POST",   "/v1/tasks",               call_submit,       ROUTE_TASKS,
     P(PRETTY) | P(WAIT) | P(KIND) | P(QUEUE) | P(PRIORITY) | P(DELAY) | P(RUN_AT) | P(EXPIRES_AT) | P(TIMEOUT) | P(MAX_ATTEMPTS) |
         P(TAGS), false, ACCESS_SUBMIT},
    {"GET",    "/v1/tasks/{id}",          call_task,         ROUTE_NO_BODY,    P(PRETTY) | P(WAIT), false, ACCESS_READ},
    {"GET",    "/v1/tasks/{id}/result",   call_result,       ROUTE_NO_BODY,    P(PRETTY) | P(WAIT), false, ACCESS_READ},
    {"GET",    "/v1/tasks",               call_list,         ROUTE_NO_BODY,
     P(PRETTY) | P(STATE) | P(QUEUE) | P(KIND) | P(TAG) | P(CREATED_AFTER) | P(CREATED_BEFORE) | P(ERROR_CODE) | P(FINISHED_AFTER) |
         P(FINISHED_BEFORE) | P(LIMIT) | P(CURSOR) | P(VIEW), false, ACCESS_READ},
    {"POST",   "/v1/tasks/actions",       call_actions,      ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN},
    {"PATCH",  "/v1/tasks/{id}",          call_edit,         ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN},
    {"POST",   "/v1/tasks/{id}/cancel",   call_cancel,       ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN},
    {"POST",   "/v1/tasks/{id}/retry",    call_retry,        ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN},
    {"DELETE", "/v1/tasks/{id}",          call_delete,       ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_ADMIN},
    {"GET",    "/v1/queues",              call_queues,       ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_READ},
    {"GET",    "/v1/queues/{name}",       call_queue,        ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_READ},
    {"PATCH",  "/v1/queues/{name}",       call_queue_change, ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN_QUEUE},
    {"POST",   "/v1/queues/{name}/pause", call_queue_pause,  ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN_QUEUE},
    {"POST",   "/v1/queues/{name}/resume", call_queue_resume, ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN_QUEUE},
    {"POST",   "/v1/queues/{name}/purge", call_queue_purge,  ROUTE_SMALL_BODY, P(PRETTY), false, ACCESS_ADMIN_QUEUE},
    {"GET",    "/v1/stats",               call_stats,        ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_READ_WHOLE},
    {"GET",    "/v1/info",                call_info,         ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_READ},
    {"POST",   "/v1/backup",              call_backup,       ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_ADMIN_WHOLE},
    {"POST",   "/v1/export",              call_export,       ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_ADMIN_WHOLE},
    {"POST",   "/v1/import",              call_import,       ROUTE_LINES,      P(PRETTY) | P(DRY_RUN), false, ACCESS_ADMIN_WHOLE},
    {"GET",    "/metrics",                call_metrics,      ROUTE_NO_BODY,    0,         false, ACCESS_READ_WHOLE},
    {"GET",    "/",                       call_root,         ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_PUBLIC},
    {"GET",    "/healthz",                call_health,       ROUTE_NO_BODY,    P(PRETTY), true, ACCESS_PUBLIC},
    {"GET",    "/readyz",                 call_ready,        ROUTE_NO_BODY,    P(PRETTY), false, ACCESS_PUBLIC},
    {"GET",    "/openapi.json",           call_openapi,      ROUTE_NO_BODY,    0,         true, ACCESS_TOKEN},
    {"GET",    "/problems",               call_problems,     ROUTE_NO_BODY,    P(PRETTY), true, ACCESS_TOKEN},
    {"GET",    "/problems/{name}",        call_problem,      ROUTE_NO_BODY,    P(PRETTY), true, ACCESS_TOKEN},
};
// clang-format on
#undef P
_Static_assert(sizeof(routes) / sizeof(routes[0]) <= ROUTES_MAX, "each has its counts");

static const char *const parameter_names[PARAMETER_COUNT] = {
#define PARAMETER_NAME(symbol, name) [PARAMETER_##symbol] = (name),
    PARAMETERS(PARAMETER_NAME)
#undef PARAMETER_NAME
};

size_t routes_count(void)
{
    return sizeof(routes) / sizeof(routes[0]);
}

const struct route *routes_at(size_t index)
{
    RN_ASSERT(index < routes_count());
    return &routes[index];
}

const char *parameter_name(enum parameter parameter)
{
    return parameter_names[parameter];
}

const char *routes_near_parameter(const struct route *route, const char *name)
{
    const char *names[PARAMETER_COUNT + 1];
    size_t count = 0;

    for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
        if ((route->parameters & (1U << i)) != 0)
            names[count++] = parameter_names[i];
    }
    names[count] = NULL;
    return nearest_name(name, names);
}

/* The part of a path that stands for {id} or {name}: false: it can't. */
static bool take_part(struct request *request, const char *sort, const char *part, size_t length)
{
    char digits[24];

    if (strncmp(sort, "{id}", 4) != 0) {
        if (length == 0 || length >= sizeof(request->name))
            return false;
        memcpy(request->name, part, length);
        request->name[length] = '\0';
        return true;
    }
    // One spelling of an id: no sign, no leading zeros.
    if (length == 0 || length >= sizeof(digits) || part[0] == '0')
        return false;
    memcpy(digits, part, length);
    digits[length] = '\0';
    return units_unsigned(digits, (UINT64_C(1) << 53) - 1, &request->id) == 0;
}

static bool matches(struct request *request, const char *pattern, const char *path)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern != *path)
                return false;
            pattern++;
            path++;
            continue;
        }
        size_t length = strcspn(path, "/");
        if (!take_part(request, pattern, path, length))
            return false;
        pattern = strchr(pattern, '}') + 1;
        path += length;
    }
    return *path == '\0';
}

static void add_method(char *allow, const char *method)
{
    size_t used = strlen(allow);
    (void)snprintf(allow + used, ROUTES_ALLOW_BYTES - used, "%s%s", used > 0 ? ", " : "", method);
}

int routes_find(struct request *request, const char *method, const char *path,
                const struct route **ret_route, char ret_allow[ROUTES_ALLOW_BYTES])
{
    const size_t count = routes_count();
    char allow[ROUTES_ALLOW_BYTES] = "";

    for (size_t i = 0; i < count; i++) {
        if (strcmp(routes[i].method, method) == 0 && matches(request, routes[i].path, path)) {
            *ret_route = &routes[i];
            return 0;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!matches(request, routes[i].path, path))
            continue;
        add_method(allow, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0)
            add_method(allow, "HEAD");
    }
    bool is_options = strcmp(method, "OPTIONS") == 0;
    if (allow[0] == '\0' && is_options && strcmp(path, "*") == 0)
        (void)snprintf(allow, sizeof(allow), "GET, HEAD, POST, PATCH, DELETE");
    if (allow[0] == '\0')
        return -ENOENT;
    add_method(allow, "OPTIONS");
    memcpy(ret_allow, allow, sizeof(allow));
    if (!is_options)
        return -EOPNOTSUPP;
    *ret_route = NULL;
    return 0;
}
