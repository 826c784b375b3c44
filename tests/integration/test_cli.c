/** \file
 * runnel, the command line client: each command against the daemon, how it ends and what it says.
 */
#include "harness_cli.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char config[] =
    "queue: { default: { workers = 4 }; slow: { workers = 1; rate = '1/h' };\n"
    "  q0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' };\n"
    "  fail: { builtin = 'fail'; max_attempts = 1 };\n"
    "  three: { command = ['/bin/sh', '-c', 'echo loud >&2; exit 3'] };\n"
    "  killed: { command = ['/bin/sh', '-c', 'kill -KILL $$'] };\n"
    "  fine: { command = ['/bin/sh', '-c', 'echo note >&2; echo result'] }; };\n";

/* Requests that the daemon holds open until a task ends. */
static int64_t waits(struct daemon *daemon)
{
    return number_at(get(daemon, "/v1/stats")->json, "http.waiting");
}

/* ---- tasks ---- */

static void submit_prints_the_id_and_result_the_result(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "submit", "echo", "a=1", "b:=[1.50]"), 0, "1\n", "");
    expect_run(runnel(daemon, "wait", "1"), 0, NULL, "");
    expect_run(runnel(daemon, "result", "1"), 0, "{\"a\":\"1\",\"b\":[1.50]}\n", "");
    expect_run(runnel(daemon, "submit", "echo", "--args", "12345678901234567", "--wait"), 0, "2\n",
               "");
    expect_run(runnel(daemon, "result", "2", "--wait", "10s"), 0, "12345678901234567\n", "");
    expect_run(runnel_shell(daemon, "echo '[1, 2]' | $RUNNEL run echo -"), 0, "[1,2]\n", "");
    expect_run(runnel_shell(daemon, "echo 3 > \"$XDG_CONFIG_HOME/args\" && $RUNNEL run echo --file "
                                    "\"$XDG_CONFIG_HOME/args\""),
               0, "3\n", "");
    daemon_stop(daemon);
}

static void the_options_of_submit_reach_the_task(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "submit", "echo", "-q", "slow", "--priority=-7", "--delay", "90m",
                      "--timeout", "10", "--max-attempts", "5", "--tag", "a", "-t", "b",
                      "--expires-at", "2090-01-01 00:00", "--key", "k"),
               0, "1\n", "");
    expect_run(runnel(daemon, "submit", "echo", "--at", "2090-01-01T00:00:00Z"), 0, "2\n", "");
    // The same key, another body; then the same call.
    expect_run(runnel(daemon, "submit", "echo", "--key", "k"), 6, "", NULL);

    json_t *stored = task(daemon, 1);
    expect_text(stored, "queue", "slow");
    expect_number(stored, "priority", -7);
    expect_text(stored, "timeout", "10s");
    expect_number(stored, "max_attempts", 5);
    expect_text(stored, "tags.0", "a");
    expect_text(stored, "tags.1", "b");
    expect_text(stored, "state", "scheduled");
    expect_text(stored, "expires_at", "2090-01-01T00:00:00.000Z");
    expect_text(task(daemon, 2), "run_at", "2090-01-01T00:00:00.000Z");
    daemon_stop(daemon);
}

static void run_ends_as_its_task_did(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "run", "fine"), 0, "result\n", "note\n");
    expect_run(runnel(daemon, "run", "three"), 3, "",
               "loud\nrunnel: task 2 has failed: exit status 3 (exit)\n");
    expect_run(runnel(daemon, "run", "killed"), 128 + SIGKILL, "", NULL);
    expect_run(runnel(daemon, "run", "fail", "message=no \033[31mway"), 1, "",
               "runnel: task 4 has failed: no \\u001b[31mway (failed)\n");
    expect_run(runnel(daemon, "run", "sleep", "duration=1h", "--wait", "50ms"), 124, "",
               "runnel: task 5 has not finished in time; it goes on: runnel wait 5\n");
    expect_run(runnel(daemon, "cancel", "5"), 0, "task 5 is told to stop\n", "");
    expect_run(runnel(daemon, "wait", "5"), 1, NULL, NULL);
    daemon_stop(daemon);
}

