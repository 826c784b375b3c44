/** \file Finished tasks go after their time, or beyond their number; what went answers 410, and its
 * space is given back. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness.h"

static char *config_with(const char *settings)
{
    return plain_text("%s\nqueue: { default: { workers = 1 }; other: { workers = 1 }; };\n"
                      "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' };\n"
                      "        fail: { builtin = 'fail'; max_attempts = 1 }; };\n",
                      settings);
}

static int status_of(struct daemon *daemon, uint64_t id)
{
    return get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)id))->status;
}

static void finished_tasks_are_kept_for_the_time_of_their_state(void)
{
    struct daemon *daemon = daemon_started(
        config_with("keep_succeeded = '500ms'; keep_cancelled = '500ms'; keep_failed = '1h';"));
    uint64_t succeeded = submit(daemon, "{'kind':'noop'}");
    uint64_t failed = submit(daemon, "{'kind':'fail'}");
    uint64_t cancelled = submit(daemon, "{'kind':'noop','delay':'1h'}");
    uint64_t waiting = submit(daemon, "{'kind':'noop','delay':'1h'}");

    await_end(daemon, failed);
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)cancelled), NULL),
                  200);

    eventually(status_of(daemon, succeeded) == 410 && status_of(daemon, cancelled) == 410, 30000);
    assert_int_equal(status_of(daemon, failed), 200);
    assert_int_equal(status_of(daemon, waiting), 200);
    expect_problem(get(daemon, plain_text("/v1/tasks/%llu/result", (unsigned long long)succeeded)),
                   410, "task-removed");
    expect_number(queue(daemon, "default"), "states.succeeded", 0);
    expect_number(queue(daemon, "default"), "states.failed", 1);
}

static void the_oldest_beyond_keep_count_go_of_each_state_and_queue(void)
{
    struct daemon *daemon = daemon_started(config_with("keep_count = 20;"));
    uint64_t failed = submit(daemon, "{'kind':'fail'}");
    uint64_t elsewhere = submit(daemon, "{'kind':'noop','queue':'other'}");
    await_end(daemon, elsewhere);
    uint64_t first = submit_many(daemon, 200, "{'kind':'noop'}");

    eventually(number_at(queue(daemon, "default"), "states.queued") == 0 &&
                   number_at(queue(daemon, "default"), "states.succeeded") == 20,
               60000);

    assert_int_equal(count_tasks(daemon, "state=succeeded&queue=default&"), 20);
    assert_int_equal(status_of(daemon, first), 410);
    assert_int_equal(status_of(daemon, failed), 200);
    assert_int_equal(status_of(daemon, elsewhere), 200);
}

static void what_was_removed_stays_removed_over_kill_9(void)
{
    struct daemon *daemon = daemon_started(config_with("keep_count = 1;"));
    uint64_t first = submit_many(daemon, 10, "{'kind':'noop'}");

    eventually(status_of(daemon, first) == 410 && count_tasks(daemon, "") == 1, 30000);
    daemon_kill(daemon);
    daemon_start(daemon);

    assert_int_equal(status_of(daemon, first), 410);
    assert_int_equal(count_tasks(daemon, ""), 1);
    assert_int_equal(submit(daemon, "{'kind':'noop'}"), first + 10);
}

static int64_t store_bytes(const struct daemon *daemon)
{
    struct stat stat_of;

    assert_int_equal(stat(daemon->store_path, &stat_of), 0);
    return stat_of.st_size;
}

static void space_is_given_back_while_others_submit(void)
{
    const unsigned count = is_long() ? 400 : 60, kib = 200;
    struct daemon *daemon = daemon_started(config_with("keep_succeeded = '1s';"));
    const char *body = text("{'kind':'noop','args':'%s'}", repeated('s', kib << 10));
    int64_t slowest_ms = 0;

    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    for (unsigned i = 0; i < count; i++)
        expect_status(call(daemon, "POST", "/v1/tasks", body), 201);
    eventually(store_bytes(daemon) >= (int64_t)count * kib * 900,
               20000); // once it is out of the WAL

    expect_status(call(daemon, "POST", "/v1/queues/default/resume", NULL), 200);
    int64_t until = now_ms() + 60000LL * slow();
    while (store_bytes(daemon) > (int64_t)count * kib << 9) {
        struct reply *reply =
            expect_status(call(daemon, "POST", "/v1/tasks", text("{'kind':'noop'}")), 201);

        if (reply->took_ns / 1000000 > slowest_ms)
            slowest_ms = reply->took_ns / 1000000;
        if (now_ms() > until)
            fail_msg("the store still has %lld bytes", (long long)store_bytes(daemon));
        pass_ms(60); // it is given back while nothing is written
    }

    print_message("slowest submit meanwhile: %lld ms\n", (long long)slowest_ms);
    assert_in_range(slowest_ms, 0, 1000 * slow());
}

HARNESS_MAIN(SCENARIO(finished_tasks_are_kept_for_the_time_of_their_state),
             SCENARIO(the_oldest_beyond_keep_count_go_of_each_state_and_queue),
             SCENARIO(what_was_removed_stays_removed_over_kill_9),
             SCENARIO(space_is_given_back_while_others_submit))
