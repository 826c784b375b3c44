/*
 * The load generator for runneld and its peers: one thread, epoll, N kept connections with one
 * request outstanding on each, for a number of seconds. The same loop speaks to all of them, and
 * sends runneld and durable_server the same bytes.
 *
 *   load PROTOCOL PORT CONNECTIONS SECONDS [QUEUE [CAP]]
 *
 *   submit: POST /v1/tasks, one task of kind noop into QUEUE: runneld, durable_server. With CAP,
 *   the retention's, into a queue that runs meanwhile: then it goes on until all have run, and
 *   rate is what queue_report_run() says.
 *
 *   beanstalkd: put.
 *
 *   redis: LPUSH.
 *
 *   redis-cycle: LPUSH, RPOPLPUSH into the work list, LREM from it: Redis's reliable queue.
 *
 * An operation is all requests of one task. At the end of the time the operations begun are
 * finished. An answer that is not the expected one ends the program. Prints count, rate (a second),
 * p50, p99, p999, max (of an operation, microseconds).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "http.h"

enum {
    IN_CAPACITY = 32 * 1024,
    OUT_CAPACITY = 2048,
    PEER_BODY_BYTES = 100, // of a task for beanstalkd and Redis
    SERIAL_DIGITS = 20,
    CONNECTIONS_MAX = 1024,
    LATENCIES_MAX = 8000000,
    EVENTS_MAX = 64,
    ANSWER_TIMEOUT_MS = 20000,
};

struct text {
    const char *bytes;
    size_t length;
};

struct protocol {
    const char *name;
    unsigned steps; // requests an operation
    // Writes the request of a step into out, at most OUT_CAPACITY bytes; payload is what the last
    // answer carried.
    size_t (*request)(unsigned step, struct text payload, char *out);
    // The length of the answer at the start of in, 0 while it is not all there; dies when it is not
    // the expected one.
    size_t (*answer)(unsigned step, char *in, size_t length, struct text *ret_payload);
};

struct connection {
    int fd;
    unsigned step;
    uint64_t started_at; // of the operation
    size_t in_length;
    char in[IN_CAPACITY];
};

static const struct protocol *protocol;
static struct text submit_request; // made once: every submit is the same
static uint64_t deadline;
static uint64_t serial;
static size_t active;      // connections with an operation under way
static bool server_closes; // after the answer that was read last
static int epoll;
static uint64_t *latencies;
static size_t finished;

// -------------------------------------------------------------------------------------------------------------------
// What each peer speaks

static void make_submit(uint16_t port, const char *queue)
{
    static char buffer[OUT_CAPACITY];
    char body[OUT_CAPACITY / 2];

    int length =
        snprintf(body, sizeof(body),
                 "{\"queue\":\"%s\",\"kind\":\"noop\",\"args\":{\"to\":\"user12345@example.com\","
                 "\"template\":\"welcome\",\"n\":42},\"priority\":0,\"max_attempts\":5,"
                 "\"timeout\":\"30s\"}",
                 queue);
    int total = snprintf(
        buffer, sizeof(buffer),
        "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        port, length, body);
    if (total < 0 || (size_t)total >= sizeof(buffer))
        DIE("queue name too long");
    submit_request = (struct text){buffer, (size_t)total};
}

static size_t submit_write(unsigned step, struct text payload, char *out)
{
    (void)step;
    (void)payload;
    memcpy(out, submit_request.bytes, submit_request.length);
    return submit_request.length;
}

static size_t submit_read(unsigned step, char *in, size_t length, struct text *ret_payload)
{
    struct http_answer answer;
    size_t total = http_parse(in, length, &answer);

    (void)step;
    (void)ret_payload;
    if (total > 0 && answer.status != 201)
        DIE("status %d: %.*s", answer.status, (int)answer.body_length, answer.body);
    server_closes = total > 0 && answer.closes;
    return total;
}

/* A body like no other: LREM must find the one that it is to take out. */
static void make_body(char *out)
{
    memset(out, 'b', PEER_BODY_BYTES);
    char digits[SERIAL_DIGITS + 1];
    snprintf(digits, sizeof(digits), "%0*llu", SERIAL_DIGITS, (unsigned long long)serial++);
    memcpy(out, digits, SERIAL_DIGITS);
}