static void ctrl_c_leaves_the_task_running_unless_asked_otherwise(void)
{
    struct daemon *daemon = daemon_started(config);

    struct background *left = runnel_start(daemon, "run", "sleep", "duration=1h");
    eventually(waits(daemon) == 1, 10000);
    (void)await_state(daemon, 1, "running");
    assert_int_equal(kill(left->pid, SIGINT), 0);
    assert_int_equal(background_end(left, 20000), 130);
    assert_string_equal(background_err(left),
                        "runnel: task 1 goes on; stop it with: runnel cancel 1\n");
    expect_text(task(daemon, 1), "state", "running");
    eventually(waits(daemon) == 0, 10000);

    struct background *taken =
        runnel_start(daemon, "run", "sleep", "duration=1h", "--cancel-on-interrupt");
    eventually(waits(daemon) == 1, 10000);
    (void)await_state(daemon, 2, "running");
    assert_int_equal(kill(taken->pid, SIGINT), 0);
    assert_int_equal(background_end(taken, 20000), 130);
    assert_string_equal(background_err(taken), "runnel: task 2 is cancelled\n");
    (void)expect_end(daemon, 2, "cancelled", "cancelled");

    expect_run(runnel(daemon, "cancel", "1"), 0, NULL, "");
    (void)await_end(daemon, 1);
    daemon_stop(daemon);
}

static void a_wait_outlasts_a_restart_of_the_daemon(void)
{
    struct daemon *daemon = daemon_started(config);
    daemon_keep_port(daemon);
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1s'}}");

    struct background *waiting = runnel_start(daemon, "wait", "1");
    eventually(waits(daemon) == 1, 10000);
    daemon_kill(daemon);
    eventually(contains(background_err(waiting), "trying again"), 20000);
    daemon_start(daemon);

    assert_int_equal(background_end(waiting, 60000), 0);
    assert_true(contains(background_out(waiting), "1 succeeded in"));
    (void)expect_end(daemon, id, "succeeded", NULL);
    daemon_stop(daemon);
}

static void a_wait_gives_up_on_a_daemon_that_stays_away(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");

    struct background *waiting = runnel_start(daemon, "wait", "1", "--retry-for", "300ms");
    eventually(waits(daemon) == 1, 10000);
    daemon_kill(daemon);

    assert_int_equal(background_end(waiting, 30000), 5);
    assert_true(contains(background_err(waiting), "go on with: runnel wait 1"));
}

/* ---- lists and actions ---- */

static void ls_filters_and_pages(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 1500, "{'kind':'echo','queue':'slow','tags':['many']}");
    (void)submit(daemon, "{'kind':'fail','args':{'message':'why'}}");
    (void)await_end(daemon, 1501);

    struct run all = runnel(daemon, "ls", "--all", "--json", "--tag", "many");
    struct run failed = runnel(daemon, "ls", "--state", "failed");
    struct run limited = runnel(daemon, "ls", "--limit", "2", "--json", "-k", "echo");

    unsigned lines = 0;
    for (const char *at = all.out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 1500);
    assert_true(contains(failed.out, "1501  failed  fail  default"));
    assert_true(contains(failed.out, "why\n"));
    assert_true(contains(limited.out, "{\"id\":1500,"));
    assert_true(contains(limited.out, "{\"id\":1499,"));
    assert_false(contains(limited.out, "{\"id\":1498,"));
    expect_run(runnel(daemon, "ls", "--queue", "default", "--kind", "echo"), 0, "", "");
    // The letters that lists have elsewhere, alone and together.
    const struct run short_ones[] = {runnel(daemon, "ls", "-n", "2", "-k", "echo", "-j"),
                                     runnel(daemon, "ls", "-jl2", "-k", "echo")};
    for (size_t i = 0; i < sizeof(short_ones) / sizeof(short_ones[0]); i++) {
        assert_true(contains(short_ones[i].out, "{\"id\":1499,"));
        assert_false(contains(short_ones[i].out, "{\"id\":1498,"));
    }
    daemon_stop(daemon);
}

