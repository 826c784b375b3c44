/*
 * Downloads http:// URLs into a folder, 4 at once, and at most so many starts a second as -r says.
 * The first that fails, or Ctrl-C, ends the others: a group whose context every wait obeys, those
 * for the network by rn_context_fd().
 *
 *     download [-r STARTS_PER_SECOND] FOLDER URL…
 *
 * A file has the last part of the path as its name, and stands there when it is complete; until
 * then it is NAME.part.
 *
 * Exit status: 0; 1 one failed, which is named on standard error; 2 usage; 130 after Ctrl-C.
 */
#define _GNU_SOURCE 1 // strcasestr
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/runnel.h>

enum { CONNECTIONS = 4, HEAD_BYTES = 8192, CHUNK_BYTES = 65536, IDLE_MS = 30000 };

struct downloader {
    int folder; // a descriptor
    rn_limiter *limiter;
};

struct download {
    const struct downloader *downloader;
    const char *url;
    char host[256];
    char port[6];
    char target[1024]; // what is asked for
    char name[200];    // of the file
    char part[208];    // until it is complete
    char problem[100]; // what the server says if it does not give the file
};

/* The beginning of an answer, and what of the body came with it. */
struct answer {
    char head[HEAD_BYTES + 1];
    size_t used;      // bytes of head
    const char *body; // in head
    long long length; // of the whole body; -1: not said
};

// ---- The URL

static bool copy(char *to, size_t size, const char *from, size_t length)
{
    if (length == 0 || length >= size)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* http://HOST[:PORT]/PATH; false: it is not, or has no name for a file, or something is too long.
 */
static bool parse_url(struct download *download, const char *url)
{
    static const char scheme[] = "http://";
    const char *host = url + strlen(scheme);

    if (strncmp(url, scheme, strlen(scheme)) != 0)
        return false;
    const char *port = host + strcspn(host, ":/?#");
    if (!copy(download->host, sizeof(download->host), host, (size_t)(port - host)))
        return false;
    const char *path = port + strcspn(port, "/?#");
    if (*port != ':')
        copy(download->port, sizeof(download->port), "80", 2);
    else if (!copy(download->port, sizeof(download->port), port + 1, (size_t)(path - port - 1)))
        return false;
    const char *end = path + strcspn(path, "?#");
    const char *name = end;
    while (name > path && name[-1] != '/')
        name--;
    download->url = url;
    if (*path != '/' || strcspn(url, " \r\n") != strlen(url) ||
        !copy(download->target, sizeof(download->target), path, strcspn(path, "#")) ||
        !copy(download->name, sizeof(download->name), name, (size_t)(end - name)))
        return false;
    snprintf(download->part, sizeof(download->part), "%s.part", download->name);
    return strcmp(download->name, ".") != 0 && strcmp(download->name, "..") != 0;
}

// ---- The network, without a wait that the context does not end

/* Waits until something can be done with a socket. */
static int wait_for(rn_context *ctx, int fd, short events)
{
    int end = rn_context_fd(ctx);
    struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = end, .events = POLLIN}};

    if (end < 0)
        return end;
    int ready = poll(polled, 2, IDLE_MS);
    if (ready < 0)
        return errno == EINTR ? 0 : -errno;
    if (rn_context_err(ctx) != 0)
        return rn_context_err(ctx);
    return ready == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(rn_context *ctx, const struct addrinfo *address, int *ret_fd)
{
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : 0;

    if (r == 0 && connect(fd, address->ai_addr, address->ai_addrlen) < 0)
        r = errno == EINPROGRESS ? wait_for(ctx, fd, POLLOUT) : -errno;
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0)
        r = -errno;
    if (r == 0)
        r = -error;
    if (r == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return r;
}

