/* Who may call: the settings that say so, and the one rule over them and the listening address. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

enum { HOSTS_MAX = 16, HOST_BYTES_MAX = 255 };

void access_set_token_file(struct loader *loader, const struct setting *setting,
                           const struct value *value, void *object)
{
    struct config *config = object;
    settings_set_path(loader, setting, value, secret_path, &config->token_file);
}

/* ---- hosts ---- */

/* Whether the length bytes are an address in brackets. */
static bool is_v6(const char *text, size_t length)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr six;

    if (length < 4 || length - 2 >= sizeof(address) || text[0] != '[' || text[length - 1] != ']')
        return false;
    memcpy(address, text + 1, length - 2);
    address[length - 2] = '\0';
    return inet_pton(AF_INET6, address, &six) == 1;
}

/* A name or an address, with a port or without: RFC 9110, 7.2, less what no client sends. */
static bool is_host(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *bracket = strrchr(text, ']');
    const char *colon = strrchr(bracket != NULL ? bracket : text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    uint64_t port = 0;

    if (length == 0 || strlen(text) > HOST_BYTES_MAX)
        return false;
    if (colon != NULL && (colon[1] == '0' || units_unsigned(colon + 1, UINT16_MAX, &port) < 0))
        return false;
    return is_v6(text, length) || strspn(text, letters) == length;
}

/* Takes one into a list that has room for it. */
static void add_host(struct loader *loader, const struct setting *setting,
                     const struct value *value, struct config *config, size_t *count)
{
    const char *text = settings_string(loader, setting, value, "a list of texts");

    if (text == NULL)
        return;
    if (!is_host(text)) {
        fault_value(loader, setting, value,
                    "must be names such as \"runnel.example.org\" or \"10.0.0.5:7733\", not "
                    "\"%.60s\"",
                    text);
        return;
    }
    config->hosts[*count] = loader_strdup(loader, text);
    *count += config->hosts[*count] != NULL;
}

void access_set_hosts(struct loader *loader, const struct setting *setting,
                      const struct value *value, void *object)
{
    struct config *config = object;
    const config_setting_t *list = value->setting;
    int type = list != NULL ? config_setting_type(list) : CONFIG_TYPE_NONE;
    bool is_list = type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
    int count = is_list ? config_setting_length(list) : 1; // -o has one
    size_t used = 0;

    if ((list != NULL && !is_list) || count > HOSTS_MAX) {
        fault_value(loader, setting, value,
                    "must be a list of at most %d names such as [\"runnel.example.org\"]",
                    HOSTS_MAX);
        return;
    }
    for (char **host = config->hosts; host != NULL && *host != NULL; host++)
        free(*host);
    free(config->hosts);
    config->hosts = loader_calloc(loader, (size_t)count, sizeof(*config->hosts));
    for (int i = 0; i < count && config->hosts != NULL; i++) {
        const struct value element = {
            .setting = is_list ? config_setting_get_elem(list, (unsigned)i) : NULL,
            .text = value->text};
        add_host(loader, setting, &element, config, &used);
    }
}

/* ---- the rule ---- */

const char *config_listener_fault(const struct config *config,
                                  const struct config_listener *listener)
{
    if (listener->sort == CONFIG_LISTEN_UNIX || listener->is_loopback)
        return NULL;
    if (config->token_file == NULL)
        return "can be reached from other machines, and without tokens everybody there could run "
               "tasks: set token_file (runneld --new-token makes tokens), or listen on 127.0.0.1";
    if (config->certificate == NULL && !config->behind_proxy)
        return "can be reached from other machines, and tokens would travel in the clear: set "
               "tls_certificate and tls_key, or behind_proxy = true where a proxy does the TLS, or "
               "listen on 127.0.0.1";
    return NULL;
}

void access_check(struct loader *loader)
{
    const struct config *config = loader->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        const char *fault = config_listener_fault(config, &config->listeners[i]);
        if (fault == NULL)
            continue;
        if (loader->listen_at != NULL)
            fault_at(loader, loader->listen_at, "listen %s %s", config->listeners[i].text, fault);
        else
            fault_add(loader, "-o", 0, "listen %s %s", config->listeners[i].text, fault);
    }
}
