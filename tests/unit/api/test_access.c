/* Who may do what: tokens against a real server, and the pure parts beside it. */
#include "unit.h"

#include "client.h"
#include "token_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/core.h"
#include "api/routes.h"
#include "fault.h"

/* ---- which token ---- */

static void every_token_is_compared_whatever_is_sent(void **state)
{
    static const struct {
        const char *authorization;
        int found; // index; -1: none
    } rows[] = {{NULL, -1},
                {"", -1},
                {"Bearer", -1},
                {"Bearer ", -1},
                {"Bearer      ", -1},
                {"Bearer x", -1},
                {"Bearer first", 0},
                {"bearer first", 0},
                {"BEARER   first", 0},
                {"Bearer last", 2},
                {"Bearer firs", -1},
                {"Bearer firstt", -1},
                {"Bearer first ", -1},
                {"Bearer first last", -1},
                {"Bearer FIRST", -1},
                {"Bearerfirst", -1},
                {"Basic first", -1},
                {"first", -1},
                {" Bearer first", -1},
                {"Bearer \tfirst", -1}};

    (void)state;
    token_count = 0;
    (void)add_token("first", 0);
    (void)add_token("", 0); // the hash of nothing lets nobody in
    (void)add_token("last", 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t compared = 0;
        const struct config_token *token =
            access_find(tokens, token_count, rows[i].authorization, &compared);

        assert_int_equal(compared, token_count);
        if (token != (rows[i].found < 0 ? NULL : &tokens[rows[i].found]))
            fail_msg("%s", rows[i].authorization);
    }
    size_t compared = 1;
    assert_null(access_find(tokens, 0, "Bearer first", &compared));
    assert_int_equal(compared, 0);
}

static void who_sends_none_is_told_what_is_wanted(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *fields, *challenge;
    } rows[] = {
        {"", "Bearer realm=\"runnel\""},
        {"Authorization:\r\n", "Bearer realm=\"runnel\""},
        {"Authorization: Basic YTpi\r\n", "Bearer realm=\"runnel\""},
        {"Authorization: read\r\n", "Bearer realm=\"runnel\""},
        {"Authorization: Bearer\r\n", "Bearer realm=\"runnel\", error=\"invalid_token\""},
        {"Authorization: Bearer nobody\r\n", "Bearer realm=\"runnel\", error=\"invalid_token\""},
        {"Authorization: Bearer rea\r\n", "Bearer realm=\"runnel\", error=\"invalid_token\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply reply = request(rig, "GET", "/v1/tasks", rows[i].fields, NULL);
        char *challenge = reply_field(&reply, "WWW-Authenticate");

        assert_non_null(challenge);
        assert_string_equal(challenge, rows[i].challenge);
        assert_false(reply.closed);
        free(challenge);
        expect_problem(reply, 401, "unauthorized", NULL);
    }
    expect_problem(request(rig, "GET", "/v1/tasks",
                           "Authorization: Bearer read\r\nAuthorization: x\r\n", NULL),
                   400, "framing", NULL);
}

static void nothing_is_told_of_what_there_is_before_the_token(void **state)
{
    struct rig *rig = *state;

    expect_problem(request(rig, "GET", "/v1/nowhere", NULL, NULL), 401, "unauthorized", NULL);
    struct reply reply = request(rig, "PUT", "/v1/tasks", NULL, NULL);
    assert_null(reply_field(&reply, "Allow"));
    expect_problem(reply, 401, "unauthorized", NULL);
    expect_problem(request(rig, "OPTIONS", "/v1/tasks", NULL, NULL), 401, "unauthorized", NULL);
    // The body is not waited for.
    int fd = client_connect(rig);
    reply = request_on(fd, rig, "POST", "/v1/tasks", JSON "Content-Length: 90000000\r\n", NULL);
    assert_true(reply.closed);
    expect_problem(reply, 401, "unauthorized", NULL);
    assert_true(client_is_closed(fd));
    (void)close(fd);
    expect_problem(request(rig, "GET", "/v1/nowhere", bearer("work"), NULL), 404, "not-found",
                   NULL);
    expect_problem(request(rig, "PUT", "/v1/tasks", bearer("work"), NULL), 405,
                   "method-not-allowed", NULL);
    expect_status(request(rig, "OPTIONS", "/v1/tasks", bearer("work"), NULL), 204);
}

