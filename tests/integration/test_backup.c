/** \file
 * POST /v1/backup: a copy that a daemon starts from, made while others work; one at a time; and
 * what ends it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "copies.h"
#include "load.h"
#include "stores.h"
#include "tokens.h"

static const char config[] = "queue: { default: { workers = 2 }; stopped: { workers = 1 }; };\n"
                             "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' };\n"
                             "        noop: { builtin = 'noop'; queue = 'stopped' }; };\n";

/* Writes the copy where a daemon of its own, which does not run yet, has its store. */
static struct daemon *restored(const struct reply *reply)
{
    struct daemon *daemon = daemon_new(config);

    daemon_forget(daemon);
    FILE *file = fopen(daemon->store_path, "wx");
    assert_non_null(file);
    assert_int_equal(fwrite(reply->body, 1, reply->body_bytes, file), reply->body_bytes);
    assert_int_equal(fclose(file), 0);
    return daemon;
}

/* ---- what is in it ---- */

static void a_backup_made_under_load_has_all_that_was_acknowledged(void)
{
    struct daemon *daemon = daemon_started(config);
    copies_fill(daemon, 4);
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, running, "running");
    struct load *load = load_start(daemon);
    eventually(atomic_load(&load->last_id) > running + 20, 20000);
    uint64_t acknowledged = atomic_load(&load->last_id);

    struct reply *reply = expect_status(call(daemon, "POST", "/v1/backup", NULL), 200);

    load_end(load);
    assert_int_equal(atomic_load(&load->refused), 0);
    assert_string_equal(reply_header(reply, "Content-Type"), "application/vnd.sqlite3");
    assert_int_equal(number_in(reply_header(reply, "Content-Length"), NULL), reply->body_bytes);
    json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    assert_non_null(strstr(reply_header(reply, "Content-Disposition"), text_at(info, "store_id")));
    assert_null(reply_header(reply, "ETag"));
    assert_false(file_exists(plain_text("%s-backup.part", daemon->store_path)));
    daemon_signal(daemon, SIGKILL); // its task of an hour is not waited for
    (void)daemon_await_end(daemon, 10000);

    struct daemon *copy = restored(reply);
    stores_expect_sound(copy, NULL);
    assert_int_equal(
        stores_query(copy->store_path, plain_text("SELECT count(*) FROM tasks WHERE id <= %llu",
                                                  (unsigned long long)acknowledged)),
        acknowledged);
    daemon_start(copy);
    assert_int_equal(number_at(queue(copy, "stopped"), "states.queued"), 4 * COPIES_ARRAY);
    await_state(copy, running, "running"); // as after a kill -9: it is run again
    expect_text(expect_end(copy, submit(copy, "{'kind':'echo','args':'on'}"), "succeeded", NULL),
                "result", "on");
    daemon_signal(copy, SIGKILL);
    (void)daemon_await_end(copy, 10000);
}

static void who_may_not_see_all_gets_none(void)
{
    struct daemon *daemon = daemon_new(plain_text("token_file = 'tokens';\n%s", config));
    const struct made_token tokens[] = {tokens_make("eyes", "read,submit,work", NULL, NULL),
                                        tokens_make("mail", "admin", "--queue", "stopped"),
                                        tokens_make("ops", "admin", NULL, NULL)};
    tokens_write(daemon, plain_text("%s%s%s", tokens[0].line, tokens[1].line, tokens[2].line));
    daemon_start(daemon);

    for (unsigned i = 0; i < 3; i++) {
        const char *headers[] = {plain_text("Authorization: Bearer %s", tokens[i].token), NULL};
        struct reply *reply = call_request(
            daemon, &(struct request){.method = "POST", .path = "/v1/backup", .headers = headers});
        if (i < 2)
            expect_problem(reply, 403, "forbidden");
        else
            expect_status(reply, 200);
    }
    expect_problem(call(daemon, "POST", "/v1/backup", NULL), 401, "unauthorized");
    daemon_stop(daemon);
}

/* ---- what ends it ---- */

/* A daemon whose every write takes long, so that a copy takes many seconds. */
static struct daemon *slow_daemon(void)
{
    return copies_slow_daemon(config, "pwrite64", 4000);
}