static void actions_take_ids_or_a_filter(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 30, "{'kind':'fail'}");
    for (uint64_t id = 1; id <= 30; id++)
        (void)await_end(daemon, id);
    (void)submit(daemon, "{'kind':'sleep','args':{'duration':'1h'},'delay':'1h'}");

    expect_run(runnel(daemon, "retry", "--kind", "fail", "--dry-run"), 0, "would retry 30 tasks\n",
               "");
    expect_run(runnel(daemon, "retry", "--kind", "fail"), 0,
               "30 matched, 30 queued again, 0 skipped\n", "");
    for (uint64_t id = 1; id <= 30; id++)
        (void)await_end(daemon, id);
    expect_run(runnel(daemon, "rm", "1", "2", "99"), 4, "task 1 is removed\ntask 2 is removed\n",
               "runnel: no task has ever had the id 99\n");
    expect_run(runnel(daemon, "show", "1"), 4, "",
               "runnel: task 1 existed and has been removed: it was deleted, or kept as long as "
               "the configuration says\n");
    expect_run(runnel(daemon, "rm", "--kind", "fail", "--json"), 0,
               "{\"action\":\"delete\",\"dry_run\":false,\"matched\":28,\"changed\":28,"
               "\"skipped\":0}\n",
               "");
    expect_run(runnel(daemon, "cancel", "--all"), 0, "1 matched, 1 cancelled, 0 skipped\n", "");
    expect_run(runnel(daemon, "cancel", "31"), 0, "task 31 is cancelled\n", "");
    expect_run(runnel(daemon, "rm"), 2, "",
               "runnel: rm needs ids, a filter such as --queue blog, or --all; see runnel rm "
               "--help\n");
    expect_run(runnel(daemon, "rm", "1", "--all"), 2, "", NULL);
    daemon_stop(daemon);
}

static void a_filter_that_is_given_several_times_is_any_of_them(void)
{
    struct daemon *daemon = daemon_started(config);
    for (unsigned i = 0; i < 2; i++) {
        (void)submit(daemon, "{'kind':'echo','delay':'1h','tags':['a']}");
        (void)submit(daemon, "{'kind':'sleep','args':{'duration':1},'delay':'1h','tags':['b']}");
        (void)submit(daemon, "{'kind':'fail','delay':'1h','tags':['c']}");
    }

    struct run list = runnel(daemon, "ls", "--tag", "a", "-t", "b");
    assert_true(contains(list.out, "\n 5  ") || contains(list.out, "\n5  "));
    assert_true(contains(list.out, "  echo  "));
    assert_false(contains(list.out, "  fail  "));
    expect_run(runnel(daemon, "rm", "-n", "-k", "echo", "-k", "sleep", "-s", "scheduled"), 0,
               "would remove 0 of 4 tasks\n", "");
    expect_run(runnel(daemon, "cancel", "-t", "a", "-t", "b"), 0,
               "4 matched, 4 cancelled, 0 skipped\n", "");
    expect_text(task(daemon, 3), "state", "scheduled");
    daemon_stop(daemon);
}

