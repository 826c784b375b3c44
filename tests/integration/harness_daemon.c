/** \file
 * The daemon as a child process. A thread of ours reads what it writes to standard error into
 * memory, so that it never waits for us, and wakes who waits for a line.
 */
#include "harness_own.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_WITHIN_MS = 30000, END_WITHIN_MS = 60000, ARGUMENTS_MAX = 64, SHOWN_BYTES = 12000 };

static struct daemon *daemons; // of the scenario

/* ---- the log ---- */

static void *read_log(void *arg)
{
    struct daemon *daemon = arg;
    char buffer[4096];

    for (;;) {
        ssize_t count = read(daemon->pipe, buffer, sizeof(buffer));

        if (count < 0 && errno == EINTR)
            continue;
        (void)pthread_mutex_lock(&daemon->mu);
        if (count > 0 && daemon->log_bytes + (size_t)count + 1 > daemon->log_capacity) {
            size_t capacity = (daemon->log_bytes + (size_t)count + 1) * 2;
            char *grown = realloc(daemon->log, capacity);

            if (grown == NULL)
                abort();
            daemon->log = grown;
            daemon->log_capacity = capacity;
        }
        if (count > 0) {
            memcpy(daemon->log + daemon->log_bytes, buffer, (size_t)count);
            daemon->log_bytes += (size_t)count;
            daemon->log[daemon->log_bytes] = '\0';
        } else {
            daemon->log_ended = true;
        }
        (void)pthread_cond_broadcast(&daemon->changed);
        (void)pthread_mutex_unlock(&daemon->mu);
        if (count <= 0)
            return NULL;
    }
}

/* The whole line of this run's log with the part in it, from `from` on; NULL: none yet. */
static const char *find_line_locked(const struct daemon *daemon, const char *part, size_t from)
{
    if (daemon->log == NULL || from >= daemon->log_bytes)
        return NULL;
    const char *found = strstr(daemon->log + from, part);
    if (found == NULL || strchr(found, '\n') == NULL)
        return NULL;
    return found;
}

bool daemon_logs(struct daemon *daemon, const char *part, int64_t within_ms)
{
    int64_t length = within_ms * slow();
    struct timespec until;
    bool found = false;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += length / 1000;
    until.tv_nsec += length % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&daemon->mu);
    for (;;) {
        found = find_line_locked(daemon, part, daemon->log_run) != NULL;
        if (found || daemon->log_ended)
            break;
        if (pthread_cond_timedwait(&daemon->changed, &daemon->mu, &until) == ETIMEDOUT)
            break;
    }
    (void)pthread_mutex_unlock(&daemon->mu);
    return found;
}

unsigned daemon_log_count(struct daemon *daemon, const char *part)
{
    unsigned count = 0;

    (void)pthread_mutex_lock(&daemon->mu);
    const char *found = find_line_locked(daemon, part, daemon->log_run);
    while (found != NULL) {
        const char *end = strchr(found, '\n');

        count++;
        found = find_line_locked(daemon, part, (size_t)(end + 1 - daemon->log));
    }
    (void)pthread_mutex_unlock(&daemon->mu);
    return count;
}

char *daemon_log(struct daemon *daemon)
{
    (void)pthread_mutex_lock(&daemon->mu);
    char *copy = strdup(daemon->log != NULL ? daemon->log + daemon->log_run : "");
    (void)pthread_mutex_unlock(&daemon->mu);
    return keep(copy);
}

void daemons_show(void)
{
    for (struct daemon *daemon = daemons; daemon != NULL; daemon = daemon->next) {
        (void)pthread_mutex_lock(&daemon->mu);
        size_t skipped = daemon->log_bytes > SHOWN_BYTES ? daemon->log_bytes - SHOWN_BYTES : 0;
        print_error("---- log of the daemon (pid %d, last status %d), %zu bytes before it left "
                    "out\n",
                    (int)daemon->pid, daemon->status, skipped);
        // cmocka cuts a message at 1,024 bytes.
        if (daemon->log != NULL)
            (void)fputs(daemon->log + skipped, stderr);
        print_error("----\n");
        (void)pthread_mutex_unlock(&daemon->mu);
    }
}

