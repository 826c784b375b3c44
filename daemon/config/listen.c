/* The addresses that are listened on: `listen`, and the mode and group of unix sockets. Addresses
 * are numeric (but for localhost): no name is looked up, so what is listened on does not depend on
 * a name server. Whether an address may be listened on is asked in config.c, once all are known. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/internal.h"

enum { GROUP_BYTES_MAX = 1 << 16 };
static const char unix_mark[] = "unix:";
static const char wanted[] = "an address and a port such as \"127.0.0.1:7733\" or \"[::1]:7733\", "
                             "or \"unix:/run/runnel/runneld.sock\"";

bool config_host_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    RN_ASSERT(host != NULL);
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

void config_listener_text(const struct config_listener *listener, char *ret_text, size_t size)
{
    RN_ASSERT(listener != NULL);
    if (listener->sort == CONFIG_LISTEN_UNIX)
        (void)snprintf(ret_text, size, "%s%s", unix_mark, listener->path);
    else if (strchr(listener->host, ':') != NULL)
        (void)snprintf(ret_text, size, "[%s]:%u", listener->host, (unsigned)listener->port);
    else
        (void)snprintf(ret_text, size, "%s:%u", listener->host, (unsigned)listener->port);
}

/* Splits "127.0.0.1:80" and "[::1]:80". */
static bool split_address(const char *text, char host[static 64], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || units_unsigned(colon + 1, UINT16_MAX, &port) < 0)
        return false;

    const char *start = text;
    const char *end = colon;
    bool has_brackets = end - start >= 2 && *start == '[' && end[-1] == ']';
    if (has_brackets) {
        start++;
        end--;
    }
    size_t length = (size_t)(end - start);
    if (length == 0 || length >= 64 || (!has_brackets && memchr(start, ':', length) != NULL))
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

/* false: a fault was added. */
static bool take_tcp(struct loader *loader, const struct setting *setting,
                     const struct value *value, const char *text, struct config_listener *listener)
{
    struct in_addr four;
    struct in6_addr six;

    if (strlen(text) >= sizeof(listener->text) ||
        !split_address(text, listener->host, &listener->port)) {
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", wanted, text);
        return false;
    }
    listener->sort = CONFIG_LISTEN_TCP;
    if (strcmp(listener->host, "localhost") == 0)
        memcpy(listener->host, "127.0.0.1", sizeof("127.0.0.1"));
    if (inet_pton(AF_INET, listener->host, &four) != 1 &&
        inet_pton(AF_INET6, listener->host, &six) != 1) {
        fault_value(loader, setting, value,
                    "must be %s; names other than localhost are not looked up, not \"%.60s\"",
                    wanted, text);
        return false;
    }
    listener->is_loopback = config_host_is_loopback(listener->host);
    memcpy(listener->text, text, strlen(text) + 1);
    return true;
}

/* path: what stands behind "unix:". false: a fault was added. */
static bool take_unix(struct loader *loader, const struct setting *setting,
                      const struct value *value, const char *path, struct config_listener *listener)
{
    char folder[PATH_MAX];

    if (path[0] == '\0' || path[strlen(path) - 1] == '/') {
        fault_value(loader, setting, value, "must be %s, not \"unix:%.60s\"", wanted, path);
        return false;
    }
    if (!settings_folder(loader, path, "RUNTIME_DIRECTORY", folder)) {
        fault_value(loader, setting, value, "is in a folder that does not exist: \"unix:%.60s\"",
                    path);
        return false;
    }
    if (strlen(folder) + strlen(path) >= sizeof(listener->path)) {
        fault_value(loader, setting, value,
                    "has a unix socket whose path has %zu bytes, at most %zu are possible: "
                    "\"%.80s%.80s\"",
                    strlen(folder) + strlen(path), sizeof(listener->path) - 1, folder, path);
        return false;
    }
    listener->sort = CONFIG_LISTEN_UNIX;
    memcpy(listener->path, folder, strlen(folder));
    memcpy(listener->path + strlen(folder), path, strlen(path) + 1);
    config_listener_text(listener, listener->text, sizeof(listener->text));
    return true;
}