static void every_filter_of_a_list_is_one_of_an_action(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit(daemon, "{'kind':'fail','tags':['a']}");
    (void)submit(daemon, "{'kind':'three'}");
    (void)submit(daemon, "{'kind':'echo','tags':['b']}");
    for (uint64_t id = 1; id <= 3; id++)
        (void)await_end(daemon, id);

    static const struct {
        const char *name, *value;
        unsigned count;
    } filters[] = {{"--error", "exit", 1},
                   {"-e", "exit,failed", 2},
                   {"--error", "none", 0},
                   {"--tag", "a,b", 2},
                   {"--state", "succeeded,failed", 3},
                   {"--kind", "three", 1},
                   {"--queue", "default", 3},
                   {"--after", "2020-01-01T00:00:00Z", 3},
                   {"--before", "2020-01-01T00:00:00Z", 0},
                   {"--after", "1h", 3},
                   {"--before", "1h", 0},
                   {"--finished-before", "1h30m", 0},
                   {"--finished-after", "2020-01-01T00:00:00Z", 3},
                   {"--finished-before", "2020-01-01T00:00:00Z", 0}};
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        struct run listed = runnel(daemon, "ls", "--json", filters[i].name, filters[i].value);
        unsigned lines = 0;
        for (const char *at = listed.out; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        if (lines != filters[i].count)
            fail_msg("%s %s lists %u", filters[i].name, filters[i].value, lines);
        expect_run(runnel(daemon, "rm", "-n", filters[i].name, filters[i].value), 0,
                   plain_text("would remove %u task%s\n", lines, lines == 1 ? "" : "s"), "");
    }
    expect_run(runnel(daemon, "rm", "--finished-before", "soon"), 2, "", NULL);
    // A time of the day is the last one, never one to come.
    for (int64_t minutes = -30; minutes <= 30; minutes += 60) {
        const char *time = plain_text("%.5s", instant(wall_ms() + minutes * 60000) + 11);
        expect_run(runnel(daemon, "rm", "-n", "--after", time), 0, "would remove 3 tasks\n", "");
        expect_run(runnel(daemon, "rm", "-n", "--before", time), 0, "would remove 0 tasks\n", "");
    }
    expect_run(runnel(daemon, "rm", "--queue", "a,,b"), 2, "",
               "runnel: --queue: a value is missing in 'a,,b'; see runnel rm --help\n");
    expect_run(runnel(daemon, "rm", "--queue", "\xFF"), 2, "", NULL);
    expect_run(runnel(daemon, "retry", "-n", "--state", "succeeded,failed"), 0,
               "would retry 2 of 3 tasks\n", "");
    expect_run(runnel(daemon, "rm", "--error", "exit"), 0, "1 matched, 1 removed, 0 skipped\n", "");
    expect_status(get(daemon, "/v1/tasks/2"), 410);
    daemon_stop(daemon);
}

