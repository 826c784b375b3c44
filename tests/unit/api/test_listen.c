/* Listening sockets: unix ones with their files, modes and races; several listeners under one
 * limit. */
#include "unit.h"

#include "client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <runnel/group.h>

#include "api/accept.h"
#include "api/core.h"
#include "api/listen.h"
#include "fault.h"
#include "sockets.h"

static mode_t mode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : status.st_mode & 07777;
}

/* ---- unix sockets ---- */

static void a_unix_socket_has_its_mode_whatever_the_umask(void **state)
{
    (void)state;
    static const unsigned modes[] = {0660, 0600, 0666, 0777};
    const struct config_listener listener = sockets_unix_at("mode");
    mode_t before = umask(0077);

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const struct listen_access who = {.mode = modes[i]};
        struct listen_socket made = sockets_opened(&listener, &who);

        assert_int_equal(mode_of(listener.path), modes[i]);
        assert_int_equal(sockets_connect(listener.path), 0);
        listen_close(&listener, &made);
        assert_int_equal(access(listener.path, F_OK), -1);
    }
    (void)umask(before);
}

static void a_unix_socket_gets_its_group(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("group");
    const struct listen_access mine = {.mode = 0660, .has_group = true, .gid = getgid()};
    const struct listen_access foreign = {.mode = 0660, .has_group = true, .gid = 54321};
    struct listen_socket made = sockets_opened(&listener, &mine);
    struct stat status;

    assert_int_equal(stat(listener.path, &status), 0);
    assert_int_equal(status.st_gid, getgid());
    listen_close(&listener, &made);

    // Only root can give it a group that it is no member of.
    fault_fail(FAULT_CHOWN, 1, EPERM);
    struct error error = {.code = 0};
    assert_int_equal(listen_open(&listener, &foreign, &made, &error), -EPERM);
    assert_true(fault_reached());
    assert_non_null(strstr(error.text, "socket_group"));
    assert_int_equal(access(listener.path, F_OK), -1);
}

static void what_a_dead_daemon_left_is_replaced(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("stale");
    struct listen_socket dead = sockets_opened(&listener, &sockets_usual);
    (void)close(dead.fd); // as the kernel does at kill -9: the file stays
    assert_int_equal(sockets_connect(listener.path), ECONNREFUSED);

    struct listen_socket made = sockets_opened(&listener, &sockets_usual);

    assert_int_equal(sockets_connect(listener.path), 0);
    listen_close(&listener, &made);
}

static void one_in_use_is_refused_and_says_who_has_it(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("used");
    struct listen_socket first = sockets_opened(&listener, &sockets_usual);
    struct listen_socket second = {.fd = -1};
    struct error error = {.code = 0};
    char pid[32];

    assert_int_equal(listen_open(&listener, &sockets_usual, &second, &error), -EADDRINUSE);
    (void)snprintf(pid, sizeof(pid), "(pid %ld)", (long)getpid());
    assert_non_null(strstr(error.text, pid));
    assert_non_null(strstr(error.text, listener.path));
    assert_int_equal(sockets_connect(listener.path), 0); // the first one is as it was
    listen_close(&listener, &first);
}

static void what_is_no_socket_is_never_removed(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("file");
    struct listen_socket made = {.fd = -1};
    struct error error = {.code = 0};
    int fd = open(listener.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);

    assert_int_equal(listen_open(&listener, &sockets_usual, &made, &error), -EEXIST);
    assert_non_null(strstr(error.text, "no socket"));
    assert_int_equal(unlink(listener.path), 0);

    assert_int_equal(symlink("elsewhere", listener.path), 0);
    assert_int_equal(listen_open(&listener, &sockets_usual, &made, &error), -EEXIST);
    assert_int_equal(unlink(listener.path), 0);

    const struct config_listener nowhere = sockets_unix_at("missing/x");
    assert_int_equal(listen_open(&nowhere, &sockets_usual, &made, &error), -ENOENT);
    assert_non_null(strstr(error.text, "folder does not exist"));
}

static void the_file_of_another_stays_at_the_stop(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("replaced");
    struct listen_socket first = sockets_opened(&listener, &sockets_usual);
    struct stat of_first;
    assert_int_equal(stat(listener.path, &of_first), 0);
    // Somebody moves it away and another daemon takes the path.
    char aside[128];
    (void)snprintf(aside, sizeof(aside), "%s.aside", listener.path);
    assert_int_equal(rename(listener.path, aside), 0);
    struct listen_socket second = sockets_opened(&listener, &sockets_usual);

    listen_close(&listener, &first);

    assert_int_equal(sockets_connect(listener.path), 0);
    listen_close(&listener, &second);
    assert_int_equal(unlink(aside), 0);
}

static void a_folder_that_stays_locked_is_told(void **state)
{
    (void)state;
    const struct config_listener listener = sockets_unix_at("locked");
    struct listen_socket made = {.fd = -1};
    struct error error = {.code = 0};
    int fd = open(sockets_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);

    assert_int_equal(listen_open(&listener, &sockets_usual, &made, &error), -ETIMEDOUT);

    assert_non_null(strstr(error.text, "lock"));
    (void)close(fd);
}

