/** \file
 * What a proxy or a hostile client may put on the wire, as far as it is answered: it is answered
 * once, in its order, and nothing that is hidden in it is run. What is refused stands in
 * test_refused.c.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] = "queue: { default: { workers = 1 }; };\n"
                             "kind: { noop: { builtin = 'noop' }; };\n";

// A submit in disguise: where a server takes it for a request of its own, a task with this tag
// appears.
#define SMUGGLED_BODY "{\"kind\":\"noop\",\"tags\":[\"smuggled\"]}"
#define SMUGGLED                                                                                   \
    "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Type: "                            \
    "application/json\r\nContent-Length: "                                                         \
    "35\r\n\r\n" SMUGGLED_BODY
#define HOST "Host: 127.0.0.1:PORT\r\n"
#define JSON "Content-Type: application/json\r\n"
#define TASK "{\"kind\":\"noop\"}" // 15 bytes

struct probe {
    const char *name, *request; // PORT stands for the port
};

// clang-format off
static const struct probe probes[] = {
    {"sound", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK},
    {"sound, chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"kind\"\r\n8\r\n:\"noop\"}\r\n0\r\n\r\n"},
    {"sound, Chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: Chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n"},
    {"sound, HTTP/1.0", "GET /v1/tasks HTTP/1.0\r\n" HOST "\r\n"},
};
// clang-format on

/* The template with the daemon's port in place of PORT. */
static char *with_port(const char *template, uint16_t port)
{
    char *result = repeated('\0', strlen(template) * 2 + 64);
    char *end = result;

    for (const char *c = template; *c != '\0';) {
        if (strncmp(c, "PORT", 4) == 0) {
            end += snprintf(end, 8, "%u", port);
            c += 4;
        } else {
            *end++ = *c++;
        }
    }
    return result;
}

static void nothing_smuggled(struct daemon *daemon)
{
    assert_int_equal(count_tasks(daemon, "tag=smuggled&"), 0);
}

static void a_sound_request_is_taken(void)
{
    struct daemon *daemon = daemon_started(config);
    unsigned stored = 0;

    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        struct wire *wire = wire_open(daemon->port);
        const char *request = with_port(probes[i].request, daemon->port);

        print_message("probe: %s\n", probes[i].name);
        wire_send(wire, request, strlen(request));
        struct reply *reply = wire_reply(wire, 10000);
        assert_in_range(reply->status, 200, 201);
        stored += reply->status == 201;
        assert_int_equal(count_tasks(daemon, ""), stored);
    }
    assert_int_equal(stored, 3);
}

/* Bytes that may be answered well or refused, but never by two answers, and never so that the
 * second request runs. */