/* Takes connections, and never says a word: a TLS handshake does not end. */
static int silent_listener(char **ret_url)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_url = plain_text("https://127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

static void what_was_not_asked_for_yet_is_interrupted_for_good(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    char *url = NULL;
    int listener = silent_listener(&url);
    struct pollfd wanted = {.fd = listener, .events = POLLIN};

    struct background *cancel = runnel_start(daemon, "--url", url, "cancel", "--queue", "blog");
    assert_int_equal(poll(&wanted, 1, 30000), 1);
    assert_int_equal(kill(cancel->pid, SIGINT), 0);

    assert_int_equal(background_end(cancel, 20000), 130);
    assert_string_equal(background_err(cancel), "runnel: interrupted; nothing is cancelled\n");
    int first = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(first >= 0);

    struct background *run = runnel_start(daemon, "--url", url, "run", "echo");
    assert_int_equal(poll(&wanted, 1, 30000), 1);
    assert_int_equal(kill(run->pid, SIGINT), 0);
    assert_int_equal(background_end(run, 20000), 130);
    assert_string_equal(background_err(run), "runnel: interrupted; nothing is stored\n");
    assert_int_equal(close(first), 0);
    assert_int_equal(close(listener), 0);
}

static void an_action_on_many_waits_for_its_end_or_says_what_is_open(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();

    struct background *interrupted =
        runnel_start(daemon, "--url", fake->url, "cancel", "--queue", "blog");
    char *head = fake_take(fake);
    assert_non_null(strstr(head, "POST /v1/tasks/actions HTTP/1.1\r\n"));
    assert_int_equal(kill(interrupted->pid, SIGINT), 0);
    assert_int_equal(background_end(interrupted, 20000), 130);
    assert_string_equal(background_err(interrupted),
                        "runnel: interrupted; if the call has arrived, the daemon goes on to "
                        "the end\n");
    fake_cut(fake);

    struct background *run = runnel_start(daemon, "--url", fake->url, "run", "echo", "--key=k");
    (void)fake_take(fake);
    assert_int_equal(kill(run->pid, SIGINT), 0);
    assert_int_equal(background_end(run, 20000), 130);
    assert_string_equal(background_err(run),
                        "runnel: interrupted: whether the task is stored is not known; repeat the "
                        "call with the same --key\n");
    fake_cut(fake);

    struct background *broken = runnel_start(daemon, "--url", fake->url, "rm", "--all");
    (void)fake_take(fake);
    fake_cut(fake);
    assert_int_equal(background_end(broken, 20000), 5);
    assert_true(contains(background_err(broken), "how many are removed is not known"));

    struct background *refused = runnel_start(daemon, "--url", fake->url, "retry", "--all");
    (void)fake_take(fake);
    fake_answer(fake, 503, "{\"code\":\"busy\",\"detail\":\"4 are under way\"}");
    assert_int_equal(background_end(refused, 20000), 6);
    assert_string_equal(background_err(refused), "runnel: 4 are under way\n");
}

/* ---- queues and the daemon ---- */

static void queues_are_changed_while_they_run(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "set", "slow", "rate=10/s", "workers=8", "burst=5"), 0,
               "slow: 8 workers, 10/s, burst 5\n", "");
    json_t *changed = queue(daemon, "slow");
    expect_number(changed, "workers", 8);
    expect_text(changed, "rate", "10/s");
    expect_number(changed, "burst", 5);
    expect_run(runnel(daemon, "set", "slow", "rate=", "workers=default", "burst="), 0,
               "slow: 1 worker, 1/h\n", "");
    expect_run(runnel(daemon, "pause", "slow", "default"), 0,
               "slow: 1 worker, 1/h, paused\ndefault: 4 workers, no rate, paused\n", "");
    expect_run(runnel(daemon, "resume", "slow"), 0, "slow: 1 worker, 1/h\n", "");
    struct run for_a_while = runnel(daemon, "pause", "slow", "--for", "1h");
    assert_int_equal(for_a_while.status, 0);
    assert_true(contains(for_a_while.out, "paused, ends 20"));
    expect_run(runnel(daemon, "set", "slow", "rat=1/s"), 2, "",
               "runnel: a queue has no 'rat': did you mean rate?; see runnel set --help\n");
    expect_run(runnel(daemon, "set", "slow", "workers=many"), 2, "", NULL);
    expect_run(runnel(daemon, "set", "slow", "workers=2", "workers=3"), 2, "",
               "runnel: workers is there twice; see runnel set --help\n");
    expect_run(runnel(daemon, "set", "slow", "rate=fast"), 2, "",
               "runnel: rate: 'fast' is no rate such as 10/s, 90/m or 2.5/h; rate= gives the "
               "configuration's back; see runnel set --help\n");
    expect_run(runnel(daemon, "set", "slow", "workers=0"), 2, "",
               "runnel: workers: '0' is no number from 1 to 1024; workers= gives the "
               "configuration's back; see runnel set --help\n");
    expect_run(runnel(daemon, "set", "slow", "burst=1000001"), 2, "",
               "runnel: burst: '1000001' is no number from 1 to 1000000; burst= gives the "
               "configuration's back; see runnel set --help\n");
    expect_run(runnel(daemon, "set", "default", "rate=90/m", "burst=1000000"), 0,
               "default: 4 workers, 90/m, burst 1000000, paused\n", "");
    daemon_stop(daemon);
}

