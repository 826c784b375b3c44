/** \file Follow-up tasks: on_success and on_failure, stored with the end that they follow. */
#include <signal.h>
#include <string.h>

#include "stores.h"

static const char config[] =
    "queue: { default: { workers = 4 }; watched: { workers = 1; on_failure = 'note'; on_success = "
    "'done' }; idle: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; note: { builtin = 'echo' }; done: { builtin = 'echo' };\n"
    "  first: { builtin = 'echo'; on_success = 'second' };\n"
    "  second: { builtin = 'echo'; on_success = 'third' }; third: { builtin = 'echo' };\n"
    "  broken: { command = ['/bin/false']; stdin = 'none'; on_failure = 'note' };\n"
    "  twice: { builtin = 'fail'; backoff = { base = '1ms'; max = '1ms' }; max_attempts = 2; "
    "on_failure = 'note' };\n"
    "  bad-note: { builtin = 'fail'; max_attempts = 1; on_failure = 'bad-note' };\n"
    "  to-sleep: { builtin = 'echo'; on_success = 'sleep' };\n"
    "  sleep: { builtin = 'sleep'; on_failure = 'note'; max_attempts = 3 };\n"
    "  endless: { builtin = 'echo'; on_success = 'endless' };\n"
    "  own: { builtin = 'echo'; on_success = 'third' };\n"
    "  big: { command = ['/usr/bin/head', '-c', '{bytes}', '/dev/zero']; stdin = 'none'; "
    "max_output = 2000000; on_success = 'note' };\n"
    "  numbers: { command = ['/usr/bin/seq', '--', '{from}', '{to}']; stdin = 'none'; on_success = "
    "'factors' };\n"
    "  factors: { command = ['/usr/bin/factor']; stdin = 'text'; on_success = 'keep-primes' };\n"
    "  keep-primes: { command = ['/usr/bin/grep', '-E', '^([0-9]+): \\\\1$']; stdin = 'text' };\n"
    "};\n";

/* The one that follows, once it has ended. */
static json_t *follower(struct daemon *daemon, uint64_t id)
{
    json_t *json = task(daemon, id);
    assert_int_equal(json_array_size(at(json, "children")), 1);
    json_t *child = await_end(daemon, (uint64_t)number_at(json, "children.0"));
    expect_number(child, "parent", (int64_t)id);
    return child;
}

static void a_result_is_the_args_of_what_follows(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'first','args':{'n':1,'list':[1,2]}}");
    json_t *first = await_end(daemon, id);
    json_t *second = follower(daemon, id);
    json_t *third = follower(daemon, (uint64_t)number_at(second, "id"));

    assert_true(json_is_null(at(first, "parent")));
    expect_text(second, "kind", "second");
    expect_text(third, "kind", "third");
    assert_true(json_equal(at(third, "args"), at(first, "args")));
    assert_int_equal(json_array_size(at(third, "children")), 0);
}

static void commands_make_a_pipe(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'numbers','args':{'from':2,'to':20}}");
    (void)await_end(daemon, id);
    json_t *factors = follower(daemon, id);
    json_t *primes = follower(daemon, (uint64_t)number_at(factors, "id"));

    expect_text(primes, "result", "2: 2\n3: 3\n5: 5\n7: 7\n11: 11\n13: 13\n17: 17\n19: 19");
}

static void a_failed_task_is_the_args_of_its_note(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'twice','args':{'message':'no luck'},'tags':['a']}");
    json_t *failed = expect_end(daemon, id, "failed", "failed");
    json_t *note = follower(daemon, id);

    expect_text(note, "kind", "note");
    expect_number(note, "args.id", (int64_t)id);
    expect_text(note, "args.state", "failed");
    expect_text(note, "args.error.message", "no luck");
    expect_number(note, "args.attempt", 2);
    assert_int_equal(json_array_size(at(note, "args.attempts")), 2);
    assert_true(json_equal(at(note, "args.args"), at(failed, "args")));
    assert_true(json_equal(at(note, "args.tags"), at(failed, "tags")));
    assert_int_equal(count_tasks(daemon, "kind=note&"), 1); // not one an attempt
}

static void the_kinds_setting_wins_over_the_queues(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t of_queue = submit(daemon, "{'kind':'echo','queue':'watched'}");
    uint64_t of_kind = submit(daemon, "{'kind':'own','queue':'watched'}");
    uint64_t failing = submit(daemon, "{'kind':'sleep','queue':'watched','args':{'duration':'1h'},"
                                      "'timeout':'1ms','max_attempts':1}");
    (void)await_end(daemon, of_queue);
    (void)await_end(daemon, of_kind);
    (void)await_end(daemon, failing);

    expect_text(follower(daemon, of_queue), "kind", "done");
    expect_text(follower(daemon, of_kind), "kind", "third");
    expect_text(follower(daemon, failing), "args.error.code", "timeout");
}

