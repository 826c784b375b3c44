/* What systemd hears: a socket of our own takes its place. */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe/notify.h"
#include "unit.h"

static int manager = -1;

static int listen_as_systemd(void **state)
{
    (void)state;
    // A name without a file, made by the kernel: the shorthand for "any" is an address of the
    // family alone.
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (manager < 0 || bind(manager, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
        getsockname(manager, (struct sockaddr *)&address, &length) < 0)
        return -1;
    char name[128];
    snprintf(name, sizeof(name), "@%.*s", (int)(length - sizeof(sa_family_t) - 1),
             address.sun_path + 1);
    return setenv("NOTIFY_SOCKET", name, 1);
}

static int stop_listening(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    return close(manager);
}

/* The next message, with a NUL; "" when there is none. Closes a descriptor that came with it. */
static const char *next_message(void)
{
    static char text[512];
    char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(manager, &message, MSG_CMSG_CLOEXEC);
    text[n > 0 ? n : 0] = '\0';
    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; c != NULL;
         c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            int fd;
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
            (void)close(fd);
        }
    }
    return text;
}

static void ready_is_told(void **state)
{
    (void)state;
    notify_ready();
    assert_string_equal(next_message(), "READY=1");
    assert_string_equal(next_message(), "");
}

static void stopping_names_how_many_tasks_still_run(void **state)
{
    (void)state;
    notify_stopping(3);
    assert_string_equal(next_message(), "STOPPING=1\nSTATUS=draining, 3 tasks still run");
    notify_stopping(1);
    assert_string_equal(next_message(), "STOPPING=1\nSTATUS=draining, 1 task still runs");
}

static void a_reload_is_announced_with_its_instant(void **state)
{
    (void)state;
    rn_time before = rn_now();
    notify_reloading();
    const char *message = next_message();
    const char prefix[] = "RELOADING=1\nMONOTONIC_USEC=";
    assert_memory_equal(message, prefix, sizeof(prefix) - 1);
    long long usec = 0;
    assert_int_equal(sscanf(message + sizeof(prefix) - 1, "%lld", &usec), 1);
    assert_true(usec >= before / RN_MICROSECOND && usec <= rn_now() / RN_MICROSECOND);
}

static void a_status_is_one_line(void **state)
{
    (void)state;
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';

    notify_status("3 running\nREADY=1\x7f, end");
    assert_string_equal(next_message(), "STATUS=3 runningREADY=1, end");
    notify_status(longest);
    assert_int_equal(strlen(next_message()), 511); // as much as the test takes of it
    notify_starting("copying the store", 1, 4);
    assert_string_equal(next_message(), "STATUS=copying the store, 25 %");
    assert_string_equal(next_message(), "EXTEND_TIMEOUT_USEC=120000000");
}

static void the_watchdog_interval_is_ours_alone(void **state)
{
    (void)state;
    char pid[16];

    assert_int_equal(notify_watchdog(), 0);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(notify_watchdog(), 3 * RN_SECOND);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog(), 3 * RN_SECOND);
    (void)setenv("WATCHDOG_PID", "1", 1); // of another process
    assert_int_equal(notify_watchdog(), 0);
    (void)unsetenv("WATCHDOG_PID");
    (void)setenv("WATCHDOG_USEC", "18446744073709551614", 1);
    assert_int_equal(notify_watchdog(), RN_HOUR);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(notify_watchdog(), 0);
    (void)unsetenv("WATCHDOG_USEC");
    notify_alive();
    assert_string_equal(next_message(), "WATCHDOG=1");
}

static void more_time_is_asked_for_in_microseconds(void **state)
{
    (void)state;
    notify_extend(2 * RN_SECOND + 500 * RN_MILLISECOND);
    assert_string_equal(next_message(), "EXTEND_TIMEOUT_USEC=2500000");
    notify_extend(-1);
    assert_string_equal(next_message(), "EXTEND_TIMEOUT_USEC=0");
}

static void a_long_start_tells_how_far_it_is_and_asks_for_time(void **state)
{
    (void)state;
    notify_starting("copying", 1, 3);
    assert_string_equal(next_message(), "STATUS=copying, 33 %");
    assert_string_equal(next_message(), "EXTEND_TIMEOUT_USEC=120000000");
    notify_starting("upgrading", 0, 0);
    assert_string_equal(next_message(), "STATUS=upgrading");
    assert_string_equal(next_message(), "EXTEND_TIMEOUT_USEC=120000000");
}

/* How long the barrier takes while another process reads as systemd does. */
static rn_duration barrier_with_a_reader(void)
{
    pid_t reader = fork();
    assert_true(reader >= 0);
    if (reader == 0) {
        struct pollfd fd = {.fd = manager, .events = POLLIN};
        bool heard = poll(&fd, 1, 10000) == 1 && strcmp(next_message(), "BARRIER=1") == 0;
        _exit(heard ? 0 : 1);
    }
    rn_time before = rn_now();
    notify_barrier();
    rn_duration waited = rn_now() - before;
    int status = 1;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    return waited;
}

static void barrier_ends_when_systemd_has_read_it(void **state)
{
    (void)state;
    // On a busy machine the reader may come late; not five times.
    rn_duration waited = RN_SECOND;
    for (int i = 0; i < 5 && waited > 900 * RN_MILLISECOND; i++)
        waited = barrier_with_a_reader();
    assert_true(waited <= 900 * RN_MILLISECOND);
}

static void barrier_gives_up_after_a_second(void **state)
{
    (void)state;
    rn_time before = rn_now();
    notify_barrier();
    rn_duration waited = rn_now() - before;
    assert_true(waited >= 900 * RN_MILLISECOND);
    assert_string_equal(next_message(), "BARRIER=1");
}

static void nothing_is_sent_without_systemd(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    rn_time before = rn_now();
    notify_ready();
    notify_stopping(1);
    notify_extend(RN_SECOND);
    notify_reloading();
    notify_status("3 running");
    notify_starting("opening", 0, 0);
    notify_alive();
    notify_barrier();
    assert_false(notify_is_on());
    assert_string_equal(next_message(), "");
    assert_true(rn_now() - before < RN_SECOND / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ready_is_told, listen_as_systemd, stop_listening),
        cmocka_unit_test_setup_teardown(stopping_names_how_many_tasks_still_run, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(a_reload_is_announced_with_its_instant, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(a_status_is_one_line, listen_as_systemd, stop_listening),
        cmocka_unit_test_setup_teardown(the_watchdog_interval_is_ours_alone, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(more_time_is_asked_for_in_microseconds, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(a_long_start_tells_how_far_it_is_and_asks_for_time,
                                        listen_as_systemd, stop_listening),
        cmocka_unit_test_setup_teardown(barrier_ends_when_systemd_has_read_it, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(barrier_gives_up_after_a_second, listen_as_systemd,
                                        stop_listening),
        cmocka_unit_test_setup_teardown(nothing_is_sent_without_systemd, listen_as_systemd,
                                        stop_listening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