static void one_at_a_time_and_others_go_on(void)
{
    struct daemon *daemon = slow_daemon();
    struct wire *wire = copies_ask(daemon, "/v1/backup");
    assert_true(daemon_logs(daemon, "event=backup_begin", 20000));

    struct reply *reply = expect_problem(call(daemon, "POST", "/v1/backup", NULL), 503, "busy");
    assert_non_null(strstr(text_at(reply->json, "detail"), "another backup"));
    assert_non_null(reply_header(reply, "Retry-After"));
    expect_end(daemon, submit(daemon, "{'kind':'echo','args':1}"), "succeeded", NULL);
    assert_int_equal(daemon_log_count(daemon, "event=backup_copied"), 0);

    // A client that leaves ends it, and makes room for the next one.
    wire_reset(wire);
    eventually(daemon_log_count(daemon, "event=backup_ended") == 1, 10000);
    wire = copies_ask(daemon, "/v1/backup");
    eventually(daemon_log_count(daemon, "event=backup_begin") == 2, 10000);
    wire_close(wire);
    eventually(daemon_log_count(daemon, "event=backup_ended") == 2, 10000);
    daemon_stop(daemon);
}

static void a_drain_ends_it(void)
{
    struct daemon *daemon = slow_daemon();
    struct wire *wire = copies_ask(daemon, "/v1/backup");
    assert_true(daemon_logs(daemon, "event=backup_begin", 20000));

    daemon_signal(daemon, SIGTERM);

    struct reply *reply = expect_problem(wire_reply(wire, 20000), 503, "draining");
    assert_non_null(reply_header(reply, "Retry-After"));
    assert_int_equal(daemon_await_end(daemon, 30000), 0);
    assert_false(file_exists(plain_text("%s-backup.part", daemon->store_path)));
    stores_expect_sound(daemon, NULL);
}

/* ---- the sending ---- */

/* Reads all of an answer, so that it takes at least so long: how many bytes its body had. */
static size_t read_slowly(struct wire *wire, int64_t takes_ms)
{
    static char bytes[40 << 20];
    size_t count = 0;
    size_t awaited = sizeof(bytes) - 1;
    const char *body = NULL;
    int64_t began = now_ms();

    while (count < awaited) {
        ssize_t n = recv(wire_fd(wire), bytes + count, awaited - count, 0);
        assert_true(n > 0); // nobody cuts it
        count += (size_t)n;
        const char *end = strstr(bytes, "\r\n\r\n");
        const char *length = strstr(bytes, "Content-Length: ");
        if (body == NULL && end != NULL && length != NULL) {
            body = end + 4;
            awaited = (size_t)(body - bytes) + number_in(length + 16, NULL);
            assert_true(awaited < sizeof(bytes));
        }
        // No further than the time allows.
        while ((int64_t)(count * 100 / awaited) > (now_ms() - began) * 100 / takes_ms)
            breathe();
    }
    assert_non_null(body);
    return count - (size_t)(body - bytes);
}

static void who_does_not_read_is_cut_off_and_who_reads_slowly_is_not(void)
{
    struct daemon *daemon = daemon_started(plain_text("answer_timeout = '2s';\n%s", config));
    copies_fill(daemon, 6);
    struct wire *idle = copies_ask(daemon, "/v1/backup");
    int small = 64 << 10;
    assert_int_equal(setsockopt(wire_fd(idle), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_true(wire_readable(idle, 20000));

    // It holds the only place until its time is over.
    expect_problem(call(daemon, "POST", "/v1/backup", NULL), 503, "busy");
    struct wire *slowly = NULL;
    eventually(call(daemon, "POST", "/v1/backup", NULL)->status == 200, 20000);

    // Twice the time and more, but never without progress.
    slowly = copies_ask(daemon, "/v1/backup");
    assert_true(read_slowly(slowly, 4000) >= (size_t)6 * COPIES_ARRAY * COPIES_ARGS_BYTES);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_backup_made_under_load_has_all_that_was_acknowledged),
             SCENARIO(who_may_not_see_all_gets_none), SCENARIO(one_at_a_time_and_others_go_on),
             SCENARIO(a_drain_ends_it),
             SCENARIO(who_does_not_read_is_cut_off_and_who_reads_slowly_is_not))