static void nothing_follows_a_cancelled_one_nor_the_failure_of_a_failure(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t waiting = submit(daemon, "{'kind':'echo','queue':'watched','delay':'1h'}");
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, running, "running");
    (void)call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)waiting),
               NULL);
    (void)call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", (unsigned long long)running),
               NULL);
    (void)expect_end(daemon, waiting, "cancelled", "cancelled");
    (void)expect_end(daemon, running, "cancelled", "cancelled");
    uint64_t bad = submit(daemon, "{'kind':'bad-note'}");
    (void)await_end(daemon, bad);
    json_t *note = follower(daemon, bad);

    expect_text(note, "kind", "bad-note");
    expect_text(note, "state", "failed");
    assert_int_equal(json_array_size(at(note, "children")), 0);
    assert_int_equal(json_array_size(at(task(daemon, waiting), "children")), 0);
    assert_int_equal(json_array_size(at(task(daemon, running), "children")), 0);
    assert_int_equal(count_tasks(daemon, ""), 4);
}

static void args_that_do_not_fit_fail_at_once_and_that_is_noted(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'to-sleep','args':{'what':1}}");
    (void)await_end(daemon, id);
    json_t *sleep = follower(daemon, id);
    json_t *note = follower(daemon, (uint64_t)number_at(sleep, "id"));

    expect_text(sleep, "state", "failed");
    expect_text(sleep, "error.code", "invalid-args");
    expect_number(sleep, "attempt", 0);
    expect_text(note, "args.error.code", "invalid-args");
    assert_true(daemon_logs(daemon, "event=task_failed", 10000));
}

static void a_result_of_more_than_1_mib_is_too_much(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'big','args':{'bytes':400000}}"); // 6 characters a NUL
    (void)await_end(daemon, id);
    json_t *note = follower(daemon, id);

    expect_text(note, "state", "failed");
    expect_text(note, "error.code", "invalid-args");
}

static void args_beside_their_limit_are_left_out_of_the_note(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *filler = repeated('x', (1 << 20) - 40);

    uint64_t small = submit(daemon, "{'kind':'broken','args':{'x':'%s'}}", repeated('x', 5000));
    uint64_t id = submit(daemon, "{'kind':'broken','args':{'x':'%s'}}", filler);
    (void)await_end(daemon, id);
    (void)await_end(daemon, small);
    json_t *whole = follower(daemon, small);
    json_t *note = follower(daemon, id);

    assert_int_equal(json_string_length(at(whole, "args.args.x")), 5000);
    expect_text(note, "state", "succeeded");
    expect_number(note, "args.id", (int64_t)id);
    assert_null(at(note, "args.args"));
    assert_null(at(note, "args.result"));
    assert_null(at(note, "args.exec"));
    assert_non_null(at(whole, "args.exec"));
    expect_text(note, "args.error.code", "exit");
}

static void a_chain_has_at_most_100_links(void)
{
    struct daemon *daemon = daemon_started(config);

    uint64_t id = submit(daemon, "{'kind':'endless','args':1}");
    assert_true(daemon_logs(daemon, "event=chain_too_long", 30000));

    (void)await_end(daemon, id + 100);
    assert_int_equal(count_tasks(daemon, ""), 101);
}

static void the_backlog_limit_does_not_count_for_follow_ups(void)
{
    struct daemon *daemon = daemon_started(text("max_backlog = 3;\n%s", config));
    expect_status(call(daemon, "POST", "/v1/queues/idle/pause", NULL), 200);
    (void)submit(daemon, "{'kind':'echo','queue':'idle'}");
    (void)submit(daemon, "{'kind':'echo','queue':'idle'}");

    uint64_t id = submit(daemon, "{'kind':'first'}");
    (void)await_end(daemon, id);

    (void)follower(daemon, (uint64_t)number_at(follower(daemon, id), "id"));
}

/* Until its command runs: then its start is on disk, and its slot names it. */
static uint64_t started(struct daemon *daemon, const char *kind)
{
    const char *mark = plain_text("%s/%s-%lld", scenario_folder(), kind, (long long)now_ns());
    uint64_t id = submit(daemon, "{'kind':'%s','args':{'mark':'%s'},'tags':['%s']}", kind, mark,
                         repeated('t', 100));

    eventually(file_exists(mark), 20000);
    return id;
}

static void what_a_death_or_a_drain_interrupts_is_noted_once(void)
{
    const char *command = "command = ['/bin/sh', '-c', 'touch $0; exec sleep 3600', '{mark}']; "
                          "on_failure = 'note'";
    struct daemon *daemon = daemon_new(
        plain_text("drain_timeout = '0s'; kill_grace = '1s';\n"
                   "queue: { default: { workers = 4 }; };\n"
                   "kind: { note: { builtin = 'echo' }; once: { %s };\n"
                   "        poison: { %s; max_attempts = 3; max_interruptions = 0 }; };\n",
                   command, command));
    daemon_start(daemon);
    uint64_t once = started(daemon, "once"), poison = started(daemon, "poison");

    daemon_kill(daemon);
    daemon_start(daemon);
    json_t *first = follower(daemon, once), *second = follower(daemon, poison);
    uint64_t drained = started(daemon, "once");
    (void)daemon_stop(daemon);
    daemon_start(daemon);

    expect_text(first, "args.error.code", "interrupted");
    assert_non_null(text_at(first, "args.args.mark"));
    assert_int_equal(json_array_size(at(first, "args.tags")), 1);
    expect_text(second, "args.error.code", "poison");
    expect_text(follower(daemon, drained), "args.error.code", "interrupted");
    assert_int_equal(count_tasks(daemon, "kind=note&"), 3);
}

