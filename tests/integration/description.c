/* The API's description, held against what the daemon answers. All of it is under one mutex: a
 * scenario's threads call at once. */
#include "description.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/openapi.h"
#include "schema.h"

enum { BODY_MAX = 256 << 10, NAME_BYTES = 128 };

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static json_t *document; // below: covered by mu
static json_t *seen;     // a set: the keys of an object
static char *difference; // NULL: there was none

/* One exchange that is looked at. */
struct look {
    const struct request *request; // NULL: not known
    const struct reply *reply;
    char method[16];
    const char *pattern; // the path as the description has it
    const json_t *operation;
    char media[NAME_BYTES];         // of the answer; "": it has none
    char place[SCHEMA_PLACE_BYTES]; // of the response
};

/* ---- what is noted ---- */

static void note(const char *place)
{
    if (json_object_get(seen, place) == NULL && json_object_set_new(seen, place, json_true()) < 0)
        abort();
}

static void note_seen(const char *place, void *arg)
{
    (void)arg;
    note(place);
}

static void differs(const struct look *look, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void differs(const struct look *look, const char *format, ...)
{
    char *what = NULL;
    va_list list;

    if (difference != NULL)
        return;
    va_start(list, format);
    if (vasprintf(&what, format, list) < 0)
        abort();
    va_end(list);
    if (asprintf(&difference, "not as in the API's description: %s %s, status %d: %s\n%s%.1000s",
                 look->method, look->request != NULL ? look->request->path : "(bare socket)",
                 look->reply->status, what, look->reply->head, look->reply->body) < 0)
        abort();
    free(what);
}

/* ---- the description ---- */

static void load(void)
{
    size_t length = 0;

    if (document != NULL)
        return;
    const char *bytes = openapi_text(&length);
    document = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    seen = json_object();
    if (document == NULL || seen == NULL)
        abort();
}

static bool path_matches(const char *pattern, const char *path, size_t length)
{
    const char *end = path + length;

    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (path == end || *pattern++ != *path++)
                return false;
            continue;
        }
        const char *from = path;
        while (path < end && *path != '/')
            path++;
        if (path == from)
            return false;
        pattern = strchr(pattern, '}') + 1;
    }
    return path == end;
}

/* Finds the pattern, of which one without {} comes first, and the method's operation. */
static void find_operation(struct look *look)
{
    const char *path = look->request->path;
    size_t length = strcspn(path, "?");
    json_t *paths = json_object_get(document, "paths"), *methods = NULL;
    const char *pattern = NULL;
    char lower[16] = "";
    bool is_head = strcmp(look->method, "HEAD") == 0;
    const char *method = is_head ? "GET" : look->method;

    for (size_t i = 0; method[i] != '\0' && i + 1 < sizeof(lower); i++)
        lower[i] = (char)(method[i] | 0x20);
    json_object_foreach (paths, pattern, methods) {
        if (!path_matches(pattern, path, length) ||
            (look->pattern != NULL && strchr(pattern, '{') != NULL))
            continue;
        look->pattern = pattern;
        look->operation = json_object_get(methods, lower);
    }
    if (is_head)
        (void)snprintf(look->method, sizeof(look->method), "GET");
}

/* The response of components that an answer of this status is whatever the call: 405 where a path
 * has no such method, what the gate answers, and what is found on a bare socket. NULL: none. */
static const json_t *find_shared(const struct look *look, char place[SCHEMA_PLACE_BYTES])
{
    json_t *responses = json_object_get(json_object_get(document, "components"), "responses");
    const char *name = NULL;
    json_t *response = NULL;

    json_object_foreach (responses, name, response) {
        const json_t *schema =
            schema_resolve(response, "#/content/application~1problem+json/schema");
        struct schema_check check = {.document = document};

        if (schema == NULL || look->reply->json == NULL ||
            !schema_fits(&check, schema, "", look->reply->json))
            continue;
        (void)snprintf(place, SCHEMA_PLACE_BYTES, "#/components/responses/%s", name);
        return response;
    }
    return NULL;
}

/* ---- the answer ---- */

static bool is_common_header(const char *name, size_t length)
{
    static const char *const common[] = {"Date",         "Connection", "Content-Length",
                                         "Content-Type", "Keep-Alive", "Transfer-Encoding",
                                         "Cache-Control"};

    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        if (strlen(common[i]) == length && strncasecmp(common[i], name, length) == 0)
            return true;
    }
    return false;
}

/* The value of a header; false: it is not there. */
static bool header_of(const struct reply *reply, const char *name, char value[NAME_BYTES])
{
    size_t length = strlen(name);

    for (const char *line = reply->head; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *from = line + length + 1 + strspn(line + length + 1, " \t");
        (void)snprintf(value, NAME_BYTES, "%.*s", (int)strcspn(from, "\r\n"), from);
        return true;
    }
    return false;
}

