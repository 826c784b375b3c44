/** \file
 * Stores of released versions under this daemon: what was in them is there, and runs; wherever an
 * upgrade is killed, the next start goes on; and there is a way back.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stores.h"

static void a_store_of_version_1_has_all_its_tasks(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");

    daemon_start(daemon);

    stores_expect_tasks(daemon, "v1");
    const json_t *queues = at(stores_answers("v1"), "queues");
    size_t i = 0;
    json_t *was = NULL;
    json_array_foreach (queues, i, was) {
        const json_t *is = queue(daemon, text_at(was, "name"));
        assert_true(json_equal(at(is, "overrides"), at(was, "overrides")));
        assert_true(json_equal(at(is, "paused"), at(was, "paused")));
    }
    assert_int_equal(i, 3);
    daemon_stop(daemon);
}

static void what_waited_in_a_store_of_version_1_runs(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    const json_t *tasks = at(stores_answers("v1"), "tasks");
    unsigned queued = 0;

    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", "{}"), 200);

    size_t i = 0;
    json_t *was = NULL;
    json_array_foreach (tasks, i, was) {
        if (strcmp(text_at(was, "state"), "queued") != 0)
            continue;
        json_t *is = expect_end(daemon, (uint64_t)number_at(was, "id"), "succeeded", NULL);
        assert_true(json_equal(at(is, "result"), at(was, "args"))); // it echoes
        queued++;
    }
    assert_int_equal(queued, 2);
    uint64_t next = submit(daemon, "{'kind':'echo'}");
    assert_int_equal(next, json_array_size(tasks) + 1);
    daemon_stop(daemon);

    // What was held goes on where its kind is back.
    daemon_configure(daemon, text("queue: { side: {}; };\n"
                                  "kind: { gone: { builtin = 'echo'; queue = 'side' } };\n"));
    daemon_start(daemon);
    expect_text(expect_end(daemon, 1, "succeeded", NULL), "result", "its kind is no more");
    daemon_stop(daemon);
}

static struct reply *submit_again(struct daemon *daemon, const char *key, const char *body,
                                  const char *type)
{
    const char *headers[] = {plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = "/v1/tasks",
                                                  .body = body,
                                                  .content_type = type,
                                                  .headers = headers});
}

static void the_keys_of_a_store_of_version_1_are_known(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    stores_change(daemon->store_path, "UPDATE keys SET created_at = unixepoch() * 1000");
    daemon_start(daemon);

    struct reply *one =
        submit_again(daemon, "one", text("{'kind': 'echo', 'args': 'once'}"), "application/json");
    struct reply *two = submit_again(
        daemon, "two", text("[{'kind': 'echo', 'args': 1}, {'kind': 'echo', 'args': 2}]"),
        "application/json");
    struct reply *three = submit_again(daemon, "three",
                                       text("{'kind': 'echo', 'args': 1}\n"
                                            "{'kind': 'echo', 'args': 2}\n"
                                            "{'kind': 'echo', 'args': 3}\n"),
                                       "application/x-ndjson");

    expect_number(expect_status(one, 201)->json, "id", 6);
    assert_non_null(reply_header(one, "Idempotent-Replayed"));
    expect_number(expect_status(two, 201)->json, "ids.1", 8);
    expect_number(expect_status(three, 201)->json, "first_id", 9);
    expect_number(three->json, "last_id", 11);
    expect_problem(submit_again(daemon, "one", text("{'kind':'echo'}"), "application/json"), 422,
                   "idempotency-key-reused");
    daemon_stop(daemon);
}

static const char *backup_of(const struct daemon *daemon)
{
    return plain_text("%s-v1-backup", daemon->store_path);
}

static void an_upgrade_keeps_a_copy_and_says_so(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");

    daemon_start(daemon);

    assert_int_equal(daemon_log_count(daemon, "event=store_migrated from=1 to=2 took_ms="), 1);
    assert_int_equal(daemon_log_count(daemon, plain_text("backup=%s", backup_of(daemon))), 1);
    daemon_stop(daemon);
    // What only the log of the killed daemon had is in the copy too.
    assert_int_equal(stores_query(backup_of(daemon), "PRAGMA user_version"), 1);
    assert_int_equal(stores_query(backup_of(daemon), "SELECT count(*) FROM tasks"), 17);
    assert_int_equal(stores_query(backup_of(daemon),
                                  "SELECT integrity_check = 'ok' FROM pragma_integrity_check"),
                     1);

    daemon_start(daemon);
    assert_int_equal(daemon_log_count(daemon, "event=store_migrated"), 0);
    daemon_stop(daemon);
}

static void a_newer_store_is_refused_and_the_way_back_is_named(void)
{
    struct daemon *daemon = daemon_started(stores_config);
    daemon_stop(daemon);
    stores_change(daemon->store_path, "PRAGMA user_version = 3");

    daemon_launch(daemon);
    assert_int_equal(daemon_await_end(daemon, 10000), 65);
    assert_int_equal(daemon_log_count(daemon, "has version 3, this runneld knows versions up to 2"),
                     1);
    assert_int_equal(daemon_log_count(daemon, "install the newer runneld again"), 1);
    assert_int_equal(daemon_log_count(daemon, "go back to"), 0);

    // As the upgrade of the newer one would have left it.
    const char *backup = plain_text("%s-v2-backup", daemon->store_path);
    file_write(backup, "");
    daemon_launch(daemon);
    assert_int_equal(daemon_await_end(daemon, 10000), 65);
    assert_int_equal(daemon_log_count(daemon, plain_text("or go back to '%s'", backup)), 1);
}

/* The way back that the README tells: the copy in the store's place, under the version before. Here
 * the same daemon upgrades it once more. */
