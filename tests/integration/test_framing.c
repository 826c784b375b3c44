/** \file
 * What a proxy, a hostile client or a web page may put on the wire: requests that can be read in
 * two ways are refused and their connection ends, none of a second request hidden in them is run;
 * and only callers that the address is meant for are answered.
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

enum verdict {
    REFUSED, // a 4xx or 5xx, then the end of the connection; nothing stored
    FRAMING, // the same, and it is our own 400 `framing`
    FINE,    // 200 or 201
};

struct probe {
    const char *name, *request; // PORT stands for the port
    size_t bytes;               // 0: strlen
    enum verdict verdict;
};

// clang-format off
static const struct probe probes[] = {
    {"two different lengths", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\nContent-Length: 200\r\n\r\n" TASK SMUGGLED, 0, FRAMING},
    {"two equal lengths", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\nContent-Length: 15\r\n\r\n" TASK, 0, FRAMING},
    {"length 0, then another", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"length and chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"chunked and length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\nContent-Length: 25\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"two hosts", "GET /v1/tasks HTTP/1.1\r\n" HOST HOST "\r\n" SMUGGLED, 0, FRAMING},
    {"two other hosts", "GET /v1/tasks HTTP/1.1\r\n" HOST "Host: evil.example\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"space before the colon", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length : 15\r\n\r\n" TASK SMUGGLED, 0, FRAMING},
    {"tab before the colon", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length\t: 15\r\n\r\n" TASK SMUGGLED, 0, FRAMING},
    {"folded length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length:\r\n 200\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"folded length, optional body", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Content-Length:\r\n 200\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"folded transfer-encoding", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"gzip, chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: gzip, chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 0, FRAMING},
    {"xchunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: xchunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 0, FRAMING},
    {"identity", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: identity\r\nContent-Length: 15\r\n\r\n" TASK, 0, FRAMING},
    {"chunked twice", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 0, FRAMING},
    {"chunked, identity", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked, identity\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 0, FRAMING},
    {"empty transfer-encoding", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding:\r\nContent-Length: 15\r\n\r\n" TASK, 0, FRAMING},
    {"two content types", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Type: text/plain\r\nContent-Length: 15\r\n\r\n" TASK, 0, FRAMING},
    {"two authorizations", "GET /v1/tasks HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 0, FRAMING},
    {"length +15", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: +15\r\n\r\n" TASK, 0, REFUSED},
    {"length -1", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: -1\r\n\r\n" TASK, 0, REFUSED},
    {"length 15, 15", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15, 15\r\n\r\n" TASK SMUGGLED, 0, REFUSED},
    {"length 0x0f", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 0x0f\r\n\r\n" TASK, 0, REFUSED},
    {"length overflows", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 18446744073709551631\r\n\r\n" TASK SMUGGLED, 0, REFUSED},
    {"empty length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length:\r\n\r\n" TASK, 0, REFUSED},
    {"length 1 5", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 1 5\r\n\r\n" TASK, 0, REFUSED},
    {"no host", "GET /v1/tasks HTTP/1.1\r\n\r\n" SMUGGLED, 0, REFUSED},
    {"bad chunk size", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nzz\r\n" TASK "\r\n0\r\n\r\n", 0, REFUSED},
    {"chunk size overflows", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 0, REFUSED},
    {"HTTP/2.0", "GET /v1/tasks HTTP/2.0\r\n" HOST "\r\n", 0, REFUSED},
    {"HTTP/1.9", "GET /v1/tasks HTTP/1.9\r\n" HOST "\r\n", 0, REFUSED},
    {"NUL in the path", "GET /v1/tasks%00x HTTP/1.1\r\n" HOST "\r\n", 0, FRAMING},
    {"a tab in a name", "GET /v1/tasks HTTP/1.1\r\n" HOST "X\tY: z\r\n\r\n", 0, FRAMING},
    {"a name with spaces", "GET /v1/tasks HTTP/1.1\r\n" HOST "X Y: z\r\n\r\n", 0, FRAMING},
    {"body on a GET", "GET /v1/tasks HTTP/1.1\r\n" HOST "Content-Length: 15\r\n\r\n" TASK, 0, FRAMING},
    {"sound", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK, 0, FINE},
    {"sound, chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"kind\"\r\n8\r\n:\"noop\"}\r\n0\r\n\r\n", 0, FINE},
    {"sound, Chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: Chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 0, FINE},
    {"sound, HTTP/1.0", "GET /v1/tasks HTTP/1.0\r\n" HOST "\r\n", 0, FINE},
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

static void a_request_that_can_be_read_in_two_ways_is_refused_and_its_connection_ends(void)
{
    struct daemon *daemon = daemon_started(config);
    unsigned stored = 0;

    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        const struct probe *probe = &probes[i];
        struct wire *wire = wire_open(daemon->port);
        const char *request = with_port(probe->request, daemon->port);

        print_message("probe: %s\n", probe->name);
        wire_send(wire, request, strlen(request));
        struct reply *reply = wire_reply(wire, 10000);
        if (probe->verdict == FINE) {
            assert_in_range(reply->status, 200, 201);
            stored += reply->status == 201;
        } else {
            assert_in_range(reply->status, 400, 599);
            // Of what libmicrohttpd refuses by itself the header comes twice; all that matters is
            // that nothing else is answered.
            const char *rest = wire_rest(wire, 10000);

            if (probe->verdict == FRAMING) {
                expect_problem(reply, 400, "framing");
                assert_string_equal(rest, "");
            }
            assert_null(strstr(rest, "HTTP/1.1 2"));
        }
        nothing_smuggled(daemon);
        assert_int_equal(count_tasks(daemon, ""), stored);
    }
}

/* Bytes that may be answered well or refused, but never by two answers, and never so that the
 * second request runs. */