static void look_at_header_value(const struct look *look, const char *name, const char *value,
                                 const json_t *header, const char *place)
{
    const json_t *schema = json_object_get(header, "schema");
    struct schema_check check = {.document = document};
    char *end = NULL;
    json_t *json = schema_has_type(schema, "integer") ? json_integer(strtoll(value, &end, 10))
                                                      : json_string(value);

    if (json == NULL || (end != NULL && *end != '\0') || !schema_fits(&check, schema, place, json))
        differs(look, "the header %s: %s %s", name, value, check.fault);
    json_decref(json);
}

/* Each header that came is named, and each required one came. */
static void look_at_headers(const struct look *look, const json_t *response)
{
    json_t *headers = json_object_get(response, "headers"), *header = NULL;
    const char *name = NULL;
    const char *line = strchr(look->reply->head, '\n'); // past the first line
    char value[NAME_BYTES];

    for (; line != NULL && line[1] != '\0' && line[1] != '\r'; line = strchr(line + 1, '\n')) {
        size_t length = strcspn(line + 1, ":\r\n");
        bool is_named = is_common_header(line + 1, length);

        json_object_foreach (headers, name, header) {
            is_named =
                is_named || (strlen(name) == length && strncasecmp(name, line + 1, length) == 0);
        }
        if (!is_named)
            differs(look, "the response does not have the header %.*s", (int)length, line + 1);
    }
    json_object_foreach (headers, name, header) {
        char place[SCHEMA_PLACE_BYTES];
        const json_t *followed = NULL;

        (void)snprintf(place, sizeof(place), "%.300s headers %.100s", look->place, name);
        followed = schema_follow(document, header, place);
        if (header_of(look->reply, name, value)) {
            note(place);
            look_at_header_value(look, name, value, followed, place);
        } else if (json_is_true(json_object_get(followed, "required"))) {
            differs(look, "the header %s is missing", name);
        }
    }
}

static void look_at_body(const struct look *look, const json_t *response)
{
    const json_t *content = json_object_get(response, "content");
    const json_t *media = json_object_get(content, look->media);
    struct schema_check check = {.document = document, .seen_fn = note_seen};
    char place[SCHEMA_PLACE_BYTES];

    if (content == NULL) {
        if (look->media[0] != '\0' || look->reply->body_bytes > 0)
            differs(look, "the response has no body");
        return;
    }
    if (media == NULL) {
        differs(look, "the response does not have the media type '%s'", look->media);
        return;
    }
    (void)snprintf(place, sizeof(place), "%.300s %s", look->place, look->media);
    if (look->request != NULL && strcmp(look->request->method, "HEAD") == 0)
        return;
    note(place);
    bool is_lines = strcmp(look->media, "application/x-ndjson") == 0;
    if (is_lines || strstr(look->media, "json") == NULL)
        return;
    if (look->reply->json == NULL)
        differs(look, "the body is not JSON");
    else if (!schema_fits(&check, json_object_get(media, "schema"), place, look->reply->json))
        differs(look, "%s", check.fault);
}

static void look_at_response(struct look *look)
{
    const json_t *response = NULL;
    char status[16];

    if (look->operation != NULL) {
        (void)snprintf(status, sizeof(status), "%d", look->reply->status);
        (void)snprintf(look->place, sizeof(look->place), "%s %s %s", look->method, look->pattern,
                       status);
        const json_t *own = json_object_get(json_object_get(look->operation, "responses"), status);
        char place[SCHEMA_PLACE_BYTES];

        memcpy(place, look->place, sizeof(place));
        response = own == NULL ? NULL : schema_follow(document, own, place);
        if (!json_is_true(json_object_get(response, "x-shared")) && response != NULL)
            note(look->place);
        memcpy(look->place, place, sizeof(place));
    } else {
        response = find_shared(look, look->place);
    }
    if (response == NULL && look->request == NULL) {
        // A call's own, such as task-failed: which call it was is not known here.
        struct schema_check check = {.document = document};
        if (!schema_fits(&check, schema_resolve(document, "#/components/schemas/Problem"), "",
                         look->reply->json))
            differs(look, "%s", check.fault);
        return;
    }
    if (response == NULL) {
        differs(look, "the description does not have this status here");
        return;
    }
    note(look->place);
    look_at_headers(look, response);
    look_at_body(look, response);
}

/* ---- the request ---- */

static bool has_parameter(const struct look *look, const char *in, const char *name, size_t length)
{
    const json_t *parameter = NULL;
    char ignored[SCHEMA_PLACE_BYTES];
    size_t i = 0;

    json_array_foreach (json_object_get(look->operation, "parameters"), i, parameter) {
        const json_t *followed = schema_follow(document, parameter, ignored);
        const char *is_in = json_string_value(json_object_get(followed, "in"));
        const char *is_called = json_string_value(json_object_get(followed, "name"));

        if (strcmp(is_in, in) == 0 && strlen(is_called) == length &&
            strncasecmp(is_called, name, length) == 0) {
            char place[SCHEMA_PLACE_BYTES];

            (void)snprintf(place, sizeof(place), "%s %s %s %s", look->method, look->pattern, in,
                           is_called);
            note(place);
            return true;
        }
    }
    return false;
}

