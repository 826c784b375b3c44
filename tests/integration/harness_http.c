/** \file HTTP by libcurl, JSON, and what the scenarios do with tasks. */
#include "harness_own.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "description.h"

enum { CALL_WITHIN_MS = 30000, HEADERS_MAX = 80, PATH_BYTES = 256 };

struct client {
    CURL *curl;
    uint16_t port;
    char authorization[128]; // "": none is sent
    const char *unix_path;   // NULL: by TCP
    const char *trusted;     // NULL: without TLS
    bool takes_any_answer;   // see client_take_any
};

/* ---- calls ---- */

struct client *client_new(uint16_t port)
{
    struct client *client = calloc(1, sizeof(*client));

    if (client == NULL)
        abort();
    client->curl = curl_easy_init();
    client->port = port;
    if (client->curl == NULL)
        abort();
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    free(client);
}

void client_port(struct client *client, uint16_t port)
{
    client->port = port;
}

void client_token(struct client *client, const char *token)
{
    int length = snprintf(client->authorization, sizeof(client->authorization),
                          "Authorization: Bearer %s", token);
    assert_in_range(length, 1, sizeof(client->authorization) - 1);
}

void client_take_any(struct client *client)
{
    client->takes_any_answer = true;
}

void client_unix(struct client *client, const char *path)
{
    client->unix_path = path;
}

void client_tls(struct client *client, const char *trusted_path)
{
    client->trusted = trusted_path;
}

static void set_address(const struct client *client, const char *path)
{
    char url[4096];

    if (client->unix_path != NULL) {
        (void)snprintf(url, sizeof(url), "http://localhost%s", path);
        (void)curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
    } else {
        (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s",
                       client->trusted != NULL ? "https" : "http", client->port, path);
    }
    if (client->trusted != NULL)
        (void)curl_easy_setopt(client->curl, CURLOPT_CAINFO, client->trusted);
    (void)curl_easy_setopt(client->curl, CURLOPT_URL, url); // copied
}

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
    return fwrite(bytes, size, count, arg) * size;
}

static void set_body(CURL *curl, const struct request *request)
{
    if (request->body_fn != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, -1L);
        (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, request->body_fn);
        (void)curl_easy_setopt(curl, CURLOPT_READDATA, request->body_arg);
    } else if (request->body != NULL || strcmp(request->method, "POST") == 0) {
        const char *body = request->body != NULL ? request->body : "";
        size_t length = request->body_bytes != 0 ? request->body_bytes : strlen(body);

        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);

    if (longer == NULL)
        abort();
    return longer;
}

static struct curl_slist *make_headers(const struct client *client, const struct request *request)
{
    bool has_body = request->body != NULL || request->body_fn != NULL;
    const char *type = request->content_type != NULL ? request->content_type
                       : has_body                    ? "application/json"
                                                     : "";
    char line[256];

    (void)snprintf(line, sizeof(line), "Content-Type:%s%s", type[0] != '\0' ? " " : "", type);
    struct curl_slist *list = add_header(NULL, line);
    list = add_header(list, "Expect:");
    if (request->body_fn != NULL)
        list = add_header(list, "Transfer-Encoding: chunked");
    if (client->authorization[0] != '\0')
        list = add_header(list, client->authorization);
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        list = add_header(list, request->headers[i]);
    return list;
}

struct reply *client_call(struct client *client, const struct request *request)
{
    CURL *curl = client->curl;
    struct reply *reply = calloc(1, sizeof(*reply));
    char error[CURL_ERROR_SIZE] = "";
    size_t head_bytes = 0;
    long status = 0, connects = 0;

    if (reply == NULL)
        abort();
    FILE *head = open_memstream(&reply->head, &head_bytes);
    FILE *body = open_memstream(&reply->body, &reply->body_bytes);
    struct curl_slist *headers = make_headers(client, request);
    if (head == NULL || body == NULL)
        abort();
    int64_t within_ms = (request->within_ms > 0 ? request->within_ms : CALL_WITHIN_MS) * slow();
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    set_address(client, request->path);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)within_ms);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, head);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (request->is_fresh) {
        (void)curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    }
    set_body(curl, request);
    if (strcmp(request->method, "HEAD") == 0)
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);

    int64_t began = now_ns();
    reply->curl = curl_easy_perform(curl);
    reply->took_ns = now_ns() - began;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connects);
    curl_slist_free_all(headers);
    (void)fclose(head);
    (void)fclose(body);
    // An answer that broke off is none.
    reply->status = reply->curl == CURLE_OK ? (int)status : 0;
    reply->is_new_connection = connects > 0;
    reply->json =
        json_loadb(reply->body, reply->body_bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (reply->curl != CURLE_OK) {
        free(reply->body);
        reply->body = strdup(error[0] != '\0' ? error : curl_easy_strerror(reply->curl));
        reply->body_bytes = reply->body != NULL ? strlen(reply->body) : 0;
    }
    if (!client->takes_any_answer)
        description_look(request, reply);
    return reply;
}

