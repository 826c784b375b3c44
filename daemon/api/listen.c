/* The listening socket, and who else has its port. */
#include "api/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, SOCKET_BYTES = 64 };

static void closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* The n-th word of a line, from 0; cuts the line. NULL: it has fewer. */
static char *word(char *line, unsigned n)
{
    char *rest = line;
    char *part = NULL;

    for (unsigned i = 0; i <= n; i++) {
        part = strtok_r(i == 0 ? line : NULL, " \n", &rest);
        if (part == NULL)
            return NULL;
    }
    return part;
}

/* The target of a link below /proc/PID/fd that is the socket which listens on a port, from one of
 * the kernel's tables. false: none. */
static bool listening_socket(const char *table, uint16_t port, char target[SOCKET_BYTES])
{
    // sl local_address state …: 1: 0100007F:1E35 00000000:0000 0A 00000000:00000000 00:00000000
    // 00000000 0 0 12345 …
    enum { LOCAL_ADDRESS = 1, STATE = 3, INODE = 9 };
    char line[512];
    char copy[512];
    char wanted[8];
    bool found = false;
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return false;

    (void)snprintf(wanted, sizeof(wanted), ":%04X", port);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        memcpy(copy, line, sizeof(copy));
        const char *address = word(copy, LOCAL_ADDRESS);
        const char *colon = address != NULL ? strchr(address, ':') : NULL;
        if (colon == NULL || strcmp(colon, wanted) != 0)
            continue;
        memcpy(copy, line, sizeof(copy));
        const char *state = word(copy, STATE);
        const char *inode = word(line, INODE);
        found = state != NULL && inode != NULL && strcmp(state, "0A") == 0;
        if (found)
            (void)snprintf(target, SOCKET_BYTES, "socket:[%.32s]", inode);
    }
    (void)fclose(file);
    return found;
}

/* Whether a process has the socket open. */
static bool has_socket(const char *pid, const char *wanted)
{
    char path[64];
    char target[SOCKET_BYTES];
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder)) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    (void)closedir(folder);
    return found;
}

/* "; runneld (pid 42) has it", or "". */
static void who_has(uint16_t port, char *text, size_t size)
{
    char socket_link[SOCKET_BYTES];
    char path[64];
    char name[32] = "";

    text[0] = '\0';
    if (!listening_socket("/proc/net/tcp", port, socket_link) &&
        !listening_socket("/proc/net/tcp6", port, socket_link))
        return;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, socket_link))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL && fgets(name, sizeof(name), file) != NULL)
            name[strcspn(name, "\n")] = '\0';
        if (file != NULL)
            (void)fclose(file);
        (void)snprintf(text, size, ": %s (pid %.16s) has it", name[0] != '\0' ? name : "a process",
                       entry->d_name);
        break;
    }
    (void)closedir(folder);
}

/* false: host is no address. */
static bool make_address(const char *host, uint16_t port, struct sockaddr_storage *address,
                         socklen_t *length)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4.sin_addr) ==
        1) {
        memcpy(address, &v4, sizeof(v4));
        *length = sizeof(v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, sizeof(v6));
        *length = sizeof(v6);
        return true;
    }
    return false;
}

static int open_error(int error, const char *host, uint16_t port, struct error *reterr)
{
    char who[128] = "";
    const char *open = strchr(host, ':') != NULL ? "[" : "";
    const char *shut = open[0] != '\0' ? "]" : "";

    if (error == -EADDRINUSE)
        who_has(port, who, sizeof(who));
    return error_set(reterr, error, "cannot listen on %s%s%s:%u: %s%s", open, host, shut, port,
                     rn_strerror(error), who);
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {.sin6_port = 0}};
    socklen_t length = sizeof(address);

    if (getsockname(fd, &address.any, &length) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

int listen_open(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
                struct error *reterr)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    const int on = 1;

    if (!make_address(host, port, &address, &length))
        return open_error(-EINVAL, host, port, reterr);
    RN_AUTO(closep)
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return open_error(-errno, host, port, reterr);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (const struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
        return open_error(-errno, host, port, reterr);

    *ret_port = bound_port(fd);
    *ret_fd = fd;
    fd = -1;
    return 0;
}