static void the_daemon_tells_of_itself(void)
{
    struct daemon *daemon = daemon_started(config);

    struct run ping = runnel(daemon, "ping");
    struct run version = runnel(daemon, "version");
    struct run stats = runnel(daemon, "stats");
    struct run kinds = runnel(daemon, "kinds");

    assert_int_equal(ping.status, 0);
    assert_memory_equal(ping.out, "ready at http://127.0.0.1:", 26);
    assert_int_equal(version.status, 0);
    assert_true(contains(version.out, "\nrunneld "));
    assert_true(contains(stats.out, "succeeded"));
    assert_true(contains(kinds.out, "built-in echo"));
    expect_run(runnel(daemon, "complete", "queues"), 0,
               "default\nslow\nq0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n",
               "");
    expect_run(runnel(daemon, "complete", "kinds"), 0, "echo\nsleep\nfail\nthree\nkilled\nfine\n",
               "");
    daemon_stop(daemon);
}

static void top_refuses_what_is_no_terminal(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "top"), 2, "",
               "runnel: top is for a terminal; for scripts there are stats, queues and ls with "
               "--json; see runnel top --help\n");
    daemon_stop(daemon);
}

/* ---- what is wrong ---- */

static void what_is_wrong_is_said_in_one_line(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "sumbit"), 2, "",
               "runnel: there is no command 'sumbit': did you mean 'submit'?; see runnel --help\n");
    expect_run(runnel(daemon, "ls", "--quue", "x"), 2, "",
               "runnel: there is no option --quue: did you mean --queue?; see runnel ls --help\n");
    expect_run(runnel(daemon, "submit", "echo", "path"), 2, "",
               "runnel: 'path' is no name=value (a text) and no name:=value (JSON); see runnel "
               "submit --help\n");
    expect_run(runnel(daemon, "submit", "ecko"), 6, "",
               "runnel: kind: unknown kind 'ecko': did you mean 'echo'?\n");
    expect_run(runnel(daemon, "submit"), 2, "", NULL);
    expect_run(runnel(daemon, "submit", "echo", "--priority", "101"), 2, "", NULL);
    expect_run(runnel(daemon, "submit", "echo", "--delay", "soon"), 2, "", NULL);
    expect_run(runnel(daemon, "submit", "echo", "--args", "{"), 2, "", NULL);
    expect_run(runnel(daemon, "submit", "echo", "--key", "with space"), 2, "", NULL);
    expect_run(runnel(daemon, "show", "x"), 2, "", NULL);
    expect_run(runnel(daemon, "show", "7"), 4, "", "runnel: no task has ever had the id 7\n");
    expect_run(runnel(daemon, "ls", "extra"), 2, "", NULL);
    expect_run(runnel(daemon, "ls", "--color", "red"), 2, "", NULL);
    expect_run(runnel(daemon, "--url", "ftp://x", "ls"), 2, "", NULL);
    expect_run(runnel(daemon, "ls", "--token-file", "/nonexistent"), 2, "", NULL);
    daemon_stop(daemon);
}

static void a_daemon_that_is_not_there_is_told_with_its_address(void)
{
    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"ls", NULL}), 5, "",
               "runnel: no daemon answers at http://127.0.0.1:1 (connection refused); is runneld "
               "running?\n");
    expect_run(runnel_at("unix:/nonexistent", (const char *const[]){"wait", "1", NULL}), 5, "",
               "runnel: no daemon answers at unix:/nonexistent (no such file or directory); is "
               "runneld running?\n");
}

static void a_reader_that_goes_away_ends_it_quietly(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 3000, "{'kind':'echo','queue':'slow'}");

    expect_run(
        runnel_shell(daemon, "$RUNNEL ls --all | head -n 1 > /dev/null; echo ${PIPESTATUS[0]}"), 0,
        "141\n", "");
    // Where SIGPIPE is ignored, the same.
    expect_run(runnel_shell(daemon, "trap '' PIPE; $RUNNEL ls --all | head -n 1 > /dev/null; "
                                    "echo ${PIPESTATUS[0]}"),
               0, "141\n", "");
    expect_run(runnel_shell(daemon, "$RUNNEL ls > /dev/full"), 74, "",
               "runnel: standard output can't be written (No space left on device)\n");
    daemon_stop(daemon);
}

