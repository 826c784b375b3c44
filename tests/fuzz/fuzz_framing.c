/* A request's header: what is let through is what a strict reading of RFC 9112 takes, with the same
 * end of the body; and nothing that it takes is refused. The input is a header, its lines ended by
 * LF. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/framing.h"
#include "fuzz.h"

enum {
    FIELDS_MAX = 100,
    URL_MAX = 300,
    FIELDS_ALLOWED = 20,
    HEADER_MAX = 3000,
    LENGTH_DIGITS = 18
};

struct field {
    const char *name, *value;
    size_t name_length, value_length;
};

struct header {
    const char *method, *url, *version;
    struct field fields[FIELDS_MAX];
    size_t count, bytes;
};

/* ---- the strict reading ---- */

static const char digits[] = "0123456789";
static const char token_bytes[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool is_named(const struct field *field, const char *name)
{
    return field->name_length == strlen(name) &&
           strncasecmp(field->name, name, field->name_length) == 0;
}

static bool begins(const struct field *field, const char *name)
{
    return field->name_length > strlen(name) && strncasecmp(field->name, name, strlen(name)) == 0;
}

static const struct field *only(const struct header *header, const char *name, bool *is_sound)
{
    const struct field *found = NULL;

    for (size_t i = 0; i < header->count; i++) {
        if (!is_named(&header->fields[i], name))
            continue;
        if (found != NULL)
            *is_sound = false;
        found = &header->fields[i];
    }
    return found;
}

static bool field_is_sound(const struct field *field)
{
    if (field->name_length == 0 || strspn(field->name, token_bytes) < field->name_length ||
        begins(field, "content-length") || begins(field, "transfer-encoding"))
        return false;
    for (size_t i = 0; i < field->value_length; i++) {
        unsigned char byte = (unsigned char)field->value[i];
        if (byte == 0x7F || (byte < ' ' && byte != '\t'))
            return false;
    }
    return true;
}

static bool url_is_sound(const char *url)
{
    static const char hex[] = "0123456789abcdefABCDEF";

    for (size_t i = 0; url[i] != '\0'; i++) {
        if (url[i] <= ' ' || url[i] > '~')
            return false;
        if (url[i] == '%' &&
            (url[i + 1] == '\0' || strchr(hex, url[i + 1]) == NULL || url[i + 2] == '\0' ||
             strchr(hex, url[i + 2]) == NULL || (url[i + 1] == '0' && url[i + 2] == '0')))
            return false;
    }
    return strlen(url) <= URL_MAX;
}

static bool header_is_sound(const struct header *header)
{
    static const char *const once[] = {"host",          "content-type",      "content-length",
                                       "origin",        "transfer-encoding", "sec-fetch-site",
                                       "authorization", "idempotency-key"};
    bool is_old = strcmp(header->version, "HTTP/1.0") == 0;
    bool is_sound = is_old || strcmp(header->version, "HTTP/1.1") == 0;

    for (size_t i = 0; i < header->count; i++)
        is_sound = field_is_sound(&header->fields[i]) && is_sound;
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
        (void)only(header, once[i], &is_sound);
    const struct field *length = only(header, "content-length", &is_sound);
    const struct field *coding = only(header, "transfer-encoding", &is_sound);
    if (length != NULL &&
        (length->value_length == 0 || strspn(length->value, digits) != length->value_length))
        is_sound = false;
    if (coding != NULL && (length != NULL || is_old || strcasecmp(coding->value, "chunked") != 0))
        is_sound = false;
    return is_sound && url_is_sound(header->url) && header->count <= FIELDS_ALLOWED &&
           header->bytes <= HEADER_MAX;
}

/* ---- the input ---- */

/* Cuts a text at the first of these bytes. What stands behind it; "": nothing. */
static char *cut(char *text, const char *bytes)
{
    char *at = strpbrk(text, bytes);

    if (at == NULL)
        return text + strlen(text);
    *at = '\0';
    return at + 1;
}

static void read_header(char *text, size_t length, struct header *header)
{
    char *end = text + length;
    char *line = text;
    char *next = memchr(text, '\n', length);

    if (next != NULL)
        *next++ = '\0';
    header->method = line;
    header->url = line = cut(line, " ");
    header->version = cut(line, " ");
    header->bytes = strlen(header->method) + strlen(header->url) + strlen(header->version) + 4;
    while (next != NULL && header->count < FIELDS_MAX) {
        struct field *field = &header->fields[header->count++];
        line = next;
        next = memchr(line, '\n', (size_t)(end - line));
        if (next != NULL)
            *next++ = '\0';
        // A value may have a NUL in it: its length is told beside it.
        size_t line_length = (size_t)((next != NULL ? next - 1 : end) - line);
        char *colon = memchr(line, ':', line_length);
        field->name = line;
        field->name_length = colon != NULL ? (size_t)(colon - line) : line_length;
        field->value = line + line_length;
        if (colon != NULL)
            field->value = colon[1] == ' ' ? colon + 2 : colon + 1;
        field->value_length = (size_t)(line + line_length - field->value);
        header->bytes += field->name_length + field->value_length + 4;
    }
}

/* ---- what holds ---- */

static void body_ends_where_it_is_read_to_end(const struct head *head, const struct header *header)
{
    bool is_sound = true;
    const struct field *length = only(header, "content-length", &is_sound);
    bool is_chunked = only(header, "transfer-encoding", &is_sound) != NULL;
    uint64_t bytes = 0;

    HOLDS(head->is_chunked == is_chunked);
    if (length == NULL) {
        HOLDS(head->has_body == is_chunked);
        return;
    }
    size_t zeros = strspn(length->value, "0");
    if (length->value_length - zeros > LENGTH_DIGITS) {
        HOLDS(head->has_body && head->body_bytes > UINT64_C(99999999999999999));
        return;
    }
    for (size_t i = 0; i < length->value_length; i++)
        bytes = bytes * 10 + (uint64_t)(length->value[i] - '0');
    HOLDS(head->body_bytes == bytes && head->has_body == (bytes > 0));
}

static void origin_is_as_it_is_read(struct head *head, const struct header *header)
{
    static char name[] = "tasks.example:8443";
    static char *const further[] = {name, NULL};
    bool is_sound = true;
    struct framing_hosts hosts;
    bool is_known = false;
    const struct field *host = only(header, "host", &is_sound);
    const struct field *site = only(header, "sec-fetch-site", &is_sound);
    const struct field *origin = only(header, "origin", &is_sound);

    framing_hosts(&hosts, "192.0.2.7", 80);
    for (size_t i = 0; i < hosts.count && host != NULL; i++)
        is_known = is_known || strcasecmp(host->value, hosts.names[i]) == 0;
    is_known = is_known || (host != NULL && strcasecmp(host->value, further[0]) == 0);
    HOLDS(framing_host(head, &hosts, further) == is_known);
    bool is_own = origin == NULL && (site == NULL || strcasecmp(site->value, "none") == 0);
    HOLDS(framing_origin(head) == (is_known && is_own));
}

/* What was taken is taken again, as it is and in quotes, and is the same. */
static void a_key_comes_back(const char *value)
{
    char key[256];
    char again[256];
    char quoted[2 * sizeof(key) + 3] = "\"";
    size_t used = 1;

    if (framing_key(value, key) < 0)
        return;
    HOLDS(strlen(key) >= 1 && strlen(key) <= 255);
    for (size_t i = 0; key[i] != '\0'; i++) {
        HOLDS(key[i] > ' ' && key[i] <= '~');
        if (key[i] == '"' || key[i] == '\\')
            quoted[used++] = '\\';
        quoted[used++] = key[i];
    }
    quoted[used++] = '"';
    HOLDS(framing_key(quoted, again) == 0 && strcmp(key, again) == 0);
    if (key[0] != '"')
        HOLDS(framing_key(key, again) == 0 && strcmp(key, again) == 0);
}

static void a_media_type_is_plain(const char *value)
{
    enum framing_media media = framing_media(value);
    const char *name = media == MEDIA_JSON ? "application/json" : "application/x-ndjson";

    if (media != MEDIA_JSON && media != MEDIA_NDJSON)
        return;
    HOLDS(strncasecmp(value, name, strlen(name)) == 0);
    HOLDS(strspn(value + strlen(name), " \t;=\"charsetuf-8CHARSETUF") ==
          strlen(value + strlen(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config_limits limits = {
        .max_url = URL_MAX, .max_headers = FIELDS_ALLOWED, .max_header = HEADER_MAX};
    struct head head = {.limits = &limits};
    struct header header = {.count = 0};
    char *text = fuzz_copy(data, size);

    read_header(text, size, &header);
    framing_url(&head, header.url, strlen(header.url));
    for (size_t i = 0; i < header.count; i++) {
        const struct field *field = &header.fields[i];
        framing_field(&head, field->name, field->name_length, field->value, field->value_length);
        a_key_comes_back(field->value);
        a_media_type_is_plain(field->value);
    }
    bool is_taken = framing_check(&head, header.method, header.version);
    HOLDS(is_taken == header_is_sound(&header));
    HOLDS(is_taken == !head.has_fault);
    HOLDS(is_taken || head.detail[0] != '\0');
    if (is_taken) {
        body_ends_where_it_is_read_to_end(&head, &header);
        origin_is_as_it_is_read(&head, &header);
    }
    free(text);
    return 0;
}