/* ---- a daemon and its folder ---- */

/* After the process has ended: nothing but a process that it should not have left can still hold
 * the pipe. */
static bool join_reader(struct daemon *daemon, int64_t within_ms)
{
    struct timespec until;

    if (!daemon->reading)
        return true;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += within_ms * slow() / 1000 + 1;
    if (pthread_timedjoin_np(daemon->reader, NULL, &until) != 0)
        return false;
    daemon->reading = false;
    (void)close(daemon->pipe);
    daemon->pipe = -1;
    return true;
}

void daemon_stop_reading(struct daemon *daemon)
{
    assert_true(daemon->reading);
    (void)pthread_cancel(daemon->reader); // it holds no lock while it reads
    (void)pthread_join(daemon->reader, NULL);
    daemon->reading = false;
    daemon->log_ended = true;
    (void)close(daemon->pipe);
    daemon->pipe = -1;
}

static void daemon_end(void *arg)
{
    struct daemon *daemon = arg;

    if (daemon->pid > 0) {
        (void)kill(daemon->pid, SIGKILL);
        (void)waitpid(daemon->pid, NULL, 0);
    }
    if (!join_reader(daemon, 10000)) {
        print_error("a process still holds the daemon's standard error\n");
        _exit(70);
    }
    client_free(daemon->client);
    daemons = daemon->next;
    free(daemon->log);
    (void)pthread_cond_destroy(&daemon->changed);
    (void)pthread_mutex_destroy(&daemon->mu);
    free(daemon);
}

void daemon_configure(struct daemon *daemon, const char *config)
{
    const char *all = plain_text("listen = '127.0.0.1:0';\nstore = 'runnel.db';\n%s", config);

    file_write(daemon->config_path, quoted(all));
}

struct daemon *daemon_new(const char *config)
{
    static unsigned number;
    struct daemon *daemon = calloc(1, sizeof(*daemon));

    assert_non_null(daemon);
    (void)pthread_mutex_init(&daemon->mu, NULL);
    (void)pthread_cond_init(&daemon->changed, NULL);
    daemon->pipe = -1;
    daemon->client = client_new(0);
    daemon->next = daemons;
    daemons = daemon;
    keep_with(daemon_end, daemon);

    daemon->program = daemon_program();
    daemon->folder = plain_text("%s/daemon-%u", scenario_folder(), ++number);
    assert_int_equal(mkdir(daemon->folder, 0700), 0);
    daemon->config_path = plain_text("%s/runneld.conf", daemon->folder);
    daemon->store_path = plain_text("%s/runnel.db", daemon->folder);
    daemon_configure(daemon, config);
    return daemon;
}

void daemon_forget(struct daemon *daemon)
{
    static const char *const endings[] = {"",      "-wal",     "-shm",    "-journal",
                                          "-lock", "-ballast", "-running"};

    assert_int_equal(daemon->pid, 0);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        (void)unlink(plain_text("%s%s", daemon->store_path, endings[i]));
}

/* ---- start and end ---- */

void daemon_launch(struct daemon *daemon)
{
    const char *argv[ARGUMENTS_MAX];
    size_t count = 0;
    int pipe_ends[2];

    assert_int_equal(daemon->pid, 0);
    for (size_t i = 0; daemon->prefix != NULL && daemon->prefix[i] != NULL; i++)
        argv[count++] = daemon->prefix[i];
    argv[count++] = daemon->program;
    argv[count++] = "-c";
    argv[count++] = daemon->config_path;
    for (size_t i = 0; daemon->arguments != NULL && daemon->arguments[i] != NULL; i++)
        argv[count++] = daemon->arguments[i];
    assert_true(count < ARGUMENTS_MAX);
    argv[count] = NULL;

    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        child_prepare(daemon->environment);
        if (dup2(null, 0) < 0 || dup2(pipe_ends[1], 1) < 0 || dup2(pipe_ends[1], 2) < 0)
            _exit(126);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    (void)close(pipe_ends[1]);
    daemon->pid = pid;
    daemon->port = 0;
    daemon->pipe = pipe_ends[0];
    daemon->log_run = daemon->log_bytes;
    daemon->log_ended = false;
    assert_int_equal(pthread_create(&daemon->reader, NULL, read_log, daemon), 0);
    daemon->reading = true;
}