static void wrong_tokens_are_answered_ten_times_a_second_and_right_ones_always(void **state)
{
    struct rig *rig = *state;
    unsigned told = 0;
    unsigned limited = 0;
    rn_time began = rn_now();

    for (int i = 0; i < 40; i++) {
        struct reply reply = request(rig, "GET", "/v1/tasks", bearer("nobody"), NULL);
        told += reply.status == 401;
        limited += reply.status == 429;
        if (reply.status == 429) {
            char *after = reply_field(&reply, "Retry-After");
            assert_string_equal(after, "1");
            free(after);
            assert_string_equal(json_text_at(&reply, "code"), "rate-limited");
            assert_null(reply_field(&reply, "WWW-Authenticate"));
        }
        reply_fini(&reply);
        expect_status(request(rig, "GET", "/v1/tasks", bearer("read"), NULL), 200);
    }
    double seconds = (double)(rn_now() - began) / RN_SECOND;
    assert_int_equal(told + limited, 40);
    assert_true(told >= 10);
    assert_true(told <= 10 + 10 * seconds + 1);
}

/* ---- what it may do ---- */

static const struct {
    const char *method, *path, *body;
    enum access_need need;
} calls[] = {
    {"POST", "/v1/tasks", ECHO, ACCESS_SUBMIT},
    {"POST", "/v1/tasks?wait=0s", ECHO, ACCESS_SUBMIT},
    {"GET", "/v1/tasks/1", NULL, ACCESS_READ},
    {"HEAD", "/v1/tasks/1", NULL, ACCESS_READ},
    {"GET", "/v1/tasks/1/result", NULL, ACCESS_READ},
    {"GET", "/v1/tasks", NULL, ACCESS_READ},
    {"POST", "/v1/tasks/1/cancel", "", ACCESS_ADMIN},
    {"POST", "/v1/tasks/1/retry", "", ACCESS_ADMIN},
    {"DELETE", "/v1/tasks/1", NULL, ACCESS_ADMIN},
    {"PATCH", "/v1/tasks/1", "{}", ACCESS_ADMIN},
    {"POST", "/v1/tasks/actions", "{}", ACCESS_ADMIN},
    {"GET", "/v1/queues", NULL, ACCESS_READ},
    {"GET", "/v1/queues/mail", NULL, ACCESS_READ},
    {"PATCH", "/v1/queues/mail", "{\"workers\":3}", ACCESS_ADMIN_QUEUE},
    {"POST", "/v1/queues/mail/pause", "", ACCESS_ADMIN_QUEUE},
    {"POST", "/v1/queues/mail/resume", "", ACCESS_ADMIN_QUEUE},
    {"POST", "/v1/queues/mail/purge", "{\"dry_run\":1}", ACCESS_ADMIN_QUEUE},
    {"POST", "/v1/backup", "", ACCESS_ADMIN_WHOLE},
    {"POST", "/v1/export", "", ACCESS_ADMIN_WHOLE},
    {"POST", "/v1/import", "", ACCESS_ADMIN_WHOLE},
    {"GET", "/v1/stats", NULL, ACCESS_READ_WHOLE},
    {"GET", "/v1/info", NULL, ACCESS_READ},
    {"GET", "/metrics", NULL, ACCESS_READ_WHOLE},
    {"GET", "/openapi.json", NULL, ACCESS_TOKEN},
    {"GET", "/problems", NULL, ACCESS_TOKEN},
    {"GET", "/problems/forbidden", NULL, ACCESS_TOKEN},
    {"GET", "/", NULL, ACCESS_PUBLIC},
    {"GET", "/healthz", NULL, ACCESS_PUBLIC},
    {"HEAD", "/healthz", NULL, ACCESS_PUBLIC},
    {"GET", "/readyz", NULL, ACCESS_PUBLIC},
};

