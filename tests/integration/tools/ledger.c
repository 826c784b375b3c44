/** \file
 * The command that tests let the daemon run: it writes down, outside the daemon, when it began and
 * when it ended.
 *
 *   ledger FILE KEY MILLISECONDS [MODE]
 *
 * A line each, by one write with O_APPEND: `start KEY ATTEMPT PID NANOSECONDS`, `end …` with the
 * same fields, on the monotonic clock. Who holds a lock on KEY's byte of FILE.lock runs; the kernel
 * gives it back when the process dies, however that happens. A second run of a key beside a first
 * one writes `overlap …`.
 *
 * MODE   stubborn   SIGTERM is ignored
 *        group      leaves a grandchild in its process group that holds standard output, and ends
 *        session    the same, in a session of its own
 *        flood      prints until nobody reads any more
 *        polite     on SIGTERM prints `stopped` and exits with 0
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GRANDCHILD_S = 60 };

static int64_t now_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void note(int file, const char *what, const char *key)
{
    char line[512];
    const char *attempt = getenv("RUNNEL_ATTEMPT");
    int length = snprintf(line, sizeof(line), "%s %s %s %d %lld\n", what, key,
                          attempt != NULL ? attempt : "0", (int)getpid(), (long long)now_ns());

    if (write(file, line, (size_t)length) != length)
        _exit(70);
}

static int lock_key(const char *path, const char *key)
{
    char name[4096];
    uint64_t hash = 14695981039346656037u;

    for (const char *c = key; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    (void)snprintf(name, sizeof(name), "%s.lock", path);
    int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(hash >> 2), .l_len = 1};
    return file < 0 ? -errno : fcntl(file, F_SETLK, &lock) < 0 ? -errno : 0;
}

static int64_t milliseconds(const char *text)
{
    int64_t number = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    return number;
}

static void pass(int64_t ms)
{
    struct timespec length = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&length, &length) < 0 && errno == EINTR) {
    }
}

static void leave_grandchild(int file, const char *key, int own_session)
{
    int ready[2];
    char none;

    if (pipe(ready) < 0)
        _exit(70);
    if (fork() > 0) {
        // Until it has written: what is left in the group is killed when the command ends.
        (void)close(ready[1]);
        if (read(ready[0], &none, 1) < 0)
            _exit(70);
        (void)close(ready[0]);
        return;
    }
    if (own_session)
        (void)setsid();
    if (fork() != 0)
        _exit(0);
    note(file, "grandchild", key);
    (void)close(ready[1]);
    pass(GRANDCHILD_S * 1000);
    _exit(0);
}

static void on_term(int signal_number)
{
    static const char text[] = "stopped";

    (void)signal_number;
    _exit(write(1, text, sizeof(text) - 1) > 0 ? 0 : 70);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 4 ? argv[4] : "";

    if (argc < 4)
        return 64;
    if (strcmp(mode, "stubborn") == 0)
        (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (strcmp(mode, "polite") == 0)
        (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0)
        return 70;
    if (lock_key(argv[1], argv[2]) < 0)
        note(file, "overlap", argv[2]);
    note(file, "start", argv[2]);
    if (strcmp(mode, "group") == 0 || strcmp(mode, "session") == 0)
        leave_grandchild(file, argv[2], strcmp(mode, "session") == 0);
    if (strcmp(mode, "flood") == 0) {
        char block[4096];

        memset(block, 'x', sizeof(block));
        while (write(1, block, sizeof(block)) > 0) {
        }
    }
    pass(milliseconds(argv[3]));
    note(file, "end", argv[2]);
    return 0;
}
