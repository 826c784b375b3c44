/** \file
 * POST /v1/export: the lines that runneld --export writes, of a store that goes on; and what ends
 * one.
 */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "copies.h"
#include "stores.h"

static const char config[] = "queue: { default: { workers = 2 }; stopped: { workers = 1 }; };\n"
                             "kind: { echo: { builtin = 'echo' };\n"
                             "        noop: { builtin = 'noop'; queue = 'stopped' }; };\n";

static void an_export_is_what_the_daemon_writes_when_it_does_not_run(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    stores_expect_tasks(daemon, "v1");

    struct reply *reply = expect_status(call(daemon, "POST", "/v1/export", NULL), 200);

    assert_string_equal(reply_header(reply, "Content-Type"), "application/x-ndjson");
    assert_int_equal(number_in(reply_header(reply, "Content-Length"), NULL), reply->body_bytes);
    const char *name = reply_header(reply, "Content-Disposition");
    json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    assert_non_null(strstr(name, plain_text("\"runnel-%s-", text_at(info, "store_id"))));
    assert_non_null(strstr(name, ".ndjson\""));
    stores_expect_nothing_beside(daemon);
    // Another one comes after it, and a backup. Its lines are as they are.
    assert_string_equal(expect_status(call(daemon, "POST", "/v1/export?pretty", NULL), 200)->body,
                        reply->body);
    expect_status(call(daemon, "POST", "/v1/backup", NULL), 200);
    daemon_stop(daemon);
    assert_string_equal(stores_exported(daemon), reply->body);
}

static void an_empty_store_has_its_head_alone(void)
{
    struct daemon *daemon = daemon_started(config);

    struct reply *reply = expect_status(call(daemon, "POST", "/v1/export", NULL), 200);

    assert_ptr_equal(strchr(reply->body, '\n'), reply->body + reply->body_bytes - 1);
    assert_non_null(strstr(reply->body, text("'last_id':0,'queues':0,'tasks':0,'keys':0}")));
    daemon_stop(daemon);
}

static void who_does_not_read_holds_the_only_place_until_its_time_is_over(void)
{
    struct daemon *daemon = daemon_started(plain_text("answer_timeout = '2s';\n%s", config));
    copies_fill(daemon, 6);
    struct wire *idle = copies_ask(daemon, "/v1/export");
    int small = 64 << 10;
    assert_int_equal(setsockopt(wire_fd(idle), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_true(wire_readable(idle, 20000));

    struct reply *reply = expect_problem(call(daemon, "POST", "/v1/export", NULL), 503, "busy");
    assert_non_null(strstr(text_at(reply->json, "detail"), "one at a time"));
    expect_problem(call(daemon, "POST", "/v1/backup", NULL), 503, "busy");
    eventually(call(daemon, "POST", "/v1/export", NULL)->status == 200, 20000);
    daemon_stop(daemon);
    stores_expect_nothing_beside(daemon);
}

/* A daemon whose every write takes long, so that an export takes many seconds. */
static struct daemon *slow_daemon(void)
{
    // The lines go out by write, the pages of a copy by pwrite64.
    return copies_slow_daemon(config, "write", 20000);
}

static void a_client_that_leaves_ends_it(void)
{
    struct daemon *daemon = slow_daemon();
    struct wire *wire = copies_ask(daemon, "/v1/export");
    assert_true(daemon_logs(daemon, "event=backup_copied", 20000));

    wire_reset(wire);

    wire = NULL;
    eventually(call(daemon, "POST", "/v1/backup", NULL)->status == 200, 20000);
    daemon_stop(daemon);
}

static void a_stop_ends_it(void)
{
    struct daemon *daemon = slow_daemon();
    struct wire *wire = copies_ask(daemon, "/v1/export");
    assert_true(daemon_logs(daemon, "event=backup_copied", 20000));

    daemon_signal(daemon, SIGTERM);

    expect_problem(wire_reply(wire, 20000), 503, "draining");
    assert_int_equal(daemon_await_end(daemon, 30000), 0);
    stores_expect_nothing_beside(daemon);
}

HARNESS_MAIN(SCENARIO(an_export_is_what_the_daemon_writes_when_it_does_not_run),
             SCENARIO(an_empty_store_has_its_head_alone),
             SCENARIO(who_does_not_read_holds_the_only_place_until_its_time_is_over),
             SCENARIO(a_client_that_leaves_ends_it), SCENARIO(a_stop_ends_it))
