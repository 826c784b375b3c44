/** \file
 * Answers in a daemon's place: answer SOCKET FILE [BYTES]. Takes one connection to a unix socket,
 * reads one request to its end, and sends what is in the file: a whole answer, head and body. With
 * BYTES only so many of it, and then nothing until its standard input ends. Prints "ready" when it
 * can be connected to, and "asked" when it has answered.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_BYTES = 1 << 20 };

static int failed(const char *what)
{
    perror(what);
    return EXIT_FAILURE;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        return -1;
    return fd;
}

/* A body, if any, comes in chunks: that is how the client streams. */
static int read_request(int fd)
{
    static char request[REQUEST_BYTES];
    size_t used = 0;

    for (;;) {
        bool is_chunked = strstr(request, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
        if (strstr(request, is_chunked ? "\r\n0\r\n\r\n" : "\r\n\r\n") != NULL)
            return 0;
        ssize_t got = read(fd, request + used, sizeof(request) - 1 - used);
        if (got <= 0)
            return -1;
        used += (size_t)got;
    }
}

static int send_file(int fd, const char *path, size_t most)
{
    char bytes[4096];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 0;

    while (file >= 0 && most > 0) {
        got = read(file, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
        if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            break;
        most -= (size_t)got;
    }
    if (file >= 0)
        (void)close(file);
    return got < 0 ? -1 : 0;
}

static void say(const char *word)
{
    puts(word);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    char byte = 0;

    if (argc < 3)
        return EXIT_FAILURE;
    int listener = listen_at(argv[1]);
    if (listener < 0)
        return failed(argv[1]);
    say("ready");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || read_request(fd) < 0)
        return failed("request");
    if (send_file(fd, argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : SIZE_MAX) < 0)
        return failed(argv[2]);
    say("asked");
    while (argc > 3 && read(STDIN_FILENO, &byte, 1) > 0)
        ;
    (void)unlink(argv[1]);
    return EXIT_SUCCESS;
}
