/*
 * What the benchmarks do with runneld besides load.c's requests. Prints `name=value …`.
 *
 *   client port
 *     A free port of 127.0.0.1.
 *
 *   client ready LOG PID STARTED
 *     Waits for the ready line in LOG; STARTED is the time of the start in seconds since 1970.
 *     Gives port and ready_ms.
 *
 *   client bulk PORT QUEUE KIND TASKS ARGS [CAP]
 *     One NDJSON stream of TASKS tasks with args of ARGS bytes of JSON (0: none). Gives
 *     submit_rate; with CAP, the retention's, it goes on until all have run and gives what
 *     queue_report_run() says.
 *
 *   client drain PORT QUEUE TASKS
 *     Resumes QUEUE, which holds TASKS tasks. Gives the rate until all have ended.
 *
 *   client drain-for PORT QUEUE SECONDS
 *     Resumes QUEUE, pauses it after SECONDS. Gives the rate at which tasks ended.
 *
 *   client pause PORT QUEUE
 */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "http.h"

enum {
    LINES_A_BLOCK = 1000, // sent at once; runneld cuts its slices itself
    ARGS_BYTES_MAX = 1000,
    LINE_CAPACITY = ARGS_BYTES_MAX + 256,
    READY_TIMEOUT_S = 300,
    READY_POLL_MS = 1,
    LOG_CAPACITY = 64 * 1024,
};

static uint16_t port_of(const char *text)
{
    return (uint16_t)number(text, 1, UINT16_MAX);
}

static int port_command(char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);

    (void)arguments;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        DIE("no free port: %s", strerror(errno));
    close(fd);
    printf("port=%u\n", ntohs(address.sin_port));
    return 0;
}

/* Reads the first bytes of the log, which begin with the start. */
static void read_log(const char *path, char *text)
{
    size_t length = 0;
    FILE *file = fopen(path, "re");

    if (file != NULL) {
        length = fread(text, 1, LOG_CAPACITY - 1, file);
        fclose(file);
    }
    text[length] = '\0';
}

static int ready_command(char **arguments)
{
    static const char mark[] = "ready listen=127.0.0.1:";
    static char text[LOG_CAPACITY];
    pid_t pid = (pid_t)number(arguments[1], 1, INT32_MAX);
    double started = strtod(arguments[2], NULL);
    uint64_t since = now_ns();

    while (now_ns() - since < (uint64_t)READY_TIMEOUT_S * NS_PER_S) {
        int gone = kill(pid, 0) != 0; // asked before the last look, so that nothing is missed
        read_log(arguments[0], text);
        const char *found = strstr(text, mark);
        if (found != NULL && strchr(found, '\n') != NULL) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            double seconds = (double)now.tv_sec + (double)now.tv_nsec / NS_PER_S;
            printf("port=%lu ready_ms=%.1f\n", strtoul(found + sizeof(mark) - 1, NULL, 10),
                   (seconds - started) * 1000);
            return 0;
        }
        if (gone)
            DIE("the daemon ended before it was ready: %s", text);
        pause_ms(READY_POLL_MS);
    }
    DIE("not ready after %d s: %s", READY_TIMEOUT_S, text);
}

static size_t make_line(const char *kind, size_t args_bytes, char *line)
{
    static const char before[] = "{\"p\":\"";
    static const char after[] = "\"}";
    char args[ARGS_BYTES_MAX + 1];
    size_t frame = sizeof(before) + sizeof(after) - 2;
    int length;

    if (args_bytes == 0) {
        length = snprintf(line, LINE_CAPACITY, "{\"kind\":\"%s\"}\n", kind);
    } else {
        memset(args, 'p', args_bytes);
        memcpy(args, before, sizeof(before) - 1);
        memcpy(args + args_bytes - (sizeof(after) - 1), after, sizeof(after));
        length = snprintf(line, LINE_CAPACITY, "{\"kind\":\"%s\",\"args\":%s}\n", kind, args);
    }
    if (length < 0 || length >= LINE_CAPACITY || (args_bytes > 0 && args_bytes < frame))
        DIE("args of %zu bytes cannot be made", args_bytes);
    return (size_t)length;
}