static size_t beanstalkd_write(unsigned step, struct text payload, char *out)
{
    (void)step;
    (void)payload;
    size_t head = (size_t)snprintf(out, OUT_CAPACITY, "put 0 0 60 %d\r\n", PEER_BODY_BYTES);
    make_body(out + head);
    memcpy(out + head + PEER_BODY_BYTES, "\r\n", 2);
    return head + PEER_BODY_BYTES + 2;
}

static size_t beanstalkd_read(unsigned step, char *in, size_t length, struct text *ret_payload)
{
    static const char inserted[] = "INSERTED ";
    const char *newline = memchr(in, '\n', length);

    (void)step;
    (void)ret_payload;
    if (newline == NULL)
        return 0;
    size_t total = (size_t)(newline + 1 - in);
    if (strncmp(in, inserted, sizeof(inserted) - 1) != 0)
        DIE("unexpected answer: %.*s", (int)total, in);
    return total;
}

static size_t redis_write(unsigned step, struct text payload, char *out)
{
    static const char move[] = "*3\r\n$9\r\nRPOPLPUSH\r\n$1\r\nq\r\n$4\r\nwork\r\n";

    if (step == 0) {
        size_t head = (size_t)snprintf(out, OUT_CAPACITY, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$%d\r\n",
                                       PEER_BODY_BYTES);
        make_body(out + head);
        memcpy(out + head + PEER_BODY_BYTES, "\r\n", 2);
        return head + PEER_BODY_BYTES + 2;
    }
    if (step == 1) {
        memcpy(out, move, sizeof(move) - 1);
        return sizeof(move) - 1;
    }
    return (size_t)snprintf(out, OUT_CAPACITY,
                            "*4\r\n$4\r\nLREM\r\n$4\r\nwork\r\n$1\r\n1\r\n$%zu\r\n%.*s\r\n",
                            payload.length, (int)payload.length, payload.bytes);
}

static size_t redis_read(unsigned step, char *in, size_t length, struct text *ret_payload)
{
    const char *newline = memchr(in, '\n', length);

    if (newline == NULL)
        return 0;
    size_t total = (size_t)(newline + 1 - in);
    // RPOPLPUSH gives the body, LPUSH the list's length, LREM how many it took out.
    if (step == 1 && strtol(in + 1, NULL, 10) == PEER_BODY_BYTES && in[0] == '$') {
        *ret_payload = (struct text){in + total, PEER_BODY_BYTES};
        total += PEER_BODY_BYTES + 2;
        return total <= length ? total : 0;
    }
    if (step == 1 || in[0] != ':' || (step == 2 && in[1] != '1'))
        DIE("unexpected answer: %.*s", (int)total, in);
    return total;
}

static const struct protocol protocols[] = {
    {"submit", 1, submit_write, submit_read},
    {"beanstalkd", 1, beanstalkd_write, beanstalkd_read},
    {"redis", 1, redis_write, redis_read},
    {"redis-cycle", 3, redis_write, redis_read},
};

// -------------------------------------------------------------------------------------------------------------------
// The loop

static void send_step(struct connection *connection, struct text payload)
{
    char out[OUT_CAPACITY];
    size_t length = protocol->request(connection->step, payload, out);

    // One small request is outstanding, so there is always room for it.
    ssize_t n = send(connection->fd, out, length, MSG_NOSIGNAL);
    if (n != (ssize_t)length)
        DIE("cannot send: %s", n < 0 ? strerror(errno) : "no room");
}

static void start_operation(struct connection *connection, uint64_t now)
{
    connection->step = 0;
    connection->started_at = now;
    send_step(connection, (struct text){0});
}