/* From the line of the event `ready`: …listen=127.0.0.1:43210,unix:/tmp/x… the first address's; 0:
 * a unix socket is the first. */
static uint16_t ready_port(struct daemon *daemon)
{
    static const char key[] = " listen=";
    uint64_t port = 0;
    bool is_unix = false;

    (void)pthread_mutex_lock(&daemon->mu);
    const char *line = find_line_locked(daemon, "event=ready ", daemon->log_run);
    const char *value = line != NULL ? strstr(line, key) : NULL;
    if (value != NULL && value < strchr(line, '\n')) {
        const char *end = value + sizeof(key) - 1 + strcspn(value + sizeof(key) - 1, ", \n");

        is_unix = strncmp(value + sizeof(key) - 1, "unix:", 5) == 0;
        while (end > value && end[-1] != ':')
            end--;
        port = is_unix ? 0 : number_in(end, NULL);
    }
    (void)pthread_mutex_unlock(&daemon->mu);
    assert_in_range(port, is_unix ? 0 : 1, 65535);
    return (uint16_t)port;
}

bool daemon_await_ready(struct daemon *daemon)
{
    if (!daemon_logs(daemon, "event=ready ", READY_WITHIN_MS)) {
        if (daemon->log_ended)
            return false;
        harness_fail(__FILE__, __LINE__, "the daemon is not ready");
    }
    daemon->port = ready_port(daemon);
    client_port(daemon->client, daemon->port);
    return true;
}

void daemon_start(struct daemon *daemon)
{
    int64_t began = now_ms();

    daemon_launch(daemon);
    if (!daemon_await_ready(daemon)) {
        int status = daemon_await_end(daemon, END_WITHIN_MS);
        harness_fail(__FILE__, __LINE__, "the daemon ended with status %d instead of getting ready",
                     status);
    }
    daemon->ready_took_ms = now_ms() - began;
}

struct daemon *daemon_started(const char *config)
{
    struct daemon *daemon = daemon_new(config);

    daemon_start(daemon);
    return daemon;
}

void daemon_signal(struct daemon *daemon, int signal)
{
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, signal), 0);
}

bool daemon_ends(struct daemon *daemon, int64_t within_ms)
{
    assert_true(daemon->pid > 0);
    return process_ends(daemon->pid, within_ms * slow());
}

int daemon_await_end(struct daemon *daemon, int64_t within_ms)
{
    int wait_status = 0;

    if (!daemon_ends(daemon, within_ms))
        harness_fail(__FILE__, __LINE__, "the daemon still runs after %lld ms",
                     (long long)within_ms * slow());
    assert_int_equal(waitpid(daemon->pid, &wait_status, 0), daemon->pid);
    daemon->pid = 0;
    daemon->status = process_status(wait_status);
    if (!join_reader(daemon, 10000))
        harness_fail(__FILE__, __LINE__,
                     "a process that the daemon left behind holds its standard error");
    return daemon->status;
}

int64_t daemon_stop(struct daemon *daemon)
{
    int64_t began = now_ms();

    daemon_signal(daemon, SIGTERM);
    int status = daemon_await_end(daemon, END_WITHIN_MS);
    if (status != 0)
        harness_fail(__FILE__, __LINE__, "after SIGTERM the daemon's status is %d", status);
    return now_ms() - began;
}

void daemon_kill(struct daemon *daemon)
{
    daemon_signal(daemon, SIGKILL);
    assert_int_equal(daemon_await_end(daemon, END_WITHIN_MS), -SIGKILL);
}

long daemon_memory_kib(struct daemon *daemon, const char *field)
{
    const char *status = file_read(plain_text("/proc/%d/status", (int)daemon->pid));
    const char *found = strstr(status, field);

    assert_non_null(found);
    return (long)number_in(found + strlen(field), NULL);
}