void reply_free(struct reply *reply)
{
    if (reply == NULL)
        return;
    json_decref(reply->json);
    free(reply->head);
    free(reply->body);
    free(reply);
}

static void reply_end(void *reply)
{
    reply_free(reply);
}

const char *reply_header(const struct reply *reply, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = reply->head; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1;

            value += strspn(value, " \t");
            return plain_text("%.*s", (int)strcspn(value, "\r\n"), value);
        }
    }
    return NULL;
}

struct reply *call_request(struct daemon *daemon, const struct request *request)
{
    struct reply *reply = client_call(daemon->client, request);

    keep_with(reply_end, reply);
    return reply;
}

struct reply *call(struct daemon *daemon, const char *method, const char *path, const char *body)
{
    return call_request(daemon, &(struct request){.method = method, .path = path, .body = body});
}

struct reply *get(struct daemon *daemon, const char *path)
{
    return call(daemon, "GET", path, NULL);
}

struct reply *harness_expect_status(struct reply *reply, int wanted, const char *file, int line)
{
    if (reply->status != wanted)
        harness_fail(file, line, "status %d, not %d: %.1500s", reply->status, wanted, reply->body);
    return reply;
}

struct reply *harness_expect_problem(struct reply *reply, int status, const char *code,
                                     const char *file, int line)
{
    const char *type = reply_header(reply, "Content-Type");

    harness_expect_status(reply, status, file, line);
    if (type == NULL || strncmp(type, "application/problem+json", 24) != 0)
        harness_fail(file, line, "Content-Type is %s", type != NULL ? type : "missing");
    if (reply->json == NULL)
        harness_fail(file, line, "no JSON: %.1500s", reply->body);
    harness_expect_text(reply->json, "code", code, file, line);
    harness_expect_text(reply->json, "type", plain_text("/problems/%s", code), file, line);
    harness_expect_number(reply->json, "status", status, file, line);
    if (text_at(reply->json, "title") == NULL || text_at(reply->json, "detail") == NULL)
        harness_fail(file, line, "no title or no detail: %s", reply->body);
    return reply;
}

bool has_pointer(const json_t *problem, const char *pointer)
{
    json_t *errors = json_object_get(problem, "errors");
    json_t *error = NULL;
    size_t i = 0;

    json_array_foreach (errors, i, error) {
        const char *value = json_string_value(json_object_get(error, "pointer"));
        const char *detail = json_string_value(json_object_get(error, "detail"));

        if (value != NULL && strcmp(value, pointer) == 0 && detail != NULL && detail[0] != '\0')
            return true;
    }
    return false;
}

/* ---- JSON ---- */

json_t *at(const json_t *json, const char *path)
{
    json_t *here = (json_t *)(uintptr_t)json;
    char word[PATH_BYTES];

    while (*path != '\0' && here != NULL) {
        size_t length = strcspn(path, ".");

        assert_true(length < sizeof(word));
        memcpy(word, path, length);
        word[length] = '\0';
        if (json_is_array(here))
            here = json_array_get(here, number_in(word, NULL));
        else
            here = json_object_get(here, word);
        path += length;
        path += *path == '.';
    }
    return here;
}

const char *text_at(const json_t *json, const char *path)
{
    return json_string_value(at(json, path));
}

int64_t number_at(const json_t *json, const char *path)
{
    json_t *value = at(json, path);

    if (json_is_null(value))
        return -1;
    if (!json_is_number(value)) {
        char *dump = json_dumps(json, 0);

        harness_fail(__FILE__, __LINE__, "no number at '%s' of %s", path, dump);
    }
    return (int64_t)json_number_value(value);
}

void harness_expect_text(const json_t *json, const char *path, const char *wanted, const char *file,
                         int line)
{
    const char *value = text_at(json, path);

    if ((value == NULL) != (wanted == NULL) || (value != NULL && strcmp(value, wanted) != 0))
        harness_fail(file, line, "'%s' is %s, not %s, in %s", path,
                     value != NULL ? value : "no text", wanted != NULL ? wanted : "null",
                     (char *)keep(json_dumps(json, 0)));
}

