/* What the tests of POST /v1/backup and POST /v1/export share. */
#include "copies.h"

#include <stdlib.h>
#include <string.h>

void copies_fill(struct daemon *daemon, unsigned count)
{
    const char *body =
        text("{'kind':'noop','queue':'stopped','args':'%s'}", repeated('a', COPIES_ARGS_BYTES));

    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    for (unsigned i = 0; i < count; i++)
        (void)submit_many(daemon, COPIES_ARRAY, body);
}

struct wire *copies_ask(struct daemon *daemon, const char *path)
{
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire, "POST %s HTTP/1.1\r\nHost: localhost:%u\r\nContent-Length: 0\r\n\r\n", path,
               daemon->port);
    return wire;
}

struct daemon *copies_slow_daemon(const char *config, const char *name, unsigned delay_us)
{
    const char *fault = plain_text("inject=%s:delay_enter=%u", name, delay_us);
    struct run run =
        run_program((const char *[]){"strace", "-qq", "-e", fault, "-o", "/dev/null", "true", NULL},
                    NULL, 20000);
    if (run.status != 0)
        harness_skip("strace can't trace here");
    struct daemon *daemon = daemon_started(config);
    copies_fill(daemon, 6);
    daemon_stop(daemon);
    const char *const words[] = {"strace", "-D",        "-f", "-q",
                                 "-o",     "/dev/null", "-e", plain_text("trace=%s", name),
                                 "-e",     fault,       NULL};
    daemon->prefix = keep(memcpy(malloc(sizeof(words)), words, sizeof(words)));
    // Leaks can't be looked for under strace.
    static const char *const environment[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    daemon->environment = environment;
    daemon_launch(daemon);
    assert_true(daemon_await_ready(daemon));
    return daemon;
}