static void every_command_has_a_help(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel_shell(daemon, "set -e; for command in $($RUNNEL complete commands | sed "
                                    "'s/:.*//'); do\n"
                                    "$RUNNEL $command --help | grep -q '^usage: runnel '$command\n"
                                    "$RUNNEL help $command | grep -q '^example: '\n"
                                    "done; $RUNNEL --help | grep -c '^  '"),
               0, NULL, "");
    expect_run(runnel_shell(daemon, "$RUNNEL"), 2, "", NULL);
    daemon_stop(daemon);
}

/* ---- where the daemon is, and who asks ---- */

/* Answers one request with an empty list; returns what it was asked. */
static char *asked_once(struct fake *fake)
{
    char *head = fake_take(fake);

    fake_answer(fake, 200, "{\"queues\":[]}");
    return head;
}

static void url_and_token_come_from_options_variables_and_the_file(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();
    const char *folder = scenario_folder();
    file_write(plain_text("%s/token", folder), "rn_secret\n");

    struct background *plain = runnel_start(daemon, "--url", fake->url, "queues");
    char *head = asked_once(fake);
    assert_int_equal(background_end(plain, 20000), 0);
    assert_memory_equal(head, "GET /v1/queues HTTP/1.1\r\n", 25);
    assert_null(strstr(head, "Authorization"));

    struct background *option = runnel_start(daemon, "queues", "--url", fake->url, "--token-file",
                                             plain_text("%s/token", folder));
    head = asked_once(fake);
    assert_int_equal(background_end(option, 20000), 0);
    assert_non_null(strstr(head, "\r\nAuthorization: Bearer rn_secret\r\n"));

    file_write(plain_text("%s/runnel.conf", folder),
               plain_text("token_file = \"%s/token\";\n", folder));
    struct background *by_file = runnel_start(daemon, "queues", "--url", fake->url);
    head = asked_once(fake);
    assert_int_equal(background_end(by_file, 20000), 0);
    assert_non_null(strstr(head, "\r\nAuthorization: Bearer rn_secret\r\n"));

    file_write(plain_text("%s/runnel.conf", folder), "# mine\ntoken = \"x\";\n");
    struct run broken = runnel_at(fake->url, (const char *const[]){"queues", NULL});
    assert_int_equal(broken.status, 2);
    assert_true(contains(broken.err, "runnel.conf:2: there is no setting token"));
}

HARNESS_MAIN(SCENARIO(submit_prints_the_id_and_result_the_result),
             SCENARIO(the_options_of_submit_reach_the_task), SCENARIO(run_ends_as_its_task_did),
             SCENARIO(ctrl_c_leaves_the_task_running_unless_asked_otherwise),
             SCENARIO(a_wait_outlasts_a_restart_of_the_daemon),
             SCENARIO(a_wait_gives_up_on_a_daemon_that_stays_away), SCENARIO(ls_filters_and_pages),
             SCENARIO(actions_take_ids_or_a_filter),
             SCENARIO(a_filter_that_is_given_several_times_is_any_of_them),
             SCENARIO(every_filter_of_a_list_is_one_of_an_action),
             SCENARIO(what_was_not_asked_for_yet_is_interrupted_for_good),
             SCENARIO(an_action_on_many_waits_for_its_end_or_says_what_is_open),
             SCENARIO(queues_are_changed_while_they_run), SCENARIO(the_daemon_tells_of_itself),
             SCENARIO(top_refuses_what_is_no_terminal), SCENARIO(what_is_wrong_is_said_in_one_line),
             SCENARIO(a_daemon_that_is_not_there_is_told_with_its_address),
             SCENARIO(a_reader_that_goes_away_ends_it_quietly), SCENARIO(every_command_has_a_help),
             SCENARIO(url_and_token_come_from_options_variables_and_the_file))