static int open_connection(rn_context *ctx, const struct download *download, int *ret_fd)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses;
    int r = -EHOSTUNREACH;

    // The one wait that the end of the context does not cut short.
    if (getaddrinfo(download->host, download->port, &hints, &addresses) != 0)
        return r;
    for (const struct addrinfo *a = addresses; a != NULL && r != 0 && rn_context_err(ctx) == 0;
         a = a->ai_next)
        r = connect_to(ctx, a, ret_fd);
    freeaddrinfo(addresses);
    return r;
}

static int send_request(rn_context *ctx, int fd, const struct download *download)
{
    char request[2048];
    int length = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s:%s\r\n\r\n",
                          download->target, download->host, download->port);

    for (int sent = 0; sent < length;) {
        ssize_t n = send(fd, request + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (int)n;
            continue;
        }
        int r = errno == EAGAIN ? wait_for(ctx, fd, POLLOUT) : -errno;
        if (r < 0)
            return r;
    }
    return 0;
}

/* Returns what recv() does, at least 1 byte; 0: the server has closed. */
static ssize_t receive(rn_context *ctx, int fd, char *buffer, size_t size)
{
    ssize_t got;

    while ((got = recv(fd, buffer, size, 0)) < 0) {
        int r = errno == EAGAIN ? wait_for(ctx, fd, POLLIN) : -errno;
        if (r < 0)
            return r;
    }
    return got;
}

// ---- The answer

/* The number behind "Content-Length:"; -1: there is none. */
static long long content_length(const char *head)
{
    const char *field = strcasestr(head, "\r\nContent-Length:");
    long long length = 0;

    if (field == NULL)
        return -1;
    field = strchr(field, ':') + 1;
    field += strspn(field, " \t");
    if (strspn(field, "0123456789") == 0 || strspn(field, "0123456789") > 18)
        return -1;
    for (; *field >= '0' && *field <= '9'; field++)
        length = 10 * length + (*field - '0');
    return length;
}

/* Receives up to the end of the head, and what comes with it. */
static int read_head(rn_context *ctx, int fd, struct download *download, struct answer *answer)
{
    char *end;

    do {
        ssize_t got = receive(ctx, fd, answer->head + answer->used, HEAD_BYTES - answer->used);
        if (got <= 0)
            return got < 0 ? (int)got : answer->used < HEAD_BYTES ? -ECONNRESET : -EMSGSIZE;
        answer->used += (size_t)got;
        answer->head[answer->used] = '\0';
    } while ((end = strstr(answer->head, "\r\n\r\n")) == NULL);
    *end = '\0';
    answer->body = end + 4;
    if (strncmp(answer->head, "HTTP/1.", 7) != 0)
        return -EPROTO;
    if (strncmp(answer->head + 8, " 200", 4) != 0) {
        snprintf(download->problem, sizeof(download->problem), "%.*s",
                 (int)strcspn(answer->head, "\r\n"), answer->head);
        return -EPROTO;
    }
    answer->length = content_length(answer->head);
    return 0;
}

