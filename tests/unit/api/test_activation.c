/* Listening sockets that are passed in. */
#include "unit.h"

#include "client.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/activation.h"
#include "api/core.h"
#include "sockets.h"

/* Without tokens. */
static const struct config nobody;

/* As systemd passes them: from descriptor 3 on, named by the environment. What this process has
 * there stands aside meanwhile. */
static int take_passed(const int *fds, int count, struct server_sockets *ret_sockets,
                       struct error *reterr)
{
    char text[32];
    int aside[24];

    for (int i = 0; i < count; i++) {
        aside[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 100);
        if (dup2(fds[i], 3 + i) < 0)
            return -errno;
    }
    (void)snprintf(text, sizeof(text), "%ld", (long)getpid());
    (void)setenv("LISTEN_PID", text, 1);
    (void)snprintf(text, sizeof(text), "%d", count);
    (void)setenv("LISTEN_FDS", text, 1);
    int r = server_sockets_take(&nobody, ret_sockets, reterr);
    for (int i = 0; i < count; i++) {
        if (r == 0)
            ret_sockets->fds[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 200);
        if (aside[i] >= 0) {
            (void)dup2(aside[i], 3 + i);
            (void)close(aside[i]);
        } else {
            (void)close(3 + i);
        }
    }
    return r;
}

/* Free descriptors at 100 and above stay free: so what is passed must lie there. */
static int high(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 300);
    (void)close(fd);
    return moved;
}

static void passed_sockets_take_the_place_of_the_configuration(void **state)
{
    struct rig *rig = *state;
    const struct config_listener tcp = {.host = "127.0.0.1"};
    const struct config_listener local = sockets_unix_at("passed");
    struct listen_socket made[2] = {sockets_opened(&tcp, &sockets_usual),
                                    sockets_opened(&local, &sockets_usual)};
    const int fds[2] = {high(made[0].fd), high(made[1].fd)};
    struct server_sockets sockets;
    struct error error = {.code = 0};
    struct error ignored;

    assert_int_equal(take_passed(fds, 2, &sockets, &error), 0);
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_PID"));
    assert_int_equal(sockets.count, 2);
    assert_true(sockets.listeners[0].is_loopback);
    assert_int_equal(sockets.listeners[0].port, made[0].port);
    assert_string_equal(sockets.listeners[1].path, local.path);
    fake_config(rig->engine)->listeners[0].port = 1; // is not tried
    int r = server_start(rig->engine, &sockets, &rig->server, &ignored);
    assert_int_equal(r, 0);
    rig->port = server_port(rig->server);
    // Until the daemon is ready who comes waits.
    int fd = client_connect(rig);
    client_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    struct pollfd early = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&early, 1, 100), 0);
    assert_int_equal(server_ready(rig->server), 0);
    struct reply reply = client_read(fd, false);
    assert_int_equal(reply.status, 403); // its Host has no port
    reply_fini(&reply);
    (void)close(fd);
    reply = request(rig, "GET", "/healthz", NULL, NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    assert_int_equal(sockets_connect(local.path), 0);

    server_free(rig->server);
    rig->server = NULL;

    // Its file is systemd's, who still has the socket.
    assert_int_equal(access(local.path, F_OK), 0);
    assert_int_equal(sockets_connect(local.path), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(unlink(local.path), 0);
}

static void what_is_no_listening_stream_socket_is_refused(void **state)
{
    (void)state;
    struct server_sockets sockets;
    struct error error = {.code = 0};
    int bad[4];

    bad[0] = high(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    bad[1] = high(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); // does not listen
    bad[2] = high(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const struct config_listener open_to_all = {.host = "0.0.0.0"};
    bad[3] = high(sockets_opened(&open_to_all, &sockets_usual).fd);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error.text[0] = '\0';
        assert_int_equal(take_passed(&bad[i], 1, &sockets, &error), -EINVAL);
        assert_non_null(strstr(error.text, "socket 3"));
        assert_int_equal(sockets.count, 0);
        (void)close(bad[i]);
    }
    // Without the variables there are none.
    assert_int_equal(server_sockets_take(&nobody, &sockets, &error), 0);
    assert_int_equal(sockets.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passed_sockets_take_the_place_of_the_configuration,
                                        rig_setup_stopped, rig_teardown),
        cmocka_unit_test(what_is_no_listening_stream_socket_is_refused),
    };
    return cmocka_run_group_tests(tests, sockets_make_folder, sockets_remove_folder);
}
