/* The settings tls_certificate and tls_key: where the files lie, and what is loaded from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/certificate.h"
#include "config/internal.h"

enum { DAY_S = 24 * 3600, WARN_DAYS = 14 };

void tls_set_file(struct loader *loader, const struct setting *setting, const struct value *value,
                  void *object)
{
    char **field = (char **)(void *)((char *)object + setting->offset);
    const char *text = settings_string(loader, setting, value, "the path of a file in PEM");
    char path[PATH_MAX];

    if (text == NULL)
        return;
    if (text[0] == '\0' || !secret_path(loader, text, path)) {
        fault_value(loader, setting, value, "must be the path of a file in PEM, not \"%.60s\"",
                    text);
        return;
    }
    char *copy = loader_strdup(loader, path);
    if (copy == NULL)
        return;
    free(*field);
    *field = copy;
}

static void check_times(struct loader *loader, const config_setting_t *at,
                        const struct certificate *certificate)
{
    const int64_t now_s = loader->config->loaded_at_ms / 1000;
    const int64_t left_s = certificate_expires_at_s(certificate) - now_s;
    const char *path = loader->config->tls_certificate;

    if (certificate_begins_at_s(certificate) > now_s)
        warning_at(loader, at, "tls_certificate %.200s: it does not hold yet", path);
    if (left_s <= 0)
        warning_at(loader, at, "tls_certificate %.200s: it has expired", path);
    else if (left_s < (int64_t)WARN_DAYS * DAY_S)
        warning_at(loader, at, "tls_certificate %.200s: it expires within %lld %s", path,
                   (long long)((left_s + DAY_S - 1) / DAY_S), left_s <= DAY_S ? "day" : "days");
}

void tls_load(struct loader *loader, const config_setting_t *root)
{
    struct config *config = loader->config;
    const config_setting_t *chain_at = config_setting_get_member(root, "tls_certificate");
    const config_setting_t *key_at = config_setting_get_member(root, "tls_key");
    struct certificate_fault fault = {.file = CERTIFICATE_CHAIN};

    if (config->tls_certificate == NULL && config->tls_key == NULL)
        return;
    if (config->tls_certificate == NULL || config->tls_key == NULL) {
        // One of them may have a fault of its own, which was told.
        if (chain_at == NULL || key_at == NULL)
            fault_value(loader, setting_find(SCOPE_TOP, "tls_certificate"),
                        &(struct value){.setting = chain_at != NULL ? chain_at : key_at},
                        "and tls_key go together: one of them is missing");
        return;
    }
    int r =
        certificate_load(config->tls_certificate, config->tls_key, &config->certificate, &fault);
    if (r == -ENOMEM) {
        loader->no_memory = true;
        return;
    }
    if (r < 0) {
        bool is_key = fault.file == CERTIFICATE_KEY;
        fault_value(loader, setting_find(SCOPE_TOP, is_key ? "tls_key" : "tls_certificate"),
                    &(struct value){.setting = is_key ? key_at : chain_at}, "%.200s: %s",
                    is_key ? config->tls_key : config->tls_certificate, fault.text);
        return;
    }
    check_times(loader, chain_at, config->certificate);
}