static int write_all(int file, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(file, bytes, size);
        if (n < 0)
            return -errno;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Writes the body to a file, until its end, which is where the server says, or where it closes. */
static int read_body(rn_context *ctx, int fd, const struct answer *answer, int file,
                     long long *ret_bytes)
{
    char chunk[CHUNK_BYTES];
    const char *from = answer->body;
    ssize_t got = answer->head + answer->used - answer->body;
    long long bytes = 0;
    int r;

    do {
        bytes += got;
        r = write_all(file, from, (size_t)got);
        if (r < 0)
            return r;
        from = chunk;
        got = bytes == answer->length ? 0 : receive(ctx, fd, chunk, sizeof(chunk));
    } while (got > 0);
    if (got < 0)
        return (int)got;
    *ret_bytes = bytes;
    return answer->length < 0 || bytes == answer->length ? 0 : -ECONNRESET;
}

// ---- A download

static int receive_file(rn_context *ctx, int fd, struct download *download, int file)
{
    struct answer answer = {.used = 0};
    long long bytes = 0;
    int folder = download->downloader->folder;

    int r = send_request(ctx, fd, download);
    if (r == 0)
        r = read_head(ctx, fd, download, &answer);
    if (r == 0)
        r = read_body(ctx, fd, &answer, file, &bytes);
    if (r == 0 && renameat(folder, download->part, folder, download->name) < 0)
        r = -errno;
    if (r == 0)
        printf("%s: %lld bytes\n", download->name, bytes);
    return r;
}

static int fetch(rn_context *ctx, void *arg)
{
    struct download *download = arg;
    int folder = download->downloader->folder;
    int fd = -1;
    int file = -1;

    int r = rn_limiter_wait(ctx, download->downloader->limiter);
    if (r == 0)
        r = open_connection(ctx, download, &fd);
    if (r == 0) {
        file = openat(folder, download->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        r = file < 0 ? -errno : receive_file(ctx, fd, download, file);
        if (r < 0 && file >= 0)
            (void)unlinkat(folder, download->part, 0);
    }
    if (file >= 0)
        close(file);
    if (fd >= 0)
        close(fd);
    if (r < 0 && rn_context_err(ctx) == 0)
        fprintf(stderr, "download: %s: %s\n", download->url,
                download->problem[0] != '\0' ? download->problem : rn_strerror(r));
    return r;
}

/* The first error comes out; the others give up then. */
static int fetch_all(rn_context *ctx, struct download *downloads, size_t count)
{
    rn_group *group;

    int r = rn_group_new(ctx, &group);
    if (r < 0)
        return r;
    rn_group_set_limit(group, CONNECTIONS);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (rn_context_err(rn_group_context(group)) == 0)
            r = rn_group_go(group, "download", fetch, &downloads[i]);
    if (r < 0) // the system gives no thread
        rn_context_cancel(rn_group_context(group), r);
    int first = rn_group_wait(group);
    rn_group_free(group);
    return r < 0 ? r : first;
}

// ---- The command line

static int parse_urls(struct download *downloads, char **urls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool good = parse_url(&downloads[i], urls[i]);
        for (size_t j = 0; good && j < i; j++)
            good = strcmp(downloads[i].name, downloads[j].name) != 0;
        if (!good) {
            fprintf(stderr, "download: %s: no http:// URL, or no name of its own\n", urls[i]);
            return -EINVAL;
        }
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: download [-r STARTS_PER_SECOND] FOLDER URL…\n");
    return 2;
}

static int download_all(rn_context *ctx, struct downloader *downloader, double rate, char **urls,
                        size_t count)
{
    struct download *downloads = calloc(count, sizeof(*downloads));
    int r = downloads == NULL ? -ENOMEM : parse_urls(downloads, urls, count);

    if (r == 0)
        r = rn_limiter_new(rate, 1, &downloader->limiter);
    if (r == 0) {
        for (size_t i = 0; i < count; i++)
            downloads[i].downloader = downloader;
        r = fetch_all(ctx, downloads, count);
    }
    rn_limiter_free(downloader->limiter);
    free(downloads);
    return r;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct downloader downloader = {.limiter = NULL};
    double rate = RN_RATE_INFINITE;
    rn_context *ctx;
    char *end;

    if (argc > 2 && strcmp(argv[1], "-r") == 0) {
        rate = strtod(argv[2], &end);
        if (*end != '\0' || !(rate > 0))
            return usage();
        argv += 2;
        argc -= 2;
    }
    if (argc < 3)
        return usage();
    downloader.folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (downloader.folder < 0) {
        fprintf(stderr, "download: %s: %s\n", argv[1], rn_strerror(-errno));
        return 1;
    }
    int r = rn_context_with_signals(NULL, signals, 2, &ctx);
    if (r == 0) {
        r = download_all(ctx, &downloader, rate, argv + 2, (size_t)argc - 2);
        if (rn_context_err(ctx) != 0)
            r = 128 + rn_context_cause(ctx);
        rn_context_unref(ctx);
    }
    close(downloader.folder);
    return r < 0 ? 1 : r;
}