/* Sends the stream and waits for its answer. */
static void send_stream(int fd, const char *queue, const char *kind, uint64_t tasks,
                        size_t args_bytes)
{
    char line[LINE_CAPACITY];
    char head[512];
    char answer_text[4096];
    struct http_answer answer;
    size_t line_length = make_line(kind, args_bytes, line);
    char *block = allocate(line_length * LINES_A_BLOCK);

    for (size_t i = 0; i < LINES_A_BLOCK; i++)
        memcpy(block + i * line_length, line, line_length);
    int length = snprintf(head, sizeof(head),
                          "POST /v1/tasks?queue=%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                          "Content-Type: application/x-ndjson\r\nContent-Length: %llu\r\n\r\n",
                          queue, http_port(fd), (unsigned long long)(tasks * line_length));
    if (length < 0 || (size_t)length >= sizeof(head))
        DIE("queue name too long");
    http_send(fd, head, (size_t)length);
    for (uint64_t left = tasks; left > 0;) {
        uint64_t lines = left < LINES_A_BLOCK ? left : LINES_A_BLOCK;
        http_send(fd, block, lines * line_length);
        left -= lines;
    }
    free(block);

    http_receive(fd, answer_text, sizeof(answer_text), &answer);
    char expected[64];
    snprintf(expected, sizeof(expected), "\"count\":%llu,", (unsigned long long)tasks);
    if (answer.status != 201 || strstr(answer.body, expected) == NULL)
        DIE("status %d: %s", answer.status, answer.body);
}

static int bulk_command(char **arguments)
{
    uint64_t tasks = number(arguments[3], 1, 100000000);
    size_t args_bytes = number(arguments[4], 0, ARGS_BYTES_MAX);
    int fd = http_connect(port_of(arguments[0]));
    uint64_t started_at = now_ns();

    send_stream(fd, arguments[1], arguments[2], tasks, args_bytes);
    printf("submit_rate=%.0f ", (double)tasks / seconds_since(started_at));
    if (arguments[5] != NULL)
        queue_report_run(fd, arguments[1], number(arguments[5], 1, UINT64_MAX), tasks, started_at);
    printf("count=%llu\n", (unsigned long long)tasks);
    close(fd);
    return 0;
}

static int drain_command(char **arguments)
{
    uint64_t tasks = number(arguments[2], 1, 100000000);
    int fd = http_connect(port_of(arguments[0]));
    uint64_t started_at = now_ns();

    queue_action(fd, arguments[1], "resume");
    double seconds = (double)(queue_wait_drained(fd, arguments[1]) - started_at) / NS_PER_S;
    printf("rate=%.0f\n", (double)tasks / seconds);
    close(fd);
    return 0;
}

static int drain_for_command(char **arguments)
{
    struct queue_counts before;
    struct queue_counts after;
    uint64_t seconds = number(arguments[2], 1, 3600);
    int fd = http_connect(port_of(arguments[0]));

    queue_counts(fd, arguments[1], &before);
    uint64_t started_at = now_ns();
    queue_action(fd, arguments[1], "resume");
    pause_ms((unsigned)seconds * 1000);
    queue_counts(fd, arguments[1], &after);
    double took = seconds_since(started_at);
    queue_action(fd, arguments[1], "pause");
    if (after.unfinished == 0 || after.unfinished > before.unfinished)
        DIE("the queue had %llu tasks before and has %llu now",
            (unsigned long long)before.unfinished, (unsigned long long)after.unfinished);
    printf("rate=%.0f\n", (double)(before.unfinished - after.unfinished) / took);
    close(fd);
    return 0;
}

static int pause_command(char **arguments)
{
    int fd = http_connect(port_of(arguments[0]));

    queue_action(fd, arguments[1], "pause");
    close(fd);
    return 0;
}

static const struct {
    const char *name;
    int arguments;
    int (*run)(char **arguments);
} commands[] = {
    {"port", 0, port_command},   {"ready", 3, ready_command}, {"bulk", 5, bulk_command},
    {"drain", 3, drain_command}, {"pause", 2, pause_command}, {"drain-for", 3, drain_for_command},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, argv[1]) == 0 && argc >= commands[i].arguments + 2)
            return commands[i].run(argv + 2);
    }
    DIE("usage: client port|ready|bulk|drain|drain-for|pause ARGUMENT…");
}