static void the_copy_in_the_place_of_the_store_is_as_before_the_upgrade(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    (void)submit(daemon, "{'kind':'echo'}");
    daemon_stop(daemon);

    assert_int_equal(rename(backup_of(daemon), daemon->store_path), 0);
    daemon_start(daemon);

    stores_expect_tasks(daemon, "v1");
    daemon_stop(daemon);
    assert_true(file_exists(backup_of(daemon)));
}

static bool strace_works(void)
{
    struct run run = run_program((const char *[]){"strace", "-qq", "-e", "inject=fsync:signal=KILL",
                                                  "-o", "/dev/null", "true", NULL},
                                 NULL, 20000);
    return run.status == 0;
}

/* One start that is killed at the nth call that changes anything on the disk. false: it was ready
 * before. */
static bool killed_at(struct daemon *daemon, unsigned nth)
{
    const char *inject = plain_text("inject=pwrite64,write,ftruncate,fallocate,fsync,fdatasync,"
                                    "rename,unlink:signal=KILL:when=%u",
                                    nth);
    const char *strace[] = {"strace",
                            "-D",
                            "-f",
                            "-qq",
                            "-o",
                            "/dev/null",
                            "-e",
                            "trace=pwrite64,write,ftruncate,fallocate,fsync,fdatasync,"
                            "rename,unlink",
                            "-e",
                            inject,
                            NULL};

    daemon->prefix = strace;
    // Leaks can't be looked for under strace.
    daemon->environment = (const char *[]){"ASAN_OPTIONS=detect_leaks=0", NULL};
    daemon_launch(daemon);
    bool is_ready = daemon_await_ready(daemon);
    if (is_ready)
        daemon_kill(daemon);
    else
        assert_int_equal(daemon_await_end(daemon, 30000), -9);
    daemon->prefix = NULL;
    daemon->environment = NULL;
    return !is_ready;
}

static void an_upgrade_killed_at_any_write_is_done_by_the_next_start(void)
{
    enum { CALLS_MAX = 400 };
    unsigned step = is_long() ? 1 : 5;
    unsigned old = 0;
    unsigned killed = 0;
    unsigned nth = 1;

    if (!strace_works())
        harness_skip("strace can't trace here");
    struct daemon *daemon = daemon_new(stores_config);
    for (;; nth += step) {
        (void)unlink(backup_of(daemon));
        stores_unpack(daemon, "v1");
        assert_in_range(nth, 1, CALLS_MAX);
        if (!killed_at(daemon, nth))
            break;
        killed++;

        // The old one or the new one, and whole: read as any program would, with its log.
        int64_t version = stores_query(daemon->store_path, "PRAGMA user_version");
        assert_in_range(version, 1, 2);
        old += version == 1;
        assert_int_equal(stores_query(daemon->store_path, "SELECT count(*) FROM tasks"), 17);
        daemon_start(daemon);
        stores_expect_tasks(daemon, "v1");
        daemon_stop(daemon);
        assert_int_equal(stores_query(daemon->store_path, "PRAGMA user_version"), 2);
        assert_int_equal(stores_query(backup_of(daemon), "SELECT count(*) FROM tasks"), 17);
        assert_int_equal(stores_query(backup_of(daemon), "PRAGMA user_version"), 1);
        assert_false(file_exists(plain_text("%s-v1-backup.part", daemon->store_path)));
        assert_false(file_exists(plain_text("%s-v1-backup-2", daemon->store_path)));
    }
    print_message("%u starts killed, %u of them before the commit\n", killed, old);
    assert_true(old > 0 && old < killed);
}

HARNESS_MAIN(SCENARIO(a_store_of_version_1_has_all_its_tasks),
             SCENARIO(what_waited_in_a_store_of_version_1_runs),
             SCENARIO(the_keys_of_a_store_of_version_1_are_known),
             SCENARIO(an_upgrade_keeps_a_copy_and_says_so),
             SCENARIO(a_newer_store_is_refused_and_the_way_back_is_named),
             SCENARIO(the_copy_in_the_place_of_the_store_is_as_before_the_upgrade),
             SCENARIO(an_upgrade_killed_at_any_write_is_done_by_the_next_start))
