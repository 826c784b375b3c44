/* The gate. What is measured of libmicrohttpd 0.9.75, and why each check is here:
 *
 * - Of two Content-Length fields it takes the first, with Content-Length and Transfer-Encoding it
 * takes the latter, and it ignores codings that it does not know: then what is left of the body is
 * run as the next request.
 * - A space before the colon stays in the name, and a folded `Content-Length:` becomes a field
 * named Content-Length123: both are lost.
 * - The bytes of a header are bounded only by the connection's memory.
 * - What it refuses by itself before the gate (HTTP/1.1 without Host, a Content-Length that is no
 * number) it answers with the answer's header twice, and closes. That can't be helped from here:
 * nothing is asked before.
 */
#include "api/framing.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/units.h"

static void fault(struct head *head, enum problem problem, const char *format, ...) RN_PRINTF(3, 4);

/* The first fault counts. */
static void fault(struct head *head, enum problem problem, const char *format, ...)
{
    va_list list;

    if (head->has_fault)
        return;
    head->has_fault = true;
    head->problem = problem;
    va_start(list, format);
    (void)vsnprintf(head->detail, sizeof(head->detail), format, list);
    va_end(list);
}

static bool is_hex(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
           (byte >= 'A' && byte <= 'F');
}

void framing_url(struct head *head, const char *url, size_t length)
{
    head->bytes += length;
    if (length > head->limits->max_url) {
        fault(head, PROBLEM_URL_TOO_LONG,
              "the URL has %zu bytes, at most %zu are allowed (max_url)", length,
              head->limits->max_url);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)url[i];
        if (byte <= 0x20 || byte >= 0x7F) {
            fault(head, PROBLEM_FRAMING,
                  "the URL has a byte that must be percent-encoded, at position %zu", i + 1);
            return;
        }
        if (byte != '%')
            continue;
        if (length - i < 3 || !is_hex(url[i + 1]) || !is_hex(url[i + 2])) {
            fault(head, PROBLEM_FRAMING,
                  "the URL has a %% that two hexadecimal digits do not follow, at position %zu",
                  i + 1);
            return;
        }
        if (url[i + 1] == '0' && url[i + 2] == '0') {
            fault(head, PROBLEM_FRAMING, "the URL has a NUL (%%00), at position %zu", i + 1);
            return;
        }
    }
}

/* The fields that are looked at. Each may stand there once. */
enum known {
    KNOWN_HOST,
    KNOWN_TYPE,
    KNOWN_LENGTH,
    KNOWN_CODING,
    KNOWN_ORIGIN,
    KNOWN_SITE,
    KNOWN_KEY,
    KNOWN_AUTHORIZATION,
    KNOWN_COUNT
};

static const struct {
    const char *name;
    size_t length;
} known_fields[KNOWN_COUNT] = {
    [KNOWN_HOST] = {"Host", 4},
    [KNOWN_TYPE] = {"Content-Type", 12},
    [KNOWN_LENGTH] = {"Content-Length", 14},
    [KNOWN_CODING] = {"Transfer-Encoding", 17},
    [KNOWN_ORIGIN] = {"Origin", 6},
    [KNOWN_SITE] = {"Sec-Fetch-Site", 14},
    [KNOWN_KEY] = {"Idempotency-Key", 15},
    [KNOWN_AUTHORIZATION] = {"Authorization", 13},
};

static const char **known_value(struct head *head, enum known known)
{
    switch (known) {
    case KNOWN_HOST:
        return &head->host;
    case KNOWN_TYPE:
        return &head->content_type;
    case KNOWN_LENGTH:
        return &head->content_length;
    case KNOWN_CODING:
        return &head->transfer_encoding;
    case KNOWN_ORIGIN:
        return &head->origin;
    case KNOWN_SITE:
        return &head->fetch_site;
    case KNOWN_KEY:
        return &head->key;
    case KNOWN_AUTHORIZATION:
        return &head->authorization;
    default:
        return NULL;
    }
}

static bool is_token_byte(unsigned char byte)
{
    // RFC 9110, 5.6.2: visible characters without the delimiters.
    return byte > 0x20 && byte < 0x7F && strchr("\"(),/:;<=>?@[\\]{}", byte) == NULL;
}

