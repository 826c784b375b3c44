/** \file What systemd is told by its notification socket. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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

static void systemd_hears_of_each_reload_also_of_one_that_is_refused(void)
{
    static const char config[] =
        "queue: { default: { workers = 1 }; };\n"
        "kind: { noop: { builtin = 'noop' }; fail: { builtin = 'fail' }; };\n";
    struct listener *listener = listen_for_notes();
    struct daemon *daemon = daemon_new(config);
    daemon->environment = (const char *[]){listener->environment, NULL};
    daemon_start(daemon);

    (void)await_note(listener, "READY=1");
    (void)await_note(listener, "STATUS=0 running, 0 waiting, 0 failed in 1 h");
    daemon_configure(daemon, "queue: { default: { workers = 3 }; };\n"
                             "kind: { noop: { builtin = 'noop' }; };\n");
    daemon_signal(daemon, SIGHUP);
    const char *reloading = await_note(listener, "RELOADING=1");
    assert_non_null(strstr(reloading, "\nMONOTONIC_USEC="));
    const char *status = await_note(listener, "STATUS=");
    assert_non_null(strstr(status, "; reloaded, kinds_removed 1: fail, queues_changed 1: default"));
    (void)await_note(listener, "READY=1");

    daemon_configure(daemon, "queue: { default: { workers = 0 }; };\n");
    daemon_signal(daemon, SIGHUP);
    (void)await_note(listener, "RELOADING=1");
    status = await_note(listener, "STATUS=");
    assert_non_null(strstr(status, plain_text("; reload refused: %s:3: ", daemon->config_path)));
    (void)await_note(listener, "READY=1");
    // The barrier at its end waits until we have read it.
    daemon_signal(daemon, SIGTERM);
    while (!daemon_ends(daemon, 50))
        (void)recv(listener->fd, (char[4096]){0}, 4096, MSG_DONTWAIT);
    assert_int_equal(daemon_await_end(daemon, 10000), 0);
}

static void the_status_counts_what_runs_waits_and_has_failed(void)
{
    struct listener *listener = listen_for_notes();
    struct daemon *daemon =
        daemon_new("queue: { default: { workers = 1 }; side: { workers = 1 }; };\n"
                   "kind: { fail: { builtin = 'fail'; max_attempts = 1; queue = 'side' };\n"
                   "  sleep: { builtin = 'sleep' }; };\n");
    daemon->environment = (const char *[]){listener->environment, NULL};
    daemon_start(daemon);

    uint64_t first = submit_many(daemon, 3, text("{'kind':'sleep','args':{'duration':'60s'}}"));
    await_state(daemon, first, "running");
    expect_end(daemon, submit(daemon, "{'kind':'fail'}"), "failed", "failed");
    (void)await_note(listener, "STATUS=1 running, 2 waiting, 1 failed in 1 h");
    daemon_kill(daemon);
}

/* ---- the watchdog ---- */

/* The daemon's thread of this name. */
static pid_t thread_named(const struct daemon *daemon, const char *name)
{
    const char *folder = plain_text("/proc/%d/task", (int)daemon->pid);
    DIR *threads = opendir(folder);
    pid_t found = 0;

    assert_non_null(threads);
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        char comm[32] = "";
        FILE *file = fopen(plain_text("%s/%s/comm", folder, entry->d_name), "r");

        if (file == NULL)
            continue; // "." and "..", or it has ended
        if (fgets(comm, sizeof(comm), file) != NULL && strncmp(comm, name, strlen(name)) == 0)
            found = (pid_t)number_in(entry->d_name, NULL);
        (void)fclose(file);
    }
    (void)closedir(threads);
    return found;
}

/* How many notes with the text come within so long (unscaled). */
static unsigned notes_within(struct listener *listener, const char *part, int64_t within_ms)
{
    int64_t until = now_ms() + within_ms;
    unsigned count = 0;

    while (now_ms() < until) {
        char text_of[4096];
        ssize_t length = recv(listener->fd, text_of, sizeof(text_of) - 1, MSG_DONTWAIT);

        if (length < 0) {
            breathe();
            continue;
        }
        text_of[length] = '\0';
        count += strstr(text_of, part) != NULL;
    }
    return count;
}

/* Stops one thread of the daemon alone, as a debugger does. */
static void stop_thread(pid_t thread)
{
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0)
        harness_skip("threads of the daemon may not be stopped here");
    assert_int_equal(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), 0);
    assert_int_equal(waitpid(thread, NULL, __WALL), thread);
}

static void the_watchdog_is_fed_only_while_store_and_http_turn(void)
{
    static const char *const names[] = {"writer", "MHD-"};
    struct listener *listener = listen_for_notes();
    struct daemon *daemon = daemon_new(
        "queue: { default: { workers = 1 }; };\nkind: { noop: { builtin = 'noop' }; };\n");

    daemon->environment = (const char *[]){listener->environment, "WATCHDOG_USEC=400000", NULL};
    daemon_start(daemon);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        pid_t thread = 0;

        // A thread gives itself its name when it begins to run.
        eventually((thread = thread_named(daemon, names[i])) > 0, 10000);
        (void)await_note(listener, "WATCHDOG=1");
        stop_thread(thread);
        // But for what it had answered before.
        eventually(notes_within(listener, "WATCHDOG=1", 1000) == 0, 10000);
        assert_int_equal(ptrace(PTRACE_DETACH, thread, NULL, NULL), 0);
        (void)await_note(listener, "WATCHDOG=1");
    }
    // It is none of the clients' connections.
    expect_number(expect_status(get(daemon, "/v1/stats"), 200)->json, "http.connections", 1);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_kill(daemon);
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
             SCENARIO(systemd_hears_of_each_reload_also_of_one_that_is_refused),
             SCENARIO(the_status_counts_what_runs_waits_and_has_failed),
             SCENARIO(the_watchdog_is_fed_only_while_store_and_http_turn),
             SCENARIO(without_systemd_or_with_a_dead_socket_it_runs_all_the_same))
