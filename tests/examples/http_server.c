/*
 * The server of the download example's tests: HTTP/1.0 on a free port of
 * the loopback, a thread for each connection.
 *
 *     http_server FOLDER
 *
 * It prints the port, then for each request the time in milliseconds, how
 * many are open, and the path. SIGTERM ends it.
 *
 *     /files/NAME      a file of the folder
 *     /together/NAME   the same, once two of these are asked for at once
 *     /cut/NAME        the same, cut off after 10 bytes
 *     /stall/NAME      no answer, until the client leaves
 *     others           404
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/runnel.h>

enum { REQUEST_BYTES = 4096, CUT_BYTES = 10 };

static int folder;
static rn_mutex mu = RN_MUTEX_INIT(0);
static rn_cond together = RN_COND_INIT;
static unsigned open_count RN_GUARDED_BY(mu);
static unsigned together_count RN_GUARDED_BY(mu);

static int wait_readable(rn_context *ctx, int fd)
{
    int end = rn_context_fd(ctx);
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN},
                              {.fd = end, .events = POLLIN}};

    if (end < 0)
        return end;
    while (polled[0].revents == 0 && rn_context_err(ctx) == 0)
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return -errno;
    return rn_context_err(ctx);
}

/* Reads up to the empty line and gives the path; NULL: the client has left,
 * or asks for something else. */
static char *read_request(rn_context *ctx, int fd,
                          char request[static REQUEST_BYTES])
{
    size_t used = 0;

    do {
        ssize_t got = -1;
        if (wait_readable(ctx, fd) == 0)
            got = recv(fd, request + used, REQUEST_BYTES - 1 - used, 0);
        if (got <= 0)
            return NULL;
        used += (size_t)got;
        request[used] = '\0';
    } while (strstr(request, "\r\n\r\n") == NULL);
    if (strncmp(request, "GET ", 4) != 0)
        return NULL;
    request[4 + strcspn(request + 4, " ?\r")] = '\0';
    return request + 4;
}

static void send_text(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void send_file(int fd, const char *name, bool cut)
{
    struct stat status;
    char head[100];
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &status) < 0) {
        send_text(fd, "HTTP/1.0 404 Not Found\r\n\r\n");
    } else {
        snprintf(head, sizeof(head),
                 "HTTP/1.0 200 OK\r\nContent-Length: %lld\r\n\r\n",
                 (long long)status.st_size);
        send_text(fd, head);
        off_t left = cut ? CUT_BYTES : status.st_size;
        while (left > 0) {
            ssize_t sent = sendfile(fd, file, NULL, (size_t)left);
            if (sent <= 0)
                break;
            left -= sent;
        }
    }
    if (file >= 0)
        close(file);
}

/* Waits until two have come. */
static int meet(rn_context *ctx)
{
    int r = 0;

    rn_mutex_lock(&mu);
    together_count++;
    rn_cond_broadcast(&together);
    while (r == 0 && together_count < 2)
        r = rn_cond_wait(ctx, &together, &mu, RN_NEVER);
    rn_mutex_unlock(&mu);
    return r;
}

static void count_open(int change, const char *path)
{
    rn_mutex_lock(&mu);
    open_count += (unsigned)change;
    if (path != NULL) {
        printf("%lld %u %s\n", (long long)(rn_now() / RN_MILLISECOND),
               open_count, path);
        fflush(stdout);
    }
    rn_mutex_unlock(&mu);
}

static int serve(rn_context *ctx, void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[REQUEST_BYTES];
    char rest[16];
    char *path = read_request(ctx, fd, request);

    if (path != NULL) {
        const char *name = strrchr(path, '/');
        count_open(1, path);
        if (strncmp(path, "/files/", 7) == 0 ||
            (strncmp(path, "/together/", 10) == 0 && meet(ctx) == 0))
            send_file(fd, name + 1, false);
        else if (strncmp(path, "/cut/", 5) == 0)
            send_file(fd, name + 1, true);
        else if (strncmp(path, "/stall/", 7) == 0)
            while (wait_readable(ctx, fd) == 0 &&
                   recv(fd, rest, sizeof(rest), 0) > 0)
                ;
        else
            send_text(fd, "HTTP/1.0 404 Not Found\r\n\r\n");
        count_open(-1, NULL);
    }
    close(fd);
    return 0;
}

/* A listening socket, its port printed. */
static int listening(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) < 0 ||
        listen(fd, 64) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return -errno;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int accept_all(rn_context *ctx, rn_group *group, int listener)
{
    while (wait_readable(ctx, listener) == 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return -errno;
        int r =
            rn_group_go(group, "connection", serve, (void *)(intptr_t)fd);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGTERM};
    rn_context *ctx;
    rn_group *group;

    if (argc != 2 || rn_context_with_signals(NULL, signals, 1, &ctx) < 0 ||
        rn_group_new(ctx, &group) < 0)
        return 1;
    folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int listener = listening();
    int r =
        folder < 0 || listener < 0 ? -1 : accept_all(ctx, group, listener);
    rn_context_cancel(ctx, 0);
    rn_group_wait(group);
    rn_group_free(group);
    rn_context_unref(ctx);
    close(listener);
    close(folder);
    return r == 0 ? 0 : 1;
}