/* A name that is not exactly one of those that tell where the request ends, but begins like it. */
static bool is_disguise(const char *name, size_t length)
{
    static const enum known lengths[] = {KNOWN_LENGTH, KNOWN_CODING};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t known_length = known_fields[lengths[i]].length;
        if (length > known_length &&
            strncasecmp(name, known_fields[lengths[i]].name, known_length) == 0)
            return true;
    }
    return false;
}

static void take_known(struct head *head, const char *name, size_t length, const char *value)
{
    for (unsigned i = 0; i < KNOWN_COUNT; i++) {
        if (known_fields[i].length != length ||
            strncasecmp(known_fields[i].name, name, length) != 0)
            continue;
        if ((head->seen & (1U << i)) != 0)
            fault(head, PROBLEM_FRAMING, "the header field %s stands there twice",
                  known_fields[i].name);
        head->seen |= 1U << i;
        const char **to = known_value(head, (enum known)i);
        if (to != NULL)
            *to = value;
        return;
    }
}

void framing_field(struct head *head, const char *name, size_t name_length, const char *value,
                   size_t value_length)
{
    head->field_count++;
    head->bytes += name_length + value_length + 4; // the colon, a space and the line's end
    if (head->has_fault)
        return;

    bool is_token = name_length > 0;
    for (size_t i = 0; i < name_length && is_token; i++)
        is_token = is_token_byte((unsigned char)name[i]);
    if (!is_token || is_disguise(name, name_length)) {
        fault(head, PROBLEM_FRAMING, "the name of header field %zu is malformed",
              head->field_count);
        return;
    }
    for (size_t i = 0; i < value_length; i++) {
        unsigned char byte = (unsigned char)value[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) {
            fault(head, PROBLEM_FRAMING, "header field %zu has a control byte in its value",
                  head->field_count);
            return;
        }
    }
    take_known(head, name, name_length, value);
}

static void check_length(struct head *head)
{
    // Digits alone; more than fits a body is too large, not malformed.
    size_t digits = strspn(head->content_length, "0123456789");
    if (digits == 0 || head->content_length[digits] != '\0') {
        fault(head, PROBLEM_FRAMING, "Content-Length must be decimal digits alone");
        return;
    }
    if (units_unsigned(head->content_length, UINT64_C(1) << 62, &head->body_bytes) < 0)
        head->body_bytes = UINT64_MAX;
    head->has_body = head->body_bytes > 0;
}

static void check_coding(struct head *head, bool is_old)
{
    if (head->content_length != NULL) {
        fault(head, PROBLEM_FRAMING, "Content-Length and Transfer-Encoding do not go together");
        return;
    }
    if (is_old || strcasecmp(head->transfer_encoding, "chunked") != 0) {
        fault(head, PROBLEM_FRAMING,
              "the only transfer coding understood is `chunked`, in HTTP/1.1");
        return;
    }
    head->has_body = true;
    head->is_chunked = true;
}

bool framing_check(struct head *head, const char *method, const char *version)
{
    head->bytes += strlen(method) + strlen(version) + 4;
    if (head->field_count > head->limits->max_headers)
        fault(head, PROBLEM_HEADERS_TOO_LARGE,
              "the request has %zu header fields, at most %u are allowed (max_headers)",
              head->field_count, head->limits->max_headers);
    if (head->bytes > head->limits->max_header)
        fault(head, PROBLEM_HEADERS_TOO_LARGE,
              "first line and header fields have %zu bytes, at most %zu are allowed (max_header)",
              head->bytes, head->limits->max_header);

    bool is_old = strcmp(version, "HTTP/1.0") == 0;
    if (!is_old && strcmp(version, "HTTP/1.1") != 0)
        fault(head, PROBLEM_FRAMING, "the HTTP version must be 1.1 or 1.0");
    if (head->content_length != NULL)
        check_length(head);
    if (head->transfer_encoding != NULL)
        check_coding(head, is_old);
    return !head->has_fault;
}