/* Each tries to have the path; what they got. */
struct contest {
    struct config_listener listener;
    _Atomic unsigned won;
    struct listen_socket made[8];
    _Atomic unsigned next;
};

static int contend(rn_context *ctx, void *arg)
{
    struct contest *contest = arg;
    struct error error;
    unsigned mine = atomic_fetch_add(&contest->next, 1);

    (void)ctx;
    contest->made[mine].fd = -1;
    if (listen_open(&contest->listener, &sockets_usual, &contest->made[mine], &error) == 0)
        atomic_fetch_add(&contest->won, 1);
    return 0;
}

static void of_many_that_find_a_stale_file_one_wins_and_keeps_it(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        static struct contest contest;
        rn_group *group = NULL;
        contest = (struct contest){.listener = sockets_unix_at("race")};
        struct listen_socket dead = sockets_opened(&contest.listener, &sockets_usual);
        (void)close(dead.fd);
        assert_int_equal(rn_group_new(NULL, &group), 0);

        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(rn_group_go(group, "contend", contend, &contest), 0);
        assert_int_equal(rn_group_wait(group), 0);
        rn_group_free(group);

        assert_int_equal(atomic_load(&contest.won), 1);
        assert_int_equal(sockets_connect(contest.listener.path), 0);
        for (unsigned i = 0; i < 8; i++)
            listen_close(&contest.listener, &contest.made[i]);
        assert_int_equal(access(contest.listener.path, F_OK), -1);
    }
}

static void each_failed_call_leaves_nothing_behind(void **state)
{
    (void)state;
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_OPEN, EACCES},  {FAULT_FLOCK, EIO},     {FAULT_SOCKET, EMFILE},
                  {FAULT_FCHMOD, EPERM}, {FAULT_BIND, EACCES},   {FAULT_CHOWN, EPERM},
                  {FAULT_CHMOD, EPERM},  {FAULT_LISTEN, ENOBUFS}};
    const struct config_listener tcp = {.host = "127.0.0.1"};
    const struct config_listener local = sockets_unix_at("fault");
    const struct listen_access access_of = {.mode = 0660, .has_group = true, .gid = getgid()};

    for (size_t i = 0; i < 2 * sizeof(faults) / sizeof(faults[0]); i++) {
        const struct config_listener *listener = i % 2 == 0 ? &local : &tcp;
        for (int nth = 1;; nth++) {
            struct listen_socket made = {.fd = -1};
            struct error error = {.code = 0};

            fault_fail(faults[i / 2].call, nth, faults[i / 2].error);
            int r = listen_open(listener, &access_of, &made, &error);
            bool reached = fault_reached();
            if (r == 0)
                listen_close(listener, &made);
            assert_int_equal(r, reached ? -faults[i / 2].error : 0);
            assert_true(r == 0 || error.text[0] != '\0');
            assert_int_equal(access(local.path, F_OK), -1);
            if (!reached)
                break;
        }
    }
}

/* ---- a server on several ---- */

/* The rig with a second TCP listener and a unix one. */
static void start_on_three(struct rig *rig)
{
    struct config *config = fake_config(rig->engine);

    config->listeners[1] = config->listeners[0];
    config->listeners[2] = sockets_unix_at("server");
    config->listener_count = 3;
    rig_start(rig);
}

