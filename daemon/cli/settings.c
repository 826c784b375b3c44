/* The user's file is $XDG_CONFIG_HOME/runnel.conf, in libconfig's syntax like the daemon's. A token
 * is read from a file, never from an argument or a variable: those of a process can be seen by
 * others. */
#include "cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"

#define DEFAULT_SOCKET "/run/runnel/runneld.sock"
#define DEFAULT_URL "http://127.0.0.1:7733"

enum { TOKEN_MAX = 4096, READ_FIRST = 4096 };

static const char *const file_names[] = {"url", "token_file", "ca_file", NULL};

/* ---- files ---- */

static int read_fd(int fd, size_t limit, char **ret_text, size_t *ret_length)
{
    size_t capacity = READ_FIRST;
    size_t length = 0;
    char *text = malloc(capacity + 1);

    while (text != NULL) {
        ssize_t got = read(fd, text + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || length + (size_t)got > limit) {
            int r = got < 0 ? -errno : -EFBIG;
            free(text);
            return r;
        }
        if (got == 0) {
            text[length] = '\0';
            *ret_text = text;
            *ret_length = length;
            return 0;
        }
        length += (size_t)got;
        if (length == capacity) {
            capacity *= 2;
            char *larger = realloc(text, capacity + 1);
            if (larger == NULL)
                free(text);
            text = larger;
        }
    }
    return -ENOMEM;
}

int file_read_all(const char *path, size_t limit, char **ret_text, size_t *ret_length)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int r = read_fd(fd, limit, ret_text, ret_length);
    if (!is_stdin)
        (void)close(fd);
    return r;
}

static int take(char **slot, const char *text, struct error *reterr)
{
    *slot = strdup(text);
    return *slot == NULL ? error_set(reterr, -ENOMEM, "out of memory") : 0;
}

static int read_token(struct settings *settings, const char *path, struct error *reterr)
{
    size_t length = 0;
    int r = file_read_all(path, TOKEN_MAX, &settings->token, &length);

    if (r < 0)
        return error_set(reterr, r, "the token file %s: %s", path, strerror(-r));
    while (length > 0 && strchr(" \t\r\n", settings->token[length - 1]) != NULL)
        settings->token[--length] = '\0';
    if (length == 0)
        return error_set(reterr, -EINVAL, "the token file %s is empty", path);
    for (size_t i = 0; i < length; i++) {
        if (settings->token[i] <= ' ' || settings->token[i] > '~')
            return error_set(reterr, -EINVAL, "the token file %s has more than a token: one line",
                             path);
    }
    return 0;
}

/* ---- the user's file ---- */

static int file_path(char *path, size_t size)
{
    const char *folder = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int length = 0;

    if (folder != NULL && folder[0] == '/')
        length = snprintf(path, size, "%s/runnel.conf", folder);
    else if (home != NULL && home[0] == '/')
        length = snprintf(path, size, "%s/.config/runnel.conf", home);
    return length > 0 && (size_t)length < size ? 0 : -ENOENT;
}

static int check_names(const config_t *config, const char *path, struct error *reterr)
{
    const config_setting_t *root = config_root_setting(config);

    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
        const char *name = config_setting_name(setting);
        const char *near = nearest_name(name, file_names);
        unsigned line = config_setting_source_line(setting);
        if (near == NULL || strcmp(near, name) != 0)
            return error_set(reterr, -EINVAL, "%s:%u: there is no setting %s%s%s%s", path, line,
                             name, near == NULL ? "" : ": did you mean ", near == NULL ? "" : near,
                             near == NULL ? "" : "?");
        if (config_setting_type(setting) != CONFIG_TYPE_STRING)
            return error_set(reterr, -EINVAL, "%s:%u: %s must be a text in quotes", path, line,
                             name);
    }
    return 0;
}

/* 1: read; 0: there is none. */
static int read_file(config_t *config, struct error *reterr)
{
    char path[PATH_MAX];

    if (file_path(path, sizeof(path)) < 0)
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (file == NULL)
        return error_set(reterr, -errno, "%s: %s", path, strerror(errno));
    int r = 1;
    if (config_read(config, file) != CONFIG_TRUE)
        r = error_set(reterr, -EINVAL, "%s:%d: %s", path, config_error_line(config),
                      config_error_text(config));
    (void)fclose(file);
    if (r == 1 && check_names(config, path, reterr) < 0)
        r = -EINVAL;
    return r;
}