static void add_host(struct framing_hosts *hosts, const char *name, uint16_t port)
{
    (void)snprintf(hosts->names[hosts->count++], sizeof(hosts->names[0]), "%s:%u", name, port);
    if (port == 80 || port == 443) // which clients leave out
        (void)snprintf(hosts->names[hosts->count++], sizeof(hosts->names[0]), "%s", name);
}

void framing_hosts(struct framing_hosts *hosts, const char *listen_host, uint16_t port)
{
    char bracketed[100];

    hosts->count = 0;
    add_host(hosts, "127.0.0.1", port);
    add_host(hosts, "localhost", port);
    add_host(hosts, "[::1]", port);
    // An address that stands for all is no name: browsers take 0.0.0.0 for this machine.
    if (strcmp(listen_host, "0.0.0.0") == 0 || strcmp(listen_host, "::") == 0)
        return;
    (void)snprintf(bracketed, sizeof(bracketed), "[%s]", listen_host);
    add_host(hosts, strchr(listen_host, ':') != NULL ? bracketed : listen_host, port);
}

bool framing_host(struct head *head, const struct framing_hosts *hosts, char *const *further)
{
    bool is_known = false;

    for (size_t i = 0; i < hosts->count && head->host != NULL && !is_known; i++)
        is_known = strcasecmp(hosts->names[i], head->host) == 0;
    for (size_t i = 0; further != NULL && further[i] != NULL && head->host != NULL && !is_known;
         i++)
        is_known = strcasecmp(further[i], head->host) == 0;
    if (!is_known)
        fault(head, PROBLEM_FORBIDDEN,
              "the Host header must be one of %s, %s, %s and those of the setting hosts, exactly",
              hosts->names[0], hosts->names[1], hosts->names[2]);
    return !head->has_fault;
}

bool framing_origin(struct head *head)
{
    if (head->origin != NULL)
        fault(head, PROBLEM_FORBIDDEN,
              "the request has an Origin header: web pages may not call this API");
    if (head->fetch_site != NULL && strcasecmp(head->fetch_site, "none") != 0)
        fault(head, PROBLEM_FORBIDDEN,
              "Sec-Fetch-Site must be none: web pages may not call this API");
    return !head->has_fault;
}

/* Whether what follows the media type is nothing, or a charset that means UTF-8. */
static bool is_utf8_parameter(const char *text)
{
    text += strspn(text, " \t");
    if (*text == '\0')
        return true;
    if (*text != ';')
        return false;
    text++;
    text += strspn(text, " \t");
    if (*text == '\0')
        return true;
    if (strncasecmp(text, "charset=", 8) != 0)
        return false;
    text += 8;
    bool is_quoted = *text == '"';
    text += is_quoted;
    if (strncasecmp(text, "utf-8", 5) != 0)
        return false;
    text += 5;
    if (is_quoted && *text++ != '"')
        return false;
    text += strspn(text, " \t");
    return *text == '\0';
}

enum framing_media framing_media(const char *content_type)
{
    static const struct {
        const char *name;
        enum framing_media media;
    } types[] = {{"application/json", MEDIA_JSON}, {"application/x-ndjson", MEDIA_NDJSON}};

    if (content_type == NULL)
        return MEDIA_NONE;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t length = strlen(types[i].name);
        if (strncasecmp(content_type, types[i].name, length) == 0 &&
            is_utf8_parameter(content_type + length))
            return types[i].media;
    }
    return MEDIA_OTHER;
}

int framing_key(const char *value, char *text)
{
    bool is_quoted = value[0] == '"';
    size_t used = 0;

    for (value += is_quoted; *value != '\0'; value++) {
        unsigned char byte = (unsigned char)*value;
        if (is_quoted && byte == '"')
            break;
        if (is_quoted && byte == '\\') {
            byte = (unsigned char)*++value;
            if (byte != '"' && byte != '\\')
                return -EINVAL;
        }
        if (byte <= 0x20 || byte >= 0x7F || used == 255)
            return -EINVAL;
        text[used++] = (char)byte;
    }
    if (used == 0 || (is_quoted && (*value != '"' || value[1] != '\0')))
        return -EINVAL;
    text[used] = '\0';
    return 0;
}