static void look_at_parameters(const struct look *look)
{
    const struct request *request = look->request;
    const char *query = strchr(request->path, '?');

    while (query != NULL && query[1] != '\0') {
        size_t length = strcspn(query + 1, "=&");

        if (length > 0 && memchr(query + 1, '%', length) == NULL &&
            !has_parameter(look, "query", query + 1, length))
            differs(look, "the query parameter %.*s was taken, but is not described", (int)length,
                    query + 1);
        query = strchr(query + 1, '&');
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        (void)has_parameter(look, "header", request->headers[i], strcspn(request->headers[i], ":"));
}

static void look_at_request_body(const struct look *look)
{
    const struct request *request = look->request;
    const char *type = request->content_type != NULL ? request->content_type : "application/json";
    size_t bytes = request->body_bytes != 0 ? request->body_bytes
                   : request->body != NULL  ? strlen(request->body)
                                            : 0;
    struct schema_check check = {.document = document, .seen_fn = note_seen};
    char media[NAME_BYTES], place[SCHEMA_PLACE_BYTES];

    if ((bytes == 0 && request->body_fn == NULL) || bytes > BODY_MAX)
        return;
    (void)snprintf(media, sizeof(media), "%.*s", (int)strcspn(type, "; "), type);
    const json_t *content =
        json_object_get(json_object_get(look->operation, "requestBody"), "content");
    const json_t *described = json_object_get(content, media);
    if (described == NULL) {
        differs(look, "a body of %s was taken, but is not described", media);
        return;
    }
    (void)snprintf(place, sizeof(place), "%s %s takes %s", look->method, look->pattern, media);
    note(place);
    if (strcmp(media, "application/json") != 0)
        return;
    json_t *body = json_loadb(request->body, bytes, JSON_DECODE_ANY, NULL);
    if (!schema_fits(&check, json_object_get(described, "schema"), place, body))
        differs(look, "the body was taken, but %s", check.fault);
    json_decref(body);
}

/* ---- the look ---- */

/* What libmicrohttpd answers by itself, which the description says in words. */
static bool is_not_ours(const struct look *look)
{
    return strcmp(look->media, "text/html") == 0 ||
           (look->media[0] == '\0' && look->reply->body_bytes == 0 && look->reply->status >= 400);
}

static void begin(struct look *look, const struct reply *reply)
{
    char value[NAME_BYTES] = "";

    look->reply = reply;
    if (header_of(reply, "Content-Type", value))
        (void)snprintf(look->media, sizeof(look->media), "%.*s", (int)strcspn(value, "; "), value);
}

void description_look(const struct request *request, const struct reply *reply)
{
    struct look look = {.request = request};

    if (reply->status == 0)
        return;
    (void)pthread_mutex_lock(&mu);
    load();
    begin(&look, reply);
    (void)snprintf(look.method, sizeof(look.method), "%s", request->method);
    if (strcmp(look.method, "OPTIONS") == 0 && reply->status == 204) {
        if (!header_of(reply, "Allow", look.media))
            differs(&look, "the answer to OPTIONS has no Allow");
    } else if (!is_not_ours(&look)) {
        find_operation(&look);
        if (look.operation != NULL || strcmp(request->method, "HEAD") != 0)
            look_at_response(&look);
        if (look.operation != NULL && reply->status < 300) {
            look_at_parameters(&look);
            look_at_request_body(&look);
        }
    }
    (void)pthread_mutex_unlock(&mu);
}

void description_look_bare(const struct reply *reply)
{
    struct look look = {.method = "?"};

    if (reply->status == 0)
        return;
    (void)pthread_mutex_lock(&mu);
    load();
    begin(&look, reply);
    if (strcmp(look.media, "application/problem+json") == 0 && reply->json != NULL)
        look_at_response(&look);
    (void)pthread_mutex_unlock(&mu);
}

/* ---- the end ---- */

void description_skipped(void)
{
    (void)pthread_mutex_lock(&mu);
    load();
    note("skipped");
    (void)pthread_mutex_unlock(&mu);
}

char *description_difference(void)
{
    (void)pthread_mutex_lock(&mu);
    char *first = difference;
    difference = NULL;
    (void)pthread_mutex_unlock(&mu);
    return first;
}

void description_save(const char *name)
{
    const char *folder = getenv("RUNNEL_SEEN");
    char path[4096];
    const char *place = NULL;
    json_t *ignored = NULL;

    if (folder != NULL && folder[0] != '\0' && seen != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s.%ld", folder, name, (long)getpid());
        FILE *file = fopen(path, "we");
        if (file == NULL) {
            print_error("%s can not be written\n", path);
            abort();
        }
        json_object_foreach (seen, place, ignored)
            (void)fprintf(file, "%s\n", place);
        if (fclose(file) != 0)
            abort();
    }
    json_decref(seen);
    json_decref(document);
    free(difference);
    seen = NULL;
    document = NULL;
    difference = NULL;
}