static bool may(const char *token, enum access_need need)
{
    if (need == ACCESS_TOKEN || need == ACCESS_PUBLIC || strcmp(token, "admin") == 0)
        return true;
    if (need == ACCESS_SUBMIT)
        return strcmp(token, "submit") == 0;
    return (need == ACCESS_READ || need == ACCESS_READ_WHOLE) && strcmp(token, "read") == 0;
}

static void each_call_needs_its_scope(void **state)
{
    struct rig *rig = *state;
    static const char *const names[] = {"read", "submit", "work", "admin"};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (size_t n = 0; n < 4; n++) {
            unsigned before = fake_task_count(rig->engine);
            struct reply reply =
                request(rig, calls[i].method, calls[i].path, bearer(names[n]), calls[i].body);
            bool is_refused = reply.status == 403 || reply.status == 401;
            if (is_refused == may(names[n], calls[i].need))
                fail_msg("%s %s with %s: %d %s", calls[i].method, calls[i].path, names[n],
                         reply.status, reply.body);
            if (is_refused) {
                char *challenge = reply_field(&reply, "WWW-Authenticate");
                assert_non_null(strstr(challenge, "error=\"insufficient_scope\", scope=\""));
                free(challenge);
                assert_int_equal(fake_task_count(rig->engine), before);
            }
            reply_fini(&reply);
        }
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].need == ACCESS_PUBLIC)
            expect_status(request(rig, calls[i].method, calls[i].path, NULL, NULL), 200);
    }
}

/* The table above has each route with what it needs: a new route is thought of here. */
static void each_route_stands_in_the_table_of_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        bool found = false;
        for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]) && !found; c++) {
            struct request *asked = calloc(1, sizeof(*asked));
            const struct route *of_call = NULL;
            char allow[ROUTES_ALLOW_BYTES];
            char path[64];

            (void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(calls[c].path, "?"),
                           calls[c].path);
            found = routes_find(asked, calls[c].method, path, &of_call, allow) == 0 &&
                    of_call == route && calls[c].need == route->access;
            free(asked);
        }
        if (!found)
            fail_msg("%s %s", route->method, route->path);
    }
}

/* ---- rates ---- */

static void a_token_with_a_rate_is_told_what_is_left_and_when(void **state)
{
    struct rig *rig = *state;
    static const char *const left[] = {"\"token\";r=1;t=3600", "\"token\";r=0;t=3600",
                                       "\"token\";r=0;t=3600"};

    for (int i = 0; i < 3; i++) {
        struct reply reply = request(rig, "GET", "/v1/tasks", bearer("slow"), NULL);
        char *policy = reply_field(&reply, "RateLimit-Policy");
        char *limit = reply_field(&reply, "RateLimit");

        assert_string_equal(policy, "\"token\";q=2;w=7200");
        assert_string_equal(limit, left[i]);
        free(policy);
        free(limit);
        if (i < 2) {
            expect_status(reply, 200);
            continue;
        }
        char *after = reply_field(&reply, "Retry-After");
        assert_string_equal(after, "3600");
        free(after);
        assert_false(reply.closed);
        expect_problem(reply, 429, "rate-limited", NULL);
    }
    struct reply reply = request(rig, "GET", "/v1/tasks", bearer("read"), NULL);
    assert_null(reply_field(&reply, "RateLimit"));
    expect_status(reply, 200);
    expect_status(request(rig, "GET", "/healthz", bearer("slow"), NULL), 200);
}