void harness_expect_number(const json_t *json, const char *path, int64_t wanted, const char *file,
                           int line)
{
    json_t *value = at(json, path);

    if (!json_is_number(value) || (int64_t)json_number_value(value) != wanted)
        harness_fail(file, line, "'%s' is not %lld in %s", path, (long long)wanted,
                     (char *)keep(json_dumps(json, 0)));
}

int64_t instant_at(const json_t *json, const char *path)
{
    const char *value = text_at(json, path);
    struct tm parts = {0};

    if (value == NULL) {
        assert_true(json_is_null(at(json, path)));
        return 0;
    }
    const char *rest = strptime(value, "%Y-%m-%dT%H:%M:%S.", &parts);
    const char *end = NULL;
    int64_t ms = rest != NULL ? (int64_t)number_in(rest, &end) : -1;
    if (rest == NULL || end != rest + 3 || strcmp(end, "Z") != 0)
        harness_fail(__FILE__, __LINE__, "no instant: %s", value);
    return (int64_t)timegm(&parts) * 1000 + ms;
}

/* ---- tasks ---- */

uint64_t submit(struct daemon *daemon, const char *format, ...)
{
    va_list list;
    char *body = NULL;

    va_start(list, format);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (vasprintf(&body, quoted(format), list) < 0)
        fail_msg("no memory");
#pragma GCC diagnostic pop
    va_end(list);
    keep(body);
    struct reply *reply = expect_status(call(daemon, "POST", "/v1/tasks", body), 201);
    return (uint64_t)number_at(reply->json, "id");
}

uint64_t submit_many(struct daemon *daemon, unsigned count, const char *body)
{
    const char *one = quoted(body);
    char *all = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&all, &size);

    assert_non_null(stream);
    for (unsigned i = 0; i < count; i++)
        (void)fprintf(stream, "%c%s", i == 0 ? '[' : ',', one);
    (void)fputc(']', stream);
    (void)fclose(stream);
    struct reply *reply = expect_status(call(daemon, "POST", "/v1/tasks", keep(all)), 201);
    expect_number(reply->json, "count", count);
    return (uint64_t)number_at(reply->json, "ids.0");
}

json_t *task(struct daemon *daemon, uint64_t id)
{
    return expect_status(get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)id)), 200)
        ->json;
}

bool is_final(const char *state)
{
    return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

json_t *await_end(struct daemon *daemon, uint64_t id)
{
    int64_t until = now_ms() + 60000LL * slow();
    json_t *json = NULL;

    do {
        const char *path = plain_text("/v1/tasks/%llu?wait=10s", (unsigned long long)id);

        json = expect_status(get(daemon, path), 200)->json;
        if (is_final(text_at(json, "state")))
            return json;
    } while (now_ms() < until);
    harness_fail(__FILE__, __LINE__, "it does not end: %s", json_dumps(json, 0));
}

json_t *await_state(struct daemon *daemon, uint64_t id, const char *state)
{
    int64_t until = now_ms() + 30000LL * slow();
    json_t *json = NULL;

    do {
        json = task(daemon, id);
        if (strcmp(text_at(json, "state"), state) == 0)
            return json;
        breathe();
    } while (now_ms() < until);
    harness_fail(__FILE__, __LINE__, "it does not become %s: %s", state, json_dumps(json, 0));
}

json_t *harness_expect_end(struct daemon *daemon, uint64_t id, const char *state, const char *code,
                           const char *file, int line)
{
    json_t *json = await_end(daemon, id);

    harness_expect_text(json, "state", state, file, line);
    if (code != NULL)
        harness_expect_text(json, "error.code", code, file, line);
    else if (!json_is_null(at(json, "error")))
        harness_fail(file, line, "it has an error: %s", json_dumps(json, 0));
    return json;
}

unsigned count_tasks(struct daemon *daemon, const char *query)
{
    const char *path = plain_text("/v1/tasks?%slimit=1000", query);
    unsigned count = 0;

    for (;;) {
        json_t *page = expect_status(get(daemon, path), 200)->json;
        const char *next = text_at(page, "next");

        count += (unsigned)json_array_size(at(page, "tasks"));
        if (next == NULL)
            return count;
        path = plain_text("/v1/tasks?%slimit=1000&cursor=%s", query, next);
    }
}

json_t *queue(struct daemon *daemon, const char *name)
{
    return expect_status(get(daemon, plain_text("/v1/queues/%s", name)), 200)->json;
}
