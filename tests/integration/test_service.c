/** \file What systemd is told by its notification socket. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

struct listener {
    int fd;
    char *environment;
};

static void close_listener(void *arg)
{
    struct listener *listener = arg;

    (void)close(listener->fd);
}

static struct listener *listen_for_notes(void)
{
    struct listener *listener = keep(calloc(1, sizeof(*listener)));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 20 * slow()};

    listener->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(listener->fd >= 0);
    keep_with(close_listener, listener);
    // In the abstract name space: a path could be too long.
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "runnel-test-%d",
                          (int)getpid());
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    assert_int_equal(bind(listener->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(setsockopt(listener->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    listener->environment = plain_text("NOTIFY_SOCKET=@%s", address.sun_path + 1);
    return listener;
}

/* The next note that has the text; others before it are skipped. Descriptors that come along (a
 * barrier's) are closed. */
static char *await_note(struct listener *listener, const char *part)
{
    for (;;) {
        char text_of[4096], control[CMSG_SPACE(sizeof(int) * 8)];
        struct iovec vector = {.iov_base = text_of, .iov_len = sizeof(text_of) - 1};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        ssize_t length = recvmsg(listener->fd, &message, MSG_CMSG_CLOEXEC);

        if (length < 0)
            fail_msg("no note with %s", part);
        text_of[length] = '\0';
        for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL;
             head = CMSG_NXTHDR(&message, head)) {
            int fd = -1;

            if (head->cmsg_type == SCM_RIGHTS) {
                memcpy(&fd, CMSG_DATA(head), sizeof(fd));
                (void)close(fd);
            }
        }
        if (strstr(text_of, part) != NULL)
            return plain_text("%s", text_of);
    }
}

static void systemd_hears_of_ready_stopping_and_that_the_stop_goes_on(void)
{
    struct listener *listener = listen_for_notes();
    struct daemon *daemon =
        daemon_new("drain_timeout = '10s';\nqueue: { default: { workers = 1 }; };\n"
                   "kind: { sleep: { builtin = 'sleep' }; };\n");
    daemon->environment = (const char *[]){listener->environment, NULL};
    daemon_start(daemon);

    (void)await_note(listener, "READY=1");
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1500ms'}}");
    await_state(daemon, id, "running");
    daemon_signal(daemon, SIGTERM);
    const char *stopping = await_note(listener, "STOPPING=1");
    assert_non_null(strstr(stopping, "STATUS="));
    assert_non_null(strstr(stopping, "1"));
    (void)await_note(listener, "EXTEND_TIMEOUT_USEC=");
    assert_false(daemon_ends(daemon, 0));
    // The barrier at its end waits until we have read it.
    while (!daemon_ends(daemon, 50))
        (void)recv(listener->fd, (char[4096]){0}, 4096, MSG_DONTWAIT);

    assert_int_equal(daemon_await_end(daemon, 10000), 0);
}

static void without_systemd_or_with_a_dead_socket_it_runs_all_the_same(void)
{
    struct daemon *daemon = daemon_new(
        "queue: { default: { workers = 1 }; };\nkind: { noop: { builtin = 'noop' }; };\n");

    daemon->environment = (const char *[]){"NOTIFY_SOCKET=/nowhere/notify", NULL};
    daemon_start(daemon);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(systemd_hears_of_ready_stopping_and_that_the_stop_goes_on),
             SCENARIO(without_systemd_or_with_a_dead_socket_it_runs_all_the_same))
