/* How large a body may be, and how much memory all of them together: raw bytes against a real
 * server. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON "Content-Type: application/json\r\n"

/* A request whose body is to have so many bytes, up to the empty line. */
static int announce(struct rig *rig, const char *call, size_t bytes)
{
    int fd = client_connect(rig);

    client_textf(fd, "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON "Content-Length: %zu\r\n\r\n",
                 call, rig->port, bytes);
    return fd;
}

static void a_body_too_large_is_refused_by_its_announcement(void **state)
{
    struct rig *rig = *state;

    int fd = announce(rig, "POST /v1/tasks", (16 << 20) + 1);
    expect_problem(client_read(fd, false), 413, "too-large", NULL);
    assert_true(client_is_closed(fd));
    (void)close(fd);

    // One task: its first byte tells that it is none of an array.
    fd = announce(rig, "POST /v1/tasks", (2 << 20) + 1);
    client_text(fd, "{");
    expect_problem(client_read(fd, false), 413, "too-large", NULL);
    assert_true(client_is_closed(fd));
    (void)close(fd);

    fd = announce(rig, "PATCH /v1/queues/mail", (64 << 10) + 1);
    expect_problem(client_read(fd, false), 413, "too-large", NULL);
    (void)close(fd);
}

static void a_body_too_large_is_refused_while_it_is_read(void **state)
{
    struct rig *rig = *state;
    const size_t length = 3 << 20;
    char *body = malloc(length);
    int fd = client_connect(rig);

    memset(body, ' ', length);
    body[0] = '{';
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
                 "Transfer-Encoding: chunked\r\n\r\n300000\r\n",
                 rig->port);
    client_send(fd, body, length);
    expect_problem(client_read(fd, false), 413, "too-large", NULL);
    (void)close(fd);
    free(body);
}

static void requests_together_take_bounded_memory(void **state)
{
    struct rig *rig = *state;
    char *body = malloc(4 << 20);
    int fds[3];

    fake_config(rig->engine)->max_request_memory = 8 << 20;
    rig_start(rig);
    memset(body, ' ', 4 << 20);
    body[0] = '[';
    for (int i = 0; i < 2; i++) {
        fds[i] = announce(rig, "POST /v1/tasks", 4 << 20);
        client_send(fds[i], body, (4 << 20) - 1); // all but the last byte
    }
    // When both are in memory one that needs as much again is refused.
    while (rig_memory(rig) < 8 << 20)
        continue;
    fds[2] = announce(rig, "POST /v1/tasks", 4 << 20);
    client_send(fds[2], body, 4 << 20);
    struct reply reply = client_read(fds[2], false);
    if (reply.status == 503) {
        char *after = reply_field(&reply, "Retry-After");
        assert_string_equal(after, "1");
        free(after);
    }
    expect_problem(reply, 503, "busy", NULL);
    client_text(fds[0], "]");
    expect_problem(client_read(fds[0], false), 422, "invalid-task", "#");
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_too_large_is_refused_by_its_announcement, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(a_body_too_large_is_refused_while_it_is_read, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(requests_together_take_bounded_memory, rig_setup_stopped,
                                        rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