static void on_answer(struct connection *connection, struct text payload)
{
    connection->step++;
    if (connection->step < protocol->steps) {
        send_step(connection, payload);
        return;
    }
    uint64_t now = now_ns();
    if (finished < LATENCIES_MAX)
        latencies[finished] = now - connection->started_at;
    finished++;
    if (now < deadline)
        start_operation(connection, now);
    else
        active--;
}

static void watch(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        DIE("epoll: %s", strerror(errno));
}

static void reconnect(struct connection *connection)
{
    server_closes = false;
    http_reconnect(connection->fd);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    watch(connection);
}

static void on_readable(struct connection *connection)
{
    struct text payload = {0};
    ssize_t n = recv(connection->fd, connection->in + connection->in_length,
                     IN_CAPACITY - connection->in_length, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        DIE("no answer: %s", n == 0 ? "closed by the server" : strerror(errno));
    connection->in_length += (size_t)n;
    size_t length =
        protocol->answer(connection->step, connection->in, connection->in_length, &payload);
    if (length == 0) {
        if (connection->in_length == IN_CAPACITY)
            DIE("the answer is longer than %d bytes", IN_CAPACITY);
        return;
    }
    if (length != connection->in_length)
        DIE("more than one answer");
    connection->in_length = 0;
    if (server_closes)
        reconnect(connection);
    on_answer(connection, payload);
}

static void loop(struct connection *connections, size_t count)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        DIE("epoll: %s", strerror(errno));
    for (size_t i = 0; i < count; i++) {
        watch(&connections[i]);
        start_operation(&connections[i], now_ns());
    }
    active = count;
    while (active > 0) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, ANSWER_TIMEOUT_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            DIE("no answer for %d s, %zu outstanding", ANSWER_TIMEOUT_MS / 1000, active);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
    close(epoll);
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

static double percentile_us(size_t count, double share)
{
    return (double)latencies[(size_t)((double)(count - 1) * share)] / 1000;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        DIE("usage: load PROTOCOL PORT CONNECTIONS SECONDS [QUEUE [CAP]]");
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (strcmp(protocols[i].name, argv[1]) == 0)
            protocol = &protocols[i];
    }
    if (protocol == NULL)
        DIE("no protocol '%s'", argv[1]);
    uint16_t port = (uint16_t)number(argv[2], 1, UINT16_MAX);
    size_t count = number(argv[3], 1, CONNECTIONS_MAX);
    uint64_t length_ns = number(argv[4], 1, 3600) * NS_PER_S;
    const char *queue = argc > 5 ? argv[5] : "default";
    uint64_t cap = argc > 6 ? number(argv[6], 1, UINT64_MAX) : 0;

    make_submit(port, queue);
    latencies = allocate(LATENCIES_MAX * sizeof(*latencies));
    struct connection *connections = allocate(count * sizeof(*connections));
    for (size_t i = 0; i < count; i++) {
        connections[i].fd = http_connect(port);
        fcntl(connections[i].fd, F_SETFL, O_NONBLOCK);
    }

    uint64_t started_at = now_ns();
    deadline = started_at + length_ns;
    loop(connections, count);
    double seconds = seconds_since(started_at);
    if (cap > 0) {
        int fd = http_connect(port);
        queue_report_run(fd, queue, cap, finished, started_at);
        close(fd);
    } else {
        printf("rate=%.0f ", (double)finished / seconds);
    }

    size_t sample = finished < LATENCIES_MAX ? finished : LATENCIES_MAX;
    qsort(latencies, sample, sizeof(*latencies), by_value);
    printf("count=%zu p50=%.0f p99=%.0f p999=%.0f max=%.0f\n", finished, percentile_us(sample, 0.5),
           percentile_us(sample, 0.99), percentile_us(sample, 0.999), percentile_us(sample, 1));
    for (size_t i = 0; i < count; i++)
        close(connections[i].fd);
    free(connections);
    free(latencies);
    return 0;
}