static bool is_same(const struct config_listener *a, const struct config_listener *b)
{
    if (a->sort != b->sort)
        return false;
    if (a->sort == CONFIG_LISTEN_UNIX)
        return strcmp(a->path, b->path) == 0;
    return a->port != 0 && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void take_address(struct loader *loader, const struct setting *setting,
                         const struct value *value, const char *text)
{
    struct config *config = loader->config;
    struct config_listener listener = {.port = 0};
    size_t mark_bytes = sizeof(unix_mark) - 1;

    bool is_unix = strncmp(text, unix_mark, mark_bytes) == 0;
    if (is_unix ? !take_unix(loader, setting, value, text + mark_bytes, &listener)
                : !take_tcp(loader, setting, value, text, &listener))
        return;
    for (size_t i = 0; i < config->listener_count; i++) {
        if (is_same(&config->listeners[i], &listener)) {
            fault_value(loader, setting, value, "has \"%.80s\" twice", listener.text);
            return;
        }
    }
    if (config->listener_count == CONFIG_LISTENERS_MAX) {
        fault_value(loader, setting, value, "has more than %d addresses", CONFIG_LISTENERS_MAX);
        return;
    }
    config->listeners[config->listener_count++] = listener;
}

/* -o has several with commas between them. */
static void take_commas(struct loader *loader, const struct setting *setting,
                        const struct value *value)
{
    char part[256];

    for (const char *from = value->text;; from++) {
        size_t length = strcspn(from, ",");
        (void)snprintf(part, sizeof(part), "%.*s",
                       length < sizeof(part) ? (int)length : (int)sizeof(part) - 1, from);
        take_address(loader, setting, value, part);
        from += length;
        if (*from == '\0')
            break;
    }
}

void listen_set(struct loader *loader, const struct setting *setting, const struct value *value,
                void *object)
{
    struct config *config = object;
    int type = value->setting != NULL ? config_setting_type(value->setting) : CONFIG_TYPE_STRING;
    bool is_list = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;

    config->listener_count = 0;
    loader->listen_at = value->setting;
    if (value->setting == NULL) {
        take_commas(loader, setting, value);
    } else if (!is_list) {
        const char *text = settings_string(loader, setting, value, wanted);
        if (text != NULL)
            take_address(loader, setting, value, text);
    } else if (config_setting_length(value->setting) == 0) {
        fault_value(loader, setting, value, "must name at least one address");
    } else {
        for (int i = 0; i < config_setting_length(value->setting); i++) {
            const struct value element = {.setting =
                                              config_setting_get_elem(value->setting, (unsigned)i)};
            const char *text = settings_string(loader, setting, &element, wanted);
            if (text != NULL)
                take_address(loader, setting, &element, text);
        }
    }
}

void listen_set_mode(struct loader *loader, const struct setting *setting,
                     const struct value *value, void *object)
{
    static const char what[] = "permissions as an octal number in quotes, such as \"0660\"";
    struct config *config = object;
    const char *text = settings_string(loader, setting, value, what);
    unsigned mode = 0;

    if (text == NULL)
        return;
    size_t length = strlen(text);
    if (length < 3 || length > 4 || strspn(text, "01234567") != length) {
        fault_value(loader, setting, value, "must be %s, not \"%.60s\"", what, text);
        return;
    }
    for (const char *digit = text; *digit != '\0'; digit++)
        mode = mode * 8 + (unsigned)(*digit - '0');
    if (mode > setting->max) {
        fault_value(loader, setting, value, "must be from \"0000\" to \"0777\", not \"%.60s\"",
                    text);
        return;
    }
    config->socket_mode = mode;
}

void listen_set_group(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    struct config *config = object;
    const char *text = settings_string(loader, setting, value, "a group's name");
    struct group group;
    struct group *found = NULL;
    int r = ERANGE;

    if (text == NULL)
        return;
    for (size_t bytes = 1024; r == ERANGE && bytes <= GROUP_BYTES_MAX; bytes *= 4) {
        char *members = malloc(bytes);
        if (members == NULL) {
            loader->no_memory = true;
            return;
        }
        r = getgrnam_r(text, &group, members, bytes, &found);
        if (r == 0 && found != NULL)
            config->socket_gid = group.gr_gid;
        free(members);
    }
    if (r != 0 || found == NULL) {
        fault_value(loader, setting, value, "must be a group of this system, not \"%.60s\"%s%s",
                    text, r != 0 ? ": " : "", r != 0 ? faults_system_error(r) : "");
        return;
    }
    char *copy = loader_strdup(loader, text);
    if (copy == NULL)
        return;
    free(config->socket_group);
    config->socket_group = copy;
}
