/* Standard error that nobody reads: the log goes on, counts what it drops, and tells it when lines
 * flow again. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "observe/log.h"
#include "unit.h"

enum { EVENTS = 3000, TEXT_BYTES = 100, READ_BYTES = 4 << 20 };

static int original = -1; // standard error as it was
static char *text;        // what was read of the log
static size_t text_bytes;
static uint64_t dropped_before;

/* From now on the log goes to this descriptor, which is taken. */
static void log_to(int fd)
{
    original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(original >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
    log_init(LOG_LEVEL_INFO);
    dropped_before = log_dropped();
}

/* Standard error is what it was. */
static void log_back(void)
{
    assert_int_equal(dup2(original, STDERR_FILENO), STDERR_FILENO);
    (void)close(original);
    original = -1;
    log_init(LOG_LEVEL_INFO);
}

static uint64_t dropped(void)
{
    return log_dropped() - dropped_before;
}

static void log_many(int first)
{
    char letters[TEXT_BYTES + 1];
    memset(letters, 'x', TEXT_BYTES);
    letters[TEXT_BYTES] = '\0';
    for (int i = 0; i < EVENTS; i++)
        log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", letters), LOG_INT("n", first + i));
}

/* Reads what is there. */
static void drain(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    ssize_t n = 0;

    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while ((n = read(fd, text + text_bytes, READ_BYTES - 1 - text_bytes)) > 0)
        text_bytes += (size_t)n;
    text[text_bytes] = '\0';
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

static int setup(void **state)
{
    (void)state;
    fault_reset();
    (void)unsetenv("JOURNAL_STREAM");
    text = malloc(READ_BYTES);
    assert_non_null(text);
    text_bytes = 0;
    text[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_reset();
    if (original >= 0)
        log_back();
    free(text);
    return 0;
}

static unsigned count(const char *part)
{
    unsigned number = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        number++;
    return number;
}

/* Nothing reads while three thousand events come: more than any pipe or socket holds. Then all are
 * accounted for. has_parts: it may take a part of a line. */
static void expect_that_nobody_waits(int fd, int reader, bool has_parts)
{
    char told[80];

    log_to(fd);
    log_many(0);
    uint64_t lost = dropped();
    drain(reader);
    unsigned written = count(" event=e k=xxx");
    assert_true(lost > 0);
    assert_true(written > 0);
    assert_true(written + lost == EVENTS || (has_parts && written + lost == EVENTS + 1));
    assert_int_equal(count("log_dropped"), 0);

    // It flows again.
    log_event(LOG_LEVEL_INFO, "again", LOG_INT("n", 1));
    log_event(LOG_LEVEL_INFO, "again", LOG_INT("n", 2));
    drain(reader);
    assert_int_equal(dropped(), lost);
    snprintf(told, sizeof(told), " level=warn event=log_dropped count=%llu\n",
             (unsigned long long)lost);
    const char *notice = strstr(text, told);
    const char *again = strstr(text, " event=again n=1\n");
    assert_true(notice != NULL && again != NULL && notice < again);
    assert_int_equal(count("log_dropped"), 1);
    assert_int_equal(count(" event=again n=2\n"), 1);

    // Each line is whole, but perhaps the torn one.
    unsigned odd = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        odd += strncmp(line, "20", 2) != 0 || strstr(line, "Z level=") != line + 23 ||
               (strstr(line, " event=e ") != NULL && strstr(line, " n=") == NULL);
    assert_true(odd <= has_parts);
    log_back();
}

static void a_pipe_that_nobody_reads_stops_nobody(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int ours = fcntl(ends[1], F_DUPFD_CLOEXEC, 3);

    expect_that_nobody_waits(ends[1], ends[0], false);

    // Whoever else has the pipe writes to it as before.
    assert_int_equal(fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
    (void)close(ours);
    (void)close(ends[0]);
}

static void a_pipe_that_cannot_be_opened_again_stops_nobody(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);

    fault_fail_from(FAULT_OPEN, 1, EACCES);
    expect_that_nobody_waits(ends[1], ends[0], false);
    assert_true(fault_reached());
    (void)close(ends[0]);
}

static void a_socket_that_nobody_reads_stops_nobody(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);

    expect_that_nobody_waits(ends[1], ends[0], true);
    (void)close(ends[0]);
}

static void a_terminal_that_nobody_reads_stops_nobody(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, name, sizeof(name)) != 0)
        skip(); // there are no terminals here
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);

    log_to(slave);
    log_many(0);
    assert_true(dropped() > 0 && dropped() < EVENTS);
    // A terminal's buffer gives room bit by bit.
    for (int i = 0; i < 1000 && count("event=log_dropped ") == 0; i++) {
        drain(master);
        log_event(LOG_LEVEL_INFO, "again", LOG_INT("n", i));
    }
    drain(master);
    assert_true(count("event=log_dropped ") > 0);
    log_back();
    (void)close(master);
}

static void a_reader_that_has_gone_stops_nobody(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    (void)signal(SIGPIPE, SIG_IGN);

    log_to(ends[1]);
    (void)close(ends[0]);
    log_many(0);
    assert_int_equal(dropped(), EVENTS);
    log_back();
}

enum { THREADS = 4 };

static void *log_in_thread(void *arg)
{
    log_many(*(int *)arg);
    return NULL;
}

/* They race for the last room of a pipe, in both ways of writing to one. */
static void several_threads_do_not_wait_for_each_other(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        pthread_t threads[THREADS];
        static int firsts[THREADS] = {0, 10000, 20000, 30000};
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        text_bytes = 0;
        if (way == 1)
            fault_fail_from(FAULT_OPEN, 1, EACCES);
        log_to(ends[1]);
        fault_reset();
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, log_in_thread, &firsts[i]), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        drain(ends[0]);
        assert_int_equal(count(" event=e k=xxx") + dropped(), THREADS * EVENTS);
        assert_true(dropped() > 0);
        log_back();
        (void)close(ends[0]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pipe_that_nobody_reads_stops_nobody),
        TEST(a_pipe_that_cannot_be_opened_again_stops_nobody),
        TEST(a_socket_that_nobody_reads_stops_nobody),
        TEST(a_terminal_that_nobody_reads_stops_nobody),
        TEST(a_reader_that_has_gone_stops_nobody),
        TEST(several_threads_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
