/* The access log where an integration test can't reach: deadlines, memory, and who is a peer. */
#include "unit.h"

#include "client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/core.h"
#include "capture.h"
#include "fault.h"
#include "observe/log.h"

static int logging_setup(void **state)
{
    (void)unsetenv("JOURNAL_STREAM");
    if (rig_setup_stopped(state) != 0)
        return -1;
    struct rig *rig = *state;
    fake_config(rig->engine)->access_log = true;
    capture_start();
    log_init(LOG_LEVEL_NOTICE);
    rig_start(rig);
    return 0;
}

static int logging_teardown(void **state)
{
    size_t size;
    free(capture_end(&size));
    return rig_teardown(state);
}

/* The line with this part, new, once it is there. */
static char *logged(const char *part)
{
    static char text[64 << 10];
    rn_time until = rn_after(30 * RN_SECOND);

    for (;;) {
        ssize_t n = pread(capture_fd(), text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        const char *found = strstr(text, part);
        if (found != NULL && strchr(found, '\n') != NULL) {
            const char *line = found;
            while (line > text && line[-1] != '\n')
                line--;
            return strndup(line, strcspn(line, "\n"));
        }
        if (rn_now() > until)
            fail_msg("no %s in: %s", part, text);
        (void)poll(NULL, 0, 5);
    }
}

static void a_body_that_took_too_long_is_logged_as_408(void **state)
{
    struct rig *rig = *state;

    fake_config(rig->engine)->limits.body_timeout = 300 * RN_MILLISECOND;
    int fd = client_connect(rig);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                 "application/json\r\nContent-Length: 100\r\n\r\n{  ",
                 rig->port);
    expect_problem(client_read(fd, false), 408, "request-timeout", NULL);
    char *line = logged("event=request ");

    assert_non_null(strstr(line, " level=notice event=request request_id=1.1 peer=127.0.0.1:"));
    assert_non_null(strstr(line, " method=POST status=408 bytes_in=3 bytes_out=0 duration_ms="));
    assert_non_null(strstr(line, " expired=true url=/v1/tasks"));
    free(line);
    (void)close(fd);
}

static void a_header_that_took_too_long_is_logged_without_a_status(void **state)
{
    struct rig *rig = *state;

    fake_config(rig->engine)->limits.header_timeout = 300 * RN_MILLISECOND;
    int fd = client_connect(rig);
    client_text(fd, "GET /slow HTTP/1.1\r\n");
    assert_true(client_is_closed(fd));
    char *line = logged("event=request ");

    assert_non_null(strstr(line, " method=- status=0 bytes_in=0 bytes_out=0 "));
    assert_non_null(strstr(line, " expired=true url=/slow"));
    free(line);
    (void)close(fd);
}

static void a_stream_that_was_left_tells_what_it_stored(void **state)
{
    struct rig *rig = *state;

    int fd = client_connect(rig);
    client_textf(fd,
                 "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: "
                 "application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
                 rig->port);
    // The second slice goes when the first one's end has been seen.
    while (fake_put_count(rig->engine) < 2) {
        client_text(fd, "10\r\n{\"kind\":\"echo\"}\n\r\n");
        (void)poll(NULL, 0, 5);
    }
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(fd);
    char *line = logged("event=request ");

    assert_non_null(strstr(line, " method=POST status=0 "));
    const char *tasks = strstr(line, " tasks=");
    assert_true(tasks != NULL && tasks[7] >= '1' && tasks[7] <= '9');
    assert_non_null(strstr(line, " left=true url=/v1/tasks"));
    free(line);
}

/* Fails the nth allocation of a request, of which none is the client's. false: there is none. */
static bool fails_at(struct rig *rig, int nth)
{
    char text[400];
    int fd = client_connect(rig);
    // The connection and what belongs to it are there once a first answer has come.
    struct reply reply = request_on(fd, rig, "GET", "/readyz", NULL, NULL);

    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
    (void)snprintf(text, sizeof(text), "GET /healthz?pretty HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                   rig->port);
    fault_fail_malloc(nth);
    client_text(fd, text);
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    bool struck = fault_reached();
    text[n > 0 ? n : 0] = '\0';
    assert_true(n <= 0 || status_of(text) == 200 || status_of(text) == 503);
    (void)close(fd);
    return struck;
}

static void without_memory_for_the_url_the_request_is_logged_all_the_same(void **state)
{
    int nth = 1;

    while (fails_at(*state, nth))
        nth++;
    assert_true(nth > 2);
    char *line = logged(" url=-\n");
    assert_non_null(strstr(line, " method=GET status=200 "));
    free(line);
}

static void a_peer_is_an_address_or_a_user(void **state)
{
    (void)state;
    char text[REQUEST_LOG_PEER_BYTES];
    char user[32];
    int pair[2];
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(40000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_addr = in6addr_loopback};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr other = {.sa_family = AF_NETLINK};

    assert_string_equal(request_log_peer((struct sockaddr *)&four, -1, text), "127.0.0.1:40000");
    assert_string_equal(request_log_peer((struct sockaddr *)&six, -1, text), "[::1]:1");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(user, sizeof(user), "unix:%u", (unsigned)getuid());
    assert_string_equal(request_log_peer((struct sockaddr *)&local, pair[0], text), user);
    (void)close(pair[0]);
    (void)close(pair[1]);
    assert_string_equal(request_log_peer((struct sockaddr *)&local, -1, text), "unix");
    assert_null(request_log_peer(&other, -1, text));
    assert_null(request_log_peer(NULL, -1, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_that_took_too_long_is_logged_as_408, logging_setup,
                                        logging_teardown),
        cmocka_unit_test_setup_teardown(a_header_that_took_too_long_is_logged_without_a_status,
                                        logging_setup, logging_teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_was_left_tells_what_it_stored, logging_setup,
                                        logging_teardown),
        cmocka_unit_test_setup_teardown(
            without_memory_for_the_url_the_request_is_logged_all_the_same, logging_setup,
            logging_teardown),
        cmocka_unit_test(a_peer_is_an_address_or_a_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
