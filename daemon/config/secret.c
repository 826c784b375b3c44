/* Files with secrets in them: where they are, who else can read them, what they say. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/file.h"
#include "config/internal.h"

/* systemd's folder of the service's credentials, which nobody else can enter; NULL: none. */
static const char *credentials(void)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    return folder != NULL && folder[0] == '/' ? folder : NULL;
}

static bool is_credential(const char *path)
{
    const char *folder = credentials();
    size_t length = folder != NULL ? strlen(folder) : 0;
    return folder != NULL && strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strstr(path, "/../") == NULL;
}

/* folder/name. false: it is too long. */
static bool join(const char *folder, const char *name, char path[static PATH_MAX])
{
    const char *slash = folder[0] == '\0' || folder[strlen(folder) - 1] == '/' ? "" : "/";
    return snprintf(path, PATH_MAX, "%s%s%s", folder, slash, name) < PATH_MAX;
}

bool secret_path(const struct loader *loader, const char *text, char ret_path[static PATH_MAX])
{
    char folder[PATH_MAX];

    if (text[0] == '/')
        return join("", text, ret_path);
    if (strchr(text, '/') == NULL && credentials() != NULL && join(credentials(), text, ret_path) &&
        access(ret_path, F_OK) == 0)
        return true;
    if (realpath(loader->folder[0] != '\0' ? loader->folder : ".", folder) == NULL)
        return false;
    return join(folder, text, ret_path);
}

const char *secret_read(const char *path, const struct secret_rule *rule, char *text)
{
    RN_AUTO(file_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return faults_system_error(-errno);
    if (!S_ISREG(status.st_mode))
        return "it is no regular file";
    if ((status.st_mode & rule->mode) != 0 && !is_credential(path))
        return rule->mode_text;
    size_t size = 0;
    int r = file_read(fd, text, rule->bytes_max + 1, &size);
    if (r < 0)
        return faults_system_error(r);
    if (size > rule->bytes_max)
        return rule->size_text;
    text[size] = '\0';
    return strlen(text) < size ? "it has a NUL in it" : NULL;
}
