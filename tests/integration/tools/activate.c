/* Starts a program as systemd does with sockets of its own: makes the listening sockets that it is
 * told, passes them from descriptor 3 on with LISTEN_FDS and LISTEN_PID, and becomes the program.
 *
 * activate tcp:PORTFILE|unix:PATH… -- PROGRAM [ARGUMENT…]
 *
 * The port of a TCP socket, a free one of 127.0.0.1, is written to PORTFILE. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3 };

static int open_tcp(const char *port_file)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
    } address = {.v4 = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}};
    socklen_t length = sizeof(address.v4);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, &address.any, length) < 0 || listen(fd, 64) < 0 ||
        getsockname(fd, &address.any, &length) < 0)
        return -1;
    FILE *file = fopen(port_file, "we");
    if (file == NULL || fprintf(file, "%u\n", (unsigned)ntohs(address.v4.sin_port)) < 0 ||
        fclose(file) != 0)
        return -1;
    return fd;
}

static int open_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
        return -1;
    return fd;
}

int main(int argc, char **argv)
{
    char text[32];
    int count = 0;
    int i = 1;

    for (; i < argc && strcmp(argv[i], "--") != 0; i++, count++) {
        int fd = strncmp(argv[i], "tcp:", 4) == 0    ? open_tcp(argv[i] + 4)
                 : strncmp(argv[i], "unix:", 5) == 0 ? open_unix(argv[i] + 5)
                                                     : -1;
        // Nothing else is open: each gets the next number.
        if (fd != FIRST + count) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
    }
    if (i + 1 >= argc)
        return EXIT_FAILURE;
    (void)snprintf(text, sizeof(text), "%ld", (long)getpid());
    if (setenv("LISTEN_PID", text, 1) < 0)
        return EXIT_FAILURE;
    (void)snprintf(text, sizeof(text), "%d", count);
    if (setenv("LISTEN_FDS", text, 1) < 0)
        return EXIT_FAILURE;
    (void)execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return EXIT_FAILURE;
}