static void what_libmicrohttpd_lets_pass_runs_nothing_else(void)
{
    // clang-format off
    static const struct probe loose[] = {
        {"bare line feeds", "GET /healthz HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 0, FINE},
        {"folded header", "GET /healthz HTTP/1.1\r\n" HOST "X-A: b\r\n c\r\n\r\n", 0, FINE},
        {"absolute form", "GET http://127.0.0.1:PORT/healthz HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"double slash", "GET //healthz HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"dots", "GET /v1/../healthz HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"encoded slash", "GET /v1%2Ftasks HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"bad escape", "GET /v1/tasks?tag=%zz HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"asterisk", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"connect", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"empty lines first", "\r\n\r\nGET /healthz HTTP/1.1\r\n" HOST "\r\n", 0, FINE},
        {"upgrade", "GET /healthz HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0, FINE},
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

struct caller {
    const char *headers; // PORT stands for the port
    int status;          // 201, 403, or 400 (framing)
};

// clang-format off
static const struct caller callers[] = {
    {"Host: 127.0.0.1:PORT\r\n", 201},
    {"Host: localhost:PORT\r\n", 201},
    {"Host: LOCALHOST:PORT\r\n", 201},
    {"Host: [::1]:PORT\r\n", 201},
    {"Host: 127.0.0.1\r\n", 403},
    {"Host: localhost\r\n", 403},
    {"Host: 127.0.0.1:1\r\n", 403},
    {"Host: 127.0.0.1:PORT1\r\n", 403},
    {"Host: localhost:0PORT\r\n", 403},
    {"Host: localhost:\r\n", 403},
    {"Host: \r\n", 403},
    {"Host: evil.example\r\n", 403},
    {"Host: evil.example:PORT\r\n", 403},
    {"Host: 127.evil.example:PORT\r\n", 403},
    {"Host: 127.0.0.1.evil.example:PORT\r\n", 403},
    {"Host: localhost.evil.example:PORT\r\n", 403},
    {"Host: localhost.:PORT\r\n", 403},
    {"Host: notlocalhost:PORT\r\n", 403},
    {"Host: 0.0.0.0:PORT\r\n", 403},
    {"Host: 127.0.0.2:PORT\r\n", 403},
    {"Host: 127.1:PORT\r\n", 403},
    {"Host: 2130706433:PORT\r\n", 403},
    {"Host: 0x7f.0.0.1:PORT\r\n", 403},
    {"Host: [::ffff:127.0.0.1]:PORT\r\n", 403},
    {"Host: [::]:PORT\r\n", 403},
    {"Host: [::1\r\n", 403},
    {"Host: user@127.0.0.1:PORT\r\n", 403},
    {"Host: 127.0.0.1:PORT/evil\r\n", 403},
    {"Host: 127.0.0.1:PORT, evil.example\r\n", 403},
    {"Host: 169.254.169.254\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nOrigin: http://evil.example\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nOrigin: null\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nOrigin: \r\n", 403},
    {"Host: 127.0.0.1:PORT\r\norigin: https://a.b\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: cross-site\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: same-site\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: same-origin\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: none\r\n", 201},
    {"Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: none, cross-site\r\n", 403},
    {"Host: 127.0.0.1:PORT\r\nReferer: http://evil.example/\r\n", 201},
    {"Host: 127.0.0.1:PORT\r\nX-Forwarded-Host: evil.example\r\n", 201},
    {"Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1:PORT\r\n", 403},
    {"Host: evil.example\r\nForwarded: host=127.0.0.1:PORT\r\n", 403},
};
// clang-format on

static void only_callers_of_the_own_address_and_no_web_pages_are_answered(void)
{
    struct daemon *daemon = daemon_started(config);
    unsigned stored = 0;

    for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
        const struct caller *caller = &callers[i];
        struct wire *wire = wire_open(daemon->port);
        const char *headers = with_port(caller->headers, daemon->port);

        print_message("caller: %s", headers);
        wire_sendf(wire, "POST /v1/tasks HTTP/1.1\r\n%s" JSON "Content-Length: 15\r\n\r\n" TASK,
                   headers);
        struct reply *reply = wire_reply(wire, 10000);
        if (caller->status == 403)
            expect_problem(reply, 403, "forbidden");
        else
            expect_status(reply, caller->status);
        assert_null(reply_header(reply, "Access-Control-Allow-Origin"));
        stored += reply->status == 201;
        assert_int_equal(count_tasks(daemon, ""), stored);
    }
}

static void a_preflight_gets_no_leave(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "OPTIONS /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: http://evil.example\r\n"
               "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
               "content-type\r\n\r\n",
               daemon->port);

    struct reply *reply = expect_problem(wire_reply(wire, 10000), 403, "forbidden");
    assert_null(reply_header(reply, "Access-Control-Allow-Origin"));
    assert_null(reply_header(reply, "Access-Control-Allow-Methods"));
}

HARNESS_MAIN(SCENARIO(a_request_that_can_be_read_in_two_ways_is_refused_and_its_connection_ends),
             SCENARIO(what_libmicrohttpd_lets_pass_runs_nothing_else),
             SCENARIO(a_post_without_a_length_ends_its_connection),
             SCENARIO(requests_sent_ahead_are_answered_in_their_order),
             SCENARIO(a_body_in_single_bytes_is_taken_whole),
             SCENARIO(leave_to_send_the_body_is_given_or_refused),
             SCENARIO(only_callers_of_the_own_address_and_no_web_pages_are_answered),
             SCENARIO(a_preflight_gets_no_leave))