static void what_libmicrohttpd_lets_pass_runs_nothing_else(void)
{
    // clang-format off
    static const struct probe loose[] = {
        {"bare line feeds", "GET /healthz HTTP/1.1\nHost: 127.0.0.1:PORT\n\n"},
        {"folded header", "GET /healthz HTTP/1.1\r\n" HOST "X-A: b\r\n c\r\n\r\n"},
        {"absolute form", "GET http://127.0.0.1:PORT/healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"double slash", "GET //healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"dots", "GET /v1/../healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"encoded slash", "GET /v1%2Ftasks HTTP/1.1\r\n" HOST "\r\n"},
        {"bad escape", "GET /v1/tasks?tag=%zz HTTP/1.1\r\n" HOST "\r\n"},
        {"asterisk", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"},
        {"connect", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n" HOST "\r\n"},
        {"empty lines first", "\r\n\r\nGET /healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"upgrade", "GET /healthz HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
    };
    // clang-format on
    struct daemon *daemon = daemon_started(config);

    for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++) {
        struct wire *wire = wire_open(daemon->port);
        const char *request = with_port(loose[i].request, daemon->port);

        print_message("probe: %s\n", loose[i].name);
        wire_send(wire, request, strlen(request));
        assert_in_range(wire_reply(wire, 10000)->status, 200, 505);
        expect_status(get(daemon, "/healthz"), 200);
        assert_int_equal(count_tasks(daemon, ""), 0);
    }
    // A NUL in a header's value, which libmicrohttpd hides from us.
    static const char with_nul[] = "GET /healthz HTTP/1.1\r\nX-A: b\0c\r\nHost: localhost\r\n\r\n";
    struct wire *wire = wire_open(daemon->port);
    wire_send(wire, with_nul, sizeof(with_nul) - 1);
    (void)wire_reply(wire, 10000);
    expect_status(get(daemon, "/healthz"), 200);
}

static void a_post_without_a_length_ends_its_connection(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);
    const char *request =
        with_port("POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, daemon->port);

    wire_send(wire, request, strlen(request));

    expect_problem(wire_reply(wire, 10000), 404, "not-found");
    assert_true(wire_closes(wire, 10000));
    nothing_smuggled(daemon);
}

static void requests_sent_ahead_are_answered_in_their_order(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);
    const char *request =
        with_port("GET /healthz HTTP/1.1\r\n" HOST "\r\n"
                  "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK
                  "GET /v1/tasks/2 HTTP/1.1\r\n" HOST "\r\n"
                  "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK,
                  daemon->port);

    wire_send(wire, request, strlen(request));

    expect_status(wire_reply(wire, 10000), 200);
    expect_number(expect_status(wire_reply(wire, 10000), 201)->json, "id", 1);
    expect_status(wire_reply(wire, 10000), 404);
    expect_number(expect_status(wire_reply(wire, 10000), 201)->json, "id", 2);
}

static void a_body_in_single_bytes_is_taken_whole(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);
    const char *request = with_port(
        "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK, daemon->port);

    for (const char *c = request; *c != '\0'; c++)
        wire_send(wire, c, 1);

    expect_status(wire_reply(wire, 20000), 201);
}

/* curl asks for leave before it sends a large body. */
static void leave_to_send_the_body_is_given_or_refused(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
               "Content-Length: 15\r\nExpect: 100-continue\r\n\r\n",
               daemon->port);
    assert_true(wire_readable(wire, 10000));
    wire_send(wire, TASK, 15);
    expect_status(wire_reply(wire, 10000), 201);

    wire = wire_open(daemon->port);
    wire_sendf(wire,
               "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" JSON
               "Content-Length: 90000000\r\nExpect: 100-continue\r\n\r\n",
               daemon->port);
    expect_problem(wire_reply(wire, 10000), 413, "too-large");
    assert_true(wire_closes(wire, 10000));
}

/* ---- who may call ---- */

// clang-format off
static const char *const callers[] = {
    "Host: 127.0.0.1:PORT\r\n",
    "Host: localhost:PORT\r\n",
    "Host: LOCALHOST:PORT\r\n",
    "Host: [::1]:PORT\r\n",
    "Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: none\r\n",
    "Host: 127.0.0.1:PORT\r\nReferer: http://evil.example/\r\n",
    "Host: 127.0.0.1:PORT\r\nX-Forwarded-Host: evil.example\r\n",
};
// clang-format on

static void who_names_the_own_address_and_is_no_web_page_is_served(void)
{
    struct daemon *daemon = daemon_started(config);

    for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
        struct wire *wire = wire_open(daemon->port);

        wire_sendf(wire, "POST /v1/tasks HTTP/1.1\r\n%s" JSON "Content-Length: 15\r\n\r\n" TASK,
                   with_port(callers[i], daemon->port));
        struct reply *reply = expect_status(wire_reply(wire, 10000), 201);
        assert_null(reply_header(reply, "Access-Control-Allow-Origin"));
    }
}

HARNESS_MAIN(SCENARIO(a_sound_request_is_taken),
             SCENARIO(what_libmicrohttpd_lets_pass_runs_nothing_else),
             SCENARIO(a_post_without_a_length_ends_its_connection),
             SCENARIO(requests_sent_ahead_are_answered_in_their_order),
             SCENARIO(a_body_in_single_bytes_is_taken_whole),
             SCENARIO(leave_to_send_the_body_is_given_or_refused),
             SCENARIO(who_names_the_own_address_and_is_no_web_page_is_served))
