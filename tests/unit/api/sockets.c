/* Listening sockets of tests. */
#include "sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

char sockets_folder[80]; // a socket's path has at most 107 bytes

int sockets_make_folder(void **state)
{
    const char *temporary = getenv("TMPDIR");

    (void)state;
    bool is_short = temporary != NULL && strlen(temporary) < 60;
    (void)snprintf(sockets_folder, sizeof(sockets_folder), "%.60s/listenXXXXXX",
                   is_short ? temporary : "/tmp");
    return mkdtemp(sockets_folder) == NULL ? -1 : 0;
}

int sockets_remove_folder(void **state)
{
    (void)state;
    return rmdir(sockets_folder); // each test has removed what it made
}

struct config_listener sockets_unix_at(const char *name)
{
    struct config_listener listener = {.sort = CONFIG_LISTEN_UNIX};

    (void)snprintf(listener.path, sizeof(listener.path), "%.80s/%.20s", sockets_folder, name);
    return listener;
}

const struct listen_access sockets_usual = {.mode = 0660};

struct listen_socket sockets_opened(const struct config_listener *listener,
                                    const struct listen_access *access)
{
    struct listen_socket made = {.fd = -1};
    struct error error = {.code = 0};
    int r = listen_open(listener, access, &made, &error);

    if (r < 0)
        fail_msg("listen_open: %s", error.text);
    return made;
}

int sockets_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
    (void)close(fd);
    return r;
}