static void a_child_may_name_a_parent_that_was_removed(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'own'}");
    (void)await_end(daemon, id);
    uint64_t child = (uint64_t)number_at(follower(daemon, id), "id");

    expect_status(
        call(daemon, "DELETE", plain_text("/v1/tasks/%llu", (unsigned long long)id), NULL), 204);

    expect_number(task(daemon, child), "parent", (int64_t)id);
}

static void expect_one_child_each(struct daemon *daemon, const char *kind)
{
    struct reply *list = get(daemon, plain_text("/v1/tasks?kind=%s&limit=1000", kind));
    size_t index;
    json_t *each;

    json_array_foreach (at(list->json, "tasks"), index, each)
        assert_int_equal(json_array_size(at(each, "children")), 1);
}

/* Every success of the three stages has its follow-up exactly once, over kills at random instants.
 */
static void a_chain_of_three_stages_survives_kill_9(void)
{
    const unsigned tasks = is_long() ? 1000 : 200, kills = is_long() ? 10 : 4;
    struct daemon *daemon = daemon_new(text("%s", config));
    unsigned seed = (unsigned)now_ns();
    daemon_start(daemon);
    (void)submit_many(daemon, tasks, text("{'kind':'first','args':{'n':1}}"));
    (void)submit_many(daemon, tasks, text("{'kind':'broken'}"));

    for (unsigned i = 0; i < kills; i++) {
        pass_ms(rand_r(&seed) % 30);
        daemon_kill(daemon);
        daemon_start(daemon);
    }
    eventually(count_tasks(daemon, "state=queued,running,retrying,scheduled&") == 0, 120000);

    assert_int_equal(count_tasks(daemon, "kind=first&state=succeeded&"), tasks);
    assert_int_equal(count_tasks(daemon, "kind=second&state=succeeded&"), tasks);
    assert_int_equal(count_tasks(daemon, "kind=third&state=succeeded&"), tasks);
    assert_int_equal(count_tasks(daemon, "kind=note&state=succeeded&"), tasks);
    expect_one_child_each(daemon, "first");
    expect_one_child_each(daemon, "second");
    expect_one_child_each(daemon, "broken");
}

static void without_an_id_nothing_follows_and_the_store_stays_whole(void)
{
    struct daemon *daemon = daemon_new(config);

    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'first','args':{'a':1},'delay':'1s'}");
    daemon_stop(daemon);
    stores_change(daemon->store_path,
                  "UPDATE meta SET value = 9007199254740991 WHERE name = 'last_id'");
    daemon_start(daemon);
    (void)expect_end(daemon, id, "succeeded", NULL);
    assert_int_equal(daemon_log_count(daemon, "event=no_id_left"), 1);
    daemon_stop(daemon);
    stores_expect_sound(daemon, NULL);
    daemon_start(daemon);
    assert_int_equal(count_tasks(daemon, ""), 1);
    daemon_stop(daemon);
}

static void a_kind_that_is_not_there_is_a_fault_of_the_file(void)
{
    struct daemon *daemon = daemon_new("queue: { default: { on_failure = 'nobody' }; };\n"
                                       "kind: { a: { builtin = 'echo'; on_success = 'b' }; };\n");

    daemon_launch(daemon);

    assert_int_equal(daemon_await_end(daemon, 10000), 78);
    assert_non_null(strstr(daemon_log(daemon), "queue.default.on_failure names no kind"));
    assert_non_null(
        strstr(daemon_log(daemon), "kind.a.on_success names no kind of this file: \"b\""));
}

HARNESS_MAIN(SCENARIO(a_result_is_the_args_of_what_follows), SCENARIO(commands_make_a_pipe),
             SCENARIO(a_failed_task_is_the_args_of_its_note),
             SCENARIO(the_kinds_setting_wins_over_the_queues),
             SCENARIO(nothing_follows_a_cancelled_one_nor_the_failure_of_a_failure),
             SCENARIO(args_that_do_not_fit_fail_at_once_and_that_is_noted),
             SCENARIO(a_result_of_more_than_1_mib_is_too_much),
             SCENARIO(args_beside_their_limit_are_left_out_of_the_note),
             SCENARIO(a_chain_has_at_most_100_links),
             SCENARIO(the_backlog_limit_does_not_count_for_follow_ups),
             SCENARIO(what_a_death_or_a_drain_interrupts_is_noted_once),
             SCENARIO(a_child_may_name_a_parent_that_was_removed),
             SCENARIO(a_chain_of_three_stages_survives_kill_9),
             SCENARIO(without_an_id_nothing_follows_and_the_store_stays_whole),
             SCENARIO(a_kind_that_is_not_there_is_a_fault_of_the_file))