static void a_rate_is_told_as_a_quota_in_a_window(void **state)
{
    static const struct {
        double per_s;
        unsigned burst;
        uint64_t quota, window_s;
    } rows[] = {{10, 1, 10, 1},
                {10, 20, 20, 2},
                {1.5, 2, 3, 2},
                {2.5 / 3600, 1, 1, 1440},
                {1000000, 1000000, 1000000, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct access access = {.refusals = NULL};
        struct access_quota quota;
        rn_time now = rn_now();

        token_count = 0;
        struct config_token *token = add_token("t", 0);
        token->rate.per_s = rows[i].per_s;
        token->burst = rows[i].burst;
        const struct config config = {.tokens = tokens, .token_count = 1};
        access_init(&access);
        assert_int_equal(access_load(&access, &config), 0);
        assert_true(access_take(&access, token, now, &quota));
        assert_true(quota.is_allowed);
        assert_int_equal(quota.quota, rows[i].quota);
        assert_int_equal(quota.window_s, rows[i].window_s);
        assert_int_equal(quota.left, rows[i].burst - 1);
        for (unsigned n = 1; n < rows[i].burst && n < 100; n++)
            assert_true(access_take(&access, token, now, &quota) && quota.is_allowed);
        if (rows[i].burst < 100) {
            assert_true(access_take(&access, token, now, &quota));
            assert_false(quota.is_allowed);
            assert_int_equal(quota.left, 0);
            assert_true(
                access_take(&access, token, now + (rn_time)quota.reset_s * RN_SECOND, &quota));
            assert_true(quota.is_allowed);
        }
        access_fini(&access);
    }
}

static void what_is_left_of_a_token_outlives_a_reload(void **state)
{
    struct access access = {.refusals = NULL};
    struct access_quota quota;
    rn_time now = rn_now();

    (void)state;
    token_count = 0;
    (void)add_token("plain", 0);
    for (int i = 0; i < 3; i++) {
        struct config_token *token = add_token(i == 0 ? "kept" : i == 1 ? "changed" : "gone", 0);
        token->rate.per_s = 1.0 / 3600;
        token->burst = 2;
    }
    struct config config = {.tokens = tokens, .token_count = token_count};
    access_init(&access);
    assert_int_equal(access_load(&access, &config), 0);
    assert_false(access_take(&access, &tokens[0], now, &quota)); // it has no rate
    for (size_t i = 1; i < 4; i++) {
        assert_true(access_take(&access, &tokens[i], now, &quota));
        assert_int_equal(quota.left, 1);
    }

    // The order is another one, one has a new hash, one has gone, one has come.
    struct config_token before[4];
    memcpy(before, tokens, sizeof(before));
    struct config_token new_one = before[0];
    new_one.rate = before[1].rate;
    new_one.burst = 5;
    tokens[0] = new_one;
    tokens[1] = before[2];
    tokens[1].hash[0] ^= 1;
    tokens[2] = before[1];
    tokens[2].burst = 3;
    config.token_count = 3;
    assert_int_equal(access_load(&access, &config), 0);

    assert_true(access_take(&access, &tokens[0], now, &quota));
    assert_int_equal(quota.left, 4);
    assert_true(access_take(&access, &tokens[1], now, &quota));
    assert_int_equal(quota.left, 1);
    assert_true(access_take(&access, &tokens[2], now, &quota)); // the kept one had one left
    assert_true(quota.is_allowed);
    assert_int_equal(quota.left, 0);
    assert_false(access_take(&access, &before[3], now, &quota)); // a request of before
    access_fini(&access);
}

static void without_memory_a_reload_changes_nothing(void **state)
{
    struct access access = {.refusals = NULL};
    struct access_quota quota;
    int nth = 1;

    (void)state;
    token_count = 0;
    for (int i = 0; i < 2; i++) {
        struct config_token *token = add_token(i == 0 ? "a" : "b", 0);
        token->rate.per_s = 1.0 / 3600;
        token->burst = 2;
    }
    const struct config config = {.tokens = tokens, .token_count = token_count};
    access_init(&access);
    for (;; nth++) {
        fault_fail_malloc(nth);
        int r = access_load(&access, &config);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
    assert_true(nth > 2);
    assert_true(access_take(&access, &tokens[0], rn_now(), &quota));
    for (nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = access_load(&access, &config);
        if (!fault_reached())
            break;
        assert_int_equal(r, -ENOMEM);
    }
    assert_true(access_take(&access, &tokens[0], rn_now(), &quota));
    assert_int_equal(quota.left, 0);
    access_fini(&access);
}

/* ---- sockets ---- */

/* A connection to the server over a unix socket. */
static int connect_unix(struct rig *rig)
{
    const struct sockaddr address = {.sa_family = AF_UNIX};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    struct listener *listener = &rig->server->listeners[0];
    listener->is_unix = true; // nobody else comes in by it
    assert_int_equal(MHD_add_connection(listener->daemon, fds[1], &address, sizeof(address)),
                     MHD_YES);
    struct timeval patience = {.tv_sec = 60};
    int flags = fcntl(fds[0], F_GETFL);
    assert_int_equal(fcntl(fds[0], F_SETFL, flags & ~O_NONBLOCK), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fds[0];
}

static void on_a_unix_socket_only_who_sends_a_token_is_asked_for_it(void **state)
{
    struct rig *rig = *state;
    int fd = connect_unix(rig);

    expect_status(request_on(fd, rig, "POST", "/v1/tasks", JSON, ECHO), 201);
    expect_status(request_on(fd, rig, "GET", "/metrics", NULL, NULL), 200);
    expect_status(request_on(fd, rig, "GET", "/v1/tasks", bearer("read"), NULL), 200);
    expect_problem(request_on(fd, rig, "GET", "/v1/tasks", bearer("submit"), NULL), 403,
                   "forbidden", NULL);
    expect_problem(request_on(fd, rig, "GET", "/v1/tasks", bearer("nobody"), NULL), 401,
                   "unauthorized", NULL);
    expect_problem(request_on(fd, rig, "GET", "/v1/tasks", "Authorization:\r\n", NULL), 401,
                   "unauthorized", NULL);
    (void)close(fd);

    // Any Host, but no web page.
    static const struct {
        const char *fields;
        int status;
    } rows[] = {{"Host: runnel\r\n", 200},
                {"Host: evil.example\r\n", 200},
                {"Host: localhost\r\nOrigin: http://localhost\r\n", 403},
                {"Host: localhost\r\nOrigin: null\r\n", 403},
                {"Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 403},
                {"Host: localhost\r\nSec-Fetch-Site: none\r\n", 200}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fd = connect_unix(rig);
        client_textf(fd, "GET /v1/tasks HTTP/1.1\r\n%s\r\n", rows[i].fields);
        expect_status(client_read(fd, false), rows[i].status);
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_compared_whatever_is_sent),
        WITH_TOKENS(who_sends_none_is_told_what_is_wanted),
        WITH_TOKENS(nothing_is_told_of_what_there_is_before_the_token),
        WITH_TOKENS(wrong_tokens_are_answered_ten_times_a_second_and_right_ones_always),
        WITH_TOKENS(each_call_needs_its_scope),
        cmocka_unit_test(each_route_stands_in_the_table_of_calls),
        WITH_TOKENS(a_token_with_a_rate_is_told_what_is_left_and_when),
        cmocka_unit_test(a_rate_is_told_as_a_quota_in_a_window),
        cmocka_unit_test(what_is_left_of_a_token_outlives_a_reload),
        cmocka_unit_test(without_memory_a_reload_changes_nothing),
        WITH_TOKENS(on_a_unix_socket_only_who_sends_a_token_is_asked_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