static int connect_by(struct rig *rig, size_t index)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rig other = *rig;

    other.port = rig->server->listeners[index].address.port;
    if (index < 2)
        return client_connect(&other);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                   rig->server->listeners[index].address.path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_health(struct rig *rig, int fd, size_t index)
{
    if (index < 2)
        client_textf(fd, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
                     rig->server->listeners[index].address.port);
    else
        client_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void each_listener_answers(void **state)
{
    struct rig *rig = *state;
    char addresses[512];
    start_on_three(rig);

    for (size_t i = 0; i < 3; i++) {
        int fd = connect_by(rig, i);
        send_health(rig, fd, i);
        struct reply reply = client_read(fd, false);
        assert_int_equal(reply.status, 200);
        reply_fini(&reply);
        (void)close(fd);
    }

    server_addresses(rig->server, addresses, sizeof(addresses));
    char wanted[512];
    (void)snprintf(wanted, sizeof(wanted), "127.0.0.1:%u,127.0.0.1:%u,unix:%s/server",
                   rig->server->listeners[0].address.port, rig->server->listeners[1].address.port,
                   sockets_folder);
    assert_string_equal(addresses, wanted);
    struct reply info = request(rig, "GET", "/v1/info", NULL, NULL);
    json_t *listeners = json_object_get(info.json, "listeners");
    assert_int_equal(json_array_size(listeners), 3);
    reply_fini(&info);
}

static void the_limit_of_connections_is_one_over_all_listeners(void **state)
{
    struct rig *rig = *state;
    enum { LIMIT = 6 };
    int fds[LIMIT + 3];
    const struct timeval soon = {.tv_usec = 200000};
    const struct timeval patience = {.tv_sec = 60};
    char byte;

    fake_config(rig->engine)->max_connections = LIMIT;
    start_on_three(rig);
    for (size_t i = 0; i < LIMIT; i++) {
        fds[i] = connect_by(rig, i % 3);
        send_health(rig, fds[i], i % 3);
        struct reply reply = client_read(fds[i], false);
        assert_int_equal(reply.status, 200);
        reply_fini(&reply);
    }
    // One more on each: it can connect, and waits.
    for (size_t i = LIMIT; i < LIMIT + 3; i++) {
        fds[i] = connect_by(rig, i % 3);
        send_health(rig, fds[i], i % 3);
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
        assert_int_equal(recv(fds[i], &byte, 1, MSG_PEEK), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
                         0);
    }

    for (size_t i = 0; i < 3; i++)
        (void)close(fds[i]);
    for (size_t i = LIMIT; i < LIMIT + 3; i++) {
        struct reply reply = client_read(fds[i], false);
        assert_int_equal(reply.status, 200);
        reply_fini(&reply);
    }
    for (size_t i = 3; i < LIMIT + 3; i++)
        (void)close(fds[i]);
}

static void waiting_requests_are_counted_over_all_listeners(void **state)
{
    struct rig *rig = *state;
    int fds[2];
    fake_config(rig->engine)->max_waiting = 2;
    start_on_three(rig);
    struct reply reply = post(rig, "/v1/tasks", "{\"kind\":\"echo\"}");
    reply_fini(&reply);

    for (size_t i = 0; i < 2; i++) {
        fds[i] = connect_by(rig, 2 * i);
        char text[160];
        (void)snprintf(text, sizeof(text),
                       i == 0 ? "GET /v1/tasks/1?wait=60s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n"
                              : "GET /v1/tasks/1?wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       rig->port);
        client_text(fds[i], text);
    }
    fake_wait_waiting(rig->engine, 2);
    expect_problem(request(rig, "GET", "/v1/tasks/1?wait=5s", NULL, NULL), 503, "busy", NULL);

    // And all of them are answered when the server stops.
    server_stop(rig->server);
    for (size_t i = 0; i < 2; i++) {
        reply = client_read(fds[i], false);
        assert_int_equal(reply.status, 200);
        reply_fini(&reply);
        (void)close(fds[i]);
    }
}

static void what_accept_lacks_is_waited_for(void **state)
{
    struct rig *rig = *state;
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR};

    rig_start(rig);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        fault_fail(FAULT_ACCEPT4, 1, errors[i]);
        struct reply reply = request(rig, "GET", "/healthz", NULL, NULL);

        assert_int_equal(reply.status, 200);
        assert_true(fault_reached());
        reply_fini(&reply);
    }
}

static void a_server_on_several_starts_whole_or_not_at_all(void **state)
{
    struct rig *rig = *state;
    static const enum fault_call calls[] = {FAULT_MALLOC, FAULT_PTHREAD_CREATE, FAULT_EVENTFD,
                                            FAULT_SOCKET, FAULT_LISTEN,         FAULT_OPEN};
    struct config *config = fake_config(rig->engine);
    config->listeners[1] = sockets_unix_at("whole");
    config->listener_count = 2;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (int nth = 1;; nth++) {
            struct error error = {.code = 0};
            struct server *server = NULL;

            fault_fail(calls[i], nth, calls[i] == FAULT_PTHREAD_CREATE ? EAGAIN : ENOMEM);
            int r = server_start(rig->engine, NULL, &server, &error);
            bool reached = fault_reached();
            server_free(server);
            assert_int_equal(access(config->listeners[1].path, F_OK), -1);
            assert_true(r == 0 || error.text[0] != '\0');
            if (!reached) {
                assert_int_equal(r, 0);
                break;
            }
        }
    }
}

int main(void)
{
#define ON_STOPPED(test) cmocka_unit_test_setup_teardown(test, rig_setup_stopped, rig_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_socket_has_its_mode_whatever_the_umask),
        cmocka_unit_test(a_unix_socket_gets_its_group),
        cmocka_unit_test(what_a_dead_daemon_left_is_replaced),
        cmocka_unit_test(one_in_use_is_refused_and_says_who_has_it),
        cmocka_unit_test(what_is_no_socket_is_never_removed),
        cmocka_unit_test(the_file_of_another_stays_at_the_stop),
        cmocka_unit_test(a_folder_that_stays_locked_is_told),
        cmocka_unit_test(of_many_that_find_a_stale_file_one_wins_and_keeps_it),
        cmocka_unit_test(each_failed_call_leaves_nothing_behind),
        ON_STOPPED(each_listener_answers),
        ON_STOPPED(the_limit_of_connections_is_one_over_all_listeners),
        ON_STOPPED(waiting_requests_are_counted_over_all_listeners),
        ON_STOPPED(what_accept_lacks_is_waited_for),
        ON_STOPPED(a_server_on_several_starts_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, sockets_make_folder, sockets_remove_folder);
}