/* ---- together ---- */

/* The option, else the variable, else the file's setting; NULL: none of them. */
static const char *chosen(const struct arguments *arguments, const config_t *config, size_t which)
{
    static const char *const options[] = {"url", "token-file", "ca-file"};
    static const char *const variables[] = {"RUNNEL_URL", "RUNNEL_TOKEN_FILE", "RUNNEL_CA_FILE"};
    const char *value = arguments_value(arguments, options[which]);

    if (value == NULL)
        value = getenv(variables[which]);
    if (value == NULL || value[0] == '\0') {
        value = NULL;
        (void)config_lookup_string(config, file_names[which], &value);
    }
    return value;
}

/* What was probably meant: "" or a sentence's end. */
static void guess_url(const char *url, char *text, size_t size)
{
    bool is_path = url[0] == '/';
    bool has_port = strchr(url, ':') != NULL && strstr(url, "://") == NULL &&
                    strncasecmp(url, "http:", 5) != 0 && strncmp(url, "unix:", 5) != 0 &&
                    url[0] != ':' && strpbrk(url, " /") == NULL;

    text[0] = '\0';
    if (is_path || has_port)
        (void)snprintf(text, size, ": did you mean %s%s?", is_path ? "unix:" : "http://", url);
}

/* A scheme is the same in any letters; here it is known by the small ones. */
static bool has_scheme(char *url, const char *scheme)
{
    size_t length = strlen(scheme);

    if (strncasecmp(url, scheme, length) != 0 || url[length] == '\0')
        return false;
    memcpy(url, scheme, length);
    return true;
}

static int check_url(struct settings *settings, struct error *reterr)
{
    char *url = settings->url;
    size_t length = strlen(url);
    char guess[256];

    if (has_scheme(url, "unix:/")) {
        if (length - 5 < sizeof(((struct sockaddr_un *)0)->sun_path))
            return 0;
        return error_set(reterr, -EINVAL, "the url %s is too long for a socket: at most %zu bytes",
                         url, sizeof(((struct sockaddr_un *)0)->sun_path) + 4);
    }
    // A password is not shown, whatever else is wrong.
    const char *host = strstr(url, "://") == NULL ? url : strstr(url, "://") + 3;
    if (memchr(host, '@', strcspn(host, "/?#")) != NULL)
        return error_set(reterr, -EINVAL,
                         "the url names a user, which the daemon has none of; see --token-file");
    if (!has_scheme(url, "http://") && !has_scheme(url, "https://")) {
        guess_url(url, guess, sizeof(guess));
        return error_set(reterr, -EINVAL,
                         "the url %s must begin with http://, https:// or unix:/%s", url, guess);
    }
    if (strpbrk(url, "?# ") != NULL)
        return error_set(reterr, -EINVAL, "the url %s must have no '?', '#' or space", url);
    if (url[length - 1] == '/')
        url[length - 1] = '\0';
    return 0;
}

static int gather(struct settings *settings, const struct arguments *arguments,
                  const config_t *config, struct error *reterr)
{
    const char *url = chosen(arguments, config, 0);
    const char *token_file = chosen(arguments, config, 1);
    const char *ca_file = chosen(arguments, config, 2);

    if (url == NULL)
        url = access(DEFAULT_SOCKET, W_OK) == 0 ? "unix:" DEFAULT_SOCKET : DEFAULT_URL;
    int r = take(&settings->url, url, reterr);
    if (r == 0)
        r = check_url(settings, reterr);
    if (r == 0 && token_file != NULL)
        r = read_token(settings, token_file, reterr);
    if (r == 0 && ca_file != NULL)
        r = take(&settings->ca_file, ca_file, reterr);
    return r;
}

int settings_init(struct settings *settings, const struct arguments *arguments,
                  struct error *reterr)
{
    RN_ASSERT(settings != NULL);
    RN_ASSERT(arguments != NULL);
    config_t config;

    *settings = (struct settings){.url = NULL};
    config_init(&config);
    int r = read_file(&config, reterr);
    if (r >= 0)
        r = gather(settings, arguments, &config, reterr);
    config_destroy(&config);
    if (r < 0)
        settings_fini(settings);
    return r < 0 ? r : 0;
}

void settings_fini(struct settings *settings)
{
    free(settings->url);
    free(settings->token);
    free(settings->ca_file);
    *settings = (struct settings){.url = NULL};
}
